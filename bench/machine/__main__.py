"""Benchmarks of the pseries machine: interrupt cycles a second beside the real QEMU's, and GPU command to EOI.

    python -m bench.machine                    all of them, as tables
    python -m bench.machine --json cycles gpu   two, as one JSON object

A cycle is trigger, interrupt, acknowledge, queue entry, EOI, CPPR (`bench.machine.cycles` has it exactly). `calls` is
our machine, a method of its CPU called for each step; `batch` the same steps as arrays; `plain` calls with outboard as
plain Python; QEMUs do them in a loop of their guest. No goals are set. Exit code 0; 3: a benchmark failed. A QEMU that
is not there is named, and the rest is measured.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.command_line import FAILED, parse, parser
from bench.machine import gpu, rates
from bench.machine.cycles import CheckFailed, Size
from bench.machine.facts import facts
from bench.machine.qemu import VERSIONS, find
from bench.results import Result
from outboard.errors import OutboardError
from outboard.qemu import QemuBinary, QemuError

CPUS = (1, 2, 4, 8, 16, 32, 64)
SOURCES = (1, 4, 16, 64, 256)
NOISY = 0.2
"""Processors that other work keeps busy, from which on it is said."""
COLUMN = 22


class Measured(NamedTuple):
    """One benchmark: for machines, and as lines for people."""

    result: Result
    lines: list[str]


@dataclass(frozen=True)
class Sized:
    """Cycles a second at each size; where there are several, `_at_PLACE` stands behind the names of the numbers."""

    name: str
    unit: str
    sizes: dict[int, Size]

    def measure(self, rounds: int, peers: dict[str, QemuBinary], missing: dict[str, str]) -> Measured:
        """Measure. missing: takes why a QEMU does not take part."""
        result = Result(self.name)
        columns = [*peers, rates.CALLS, rates.BATCH, rates.PLAIN]
        over = f" (over {' and '.join(peers)})" if peers else ""
        lines = [f"{self.name}, M cycles/s{over}", _row(self.unit, columns)]
        for place, size in self.sizes.items():
            found, absent = rates.measure(size, rounds, peers)
            missing |= {f"{peer} with {size.cpus} CPUs": why for peer, why in absent.items()}
            for side, numbers in found.items():
                behind = f"_at_{place}" if len(self.sizes) > 1 else ""
                result.numbers.setdefault(side, {}).update({key + behind: one for key, one in numbers.items()})
            lines.append(_row(str(place), [_rate(found.get(side, {})) for side in columns]))
        return Measured(result, lines)


@dataclass(frozen=True)
class Command:
    """GPU command to EOI. case: in `gpu.CASES`; settle: whether a notification waits for the back-end."""

    name: str
    case: str
    settle: bool

    def measure(self, rounds: int, peers: dict[str, QemuBinary], missing: dict[str, str]) -> Measured:
        """Measure."""
        result = Result(self.name, numbers=gpu.measure(self.case, self.settle, rounds))
        lines = [f"{self.name}, us: {self.case} from notification to EOI"]
        for mode, found in result.numbers.items():
            whole = f"median {found['median_us']:.0f}, 99 % below {found['p99_us']:.0f}"
            stages = ", ".join(f"{stage} {found[f'{stage}_us']:.1f}" for stage in gpu.STAGES)
            lines.append(f"  {mode}: {whole}; {stages}; back-end's processor time {found['backend_cpu_us']:.0f}")
        return Measured(result, lines)


def _row(place: str, cells: Iterable[str]) -> str:
    return f"{place:>8}  " + "".join(f"{cell:<{COLUMN}}" for cell in cells)


def _rate(numbers: dict[str, float]) -> str:
    ratios = [f"{value:.2f}" for key, value in numbers.items() if key.startswith("over_")]
    rate = f"{numbers['cycles_per_s'] / 1e6:.3f}" if numbers else "-"
    return f"{rate} ({', '.join(ratios)})" if ratios else rate


ALL: tuple[Sized | Command, ...] = (
    Sized("cycles", "", {1: Size()}),
    Sized("cpus", "CPUs", {cpus: Size(cpus, cpus) for cpus in CPUS}),
    Sized("sources", "sources", {sources: Size(1, sources) for sources in SOURCES}),
    Command("gpu", "no-op", True),
    Command("gpu-rect", "rect-64", True),
    Command("gpu-beside", "no-op", False),
    Command("gpu-rect-beside", "rect-64", False),
)
NAMES = tuple(one.name for one in ALL)


def there(missing: dict[str, str]) -> dict[str, QemuBinary]:
    """Return the QEMUs that are here; `missing` takes why others are not."""
    found = {}
    for name in VERSIONS:
        try:
            found[name] = find(name)
        except QemuError as error:
            missing[name] = str(error)
    return found


def run(one: Sized | Command, rounds: int, peers: dict[str, QemuBinary], missing: dict[str, str]) -> Measured:
    """Run one benchmark; a failure is a result too."""
    try:
        return one.measure(rounds, peers, missing)
    except (CheckFailed, OutboardError, OSError) as error:
        failed = Result(one.name, failed=f"{type(error).__name__}: {error}")
        return Measured(failed, [f"{one.name} FAILED: {failed.failed}"])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks that the command line names; return the exit code."""
    assert __doc__
    wanted = parse(parser("python -m bench.machine", __doc__, NAMES), NAMES, argv)
    missing: dict[str, str] = {}
    peers = there(missing)
    about = facts(peers, wanted.rounds)
    if about["busy"] > NOISY:
        print(f"Other work keeps {about['busy']:.1f} processors busy: rates will be low and noisy.", file=sys.stderr)
    results = []
    for one in ALL:
        if not wanted.names or one.name in wanted.names:
            measured = run(one, wanted.rounds, peers, missing)
            results.append(measured.result)
            if not wanted.json:
                print("\n".join(measured.lines), flush=True)
    for name, why in missing.items():
        print(f"{name} is not measured: {why}", file=sys.stderr)
    failed = [result.name for result in results if result.failed]
    if wanted.json:
        listed = [json.loads(result.json()) for result in results]
        whole = {"name": "machine", "facts": about, "missing": missing, "benchmarks": listed, "failed": failed or None}
        print(json.dumps(whole))
    return FAILED if failed else 0


if __name__ == "__main__":
    sys.exit(main())
