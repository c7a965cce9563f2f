"""Homes, in both worlds: what moves, and what does not."""

import pytest

from outboard.aio import Home
from outboard.errors import LocalError
from outboard.host.loop import EDGE, READ, WRITE, Handlers, Loop

pytestmark = pytest.mark.alike


@pytest.fixture
def two(here):
    return here.context("one"), here.context("two")


def served(ctx):
    """Poll a context until nothing is ready, as a thread would that has no other."""
    while ctx.poll(False):
        pass
    ctx.abandon()


def test_homes_contexts_and_loops_are_handlers(here, ctx):
    def served_by(handlers: Handlers, notifier):
        calls = []
        handlers.add(notifier.fd, READ, lambda: calls.append(notifier.test_and_clear()))
        handlers.change(notifier.fd, READ | EDGE)
        handlers.call_soon(notifier.set)
        handlers.call_threadsafe(lambda: calls.append("call"))
        handlers.call_later(0, lambda: calls.append("timer"))
        handlers.call_later(0, lambda: calls.append("never")).cancel()
        return calls

    home, loop = Home(ctx), Loop()
    for handlers, turn in ((ctx, lambda: ctx.poll(True)), (home, lambda: ctx.poll(True)), (loop, loop.run_once)):
        if handlers is loop and here.sim:
            continue
        notifier = here.notifier()
        calls = served_by(handlers, notifier)
        while len(calls) < 3:
            turn() if handlers is not loop else turn(None)
        assert sorted(map(str, calls)) == ["True", "call", "timer"]
        handlers.remove(notifier.fd)
    loop.close()


def test_everything_moves(here, two):
    one, other = two
    home, notifier, calls = Home(one), here.notifier(), []
    home.add(notifier.fd, READ | EDGE, lambda: calls.append(("fd", other.in_home_thread)))
    home.call_soon(lambda: calls.append(("call", other.in_home_thread)))
    home.call_later(0, lambda: calls.append(("timer", other.in_home_thread)))
    notifier.set()
    home.move(other)
    assert home.context is other
    served(one)
    assert calls == []
    served(other)
    assert sorted(calls) == [("call", True), ("fd", True), ("timer", True)]


def test_what_is_added_on_the_way_arrives(here, two):
    one, other = two
    home, notifiers, calls = Home(one), [here.notifier() for _ in range(3)], []
    home.add(notifiers[0].fd, READ | EDGE, lambda: calls.append("removed"))
    home.add(notifiers[2].fd, READ, lambda: calls.append("changed"))
    home.move(other)
    home.remove(notifiers[0].fd)
    home.add(notifiers[1].fd, READ | EDGE, lambda: calls.append("added"))
    home.change(notifiers[2].fd, WRITE | EDGE)
    home.call_later(0, lambda: calls.append("timer"))
    home.call_later(0, lambda: calls.append("cancelled")).cancel()
    for notifier in notifiers:
        notifier.set()
    served(one)
    served(other)
    assert sorted(set(calls)) == ["added", "changed", "timer"]


def test_a_home_that_moves_on_arrives_once(here, two):
    one, other = two
    home, notifier, calls = Home(one), here.notifier(), []
    home.add(notifier.fd, READ | EDGE, lambda: calls.append("fd"))
    notifier.set()
    home.move(other)
    home.move(one)
    home.move(other)
    home.move(other)
    served(one)
    assert calls == []
    served(other)
    assert calls == ["fd"]


def test_a_timer_keeps_its_time(here, two):
    one, other = two
    home, ran = Home(one), []
    began = one.now_ns()
    home.call_later(0.002, lambda: ran.append(other.now_ns()))
    for ctx in (other, one, other):
        home.move(ctx)
    while not ran:
        other.poll(True)
    assert ran[0] >= began + 2_000_000


def test_external_handlers_stay_external(here, two):
    one, other = two
    home, notifier, calls = Home(one), here.notifier(), []
    home.add(notifier.fd, READ | EDGE, lambda: calls.append(1), external=True)
    other.disable_external()
    home.move(other)
    notifier.set()
    served(one)
    served(other)
    assert calls == []
    other.enable_external()
    served(other)
    assert calls == [1]


def test_fds_are_added_once_and_known_to_be_changed(here, ctx):
    home, notifier = Home(ctx), here.notifier()
    home.add(notifier.fd, READ, lambda: None)
    with pytest.raises(LocalError, match="has a handler already"):
        home.add(notifier.fd, READ, lambda: None)
    with pytest.raises(LocalError, match="fd 3 has no handler here"):
        home.change(3, READ)
    home.remove(notifier.fd)
    home.remove(notifier.fd)
    with pytest.raises(OSError):
        home.add(1 << 20, READ, lambda: None)
    home.remove(1 << 20)
    assert not ctx.poll(False)


def test_an_fd_that_was_closed_does_not_keep_the_rest_from_moving(here, two):
    one, other = two
    home, gone, kept, calls, bugs = Home(one), here.notifier(), here.notifier(), [], []
    home.on_bug = bugs.append
    home.add(gone.fd, READ, lambda: calls.append("gone"))
    home.add(kept.fd, READ | EDGE, lambda: calls.append("kept"))
    home.call_soon(lambda: calls.append("call"))
    gone.close()
    kept.set()
    home.move(other)
    served(other)
    assert sorted(calls) == ["call", "kept"]
    assert len(bugs) == 1 and isinstance(bugs[0], OSError)


def test_a_closed_home_has_nothing_left(here, ctx):
    home, notifier, calls = Home(ctx), here.notifier(), []
    home.add(notifier.fd, READ, lambda: calls.append("fd"))
    home.call_soon(lambda: calls.append("call"))
    waits = home.call_later(0, lambda: calls.append("timer"))
    notifier.set()
    home.close()
    home.close()
    waits.cancel()
    home.call_soon(lambda: calls.append("call"))
    home.call_later(0, lambda: calls.append("timer"))
    home.move(ctx)
    served(ctx)
    assert calls == []


def test_calls_run_where_the_home_is(ctx):
    home = Home(ctx)
    assert home.here() is None
    ctx.poll(False)
    assert home.here() is ctx and home.run_in(lambda: 5) == 5
    home.move(ctx)
    assert home.here() is None
    assert home.run_in(lambda: home.here()) is ctx
    with pytest.raises(LookupError):
        home.run_in(lambda: {}["key"])
