"""Benchmarks of the GPU back-end beside QEMU's C helper, driven in turn by the same front-end.

    python -m bench                     all of them, as a table
    python -m bench --json rect-64      one, as JSON objects, one a line

Exit code 0: all goals met, or nothing to compare with; 1: a goal is missed; 3: a benchmark failed.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench.accounting import busy
from bench.cases import CaseFailed
from bench.command_line import FAILED, parse, parser, report
from bench.goals import CASES, IDLE, MEMORY, NAMES, READY
from bench.measure import costs, idle, memory, ready
from bench.peers import OURS, C, Peer, PeerFailed, c_helper, ours
from bench.results import Result
from outboard.errors import OutboardError

Benchmark = Callable[[Sequence[Peer], int, Path], Result]


def benchmarks() -> dict[str, Benchmark]:
    """Return all benchmarks by name, in the order in which they run."""
    found: dict[str, Benchmark] = {case.name: partial(costs, case) for case in CASES}
    return found | {READY: ready, MEMORY: memory, IDLE: idle}


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    assert __doc__
    made = parser("python -m bench", __doc__, NAMES)
    made.add_argument("--only", choices=(C, OURS), help="measure one back-end alone")
    return parse(made, NAMES, argv)


def peers(only: str | None) -> list[Peer]:
    """Return the back-ends to measure; says so where the C helper is missing."""
    theirs = c_helper()
    if theirs is None:
        print("QEMU's C helper vhost-user-gpu is not installed: ours is measured alone.", file=sys.stderr)
    there = [peer for peer in (theirs, ours()) if peer]
    return [peer for peer in there if only in (None, peer.name)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks that the command line names; return the exit code."""
    wanted = arguments(argv)
    there = peers(wanted.only)
    names = [peer.name for peer in there]
    if not there:
        return FAILED
    if (load := busy(0.5)) > 0.2:
        print(f"Other work keeps {load:.1f} processors busy: rates will be low and noisy.", file=sys.stderr)
    measured = (
        one(name, benchmark, there, wanted.rounds)
        for name, benchmark in benchmarks().items()
        if not wanted.names or name in wanted.names
    )
    return report(measured, names, as_json=wanted.json)


def one(name: str, benchmark: Benchmark, there: Sequence[Peer], rounds: int) -> Result:
    """Run one benchmark; a failure of a back-end is a result too."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            return benchmark(there, rounds, Path(folder))
        except (CaseFailed, PeerFailed, OutboardError, OSError) as error:
            return Result(name, failed=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    sys.exit(main())
