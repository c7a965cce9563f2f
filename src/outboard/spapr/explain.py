"""Where an event of a source stands, what its next one will do and why, in words.

Source: QEMU docs/specs/ppc-xive, "POWER9 XIVE interrupt controller". All is read from the tables (`delivery` has the
way from the router on); nothing is changed, nobody is told.
"""

from typing import TYPE_CHECKING, NamedTuple

from outboard.spapr import lisn as numbers
from outboard.spapr.arguments import source_number
from outboard.spapr.delivery import Fate, Step, follow
from outboard.spec.xive import EOI, PQ, TRIGGER, SourceFlag, SourceStatus

if TYPE_CHECKING:
    from outboard.spapr.xive import SpaprXive


class Next(NamedTuple):
    """What an action does to the source: PQ after it, and whether an event leaves."""

    pq: int
    leaves: bool


class Explanation(NamedTuple):
    """What `explain` found. fate: None where it is not explained; trigger: a store to the trigger page; line: its
    device raises the input (a pulse for an MSI); eoi: a load that ends the interrupt."""

    title: str
    steps: list[Step]
    fate: Fate | None
    trigger: Next
    line: Next
    eoi: Next
    verdict: list[str]

    def lines(self) -> list[str]:
        """Return the whole as text; `x` marks the places where an event would end."""
        width = max(len(step.place) for step in self.steps)
        path = [f"{'x' if step.blocks else ' '} {step.place:{width}}  {step.says}" for step in self.steps]
        return [self.title, *path, *(f"> {line}" for line in self.verdict)]


def explain(xive: "SpaprXive", lisn: int) -> Explanation:
    """Explain the source `lisn`. Raises LocalError when there is no such number."""
    lisn = source_number(lisn, xive.nr_irqs)
    source = _Source.of(xive, lisn)
    path, fate = follow(xive, lisn)
    trigger, line, eoi = source.triggered(), source.raised(), source.ended()
    actions = [("the next trigger" if not source.is_lsi else "a trigger by a store", trigger), ("an EOI", eoi)]
    if source.is_lsi and source.claimed:
        actions.insert(0, ("raising the input", line))
    verdict = [f"{name} {_does(source.pq, after, fate, xive)}" for name, after in actions]
    title = f"LISN {lisn:#x}, {numbers.use(lisn)}: {source.words()}"
    return Explanation(title, [*_pages(xive, source), source.step(), *path], fate, trigger, line, eoi, verdict)


# The source


class _Source(NamedTuple):
    claimed: bool
    is_lsi: bool
    pq: int
    high: bool
    mapped: bool
    takes_eoi: bool

    @classmethod
    def of(cls, xive: "SpaprXive", lisn: int) -> "_Source":
        status = SourceStatus(xive.source.tables()["status"][lisn] & 7)
        is_lsi = xive.source.is_lsi(lisn)
        unchecked = bool(xive.source.flags & SourceFlag.PQ_DISABLE) and not is_lsi
        high = bool(status.asserted) and is_lsi
        return cls(xive.is_claimed(lisn), is_lsi, status.p << 1 | status.q, high, xive.bus.esb_on, not unchecked)

    def words(self) -> str:
        claimed = "claimed" if self.claimed else "not claimed"
        return f"LSI, {claimed}, input {'high' if self.high else 'low'}" if self.is_lsi else f"MSI, {claimed}"

    def triggered(self) -> Next:
        return Next(TRIGGER[PQ(self.pq)], self.pq == PQ.RESET) if self.mapped else Next(self.pq, False)

    def raised(self) -> Next:
        if not self.claimed:
            return Next(self.pq, False)
        if self.is_lsi and self.pq != PQ.RESET:
            return Next(self.pq, False)
        return Next(TRIGGER[PQ(self.pq)], self.pq == PQ.RESET)

    def ended(self) -> Next:
        if not (self.mapped and self.takes_eoi):
            return Next(self.pq, False)
        after = EOI[PQ(self.pq)]
        if self.high:  # the level decides, and what Q held is not sent besides
            return Next(PQ.PENDING, True) if after == PQ.RESET else Next(after, False)
        return Next(after, self.pq == PQ.QUEUED)

    def step(self) -> Step:
        says = {
            PQ.RESET: "PQ 00: ready, an event sets P and leaves",
            PQ.OFF: "PQ 01: off, a trigger does nothing" + "; a load at offset 0xc00 makes it ready" * self.mapped,
            PQ.PENDING: "PQ 10: P is set, an EOI is awaited; until then a trigger only sets Q",
            PQ.QUEUED: "PQ 11: P is set, an EOI is awaited; Q holds one more event, further ones add nothing",
        }[PQ(self.pq)]
        if not self.takes_eoi:
            says = says.replace("an EOI is awaited", "but EOIs are refused here")
        if self.high and self.mapped and self.pq in (PQ.RESET, PQ.PENDING):
            says += "; as the input is high, an EOI sends an event"
        return Step("ESB", says, self.pq != PQ.RESET)


def _pages(xive: "SpaprXive", source: _Source) -> list[Step]:
    if source.mapped:
        return []
    return [Step("ESB pages", "not mapped: loads give 0, stores vanish", True)]


def _does(pq: int, after: Next, fate: Fate | None, xive: "SpaprXive") -> str:
    if not after.leaves:
        return f"{'leaves' if after.pq == pq else 'makes'} PQ {after.pq:02b} and sends nothing"
    return f"makes PQ {after.pq:02b} and sends an event, which {_becomes(fate, xive)}"


def _becomes(fate: Fate | None, xive: "SpaprXive") -> str:
    if fate is None:
        return "reaches an END that is not explained"
    parts = [f"writes {fate.entry[1]:#010x} at {fate.entry[0]:#x}"] if fate.entry else []
    if fate.cpu is None:
        parts.append(f"stops at the {fate.stops}")
    elif xive.cpus[fate.cpu].irq():
        parts.append(f"finds the external interrupt of CPU {fate.cpu} up already")
    else:
        parts.append(f"raises the external interrupt of CPU {fate.cpu}")
    return " and ".join(parts)
