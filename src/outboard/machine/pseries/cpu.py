"""A CPU of the machine: its loads, stores and hypercalls go where the machine has them."""

from typing import TYPE_CHECKING

from outboard.errors import LocalError
from outboard.guest.memory import GuestMemory
from outboard.spapr.arguments import ALL_ONES, register
from outboard.spec.client_architecture import H_CAS
from outboard.spec.papr import RTAS_HCALL, TCE_HCALLS, XICS_HCALLS, XIVE_HCALLS

if TYPE_CHECKING:
    from outboard.machine.pseries.machine import PseriesMachine

SIZES = (1, 2, 4, 8)
HCALLS = {row.name: row.opcode for row in (*XIVE_HCALLS, *XICS_HCALLS, *TCE_HCALLS, RTAS_HCALL)} | {"H_CAS": H_CAS}
"""Hypercalls by name."""


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

    @property
    def memory(self) -> GuestMemory:
        """Guest RAM."""
        return self.machine.memory

    def _running(self) -> None:
        if self.machine.is_stopped(self.index):
            why = f"the machine has ended: {self.machine.ended.message}" if self.machine.ended else "it is stopped"
            raise LocalError(f"CPU {self.index} does nothing: {why}")

    def load(self, addr: int, size: int, /) -> int:
        """Load `size` bytes (1, 2, 4, 8) at a guest-physical address, big-endian."""
        self._running()
        _check(addr, size)
        return self.machine.bus.load(self.index, addr, size)

    def store(self, addr: int, size: int, value: int, /) -> None:
        """Store `size` bytes (1, 2, 4, 8) at a guest-physical address, big-endian."""
        self._running()
        _check(addr, size)
        if not isinstance(value, int) or not 0 <= value < 1 << 8 * size:
            raise LocalError(f"{value!r} does not fit {size} bytes")
        self.machine.bus.store(self.index, addr, size, value)

    def irq(self) -> bool:
        """Return whether the external interrupt input is raised."""
        return self.machine.irq_raised(self.index)

    def hcall(self, call: int | str, /, *arguments: int) -> tuple[int, ...]:
        """Make a hypercall, by number or name; arguments are R4 and up, those left out are 0.

        Return R3, signed, then the results from R4 on.
        """
        self._running()
        if isinstance(call, str) and call not in HCALLS:
            raise LocalError(f"no hypercall {call!r}; there are {', '.join(HCALLS)}")
        opcode = register(HCALLS[call] if isinstance(call, str) else call)
        return self.machine.hcall(self, opcode, tuple(register(value) for value in arguments))


def _check(addr: int, size: int) -> None:
    if size not in SIZES:
        raise LocalError(f"an access has 1, 2, 4 or 8 bytes, not {size!r}")
    if not isinstance(addr, int) or not 0 <= addr <= ALL_ONES:
        raise LocalError(f"{addr!r} is no guest address; they go from 0 to 2**64 - 1")
