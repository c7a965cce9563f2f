"""Campaigns of seeded random cases.

OUTBOARD_FUZZ_CASES is the number of cases of all campaigns together; OUTBOARD_FUZZ_SEED (1) makes them others. A case
that fails or hangs names its seed; OUTBOARD_FUZZ_CASE=<seed> runs that case alone. A hang inside a compiled module
ends the whole run with a traceback.
"""

import faulthandler
import os
import random
import signal
from collections.abc import Callable

import pytest

from outboard import core

TOTAL = int(os.environ.get("OUTBOARD_FUZZ_CASES") or (24_000 if core() == "compiled" else 6_000))
SEED = os.environ.get("OUTBOARD_FUZZ_SEED") or "1"
ONLY = os.environ.get("OUTBOARD_FUZZ_CASE") or ""
HANG_S = 60
"""Seconds for a batch of cases after which the one that runs has hung."""
LOST_S = 75
"""Seconds after which not even an exception can be raised in it."""
BATCH = 50

SHARES = {
    "chains": 27,
    "disks": 1,
    "commands": 21,
    "control": 14,
    "streams": 4,
    "answers": 9,
    "displays": 5,
    "fronts": 2,
    "servers": 1,
    "xive": 8,
    "tables": 3,
    "machines": 3.75,
    "programs": 1,
    "gpus": 0.25,
}
"""Per cent of all cases."""


def cases(target: str) -> int:
    """Return how many cases a target has."""
    return max(1, int(TOTAL * SHARES[target] / 100))


class Campaign:
    """Runs the cases of one target and reports on the terminal, whatever pytest captures."""

    def __init__(self, capture, terminal: int) -> None:
        self._capture = capture
        self._terminal = terminal

    def run(self, target: str, case: Callable[[random.Random], object]) -> None:
        """Call `case` with one random source after the other."""
        seeds = [f"{target}:{SEED}:{number}" for number in range(cases(target))]
        if ONLY:
            seeds = [ONLY] if ONLY.partition(":")[0] == target else []
        for number, seed in enumerate(seeds):
            if number % BATCH == 0:
                self.watch()
            try:
                case(random.Random(seed))
            except BaseException as error:
                error.add_note(f"fuzz case {seed}; to run it again: OUTBOARD_FUZZ_CASE={seed} pytest tests/fuzz")
                raise
        self.tell(target, len(seeds))

    def tell(self, target: str, count: int) -> None:
        """Print how many cases ran."""
        with self._capture.global_and_fixture_disabled():
            print(f"\nfuzz {target}: {count} cases, seed {SEED}, {core()} core", flush=True)

    def watch(self) -> None:
        """Give the next cases their time."""
        signal.setitimer(signal.ITIMER_REAL, HANG_S)
        faulthandler.dump_traceback_later(LOST_S, exit=True, file=self._terminal)


@pytest.fixture
def campaign(request):
    """The runner of a target's cases."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        terminal = os.dup(2)
    before = signal.signal(signal.SIGALRM, hung)
    yield Campaign(capture, terminal)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    faulthandler.cancel_dump_traceback_later()
    os.close(terminal)


def hung(number, frame):
    """End the case that runs."""
    raise TimeoutError(f"hangs: {BATCH} cases took more than {HANG_S} s")
