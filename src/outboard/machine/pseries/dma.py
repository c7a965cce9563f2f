"""What the devices of a PHB reach: guest memory, as far as the guest has mapped it, and the window of messages.

Source: LoPAPR, "TCE Access"; addresses and answers as QEMU 7.2's pseries machine has them. An entry of the table (TCE)
maps a page of 4 KiB: its low bits say whether devices may read (1) and write (2) there.

Modelled: the default window of a PHB, messages. Not modelled: further windows (ibm,create-pe-dma-window), accesses of a
device to other devices.
"""

from collections.abc import Callable

from outboard.guest.memory import GuestMemory
from outboard.spapr.device_tree import DMA_WINDOW_SIZE
from outboard.spec.papr import TCE_HCALLS, H
from outboard.xive.events import Events

PAGE_SHIFT = 12
PAGE = 1 << PAGE_SHIFT
ENTRIES = DMA_WINDOW_SIZE >> PAGE_SHIFT
READ, WRITE = 1, 2
"""Rights of a device, in a TCE."""
MSI_WINDOW = 0x400_0000_0000
"""A page; what is written there is a LISN."""
INDIRECT_MAX = 512
TCE = 8
LIOBN = 0x8000_0000


class DmaSpace:
    """The bus addresses of one PHB. liobn: its number in hypercalls; raise_msi: is given the LISN of a message."""

    def __init__(
        self, memory: GuestMemory, events: Events, raise_msi: Callable[[int], object], liobn: int = LIOBN
    ) -> None:
        self.memory = memory
        self.events = events
        self.raise_msi = raise_msi
        self.liobn = liobn
        self.entries: dict[int, int] = {}

    # What devices do

    def read(self, address: int, length: int) -> bytes:
        """Read as a device; zeros where it may not."""
        data = b""
        while len(data) < length:
            step = min(length - len(data), PAGE - (address + len(data)) % PAGE)
            data += self._read_page(address + len(data), step)
        return data

    def _read_page(self, address: int, length: int) -> bytes:
        at = self._translate(address, READ)
        found = None if at is None else self.memory.read(at, length)
        if found is None:
            self.events.report("unassigned", "read", address, length)
        return found or bytes(length)

    def write(self, address: int, data: bytes) -> None:
        """Write as a device; what may not be is lost."""
        done = 0
        while done < len(data):
            step = min(len(data) - done, PAGE - (address + done) % PAGE)
            self._write_page(address + done, data[done : done + step])
            done += step

    def _write_page(self, address: int, data: bytes) -> None:
        if address >> PAGE_SHIFT == MSI_WINDOW >> PAGE_SHIFT:
            self.raise_msi(int.from_bytes(data, "little"))
            return
        at = self._translate(address, WRITE)
        if at is None or not self.memory.write(at, data):
            self.events.report("unassigned", "write", address, len(data))

    def _translate(self, address: int, right: int) -> int | None:
        """Return the guest address, or None where the device has not the right."""
        tce = self.entries.get(address >> PAGE_SHIFT, 0) if 0 <= address < DMA_WINDOW_SIZE else 0
        return tce & -PAGE | address & (PAGE - 1) if tce & right else None

    # What the guest does

    def _set(self, ioba: int, tce: int) -> int:
        index = ioba >> PAGE_SHIFT
        if index >= ENTRIES:
            self.events.report("tce_bounds", "put_tce_emu: spapr_vio_put_tce", ioba & -PAGE)
            return int(H.PARAMETER)
        if tce:
            self.entries[index] = tce
        else:
            self.entries.pop(index, None)
        return int(H.SUCCESS)

    def h_get_tce(self, ioba: int) -> tuple[int, ...]:
        """H_GET_TCE."""
        index = ioba >> PAGE_SHIFT
        if index < ENTRIES:
            return int(H.SUCCESS), self.entries.get(index, 0)
        self.events.report("tce_bounds", "get_tce_emu: spapr_iommu_get_tce", ioba & -PAGE)
        return (int(H.PARAMETER),)

    def h_put_tce(self, ioba: int, tce: int) -> tuple[int, ...]:
        """H_PUT_TCE."""
        return (self._set(ioba, tce),)

    def h_stuff_tce(self, ioba: int, tce: int, count: int) -> tuple[int, ...]:
        """H_STUFF_TCE: one entry many times, until the table ends."""
        for page in range(min(count, ENTRIES + 1)):
            if status := self._set((ioba & -PAGE) + page * PAGE, tce):
                return (status,)
        return (int(H.SUCCESS),)

    def h_put_tce_indirect(self, ioba: int, table: int, count: int) -> tuple[int, ...]:
        """H_PUT_TCE_INDIRECT: entries from a page of guest memory."""
        if count > INDIRECT_MAX or table & (PAGE - 1):
            return (int(H.PARAMETER),)
        for page in range(count):
            if status := self._set((ioba & -PAGE) + page * PAGE, self.memory.load(table + TCE * page, TCE)):
                return (status,)
        return (int(H.SUCCESS),)

    def reset(self) -> None:
        """Forget all that was mapped."""
        self.entries.clear()


CALLS: dict[int, Callable[..., tuple[int, ...]]] = {
    row.opcode: getattr(DmaSpace, row.name.lower()) for row in TCE_HCALLS
}
"""What serves each hypercall, by its number."""
ARGUMENTS = {row.opcode: len(row.arguments) for row in TCE_HCALLS}


def hcall(space: DmaSpace, opcode: int, arguments: tuple[int, ...]) -> tuple[int, ...]:
    """Serve a hypercall about the entries of the table; its first argument says whose they are."""
    values = (*arguments, *(0,) * (ARGUMENTS[opcode] - len(arguments)))[: ARGUMENTS[opcode]]
    return CALLS[opcode](space, *values[1:]) if values[0] == space.liobn else (int(H.PARAMETER),)
