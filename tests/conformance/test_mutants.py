"""The kit's own test: each deliberate fault is caught by the checks that name it, the sound back-end passes them."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from outboard.conformance.backend.run import CHECKS
from outboard.conformance.check import Status
from tests.conformance.mutants import MUTANTS, SOUND, edited, sources
from tests.conformance.patience import results

pytestmark = pytest.mark.alike

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 1.0
"""For what a mutant never answers; the sound back-end is given more."""
SOUND_TIMEOUT_S = 10.0
AT_ONCE = 6


@pytest.fixture(autouse=True)
def _root_importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=":")


def outcomes(name, check_ids, timeout_s):
    """Run checks on a back-end of `mutants`; return their results by id."""
    argv = [sys.executable, "-m", "tests.conformance.mutants", name, "--socket", "{socket}"]
    rows = [CHECKS[check_id] for check_id in check_ids]
    return {result.check.id: result for result in results(argv, rows, timeout_s)}


@pytest.fixture(scope="module")
def mutants_outcomes():
    """Results of each mutant's checks, all run at once: most of the time goes by waiting."""
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(AT_ONCE) as pool:
        patch.setenv("PYTHONPATH", str(ROOT), prepend=":")
        pending = {one.name: pool.submit(outcomes, one.name, one.caught_by, TIMEOUT_S) for one in MUTANTS.values()}
        return {name: future.result() for name, future in pending.items()}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_the_check_that_names_the_fault_catches_it(mutants_outcomes, mutant):
    caught = mutants_outcomes[mutant.name]
    if any(result.status != Status.FAIL for result in caught.values()):
        caught = outcomes(mutant.name, mutant.caught_by, TIMEOUT_S)  # alone: some faults show late where much goes on
    assert {one: result.status for one, result in caught.items()} == dict.fromkeys(mutant.caught_by, Status.FAIL)
    for result in caught.values():
        assert result.expected and result.got and "please report" not in result.got, result


def test_the_sound_back_end_passes_all_of_them():
    wanted = dict.fromkeys(one for mutant in MUTANTS.values() for one in mutant.caught_by)
    passed = outcomes(SOUND, wanted, SOUND_TIMEOUT_S)
    assert [result for result in passed.values() if result.status != Status.PASS] == []


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_every_edit_changes_a_module_that_still_compiles(mutant):
    assert mutant.edits
    for module in {edit.module for edit in mutant.edits}:
        path = sources().joinpath(*module.split(".")).with_suffix(".py")
        before = path.read_text(encoding="utf-8")
        after = edited(before, [edit for edit in mutant.edits if edit.module == module])
        assert compile(after, str(path), "exec") != compile(before, str(path), "exec")


def test_faults_are_told_apart_by_name_and_by_words():
    assert len({mutant.fault for mutant in MUTANTS.values()}) == len(MUTANTS) >= 30
    assert len({mutant.edits for mutant in MUTANTS.values()}) == len(MUTANTS)
