"""A CPU of a real QEMU, driven from outside: the `Cpu` of `machine.cpu`.

Sources: LoPAPR, "RTAS" (start-cpu, stop-self); tables of hypercalls in `spec.papr`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from outboard.errors import LocalError
from outboard.machine.ceding import CALLS as CEDING_CALLS
from outboard.qemu.agent import IRQ_BEFORE, Do, Operation, Result
from outboard.qemu.agent.mailbox import LOADS, STORES
from outboard.spec.client_architecture import H_CAS
from outboard.spec.papr import CPU_HCALLS, CPU_RTAS_CALLS, RTAS_HCALL, XICS_HCALLS, XIVE_HCALLS

if TYPE_CHECKING:
    from outboard.qemu.live import LiveMachine
    from outboard.qemu.live_memory import LiveMemory

ROWS = {row.opcode: row for row in (*XIVE_HCALLS, *XICS_HCALLS, *CPU_HCALLS, RTAS_HCALL)}
OPCODES = {row.name: row.opcode for row in ROWS.values()} | {"H_CAS": H_CAS}
CPU_CALLS = {row.name: row.token for row in CPU_RTAS_CALLS}
SUCCESS = 0


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
        """Make a hypercall, by number or name; arguments are R4 and up. Return R3, signed, then its results.

        Of a call that fails there is R3 only; of one that no table has, all of R4 to R12. Where a guest starts or stops
        CPUs by RTAS the agent stays what runs on them; see `LiveMachine.take_starts`. H_CEDE and its like are served
        here and not by QEMU: the agent's CPUs look for operations, and must not halt.
        """
        if isinstance(call, str) and call not in OPCODES:
            raise LocalError(f"no hypercall {call!r}; there are {', '.join(OPCODES)}")
        opcode = OPCODES[call] if isinstance(call, str) else call
        self._machine.resume(self.index)
        if opcode in CEDING_CALLS:
            return self._machine.ceding.serve(self.index, opcode, arguments)
        if opcode == H_CAS:
            self._machine.stop_others(self.index)
        elif opcode == RTAS_HCALL.opcode and arguments:
            special = self._machine.cpu_call(self, arguments[0])
            if special is not None:
                return (special,)
        registers = self._do(hcall(self.index, opcode, *arguments)).registers
        status, row = signed(registers[0]), ROWS.get(opcode)
        if row is None:
            return status, *registers[1:]
        return status, *(registers[1 : 1 + len(row.results)] if status == SUCCESS else ())

    def rtas(self, token: int, *arguments: int, nret: int = 1) -> tuple[int, ...]:
        """Make an RTAS call; its results, with sign: the status first."""
        return rtas_returned(self._do(rtas(self.index, token, arguments, nret)), nret)
