"""The simulator itself: that it tries what it says, finds what is wrong, and says what it cannot follow."""

import itertools

import pytest

from outboard.aio import Home, current_context, main_context
from outboard.aio.schedule import Schedule, trimmed
from outboard.aio.simulator import Deadlock, Endless, Simulator, explore, replay
from outboard.aio.wait import wait_while

pytestmark = pytest.mark.alike


def test_schedules_depth_first_are_all_there_are():
    seen, given = [], []
    while given is not None:
        schedule = Schedule(given)
        width = 2 + schedule.choose(2)
        seen.append((width - 2, schedule.choose(width), schedule.choose(1)))
        given = schedule.following()
    assert seen == [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0), (1, 2, 0)]


def test_schedules_by_seed_are_the_same_again():
    one, two = Schedule(seed=5), Schedule(seed=5)
    choices = [one.choose(5) for _ in range(50)]
    assert choices == [two.choose(5) for _ in range(50)] == one.taken and set(choices) == set(range(5))
    assert [Schedule([9, 1]).choose(3) for _ in range(2)] == [2, 2]
    assert trimmed([0, 2, 0, 0]) == [0, 2] and trimmed([0]) == []


def test_all_orders_of_steps_are_tried():
    orders = set()

    def program(sim):
        order = []

        def script(name):
            for number in range(2):
                order.append(f"{name}{number}")
                yield

        sim.thread("a", lambda: script("a"))
        sim.thread("b", lambda: script("b"))
        return lambda: orders.add(tuple(order))

    found = explore(program)
    assert found.complete and found.cut == 0 and found.failure is None
    wanted = {p for p in itertools.permutations(["a0", "a1", "b0", "b1"]) if p.index("a0") < p.index("a1")}
    assert orders == {order for order in wanted if order.index("b0") < order.index("b1")}


def test_time_goes_by_only_where_it_is_waited_for_and_may_at_any_moment():
    seen = set()

    def seconds(sim):
        return sim.clock_ns // 1_000_000_000  # each look at fds takes a microsecond

    def program(sim):
        ctx, order = sim.context("ctx"), []
        ctx.call_later(1.0, lambda: order.append(("timer", seconds(sim))))
        sim.thread("script", lambda: order.append(("script", seconds(sim))))
        return lambda: seen.add(tuple(order))

    assert explore(program).complete
    assert seen == {
        (("script", 0), ("timer", 1)),
        (("script", 1), ("timer", 1)),
        (("timer", 1), ("script", 1)),
    }


def test_a_deadlock_is_found():
    """Two threads that take two contexts in different orders."""

    def program(sim):
        one, two = sim.context("one"), sim.context("two")

        def script(first, second):
            with first:
                yield
                with second:
                    pass

        sim.thread("a", lambda: script(one, two))
        sim.thread("b", lambda: script(two, one))

    found = explore(program)
    assert found.failure is not None and isinstance(found.failure.error, Deadlock)
    assert "all wait: " in str(found.failure)
    with pytest.raises(Deadlock):
        replay(program, found.failure.schedule)


def test_who_waits_for_nothing_is_named():
    def program(sim):
        sim.main = sim.context("main")
        sim.main.call_soon(lambda: wait_while(sim.main, lambda: True))

    found = explore(program)
    assert str(found.failure.error) == "all wait: main"


def test_a_run_without_an_end_is_found():
    def program(sim):
        ctx = sim.context("ctx")
        half = ctx.bh_new(lambda: half.schedule())
        half.schedule()

    assert isinstance(explore(program, 1).failure.error, Endless)


def test_exceptions_of_callbacks_scripts_and_checks_are_failures():
    def raises():
        raise LookupError("as asked")

    def in_callback(sim):
        ctx, home = sim.context("ctx"), Home(sim.context("other"))
        ctx.call_soon(raises)
        sim.thread("waits", lambda: home.run_in(int))

    for program in (in_callback, lambda sim: sim.thread("script", raises), lambda sim: raises, lambda sim: raises()):
        found = explore(program, 50)
        assert found.failure is not None and str(found.failure.error) == "as asked"


def test_what_one_stack_cannot_follow_is_cut_and_counted():
    """`inner` waits for what `outer` does after its own wait, which lies below it on the stack."""

    def program(sim):
        main, ctx = sim.context("main"), sim.context("ctx")
        sim.main, done = main, set()

        def outer():
            wait_while(main, lambda: "first" not in done)
            done.add("second")
            ctx.notify()

        def inner():
            done.add("first")
            main.notify()
            while "second" not in done:
                ctx.poll(True)

        main.call_soon(outer)
        ctx.call_soon(inner)

    found = explore(program, 200)
    assert found.failure is None and 0 < found.cut < found.schedules


def test_a_world_has_a_main_context_and_current_ones():
    sim = Simulator()
    seen = []
    with sim.inside():
        main, ctx = main_context(), sim.context("ctx")
        assert main_context() is main and main.name == "main" and current_context() is main
    for one in (main, ctx):
        one.call_soon(lambda: seen.append(current_context()))
    sim.thread("script", lambda: seen.append(current_context()))
    sim.run()
    assert sorted(one.name for one in seen) == ["ctx", "main", "main"]
    seen.clear()
    ctx.call_soon(lambda: seen.append(current_context()))
    sim.run()
    assert seen == [ctx]


def test_numbers_of_fds_are_used_again():
    sim = Simulator()
    one, two = sim.notifier(), sim.notifier()
    one.close()
    assert sim.notifier().fd == one.fd != two.fd
