"""What guest drivers ask of an interrupt controller, XIVE or XICS, and what both keep of their sources.

Source: LoPAPR, "XIVE exploitation mode", "PowerPC External Interrupt Option"; masking as Linux's generic interrupt code
does it: a source is masked in hardware only when an event of it comes while nobody wants it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from outboard.errors import LocalError
from outboard.machine.cpu import Cpu
from outboard.spec.papr import H, RtasStatus

Handler = Callable[[Cpu, int], object]
"""Handle an interrupt, on the CPU that took it: its LISN."""
IpiHandler = Callable[[Cpu], object]
"""Handle an IPI on the CPU that got it."""


@dataclass
class Counters:
    """What was handled. sources: by LISN; ipis, spurious: by index of the CPU that took it.

    spurious: exceptions with nothing behind them. stale: events of sources that were freed meanwhile. held: events that
    came while their source was masked, and were kept.
    """

    sources: Counter[int] = field(default_factory=Counter)
    ipis: Counter[int] = field(default_factory=Counter)
    spurious: Counter[int] = field(default_factory=Counter)
    stale: int = 0
    held: int = 0


@dataclass
class Source:
    """A source that somebody requested. target: index of the CPU; masked: its handler is not to be called.

    held: an event came while it was masked. eisn: what its events say of themselves, in XIVE.
    """

    lisn: int
    handler: Handler
    lsi: bool
    target: Cpu
    masked: bool = False
    held: bool = False
    eisn: int = 0


class InterruptController(Protocol):
    """One interrupt controller as drivers see it.

    CPUs are given as the `Cpu` that does it first, and by index where another one is meant. Every call that names a
    source raises LocalError when nobody requested it. An event of a source calls its handler exactly once, whatever
    is masked, moved or taken offline meanwhile; events that come before the handler of the one before has returned may
    be handled together.
    """

    name: str
    counters: Counters
    on_ipi: IpiHandler

    def setup_cpu(self, cpu: Cpu) -> None:
        """Let interrupts come to the CPU that calls; also when it comes online again."""

    def stop_cpu(self, cpu: Cpu) -> None:
        """Take the CPU that calls offline: its sources move, events that wait for it follow them."""

    def request(self, cpu: Cpu, lisn: int, handler: Handler, lsi: bool = False, target: int | None = None) -> None:
        """Have a handler called for a source, on CPU `target`, by default the one that calls."""

    def free(self, cpu: Cpu, lisn: int) -> None:
        """Give a source up. Events that still wait are dropped."""

    def mask(self, cpu: Cpu, lisn: int) -> None:
        """Call a source's handler no more until `unmask`."""

    def unmask(self, cpu: Cpu, lisn: int) -> None:
        """Call a source's handler again, also for an event that came meanwhile; XICS calls it at once."""

    def set_affinity(self, cpu: Cpu, lisn: int, target: int) -> None:
        """Send a source's events to another CPU."""

    def send_ipi(self, cpu: Cpu, target: int) -> None:
        """Interrupt another CPU, or oneself."""

    def handle(self, cpu: Cpu) -> int:
        """Handle all interrupts that wait for the CPU that calls; return how many there were."""


class Table:
    """The sources that were requested, and the CPUs that are online."""

    def __init__(self) -> None:
        self.sources: dict[int, Source] = {}
        self.cpus: dict[int, Cpu] = {}
        """Online, by index."""

    def add(self, source: Source) -> None:
        """Note a request. Raises LocalError when the source has a handler already."""
        if source.lisn in self.sources:
            raise LocalError(f"LISN {source.lisn:#x} has a handler already")
        self.sources[source.lisn] = source

    def find(self, lisn: int) -> Source:
        """Return a source. Raises LocalError when nobody requested it."""
        if lisn not in self.sources:
            raise LocalError(f"LISN {lisn:#x} has no handler; request it first")
        return self.sources[lisn]

    def cpu(self, index: int) -> Cpu:
        """Return an online CPU. Raises LocalError when it is not online."""
        if index not in self.cpus:
            online = ", ".join(map(str, sorted(self.cpus))) or "none"
            raise LocalError(f"CPU {index} is not online; online: {online}")
        return self.cpus[index]

    def leave(self, cpu: Cpu) -> list[tuple[Source, Cpu]]:
        """Take a CPU out; return its sources, each with the CPU that it goes to.

        Raises LocalError when it is the last one.
        """
        self.cpu(cpu.index)
        left = [one for index, one in sorted(self.cpus.items()) if index != cpu.index]
        if not left:
            raise LocalError(f"CPU {cpu.index} is the last one online and stays")
        del self.cpus[cpu.index]
        leaving = [one for one in self.sources.values() if one.target.index == cpu.index]
        return [(one, left[at % len(left)]) for at, one in enumerate(leaving)]


def nothing(cpu: Cpu) -> None:
    """Handle an IPI by doing nothing: it woke its CPU."""


class Failed(LocalError):
    """A hypercall or an RTAS call that had to work did not. status: what it returned."""

    def __init__(self, call: str, status: int, names: type[H] | type[RtasStatus] = H) -> None:
        self.status = status
        name = f" ({names(status).name})" if status in names.__members__.values() else ""
        super().__init__(f"{call} returned {status}{name}")


def hcall(cpu: Cpu, name: str, opcode: int, *arguments: int) -> tuple[int, ...]:
    """Make a hypercall; return what it gives from R4 on. Raises Failed."""
    status, *results = cpu.hcall(opcode, *arguments)
    if status != H.SUCCESS:
        raise Failed(name, status)
    return tuple(results)
