"""Campaigns of seeded random cases.

OUTBOARD_FUZZ_CASES is the number of cases of all campaigns together; OUTBOARD_FUZZ_SEED (1) makes them others. A case
that fails names its seed; OUTBOARD_FUZZ_CASE=<seed> runs that case alone. A hang ends the run with a traceback.
"""

import faulthandler
import os
import random
from collections.abc import Callable

import pytest

from outboard import core

TOTAL = int(os.environ.get("OUTBOARD_FUZZ_CASES") or (24_000 if core() == "compiled" else 6_000))
SEED = os.environ.get("OUTBOARD_FUZZ_SEED") or "1"
ONLY = os.environ.get("OUTBOARD_FUZZ_CASE") or ""
HANG_S = 60
"""Seconds without a finished batch of cases after which the run has hung."""
BATCH = 50

SHARES = {"chains": 38, "commands": 26, "control": 16, "streams": 4, "answers": 10, "displays": 6}
"""Per cent of all cases."""


def cases(target: str) -> int:
    """Return how many cases a target has."""
    return max(1, TOTAL * SHARES[target] // 100)


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
                self._watch()
            try:
                case(random.Random(seed))
            except BaseException as error:
                error.add_note(f"fuzz case {seed}; to run it again: OUTBOARD_FUZZ_CASE={seed} pytest tests/fuzz")
                raise
            finally:
                faulthandler.cancel_dump_traceback_later() if number + 1 == len(seeds) else None
        self.tell(target, len(seeds))

    def tell(self, target: str, count: int) -> None:
        """Print how many cases ran."""
        with self._capture.global_and_fixture_disabled():
            print(f"\nfuzz {target}: {count} cases, seed {SEED}, {core()} core", flush=True)

    def _watch(self) -> None:
        faulthandler.dump_traceback_later(HANG_S, exit=True, file=self._terminal)


@pytest.fixture
def campaign(request):
    """The runner of a target's cases."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        terminal = os.dup(2)
    yield Campaign(capture, terminal)
    faulthandler.cancel_dump_traceback_later()
    os.close(terminal)
