"""Random steps by the thousand on a machine and its model, until they differ."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from outboard.qemu.diff.compare import Difference, Pair
from outboard.qemu.diff.draw import Draw
from outboard.qemu.diff.sequences import SEGMENT, segment
from outboard.qemu.diff.steps import Step
from outboard.qemu.failure import QemuError
from outboard.qemu.find import QemuBinary, find_qemus
from outboard.qemu.live import OLDEST
from outboard.spapr.flavours import FLAVOURS, QEMU_7_2, Flavour

_NAME = re.compile(r"qemu-(\d+)\.(\d+)")


def choose_qemu(path: Path | None = None) -> QemuBinary:
    """Return the QEMU at a path, or the oldest one here whose controller is modelled. Raises QemuError."""
    if path is None:
        found = find_qemus("ppc64")
        there = [binary for binary in found if binary.version >= OLDEST]
        if not there:
            older = ", ".join(".".join(map(str, binary.version)) for binary in found) or "none"
            raise QemuError(
                "the comparison needs qemu-system-ppc64 7.2 or newer (Debian: qemu-system-ppc), or its path by --qemu; "
                f"found: {older}. Nothing else needs it"
            )
        return there[0]
    root = path.absolute().parents[2] if len(path.absolute().parents) > 3 else None
    return QemuBinary.read(path, root if root and (root / "usr/share/qemu").is_dir() else None)


def flavour_of(binary: QemuBinary) -> Flavour:
    """Return whose answers the model has to give: the newest flavour of QEMU that is not newer than this one."""
    known = [(tuple(map(int, found.groups())), name) for name in FLAVOURS if (found := _NAME.fullmatch(name))]
    fitting = [name for version, name in sorted(known) if version <= binary.version]
    return FLAVOURS[fitting[-1]] if fitting else QEMU_7_2


@dataclass(frozen=True)
class Plan:
    """What a campaign is: its machine, seed, and how many steps. The same plan has the same steps.

    flavour: whose answers the model gives, by name; None for those that the QEMU should give.
    """

    cpus: int = 1
    mode: str = "dual"
    vsmt: int = 1
    seed: int = 0
    count: int = 10000
    flavour: str | None = None

    def pair(self, binary: QemuBinary) -> Pair:
        """Return the two that its steps are done to, not started yet."""
        flavour = FLAVOURS[self.flavour] if self.flavour else flavour_of(binary)
        return Pair(binary, self.cpus, self.mode, self.vsmt, flavour=flavour)


class Outcome(NamedTuple):
    """What came of a campaign.

    steps: those of the segment that differs, from its start to the difference; before: those of the segment before it.
    """

    done: int
    difference: Difference | None = None
    steps: tuple[Step, ...] = ()
    before: tuple[Step, ...] = ()


class Campaign:
    """Runs a plan on a pair that was started. progress: is told how many steps are done."""

    def __init__(self, pair: Pair, plan: Plan, progress: Callable[[int], None] = lambda done: None) -> None:
        self.pair = pair
        self.plan = plan
        self.progress = progress

    def run(self) -> Outcome:
        """Do the steps, until the two differ. Each segment of some thousand starts with a machine that was reset."""
        plan = self.plan
        draw = Draw(plan.seed, plan.cpus, plan.mode, plan.vsmt)
        start = self.pair.done
        before: list[Step] = []
        while (done := self.pair.done - start) < plan.count:
            steps = segment(draw, min(SEGMENT, plan.count - done))
            if found := self.pair.run(steps):
                return Outcome(self.pair.done - start, found, tuple(steps[: found.at + 1]), tuple(before))
            before = steps
            self.progress(self.pair.done - start)
        return Outcome(self.pair.done - start)
