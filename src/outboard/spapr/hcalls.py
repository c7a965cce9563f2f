"""The H_INT hypercalls of the XIVE exploitation mode.

Sources: LoPAPR, "XIVE exploitation mode"; orders of checks as QEMU 7.2's pseries machine has them; what it does
otherwise than PAPR is switched by the flavour (`outboard.spapr.flavours`). A call that fails changes nothing.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import outboard.guest.words as words
from outboard.spapr.arguments import ALL_ONES
from outboard.spapr.events import shown, trace_name
from outboard.spec.papr import (
    ESB_BASE,
    HV_PRIORITY,
    NR_PRIORITIES,
    NVT_BASE,
    XIVE_HCALLS,
    GetQueueConfig,
    H,
    Hcall,
    IntEsb,
    QueueConfig,
    SetQueueConfig,
    SetSourceConfig,
    SourceInfo,
)
from outboard.spec.xive import EAS, END, END_QSIZE_SHIFT, EQ_SIZES, PRIORITY_NONE, SourceFlag

if TYPE_CHECKING:
    from outboard.spapr.xive import SpaprXive

Answer = tuple[int, ...]
"""Return code, then the results from R4 on; the code alone where the call fails or has none."""

# Checks, each false where it fails; the first failure decides.


def _lisn_ok(xive: "SpaprXive", lisn: int) -> bool:
    if lisn >= xive.nr_irqs:
        xive.events.report("hcall_unknown_lisn", lisn)
        return False
    if not EAS.valid.get(xive.router.read_eas(lisn)):
        xive.events.report("hcall_invalid_lisn", lisn)
        return False
    return True


def _target(xive: "SpaprXive", target: int) -> int:
    """Return the vCPU id that is meant, or -1 where there is none."""
    if xive.flavour.cuts_arguments:
        target &= 0xFFFFFFFF
    return target if xive.cpu_of(target) is not None else -1


def _priority(xive: "SpaprXive", priority: int) -> int:
    """Return the priority that is meant, or -1 where it is the hypervisor's."""
    meant = priority & 0xFF if xive.flavour.cuts_arguments else priority
    if meant < HV_PRIORITY:
        return meant
    xive.events.report("reserved_priority", priority - (1 << 64) if priority >> 63 else priority)
    return -1


def get_source_info(xive: "SpaprXive", cpu: int, flags: int, lisn: int) -> Answer:
    """H_INT_GET_SOURCE_INFO."""
    if flags:
        return (H.PARAMETER,)
    if not _lisn_ok(xive, lisn):
        return (H.P2,)
    source = xive.source
    says = SourceInfo.USE_H_INT_ESB | SourceInfo.LSI if source.is_lsi(lisn) else SourceInfo(0)
    says |= SourceInfo.STORE_EOI if source.flags & SourceFlag.STORE_EOI else SourceInfo(0)
    page = ESB_BASE + (lisn << source.shift)
    if xive.two_pages:
        trigger, management, shift = page, page + (1 << (source.shift - 1)), source.shift - 1
    else:
        says |= SourceInfo.TRIGGER_PAGE
        trigger, management, shift = ALL_ONES, page, source.shift
    if says & SourceInfo.USE_H_INT_ESB:
        trigger = management = ALL_ONES
    return H.SUCCESS, int(says), management, trigger, shift


def set_source_config(
    xive: "SpaprXive", cpu: int, flags: int, lisn: int, target: int, priority: int, eisn: int
) -> Answer:
    """H_INT_SET_SOURCE_CONFIG."""
    if flags & ~sum(SetSourceConfig):
        return (H.PARAMETER,)
    if not _lisn_ok(xive, lisn):
        return (H.P2,)
    if priority == PRIORITY_NONE:
        xive.mask(lisn)
        return (H.SUCCESS,)
    if (priority := _priority(xive, priority)) < 0:
        return (H.P4,)
    if (target := _target(xive, target)) < 0:
        return (H.P3,)
    eas = EAS(xive.router.read_eas(lisn)).replace(
        masked=flags & SetSourceConfig.MASK, end_block=0, end_index=xive.end_index(target, priority)
    )
    if flags & SetSourceConfig.SET_EISN:
        eas = eas.replace(end_data=eisn)
    xive.router.set_eas(lisn, eas.words[0])
    return (H.SUCCESS,)


def get_source_config(xive: "SpaprXive", cpu: int, flags: int, lisn: int) -> Answer:
    """H_INT_GET_SOURCE_CONFIG."""
    if flags:
        return (H.PARAMETER,)
    if not _lisn_ok(xive, lisn):
        return (H.P2,)
    eas = EAS(xive.router.read_eas(lisn))
    if xive.flavour.config_from_queue:
        end = xive.router.read_end(eas.end_index)
        target, priority = (end.nvt_index - NVT_BASE) & 0xFFFFFFFF, end.priority
    else:
        target, priority = divmod(eas.end_index, NR_PRIORITIES)
    return H.SUCCESS, target, PRIORITY_NONE if eas.masked else priority, eas.end_data


def _queue(xive: "SpaprXive", target: int, priority: int) -> tuple[int, int, int]:
    """Check what all queue calls check; return the error or 0, target, priority."""
    if (priority := _priority(xive, priority)) < 0:
        return H.P3, 0, 0
    if (target := _target(xive, target)) < 0:
        return H.P2, 0, 0
    return 0, target, priority


def get_queue_info(xive: "SpaprXive", cpu: int, flags: int, target: int, priority: int) -> Answer:
    """H_INT_GET_QUEUE_INFO."""
    if flags:
        return (H.PARAMETER,)
    error, target, priority = _queue(xive, target, priority)
    if error:
        return (error,)
    index = xive.end_index(target, priority)
    end = xive.router.read_end(index)
    page = xive.bus.end_base + (index << (xive.ends.shift + 1))
    return H.SUCCESS, page, end.qsize + END_QSIZE_SHIFT if end.enqueue else 0


def set_queue_config(
    xive: "SpaprXive", cpu: int, flags: int, target: int, priority: int, qpage: int, qsize: int
) -> Answer:
    """H_INT_SET_QUEUE_CONFIG."""
    if flags & ~sum(SetQueueConfig):
        return (H.PARAMETER,)
    error, target, priority = _queue(xive, target, priority)
    if error:
        return (error,)
    index = xive.end_index(target, priority)
    if qsize == 0:
        xive.router.reset_end(index)
        return (H.SUCCESS,)
    if error := _eq_error(xive, qpage, qsize):
        return (error,)
    old = xive.router.read_end(index)
    end = END.make(
        enqueue=1,
        valid=1,
        ucond_notify=flags & SetQueueConfig.ALWAYS_NOTIFY,
        qsize=qsize - END_QSIZE_SHIFT,
        generation=1,
        op_desc_hi=qpage >> 32,
        op_desc_lo=qpage,
        nvt_index=NVT_BASE + target,
        priority=priority,
    )
    kept = old.words[0] & ~(END.ucond_notify.mask | END.qsize.mask)
    w0, w1, w2, w3, _, _, w6, w7 = end.words
    xive.router.set_end(index, END(kept | w0, w1, w2, w3, *old.words[4:6], w6, w7))
    return (H.SUCCESS,)


def _eq_error(xive: "SpaprXive", qpage: int, qsize: int) -> int:
    if qsize not in EQ_SIZES:
        xive.events.report("eq_size", qsize)
        return H.P5
    if qpage & ((1 << qsize) - 1):
        xive.events.report("eq_unaligned", qpage, 1 << qsize)
        return H.P4
    if not xive.memory.holds(qpage, 1 << qsize):
        xive.events.report("eq_unmapped", qpage)
        return H.P4
    return 0


def get_queue_config(xive: "SpaprXive", cpu: int, flags: int, target: int, priority: int) -> Answer:
    """H_INT_GET_QUEUE_CONFIG."""
    if flags & ~sum(GetQueueConfig):
        return (H.PARAMETER,)
    error, target, priority = _queue(xive, target, priority)
    if error:
        return (error,)
    end = xive.router.read_end(xive.end_index(target, priority))
    says = int(QueueConfig.ALWAYS_NOTIFY) if end.ucond_notify else 0
    index = 0
    if flags & GetQueueConfig.DEBUG:
        says |= end.generation << 62 if xive.flavour.generation_from_lsb else end.generation * QueueConfig.GENERATION
        index = end.page_off
    if not end.enqueue:
        return H.SUCCESS, says, 0, 0, index
    return H.SUCCESS, says, end.op_desc_hi << 32 | end.op_desc_lo, end.qsize + END_QSIZE_SHIFT, index


def set_os_reporting_line(xive: "SpaprXive", cpu: int, flags: int, reporting_line: int) -> Answer:
    """H_INT_SET_OS_REPORTING_LINE, of the calling vCPU."""
    if not xive.flavour.has_reporting_line:
        return (H.FUNCTION,)
    if flags:
        return (H.PARAMETER,)
    if reporting_line & 0xFF or (reporting_line and not xive.memory.holds(reporting_line, 256)):
        return (H.P2,)
    xive.reporting_lines[cpu] = reporting_line or ALL_ONES
    return (H.SUCCESS,)


def get_os_reporting_line(xive: "SpaprXive", cpu: int, flags: int, target: int) -> Answer:
    """H_INT_GET_OS_REPORTING_LINE; all ones where none was set."""
    if not xive.flavour.has_reporting_line:
        return (H.FUNCTION,)
    if flags:
        return (H.PARAMETER,)
    if (target := _target(xive, target)) < 0:
        return (H.P2,)
    index = xive.cpu_of(target)
    assert index is not None
    return H.SUCCESS, xive.reporting_lines[index]


def esb(xive: "SpaprXive", cpu: int, flags: int, lisn: int, offset: int, data: int) -> Answer:
    """H_INT_ESB."""
    if flags & ~sum(IntEsb):
        return (H.PARAMETER,)
    if not _lisn_ok(xive, lisn) or not (xive.flavour.esb_for_any_source or xive.source.is_lsi(lisn)):
        return (H.P2,)
    page = 1 << (xive.source.shift - 1 if xive.two_pages else xive.source.shift)
    if offset > 1 << xive.source.shift or (not xive.flavour.esb_reaches_neighbour and offset >= page):
        return (H.P3,)
    addr = ESB_BASE + (lisn << xive.source.shift) + (page if xive.two_pages else 0) + offset
    value, bus = ALL_ONES, xive.bus
    bus.fault = False
    if flags & IntEsb.STORE:
        bus.device_store(cpu, addr, words.swap(data, 8) if xive.swaps else data)
    else:
        value = bus.device_load(cpu, addr)
    if bus.fault:
        xive.events.report("esb_failed", addr)
        return (H.HARDWARE,)
    return H.SUCCESS, words.swap(value, 8) if xive.swaps else value


def sync(xive: "SpaprXive", cpu: int, flags: int, lisn: int) -> Answer:
    """H_INT_SYNC; all that came before has arrived."""
    if flags:
        return (H.PARAMETER,)
    return (H.SUCCESS if _lisn_ok(xive, lisn) else H.P2,)


def reset(xive: "SpaprXive", cpu: int, flags: int) -> Answer:
    """H_INT_RESET."""
    if flags:
        return (H.PARAMETER,)
    if xive.flavour.reset_resets:
        xive.reset_routing()
    return (H.SUCCESS,)


HANDLERS: dict[int, tuple[Hcall, Callable[..., Answer], str, int]] = {
    row.opcode: (row, globals()[row.name.removeprefix("H_INT_").lower()], trace_name(row), len(shown(row)))
    for row in XIVE_HCALLS
}
"""Hypercall rows with what serves them, their trace event, and how many arguments it shows."""


def dispatch(xive: "SpaprXive", cpu: int, problem_state: bool, opcode: int, arguments: tuple[int, ...]) -> Answer:
    """Serve a hypercall; `arguments` are R4 and up, those left out are 0."""
    if problem_state:
        return (int(H.PRIVILEGE),)
    found = HANDLERS.get(opcode)
    if found is None:
        xive.events.report("unknown_hcall", opcode)
        return (int(H.FUNCTION),)
    row, serve, event, told = found
    wanted = len(row.arguments)
    values = arguments[:wanted] + (0,) * (wanted - len(arguments))
    xive.events.report(event, *values[:told])
    if not xive.negotiated:
        return (int(H.FUNCTION),)
    return tuple(int(value) for value in serve(xive, cpu, *values))
