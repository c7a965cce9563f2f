"""What differs between worlds: real threads, fds and time here; `simulator` has its own of everything.

A context is made of a `Waiter`, which waits for its fds, and knows by it the `World` that it lives in.
"""

import os
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from outboard.aio.context import AioContext


class Mutex(Protocol):
    """A lock of one world, not recursive. Any thread may release it."""

    def acquire(self) -> object:
        """Take it; wait until it is free."""

    def release(self) -> object:
        """Give it back."""

    def __enter__(self) -> object:
        """Take it for a block."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Give it back."""


class Notifier(Protocol):
    """An event notifier: set from any thread, it makes its `fd` readable until it is cleared."""

    fd: int

    def set(self) -> None:
        """Count one event."""

    def test_and_clear(self) -> bool:
        """Take all events that were counted; false when there was none."""

    def close(self) -> None:
        """Free the fd."""


class World(Protocol):
    """Threads and notifiers. contexts: by thread, the context whose home it is; main: that of the main thread."""

    contexts: dict[int, "AioContext"]
    main: "AioContext | None"

    def ident(self) -> int:
        """Return the number of the running thread."""

    def mutex(self) -> Mutex:
        """Make a lock."""

    def notifier(self) -> Notifier:
        """Make an event notifier."""

    def context(self, name: str) -> "AioContext":
        """Make a context."""


class Waiter(Protocol):
    """Waits for the fds of one context. `wake` is safe from any thread, the rest as well where the context calls it."""

    world: World

    def add_fd(self, fd: int, events: int) -> None:
        """Wait for an fd; one that is ready now is reported, also with EDGE."""

    def remove_fd(self, fd: int) -> None:
        """Wait for an fd no more."""

    def wait(self, timeout_ns: int | None) -> Sequence[tuple[int, int]]:
        """Wait at most so long, None for ever, for fds or `wake`; return the fds that are ready, with their events."""

    def wake(self) -> None:
        """End a wait that is under way, or the next."""

    def now_ns(self) -> int:
        """Return the time: nanoseconds since some moment."""

    def close(self) -> None:
        """Free what the waiter has of its own."""


class EventFd:
    """A notifier over an eventfd."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def set(self) -> None:
        """Count one event."""
        try:
            os.eventfd_write(self.fd, 1)
        except BlockingIOError:
            pass  # 2**64 - 2 events wait; one more says nothing

    def test_and_clear(self) -> bool:
        """Take all events that were counted; false when there was none."""
        try:
            return os.eventfd_read(self.fd) > 0
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Free the fd."""
        os.close(self.fd)


class RealWorld:
    """Threads of this process."""

    def __init__(self) -> None:
        self.contexts: dict[int, AioContext] = {}
        self.main: AioContext | None = None

    ident = staticmethod(threading.get_ident)

    def mutex(self) -> Mutex:
        """Make a lock."""
        return threading.Lock()

    def notifier(self) -> Notifier:
        """Make an event notifier."""
        return EventFd()

    def context(self, name: str) -> "AioContext":
        """Make a context over epoll."""
        from outboard.aio.context import AioContext
        from outboard.aio.epoll import EpollWaiter

        return AioContext(name, EpollWaiter())


REAL = RealWorld()
_here = threading.local()
_mutex = threading.Lock()


def here() -> World:
    """Return the world of the running thread."""
    world: World = getattr(_here, "world", REAL)
    return world


def enter(world: World | None) -> None:
    """From now on the running thread is of this world; None: of the real one."""
    _here.world = world or REAL


def current_context() -> "AioContext":
    """Return the context whose home is the running thread, else the main context, as QEMU does.

    Raises LocalError when there is neither.
    """
    from outboard.errors import LocalError

    world = here()
    found = world.contexts.get(world.ident(), world.main)
    if found is None:
        raise LocalError("this thread runs no context, and there is no main context: call main_context() first")
    return found


def main_context() -> "AioContext":
    """Return the main context: made at the first call, whose thread is its home.

    Raises LocalError when that thread is the home of another.
    """
    world = here()
    with _mutex:
        if world.main is None:
            made = world.context("main")
            if made.home is None:
                made.adopt()
            world.main = made
        return world.main
