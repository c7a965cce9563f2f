"""What `outboard tap` costs: 1080p frames from the same back-end, with the tap in the midst and without, in turn.

    python -m bench.tap                   all ways to tap, as a table
    python -m bench.tap --json default    one, as JSON objects, one a line

A way is measured as the frames a second through the tap over those without it; CPU is the tap's own. The stream is
QEMU's: its back-end sends whole frames as fast as it can, our display reads them. `ours` is our back-end, whose stream
is about twice as fast: with three processes it needs three processors. Exit code 0: all goals met; 1: a goal is
missed; 3: a benchmark failed.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.accounting import Sample, busy, cost
from bench.cases import CaseFailed, Work, frames, measure
from bench.command_line import parse, parser, report
from bench.goals import HD
from bench.peers import Peer, PeerFailed, Running, c_helper, ours, run
from bench.results import Goal, Result
from outboard.errors import OutboardError

TAP, DIRECT = "tap", "direct"
SAMPLE_S = 0.2
"""Wall time of one sample, about."""
RATE_RATIO = 0.8
"""Frames a second through the tap, over those without it: at least."""


class Way(NamedTuple):
    """A way to tap: its options, and the rate ratio asked for, if any. ours: our back-end makes the stream."""

    name: str
    options: tuple[str, ...] = ()
    ratio: float = 0.0
    ours: bool = False

    def peer(self) -> Peer:
        """Return the back-end: QEMU's, or ours where that is asked for or the other is not installed."""
        return ours() if self.ours else c_helper() or ours()


WAYS = (
    Way("default", ratio=RATE_RATIO),
    Way("quiet", ("--quiet",), RATE_RATIO),
    Way("pcapng", ("--quiet", "--pcapng", "{file}"), RATE_RATIO),
    Way("verbose", ("-v",)),
    Way("pixels", ("--quiet", "--pcapng", "/dev/null", "--pixels")),
    Way("ours", ours=True),
)


@contextmanager
def tapped(way: Way, folder: Path) -> Iterator[Running]:
    """Run a back-end and a tap before it; the socket is the tap's, the process too."""
    back = folder / f"{way.name}-back.sock"
    command = [word.replace("{socket}", str(back)) for word in way.peer().argv]
    options = [word.replace("{file}", str(folder / f"{way.name}.pcapng")) for word in way.options]
    tap = (sys.executable, "-m", "outboard", "tap", "{socket}", str(back), *options)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            with run(Peer(way.name, tap), folder) as running:
                yield running
        finally:
            process.kill()


def compared(way: Way, rounds: int, folder: Path) -> Result:
    """Measure one way in turn with no tap, each round in the other order."""
    samples: dict[str, list[Sample]] = {TAP: [], DIRECT: []}
    with ExitStack() as stack:
        opened: list[tuple[str, Running, Work, int]] = []
        for name, peer in ((TAP, tapped(way, folder)), (DIRECT, run(way.peer(), folder))):
            running = stack.enter_context(peer)
            work = stack.enter_context(frames(running, HD, False))
            first = measure(running, work, 10 * work.units)
            opened.append((name, running, work, max(2, int(SAMPLE_S * 1e9 * first.units / first.wall_ns))))
        for turn in range(rounds):
            for name, running, work, units in opened[:: -1 if turn % 2 else 1]:
                samples[name].append(measure(running, work, units))
    result = Result(way.name)
    for name, some in samples.items():
        found = cost(some)
        cpu = f", {found.cpu_us:.0f} us CPU" if name == TAP else ""
        result.figures[name] = f"{found.rate:.0f} frames/s{cpu}"
        result.numbers[name] = {"per_s": found.rate, "cpu_us": found.cpu_us}
    # Neighbours in time are compared: what else the machine does hits both.
    pairs = zip(samples[TAP], samples[DIRECT], strict=True)
    ratio = statistics.median((a.units / a.wall_ns) / (b.units / b.wall_ns) for a, b in pairs)
    result.numbers[TAP]["ratio"] = ratio
    result.goals.append(Goal("rate ratio", way.ratio, False, ratio))
    return result


def one(way: Way, rounds: int) -> Result:
    """Run one benchmark; a failure of a process is a result too."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            return compared(way, rounds, Path(folder))
        except (CaseFailed, PeerFailed, OutboardError, OSError) as error:
            return Result(way.name, failed=f"{type(error).__name__}: {error}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks that the command line names; return the exit code."""
    assert __doc__
    names = [way.name for way in WAYS]
    wanted = parse(parser("python -m bench.tap", __doc__, names), names, argv)
    if (load := busy(0.5)) > 0.2:
        print(f"Other work keeps {load:.1f} processors busy: rates will be low and noisy.", file=sys.stderr)
    results = (one(way, wanted.rounds) for way in WAYS if not wanted.names or way.name in wanted.names)
    return report(results, (TAP, DIRECT), as_json=wanted.json)


if __name__ == "__main__":
    sys.exit(main())
