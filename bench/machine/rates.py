"""Cycles a second of all sides in turn, at one size of the machine."""

import statistics
from contextlib import ExitStack

from bench.machine.cycles import ByBatch, ByCalls, CheckFailed, Side, Size
from bench.machine.plain import by_plain
from bench.machine.qemu import by_guest
from outboard.errors import OutboardError
from outboard.qemu import QemuBinary

CALLS, BATCH, PLAIN = "calls", "batch", "plain"
SAMPLE_S = 0.05
"""Wall time of one sample, about."""
TRIES, GROWTH = 12, 16
"""Runs until a sample has its length, and how many times longer than the one before each may be."""
Rates = dict[str, dict[str, float]]
"""By side: `cycles_per_s`, and `over_PEER` for each QEMU."""


def measure(size: Size, rounds: int, peers: dict[str, QemuBinary]) -> tuple[Rates, dict[str, str]]:
    """Measure all sides, each round in the other order; return what came out, and why QEMUs do not take part.

    Raises CheckFailed, with the side in front, when one does not do what it is to do; OutboardError.
    """
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        sides: dict[str, Side] = {}
        for name, binary in peers.items():
            try:
                sides[name] = stack.enter_context(by_guest(binary, size))
            except OutboardError as error:
                missing[name] = str(error)
        sides |= {CALLS: ByCalls(size), BATCH: ByBatch(size), PLAIN: stack.enter_context(by_plain(size))}
        samples = _samples(sides, rounds)
    return {name: _numbers(samples, name, [peer for peer in peers if peer in samples]) for name in samples}, missing


def _samples(sides: dict[str, Side], rounds: int) -> dict[str, list[float]]:
    sweeps = {name: _sweeps(name, side) for name, side in sides.items()}
    samples: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        for name in list(sides)[:: -1 if turn % 2 else 1]:
            samples[name].append(sweeps[name] * sides[name].cycles / _run(name, sides[name], sweeps[name]))
    return samples


def _run(name: str, side: Side, sweeps: int) -> float:
    try:
        return side.run(sweeps)
    except CheckFailed as error:
        raise CheckFailed(f"{name}: {error}") from None


def _sweeps(name: str, side: Side) -> int:
    """Return the sweeps of a sample; a run that was late for once does not decide."""
    units = 1
    for _ in range(TRIES):
        took = _run(name, side, units * side.unit)
        if SAMPLE_S / 2 <= took <= 2 * SAMPLE_S or (units == 1 and took > SAMPLE_S):
            break
        units = max(1, min(GROWTH * units, round(units * SAMPLE_S / took)))
    return units * side.unit


def _numbers(samples: dict[str, list[float]], name: str, peers: list[str]) -> dict[str, float]:
    """Return medians: of the rates, and of the ratios within each round, whose samples are neighbours in time."""
    found = {"cycles_per_s": statistics.median(samples[name])}
    for peer in peers:
        if name not in peers:
            ratios = (mine / theirs for mine, theirs in zip(samples[name], samples[peer], strict=True))
            found[f"over_{peer}"] = statistics.median(ratios)
    return found
