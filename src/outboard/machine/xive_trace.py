"""A trace of QEMU's XIVE, read and replayed: the model gets what the log's machine got, and has to print the log.

Documents: QEMU, "Tracing" (the log backend) and qemu(1) `-trace`, `-d`, `-D`; the events of QEMU 7.2.

Modelled: logs of `-trace 'xive_*' -trace 'spapr_xive_*' -trace 'spapr_cas_*' -trace 'memory_region_ops_*'`, with what
`-d guest_errors,unimp` adds, of a pseries machine from its start. Claims, frees, inputs and hypercalls are given to the
model where they stand; so are accesses, by the `memory_region_ops_*` lines, which alone name the CPU. Lines of other
devices are passed over. Not modelled: resets and hot-plugged CPUs, of which there is no line; negotiation of XICS.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from outboard.errors import LocalError, OutboardError, ProtocolError
from outboard.guest.memory import GuestMemory
from outboard.spapr.cpu import SIZES
from outboard.spapr.events import FORMATS, shown, trace_name
from outboard.spapr.xive import SpaprXive
from outboard.spec.papr import IPIS, XIVE_HCALLS, Hcall
from outboard.xive import end_source, source
from outboard.xive.events import TRACE

REGIONS = (source.REGION, end_source.REGION, "xive.tima")
"""Memory regions of the controller; accesses to others are other devices'."""
RAM_SIZE = 1 << 30
READ, WRITE = "memory_region_ops_read", "memory_region_ops_write"
REFUSALS = ("invalid_size", "unassigned")
"""Accesses without effect. What makes them is not in the log, unless it is H_INT_ESB, which the model makes itself."""
CLAIM = "spapr_xive_claim_irq"
NEGOTIATED = "spapr_cas_continue"
_HCALLS = {trace_name(row): row for row in XIVE_HCALLS}
_CALLER_IS_WITHIN = 16
"""Lines after that of H_INT_ESB in which its access is looked for."""

_PREFIX = re.compile(r"(?:\d+@\d+\.\d+:)?")
_POINTER = re.compile(r" mr 0x[0-9a-f]+")
_CONVERSION = re.compile(r"%0?\d*([dxXs])")
_PATTERNS = {"d": r"(-?\d+)", "x": r"([0-9a-f]+)", "X": r"([0-9A-F]+)", "s": r"([^']+?)"}
_READERS: dict[str, Callable[[str], Any]] = {"d": int, "x": lambda digits: int(digits, 16), "s": str}


class Shape(NamedTuple):
    """What the lines of one event look like: a pattern with a group for each value, and how to read the groups."""

    pattern: re.Pattern[str]
    readers: tuple[Callable[[str], Any], ...]

    def values(self, text: str) -> tuple[Any, ...] | None:
        """Return the values of a line, or None when it is not of this shape."""
        found = self.pattern.fullmatch(text)
        return tuple(read(group) for read, group in zip(self.readers, found.groups(), strict=True)) if found else None


def _shape(event: str) -> Shape:
    form = FORMATS[event]
    pieces = _CONVERSION.split(f"{event} {form.text}" if form.kind == TRACE else form.text)
    pattern = "".join(_PATTERNS[piece] if at % 2 else re.escape(piece) for at, piece in enumerate(pieces))
    return Shape(re.compile(pattern), tuple(_READERS[letter.lower()] for letter in pieces[1::2]))


SHAPES = {event: _shape(event) for event in FORMATS}
_LOGGED = [event for event, form in FORMATS.items() if form.kind != TRACE]


class Entry(NamedTuple):
    """One line of a log. event: as the model names it, "" for a line that is none of the controller's.

    text: the line as the model would print it, without time and host pointer.
    """

    number: int
    event: str
    values: tuple[Any, ...]
    text: str


def read(lines: Iterable[str]) -> list[Entry]:
    """Read a log. Raises ProtocolError for a line that starts like an event of the controller and goes on otherwise."""
    return [_entry(number, line.rstrip("\r\n")) for number, line in enumerate(lines, 1)]


def _entry(number: int, line: str) -> Entry:
    text = line[_PREFIX.match(line).end() :]  # type: ignore[union-attr]  # matches always
    event = text.partition(" ")[0]
    if event == NEGOTIATED:
        return Entry(number, event, (), text)
    if event in (READ, WRITE):
        text = _POINTER.sub("", text, count=1)
    elif event not in FORMATS or FORMATS[event].kind != TRACE:
        return _logged(number, text)
    values = SHAPES[event].values(text)
    if values is None:
        raise ProtocolError(f"line {number}", f"`{event} {FORMATS[event].text}`", repr(line))
    ours = event not in (READ, WRITE) or values[-1] in REGIONS
    return Entry(number, event if ours else "", values, text)


def _logged(number: int, text: str) -> Entry:
    """Read a line that is no trace event: what the model logs of a guest's mistakes, or none of its business."""
    for event in _LOGGED if text.startswith(("XIVE: ", "Invalid ", "Unimplemented ")) else ():
        values = SHAPES[event].values(text)
        if values is not None:
            return Entry(number, event, values, text)
    return Entry(number, "", (), text)


def machine(
    entries: Iterable[Entry], cpus: int | None = None, vsmt: int = 1, memory: GuestMemory | None = None
) -> SpaprXive:
    """Return the machine at the start of a log: nothing is claimed or negotiated.

    cpus: how many it has; without a number all that there may be, which the log's claims of IPIs tell. vsmt: distance
    of their ids, 1 or more. memory: as much as the machine had, 1 GiB without it; a queue beyond it is refused.
    Raises ProtocolError for a log that does not begin with the machine.
    """
    servers = sum(entry.event == CLAIM and entry.values[0] <= IPIS.last for entry in entries)
    if not servers or servers % vsmt:
        raise ProtocolError("log", f"`{CLAIM}` for IPIs, a multiple of {vsmt}, as the machine starts", f"{servers}")
    max_cpus = servers // vsmt
    return SpaprXive(
        max_cpus if cpus is None else cpus,
        max_cpus=max_cpus,
        vsmt=vsmt,
        memory=memory,
        ram_size=RAM_SIZE,
        sources=(),
        negotiated=False,
    )


class Divergence(OutboardError):
    """The model does not print what QEMU printed.

    line: number in the log, one past its end when that is what it lacks; logged, printed: what stands there, and what
    the model printed instead, None for nothing.
    """

    def __init__(self, line: int, logged: str | None, printed: str | None) -> None:
        super().__init__(
            f"line {line}: the log has\n  {logged or '(ended)'}\nthe model prints\n  {printed or '(nothing)'}"
        )
        self.line = line
        self.logged = logged
        self.printed = printed


class Replay:
    """A log and the model that it is given to.

    xive: see `machine`; kinds: of the lines to compare, as `outboard.xive.events` has them. inputs, compared: how many
    inputs the model got, and how many lines it printed that were compared, so far.
    """

    def __init__(self, xive: SpaprXive, entries: Sequence[Entry], kinds: Collection[str] = (TRACE,)) -> None:
        self.xive = xive
        self.entries = entries
        self.kinds = kinds
        self.inputs = self.compared = 0
        self._at = 0  # entries before are done
        self._said = 0  # entries before were printed by the model, or need not be
        self._divergence: Divergence | None = None

    def run(self, lines: int | None = None) -> None:
        """Go on until `lines` lines of the log are done, without a number until its end.

        Raises Divergence at the first line that differs, ProtocolError for inputs that the machine cannot have.
        """
        end = len(self.entries) if lines is None else lines
        self.xive.events.listen(self._hear)
        try:
            while self._at < end:
                self._step(self.entries[self._at])
            self._expect_silence(end)
        finally:
            self.xive.events.unlisten(self._hear)

    def _step(self, entry: Entry) -> None:
        index = self._at
        self._at += 1
        perform = INPUTS.get(entry.event)
        if perform is None or index < self._said:
            return  # a line for the model to print, or one that it has printed
        if entry.event != READ:
            self._expect_silence(index)
        try:
            perform(self, entry)
        except LocalError as error:
            raise ProtocolError(f"line {entry.number}", "what the machine can be given", str(error)) from error
        if self._divergence:
            raise self._divergence
        self._expect_silence(self._at)
        self.inputs += 1

    # What the model prints

    def _is_due(self, entry: Entry) -> bool:
        """Return whether the model has to print an entry."""
        return entry.event in FORMATS and FORMATS[entry.event].kind in self.kinds and entry.event not in REFUSALS

    def _hear(self, event: str, values: tuple[Any, ...]) -> None:
        if FORMATS[event].kind not in self.kinds or self._divergence:
            return
        text = self.xive.events.line(event, values)
        for index in range(self._said, len(self.entries)):
            entry = self.entries[index]
            if entry.text == text:
                self._said = index + 1
                self.compared += 1
                return
            if self._is_due(entry) or (entry.event == NEGOTIATED and index >= self._at):
                self._divergence = Divergence(entry.number, entry.text, text)
                return
        self._divergence = Divergence(len(self.entries) + 1, None, text)

    def _expect_silence(self, end: int) -> None:
        """Raise Divergence when the model owes a line that the log has before `end`."""
        while self._said < end:
            entry = self.entries[self._said]
            if self._is_due(entry):
                raise Divergence(entry.number, entry.text, None)
            self._said += 1

    # Inputs

    def _claim(self, entry: Entry) -> None:
        self.xive.claim(entry.values[0], bool(entry.values[1]))

    def _free(self, entry: Entry) -> None:
        self.xive.free(entry.values[0])

    def _set_irq(self, entry: Entry) -> None:
        self.xive.set_irq(*entry.values)

    def _negotiate(self, entry: Entry) -> None:
        self.xive.negotiated = True
        self.xive.set_regions(esb_and_tima=True, end_esb=False)

    def _hcall(self, entry: Entry) -> None:
        row = _HCALLS[entry.event]
        cpu = self._caller() if row.name == "H_INT_ESB" else self.xive.order[0]
        self.xive.hcall(cpu, row.opcode, *_arguments(row, entry.values))

    def _caller(self) -> int:
        """Return the CPU of the access that an H_INT_ESB makes; without one, any."""
        for entry in islice(self.entries, self._at, self._at + _CALLER_IS_WITHIN):
            if entry.event in (READ, WRITE) and entry.values[0] >= 0:
                return int(entry.values[0])
        return self.xive.order[0]

    def _access(self, entry: Entry) -> None:
        cpu, addr, value, size, region = entry.values
        if size not in SIZES:
            raise LocalError(f"an access has 1, 2, 4 or 8 bytes, not {size}")
        if cpu >= 0:
            cpu = self.xive.cpu(cpu).index
        elif region == REGIONS[-1]:
            raise LocalError("an access to the TIMA by no CPU")
        if entry.event == READ:
            self.xive.bus.load(cpu, addr, size)
        else:
            self.xive.bus.store(cpu, addr, size, value)


def _arguments(row: Hcall, values: tuple[Any, ...]) -> list[int]:
    """Return the arguments of a hypercall in order; those that its line does not show are 0."""
    told = dict(zip(shown(row), values, strict=True))
    return [told.get(name, 0) for name in row.arguments]


INPUTS: dict[str, Callable[[Replay, Entry], None]] = {
    CLAIM: Replay._claim,
    "spapr_xive_free_irq": Replay._free,
    "spapr_xive_set_irq": Replay._set_irq,
    NEGOTIATED: Replay._negotiate,
    READ: Replay._access,
    WRITE: Replay._access,
} | dict.fromkeys(_HCALLS, Replay._hcall)
"""Events that are given to the model, and how."""
