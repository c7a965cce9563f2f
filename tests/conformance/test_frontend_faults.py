"""The kit's own test, front-ends: each deliberate fault is caught by the check that names it."""

import contextlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from outboard.conformance.check import Status, run_one
from outboard.conformance.frontend.run import CHECKS
from outboard.conformance.frontend.stage import Stage
from tests.conformance.frontends import FAULTS

pytestmark = pytest.mark.alike

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 2.0
"""For what a faulty front-end never answers."""
AT_ONCE = 2


def outcome(name):
    """Run the check that is to catch a fault on a front-end that has it; return the result."""
    argv = [sys.executable, "-m", "tests.conformance.frontends", "{socket}", name]
    with contextlib.closing(Stage(None, argv, TIMEOUT_S, hostile=True)) as stage:

        @contextlib.contextmanager
        def opened():
            stage.begin()
            yield stage

        return run_one(CHECKS[FAULTS[name].check], opened)


@pytest.fixture(scope="module")
def outcomes():
    """Results of all faults, some run at once: most of the time goes by waiting."""
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(AT_ONCE) as pool:
        patch.setenv("PYTHONPATH", str(ROOT), prepend=":")
        return dict(zip(FAULTS, pool.map(outcome, FAULTS), strict=True))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", FAULTS)
def test_the_check_that_names_the_fault_catches_it(outcomes, name):
    result = outcomes[name]
    assert result.status == Status.FAIL, result
    assert result.expected and result.got, result


def test_every_mild_check_catches_some_fault():
    """But for the one that nobody can see, and the one that needs another check's probe (`test_frontend_sound`)."""
    caught = {fault.check for fault in FAULTS.values()}
    mild = {row.id for row in CHECKS if not row.id.startswith("front.hostile.")}
    assert mild - caught == {"front.picture.shown", "front.reply.order"}
