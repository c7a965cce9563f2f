"""Functions that wait in the midst, as parts of programs."""

import threading

import pytest

from outboard.machine.cpu import WAIT
from outboard.machine.guest.waiting import steps

pytestmark = pytest.mark.alike


def drive(program, limit=100):
    """Run a program; return what it yielded, and what it returned."""
    asked = []
    for _ in range(limit):
        try:
            asked.append(next(program))
        except StopIteration as end:
            return asked, end.value
    raise AssertionError("it does not end")


def test_a_function_waits_and_returns():
    order = []

    def body(pause):
        for number in range(3):
            order.append(number)
            pause()
        return "done"

    def program():
        got = yield from steps(body)
        order.append(got)
        return got

    assert drive(program()) == ([WAIT] * 3, "done")
    assert order == [0, 1, 2, "done"]


def test_one_that_does_not_wait_ends_at_once():
    assert drive(steps(lambda pause: 7)) == ([], 7)


def test_what_it_raises_is_raised_where_it_is_driven():
    def body(pause):
        pause()
        raise ValueError("of the body")

    program = steps(body)
    assert next(program) is WAIT
    with pytest.raises(ValueError, match="of the body"):
        next(program)


def test_two_take_turns():
    order = []

    def body(name):
        def run(pause):
            for _ in range(3):
                order.append(name)
                pause()

        return run

    programs = [steps(body("a")), steps(body("b"))]
    for _ in range(3):
        for program in programs:
            next(program)
    assert order == ["a", "b"] * 3


def test_a_program_that_is_stopped_leaves_nothing_running():
    before, ends = threading.active_count(), []

    def body(pause):
        try:
            while True:
                try:
                    pause()
                except Exception:  # what a driver may well write
                    ends.append("caught")
        finally:
            ends.append("over")

    program = steps(body)
    next(program)
    assert threading.active_count() == before + 1
    program.close()
    assert ends == ["over"] and threading.active_count() == before
