"""A controller under a person's hands: one command after the other, what each prints, and the way back.

No terminal here: `run` returns lines.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from outboard.errors import LocalError
from outboard.spapr.snapshot import Snapshot
from outboard.spapr.xive import SpaprXive
from outboard.xive.events import TRACE

TOLD_MAX = 100
"""Trace lines of one command that are printed."""
UNDO_BYTES = 256 << 20
"""About what the pictures for `undo` may take."""
SILENT = ("memory_region_ops_read", "memory_region_ops_write")
"""Events that say once more what the line after them says."""


class Quit(Exception):
    """The person wants to leave."""


class Session:
    """One controller, its history, and what it tells.

    traces: whether that is printed; options: of the command that makes such a controller.
    """

    def __init__(self, xive: SpaprXive) -> None:
        self.xive = xive
        self.options = _options(xive)
        self.traces = True
        self.lines: list[str] = []
        self.undone: list[tuple[str, Snapshot]] = []
        self.now = xive.snapshot()
        self._before: list[Snapshot] = []
        self._told: list[str] = []
        self._told_count = 0
        size = sum(map(len, self.now.tables.values()))
        self._steps_max = max(20, min(1000, UNDO_BYTES // size))
        xive.events.listen(self._hear)

    def _hear(self, event: str, values: tuple[Any, ...]) -> None:
        if not self.traces or event in SILENT:
            return
        self._told_count += 1
        if len(self._told) < TOLD_MAX:
            mark = "|" if self.xive.events.known[event].kind == TRACE else "!"
            self._told.append(f"  {mark} {self.xive.events.line(event, values)}")

    def run(self, line: str, do: Callable[[], Iterable[str]], *, changes: bool) -> list[str]:
        """Run what serves `line`; return what it traced, what it says, and which interrupts changed.

        changes: whether it may change the machine; what fails then has changed nothing.
        """
        up = self._lines_up()
        self._told, self._told_count = [], 0
        try:
            answer = list(do())
            if changes:
                self._remember(line)
        except BaseException:
            if changes:
                self._go_to(self.now)
            raise
        more = self._told_count - len(self._told)
        told = [*self._told, f"  | ... and {more} more lines"] if more else self._told
        return [*told, *answer, *self._interrupts(up)]

    # The way back

    def _remember(self, line: str) -> None:
        """Make a step of what the command changed, if it changed anything."""
        after = self.xive.snapshot()
        if after == self.now:
            return
        self._before.append(self.now)
        self.lines.append(line)
        self.undone.clear()
        del self._before[: -self._steps_max]
        # What did not change is kept once.
        same = {name: old for name, old in self.now.tables.items() if old == after.tables[name]}
        self.now = replace(after, tables=after.tables | same)

    def _go_to(self, snapshot: Snapshot) -> None:
        self.xive.restore(snapshot)
        self.now = snapshot

    def undo(self, count: int) -> list[str]:
        """Go back over the last `count` commands that changed something; return them, the last first."""
        if not 1 <= count <= len(self._before):
            raise LocalError(f"cannot undo {count}; {len(self._before)} to undo")
        for _ in range(count):
            self.undone.append((self.lines.pop(), self.now))
            self._go_to(self._before.pop())
        return [line for line, _ in self.undone[-count:]]

    def redo(self) -> str:
        """Do again what the last `undo` took back; return the command."""
        if not self.undone:
            raise LocalError("nothing to redo")
        line, after = self.undone.pop()
        self._before.append(self.now)
        self.lines.append(line)
        self._go_to(after)
        return line

    @property
    def undoable(self) -> int:
        """How many commands `undo` can take back."""
        return len(self._before)

    # Interrupt inputs, which a person would not see change

    def _lines_up(self) -> dict[int, bool]:
        return {index: self.xive.cpus[index].irq() for index in self.xive.order}

    def _interrupts(self, before: dict[int, bool]) -> list[str]:
        after = self._lines_up()
        changed = [index for index, up in after.items() if up != before.get(index, False)]
        return [f"  cpu {index}: external interrupt {'raised' if after[index] else 'lowered'}" for index in changed]


def _options(xive: SpaprXive) -> str:
    sizes = f"--cpus {len(xive.order)} --max-cpus {len(xive.cpus)} --vsmt {xive.vsmt}"
    return f"{sizes} --flavour {xive.flavour.name} --host-byteorder {xive.host_byteorder}"
