"""Coroutines and completions, in both worlds."""

import pytest

from outboard.aio import Completion, Home, co_enter, co_run
from outboard.aio.coroutine import co_move, together
from outboard.errors import LocalError

pytestmark = pytest.mark.alike


@pytest.fixture
def home_thread(ctx):
    ctx.poll(False)
    return ctx


async def value_of(completion):
    return await completion


def test_a_coroutine_begins_at_once_in_its_home_thread(home_thread):
    calls = []

    async def whole():
        calls.append("begun")
        return 5

    task = co_enter(home_thread, whole())
    assert calls == ["begun"] and task.done and task.result() == 5


def test_it_begins_in_a_bottom_half_elsewhere(ctx):
    async def whole():
        return ctx.in_home_thread

    task = co_enter(ctx, whole())
    assert not task.done
    with pytest.raises(LocalError, match="not completed yet"):
        task.result()
    ctx.poll(True)
    assert task.result() is True


def test_it_resumes_in_a_bottom_half_and_not_before(home_thread):
    done = Completion()
    task = co_enter(home_thread, value_of(done))
    done.set_result(7)
    assert not task.done
    home_thread.poll(True)
    assert task.result() == 7


def test_what_is_done_is_not_waited_for(home_thread):
    done = Completion()
    done.set_result(1)
    assert co_enter(home_thread, value_of(done)).result() == 1


def test_exceptions_arrive(home_thread):
    done = Completion()
    task = co_enter(home_thread, value_of(done), kept=True)
    done.set_exception(LookupError("as asked"))
    home_thread.poll(True)
    with pytest.raises(LookupError, match="as asked"):
        task.result()


def test_an_exception_that_nobody_awaits_is_a_bug(home_thread):
    async def fails():
        raise LookupError("as asked")

    with pytest.raises(LookupError):
        co_enter(home_thread, fails())
    bugs = []
    home_thread.on_bug = bugs.append
    co_enter(home_thread, fails())
    assert [str(bug) for bug in bugs] == ["as asked"]


def test_completions_are_completed_and_awaited_once(home_thread):
    done = Completion()
    done.on_done(lambda: None)
    done.set_result(1)
    with pytest.raises(LocalError, match="completed twice"):
        done.set_result(2)
    with pytest.raises(LocalError, match="completed twice"):
        done.set_exception(ValueError())
    with pytest.raises(LocalError, match="awaited twice"):
        done.on_done(lambda: None)


def test_only_what_belongs_to_contexts_can_be_awaited(home_thread):
    class Other:
        def __await__(self):
            yield "something else"

    async def whole():
        await Other()

    with pytest.raises(LocalError, match="cannot await 'something else'"):
        co_enter(home_thread, whole())
    assert co_enter(home_thread, value_of(Completion())).done is False


def test_co_run_polls_until_it_is_done(home_thread):
    async def whole():
        done = Completion()
        home_thread.call_later(0.001, lambda: done.set_result("late"))
        return await done

    assert co_run(home_thread, whole()) == "late"
    assert co_run(Home(home_thread), whole()) == "late"


def test_together_waits_for_all_and_raises_the_first(home_thread):
    done = [Completion() for _ in range(3)]

    async def whole():
        return await together(home_thread, *(value_of(one) for one in done))

    task = co_enter(home_thread, whole(), kept=True)
    for number in (2, 0, 1):
        assert not task.done
        done[number].set_result(number)
        while home_thread.poll(False):
            pass
    assert task.result() == [0, 1, 2]

    done = [Completion() for _ in range(3)]
    task = co_enter(home_thread, whole(), kept=True)
    done[2].set_exception(LookupError("last"))
    done[1].set_exception(LookupError("first"))
    while home_thread.poll(False):
        pass
    assert not task.done
    done[0].set_result(0)
    while home_thread.poll(False):
        pass
    with pytest.raises(LookupError, match="first"):
        task.result()


def test_tasks_can_be_awaited(home_thread):
    done = Completion()
    inner = co_enter(home_thread, value_of(done), kept=True)

    async def whole():
        return await inner

    outer = co_enter(home_thread, whole())
    done.set_result(4)
    while home_thread.poll(False):
        pass
    assert outer.result() == 4


def test_a_coroutine_follows_its_home(here, ctx):
    home, done = Home(ctx), Completion()
    other = here.context("other")
    task = co_enter(home, value_of(done))
    ctx.poll(True)
    home.move(other)
    done.set_result(3)
    assert not ctx.poll(False)
    ctx.abandon()
    while not task.done:
        other.poll(True)
    assert task.result() == 3


def test_co_move_goes_on_elsewhere(here, ctx):
    other, where = here.context("other"), []

    async def whole():
        where.append(ctx.in_home_thread)
        await co_move(other)
        where.append(other.in_home_thread)

    co_enter(ctx, whole())
    ctx.poll(True)
    ctx.abandon()
    other.poll(True)
    assert where == [True, True]


def test_a_task_has_the_name_of_its_coroutine(home_thread):
    assert co_enter(home_thread, value_of(Completion())).name == "value_of"
