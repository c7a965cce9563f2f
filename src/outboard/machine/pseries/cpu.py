"""A CPU of the machine: its loads, stores and hypercalls go where the machine has them."""

from typing import TYPE_CHECKING

from outboard.errors import LocalError
from outboard.guest.memory import GuestMemory
from outboard.machine.hypercalls import opcode
from outboard.spapr.arguments import ALL_ONES, register
from outboard.xive.presenter import EXTERNAL

if TYPE_CHECKING:
    from outboard.machine.pseries.machine import PseriesMachine

SIZES = (1, 2, 4, 8)
_EXTERNAL = EXTERNAL
_ALL_ONES = ALL_ONES


class Cpu:
    """CPU number `index`, as `machine.cpu.Cpu` has it. problem_state: whether MSR[PR] is set, which refuses hypercalls.

    Operations raise LocalError where no CPU could make them: sizes, addresses and values that there are not, and all of
    them while the CPU is stopped. Whatever else a guest does wrong is told by the machine's events and has no effect.
    """

    def __init__(self, machine: "PseriesMachine", index: int) -> None:
        self.machine = machine
        self.index = index
        self.vcpu_id = index * machine.irq.vsmt
        self.problem_state = False
        self.bus = machine.bus
        self._stopped = machine.stopped
        self._lines = machine.lines

    @property
    def memory(self) -> GuestMemory:
        """Guest RAM."""
        return self.bus.memory

    def load(self, addr: int, size: int) -> int:
        """Load `size` bytes (1, 2, 4, 8) at a guest-physical address, big-endian."""
        if not isinstance(addr, int) or not isinstance(size, int):
            raise _misuse(addr, size, 0)
        try:
            at, count = addr, size  # compiled, what no C integer holds is an OverflowError
        except OverflowError:
            raise _misuse(addr, size, 0) from None
        if (count != 1 and count != 2 and count != 4 and count != 8) or at < 0 or at > _ALL_ONES:
            raise _misuse(addr, size, 0)
        if self._stopped[self.index]:
            raise self._still()
        return self.bus.load(self.index, at, count)

    def store(self, addr: int, size: int, value: int) -> None:
        """Store `size` bytes (1, 2, 4, 8) at a guest-physical address, big-endian."""
        if not isinstance(addr, int) or not isinstance(size, int) or not isinstance(value, int):
            raise _misuse(addr, size, value)
        try:
            at, count, data = addr, size, value
        except OverflowError:
            raise _misuse(addr, size, value) from None
        if (count != 1 and count != 2 and count != 4 and count != 8) or at < 0 or at > _ALL_ONES:
            raise _misuse(addr, size, value)
        if data < 0 or data >> 4 * count >> 4 * count:
            raise _misuse(addr, size, value)
        if self._stopped[self.index]:
            raise self._still()
        self.bus.store(self.index, at, count, data)

    def irq(self) -> bool:
        """Return whether the external interrupt input is raised."""
        return self._lines[self.index] & _EXTERNAL != 0

    def _still(self) -> LocalError:
        ended = self.machine.ended
        why = f"the machine has ended: {ended.message}" if ended else "it is stopped"
        return LocalError(f"CPU {self.index} does nothing: {why}")

    def hcall(self, call: int | str, /, *arguments: int) -> tuple[int, ...]:
        """Make a hypercall, by number or name; arguments are R4 and up, those left out are 0.

        Return R3, signed, then the results from R4 on.
        """
        if self._stopped[self.index]:
            raise self._still()
        number = register(opcode(call))
        return self.machine.hcall(self, number, tuple(register(value) for value in arguments))


def _misuse(addr: object, size: object, value: object) -> LocalError:
    if size not in SIZES or isinstance(size, float):
        return LocalError(f"an access has 1, 2, 4 or 8 bytes, not {size!r}")
    if not isinstance(addr, int) or not 0 <= addr <= ALL_ONES:
        return LocalError(f"{addr!r} is no guest address; they go from 0 to 2**64 - 1")
    return LocalError(f"{value!r} does not fit {size} bytes")
