"""Each rule of contexts under thousands of schedules, and what finds contexts that break one."""

import gc
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from outboard.aio.simulator import explore, replay
from tests.aio.mutants import MUTANTS
from tests.aio.programs import PROGRAMS, explored
from tests.conformance.mutants import edited, sources

pytestmark = pytest.mark.alike

ROOT = Path(__file__).parents[2]
LIMIT = 1000
CUT_MAX = 0.4
"""Of the schedules of a program, at most, may be such that the simulator cannot follow them to the end."""


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")  # of runs that are cut short
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_schedule_keeps_the_rule(name):
    found = explored(name, LIMIT)
    gc.collect()  # here, where the warnings are expected
    assert found.failure is None, str(found.failure)
    assert found.complete or found.schedules == LIMIT
    assert found.cut <= CUT_MAX * found.schedules


@pytest.fixture(scope="module")
def mutants_ends():
    """How the exploration of each mutant ended, two at a time."""

    def end(name):
        words = [sys.executable, "-W", "ignore", "-m", "tests.aio.mutants", name]
        return subprocess.run(words, cwd=ROOT, env=os.environ, capture_output=True, text=True)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(MUTANTS, pool.map(end, MUTANTS), strict=True))


@pytest.mark.parametrize("name", MUTANTS)
def test_a_context_without_the_rule_is_found(mutants_ends, name):
    ended = mutants_ends[name]
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "schedule [" in ended.stdout


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_mutant_is_the_package_with_one_rule_changed(mutant):
    assert mutant.program in PROGRAMS
    for module in {edit.module for edit in mutant.edits}:
        text = (sources() / f"{module.replace('.', '/')}.py").read_text()
        assert edited(text, [edit for edit in mutant.edits if edit.module == module]) != text


def test_every_program_finds_a_mutant():
    assert {mutant.program for mutant in MUTANTS.values()} >= set(PROGRAMS) - {"no_kick_is_lost"}


def test_a_failure_can_be_replayed():
    def program(sim):
        ctx, order = sim.context("ctx"), []
        sim.thread("one", lambda: ctx.call_soon(lambda: order.append(1)))
        sim.thread("two", lambda: ctx.call_soon(lambda: order.append(2)))

        def check():
            assert order == [1, 2]

        return check

    found = explore(program, 100)
    assert found.failure is not None and found.schedules > 1
    for _ in range(3):
        with pytest.raises(AssertionError):
            replay(program, found.failure.schedule)
    replay(program, [])
