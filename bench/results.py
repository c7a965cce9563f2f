"""Results: one record for each benchmark, as a line of a table or as a JSON object."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field


@dataclass
class Goal:
    """What was asked for, and what came out. value is None where there is nothing to compare with."""

    what: str
    limit: float
    at_most: bool
    value: float | None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None when that cannot be said."""
        if self.value is None:
            return None
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def __str__(self) -> str:
        sign = "<=" if self.at_most else ">="
        return f"{self.what} {sign} {self.limit:g}"


@dataclass
class Result:
    """One benchmark. figures: the words of each peer's figures; numbers: the same for machines; failed: why, if so."""

    name: str
    figures: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, dict[str, float]] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)
    failed: str = ""

    def json(self) -> str:
        """Return the record as one JSON object."""
        goals = [asdict(goal) | {"met": goal.met} for goal in self.goals]
        return json.dumps({"name": self.name, "peers": self.numbers, "goals": goals, "failed": self.failed or None})

    def lines(self, peers: Sequence[str]) -> list[str]:
        """Return the record as lines of the table: one for each goal, or one for the failure."""
        if self.failed:
            return [f"{self.name:<18} FAILED: {self.failed}"]
        figures = "".join(f"{self.figures.get(peer, '-'):<34}" for peer in peers)
        rows = []
        for at, goal in enumerate(self.goals):
            value = "-" if goal.value is None else f"{goal.value:.2f}"
            verdict = {True: "met", False: "NOT MET", None: "-"}[goal.met]
            lead = f"{self.name:<18} {figures}" if at == 0 else " " * (19 + 34 * len(peers))
            rows.append(f"{lead}{value:>9}  {goal!s:<22} {verdict}")
        return rows


def heading(peers: Sequence[str]) -> str:
    """Return the table's first line."""
    return f"{'benchmark':<18} " + "".join(f"{peer:<34}" for peer in peers) + f"{'figure':>9}  {'goal':<22} met"
