"""Programs that hold one rule of contexts each, for the simulator: every schedule of each has to keep it.

python -m tests.aio.programs [--limit N] [NAME…]     explore them; exit code 1 when one fails
"""

import argparse
import sys
from collections import defaultdict

from outboard.aio import Completion, Home, co_enter, co_run, current_context
from outboard.aio.coroutine import co_move, together
from outboard.aio.simulator import Explored, Simulator, explore
from outboard.aio.wait import kick, wait_while
from outboard.host.loop import EDGE, READ

PROGRAMS = {}


def program(function):
    PROGRAMS[function.__name__] = function
    return function


def kicker(notifier, times):
    def script():
        for _ in range(times):
            notifier.set()
            yield

    return script


# Fds


@program
def no_kick_is_lost(sim: Simulator):
    """Whatever was set is told, in the home thread."""
    ctx, notifier = sim.context("ctx"), sim.notifier()

    def handler():
        assert current_context() is ctx
        notifier.test_and_clear()

    ctx.add(notifier.fd, READ | EDGE, handler)
    sim.thread("one", kicker(notifier, 2))
    sim.thread("two", kicker(notifier, 2))
    return lambda: _clear(notifier)


def _clear(*notifiers):
    for notifier in notifiers:
        assert not notifier.test_and_clear(), "a kick was lost"


@program
def no_handler_after_removal(sim: Simulator):
    """A removed handler does not run, and the number's next owner hears nothing of the one before."""
    ctx, old, other = sim.context("ctx"), sim.notifier(), sim.notifier()
    gone, kicked, heard = [], [], []

    def of_old():
        assert not gone, "called after it was removed"
        old.test_and_clear()

    def of_new(new):
        assert kicked, "called for an fd that is closed"
        heard.append(new.test_and_clear())

    def remover():
        yield
        with ctx:
            ctx.remove(old.fd)
            gone.append(True)
            number = old.fd
            old.close()
            new = sim.notifier()
            assert new.fd == number
            ctx.add(new.fd, READ | EDGE, lambda: of_new(new))
        yield
        kicked.append(True)
        new.set()

    ctx.add(other.fd, READ | EDGE, other.test_and_clear)
    ctx.add(old.fd, READ | EDGE, of_old)
    sim.thread("other", kicker(other, 1))
    sim.thread("kicker", lambda: old.set() if not gone else None)
    sim.thread("remover", remover)
    return lambda: _equal(heard, [True])


@program
def a_number_is_reused_in_a_nested_poll(sim: Simulator):
    """As above while the context waits inside a callback."""
    ctx, old = sim.context("ctx"), sim.notifier()
    done, gone, kicked, heard = [], [], [], []

    def nested():
        while not done:
            ctx.poll(True)

    def of_new(new):
        assert kicked, "called for an fd that is closed"
        heard.append(new.test_and_clear())
        done.append(True)

    def remover():
        yield
        ctx.remove(old.fd)
        old.close()
        gone.append(True)
        new = sim.notifier()
        ctx.add(new.fd, READ | EDGE, lambda: of_new(new))
        yield
        kicked.append(True)
        new.set()

    ctx.add(old.fd, READ | EDGE, old.test_and_clear)
    ctx.call_soon(nested)
    sim.thread("kicker", lambda: None if gone else old.set())
    sim.thread("remover", remover)
    return lambda: _equal(heard, [True])


def _equal(got, expected):
    assert got == expected, (got, expected)


@program
def nothing_external_while_disabled(sim: Simulator):
    """Disabled as often as it was; then told of all that came meanwhile."""
    ctx, outer, inner = sim.context("ctx"), sim.notifier(), sim.notifier()
    disabled, heard = [], []

    def handler():
        assert not disabled, "called although it is disabled"
        outer.test_and_clear()

    def drainer():
        with ctx:
            ctx.disable_external()
            disabled.append(1)
        yield
        ctx.disable_external()
        ctx.enable_external()
        yield
        disabled.clear()
        ctx.enable_external()

    ctx.add(outer.fd, READ | EDGE, handler, external=True)
    ctx.set_event_notifier(inner, lambda: heard.append(inner.test_and_clear()))
    sim.thread("drainer", drainer)
    sim.thread("outer", kicker(outer, 2))
    sim.thread("inner", kicker(inner, 1))
    return lambda: (_clear(outer, inner), _equal(heard, [True]))


@program
def a_nested_poll_runs_what_is_ready(sim: Simulator):
    """A callback that waits for another is not kept from it by having been told first."""
    ctx, first, second = sim.context("ctx"), sim.notifier(), sim.notifier()
    done = []

    def waits():
        first.test_and_clear()
        while not done:
            ctx.poll(True)

    def serves():
        second.test_and_clear()
        done.append(True)

    def both():
        ctx.acquire()
        first.set()
        second.set()
        ctx.release()
        yield

    ctx.add(first.fd, READ | EDGE, waits)
    ctx.add(second.fd, READ | EDGE, serves)
    sim.thread("both", both)
    return lambda: (_clear(first, second), _equal(done, [True]))


# Bottom halves


@program
def no_bottom_half_is_lost(sim: Simulator):
    """A call begins after each `schedule`, at most one for each."""
    ctx = sim.context("ctx")
    asked, seen, again = [], [], [True]

    def call():
        assert current_context() is ctx
        seen.append(len(asked))
        if again:
            again.clear()
            schedule()
            rounds = len(seen)
            ctx.poll(False)
            assert len(seen) == rounds + 1, "a nested round runs what was scheduled before"

    def schedule():
        asked.append(True)
        half.schedule()

    def script():
        for _ in range(2):
            schedule()
            yield

    half = ctx.bh_new(call)
    sim.thread("one", script)
    sim.thread("two", script)

    def check():
        assert seen[-1] == len(asked), "a bottom half was lost"
        assert len(seen) <= len(asked), "a bottom half ran too often"

    return check


@program
def a_round_ends(sim: Simulator):
    """What a bottom half or a timer schedules is for the next round."""
    ctx = sim.context("ctx", served=False)
    ran = []

    def again():
        ran.append(sim.clock_ns)
        if len(ran) < 5:
            half.schedule()

    def tick():
        ran.append(sim.clock_ns)
        if len(ran) < 5:
            timer.mod_ns(0)

    half, timer = ctx.bh_new(again), ctx.timer_new(tick)

    def script():
        half.schedule()
        for rounds in range(1, 6):
            assert ctx.poll(False)
            assert len(ran) == rounds, "a round made the calls of the next"
        ran.clear()
        timer.mod_ns(0)
        for rounds in range(1, 6):
            assert ctx.poll(False)
            assert len(ran) == rounds, "a round made the calls of the next"
        yield

    sim.thread("home", script)
    return lambda: _equal(len(ran), 5)


@program
def oneshots_run_once_in_order(sim: Simulator):
    """Each thread's calls are made once, in its order."""
    ctx, made = sim.context("ctx"), defaultdict(list)

    def script(name):
        for number in range(3):
            ctx.bh_schedule_oneshot(lambda number=number: made[name].append(number))
            yield

    sim.thread("one", lambda: script("one"))
    sim.thread("two", lambda: script("two"))
    return lambda: _equal(made, {"one": [0, 1, 2], "two": [0, 1, 2]})


@program
def nothing_cancelled_or_deleted_runs(sim: Simulator):
    """Bottom halves and timers that were taken back, by a thread that has the context."""
    ctx = sim.context("ctx")
    off, ran = set(), []

    def call(name):
        assert name not in off, f"{name} ran after it was taken back"
        ran.append(name)

    cancelled, deleted = ctx.bh_new(lambda: call("cancelled")), ctx.bh_new(lambda: call("deleted"))
    disarmed, removed = ctx.timer_new(lambda: call("disarmed")), ctx.timer_new(lambda: call("removed"))

    def script():
        cancelled.schedule()
        deleted.schedule()
        disarmed.mod_ns(10)
        removed.mod_ns(10)
        yield
        with ctx:
            cancelled.cancel()
            deleted.delete()
            disarmed.cancel()
            removed.delete()
            off.update({"cancelled", "deleted", "disarmed", "removed"})
        yield
        deleted.schedule()
        removed.mod_ns(20)
        off.discard("cancelled")
        off.discard("disarmed")
        ran.clear()
        cancelled.schedule()
        disarmed.mod_ns(30)

    sim.thread("script", script)
    return lambda: _equal(sorted(ran), ["cancelled", "disarmed"])


# Timers


@program
def timers_in_order(sim: Simulator):
    """When they are due, once, in the order in which they are due, also those that others arm."""
    ctx = sim.context("ctx")
    due, fired = {}, []

    def call(name):
        assert current_context() is ctx
        assert sim.clock_ns >= due[name], f"{name} ran too early"
        late = [other for other in known if due.get(other, due[name]) < due[name]]
        assert not late, f"{name} ran before {late}"
        fired.append((name, due.pop(name)))
        if name == "b" and len(fired) < 4:
            arm("b", sim.clock_ns)

    timers = {name: ctx.timer_new(lambda name=name: call(name)) for name in "abc"}
    known = set()  # armed when the round began: bottom halves run before timers
    round_begins = ctx.bh_new(lambda: known.update(due))

    def arm(name, at):
        due[name] = at
        known.discard(name)
        timers[name].mod_ns(at)
        round_begins.schedule()

    def one():
        with ctx:
            arm("a", 300)
            arm("b", 200)
        yield
        with ctx:
            arm("a", 100)
        yield

    def two():
        with ctx:
            arm("c", 150)
            timers["c"].mod_anticipate_ns(400)
        yield

    sim.thread("one", one)
    sim.thread("two", two)

    def check():
        assert not due, f"{due} never ran"
        names = [name for name, _ in fired]
        assert names.count("c") == 1 and names.count("b") >= 1 and names.count("a") in (1, 2), names

    return check


@program
def timers_wait_for_their_turn_in_nested_polls(sim: Simulator):
    """A callback that waits for a timer that was armed in its round gets it."""
    ctx = sim.context("ctx", served=False)
    ran = []

    def waits():
        while "second" not in ran:
            ctx.poll(True)
        ran.append("waited")

    timers = {"second": ctx.timer_new(lambda: ran.append("second")), "waits": ctx.timer_new(waits)}
    arms = ctx.timer_new(lambda: timers["second"].mod_ns(5))

    def script():
        arms.mod_ns(1)
        timers["waits"].mod_ns(10)
        sim.clock_ns = 20
        while "waited" not in ran:
            ctx.poll(True)
        yield

    sim.thread("home", script)
    return lambda: _equal(ran, ["second", "waited"])


@program
def timers_wake_their_context(sim: Simulator):
    """One that another thread arms is waited for."""
    ctx, ran = sim.context("ctx"), []
    timer = ctx.timer_new(lambda: ran.append(sim.clock_ns))
    sim.thread("script", lambda: timer.mod_ns(100))
    return lambda: _equal(len(ran), 1)


# Other threads


@program
def who_acquires_is_alone(sim: Simulator):
    """No callback runs while another thread has the context, however it was taken."""
    ctx, notifier = sim.context("ctx"), sim.notifier()
    held, ran = [], []

    def call():
        assert not held, "a callback runs in a context that another thread has acquired"
        ran.append(True)

    def holder():
        with ctx:
            held.append(True)
            with ctx:
                yield
            yield
            held.clear()

    def asker():
        ctx.call_soon(call)
        yield
        ctx.call_soon(call)
        ctx.timer_new(call).mod_ns(sim.clock_ns)

    ctx.add(notifier.fd, READ | EDGE, lambda: (notifier.test_and_clear(), call()))
    sim.thread("holder", holder)
    sim.thread("other", holder)
    sim.thread("asker", asker)
    sim.thread("kicker", kicker(notifier, 1))
    return lambda: _equal(len(ran), 4)


@program
def whoever_waits_is_woken(sim: Simulator):
    """A thread, and a callback, that wait for what a third does."""
    main, ctx = sim.context("main"), sim.context("ctx")
    sim.main = main
    state = {"by": 0, "thread": False, "callback": False}

    def waits_in_thread():
        with ctx:
            wait_while(ctx, lambda: state["by"] < 2)
        state["thread"] = True
        yield

    def waits_in_callback():
        wait_while(ctx, lambda: state["by"] < 2)
        state["callback"] = True

    def counts():
        state["by"] += 1
        kick()

    def script():
        ctx.call_soon(counts)
        yield
        ctx.call_soon(counts)

    sim.thread("waits", waits_in_thread)
    main.call_soon(waits_in_callback)
    sim.thread("script", script)
    return lambda: _equal(state, {"by": 2, "thread": True, "callback": True})


@program
def notify_ends_a_poll(sim: Simulator):
    """Also one that is about to begin."""
    return _notified(sim, sim.context("ctx", served=False))


@program
def notify_ends_a_look(sim: Simulator):
    """Of a context that looks for work before it sleeps."""
    ctx = sim.context("ctx", served=False)
    ctx.set_poll_params(5000)
    ctx._poll_time.ns = 5000  # it has grown
    return _notified(sim, ctx)


def _notified(sim, ctx):
    flag = []

    def home():
        while not flag:
            ctx.poll(True)
        yield

    def script():
        yield
        flag.append(True)
        ctx.notify()

    sim.thread("home", home)
    sim.thread("script", script)
    return lambda: _equal(flag, [True])


@program
def a_notified_context_makes_a_round(sim: Simulator):
    """It does not sleep before it has."""
    ctx = sim.context("ctx")

    def script():
        ctx.notify()
        yield
        ctx.notify()

    sim.thread("script", script)


@program
def looking_for_work_overlooks_none(sim: Simulator):
    """A context that polls before it sleeps: notices, calls, kicks and timers that come meanwhile."""
    ctx, notifier = sim.context("ctx"), sim.notifier()
    made, looked = [], []

    def look():
        assert current_context() is ctx
        return bool(looked) and looked.pop() == 1

    def script():
        ctx.notify()
        yield
        ctx.call_soon(lambda: made.append("half"))
        yield
        ctx.timer_new(lambda: made.append("timer")).mod_ns(sim.clock_ns + 2500)
        ctx.notify()

    ctx.set_poll_params(20_000)
    ctx._poll_time.ns = 20_000  # it has grown
    ctx.set_event_notifier(notifier, notifier.test_and_clear, poll=look)
    sim.thread("script", script)
    sim.thread("kicker", kicker(notifier, 1))
    return lambda: (_clear(notifier), _equal(made, ["half", "timer"]))


# Homes


@program
def a_home_moves_as_one(sim: Simulator):
    """Fds, calls and timers: nothing lost, nothing twice, nothing anywhere but in the home's context."""
    one, two = sim.context("one"), sim.context("two")
    home, notifier = Home(one), sim.notifier()
    calls, fired, ended = [], [], []

    def here():
        for _ in range(2):
            assert current_context() is home.context, "called in the old context"
            sim.point()

    def handler():
        here()
        notifier.test_and_clear()

    def call(number):
        here()
        calls.append(number)

    def fire(number):
        here()
        fired.append(number)

    def mover():
        home.move(two)
        yield
        home.move(one)
        ended.append(True)

    def caller():
        for number in range(3):
            home.call_soon(lambda number=number: call(number))
            yield

    home.add(notifier.fd, READ | EDGE, handler)
    home.call_later(1e-9, lambda: fire(0))
    home.call_later(1e-6, lambda: fire(1))
    home.call_later(5e-7, lambda: fire(2)).cancel()
    sim.thread("mover", mover)
    sim.thread("kicker", kicker(notifier, 2))
    sim.thread("caller", caller)

    def check():
        _clear(notifier)
        _equal(calls, [0, 1, 2])
        _equal(sorted(fired), [0, 1])

    return check


@program
def nothing_ready_stays_behind(sim: Simulator):
    """Fds that were ready in the same round as one whose callback came before the move."""
    one, two = sim.context("one"), sim.context("two")
    home, notifiers = Home(one), [sim.notifier() for _ in range(2)]

    def handler(notifier):
        assert current_context() is home.context, "called in the old context"
        notifier.test_and_clear()

    def kicks():
        for notifier in notifiers:
            notifier.set()

    for notifier in notifiers:
        home.add(notifier.fd, READ | EDGE, lambda notifier=notifier: handler(notifier))
    sim.thread("kicks", kicks)
    sim.thread("mover", lambda: home.move(two))
    return lambda: _clear(*notifiers)


@program
def homes_change_while_they_move(sim: Simulator):
    """Two movers, a callback that moves its own home, fds that come and go."""
    contexts = [sim.context(name) for name in ("one", "two", "three")]
    home, first, second = Home(contexts[0]), sim.notifier(), sim.notifier()
    removed, moved, made = [], [], []

    def of_first():
        assert current_context() is home.context, "called in the old context"
        assert not removed, "called after it was removed"
        first.test_and_clear()
        if not moved:
            moved.append(True)
            home.move(contexts[2])
            home.call_soon(lambda: made.append(current_context() is home.context))
            home.add(second.fd, READ | EDGE, of_second)

    def of_second():
        assert current_context() is home.context, "called in the old context"
        second.test_and_clear()

    def mover():
        home.move(contexts[1])
        yield
        with home.context:
            home.remove(first.fd)
            removed.append(True)
        if not moved:
            home.add(second.fd, READ | EDGE, of_second)

    home.add(first.fd, READ | EDGE, of_first)
    sim.thread("first", kicker(first, 1))
    sim.thread("second", kicker(second, 2))
    sim.thread("mover", mover)
    return lambda: (_clear(second), _equal(made, [True] * len(moved)))


@program
def nothing_runs_in_a_closed_home(sim: Simulator):
    """Once `close` has returned."""
    one, two = sim.context("one"), sim.context("two")
    home, notifier = Home(one), sim.notifier()
    closed = []

    def call():
        assert not closed, "called after the home was closed"

    def closer():
        yield
        home.close()
        closed.append(True)

    home.add(notifier.fd, READ | EDGE, lambda: (call(), notifier.test_and_clear()))
    home.call_later(1e-6, call)
    home.call_soon(call)
    sim.thread("kicker", kicker(notifier, 2))
    sim.thread("closer", closer)
    sim.thread("mover", lambda: home.move(two))
    sim.thread("caller", lambda: None if closed else home.call_soon(call))


@program
def a_call_is_run_in_the_home(sim: Simulator):
    """`run_in` from a thread and from a callback, while the home moves; exceptions come back."""
    main, one, two = sim.context("main"), sim.context("one"), sim.context("two")
    sim.main = main
    home, got = Home(one), []

    def where():
        return current_context() is home.context

    def fails():
        raise LookupError("as asked")

    def asks():
        got.append(home.run_in(where))

    def thread():
        asks()
        yield
        try:
            home.run_in(fails)
        except LookupError:
            got.append(True)

    sim.thread("thread", thread)
    main.call_soon(asks)
    sim.thread("mover", lambda: home.move(two))
    return lambda: _equal(got, [True, True, True])


# Coroutines


@program
def coroutines_resume_once_where_they_are(sim: Simulator):
    """A completion from another thread, before it is awaited or after; in the context where the coroutine is."""
    one, two = sim.context("one"), sim.context("two")
    done = [Completion() for _ in range(3)]
    ended = []

    async def part(at, ctx):
        assert await done[at] == at
        assert current_context() is ctx, "resumed elsewhere"
        return at

    async def whole():
        got = await part(0, one)
        await co_move(two)
        assert current_context() is two
        got += sum(await together(two, part(1, two), part(2, two)))
        ended.append(got)
        return got

    def setter():
        for at, completion in enumerate(done):
            completion.set_result(at)
            yield

    def runner():
        ended.append(co_run(one, whole()))
        yield

    sim.thread("setter", setter)
    sim.thread("runner", runner)
    return lambda: _equal(ended, [3, 3])


@program
def coroutines_move_with_their_home(sim: Simulator):
    """What awaits in a home resumes where the home is then."""
    one, two = sim.context("one"), sim.context("two")
    home, done, ended = Home(one), [Completion(), Completion()], []

    async def whole():
        for completion in done:
            await completion
            assert current_context() is home.context, "resumed in the old context"
        ended.append(True)

    def setter():
        for completion in done:
            completion.set_result(None)
            yield

    co_enter(home, whole())
    sim.thread("setter", setter)
    sim.thread("mover", lambda: home.move(two))
    return lambda: _equal(ended, [True])


def explored(name: str, limit: int) -> Explored:
    """Explore a program."""
    return explore(PROGRAMS[name], limit, preemptions=3)


def main(argv=None) -> int:
    """Explore the programs that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.aio.programs")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--limit", type=int, default=1000)
    options = parser.parse_args(argv)
    failed = 0
    for name in options.names or PROGRAMS:
        found = explored(name, options.limit)
        failed += found.failure is not None
        whole = "all of them" if found.complete else f"{found.cut} cut short"
        print(f"{name}: {found.schedules} schedules, {whole}" + (f"; {found.failure}" if found.failure else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
