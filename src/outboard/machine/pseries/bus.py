"""Guest-physical addresses of the machine: RAM, the interrupt controller's pages, the windows of PCI.

Source: what QEMU 7.2's memory layer and processor do. A wrong access is told and has no effect; a load then gives 0.
"""

from outboard.guest.memory import GuestMemory
from outboard.machine.pseries.phb import Phb
from outboard.spapr.arguments import ALL_ONES
from outboard.spapr.xive import SpaprXive
from outboard.xive.events import Events


class MachineBus:
    """The address space. xive: None where the machine has none."""

    def __init__(self, memory: GuestMemory, xive: SpaprXive | None, phb: Phb, events: Events) -> None:
        self.memory = memory
        self.controller = xive.bus if xive else None
        self.phb = phb
        self.events = events

    def load(self, cpu: int, addr: int, size: int) -> int:
        """Load `size` bytes, big-endian, as CPU number `cpu`."""
        if self.memory.find(addr) is not None:
            return self._load_ram(cpu, addr, size)
        if addr & (size - 1):
            return self._load_unaligned(cpu, addr, size)
        if self.phb.has(addr):
            return self.phb.load(addr, size)
        if self.controller:
            return self.controller.load(cpu, addr, size)
        self.events.report("unassigned", "read", addr, size)
        return 0

    def store(self, cpu: int, addr: int, size: int, value: int) -> None:
        """Store `size` bytes, big-endian, as CPU number `cpu`."""
        if self.memory.store(addr, size, value):
            return
        if addr & (size - 1):
            for at in range(size):
                self.store(cpu, (addr + at) & ALL_ONES, 1, value >> 8 * (size - 1 - at) & 0xFF)
        elif self.phb.has(addr):
            self.phb.store(addr, size, value)
        elif self.controller:
            self.controller.store(cpu, addr, size, value)
        else:
            self.events.report("unassigned", "write", addr, size)

    def _load_ram(self, cpu: int, addr: int, size: int) -> int:
        if self.memory.extents(addr, size) is None:  # it ends here
            return self._load_unaligned(cpu, addr, size)
        return self.memory.load(addr, size)

    def _load_unaligned(self, cpu: int, addr: int, size: int) -> int:
        """Merge two aligned loads."""
        bits = 8 * (addr & (size - 1))
        low = addr & -size
        first = self.load(cpu, low, size)
        second = self.load(cpu, (low + size) & ALL_ONES, size)
        return (first & (ALL_ONES >> (64 - 8 * size + bits))) << bits | second >> (8 * size - bits)
