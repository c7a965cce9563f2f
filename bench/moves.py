"""What a move costs a guest: our GPU back-end, moved between two IOThreads while a driver animates, and left alone.

    python -m bench.moves                  all, as a table
    python -m bench.moves --json rect-64   one, as JSON objects, one a line

A frame is timed from its first command until it is answered and the display has all its pixels; the next begins then.
The pause of a move is the time of the longest frame that it fell into, above the median of those without moves. The
back-end that is left alone asks as often for a move to where it is: its pauses are what the machine makes of nothing.
Exit code 0: all goals met; 1: a goal is missed; 3: a benchmark failed.
"""

import bisect
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.accounting import busy
from bench.cases import CaseFailed, Work, frames, rectangles
from bench.command_line import parse, parser, report
from bench.goals import HD
from bench.moving import MOVE
from bench.peers import Peer, PeerFailed, Running, run
from bench.results import Goal, Result
from outboard.errors import OutboardError
from outboard.machine.gpu_batch import run_batches

MOVING, STILL = "moving", "still"
SAMPLE_S = 0.4
PAUSE_MS = 5.0
"""Of a move, at the 99th percentile: at most."""

Span = tuple[int, int]
"""When something began and ended, in ns of the monotonic clock."""


class Case(NamedTuple):
    """What is animated."""

    name: str
    open: Callable[[Running], AbstractContextManager[Work]]


CASES = (
    Case("rect-64", partial(rectangles, scattered=False)),
    Case("frame-1080p", partial(frames, size=HD, scattered=False)),
)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def peer(name: str, folder: Path) -> Peer:
    """Return the back-end of one column."""
    threads = 2 if name == MOVING else 1
    argv = (sys.executable, "-m", "bench.moving", "{socket}", str(folder / f"{name}.moves"), str(threads))
    return Peer(name, argv)


def animate(work: Work, seconds: float) -> list[Span]:
    """Draw frame after frame; return when each began and ended. Raises what a lost or doubled frame makes raise."""
    drawn = []
    end = time.monotonic_ns() + int(seconds * 1e9)
    began = time.monotonic_ns()
    while began < end:
        run_batches(work.vmm, work.batches[:1], 1)
        work.check(work.units)
        done = time.monotonic_ns()
        drawn.append((began, done))
        began = done
    return drawn


def moves_of(name: str, folder: Path) -> list[Span]:
    """Return the moves that a back-end has logged so far."""
    data = (folder / f"{name}.moves").read_bytes()
    return list(MOVE.iter_unpack(data[: len(data) - len(data) % MOVE.size]))


def pauses(drawn: list[Span], moves: list[Span], usual_ns: float) -> list[float]:
    """Return how much longer than usual the longest frame took into which each move fell, in ns."""
    ends = [end for _, end in drawn]
    found = []
    for began, done in moves:
        first = bisect.bisect_left(ends, began)
        hit = []
        while first < len(drawn) and drawn[first][0] <= done:
            hit.append(drawn[first][1] - drawn[first][0])
            first += 1
        if hit:
            found.append(max(0.0, max(hit) - usual_ns))
    return found


def compared(case: Case, rounds: int, folder: Path) -> Result:
    """Animate both in turn, each round in the other order."""
    drawn: dict[str, list[Span]] = {MOVING: [], STILL: []}
    with ExitStack() as stack:
        opened = []
        for name in drawn:
            running = stack.enter_context(run(peer(name, folder), folder))
            work = stack.enter_context(case.open(running))
            opened.append((name, work))
            animate(work, SAMPLE_S / 4)
        before = {name: work.vmm.display.outputs[0].painted for name, work in opened}
        for turn in range(rounds):
            for name, work in opened[:: -1 if turn % 2 else 1]:
                drawn[name] += animate(work, SAMPLE_S)
        painted = {name: work.vmm.display.outputs[0].painted - before[name] for name, work in opened}
        moves = {name: moves_of(name, folder) for name in drawn}
    return told(case, drawn, moves, painted)


def told(case: Case, drawn: dict[str, list[Span]], moves: dict[str, list[Span]], painted: dict[str, int]) -> Result:
    """Put what came out in words."""
    result = Result(case.name)
    usual = statistics.median(end - began for began, end in drawn[STILL])
    for name, spans in drawn.items():
        middle = statistics.median(end - began for began, end in spans) / 1e6
        waited = [pause / 1e6 for pause in pauses(spans, moves[name], usual)]
        if not waited:
            raise CaseFailed("no move fell into a frame")
        pause, late = statistics.median(waited), percentile(waited, 99)
        result.figures[name] = f"{middle:.2f} ms, + {pause:.2f}, p99 {late:.2f}"
        result.numbers[name] = {"frames": len(spans), "frame_ms": middle, "moves": len(waited)}
        result.numbers[name] |= {"pause_ms": pause, "pause_p99_ms": late}
    each = painted[STILL] / len(drawn[STILL])
    result.goals.append(Goal("pause p99, ms", PAUSE_MS, True, result.numbers[MOVING]["pause_p99_ms"]))
    result.goals.append(Goal("frames lost", 0, True, len(drawn[MOVING]) - painted[MOVING] / each))
    return result


def one(case: Case, rounds: int) -> Result:
    """Run one benchmark; a failure of a process is a result too."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            return compared(case, rounds, Path(folder))
        except (CaseFailed, PeerFailed, OutboardError, OSError) as error:
            return Result(case.name, failed=f"{type(error).__name__}: {error}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks that the command line names; return the exit code."""
    assert __doc__
    names = [case.name for case in CASES]
    wanted = parse(parser("python -m bench.moves", __doc__, names), names, argv)
    if (load := busy(0.5)) > 0.2:
        print(f"Other work keeps {load:.1f} processors busy: pauses will be long and noisy.", file=sys.stderr)
    results = (one(case, wanted.rounds) for case in CASES if not wanted.names or case.name in wanted.names)
    return report(results, (MOVING, STILL), as_json=wanted.json)


if __name__ == "__main__":
    sys.exit(main())
