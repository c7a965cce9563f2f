"""A PCI host bridge of a pseries machine: slots, configuration space, windows, pins, messages.

Source: LoPAPR, "PCI Host Bridges"; behaviour as QEMU 7.2's spapr-pci-host-bridge shows it.

Modelled: one bus, functions 0, memory windows. Not modelled: bridges behind it, I/O ports, hotplug.
"""

from typing import NamedTuple

from outboard.errors import LocalError
from outboard.frontend.ram import GuestRam
from outboard.machine.pseries.config import Bar
from outboard.machine.pseries.dma import LIOBN, MSI_WINDOW, DmaSpace
from outboard.machine.pseries.pci_device import PciDevice
from outboard.machine.pseries.registers import Place
from outboard.spapr.device_tree import BUID, WINDOWS
from outboard.spapr.irq import SpaprIrq
from outboard.spec.pci import SLOT_SHIFT, SLOTS

_IO, *_MEMORY = WINDOWS
_FIRST, _LAST = _IO.base, _MEMORY[-1].base + _MEMORY[-1].size
_FUNCTION_SHIFT = 8


def config_address(slot: int, offset: int = 0) -> int:
    """Return what RTAS calls call the configuration address: of function 0 of a slot on bus 0."""
    return slot << SLOT_SHIFT | (offset & 0xF00) << 20 | offset & 0xFF


class PhbState(NamedTuple):
    """A bridge's own state. places: slot, base address and address on the bus, the one that moved last first."""

    entries: tuple[tuple[int, int], ...]
    messages: tuple[tuple[int, tuple[int, int]], ...]
    places: tuple[tuple[int, Bar, int], ...]
    raised: tuple[int, ...]


class Mapped:
    """A base address that has a place on the bus."""

    def __init__(self, device: PciDevice, bar: Bar, address: int) -> None:
        self.device, self.bar, self.address = device, bar, address
        self.end = address + bar.size

    def find(self, address: int, size: int) -> tuple[Place, int] | None:
        """Return the registers at a bus address and the offset in them, or None where the device has none."""
        offset = address - self.address
        for place in self.device.layout[self.bar]:
            if place.start <= offset and offset + size <= place.start + place.size:
                return place, offset - place.start
        return None


class Phb:
    """PHB 0. pins: LISNs of INTA to INTD."""

    def __init__(self, irq: SpaprIrq, ram: GuestRam, pins: tuple[int, ...], index: int = 0) -> None:
        self.irq = irq
        self.events = irq.events
        self.ram = ram
        self.buid = BUID + index
        self.pins = pins
        self.devices: dict[int, PciDevice] = {}
        self.dma = DmaSpace(ram.memory, irq.events, self.raise_msi, LIOBN | index << 8)
        self.messages: dict[int, tuple[int, int]] = {}
        """First LISN and count, by the configuration address that they were asked for."""
        self._mapped: list[Mapped] = []
        self._raised = [0] * len(pins)

    # Devices

    def plug(self, device: PciDevice, slot: int | None = None) -> None:
        """Put a device into a slot, by default the first free one from 1 on; QEMU begins with 0.

        Raises LocalError when the slot is taken, or there is none.
        """
        if slot is None:
            slot = next((free for free in range(1, SLOTS) if free not in self.devices), SLOTS)
        if not isinstance(slot, int) or not 0 <= slot < SLOTS or slot in self.devices:
            raise LocalError(f"{device.name}: PCI slot {slot!r} is not free; there are 0 to {SLOTS - 1}")
        device.plug(self, slot)
        self.devices[slot] = device

    def find(self, buid: int, address: int) -> PciDevice | None:
        """Return the device that a BUID and a configuration address mean."""
        bus, function = address >> 16 & 0xFF, address >> _FUNCTION_SHIFT & 0xFF
        slot, rest = divmod(function, 1 << SLOT_SHIFT - _FUNCTION_SHIFT)
        return self.devices.get(slot) if (buid, bus, rest) == (self.buid, 0, 0) else None

    def reset_devices(self) -> None:
        """Reset what is behind the bridge."""
        for slot in sorted(self.devices):
            self.devices[slot].reset()

    def reset(self) -> None:
        """Reset the bridge itself; messages were freed with the interrupt controllers."""
        self.dma.reset()
        self.messages.clear()

    # Windows

    def has(self, addr: int) -> bool:
        """Return whether a guest-physical address is in one of the windows."""
        return _FIRST <= addr < _LAST and self._window(addr) is not None

    @staticmethod
    def _window(addr: int) -> int | None:
        """Return what to add for a bus address; None where no window is."""
        for window in WINDOWS:
            if window.base <= addr < window.base + window.size:
                return 0 if window.pci is None else window.pci - window.base
        return None

    def _find(self, addr: int, size: int) -> tuple[Place, int] | None:
        """Return what a CPU's address hits: of places that overlap the one that moved there last."""
        shift = None if addr < _MEMORY[0].base else self._window(addr)
        if shift is None:
            return None
        address = addr + shift
        for mapped in self._mapped:
            if mapped.address <= address < mapped.end:
                return mapped.find(address, size)
        return None

    def load(self, addr: int, size: int) -> int:
        """Load as a CPU, aligned, big-endian; 0 where nothing is."""
        found = self._find(addr, size)
        if found is None:
            self.events.report("unassigned", "read", addr, size)
            return 0
        place, offset = found
        if not place.sizes[0] <= size <= place.sizes[1]:
            self.events.report("invalid_size", "read", offset, size, place.name, *place.sizes)
            return 0
        return place.load(offset, size)

    def store(self, addr: int, size: int, value: int) -> None:
        """Store as a CPU, aligned, big-endian; lost where nothing is."""
        found = self._find(addr, size)
        if found is None:
            self.events.report("unassigned", "write", addr, size)
            return
        place, offset = found
        if place.sizes[0] <= size <= place.sizes[1]:
            place.store(offset, size, value)
        else:
            self.events.report("invalid_size", "write", offset, size, place.name, *place.sizes)

    # What devices do

    def remap(self, device: PciDevice) -> None:
        """Look where a device's base addresses are now."""
        for bar in device.config.bars:
            address = device.config.place(bar)
            now = next((one for one in self._mapped if one.device is device and one.bar == bar), None)
            if (now.address if now else None) == address:
                continue
            if now:
                self._mapped.remove(now)
            if address is not None:
                self._mapped.insert(0, Mapped(device, bar, address))

    def drive(self, device: PciDevice, change: int) -> None:
        """Raise (1) or lower (-1) a device's INTA; slots take the bridge's pins in turn, and share them."""
        pin = device.slot % len(self.pins)
        self._raised[pin] += change
        self.irq.set_irq(self.pins[pin], int(self._raised[pin] != 0))

    def read(self, device: PciDevice, address: int, length: int) -> bytes:
        """Read from the bus as a device."""
        return self.dma.read(address, length)

    def write(self, device: PciDevice, address: int, data: bytes) -> None:
        """Write to the bus as a device."""
        self.dma.write(address, data)

    def raise_msi(self, lisn: int) -> None:
        """Take a message. A number that nobody claimed is told and ignored, where QEMU aborts."""
        try:
            self.irq.pulse(lisn)
        except LocalError:
            self.events.report("msi_unclaimed", lisn)

    # Messages

    def allocate(self, address: int, device: PciDevice, count: int, *, msix: bool) -> int | None:
        """Give a device LISNs, and write the messages; the ones it had are freed behind. None where there are none."""
        first = self.irq.allocate_msis(count, msix=msix)
        if first is None:
            return None
        self.free(address)
        self.messages[address] = first, count
        device.set_messages(MSI_WINDOW, first, count, msix=msix)
        return first

    def free(self, address: int) -> None:
        """Free the LISNs that were given out for a configuration address, if any were."""
        if address in self.messages:
            self.irq.release_msis(self.messages.pop(address)[0])

    # Pictures

    def state(self) -> PhbState:
        """Return the bridge's own state."""
        places = tuple((one.device.slot, one.bar, one.address) for one in self._mapped)
        return PhbState(tuple(self.dma.entries.items()), tuple(self.messages.items()), places, tuple(self._raised))

    def set_state(self, state: PhbState) -> None:
        """Go back to a state of such a bridge."""
        self.dma.entries = dict(state.entries)
        self.messages = dict(state.messages)
        self._mapped = [Mapped(self.devices[slot], bar, address) for slot, bar, address in state.places]
        self._raised = list(state.raised)
