"""The shortest list of steps that still shows a difference.

Source: Zeller, Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (ddmin), with the parts taken out only.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from outboard.qemu.diff.compare import CHECK_EVERY, RESTART, Difference, Pair
from outboard.qemu.diff.steps import Step

TRIES_MAX = 1000


class Shrunk(NamedTuple):
    """What is left. difference: of `steps`, None when none was seen again; shortest: whether none can be left out."""

    steps: list[Step]
    difference: Difference | None
    tries: int
    shortest: bool
    qemu_pic: str = ""
    model_pic: str = ""


class _Tries:
    """Counts the tries, and keeps the last difference."""

    def __init__(self, run: Callable[[Sequence[Step]], Difference | None], most: int) -> None:
        self.run = run
        self.left = self.most = most
        self.difference: Difference | None = None

    def fails(self, steps: Sequence[Step]) -> bool:
        """Return whether the steps show a difference; false when there were too many tries."""
        if self.left <= 0:
            return False
        self.left -= 1
        if found := self.run(steps):
            self.difference = found
        return found is not None


def shrink(pair: Pair, steps: Sequence[Step], before: Sequence[Step] = (), tries: int = TRIES_MAX) -> Shrunk:
    """Take steps out as long as a difference remains; what is left shows it on a machine that was just made.

    The machine is reset before each try; if that does not do, it is made anew; if that does not either, the steps
    `before`, those of the segment before, come first.
    """
    ways = [(False, list(steps)), (True, list(steps)), *([(True, [*before, *RESTART, *steps])] if before else [])]
    used = 0
    for fresh, whole in ways:
        count = _Tries(pair.run, tries)
        pair.fresh = fresh
        if count.fails(whole):
            left = _fewer_times(count, _ddmin(count, _cut(count, whole)))
            if found := _from_the_start(pair, count, left):
                left, difference = found
                pics = ("", "") if difference.about in ("QEMU", "model") else _pics(pair)
                return Shrunk(left, difference, used + tries - count.left, count.left > 0, *pics)
        used += tries - count.left
    return Shrunk(list(steps), None, used, False)


def _from_the_start(pair: Pair, count: _Tries, steps: list[Step]) -> tuple[list[Step], Difference] | None:
    """Return steps that show a difference on a new machine, and which: these, or after those that restart a machine."""
    pair.fresh = True
    often = 1 if len(steps) < 100 else CHECK_EVERY
    if found := pair.run(steps, check_every=often):
        return steps, found
    if count.fails([*RESTART, *steps]):
        left = _ddmin(count, [*RESTART, *steps])
        return (left, found) if (found := pair.run(left, check_every=often)) else None
    return None


def _pics(pair: Pair) -> tuple[str, str]:
    pair.drain()
    return pair.theirs.pic(), pair.ours.pic()


def _cut(count: _Tries, steps: list[Step]) -> list[Step]:
    """Leave what comes after the difference."""
    assert count.difference
    cut = steps[: count.difference.at + 1]
    return cut if len(cut) < len(steps) and count.fails(cut) else steps


def _ddmin(count: _Tries, steps: list[Step]) -> list[Step]:
    parts = 2
    while len(steps) > 1 and count.left > 0:
        size = -(-len(steps) // parts)
        start, before = 0, len(steps)
        while start < len(steps):
            fewer = steps[:start] + steps[start + size :]
            if fewer and count.fails(fewer):
                steps = fewer
            else:
                start += size
        if size == 1 and len(steps) == before:
            break
        parts = min(len(steps), 2 * parts) if size > 1 else len(steps)
    return steps


def _fewer_times(count: _Tries, steps: list[Step]) -> list[Step]:
    """Do each step less often: the fewest times that are enough, found by halving."""
    for at, step in enumerate(steps):
        low, high = 0, step.times
        while high - low > 1:
            middle = (low + high) // 2
            tried = [*steps[:at], step._replace(times=middle), *steps[at + 1 :]]
            low, high = (low, middle) if count.fails(tried) else (middle, high)
        steps = [*steps[:at], step._replace(times=high), *steps[at + 1 :]]
    return steps
