"""Remember who ran where: the last calls that contexts made, and what happened to those who called.

It listens to `aio.observe` while it is in use. Its memory is bounded: beyond the limit the oldest calls are forgotten.
"""

import threading
from collections import deque
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from outboard.aio import observe
from outboard.aio.coroutine import Task
from outboard.errors import LocalError

LIMIT = 100_000
MARKS_LIMIT = 10_000


class Lane(NamedTuple):
    """A context in a thread; one context may have had several. thread: in words."""

    context: str
    thread: str


class Span(NamedTuple):
    """A call. what: as `observe.Ran`. name: what was called, a coroutine's name where it was a step of one."""

    lane: Lane
    what: str
    name: str
    begin_ns: int
    end_ns: int


class Mark(NamedTuple):
    """What happened to something. what: "drained" from begin to end, or "moved". context, to: where from, where to."""

    what: str
    name: str
    context: str
    to: str
    begin_ns: int
    end_ns: int


@dataclass(frozen=True)
class Timeline:
    """What was recorded from begin to end, each list in the order of its begins. forgotten: calls, to the limit."""

    begin_ns: int
    end_ns: int
    spans: tuple[Span, ...]
    marks: tuple[Mark, ...] = ()
    forgotten: int = 0

    @property
    def lanes(self) -> list[Lane]:
        """All that something ran in, by name."""
        return sorted({span.lane for span in self.spans})

    def part(self, begin_ns: int, end_ns: int) -> "Timeline":
        """Return what has to do with a time."""
        return Timeline(
            begin_ns,
            end_ns,
            tuple(one for one in self.spans if one.begin_ns < end_ns and one.end_ns > begin_ns),
            tuple(one for one in self.marks if one.begin_ns <= end_ns and one.end_ns >= begin_ns),
        )


def timeline(spans: list[Span], marks: list[Mark], forgotten: int = 0) -> Timeline:
    """Put in order what was recorded; it goes from the first begin to the last end."""
    begins = [span.begin_ns for span in spans] + [mark.begin_ns for mark in marks]
    ends = [span.end_ns for span in spans] + [mark.end_ns for mark in marks]
    return Timeline(
        min(begins, default=0),
        max(ends, default=0),
        tuple(sorted(spans, key=lambda span: (span.begin_ns, -span.end_ns))),
        tuple(sorted(marks, key=lambda mark: mark.begin_ns)),
        forgotten,
    )


def name_of(call: object) -> str:
    """Return what is called, in a word: a coroutine or a function by its name, what stands inside one by that one's.

    A coroutine that is a function of a module has that before its name.
    """
    while isinstance(call, partial):
        call = call.func
    owner = getattr(call, "__self__", None)
    if isinstance(owner, Task):
        module = owner.module if owner.name.isidentifier() else ""
        return (f"{module}.{owner.name}" if module else owner.name).partition(".<locals>")[0]
    return str(getattr(call, "__qualname__", type(call).__name__)).partition(".<locals>")[0]


class Recorder:
    """Records while it is used in a `with` statement. From any thread. limit: calls that are remembered."""

    def __init__(self, limit: int = LIMIT) -> None:
        if limit < 1:
            raise LocalError(f"timeline: expected a limit of 1 call or more, got {limit}")
        self._spans: deque[Span] = deque(maxlen=limit)
        self._marks: deque[Mark] = deque(maxlen=MARKS_LIMIT)
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._mutex = threading.Lock()
        self._seen = 0

    def __enter__(self) -> Self:
        observe.listen(self._ran)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        observe.unlisten(self._ran)

    def _ran(self, ran: observe.Ran) -> None:
        lane = self._lanes.get((ran.context, ran.thread)) or self._lane(ran)
        span = Span(lane, ran.what, name_of(ran.call), ran.begin_ns, ran.end_ns)
        with self._mutex:
            self._seen += 1
            self._spans.append(span)

    def _lane(self, ran: observe.Ran) -> Lane:
        # The hook is called in the thread that ran; a simulated one has a number of its own.
        real = ran.thread == threading.get_ident()
        lane = Lane(ran.context, f"thread {threading.get_native_id()}" if real else f"simulated thread {ran.thread}")
        self._lanes[ran.context, ran.thread] = lane
        return lane

    def mark(self, mark: Mark) -> None:
        """Remember what happened, beside the calls."""
        with self._mutex:
            self._marks.append(mark)

    def timeline(self) -> Timeline:
        """Return what is remembered now; recording goes on."""
        with self._mutex:
            spans, marks, seen = list(self._spans), list(self._marks), self._seen
        return timeline(spans, marks, seen - len(spans))
