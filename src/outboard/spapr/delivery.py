"""The way of an event from the router to a vCPU, read from the tables: each place, and whether it lets events by.

Source: QEMU docs/specs/ppc-xive, "XIVE internal tables", "XIVE thread interrupt context"; the order of the steps as
QEMU 7.2's router and presenter have them. Nothing is changed, nobody is told.

Followed: whatever a guest, its devices and its firmware bring about. Not followed: ENDs with features that no hypercall
sets (escalation, backlog, user-level events); they are named.
"""

from typing import TYPE_CHECKING, NamedTuple

from outboard.spec.papr import NR_PRIORITIES, NVT_BASE
from outboard.spec.xive import (
    EAS,
    END,
    EQ_ENTRY_SIZE,
    NSR_EO,
    NVT_INDEX_BITS,
    PQ,
    PRIORITY_MAX,
    RING_SIZE,
    TCTX_SIZE,
    EqEntry,
    Reg,
    Ring,
    RingW2,
    ipb_bit,
    pipr_of,
)
from outboard.xive.pic import eq_address, eq_entries
from outboard.xive.presenter import EXTERNAL

if TYPE_CHECKING:
    from outboard.spapr.xive import SpaprXive

RECENT = 8
"""Entries of a queue that are searched for the EISN."""


class Step(NamedTuple):
    """One place on the way. blocks: an event that gets here goes no further."""

    place: str
    says: str
    blocks: bool = False


class Fate(NamedTuple):
    """What becomes of an event that leaves its source.

    entry: guest address and word that the event queue gets, or None; cpu: number of the vCPU whose external interrupt
    is up then, or None; stops: the place where the event stops instead, or "".
    """

    entry: tuple[int, int] | None
    cpu: int | None
    stops: str


def follow(xive: "SpaprXive", lisn: int) -> tuple[list[Step], Fate | None]:
    """Follow the tables as far as they lead; the first place that blocks is where an event ends."""
    eas = EAS(xive.router.read_eas(lisn))
    steps = [_eas(xive, eas)]
    if steps[-1].blocks:
        return steps, Fate(None, None, "EAS")
    end = xive.router.read_end(eas.end_index)
    steps.append(_end(eas, end))
    if steps[-1].blocks:
        return steps, Fate(None, None, "END")
    if strange := _strange(end):
        return [*steps, Step("END", f"has {strange}, which no hypercall sets: not explained")], None
    entry, step = _queue(xive, eas, end)
    steps += [step, _esn(xive, end), _vcpu(xive, end)]
    at = None
    if not steps[-1].blocks:
        at, step = _cam(xive, end)
        steps.append(step)
    if at is not None:
        steps += [_priority(xive, at, end.priority), _interrupt(xive, at)]
    stops = next((step.place for step in steps if step.blocks), "")
    return steps, Fate(entry, None if stops else at, stops)


def _eas(xive: "SpaprXive", eas: EAS) -> Step:
    route = f"{_end_name(eas)}, EISN {eas.end_data:#x}"
    if not eas.valid:
        return Step("EAS", "not valid, as the number is not claimed: an event is a guest error and lost", True)
    if eas.masked:
        kept = f"; it keeps its route to {route}" if eas.end_index or eas.end_data else ""
        return Step("EAS", f"masked: an event is lost here{kept}", True)
    if eas.end_index >= xive.router.nr_ends:
        return Step("EAS", f"routed to END {eas.end_index:#x}, which does not exist: an event is lost", True)
    return Step("EAS", f"routed to {route}")


def _end_name(eas: EAS) -> str:
    target, priority = divmod(eas.end_index, NR_PRIORITIES)
    return f"END {eas.end_index:#x} (target {target}, priority {priority})"


def _end(eas: EAS, end: END) -> Step:
    if not end.valid:
        return Step("END", f"{_end_name(eas)} is not configured: an event is a guest error and lost", True)
    return Step("END", "configured")


def _strange(end: END) -> str:
    names = [name for name in ("silent_escalate", "escalate_ctl", "backlog", "format") if getattr(end, name)]
    if end.ignore and not end.format:
        names.append("ignore")
    if end.priority > PRIORITY_MAX:
        names.append(f"priority {end.priority:#x}")
    return ", ".join(names)


def _queue(xive: "SpaprXive", eas: EAS, end: END) -> tuple[tuple[int, int] | None, Step]:
    if not end.enqueue:
        return None, Step("queue", "none: events are notified and not recorded")
    addr = eq_address(end) + EQ_ENTRY_SIZE * end.page_off
    says = f"{eq_entries(end)} entries at {eq_address(end):#x}; next is {end.page_off}, generation {end.generation}"
    if not xive.memory.holds(addr, EQ_ENTRY_SIZE):
        return None, Step("queue", f"{says}, which is no memory: an event is not recorded, and goes on")
    word = EqEntry.make(generation=end.generation, data=eas.end_data).words[0]
    return (addr, word), Step("queue", says + _recent(xive, eas, end))


def _recent(xive: "SpaprXive", eas: EAS, end: END) -> str:
    """Say how many of the entries of this round that were written last have the EISN."""
    count = min(end.page_off, RECENT)
    if not count:
        return "; no entry in this round yet"
    data = xive.memory.read(eq_address(end) + EQ_ENTRY_SIZE * (end.page_off - count), EQ_ENTRY_SIZE * count) or b""
    entries = [EqEntry.unpack_from(data, at) for at in range(0, len(data), EQ_ENTRY_SIZE)]
    found = sum(entry.data == eas.end_data for entry in entries)
    return f"; EISN {eas.end_data:#x} is in {found} of the last {count}"


def _esn(xive: "SpaprXive", end: END) -> Step:
    if end.ucond_notify:
        return Step("ESn", "not looked at: every event is notified")
    if end.esn == PQ.RESET:
        return Step("ESn", "00: the next event is notified, the ones after it only recorded")
    pages = ", or a load of its END ESB page" if xive.bus.end_esb_on else ""
    says = "nobody is notified until H_INT_SET_QUEUE_CONFIG configures the queue anew"
    return Step("ESn", f"{end.esn:02b}: {says}{pages}", True)


def _vcpu(xive: "SpaprXive", end: END) -> Step:
    target = end.nvt_index - NVT_BASE
    index = xive.cpu_of(target)
    if index is None:
        return Step("vCPU", f"target {target} is not plugged: an event is a guest error, nobody is notified", True)
    return Step("vCPU", f"target {target} is CPU {index}")


def _ring(xive: "SpaprXive", thread: int, ring: Ring) -> memoryview:
    start = thread * TCTX_SIZE + ring
    return xive.presenter.tables()["rings"][start : start + RING_SIZE]


def _word2(xive: "SpaprXive", thread: int, ring: Ring) -> RingW2:
    return RingW2.unpack_from(_ring(xive, thread, ring), Reg.W2)


def _cam(xive: "SpaprXive", end: END) -> tuple[int | None, Step]:
    """Find the thread whose OS ring has the CAM line; rings of the hardware threads never do, their lines are lower."""
    cam = end.nvt_block << NVT_INDEX_BITS | end.nvt_index
    found = []
    for thread, enabled in enumerate(xive.presenter.tables()["enabled"]):
        for ring in (Ring.POOL, Ring.OS):
            w2 = _word2(xive, thread, ring)
            if enabled and w2.valid and w2.cam == cam:
                found.append((thread, ring))
                break
    if not found:
        return None, Step("CAM", _why_nowhere(xive, end, cam) + ": nobody is notified, and no record is kept", True)
    if len(found) > 1:
        who = " and ".join(f"CPU {thread}" for thread, _ in found[:2])
        return None, Step("CAM", f"line {cam:#x} is on {who}: a guest error, nobody is notified", True)
    thread, ring = found[0]
    if ring is Ring.POOL:
        return None, Step("CAM", f"line {cam:#x} is on CPU {thread}'s POOL ring, which raises no interrupt", True)
    return thread, Step("CAM", f"line {cam:#x} is on CPU {thread}'s OS ring")


def _why_nowhere(xive: "SpaprXive", end: END, cam: int) -> str:
    index = xive.cpu_of(end.nvt_index - NVT_BASE)
    assert index is not None
    w2 = _word2(xive, index, Ring.OS)
    if not w2.valid:
        return f"line {cam:#x} is on no CPU, as the OS context of CPU {index} is pulled"
    return f"line {cam:#x} is on no CPU, as CPU {index} has line {w2.cam:#x}"


def _priority(xive: "SpaprXive", thread: int, priority: int) -> Step:
    """Compare as the delivery does: it adds the priority to the IPB, and the most favoured of all decides."""
    cells = _ring(xive, thread, Ring.OS)
    cppr, ipb = cells[Reg.CPPR], cells[Reg.IPB]
    pipr = pipr_of(ipb | ipb_bit(priority))
    which = f"priority {pipr}" if pipr == priority else f"priority {pipr}, pending and more favoured than {priority},"
    says = f"{cppr:#04x}, IPB {ipb:#04x}: {which}"
    if pipr < cppr:
        return Step("CPPR", f"{says} gets through")
    return Step("CPPR", f"{says} is held back, and waits in the IPB for a CPPR above it", True)


def _interrupt(xive: "SpaprXive", thread: int) -> Step:
    nsr = _ring(xive, thread, Ring.OS)[Reg.NSR]
    up = xive.presenter.tables()["lines"][thread] & EXTERNAL
    line = "up" if up else "down"
    if nsr & NSR_EO:
        says = f"CPU {thread} has an exception that it has not acknowledged, its external interrupt is {line}"
    else:
        says = f"CPU {thread} has no exception, its external interrupt is {line}"
    return Step("interrupt", says)
