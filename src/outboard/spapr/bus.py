"""Guest-physical addresses of a pseries machine, as far as its interrupt controller goes: ESB pages, TIMA, memory.

Source: QEMU docs/specs/ppc-spapr-xive; what QEMU 7.2's memory layer does with sizes and alignments that a device does
not take, by switches what QEMU 10.0's does. A wrong access is logged and has no effect; a load then gives 0. No machine
check is ever raised.
"""

from outboard.guest.memory import PAGE_SIZE, GuestMemory
from outboard.spec.papr import ESB_BASE, TIMA_BASE
from outboard.spec.xive import ESB_ACCESS_SIZE, PAGE_64K_SHIFT, TIMA_SIZE, View
from outboard.xive import end_source, source
from outboard.xive.end_source import EndSource
from outboard.xive.events import Events
from outboard.xive.source import Source
from outboard.xive.tima import Tima

TIMA_OS = TIMA_BASE + (View.OS << PAGE_64K_SHIFT)
"""The page that an OS uses."""
_ESB_BASE, _TIMA_BASE = ESB_BASE, TIMA_BASE
_ESB_ACCESS = ESB_ACCESS_SIZE
_PAGE = PAGE_SIZE
_ALL_ONES = 0xFFFFFFFF_FFFFFFFF
_ESB_NAME, _END_NAME, _TIMA_NAME = source.REGION, end_source.REGION, "xive.tima"


def piece(addr: int, left: int) -> int:
    """Return the bytes of the next of the pieces of which an unaligned access is made, each page by itself."""
    page = _PAGE - (addr & (_PAGE - 1))
    bits = addr | (left if left < page else page) | 8
    return bits & -bits


class Bus:
    """The address space. esb_on, tima_on, end_esb_on: which regions are there; fault: an access hit none, or one that
    does not take its size. esb_of_any_size: ESB pages take 1, 2 and 4 bytes, too. unaligned_in_pieces: a CPU's
    access is cut into pieces that lie aligned. A CPU number of -1 is no CPU, which has no TIMA."""

    def __init__(
        self,
        sources: Source,
        tima: Tima,
        ends: EndSource,
        memory: GuestMemory,
        events: Events,
        *,
        esb_of_any_size: bool = False,
        unaligned_in_pieces: bool = False,
    ) -> None:
        self.source = sources
        self.tima = tima
        self.ends = ends
        self.memory = memory
        self.events = events
        self.esb_on = self.tima_on = self.end_esb_on = False
        self.fault = False
        self.esb_of_any_size = esb_of_any_size
        self.unaligned_in_pieces = unaligned_in_pieces
        self.end_base = _ESB_BASE + sources.size
        self.mmio_end = _TIMA_BASE + TIMA_SIZE

    # What a CPU does

    def load(self, cpu: int, addr: int, size: int) -> int:
        """Load `size` bytes (1, 2, 4, 8), big-endian, as CPU number `cpu`."""
        if addr < _ESB_BASE or addr >= self.mmio_end:
            return self._load_memory(cpu, addr, size)
        if addr & (size - 1):
            return self._load_unaligned(cpu, addr, size)
        return self._load_mmio(cpu, addr, size) & (_ALL_ONES >> (64 - 8 * size))

    def store(self, cpu: int, addr: int, size: int, value: int) -> None:
        """Store `size` bytes (1, 2, 4, 8), big-endian, as CPU number `cpu`."""
        if addr < _ESB_BASE or addr >= self.mmio_end:
            if not self.memory.store(addr, size, value):
                self._store_nowhere(cpu, addr, size, value)
        elif addr & (size - 1):
            self._store_unaligned(cpu, addr, size, value)
        else:
            self._store_mmio(cpu, addr, size, value)

    def _load_memory(self, cpu: int, addr: int, size: int) -> int:
        value = self.memory.load(addr, size)
        if value == 0:  # of memory, or of what is none, or begins or ends there
            if addr & (size - 1):
                return self._load_unaligned(cpu, addr, size)
            if self.memory.find(addr) is None:
                self._refuse_unassigned("read", addr, size)
        return value

    def _store_nowhere(self, cpu: int, addr: int, size: int, value: int) -> None:
        if addr & (size - 1):
            self._store_unaligned(cpu, addr, size, value)
        else:
            self._refuse_unassigned("write", addr, size)

    def _load_unaligned(self, cpu: int, addr: int, size: int) -> int:
        """Merge two aligned loads, as the processor of QEMU 7.2 does, or aligned pieces, as that of QEMU 10.0."""
        if self.unaligned_in_pieces:
            return self._load_pieces(cpu, addr, size)
        bits = 8 * (addr & (size - 1))
        low = addr & ~(size - 1)
        first = self.load(cpu, low, size)
        second = self.load(cpu, (low + size) & _ALL_ONES, size)
        return (first & (_ALL_ONES >> (64 - 8 * size + bits))) << bits | second >> (8 * size - bits)

    def _load_pieces(self, cpu: int, addr: int, left: int) -> int:
        """Load a value piece by piece. Where nothing is, QEMU 10.0's processor gives up; here the value is 0 then."""
        value = 0
        self.fault = False
        while left and not self.fault:
            size = piece(addr, left)
            value = value << 8 * size | self.load(cpu, addr & _ALL_ONES, size)
            addr += size
            left -= size
        return 0 if self.fault else value

    def _store_unaligned(self, cpu: int, addr: int, left: int, value: int) -> None:
        """Store byte by byte, as the processor of QEMU 7.2 does where it is not aligned, or in aligned pieces."""
        self.fault = False
        while left and not (self.fault and self.unaligned_in_pieces):
            size = piece(addr, left) if self.unaligned_in_pieces else 1
            left -= size
            self.store(cpu, addr & _ALL_ONES, size, value >> 8 * left & (_ALL_ONES >> (64 - 8 * size)))
            addr += size

    # What a device does

    def device_load(self, cpu: int, addr: int) -> int:
        """Load 8 bytes as a device does while CPU `cpu` waits: in pieces that lie aligned."""
        value, end = 0, addr + 8
        while addr < end:
            size = self._piece(addr, end - addr)
            value = value << 8 * size | self.load(cpu, addr, size)
            addr += size
        return value

    def device_store(self, cpu: int, addr: int, value: int) -> None:
        """Store 8 bytes as a device does while CPU `cpu` waits: in pieces that lie aligned."""
        end = addr + 8
        while addr < end:
            size = self._piece(addr, end - addr)
            self.store(cpu, addr, size, value >> 8 * (end - addr - size) & (_ALL_ONES >> (64 - 8 * size)))
            addr += size

    def _piece(self, addr: int, left: int) -> int:
        """Return the bytes of the next access; where nothing is, QEMU 7.2 makes none of 8."""
        size = 8 if self._name(addr) else 4
        while size > left or addr & (size - 1):
            size >>= 1
        return size

    # Devices

    def _name(self, addr: int) -> str:
        """Return the name of the region that has an address, or nothing."""
        if self.esb_on and _ESB_BASE <= addr < _ESB_BASE + self.source.size:
            return _ESB_NAME
        if self.tima_on and _TIMA_BASE <= addr < self.mmio_end:
            return _TIMA_NAME
        return _END_NAME if self.end_esb_on and self.end_base <= addr < self.end_base + self.ends.size else ""

    def _load_mmio(self, cpu: int, addr: int, size: int) -> int:
        if self.esb_on and addr - _ESB_BASE < self.source.size:
            if size != _ESB_ACCESS and not self.esb_of_any_size:
                return self._refuse_size("read", addr - _ESB_BASE, size, _ESB_NAME)
            value = self.source.load(addr - _ESB_BASE)
        elif self.tima_on and addr >= _TIMA_BASE and cpu >= 0:
            value = self.tima.load(cpu, addr - _TIMA_BASE, size)
        else:
            return self._load_end(cpu, addr, size)
        if self.events.on:
            self._tell("memory_region_ops_read", cpu, addr, size, value)
        return value

    def _load_end(self, cpu: int, addr: int, size: int) -> int:
        if self._name(addr) != _END_NAME:
            self._refuse_unassigned("read", addr, size)
            return 0
        if size != _ESB_ACCESS and not self.esb_of_any_size:
            return self._refuse_size("read", addr - self.end_base, size, _END_NAME)
        value = self.ends.load(addr - self.end_base)
        if self.events.on:
            self._tell("memory_region_ops_read", cpu, addr, size, value)
        return value

    def _store_mmio(self, cpu: int, addr: int, size: int, value: int) -> None:
        if self.esb_on and addr - _ESB_BASE < self.source.size:
            if size == _ESB_ACCESS or self.esb_of_any_size:
                if self.events.on:
                    self._tell("memory_region_ops_write", cpu, addr, size, value)
                self.source.store(addr - _ESB_BASE, value)
            else:
                self._refuse_size("write", addr - _ESB_BASE, size, _ESB_NAME)
        elif self.tima_on and addr >= _TIMA_BASE and cpu >= 0:
            if self.events.on:
                self._tell("memory_region_ops_write", cpu, addr, size, value)
            self.tima.store(cpu, addr - _TIMA_BASE, size, value)
        else:
            self._store_end(cpu, addr, size, value)

    def _store_end(self, cpu: int, addr: int, size: int, value: int) -> None:
        if self._name(addr) != _END_NAME:
            self._refuse_unassigned("write", addr, size)
        elif size != _ESB_ACCESS and not self.esb_of_any_size:
            self._refuse_size("write", addr - self.end_base, size, _END_NAME)
        else:
            if self.events.on:
                self._tell("memory_region_ops_write", cpu, addr, size, value)
            self.ends.store(addr - self.end_base, value)

    # What is told. Compiled, these go through the class's table, which keeps them out of the functions above.

    def _tell(self, event: str, cpu: int, addr: int, size: int, value: int) -> None:
        self.events.report(event, cpu, addr, value, size, self._name(addr))

    def _refuse_size(self, direction: str, offset: int, size: int, name: str) -> int:
        self.fault = True
        self.events.report("invalid_size", direction, offset, size, name, _ESB_ACCESS, _ESB_ACCESS)
        return 0

    def _refuse_unassigned(self, direction: str, addr: int, size: int) -> None:
        self.fault = True
        self.events.report("unassigned", direction, addr, size)
