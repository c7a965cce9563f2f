"""The block graph under thousands of schedules: whoever may go on next is tried, depth first and at random.

Nothing is lost, completed twice or run in two contexts; nothing runs after detach; a refusal changes nothing. Then each
of the rules is broken, and a program must notice.
"""

import pytest

from outboard.aio.simulator import explore, replay
from tests.block.mutants import MUTANTS
from tests.block.programs import PROGRAMS

SCHEDULES = 400
"""Of each program, about 12,000 in all."""
TO_NOTICE = 600
pytestmark = [
    pytest.mark.alike,
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited"),  # of a run that was cut short
]


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_schedule_keeps_the_rules(name):
    found = explore(PROGRAMS[name], SCHEDULES)
    assert found.failure is None, found.failure
    assert found.complete or found.schedules == SCHEDULES
    assert found.cut < found.schedules / 4, "too many schedules were cut short to say much"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule.replace(" ", "-"))
def test_a_broken_rule_is_noticed(mutant):
    with mutant.alive():
        failures = (explore(PROGRAMS[name], TO_NOTICE).failure for name in mutant.programs.split())
        assert any(failures), "no schedule has shown it"


def test_a_failure_can_be_replayed():
    mutant = next(one for one in MUTANTS if one.rule == "a mirror ends when nothing is dirty")
    with mutant.alive():
        failure = explore(PROGRAMS[mutant.programs], TO_NOTICE).failure
        with pytest.raises(type(failure.error)) as again:
            replay(PROGRAMS[mutant.programs], failure.schedule)
    assert str(again.value) == str(failure.error)


def test_every_program_and_every_rule_has_a_name_of_its_own():
    assert len({mutant.rule for mutant in MUTANTS}) == len(MUTANTS)
    assert {name for mutant in MUTANTS for name in mutant.programs.split()} <= set(PROGRAMS)
