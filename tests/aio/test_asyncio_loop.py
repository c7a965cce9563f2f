"""asyncio and a context in one thread."""

import asyncio
import os
import selectors
import socket
from importlib import import_module
from importlib.util import find_spec

import pytest

from outboard.aio import Completion, Home, IOThread
from outboard.aio.asyncio_loop import AsyncioLoop, ContextSelector, HostedLoop, as_future
from outboard.aio.simulator import Simulator
from outboard.aio.world import REAL, EventFd
from outboard.errors import LocalError
from outboard.host.loop import EDGE, READ

pytestmark = pytest.mark.alike

LONG_S = 60


LOOPS = {"asyncio": AsyncioLoop, "hosted": HostedLoop}
if find_spec("uvloop"):
    LOOPS["uvloop"] = lambda ctx: HostedLoop(ctx, new_loop=import_module("uvloop").new_event_loop)


@pytest.fixture(params=LOOPS.values(), ids=LOOPS)
def iothread(request):
    with IOThread("io0", loop_factory=request.param) as thread:
        yield thread


def on(iothread, coro):
    """Run an asyncio coroutine in the thread."""
    return asyncio.run_coroutine_threadsafe(coro, iothread.runner.loop).result(LONG_S)


def test_asyncio_s_own_things_work(iothread):
    async def serves():
        server = await asyncio.start_server(lambda r, w: w.write(b"hello") or w.close(), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        got = await reader.read()
        writer.close()
        server.close()
        await asyncio.sleep(0.001)
        done = await asyncio.get_running_loop().run_in_executor(None, lambda: "executor")
        return got, done

    assert on(iothread, serves()) == (b"hello", "executor")


def test_both_share_the_thread(iothread):
    calls = []

    async def both():
        future = asyncio.get_running_loop().create_future()
        iothread.context.call_later(0.001, lambda: calls.append("timer"))
        iothread.context.call_later(0.002, lambda: future.set_result(iothread.context.in_home_thread))
        iothread.context.call_soon(lambda: calls.append("half"))
        return await future

    assert on(iothread, both()) and calls == ["half", "timer"]


def test_asyncio_awaits_coroutines_of_the_context(iothread):
    async def fails():
        raise LookupError("as asked")

    async def whole(value):
        done = Completion()
        iothread.context.call_soon(lambda: done.set_result(value))
        return await done

    async def asks():
        with pytest.raises(LookupError):
            await as_future(iothread.context, fails())
        left = as_future(iothread.context, whole(2))
        left.cancel()
        return await as_future(iothread.context, whole(3))

    assert on(iothread, asks()) == 3


def test_a_callback_that_polls_leaves_asyncio_s_fds_for_later(iothread):
    """Its fds are ready all the while: the nested polls do not run their callbacks, nor spin."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    calls = []

    async def reads():
        loop = asyncio.get_running_loop()
        got = loop.create_future()
        loop.add_reader(ours, lambda: got.done() or got.set_result((ours.recv(10), tuple(calls))))
        iothread.context.call_soon(waits)
        try:
            return await got
        finally:
            loop.remove_reader(ours)

    def waits():
        theirs.send(b"now")
        deadline = iothread.context.timer_new(lambda: calls.append("timer"))
        deadline.mod_ns(iothread.context.now_ns() + 2_000_000)
        rounds = 0
        while not calls:
            iothread.context.poll(True)
            rounds += 1
        calls.append("few rounds" if rounds < 10 else f"{rounds} rounds")

    assert on(iothread, reads()) == (b"now", ("timer", "few rounds"))
    ours.close()
    theirs.close()


def test_homes_move_between_a_bare_thread_and_asyncio(iothread):
    kick, back = EventFd(), EventFd()
    os.set_blocking(back.fd, True)
    with IOThread("io1") as bare:
        home = Home(bare.context)
        home.add(kick.fd, READ | EDGE, lambda: kick.test_and_clear() and back.set())
        for number in range(300):
            home.move((iothread, bare)[number % 2].context)
            kick.set()
            os.eventfd_read(back.fd)
        home.close()
    kick.close()
    back.close()


def test_a_bug_ends_the_thread_and_is_raised_by_stop():
    thread = IOThread("io0", loop_factory=AsyncioLoop).start()
    thread.context.call_soon(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        thread.stop()


def test_a_hosted_context_needs_on_bug():
    """The loop that hosts it takes exceptions for its own, as asyncio does."""
    bugs = []
    with IOThread("io0", loop_factory=HostedLoop) as thread:
        thread.context.on_bug = bugs.append
        thread.context.call_soon(lambda: 1 / 0)
        Home(thread.context).run_in(lambda: None)
    assert [type(bug) for bug in bugs] == [ZeroDivisionError]


@pytest.fixture
def selector():
    ctx = REAL.context("ctx")
    made = ContextSelector(ctx)
    yield made
    made.close()
    ctx.close()


def test_it_is_a_selector(selector):
    ours, theirs = socket.socketpair()
    key = selector.register(ours, selectors.EVENT_READ, "data")
    assert (key.fileobj, key.fd, key.data) == (ours, ours.fileno(), "data")
    assert selector.get_key(ours) == selector.get_key(ours.fileno()) == key and dict(selector.get_map()) == {
        key.fd: key
    }
    assert selector.select(0) == [] and selector.select(0.001) == []
    theirs.send(b"x")
    assert selector.select() == [(key, selectors.EVENT_READ)]
    key = selector.modify(ours, selectors.EVENT_READ | selectors.EVENT_WRITE)
    assert selector.select() == [(key, selectors.EVENT_READ | selectors.EVENT_WRITE)]
    with pytest.raises(KeyError):
        selector.register(ours, selectors.EVENT_READ)
    with pytest.raises(ValueError):
        selector.register(theirs, 8)
    theirs.close()
    assert selector.select()[0][0] == key
    selector.unregister(ours)
    with pytest.raises(KeyError):
        selector.unregister(ours)
    ours.close()


def test_a_simulated_context_is_hosted_by_no_loop():
    with pytest.raises(LocalError, match="context ctx waits for no real fds"):
        HostedLoop(Simulator().context("ctx"))
