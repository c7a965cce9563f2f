"""Contexts in real threads: races that only they have, and IOThreads from start to stop."""

import os
import threading
import time

import pytest

from outboard.aio import Completion, Home, IOThread, co_run, current_context, main_context
from outboard.aio.asyncio_loop import AsyncioLoop, HostedLoop
from outboard.aio.deserted import served_again
from outboard.aio.iothread import served_context
from outboard.aio.wait import kick, wait_while
from outboard.aio.world import REAL, EventFd
from outboard.errors import LocalError
from outboard.host.loop import EDGE, READ

pytestmark = pytest.mark.alike

LONG_S = 60
KICKS = 20_000
MOVES = 20_000


@pytest.fixture(params=[None, AsyncioLoop, HostedLoop], ids=["bare", "asyncio", "hosted"])
def iothread(request):
    with IOThread("io0", loop_factory=request.param) as thread:
        yield thread


@pytest.fixture
def two():
    with IOThread("io0") as one, IOThread("io1") as other:
        yield one.context, other.context


@pytest.fixture
def main():
    ctx = main_context()
    yield ctx
    ctx.close()
    REAL.main = None


class Echo:
    """Answers each kick, in the context that it is added to."""

    def __init__(self):
        self.kick, self.back = EventFd(), EventFd()
        os.set_blocking(self.back.fd, True)

    def handle(self):
        if self.kick.test_and_clear():
            self.back.set()

    def round_trip(self):
        self.kick.set()
        os.eventfd_read(self.back.fd)

    def close(self):
        self.kick.close()
        self.back.close()


@pytest.fixture
def echo():
    made = Echo()
    yield made
    made.close()


def test_round_trips(iothread, echo):
    iothread.context.add(echo.kick.fd, READ | EDGE, echo.handle)
    for _ in range(1000):
        echo.round_trip()
    iothread.context.remove(echo.kick.fd)


def test_no_bottom_half_is_lost_between_looking_and_sleeping(iothread):
    """Each is scheduled when the one before has run: the thread is about to sleep then."""
    turns, ran = [], threading.Semaphore(0)
    for number in range(3000):
        iothread.context.call_soon(lambda number=number: (turns.append(number), ran.release()))
        assert ran.acquire(timeout=LONG_S), f"bottom half {number} was lost"
    assert turns == list(range(3000))


def test_many_threads_schedule_one_bottom_half(iothread):
    asked, seen = [0] * 4, []
    half = iothread.context.bh_new(lambda: seen.append(tuple(asked)))

    def ask(me):
        for _ in range(KICKS // 4):
            asked[me] += 1
            half.schedule()

    threads = [threading.Thread(target=ask, args=(me,)) for me in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
    Home(iothread.context).run_in(lambda: None)
    assert seen[-1] == (KICKS // 4,) * 4, "the last schedule was lost"
    assert len(seen) <= KICKS


def test_timers_are_armed_from_other_threads(iothread):
    ran = threading.Semaphore(0)
    timers = [iothread.context.timer_new(ran.release) for _ in range(3)]
    far = iothread.context.now_ns() + 10**13
    timers[0].mod_ns(far)
    for _ in range(300):
        timers[1].mod_ns(iothread.context.now_ns() + 50_000)
        timers[2].mod_ns(iothread.context.now_ns())
        for _ in range(2):
            assert ran.acquire(timeout=LONG_S)
    assert timers[0].expire_ns == far


def test_who_acquires_a_busy_context_gets_it_and_is_alone(two):
    ctx, _ = two
    inside, seen, stop = [], [], []

    def busy():
        seen.append(bool(inside))
        if not stop:
            ctx.call_soon(busy)

    for _ in range(3):
        ctx.call_soon(busy)
    for _ in range(200):
        with ctx, ctx:
            inside.append(True)
            before = len(seen)
            time.sleep(0)
            assert len(seen) == before
            inside.clear()
    stop.append(True)
    Home(ctx).run_in(lambda: None)
    assert seen and not any(seen)


def test_two_threads_and_the_home_share_a_context(two):
    ctx, _ = two
    count, turns = [0], 2000

    def add():
        value = count[0]
        time.sleep(0)
        count[0] = value + 1

    def other():
        for _ in range(turns):
            with ctx:
                add()

    threads = [threading.Thread(target=other) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(turns):
        ctx.call_soon(add)
    for thread in threads:
        thread.join(LONG_S)
    Home(ctx).run_in(lambda: None)
    assert count == [3 * turns]


def test_a_callback_cannot_acquire_another_context(two, main):
    one, other = two
    home, seen = Home(one), []

    def tries(ctx):
        with pytest.raises(LocalError, match="a callback of context io0 cannot acquire context"), ctx:
            pass
        seen.append(ctx.name)

    home.run_in(lambda: tries(other))
    home.run_in(lambda: tries(main))
    assert seen == ["io1", "main"]
    main.call_soon(lambda: other.acquire() or other.release() or seen.append("main may"))
    main.poll(True)
    assert seen[-1] == "main may"


def test_a_nested_wait_serves_what_it_waits_for(two):
    one, other = two
    home, there = Home(one), Home(other)
    assert home.run_in(lambda: there.run_in(lambda: home.run_in(current_context))) is one


def test_wait_while_lets_go_of_the_context(two):
    ctx, _ = two
    seen = []
    for _ in range(200):
        with ctx, ctx:
            ctx.call_soon(lambda: (seen.append(1), kick()))
            wanted = len(seen) + 1
            assert wait_while(ctx, lambda wanted=wanted: len(seen) < wanted)
            assert ctx.lock.depth == 2
    assert not wait_while(ctx, lambda: False)


def test_the_main_context_waits_by_polling(two, main):
    ctx, _ = two
    calls = []
    Home(main).call_soon(lambda: calls.append("served meanwhile"))
    assert Home(ctx).run_in(lambda: Home(main).run_in(lambda: calls.append("asked") or current_context())) is main
    assert calls == ["served meanwhile", "asked"]
    assert current_context() is main_context() is main


def test_without_a_context_current_context_is_the_main_one(main, two):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(current_context()))
    thread.start()
    thread.join()
    assert seen == [main]
    main.close()
    REAL.main = None
    with pytest.raises(LocalError, match="call main_context"):
        current_context()
    with pytest.raises(LocalError, match="context main: io0 is of this thread"):
        Home(two[0]).run_in(main_context)
    assert REAL.main is None


# Homes


def test_a_home_moves_under_a_storm_of_kicks(two, echo):
    """No kick is lost, no callback runs in a thread that the home has left."""
    home, wrong, told, stop = Home(two[0]), [], [0], threading.Event()

    def handle():
        if current_context() is not home.context:
            wrong.append(current_context())
        told[0] += 1
        echo.handle()

    def storm():
        while not stop.is_set():
            echo.kick.set()
            os.sched_yield()

    home.add(echo.kick.fd, READ | EDGE, handle)
    thread = threading.Thread(target=storm)
    thread.start()
    for number in range(MOVES):
        home.move(two[(number + 1) % 2])
        if number % 4 == 0:
            home.run_in(lambda: None)  # arrive; the others are moved on where they are
    stop.set()
    thread.join(LONG_S)
    home.run_in(lambda: None)
    assert not echo.kick.test_and_clear(), "a kick was lost"
    assert told[0] and not wrong
    home.close()


def test_no_kick_is_lost_however_it_meets_a_move(two, echo):
    """Each kick waits for its answer, so one that is lost is missed at once."""
    home, stop, moves = Home(two[0]), threading.Event(), [0]

    def mover():
        while not stop.is_set():
            moves[0] += 1
            home.move(two[moves[0] % 2])
            os.sched_yield()

    home.add(echo.kick.fd, READ | EDGE, echo.handle)
    thread = threading.Thread(target=mover)
    thread.start()
    for _ in range(2000):
        echo.round_trip()
    stop.set()
    thread.join(LONG_S)
    assert moves[0]
    home.close()


def test_calls_and_timers_move_with_their_home(two):
    home, calls, fired = Home(two[0]), [], threading.Semaphore(0)
    threads = {ctx.home: ctx for ctx in two}

    def call(number):
        calls.append((number, threads[threading.get_ident()] is home.context))

    def fire():
        if threads[threading.get_ident()] is home.context:
            fired.release()

    for number in range(3000):
        home.call_soon(lambda number=number: call(number))
        if number % 10 == 0:
            home.call_later(number % 7 * 1e-5, fire)
            home.move(two[number // 10 % 2])
    for _ in range(300):
        assert fired.acquire(timeout=LONG_S)
    home.run_in(lambda: None)
    assert calls == [(number, True) for number in range(3000)]


def test_a_home_moves_itself(two, echo):
    home, seen = Home(two[0]), []

    def handle():
        echo.kick.test_and_clear()
        home.move(two[1])
        home.call_soon(lambda: (seen.append(current_context()), echo.back.set()))

    home.add(echo.kick.fd, READ | EDGE, handle)
    echo.round_trip()
    assert seen == [two[1]] and home.context is two[1]
    home.close()


def test_close_waits_for_what_runs(two, echo):
    home, inside, go, ended = Home(two[0]), threading.Event(), threading.Event(), []

    def handle():
        inside.set()
        go.wait(LONG_S)
        ended.append(True)

    home.add(echo.kick.fd, READ | EDGE, handle)
    echo.kick.set()
    inside.wait(LONG_S)
    threading.Timer(0.01, go.set).start()
    home.close()
    assert ended == [True]
    home.call_soon(lambda: ended.append("too late"))
    with pytest.raises(LocalError, match="the home is closed"):
        home.add(echo.kick.fd, READ, handle)
    Home(two[0]).run_in(lambda: None)
    assert ended == [True]


def test_bugs_are_their_home_s(two, echo):
    home, other, bugs = Home(two[0]), Home(two[0]), []
    home.on_bug = bugs.append
    home.add(echo.kick.fd, READ | EDGE, lambda: (echo.handle(), 1 / 0))
    echo.round_trip()
    home.call_soon(lambda: [].pop())
    home.call_later(0, lambda: {}["key"])
    while len(bugs) < 3:
        other.run_in(lambda: None)
    assert {type(bug) for bug in bugs} == {ZeroDivisionError, IndexError, KeyError}
    with pytest.raises(LookupError, match="as asked"):
        other.run_in(lambda: (_ for _ in ()).throw(LookupError("as asked")))


# IOThreads


def test_an_iothread_ends_and_gives_back_what_it_had(no_fd_is_leaked):
    for factory in (None, AsyncioLoop, HostedLoop):
        with IOThread("io0", loop_factory=factory) as thread:
            assert thread.alive and Home(thread.context).run_in(lambda: threading.current_thread().name) == "io0"
        assert not thread.alive and thread.context.closed
        thread.stop()


def test_an_iothread_that_fails_says_so_when_it_is_stopped():
    thread = IOThread("io0").start()
    thread.context.call_soon(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        thread.stop()
    assert isinstance(thread.failure, ZeroDivisionError)


def test_misuse_of_iothreads_is_said():
    with IOThread("io0") as thread:
        with pytest.raises(LocalError, match="started already"):
            thread.start()
        with pytest.raises(LocalError, match="cannot be stopped by one of its own callbacks"):
            Home(thread.context).run_in(thread.stop)
        with pytest.raises(LocalError, match="another thread is its home"):
            thread.context.poll(False)


def test_a_thread_that_was_never_started_gives_back_what_it_had(no_fd_is_leaked):
    thread = IOThread("io0")
    thread.stop()
    assert thread.context.closed
    thread.stop()
    with pytest.raises(LocalError, match="IOThread io0 was stopped"):
        thread.start()


def ended(how: str) -> IOThread:
    """Return a thread that serves its context no more: it was stopped, or has failed."""
    thread = IOThread("io0").start()
    if how == "stopped":
        thread.stop()
    else:
        thread.context.call_soon(lambda: 1 / 0)
        thread._thread.join(LONG_S)
        assert not thread.alive
    return thread


async def nothing():
    return 7


@pytest.mark.parametrize("how", ["stopped", "failed"])
def test_nobody_waits_for_a_thread_that_has_ended(how, main):
    thread = ended(how)
    home, coro = Home(thread.context), nothing()
    with pytest.raises(LocalError, match="context io0: its thread has ended, and the call was not made"):
        home.run_in(int)
    with pytest.raises(LocalError, match="context io0: its thread has ended before `nothing` was done"):
        co_run(home, coro)
    coro.close()
    thread.context.close()


def test_who_waits_hears_of_the_end_of_the_thread(main):
    thread = IOThread("io0").start()
    home, begun = Home(thread.context), threading.Event()

    async def endless():
        begun.set()
        await Completion()

    def end():
        begun.wait(LONG_S)
        thread.stop()

    ender = threading.Thread(target=end)
    ender.start()
    with pytest.raises(LocalError, match="its thread has ended before"):
        co_run(home, endless())
    ender.join()


def test_a_closed_home_runs_nothing(iothread):
    home = Home(iothread.context)
    home.close()
    with pytest.raises(LocalError, match="the home is closed"):
        home.run_in(int)
    with pytest.raises(LocalError, match="is closed: nothing of it runs"):
        co_run(home, nothing())


@pytest.mark.parametrize("how", ["stopped", "failed"])
def test_what_lives_in_a_deserted_context_can_leave_it(how, main, open_fds):
    before = open_fds()
    thread = IOThread("io0").start()
    home, notifier, seen = Home(thread.context), EventFd(), []
    home.add(notifier.fd, READ, lambda: seen.append(notifier.test_and_clear()))
    thread.context.call_soon(lambda: 1 / 0)
    thread._thread.join(LONG_S)
    if how == "stopped":
        with pytest.raises(ZeroDivisionError):
            thread.stop()
    notifier.set()
    with served_again(thread.context):
        assert home.run_in(threading.get_ident) != threading.get_ident()
        assert home.run_in(lambda: co_run(home, nothing())) == 7
        thread.context.call_soon(lambda: 1 / 0)  # of somebody else: no reason to end
        wait_while(main, lambda: not seen and not home.run_in(kick))
        home.close()
    assert seen == [True] and thread.context.home is None and thread.context.closed == (how == "stopped")
    thread.context.close()
    notifier.close()
    assert open_fds() == before


def test_a_context_that_is_served_is_not_served_again(iothread):
    with served_again(iothread.context):
        assert Home(iothread.context).run_in(lambda: threading.current_thread().name) == "io0"


def test_where_something_can_be_served(iothread, main):
    assert served_context(iothread) is served_context(iothread.context) is iothread.context
    assert served_context(main) is main
    unborn = IOThread("unborn")
    for where, words in (
        (unborn, "context unborn: expected one that a thread serves, .* has no thread: start it first"),
        (ended("stopped"), "context io0: .* was stopped"),
        (ended("failed").context, "context io0: .* has ended"),
        ("fast", "expected an IOThread or a context to live in, got 'fast'"),
    ):
        with pytest.raises(LocalError, match=words):
            served_context(where)
    unborn.stop()


def test_an_iothread_polls_when_asked_to(echo):
    with IOThread("io0", poll_max_ns=200_000) as thread:
        thread.context.add(echo.kick.fd, READ | EDGE, echo.handle)
        for _ in range(500):
            echo.round_trip()
        thread.context.set_poll_params(0)
        echo.round_trip()
        assert thread.context.poll_ns == 0


def test_coroutines_are_run_from_anywhere(iothread, main):
    async def nested(depth):
        assert iothread.context.in_home_thread
        return depth

    async def whole():
        return await nested(1) + await nested(2)

    assert co_run(iothread.context, whole()) == 3
    assert Home(iothread.context).run_in(lambda: co_run(iothread.context, whole())) == 3
