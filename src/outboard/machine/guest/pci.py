"""PCI as a guest of the pseries machine drives it: by RTAS, which also hands out interrupts and programs MSIs.

Sources: PCI Local Bus 3.0, 6.1 (header), 6.2.5.1 (base addresses), 6.7 (capabilities), 6.8 (MSI and MSI-X); LoPAPR,
"ibm,read-pci-config", "ibm,change-msi", "ibm,query-interrupt-source-number", "H_PUT_TCE"; Open Firmware's PCI binding,
`ranges`, `interrupt-map`.

Modelled: bus 0 of a host bridge, its windows, messages and pins, DMA by its default window. Not modelled: bridges,
I/O space, hot plug.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from outboard.errors import LocalError
from outboard.machine.cpu import Cpu
from outboard.machine.guest.boot import Rtas, longs
from outboard.machine.guest.controller import hcall
from outboard.spapr.fdt import Node, read_cells
from outboard.spec.papr import TCE_HCALLS
from outboard.spec.pci import (
    BARS,
    MSI_ENABLE,
    MSIX_ENABLE,
    MSIX_ENTRY,
    MSIX_ENTRY_CONTROL,
    MSIX_MASK_ALL,
    SLOT_SHIFT,
    SLOTS,
    BarType,
    Cap,
    Command,
    Msi,
    Msix,
    Reg,
)

HEADER_TYPE, MULTIFUNCTION = 0x0E, 0x80
NO_DEVICE = 0xFFFF
FUNCTIONS = 8
CAPABILITIES_MAX = 48
"""As many fit the configuration space; a list that goes in a circle ends there."""
MSIX_VECTORS = 0x7FF
"""Bits of the control register: number of vectors, less one."""
CHANGE_ANY, CHANGE_MSI, CHANGE_MSIX = 1, 3, 4
"""Functions of ibm,change-msi."""
H_PUT_TCE = {row.name: row.opcode for row in TCE_HCALLS}["H_PUT_TCE"]
TCE_READ, TCE_WRITE = 1, 2
IOMMU_PAGE = 4096
MEMORY_32, MEMORY_64 = 2, 3
"""Kinds of windows: the space code of Open Firmware's PCI binding."""


def load_le(cpu: Cpu, addr: int, size: int) -> int:
    """Load a little-endian register, as devices of the PCI world have."""
    return int.from_bytes(cpu.load(addr, size).to_bytes(size, "big"), "little")


def store_le(cpu: Cpu, addr: int, size: int, value: int) -> None:
    """Store a little-endian register."""
    cpu.store(addr, size, int.from_bytes(value.to_bytes(size, "big"), "little"))


@dataclass
class Window:
    """Bus addresses that CPUs reach: `pci` and `cpu` are where it begins. taken: bytes that are in use."""

    pci: int
    cpu: int
    size: int
    taken: int = 0

    def place(self, size: int) -> int:
        """Return the bus address of `size` bytes, aligned to their size. Raises LocalError when there is no room."""
        addr = (self.pci + self.taken + size - 1) & -size
        if addr + size > self.pci + self.size:
            raise LocalError(f"no room for {size:#x} bytes in the PCI window at {self.pci:#x}")
        self.taken = addr + size - self.pci
        return addr


class DmaWindow(NamedTuple):
    """Bus addresses at which a device reaches memory, as far as the guest maps it."""

    liobn: int
    start: int
    size: int


@dataclass
class PciHost:
    """A host bridge (PHB) as the device tree has it. buid: its number in RTAS calls."""

    rtas: Rtas
    buid: int
    windows: dict[int, Window]
    pins: dict[tuple[int, int], tuple[int, bool]]
    """LISN, and whether it is a level, by slot and pin (1 to 4)."""
    dma: DmaWindow | None
    dma_taken: int = 0

    def where(self) -> tuple[int, int]:
        """Return the BUID in two cells."""
        return self.buid >> 32, self.buid & 0xFFFF_FFFF

    def enumerate(self, cpu: Cpu) -> Iterator["PciDevice"]:
        """Yield the functions on bus 0 that answer."""
        for slot in range(SLOTS):
            first = PciDevice(self, slot << 3)
            if first.read(cpu, Reg.VENDOR_ID, 2) == NO_DEVICE:
                continue
            yield first
            if first.read(cpu, HEADER_TYPE, 1) & MULTIFUNCTION:
                others = (PciDevice(self, slot << 3 | number) for number in range(1, FUNCTIONS))
                yield from (one for one in others if one.read(cpu, Reg.VENDOR_ID, 2) != NO_DEVICE)

    def map_dma(self, cpu: Cpu, guest_addr: int, size: int) -> int:
        """Let devices reach guest memory, both in whole pages; return the bus address. Raises Failed, LocalError."""
        if self.dma is None:
            raise LocalError(f"the host bridge {self.buid:#x} has no DMA window")
        first, size = guest_addr & -IOMMU_PAGE, size + guest_addr % IOMMU_PAGE
        pages = -(-size // IOMMU_PAGE)
        start = self.dma.start + self.dma_taken
        if self.dma_taken + pages * IOMMU_PAGE > self.dma.size:
            raise LocalError(f"the DMA window of {self.dma.size:#x} bytes is full")
        for at in range(0, pages * IOMMU_PAGE, IOMMU_PAGE):
            hcall(cpu, "H_PUT_TCE", H_PUT_TCE, self.dma.liobn, start + at, first + at | TCE_READ | TCE_WRITE)
        self.dma_taken += pages * IOMMU_PAGE
        return start + guest_addr % IOMMU_PAGE


def hosts(tree: Node, rtas: Rtas) -> list[PciHost]:
    """Return the host bridges of a machine."""
    return [_host(node, rtas) for node in tree.children if node.name.startswith("pci@")]


def _host(node: Node, rtas: Rtas) -> PciHost:
    windows = {}
    ranges = read_cells(node.properties["ranges"])
    for at in range(0, len(ranges), 7):
        space, *rest = ranges[at : at + 7]
        pci, cpu, size = (rest[place] << 32 | rest[place + 1] for place in (0, 2, 4))
        windows[space >> 24 & 3] = Window(pci, cpu, size)
    map_cells, pins = read_cells(node.properties["interrupt-map"]), {}
    for at in range(0, len(map_cells), 7):
        unit, _, _, pin, _, lisn, level = map_cells[at : at + 7]
        pins[unit >> SLOT_SHIFT, pin] = lisn, bool(level)
    dma = node.properties.get("ibm,dma-window")
    window = DmaWindow(read_cells(dma)[0], *longs(dma[4:20])) if dma else None
    return PciHost(rtas, longs(node.properties["reg"])[0], windows, pins, window)


@dataclass
class PciDevice:
    """A function on bus 0. bars: guest address and size of the base addresses that were placed, by number."""

    host: PciHost
    devfn: int
    bars: dict[int, tuple[int, int]] = field(default_factory=dict)

    def _config(self, register: int) -> int:
        return self.devfn << 8 | register & 0xFF | (register & 0xF00) << 20

    # Configuration space

    def read(self, cpu: Cpu, register: int, size: int) -> int:
        """Read a register of 1, 2 or 4 bytes; all ones where no device is."""
        answer = self.host.rtas.call(
            cpu, "ibm,read-pci-config", self._config(register), *self.host.where(), size, results=2
        )
        mask = (1 << 8 * size) - 1
        return answer[1] & mask if answer[0] == 0 else mask

    def write(self, cpu: Cpu, register: int, size: int, value: int) -> None:
        """Write a register of 1, 2 or 4 bytes. Raises Failed where no device is."""
        self.host.rtas.ok(cpu, "ibm,write-pci-config", self._config(register), *self.host.where(), size, value)

    def identity(self, cpu: Cpu) -> tuple[int, int]:
        """Return vendor and device."""
        both = self.read(cpu, Reg.VENDOR_ID, 4)
        return both & 0xFFFF, both >> 16

    def capabilities(self, cpu: Cpu) -> list[tuple[int, int]]:
        """Return the id and the register of each capability, in their order."""
        found: list[tuple[int, int]] = []
        at = self.read(cpu, Reg.CAPABILITIES, 1) & ~3
        while at and len(found) < CAPABILITIES_MAX:
            found.append((self.read(cpu, at, 1), at))
            at = self.read(cpu, at + 1, 1) & ~3
        return found

    def capability(self, cpu: Cpu, wanted: int) -> int:
        """Return the register of a capability. Raises LocalError when the device has it not."""
        for kind, at in self.capabilities(cpu):
            if kind == wanted:
                return at
        raise LocalError(f"PCI device {self.devfn >> 3:02x}.{self.devfn & 7} has no capability {wanted:#x}")

    def place_bars(self, cpu: Cpu) -> None:
        """Give all base addresses of memory a place in the host bridge's windows, and let the device work."""
        number = 0
        while number < BARS:
            register = Reg.BASE_ADDRESS_0 + 4 * number
            self.write(cpu, register, 4, 0xFFFF_FFFF)
            mask = self.read(cpu, register, 4)
            wide = mask & 0b111 == BarType.WIDE
            if mask and not mask & 1:
                self._place(cpu, number, mask, wide)
            number += 2 if wide else 1
        self.write(cpu, Reg.COMMAND, 2, Command.MEMORY | Command.MASTER)

    def _place(self, cpu: Cpu, number: int, mask: int, wide: bool) -> None:
        register = Reg.BASE_ADDRESS_0 + 4 * number
        high = 0xFFFF_FFFF
        if wide:
            self.write(cpu, register + 4, 4, 0xFFFF_FFFF)
            high = self.read(cpu, register + 4, 4)
        size = (~(high << 32 | mask & ~0xF) & 0xFFFFFFFF_FFFFFFFF) + 1
        window = self.host.windows[MEMORY_64 if wide and MEMORY_64 in self.host.windows else MEMORY_32]
        addr = window.place(size)
        self.write(cpu, register, 4, addr & 0xFFFF_FFFF)
        if wide:
            self.write(cpu, register + 4, 4, addr >> 32)
        self.bars[number] = window.cpu + addr - window.pci, size

    # Interrupts

    def pin(self, cpu: Cpu) -> tuple[int, bool]:
        """Return the LISN of the device's pin, and whether it is a level. Raises LocalError when it has none."""
        pin = self.read(cpu, Reg.INTERRUPT_PIN, 1)
        if (self.devfn >> 3, pin) not in self.host.pins:
            raise LocalError(f"PCI device {self.devfn >> 3:02x}.{self.devfn & 7} has no interrupt pin")
        return self.host.pins[self.devfn >> 3, pin]

    def enable_msi(self, cpu: Cpu) -> int:
        """Have the device send a message; return its LISN. RTAS writes address and data of the message."""
        at = self.capability(cpu, Cap.MSI)
        (lisn,) = self._change(cpu, CHANGE_MSI, 1)
        self.write(cpu, at + Msi.CONTROL, 2, self.read(cpu, at + Msi.CONTROL, 2) | MSI_ENABLE)
        return lisn

    def enable_msix(self, cpu: Cpu, count: int) -> Sequence[int]:
        """Have the device send `count` kinds of messages; return their LISNs, by vector."""
        at = self.capability(cpu, Cap.MSIX)
        control = self.read(cpu, at + Msix.CONTROL, 2)
        if count > (control & MSIX_VECTORS) + 1:
            raise LocalError(f"the device has {(control & MSIX_VECTORS) + 1} vectors, not {count}")
        lisns = self._change(cpu, CHANGE_MSIX, count)
        where = self.read(cpu, at + Msix.TABLE, 4)
        table = self.bars[where & 7][0] + (where & ~7)
        for vector in range(count):
            store_le(cpu, table + MSIX_ENTRY * vector + MSIX_ENTRY_CONTROL, 4, 0)
        self.write(cpu, at + Msix.CONTROL, 2, control & ~MSIX_MASK_ALL | MSIX_ENABLE)
        return lisns

    def disable_messages(self, cpu: Cpu) -> None:
        """Give all messages back. Raises Failed when there are none."""
        self.host.rtas.ok(cpu, "ibm,change-msi", self._config(0), *self.host.where(), CHANGE_ANY, 0, 1, results=3)

    def _change(self, cpu: Cpu, function: int, count: int) -> list[int]:
        """Ask for messages; return their LISNs. Raises LocalError when there are not so many."""
        where = self._config(0), *self.host.where()
        given, _ = self.host.rtas.ok(cpu, "ibm,change-msi", *where, function, count, 1, results=3)
        if given != count:
            raise LocalError(f"{count} messages were asked for, the device has {given}")
        query = "ibm,query-interrupt-source-number"
        return [self.host.rtas.ok(cpu, query, *where, index, results=3)[0] for index in range(count)]


def find(cpu: Cpu, bridges: Sequence[PciHost], *identity: int) -> PciDevice | None:
    """Return the first function with a vendor and a device number, or None."""
    for host in bridges:
        for device in host.enumerate(cpu):
            if device.identity(cpu) == identity:
                return device
    return None
