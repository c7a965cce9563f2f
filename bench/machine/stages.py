"""Where the time between two moments goes: each instant belongs to the stage that was entered last."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple


class Span(NamedTuple):
    """From a `begin` to its `end`, in ns: all of it, and by stage."""

    total: int
    stages: Counter[str]


class Stages:
    """A clock that is read only between `begin` and `end`; elsewhere entering a stage does nothing.

    base: the stage of whoever enters none.
    """

    def __init__(self, base: str) -> None:
        self.spans: list[Span] = []
        self.runs = False
        self._now = base
        self._entered: list[str] = []
        self._ns: Counter[str] = Counter()
        self._began = self._since = 0

    def begin(self) -> None:
        """Begin in the base stage, or in the one that was entered and not left."""
        self.runs = True
        self._ns = Counter()
        self._began = self._since = time.perf_counter_ns()

    def end(self) -> None:
        """End; what was entered stays entered."""
        self._turn(self._now)
        self.runs = False
        self.spans.append(Span(self._since - self._began, self._ns))

    def _turn(self, stage: str) -> None:
        if self.runs:
            now = time.perf_counter_ns()
            self._ns[self._now] += now - self._since
            self._since = now
        self._now = stage

    def enter(self, stage: str) -> None:
        """Be in a stage until `leave`; stages lie in each other."""
        self._entered.append(self._now)
        self._turn(stage)

    def leave(self) -> None:
        """Be in the stage that was entered before."""
        self._turn(self._entered.pop())

    def around(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return `call`, its time in a stage."""

        def timed(*arguments: Any, **options: Any) -> Any:
            self.enter(stage)
            try:
                return call(*arguments, **options)
            finally:
                self.leave()

        return timed

    def watch(self, owner: object, name: str, stage: str) -> None:
        """Have the time of a method of one object be in a stage."""
        setattr(owner, name, self.around(stage, getattr(owner, name)))
