"""Times of a timeline, counted: who had a thread to himself and when, and what part of each stretch that was."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from outboard.aio.timeline.recorder import Lane, Span, Timeline

OTHERS = "all others"


class Piece(NamedTuple):
    """A stretch in which one call ran itself, not one that it made."""

    name: str
    begin_ns: int
    end_ns: int


def pieces(spans: Sequence[Span]) -> list[Piece]:
    """Cut the calls of one thread, by their begins, where one makes another: every moment belongs to the innermost."""
    found: list[Piece] = []
    stack: list[Span] = []
    at_ns = 0

    def until(end_ns: int) -> None:
        nonlocal at_ns
        if stack and end_ns > at_ns:
            found.append(Piece(stack[-1].name, at_ns, end_ns))
        at_ns = max(at_ns, end_ns)

    for span in spans:
        while stack and stack[-1].end_ns <= span.begin_ns:
            until(stack[-1].end_ns)
            stack.pop()
        until(span.begin_ns)
        stack.append(span)
    while stack:
        until(stack[-1].end_ns)
        stack.pop()
    return found


def depths(spans: Sequence[Span]) -> list[int]:
    """Say of each call of one thread, by their begins, in how many others of these it was made."""
    found: list[int] = []
    ends: list[int] = []
    for span in spans:
        while ends and ends[-1] <= span.begin_ns:
            ends.pop()
        found.append(len(ends))
        ends.append(span.end_ns)
    return found


def by_lane(line: Timeline) -> dict[Lane, list[Span]]:
    """Sort the calls into their lanes."""
    lanes: dict[Lane, list[Span]] = {lane: [] for lane in line.lanes}
    for span in line.spans:
        lanes[span.lane].append(span)
    return lanes


def totals(cut: Iterable[Piece]) -> Counter[str]:
    """Return nanoseconds by name."""
    found: Counter[str] = Counter()
    for piece in cut:
        found[piece.name] += piece.end_ns - piece.begin_ns
    return found


def stretches(cut: Iterable[Piece], begin_ns: int, end_ns: int, number: int) -> list[dict[str, float]]:
    """Divide a time into so many equal stretches; return for each what part of it everybody had, 0 to 1, by name."""
    found: list[dict[str, float]] = [defaultdict(float) for _ in range(number)]
    length = max(1, end_ns - begin_ns) / number
    for piece in cut:
        begin = max(0.0, (piece.begin_ns - begin_ns) / length)
        end = min(float(number), (piece.end_ns - begin_ns) / length)
        at = int(begin)
        while at < end and at < number:
            found[at][piece.name] += min(end, at + 1) - max(begin, at)
            at += 1
    return found


def most(line: Timeline, number: int) -> list[str]:
    """Name those who ran longest, the longest first."""
    every: Counter[str] = Counter()
    for spans in by_lane(line).values():
        every.update(totals(pieces(spans)))
    return [name for name, _ in every.most_common(number)]


class Summary(NamedTuple):
    """A lane in figures. calls: how many; busy_ns: how long something ran; names: nanoseconds, the longest first."""

    lane: Lane
    calls: int
    busy_ns: int
    names: dict[str, int]


def summaries(line: Timeline) -> list[Summary]:
    """Count all lanes."""
    found = []
    for lane, spans in by_lane(line).items():
        names = totals(pieces(spans))
        found.append(Summary(lane, len(spans), names.total(), dict(names.most_common())))
    return found
