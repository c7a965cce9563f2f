"""Guest-physical addresses of the machine: RAM, the interrupt controller's pages, the windows of PCI.

Source: what QEMU 7.2's memory layer and processor do, where an access is not aligned by choice QEMU 10.0's. A wrong
access is told and has no effect; a load then gives 0.
"""

from outboard.guest.memory import GuestMemory
from outboard.machine.pseries.phb import Phb
from outboard.spapr.arguments import ALL_ONES
from outboard.spapr.bus import piece
from outboard.spapr.xive import SpaprXive
from outboard.spec.papr import ESB_BASE
from outboard.xive.events import Events

_ESB_BASE = ESB_BASE
"""No window of PCI is so high."""


class MachineBus:
    """The address space. xive: None where the machine has none. unaligned_in_pieces: as the controller's bus has it."""

    def __init__(
        self,
        memory: GuestMemory,
        xive: SpaprXive | None,
        phb: Phb,
        events: Events,
        *,
        unaligned_in_pieces: bool = False,
    ) -> None:
        self.memory = memory
        self.controller = xive.bus if xive else None
        self.phb = phb
        self.events = events
        self.unaligned_in_pieces = unaligned_in_pieces

    def load(self, cpu: int, addr: int, size: int) -> int:
        """Load `size` bytes, big-endian, as CPU number `cpu`."""
        region = self.memory.find(addr)
        if region is not None and size <= region.size - (addr - region.guest_addr):
            return self.memory.load(addr, size)
        if region is not None:  # it ends here
            return self._load_end(cpu, addr, size)
        if addr & (size - 1):
            return self._load_unaligned(cpu, addr, size)
        if addr < _ESB_BASE and self.phb.has(addr):
            return self.phb.load(addr, size)
        if self.controller is not None:
            return self.controller.load(cpu, addr, size)
        self.events.report("unassigned", "read", addr, size)
        return 0

    def store(self, cpu: int, addr: int, size: int, value: int) -> None:
        """Store `size` bytes, big-endian, as CPU number `cpu`."""
        if not self.memory.store(addr, size, value):
            self._store_elsewhere(cpu, addr, size, value)

    def _store_elsewhere(self, cpu: int, addr: int, size: int, value: int) -> None:
        if addr & (size - 1):
            self._store_unaligned(cpu, addr, size, value)
        elif addr < _ESB_BASE and self.phb.has(addr):
            self.phb.store(addr, size, value)
        elif self.controller is not None:
            self.controller.store(cpu, addr, size, value)
        else:
            self.events.report("unassigned", "write", addr, size)

    def _load_end(self, cpu: int, addr: int, size: int) -> int:
        """Load what begins in a region of RAM and is not all in it."""
        if not self.memory.holds(addr, size):
            return self._load_unaligned(cpu, addr, size)
        return self.memory.load(addr, size)

    def _load_unaligned(self, cpu: int, addr: int, size: int) -> int:
        """Merge two aligned loads, or aligned pieces."""
        if self.unaligned_in_pieces:
            return self._load_pieces(cpu, addr, size)
        bits = 8 * (addr & (size - 1))
        low = addr & -size
        first = self.load(cpu, low, size)
        second = self.load(cpu, (low + size) & ALL_ONES, size)
        return (first & (ALL_ONES >> (64 - 8 * size + bits))) << bits | second >> (8 * size - bits)

    def _load_pieces(self, cpu: int, addr: int, left: int) -> int:
        value = 0
        while left:
            size = piece(addr, left)
            value = value << 8 * size | self.load(cpu, addr & ALL_ONES, size)
            addr, left = addr + size, left - size
        return value

    def _store_unaligned(self, cpu: int, addr: int, left: int, value: int) -> None:
        """Store bytes, or aligned pieces."""
        while left:
            size = piece(addr, left) if self.unaligned_in_pieces else 1
            left -= size
            self.store(cpu, addr & ALL_ONES, size, value >> 8 * left & (1 << 8 * size) - 1)
            addr += size
