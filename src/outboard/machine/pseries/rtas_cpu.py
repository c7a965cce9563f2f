"""RTAS calls about CPUs: one starts another, or stops itself.

Source: LoPAPR, "SMP Support"; checks and answers as QEMU 7.2 has them.
"""

from typing import TYPE_CHECKING

from outboard.spapr.rtas import Request
from outboard.spec.papr import RtasStatus

if TYPE_CHECKING:
    from outboard.machine.pseries.machine import PseriesMachine

Results = tuple[int, ...]
_PARAMETER = (int(RtasStatus.PARAMETER_ERROR),)
STOPPED, RUNNING = 0, 2
"""What query-cpu-stopped-state says."""


def query_cpu_stopped_state(machine: "PseriesMachine", cpu: int, request: Request) -> Results:
    """query-cpu-stopped-state."""
    index = machine.cpu_of(request.arguments.load(0))
    if (request.nargs, request.nret) != (1, 2) or index is None:
        return _PARAMETER
    return RtasStatus.SUCCESS, STOPPED if machine.is_halted(index) else RUNNING


def start_cpu(machine: "PseriesMachine", cpu: int, request: Request) -> Results:
    """start-cpu: where it begins, and its R3."""
    vcpu_id, address, argument = (request.arguments.load(at) for at in range(3))
    index = machine.cpu_of(vcpu_id)
    if (request.nargs, request.nret) != (3, 1) or index is None:
        return _PARAMETER
    if not machine.is_halted(index):
        return (RtasStatus.HARDWARE_ERROR,)
    machine.start_cpu(index, address, argument)
    return (RtasStatus.SUCCESS,)


def stop_self(machine: "PseriesMachine", cpu: int, request: Request) -> Results:
    """stop-self; it does not return, so there is no status."""
    machine.stop_cpu(cpu)
    return ()
