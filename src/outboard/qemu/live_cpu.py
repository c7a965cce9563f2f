"""A CPU of a real QEMU, driven from outside: the `Cpu` of `machine.cpu`.

Sources: LoPAPR, "RTAS" (start-cpu, stop-self); tables of hypercalls in `spec.papr`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from outboard.errors import LocalError
from outboard.machine.ceding import CALLS as CEDING_CALLS
from outboard.machine.hypercalls import answer, opcode
from outboard.qemu.agent import IRQ_BEFORE, Do, Operation, Result
from outboard.qemu.agent.mailbox import LOADS, REGISTERS, STORES
from outboard.spapr.arguments import register
from outboard.spec.client_architecture import H_CAS
from outboard.spec.papr import CPU_RTAS_CALLS, RTAS_HCALL

if TYPE_CHECKING:
    from outboard.qemu.live import LiveMachine
    from outboard.qemu.live_memory import LiveMemory

ARGUMENTS = REGISTERS - 1
"""Of a hypercall, at most: R3 has its number."""
CPU_CALLS = {row.name: row.token for row in CPU_RTAS_CALLS}


def signed(value: int) -> int:
    """Return a register as a number with sign."""
    return value - (value >> 63 << 64)


def load(cpu: int, addr: int, size: int) -> Operation:
    """Return the operation that loads 1, 2, 4 or 8 bytes. Raises LocalError for other sizes."""
    if size not in LOADS:
        raise LocalError(f"an access has 1, 2, 4 or 8 bytes, not {size!r}")
    return Operation(LOADS[size], cpu, (addr,))


def store(cpu: int, addr: int, size: int, value: int) -> Operation:
    """Return the operation that stores 1, 2, 4 or 8 bytes. Raises LocalError as `load`, and when it has no room."""
    if size not in STORES:
        raise LocalError(f"an access has 1, 2, 4 or 8 bytes, not {size!r}")
    if not 0 <= value < 1 << 8 * size:
        raise LocalError(f"{value!r} does not fit {size} bytes")
    return Operation(STORES[size], cpu, (addr, value))


def hcall(cpu: int, opcode: int, *arguments: int) -> Operation:
    """Return the operation that makes a hypercall; arguments are R4 and up."""
    return Operation(Do.HCALL, cpu, (opcode, *arguments))


def rtas(cpu: int, token: int, arguments: tuple[int, ...], nret: int) -> Operation:
    """Return the operation that makes an RTAS call, its cells in the slot."""
    head = struct.pack(f">{3 + len(arguments)}I", token, len(arguments), nret, *arguments)
    return Operation(Do.HCALL, cpu, (RTAS_HCALL.opcode, 0), head + bytes(4 * nret))


def rtas_returned(result: Result, nret: int) -> tuple[int, ...]:
    """Return what an RTAS call of `rtas` returned: cells with sign."""
    return struct.unpack(f">{nret}i", result.cells[len(result.cells) - 4 * nret :])


class LiveCpu:
    """CPU number `index` of a machine. It is started when it is first used."""

    def __init__(self, machine: LiveMachine, index: int, vcpu_id: int) -> None:
        self._machine = machine
        self.index = index
        self.vcpu_id = vcpu_id

    @property
    def memory(self) -> LiveMemory:
        """The machine's RAM."""
        return self._machine.memory

    def _do(self, operation: Operation) -> Result:
        return self._machine.batch([operation])[0]

    def load(self, addr: int, size: int, /) -> int:
        """Load 1, 2, 4 or 8 bytes at a guest-physical address, big-endian."""
        return self._do(load(self.index, addr, size)).registers[0]

    def store(self, addr: int, size: int, value: int, /) -> None:
        """Store 1, 2, 4 or 8 bytes at a guest-physical address, big-endian."""
        self._do(store(self.index, addr, size, value))

    def irq(self) -> bool:
        """Return whether the external interrupt input is raised."""
        return self._do(Operation(Do.NOTHING, self.index)).flags & IRQ_BEFORE != 0

    def hcall(self, call: int | str, /, *arguments: int) -> tuple[int, ...]:
        """Make a hypercall, by number or name; arguments are R4 to R12. Return R3, signed, then its results.

        Of a call that fails there is R3 only; of one that no table has R4 to R12. Where a guest starts or stops
        CPUs by RTAS the agent stays what runs on them; see `LiveMachine.take_starts`. H_CEDE and its like are served
        here and not by QEMU: the agent's CPUs look for operations, and must not halt.
        """
        number, values = register(opcode(call)), tuple(map(register, arguments))[:ARGUMENTS]
        self._machine.resume(self.index)
        if number in CEDING_CALLS:
            return self._machine.ceding.serve(self.index, number, values)
        if number == H_CAS:
            self._machine.stop_others(self.index)
        elif number == RTAS_HCALL.opcode:
            special = self._machine.cpu_call(self, values[0] if values else 0)
            if special is not None:
                return (special,)
        status, *results = self._do(hcall(self.index, number, *values)).registers
        return answer(number, signed(status), tuple(results))

    def rtas(self, token: int, *arguments: int, nret: int = 1) -> tuple[int, ...]:
        """Make an RTAS call; its results, with sign: the status first."""
        return rtas_returned(self._do(rtas(self.index, token, arguments, nret)), nret)
