"""A live machine and the model of it, done the same to: the first difference of a list of steps."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

from outboard.qemu.agent import Operation
from outboard.qemu.agent.mailbox import AT_ONCE
from outboard.qemu.diff.ours import Done, Ours
from outboard.qemu.diff.steps import Step
from outboard.qemu.diff.theirs import Theirs
from outboard.qemu.failure import QemuDied, QemuError
from outboard.qemu.find import QemuBinary
from outboard.qemu.live import FREE_RAM, MEMORY_MIB
from outboard.spapr.flavours import QEMU_7_2, Flavour

PART = AT_ONCE // 4
"""Operations that are handed over together; the model does the next ones meanwhile."""
CHECK_EVERY = 1000
"""Steps between two looks at the state as a whole."""
QUEUES, QUEUES_SIZE = FREE_RAM, 0x400000
BIG_QUEUES, BIG_QUEUES_SIZE = 0x1000000, 0x2000
"""Guest memory that is compared: where queues of up to 64 KiB are, and the start of the larger ones."""
RESTART = (Step("claim", (0, 2)), Step("claim", (0, 3)), Step("reset"))
"""Bring a machine to a start. A number that a reset takes from a device differs from one that was never given away."""
TIMEOUT_S = 20


class Difference(NamedTuple):
    """Where the two part. at: number of the step; step: as it was done, None for the state as a whole."""

    at: int
    step: Step | None
    about: str
    qemu: str
    model: str


class Pair:
    """A live machine and its model, as a context manager. Raises QemuError when QEMU does not start.

    mode: as `ic-mode`. fresh: have a new QEMU for every list of steps, not only a reset one.
    """

    def __init__(
        self,
        binary: QemuBinary,
        cpus: int,
        mode: str,
        vsmt: int,
        *,
        flavour: Flavour = QEMU_7_2,
        timeout: float = TIMEOUT_S,
        fresh: bool = False,
    ) -> None:
        self.binary, self.cpus, self.mode, self.vsmt = binary, cpus, mode, vsmt
        self.flavour = flavour
        self.timeout = timeout
        self.fresh = fresh
        self.done = 0
        self._cleanup = ExitStack()
        self._pristine = False
        self._part: list[tuple[int, Done, int]] = []
        self._operations: list[Operation] = []
        self._pending: tuple[int, list[Operation], list[tuple[int, Done, int]]] | None = None

    def __enter__(self) -> Pair:
        self._new()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._cleanup.close()

    def _new(self) -> None:
        self._cleanup.close()
        # ours first: it says better what is wrong with the numbers
        self.ours = Ours(self.cpus, self.mode, self.vsmt, MEMORY_MIB << 20, self.flavour)
        self.theirs = self._cleanup.enter_context(Theirs(self.binary, self.cpus, self.mode, self.vsmt, self.timeout))
        self._pristine, self._broken = True, False

    def begin(self) -> None:
        """Bring both to a start."""
        self._part, self._operations, self._pending = [], [], None
        if self._broken or (self.fresh and not self._pristine):
            self._new()
        elif not self._pristine:
            done = self.done
            for step in RESTART:
                self._perform(0, step)
            self.done = done
        self._pristine = False
        for side in (self.theirs, self.ours):
            side.clear(QUEUES, QUEUES_SIZE)
            side.clear(BIG_QUEUES, BIG_QUEUES_SIZE)

    def run(self, steps: Sequence[Step], *, check_every: int = CHECK_EVERY) -> Difference | None:
        """Do steps from the start on, on both; the first difference. Whole states are compared every so many steps.

        A QEMU that ends or hangs differs; one that somebody killed is no answer to a step: raises QemuDied.
        """
        at = 0
        try:
            self.begin()
            for at, step in enumerate(steps):
                found = self._perform(at, step)
                if not found and (at + 1) % check_every == 0:
                    found = self.check(at)
                if found:
                    return found
            return self.check(at)
        except QemuError as error:
            self._broken = True
            if isinstance(error, QemuDied) and error.was_killed:
                raise
            return Difference(at, None, "QEMU", str(error).partition("\n")[0], "goes on")

    def _perform(self, at: int, step: Step) -> Difference | None:
        if not self.ours.can(step):
            return None
        self.done += 1
        if step.kind in ("cas", "reset"):
            found = self.drain()
            self._change(step)
            return found
        try:
            for done in self.ours.perform(step):
                if found := self._add(at, done):
                    return found
        except (ArithmeticError, AssertionError, LookupError, RecursionError, TypeError, ValueError) as error:
            self._broken = True
            return self.drain() or Difference(at, step, "model", "goes on", f"raises {type(error).__name__}: {error}")
        return None

    def _change(self, step: Step) -> None:
        self.theirs.change(step)
        self.ours.change(step)

    def _add(self, at: int, done: Done) -> Difference | None:
        operations = self.theirs.operations(done)
        self._part.append((at, done, len(operations)))
        self._operations += operations
        return self._hand_over() if len(self._operations) >= PART else None

    def _hand_over(self) -> Difference | None:
        """Compare what was handed over last, and hand over what came since."""
        found = self._take()
        if self._operations and not found:
            live = self.theirs.live
            live.start({operation.cpu for operation in self._operations})
            self._pending = live.mailbox.post(self._operations), self._operations, self._part
            self._operations, self._part = [], []
        return found

    def _take(self) -> Difference | None:
        if self._pending is None:
            return None
        first, operations, part = self._pending
        self._pending = None
        results = self.theirs.live.mailbox.take(first, operations)
        place = 0
        for at, expected, count in part:
            got = self.theirs.done(expected, results[place : place + count])
            place += count
            if got != expected:
                return _difference(at, got, expected)
        return None

    def drain(self) -> Difference | None:
        """Wait until QEMU has done all that the model did."""
        return self._hand_over() or self._hand_over()

    def check(self, at: int) -> Difference | None:
        """Compare the state as a whole."""
        if found := self.drain():
            return found
        if (theirs := self.theirs.pic()) != (ours := self.ours.pic()):
            return Difference(at, None, "info pic", *_lines_that_differ(theirs, ours))
        for start, size in ((QUEUES, QUEUES_SIZE), (BIG_QUEUES, BIG_QUEUES_SIZE)):
            if (there := self.theirs.read(start, size)) != (here := self.ours.read(start, size)):
                return Difference(at, None, "event queues", *_words_that_differ(start, there, here))
        return None


def _difference(at: int, got: Done, expected: Done) -> Difference:
    about = "answer" if got.answer != expected.answer else "interrupt input"
    return Difference(at, expected.step, about, _said(got), _said(expected))


def _said(done: Done) -> str:
    """Return what came of a step: registers, or cells, and the input."""
    up = {0: "low", 1: "raised"}
    words = " ".join(f"{value:#x}" for value in done.answer)
    return f"{words + ', ' if words else ''}input {up[done.before]} before, {up[done.after]} after"


def _lines_that_differ(theirs: str, ours: str) -> tuple[str, str]:
    left, right = theirs.splitlines(), ours.splitlines()
    only_left = [line for line in left if line not in set(right)]
    only_right = [line for line in right if line not in set(left)]
    return "\n".join(only_left) or "other order", "\n".join(only_right) or "other order"


def _words_that_differ(start: int, theirs: bytes, ours: bytes) -> tuple[str, str]:
    at = next(at for at in range(0, len(theirs), 4) if theirs[at : at + 4] != ours[at : at + 4])
    return f"{theirs[at : at + 4].hex()} at {start + at:#x}", f"{ours[at : at + 4].hex()} at {start + at:#x}"
