"""Random choices for a machine: CPUs, sources, priorities, queues, mostly right ones.

Only `Random.random` is drawn from: for a seed the steps are the same in every version of Python.
"""

import random
from collections.abc import Sequence
from typing import TypeVar

from outboard.qemu.diff.compare import BIG_QUEUES, QUEUES
from outboard.qemu.diff.steps import HCALLS, Step
from outboard.spapr.modes import IcMode
from outboard.spec.papr import ESB_BASE

T = TypeVar("T")
MANAGE, PAGES = 0x10000, 0x20000
EVENTS, LSIS, MSIS = (0x1000, 0x1001, 0x1100), (0x1200, 0x1202, 0x1203), (0x1300, 0x1301, 0x1302)
STRANGERS = (0x1002, 0x1303, 0x1FFE)
EDGES = (0, 1, 7, 8, 0xFF, 0x100, 0x1FF, 0x1FFF, 0x2000, 0x20000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, 1 << 63)


class Draw:
    """Draws for a machine of so many CPUs. xive: whether steps that mean something now are XIVE's."""

    def __init__(self, seed: int, cpus: int, mode: IcMode | str, vsmt: int) -> None:
        self._random = random.Random(seed)
        self.cpus, self.mode, self.vsmt = cpus, IcMode(mode), vsmt
        self.xive = self.mode is IcMode.XIVE
        self.lisns: tuple[int, ...] = (*range(min(cpus * vsmt, 3)), *EVENTS, *LSIS, *MSIS)

    def below(self, number: int) -> int:
        """Return a number from 0 on."""
        return int(self._random.random() * number)

    def one(self, choices: Sequence[T]) -> T:
        """Return one of them."""
        return choices[self.below(len(choices))]

    def maybe(self, chance: float) -> bool:
        """Return true with this chance."""
        return self._random.random() < chance

    def cpu(self) -> int:
        """Return a CPU's index."""
        return self.below(self.cpus)

    def lisn(self) -> int:
        """Return a LISN, mostly one of a few that are claimed."""
        if self.maybe(0.95):
            return self.one(self.lisns)
        return self.one(STRANGERS) if self.maybe(0.7) else self.one((*EDGES, self.below(0x2000)))

    def page(self, managed: bool) -> int:
        """Return the address of the trigger or management page of a source."""
        lisn = self.one(self.lisns) if self.maybe(0.97) else self.one(STRANGERS)
        return ESB_BASE + lisn * PAGES + managed * MANAGE

    def server(self) -> int:
        """Return the id of a CPU, rarely a wrong one."""
        if self.maybe(0.93):
            return self.cpu() * self.vsmt
        return self.one((self.cpus * self.vsmt, self.below(self.cpus * self.vsmt), 1 << 32, 99, (1 << 64) - 1))

    def priority(self) -> int:
        """Return a priority, rarely one that is not for guests."""
        return self.one((0, 2, 5, 6, 6, 6, 3)) if self.maybe(0.9) else self.one((7, 8, 0xFF, 0x106, 0x1FF, 1 << 32))

    def queue(self, target: int, priority: int, size: int) -> int:
        """Return where the queue of a server's priority is; larger ones share their places."""
        if size > 16:
            return BIG_QUEUES
        return QUEUES + (target // self.vsmt % 8 * 8 + priority % 8) * 0x10000


def hcall(draw: Draw, name: str, *arguments: int) -> Step:
    """Return a hypercall by name, of any CPU."""
    return Step("hcall", (draw.cpu(), HCALLS[name], *arguments))
