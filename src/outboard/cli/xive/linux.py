"""What Linux does with the controller at its start, so that a person sees interrupts at once."""

from collections.abc import Iterator

from outboard.cli.xive.hcall import code_name
from outboard.cli.xive.session import Session
from outboard.errors import LocalError
from outboard.spapr.cpu import Cpu
from outboard.spec.papr import SetQueueConfig, SetSourceConfig
from outboard.spec.xive import PRIORITY_NONE, EsbLoad

PRIORITY = 6
QUEUE_SHIFT = 16
QUEUE_BASE = 0x100_0000
IPI_EISN = 0x10
SHOWN = 8
"""CPUs that are told of one by one."""


def setup(session: Session, words: list[str]) -> Iterator[str]:
    """Give every CPU a queue, and its IPI a place there."""
    if words:
        raise LocalError("usage: setup")
    session.xive.negotiated = True
    for done, index in enumerate(session.xive.order):
        line = _setup_cpu(session.xive.cpu(index))
        if done < SHOWN:
            yield line
    if len(session.xive.order) > SHOWN:
        yield f"... and so on for all {len(session.xive.order)} CPUs"


def _setup_cpu(cpu: Cpu) -> str:
    target = cpu.vcpu_id
    page = (QUEUE_BASE + (cpu.index << QUEUE_SHIFT)) % cpu.xive.memory.regions[0].size
    always, sets_eisn = int(SetQueueConfig.ALWAYS_NOTIFY), int(SetSourceConfig.SET_EISN)
    queue_code = cpu.hcall("H_INT_SET_QUEUE_CONFIG", always, target, PRIORITY, page, QUEUE_SHIFT)[0]
    route_code = cpu.hcall("H_INT_SET_SOURCE_CONFIG", sets_eisn, target, target, PRIORITY, IPI_EISN)[0]
    cpu.set_cppr(PRIORITY_NONE)
    cpu.esb(target, EsbLoad.SET_PQ_00)
    queue = f"queue of priority {PRIORITY} at {page:#x}" if queue_code == 0 else f"no queue, {code_name(queue_code)}"
    ipi = f"IPI {target:#x} sends EISN {IPI_EISN:#x}" if route_code == 0 else f"no IPI, {code_name(route_code)}"
    return f"cpu {cpu.index}, target {target}: {queue}, {ipi}, CPPR {PRIORITY_NONE:#x}"
