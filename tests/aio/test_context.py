"""A context polled by the test: the same on real fds and simulated ones."""

import pytest

from outboard.aio import current_context, observe
from outboard.errors import LocalError
from outboard.host.loop import EDGE, READ, WRITE

pytestmark = pytest.mark.alike


def drain(ctx):
    """Poll until nothing is ready."""
    while ctx.poll(False):
        pass


# Fds


def test_a_handler_is_called_as_long_as_its_fd_is_ready(here, ctx):
    notifier, calls = here.notifier(), []
    ctx.set_fd_handler(notifier.fd, on_read=lambda: calls.append("read"))
    assert not ctx.poll(False)
    notifier.set()
    assert ctx.poll(True) and ctx.poll(True) and calls == ["read", "read"]
    assert notifier.test_and_clear() and not notifier.test_and_clear()
    assert not ctx.poll(False)


def test_reading_comes_before_writing(here, ctx):
    notifier, calls = here.notifier(), []
    ctx.set_fd_handler(notifier.fd, lambda: calls.append("read"), lambda: calls.append("write"))
    notifier.set()
    ctx.poll(True)
    assert calls == ["read", "write"]
    ctx.set_fd_handler(notifier.fd, on_write=lambda: calls.append("only"))
    ctx.poll(True)
    assert calls == ["read", "write", "only"]
    ctx.set_fd_handler(notifier.fd)
    assert not ctx.poll(False)
    ctx.set_fd_handler(notifier.fd)


def test_a_read_handler_that_removes_itself_keeps_the_write_handler_from_running(here, ctx):
    notifier, calls = here.notifier(), []
    ctx.set_fd_handler(notifier.fd, lambda: ctx.set_fd_handler(notifier.fd), lambda: calls.append("write"))
    notifier.set()
    ctx.poll(True)
    assert calls == [] and not ctx.poll(False)


def test_edges_are_told_once_each_and_again_where_the_fd_is_added(here, ctx):
    notifier, calls = here.notifier(), []
    ctx.add(notifier.fd, READ | EDGE, lambda: calls.append(1))
    notifier.set()
    assert ctx.poll(True) and not ctx.poll(False)
    notifier.set()
    assert ctx.poll(True) and len(calls) == 2
    ctx.remove(notifier.fd)
    ctx.remove(notifier.fd)
    ctx.add(notifier.fd, READ | EDGE, lambda: calls.append(2))
    assert ctx.poll(True) and calls == [1, 1, 2]


def test_other_events_are_waited_for_after_change(here, ctx):
    notifier, calls = here.notifier(), []
    ctx.add(notifier.fd, READ, lambda: calls.append(1))
    assert not ctx.poll(False)
    ctx.change(notifier.fd, READ | WRITE)
    assert ctx.poll(False) and calls == [1]
    ctx.change(notifier.fd, READ)
    assert not ctx.poll(False)


def test_misuse_of_fds_is_said(here, ctx):
    notifier = here.notifier()
    ctx.add(notifier.fd, READ, lambda: None)
    with pytest.raises(LocalError, match=f"fd {notifier.fd} has a handler"):
        ctx.add(notifier.fd, READ, lambda: None)
    with pytest.raises(LocalError, match="fd 999 has no handler"):
        ctx.change(999, READ)
    with pytest.raises(OSError):
        ctx.add(1 << 20, READ, lambda: None)
    with pytest.raises(OSError):
        ctx.add(1 << 20, READ, lambda: None)


def test_a_handler_that_was_removed_while_ready_does_not_run(here, ctx):
    notifiers, calls = [here.notifier() for _ in range(2)], []

    def handler(mine, other):
        calls.append(mine)
        ctx.remove(other.fd)

    for mine, other in (notifiers, notifiers[::-1]):
        ctx.add(mine.fd, READ | EDGE, lambda mine=mine, other=other: handler(mine, other))
        mine.set()
    ctx.poll(True)
    assert len(calls) == 1 and not ctx.poll(False)


def test_the_next_owner_of_a_number_is_not_told_of_the_one_before(here, ctx):
    notifiers, calls = [here.notifier() for _ in range(2)], []

    def handler(mine, other):
        ctx.remove(other.fd)
        number = other.fd
        other.close()
        new = here.notifier()
        assert new.fd == number
        ctx.add(number, READ, lambda: calls.append(new.test_and_clear()))
        ctx.remove(mine.fd)
        new_ones.append(new)

    new_ones = []
    for mine, other in (notifiers, notifiers[::-1]):
        ctx.add(mine.fd, READ, lambda mine=mine, other=other: handler(mine, other))
        mine.set()
    ctx.poll(True)
    assert not ctx.poll(False) and calls == []
    new_ones[0].set()
    assert ctx.poll(True) and calls == [True]


def test_handlers_are_polled_from_inside_a_handler(here, ctx):
    outer, inner, calls = here.notifier(), here.notifier(), []

    def waits():
        outer.test_and_clear()
        while "inner" not in calls:
            ctx.poll(True)
        calls.append("outer")

    def serves():
        inner.test_and_clear()
        calls.append("inner")

    ctx.add(outer.fd, READ | EDGE, waits)
    ctx.add(inner.fd, READ | EDGE, serves)
    outer.set()
    inner.set()
    drain(ctx)
    assert calls == ["inner", "outer"]
    calls.clear()
    outer.set()
    ctx.bh_schedule_oneshot(inner.set)
    drain(ctx)
    assert calls == ["inner", "outer"]


def test_external_handlers_wait_while_disabled(here, ctx):
    outside, inside, calls = here.notifier(), here.notifier(), []
    ctx.set_event_notifier(outside, lambda: calls.append(outside.test_and_clear()), external=True)
    ctx.set_event_notifier(inside, lambda: calls.append(inside.test_and_clear() and "inside"))
    ctx.disable_external()
    ctx.disable_external()
    outside.set()
    inside.set()
    drain(ctx)
    assert calls == ["inside"]
    ctx.enable_external()
    assert not ctx.poll(False)
    ctx.enable_external()
    assert ctx.poll(True) and calls == ["inside", True]
    with pytest.raises(LocalError, match="enabled already"):
        ctx.enable_external()


def test_external_handlers_come_and_go_while_disabled(here, ctx):
    first, second, calls = here.notifier(), here.notifier(), []
    ctx.add(first.fd, READ | EDGE, lambda: calls.append("first"), external=True)
    ctx.disable_external()
    ctx.remove(first.fd)
    ctx.add(second.fd, READ | EDGE, lambda: calls.append("second"), external=True)
    first.set()
    second.set()
    assert not ctx.poll(False)
    ctx.enable_external()
    drain(ctx)
    assert calls == ["second"]


def test_an_external_fd_that_was_closed_does_not_keep_the_others_out(here, ctx):
    gone, kept, calls = here.notifier(), here.notifier(), []
    for notifier in (gone, kept):
        ctx.set_event_notifier(notifier, lambda: calls.append(kept.test_and_clear()), external=True)
    ctx.disable_external()
    gone.close()
    kept.set()
    with pytest.raises(OSError):
        ctx.enable_external()
    drain(ctx)
    assert calls == [True]


def test_one_that_was_ready_when_disabled_runs_later(here, ctx):
    first, second, calls = here.notifier(), here.notifier(), []

    def disables():
        calls.append("first")
        ctx.disable_external()

    ctx.add(first.fd, READ | EDGE, disables)
    ctx.add(second.fd, READ | EDGE, lambda: calls.append("second"), external=True)
    second.set()
    ctx.bh_schedule_oneshot(disables)
    drain(ctx)
    assert calls == ["first"]
    ctx.enable_external()
    drain(ctx)
    assert calls == ["first", "second"]


# Bottom halves


def test_a_bottom_half_runs_once_for_many_schedules(ctx):
    calls = []
    half = ctx.bh_new(lambda: calls.append(1))
    assert not ctx.poll(False)
    half.schedule()
    half.schedule()
    assert ctx.poll(True) and calls == [1] and not ctx.poll(False)
    half.schedule()
    assert ctx.poll(True) and calls == [1, 1]


def test_one_that_schedules_itself_runs_in_the_next_round(ctx):
    calls = []

    def again():
        calls.append(1)
        half.schedule()

    half = ctx.bh_new(again)
    half.schedule()
    for rounds in range(1, 4):
        assert ctx.poll(False) and len(calls) == rounds


def test_a_cancelled_one_does_not_run_and_may_be_scheduled_again(ctx):
    calls = []
    half = ctx.bh_new(lambda: calls.append(1))
    half.schedule()
    half.cancel()
    assert not ctx.poll(False)
    half.schedule()
    half.cancel()
    half.schedule()
    assert ctx.poll(False) and calls == [1] and not ctx.poll(False)


def test_one_may_be_deleted_in_its_own_call(ctx):
    calls = []

    def once():
        calls.append(1)
        half.schedule()
        half.delete()
        half.schedule()

    half = ctx.bh_new(once)
    half.schedule()
    drain(ctx)
    assert calls == [1]


def test_one_may_cancel_and_delete_those_behind_it(ctx):
    calls = []
    halves = [ctx.bh_new(lambda name=name: calls.append(name)) for name in "bc"]
    ctx.bh_schedule_oneshot(lambda: (calls.append("a"), halves[0].cancel(), halves[1].delete()))
    for half in halves:
        half.schedule()
    drain(ctx)
    assert calls == ["a"]


def test_they_run_in_the_order_in_which_they_were_scheduled(ctx):
    calls = []
    for number in range(5):
        (ctx.call_soon, ctx.bh_schedule_oneshot, ctx.call_threadsafe)[number % 3](lambda n=number: calls.append(n))
    ctx.poll(True)
    assert calls == [0, 1, 2, 3, 4]


def test_a_nested_round_runs_the_rest_of_the_outer_one(ctx):
    calls = []
    ctx.call_soon(lambda: (ctx.poll(True), calls.append("outer")))
    ctx.call_soon(lambda: calls.append("inner"))
    ctx.call_soon(lambda: calls.append("inner too"))
    assert ctx.poll(True)
    assert calls == ["inner", "inner too", "outer"]


# Timers


def test_timers_run_when_they_are_due_in_their_order(ctx):
    calls, now = [], ctx.now_ns()
    timers = {name: ctx.timer_new(lambda name=name: calls.append(name)) for name in "abc"}
    timers["a"].mod_ns(now + 3_000_000)
    timers["b"].mod_ns(now + 1_000_000)
    timers["c"].mod_ns(now + 2_000_000)
    timers["c"].mod_ns(now + 3_000_000)
    while len(calls) < 3:
        ctx.poll(True)
    assert calls == ["b", "a", "c"] and ctx.now_ns() >= now + 3_000_000
    assert not ctx.poll(False)


def test_a_timer_is_anticipated_but_not_put_off(ctx):
    timer, far = ctx.timer_new(lambda: None), ctx.now_ns() + 10**12
    timer.mod_anticipate_ns(far)
    timer.mod_anticipate_ns(far + 1)
    assert timer.expire_ns == far
    timer.mod_anticipate_ns(far - 1)
    assert timer.expire_ns == far - 1
    timer.mod_ns(far + 1)
    assert timer.expire_ns == far + 1


def test_a_timer_may_be_armed_in_its_call(ctx):
    calls = []

    def tick():
        calls.append(timer.expire_ns)
        timer.mod_ns(0)

    timer = ctx.timer_new(tick)
    timer.mod_ns(0)
    for rounds in range(1, 4):
        assert ctx.poll(True) and len(calls) == rounds
    assert calls == [None] * 3


def test_disarmed_and_deleted_timers_do_not_run(ctx):
    calls = []
    timers = [ctx.timer_new(lambda: calls.append(1)) for _ in range(3)]
    for timer in timers:
        timer.mod_ns(0)
    timers[0].cancel()
    timers[1].delete()
    later = ctx.call_later(0, lambda: calls.append("later"))
    later.cancel()
    drain(ctx)
    assert calls == [1]
    timers[0].mod_ns(0)
    timers[1].mod_ns(0)
    drain(ctx)
    assert calls == [1, 1]


def test_a_callback_may_wait_for_a_timer_that_its_round_has_armed(ctx):
    calls = []
    second = ctx.timer_new(lambda: calls.append("second"))

    def waits():
        while not calls:
            ctx.poll(True)
        calls.append("waited")

    ctx.timer_new(lambda: second.mod_ns(0)).mod_ns(0)
    ctx.timer_new(waits).mod_ns(1)
    drain(ctx)
    assert calls == ["second", "waited"]


def test_a_timer_may_be_deleted_in_its_call_and_delete_others(ctx):
    calls = []

    def first_call():
        calls.append(1)
        first.delete()
        second.delete()
        first.mod_ns(0)

    first, second = ctx.timer_new(first_call), ctx.timer_new(lambda: calls.append(2))
    first.mod_ns(0)
    second.mod_ns(1)
    drain(ctx)
    assert calls == [1]


def test_a_wait_ends_when_a_timer_is_due_or_its_limit_is_reached(ctx):
    began = ctx.now_ns()
    assert not ctx.poll(True, limit_ns=2_000_000)
    assert ctx.now_ns() >= began + 2_000_000
    ctx.call_later(0.001, lambda: None)
    while not ctx.poll(True, limit_ns=10**12):
        pass
    assert ctx.now_ns() >= began + 3_000_000


# The rest


def test_notify_ends_one_wait_and_is_no_progress(ctx):
    ctx.notify()
    assert not ctx.poll(True)
    assert not ctx.poll(True, limit_ns=1000)


def test_exceptions_go_to_on_bug_and_the_others_run(here, ctx):
    notifier, bugs, calls = here.notifier(), [], []
    ctx.on_bug = bugs.append
    ctx.add(notifier.fd, READ | EDGE, lambda: 1 / 0)
    notifier.set()
    ctx.call_soon(lambda: [].pop())
    ctx.call_soon(lambda: calls.append(1))
    ctx.call_later(0, lambda: {}["key"])
    drain(ctx)
    assert [type(bug) for bug in bugs] == [IndexError, ZeroDivisionError, KeyError] and calls == [1]


def test_without_on_bug_poll_raises_and_goes_on_with_the_rest(here, ctx):
    notifiers, calls = [here.notifier() for _ in range(2)], []
    for notifier in notifiers:
        ctx.add(notifier.fd, READ | EDGE, lambda: (calls.append(1), 1 / 0))
        notifier.set()
    ctx.call_soon(lambda: [].pop())
    ctx.call_soon(lambda: calls.append("half"))
    with pytest.raises(IndexError):
        ctx.poll(True)
    for _ in notifiers:
        with pytest.raises(ZeroDivisionError):
            ctx.poll(True)
    drain(ctx)
    assert calls == ["half", 1, 1]
    assert ctx.lock.depth == 0


def test_the_context_is_acquired_in_its_callbacks(ctx):
    depths = []
    ctx.call_soon(lambda: depths.append(ctx.lock.depth))
    with ctx, ctx:
        ctx.poll(True)
    ctx.call_soon(lambda: depths.append(ctx.lock.depth))
    ctx.poll(True)
    assert depths == [3, 1] and ctx.lock.depth == 0


def test_a_thread_is_home_of_one_context(here, ctx):
    ctx.poll(False)
    assert ctx.in_home_thread and current_context() is ctx
    other = here.context("other")
    with pytest.raises(LocalError, match="context other: ctx is of this thread"):
        other.poll(False)
    ctx.abandon()
    assert not ctx.in_home_thread
    other.poll(False)
    assert current_context() is other


# Adaptive polling


def test_polling_is_off_until_asked_for_and_refuses_nonsense(ctx):
    ctx.poll(True, limit_ns=1000)
    assert ctx.poll_ns == 0
    with pytest.raises(LocalError, match="from 0 on, got -1, 0, 0"):
        ctx.set_poll_params(-1)


def test_a_poll_callback_spares_the_wait(here, ctx):
    notifier, work = here.notifier(), []

    def look():
        return bool(work) and work.pop() == 1

    ctx.set_event_notifier(notifier, lambda: pytest.fail("nothing was set"), poll=look)
    ctx.set_poll_params(10**12)
    ctx.notify()
    ctx.poll(True)
    ctx.poll(True, limit_ns=100_000)
    assert ctx.poll_ns > 0
    work.append(1)
    with observe.recorded() as calls:
        assert ctx.poll(True, limit_ns=10**12) and not work
    assert [(ran.what, ran.call) for ran in calls] == [("poll", look)]


def test_a_bug_of_a_poll_callback_is_a_bug(here, ctx):
    notifier, bugs = here.notifier(), []
    ctx.on_bug = bugs.append
    ctx.set_event_notifier(notifier, notifier.test_and_clear, poll=lambda: {}["key"])
    ctx.set_poll_params(1_000_000)
    assert ctx.poll(True, limit_ns=10**12)
    assert [type(bug) for bug in bugs] == [KeyError]


def test_while_polling_everything_else_is_seen(here, ctx):
    notifier, calls = here.notifier(), []
    ctx.add(notifier.fd, READ | EDGE, lambda: calls.append("fd"))
    ctx.set_poll_params(10_000_000)
    ctx.poll(True, limit_ns=50_000)
    for kick in (notifier.set, lambda: ctx.call_soon(lambda: calls.append("half"))):
        kick()
        assert ctx.poll(True, limit_ns=10**12)
    timer = ctx.timer_new(lambda: calls.append("timer"))
    timer.mod_ns(ctx.now_ns() + 100_000)
    while len(calls) < 3:
        ctx.poll(True)
    assert calls == ["fd", "half", "timer"]
    ctx.set_poll_params(0)
    assert ctx.poll_ns == 0


# Observing


def test_hooks_are_told_what_ran(here, ctx):
    notifier = here.notifier()
    ctx.set_event_notifier(notifier, notifier.test_and_clear)
    ctx.call_later(0, int)
    ctx.call_soon(lambda: [].pop())
    ctx.on_bug = lambda _: None
    with observe.recorded() as calls:
        notifier.set()
        drain(ctx)
    ctx.call_soon(int)
    drain(ctx)
    assert [ran.what for ran in calls] == ["bottom half", "read", "timer"]
    assert calls[2].call is int
    for ran in calls:
        assert ran.context == "ctx" and ran.thread == here.world.ident() and ran.begin_ns <= ran.end_ns
    observe.unlisten(print)
