"""Which part of the machine serves which hypercall. Those that there are not answer H_FUNCTION."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import outboard.machine.pseries.dma as dma
import outboard.spapr.rtas as rtas
import outboard.spapr.xics_hcalls as xics_hcalls
from outboard.machine.pseries.rtas_calls import CALLS
from outboard.spapr.cas import QemuEnds
from outboard.spec.client_architecture import H_CAS
from outboard.spec.papr import CPU_HCALLS, RTAS_HCALL, XICS_HCALLS, XIVE_HCALLS, H

if TYPE_CHECKING:
    from outboard.machine.pseries.cpu import Cpu
    from outboard.machine.pseries.machine import PseriesMachine

Answer = tuple[int, ...]
"""R3, signed, then results from R4 on."""
Serve = Callable[["PseriesMachine", "Cpu", int, tuple[int, ...]], Answer]


def _unknown(machine: "PseriesMachine", cpu: "Cpu", opcode: int, arguments: tuple[int, ...]) -> Answer:
    machine.events.report("unknown_hcall", opcode)
    return (int(H.FUNCTION),)


def _xive(machine: "PseriesMachine", cpu: "Cpu", opcode: int, arguments: tuple[int, ...]) -> Answer:
    if machine.irq.xive is None:
        return _unknown(machine, cpu, opcode, arguments)
    return machine.irq.xive.hcall(cpu.index, opcode, *arguments)


def _xics(machine: "PseriesMachine", cpu: "Cpu", opcode: int, arguments: tuple[int, ...]) -> Answer:
    return xics_hcalls.dispatch(machine, cpu.index, False, opcode, arguments)


def _rtas(machine: "PseriesMachine", cpu: "Cpu", opcode: int, arguments: tuple[int, ...]) -> Answer:
    return rtas.dispatch(machine, cpu.index, False, opcode, arguments, CALLS)


def _tce(machine: "PseriesMachine", cpu: "Cpu", opcode: int, arguments: tuple[int, ...]) -> Answer:
    return dma.hcall(machine.phb.dma, opcode, arguments)


def _cpus(machine: "PseriesMachine", cpu: "Cpu", opcode: int, arguments: tuple[int, ...]) -> Answer:
    return machine.ceding.serve(cpu.index, opcode, arguments)


def _cas(machine: "PseriesMachine", cpu: "Cpu", opcode: int, arguments: tuple[int, ...]) -> Answer:
    """Serve H_CAS. Where QEMU would end, the machine ends: no CPU does anything any more, and `ended` says why."""
    vectors, buffer, size = (*arguments, 0, 0, 0)[:3]
    others = any(not machine.is_halted(other.index) for other in machine.cpus if other is not cpu)
    answer = machine.cas.call(vectors, buffer, size, others_active=others)
    if isinstance(answer, QemuEnds):
        machine.end(answer)
        return (int(H.HARDWARE),)
    return (int(answer),)


SERVED: Mapping[int, Serve] = {
    **{row.opcode: _xive for row in XIVE_HCALLS},
    **{row.opcode: _xics for row in XICS_HCALLS},
    **dict.fromkeys(dma.CALLS, _tce),
    **{row.opcode: _cpus for row in CPU_HCALLS},
    RTAS_HCALL.opcode: _rtas,
    H_CAS: _cas,
}
"""What serves each hypercall, by its number."""


def serve(machine: "PseriesMachine", cpu: "Cpu", opcode: int, arguments: tuple[int, ...]) -> Answer:
    """Serve a hypercall of a CPU; numbers fit registers."""
    if cpu.problem_state:
        return (int(H.PRIVILEGE),)
    machine.ceding.wake(cpu.index)
    return SERVED.get(opcode, _unknown)(machine, cpu, opcode, arguments)
