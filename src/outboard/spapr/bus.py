"""Guest-physical addresses of a pseries machine, as far as its interrupt controller goes: ESB pages, TIMA, memory.

Source: QEMU docs/specs/ppc-spapr-xive; what QEMU 7.2's memory layer does with sizes and alignments that a device does
not take. A wrong access is logged and has no effect; a load then gives 0. No machine check is ever raised.
"""

from outboard.guest.memory import GuestMemory
from outboard.spec.papr import END_ESB_SIZE, ESB_BASE, TIMA_BASE
from outboard.spec.xive import ESB_ACCESS_SIZE, PAGE_64K_SHIFT, TIMA_SIZE, View
from outboard.xive import end_source, source
from outboard.xive.end_source import EndSource
from outboard.xive.events import Events
from outboard.xive.source import Source
from outboard.xive.tima import Tima

TIMA_OS = TIMA_BASE + (View.OS << PAGE_64K_SHIFT)
"""The page that an OS uses."""
_ESB_BASE, _TIMA_BASE, _TIMA_SIZE = ESB_BASE, TIMA_BASE, TIMA_SIZE
_END_SIZE = END_ESB_SIZE
_ESB_ACCESS = ESB_ACCESS_SIZE
_ALL_ONES = 0xFFFFFFFF_FFFFFFFF
_ESB_NAME, _END_NAME, _TIMA_NAME = source.REGION, end_source.REGION, "xive.tima"


class Bus:
    """The address space. esb_on, tima_on, end_esb_on: which regions are there; fault: the last access hit none, or one
    that does not take its size."""

    def __init__(self, sources: Source, tima: Tima, ends: EndSource, memory: GuestMemory, events: Events) -> None:
        self.source = sources
        self.tima = tima
        self.ends = ends
        self.memory = memory
        self.events = events
        self.esb_on = self.tima_on = self.end_esb_on = False
        self.fault = False
        self.end_base = _ESB_BASE + sources.size
        self.mmio_end = _TIMA_BASE + _TIMA_SIZE

    def load(self, cpu: int, addr: int, size: int) -> int:
        """Load `size` bytes (1, 2, 4, 8), big-endian, as CPU number `cpu`."""
        if addr < _ESB_BASE or addr >= self.mmio_end:
            return self._load_memory(addr, size)
        if addr & (size - 1):
            return self._load_unaligned(cpu, addr, size)
        return self._load_mmio(cpu, addr, size)

    def store(self, cpu: int, addr: int, size: int, value: int) -> None:
        """Store `size` bytes (1, 2, 4, 8), big-endian, as CPU number `cpu`."""
        if addr < _ESB_BASE or addr >= self.mmio_end:
            self._store_memory(addr, size, value)
        elif addr & (size - 1):
            for at in range(size):
                self._store_mmio(cpu, addr + at, 1, value >> 8 * (size - 1 - at) & 0xFF)
        else:
            self._store_mmio(cpu, addr, size, value)

    def _load_memory(self, addr: int, size: int) -> int:
        value = self.memory.load(addr, size)
        if value == 0 and self.memory.find(addr) is None:
            self.refuse_unassigned("read", addr, size)
        return value

    def _store_memory(self, addr: int, size: int, value: int) -> None:
        if not self.memory.store(addr, size, value):
            self.refuse_unassigned("write", addr, size)

    def _load_unaligned(self, cpu: int, addr: int, size: int) -> int:
        """Merge two aligned loads, as the processor of QEMU 7.2 does."""
        shift = 8 * (addr & (size - 1))
        low = addr & ~(size - 1)
        first = self._load_mmio(cpu, low, size)
        second = self._load_mmio(cpu, low + size, size)
        kept = first & ((1 << (8 * size - shift)) - 1)
        return kept << shift | second >> (8 * size - shift)

    def _load_mmio(self, cpu: int, addr: int, size: int) -> int:
        if self.esb_on and addr - _ESB_BASE < self.source.size:
            if size != _ESB_ACCESS:
                return self._refuse_size("read", addr - _ESB_BASE, size, _ESB_NAME)
            value = self.source.load(addr - _ESB_BASE)
            if self.events.on:
                self._tell_read(cpu, addr, size, value, _ESB_NAME)
            return value
        if self.tima_on and addr - _TIMA_BASE < _TIMA_SIZE and addr >= _TIMA_BASE:
            value = self.tima.load(cpu, addr - _TIMA_BASE, size)
            if self.events.on:
                self._tell_read(cpu, addr, size, value, _TIMA_NAME)
            return value & (_ALL_ONES >> (64 - 8 * size))
        return self._load_end(cpu, addr, size)

    def _load_end(self, cpu: int, addr: int, size: int) -> int:
        if not self.end_esb_on or addr < self.end_base or addr - self.end_base >= self.ends.size:
            self.refuse_unassigned("read", addr, size)
            return 0
        if size != _ESB_ACCESS:
            return self._refuse_size("read", addr - self.end_base, size, _END_NAME)
        value = self.ends.load(addr - self.end_base)
        if self.events.on:
            self._tell_read(cpu, addr, size, value, _END_NAME)
        return value

    def _store_mmio(self, cpu: int, addr: int, size: int, value: int) -> None:
        if self.esb_on and addr - _ESB_BASE < self.source.size:
            self._store_esb(cpu, addr, size, value)
        elif self.tima_on and addr - _TIMA_BASE < _TIMA_SIZE and addr >= _TIMA_BASE:
            if self.events.on:
                self._tell_write(cpu, addr, size, value, _TIMA_NAME)
            self.tima.store(cpu, addr - _TIMA_BASE, size, value)
        else:
            self._store_end(cpu, addr, size, value)

    def _store_esb(self, cpu: int, addr: int, size: int, value: int) -> None:
        if size != _ESB_ACCESS:
            self._refuse_size("write", addr - _ESB_BASE, size, _ESB_NAME)
        else:
            if self.events.on:
                self._tell_write(cpu, addr, size, value, _ESB_NAME)
            self.source.store(addr - _ESB_BASE, value)

    def _store_end(self, cpu: int, addr: int, size: int, value: int) -> None:
        if not self.end_esb_on or addr < self.end_base or addr - self.end_base >= self.ends.size:
            self.refuse_unassigned("write", addr, size)
        elif size != _ESB_ACCESS:
            self._refuse_size("write", addr - self.end_base, size, _END_NAME)
        else:
            if self.events.on:
                self._tell_write(cpu, addr, size, value, _END_NAME)
            self.ends.store(addr - self.end_base, value)

    def _tell_read(self, cpu: int, addr: int, size: int, value: int, name: str) -> None:
        self.events.report("memory_region_ops_read", cpu, addr, value, size, name)

    def _tell_write(self, cpu: int, addr: int, size: int, value: int, name: str) -> None:
        self.events.report("memory_region_ops_write", cpu, addr, value, size, name)

    def _refuse_size(self, direction: str, offset: int, size: int, name: str) -> int:
        self.fault = True
        if self.events.on:
            self.events.report("invalid_size", direction, offset, size, name, _ESB_ACCESS, _ESB_ACCESS)
        return 0

    def refuse_unassigned(self, direction: str, addr: int, size: int) -> None:
        """Log an access to an address where nothing is."""
        self.fault = True
        if self.events.on:
            self.events.report("unassigned", direction, addr, size)
