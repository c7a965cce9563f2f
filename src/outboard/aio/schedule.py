"""Which of several things happens next: choices of a simulation, by number, so that a run can be made again."""

import random
from collections.abc import Sequence

STAY = (0.5, 0.8, 0.95)
"""How likely a random run goes on with what goes on already; each run has one of these."""


class Schedule:
    """Answers choices: with those of `given` first, then by `seed`, or without one always with the first, 0.

    taken: the choices so far. widths: among how many each was.
    """

    def __init__(self, given: Sequence[int] = (), seed: int | None = None) -> None:
        self._given = given
        self._random = random.Random(seed) if seed is not None else None
        self._stay = self._random.choice(STAY) if self._random else 0.0
        self.taken: list[int] = []
        self.widths: list[int] = []

    def choose(self, width: int, *, staying: bool = False) -> int:
        """Return a number below `width`; one that was given and is too large counts as the largest.

        staying: 0 goes on with what goes on already, so at random it is chosen more often than the rest.
        """
        if width == 1:
            return 0
        at = len(self.taken)
        if at < len(self._given):
            choice = min(self._given[at], width - 1)
        else:
            choice = self._drawn(width, staying)
        self.taken.append(choice)
        self.widths.append(width)
        return choice

    def _drawn(self, width: int, staying: bool) -> int:
        if self._random is None or (staying and self._random.random() < self._stay):
            return 0
        return self._random.randrange(width)

    def following(self) -> list[int] | None:
        """Return the choices that a run depth first comes to next; None after the last."""
        for at in reversed(range(len(self.taken))):
            if self.taken[at] + 1 < self.widths[at]:
                return [*self.taken[:at], self.taken[at] + 1]
        return None


def trimmed(choices: Sequence[int]) -> list[int]:
    """Drop the zeros at the end, which are chosen unasked."""
    kept = list(choices)
    while kept and not kept[-1]:
        kept.pop()
    return kept
