"""Wait for what another thread does, as QEMU's AIO_WAIT_WHILE: the waiting thread serves its own context meanwhile.

Source: QEMU 4.1, include/block/aio-wait.h, util/aio-wait.c.
"""

import threading
from collections.abc import Callable

from outboard.aio.context import AioContext
from outboard.aio.world import Mutex, here

_waiting: list[Callable[[], object]] = []
_mutex = threading.Lock()


def kick() -> None:
    """Let all that wait look at their conditions again. Whoever may have changed one calls this; from any thread."""
    for wake in tuple(_waiting):
        wake()


def wait_while(ctx: AioContext, condition: Callable[[], bool]) -> bool:
    """Return when `condition` is false, true when there was something to wait for; it is looked at after each `kick`.

    The home thread of a context polls that context; a thread that is no home sleeps. `ctx`, if the caller has acquired
    it and is not its home, is released while it waits.
    """
    if not condition():
        return False
    world = here()
    mine = world.contexts.get(world.ident())
    depth = ctx.lock.release_all() if mine is not ctx else 0
    try:
        if mine is not None:
            _poll_while(mine, condition)
        else:
            _sleep_while(condition)
    finally:
        ctx.lock.take_again(depth)
    return True


def _poll_while(mine: AioContext, condition: Callable[[], bool]) -> None:
    wake = mine.notify
    with _mutex:
        _waiting.append(wake)
    try:
        while condition():
            mine.poll(True)
    finally:
        with _mutex:
            _waiting.remove(wake)


def _sleep_while(condition: Callable[[], bool]) -> None:
    bell = _Bell(here().mutex())
    with _mutex:
        _waiting.append(bell.ring)
    try:
        while condition():
            bell.wait()
    finally:
        with _mutex:
            _waiting.remove(bell.ring)


class _Bell:
    """One thread waits, others ring; a ring before the wait ends it too."""

    def __init__(self, asleep: Mutex) -> None:
        self._asleep = asleep
        self._guard = threading.Lock()
        self._rung = False
        asleep.acquire()

    def ring(self) -> None:
        with self._guard:
            if not self._rung:
                self._rung = True
                self._asleep.release()

    def wait(self) -> None:
        self._asleep.acquire()
        self._rung = False
