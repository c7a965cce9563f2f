"""Benchmarks of the interrupt controller: full interrupt cycles a second, and what they do not depend on.

    python -m bench.xive                  all of them, as a table
    python -m bench.xive --json calls     one, as JSON objects, one a line

A cycle is trigger store, acknowledge load, event queue read, EOI load, CPPR store. Exit code 0: all goals met; 1: a
goal is missed; 3: a benchmark failed, as the one that needs QEMU 7.2 does without it.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench.command_line import parse, parser, report
from bench.results import Goal, Result
from bench.xive import cycles
from bench.xive.cycles import Run
from outboard import core
from outboard.errors import OutboardError

PEER = "ours"
SAMPLE_S = 0.05
"""Wall time of one sample, about."""
CALLS, BATCHED, PLAIN_CALLS = 2e6, 10e6, 60e3
"""Cycles a second: compiled by five calls, compiled by batches, plain by five calls."""
CALLS_RATIO, BATCH_RATIO = 2, 5
"""Of the cycles a second that QEMU's guest makes."""
FLAT = 1.25
"""Highest cost of a curve that should be flat, over that at its start; processor caches take the rest."""
SOURCES = (1 << 13, 1 << 15, 1 << 17, 1 << 20)
VCPUS = (2, 16, 128, 1024, 4096)
CANDIDATES = (2, 16, 128, 1024)


def rate(run: Run, count: int) -> float:
    """Return the cycles a second of one run."""
    start = time.perf_counter()
    done = run(count)
    return done / (time.perf_counter() - start)


def rates(runs: Sequence[Run], rounds: int) -> list[float]:
    """Return the cycles a second of each, the median of samples taken in turn."""
    counts = []
    for run in runs:
        rate(run, 64)
        counts.append(max(64, int(SAMPLE_S * rate(run, 1000))))
    samples = [[rate(run, count) for run, count in zip(runs, counts, strict=True)] for _ in range(rounds)]
    return [statistics.median(taken) for taken in zip(*samples, strict=True)]


def speed(name: str, run: Run, goal: float, rounds: int) -> Result:
    """Measure one way to make cycles against a number of them a second."""
    (rate,) = rates([run], rounds)
    result = Result(name, {PEER: f"{rate / 1e6:.3f} M cycles/s"}, {PEER: {"cycles_per_s": rate}})
    result.goals.append(Goal("M cycles/s", goal / 1e6, False, rate / 1e6))
    return result


def curve(name: str, unit: str, places: Iterable[int], make: Callable[[int], Run], rounds: int) -> Result:
    """Measure the cost of a cycle at several sizes; it is not to grow."""
    places = list(places)
    costs = [1e9 / rate for rate in rates([make(place) for place in places], rounds)]
    told = ", ".join(f"{place}: {cost:.0f}" for place, cost in zip(places, costs, strict=True))
    result = Result(name, {PEER: f"ns by {unit}: {told}"})
    result.numbers[PEER] = {f"ns_at_{place}": cost for place, cost in zip(places, costs, strict=True)}
    result.goals.append(Goal("worst / first", FLAT, True, max(costs) / costs[0]))
    return result


def calls(rounds: int) -> Result:
    """Five calls from Python a cycle."""
    return speed("calls", cycles.by_calls(cycles.spapr()), CALLS if compiled() else PLAIN_CALLS, rounds)


def batched(rounds: int) -> Result:
    """Arrays of operations in, an array of answers out."""
    return speed("batch", cycles.by_batch(cycles.spapr()), BATCHED if compiled() else PLAIN_CALLS, rounds)


def plain(rounds: int) -> Result:
    """Five calls from Python a cycle, as plain Python, in a process of its own."""
    command = [sys.executable, "-m", "bench.plain", "bench.xive", "--json", "--rounds", str(rounds), "calls"]
    done = subprocess.run(command, capture_output=True, text=True)
    if not done.stdout:
        return Result("plain", failed=done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}")
    rate = json.loads(done.stdout)["peers"][PEER]["cycles_per_s"]
    result = Result("plain", {PEER: f"{rate / 1e6:.3f} M cycles/s"}, {PEER: {"cycles_per_s": rate}})
    result.goals.append(Goal("M cycles/s", PLAIN_CALLS / 1e6, False, rate / 1e6))
    return result


def qemu(rounds: int) -> Result:
    """QEMU 7.2's guest, our five calls and our batches, in turn."""
    from bench.xive.qemu import by_guest

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            with by_guest(Path(folder)) as guest:
                runs = [guest, cycles.by_calls(cycles.spapr()), cycles.by_batch(cycles.spapr())]
                theirs, ours, many = rates(runs, rounds)
        except OutboardError as error:
            return Result("qemu", failed=str(error))
    told = f"QEMU {theirs / 1e6:.3f}, calls {ours / 1e6:.3f}, batch {many / 1e6:.3f} M cycles/s"
    result = Result("qemu", {PEER: told})
    result.numbers = {
        "qemu-7.2": {"cycles_per_s": theirs},
        PEER: {"calls_cycles_per_s": ours, "batch_cycles_per_s": many},
    }
    if compiled():
        result.goals.append(Goal("calls / QEMU", CALLS_RATIO, False, ours / theirs))
        result.goals.append(Goal("batch / QEMU", BATCH_RATIO, False, many / theirs))
    return result


def sources(rounds: int) -> Result:
    """Sources in use all over a router with its tables in RAM."""
    return curve("sources", "sources", SOURCES, cycles.by_engines, rounds)


def vcpus(rounds: int) -> Result:
    """The last vCPU's cycles, among more and more of them."""
    return curve(
        "vcpus", "vCPUs", VCPUS, lambda number: cycles.by_calls(cycles.spapr(number, number - 1), number - 1), rounds
    )


def candidates(rounds: int) -> Result:
    """An event that several threads claim: the search ends at the second."""
    return curve("candidates", "threads with one CAM line", CANDIDATES, cycles.with_candidates, rounds)


def tracing(rounds: int) -> Result:
    """Never listened to, listened to before, and listened to."""
    fresh, once, heard = cycles.spapr(), cycles.spapr(), cycles.spapr()

    def hook(event: str, values: object) -> None:
        pass

    once.events.listen(hook)
    once.events.unlisten(hook)
    runs = [cycles.by_calls(xive) for xive in (fresh, once, heard)]
    heard.events.listen(hook)
    never, off, on = (1e9 / rate for rate in rates(runs, rounds))
    result = Result("tracing", {PEER: f"ns: never {never:.0f}, off again {off:.0f}, on {on:.0f}"})
    result.numbers[PEER] = {"never_ns": never, "off_ns": off, "on_ns": on}
    result.goals.append(Goal("off / never", 1.05, True, off / never))
    return result


BENCHMARKS: dict[str, Callable[[int], Result]] = {
    "calls": calls,
    "batch": batched,
    "plain": plain,
    "qemu": qemu,
    "sources": sources,
    "vcpus": vcpus,
    "candidates": candidates,
    "tracing": tracing,
}


def compiled() -> bool:
    """Return whether outboard is compiled."""
    return core() == "compiled"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks that the command line names; return the exit code."""
    assert __doc__
    wanted = parse(parser("python -m bench.xive", __doc__, BENCHMARKS), BENCHMARKS, argv)
    if not compiled():
        print("outboard is not compiled here: all figures are of plain Python.", file=sys.stderr)
    measured = (BENCHMARKS[name](wanted.rounds) for name in wanted.names or BENCHMARKS)
    return report(measured, [PEER], as_json=wanted.json)


if __name__ == "__main__":
    sys.exit(main())
