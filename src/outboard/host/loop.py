"""An event loop over epoll: fds, timers, calls from other threads. One thread runs it.

Handlers tolerate spurious calls: an fd number may be closed and opened anew within one round.
"""

import heapq
import itertools
import os
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
EDGE = select.EPOLLET

Handler = Callable[[], object]
OnBug = Callable[[Exception], object]


class Cancellable(Protocol):
    """A call that waits for its time."""

    def cancel(self) -> None:
        """Never make the call."""


class Handlers(Protocol):
    """What code that serves fds asks of whoever runs it: a `Loop`, an AioContext, or what belongs to one device there.

    Words and rules are those of `Loop`.
    """

    on_bug: OnBug | None

    def add(self, fd: int, events: int, handler: Handler) -> None:
        """Call `handler` when `fd` is ready. Raises OSError when the fd cannot be waited for."""

    def change(self, fd: int, events: int) -> None:
        """Wait for other events on an fd that was added."""

    def remove(self, fd: int) -> None:
        """Stop waiting for an fd; do this before closing it. Unknown fds are ignored."""

    def call_soon(self, call: Handler) -> None:
        """Make a call in the next round. Safe from the own thread only."""

    def call_threadsafe(self, call: Handler) -> None:
        """Make a call in the thread that runs this; safe from any thread."""

    def call_later(self, seconds: float, call: Handler) -> Cancellable:
        """Make a call after a delay."""


class Timer:
    """A call that is due at `when` (monotonic seconds) unless cancelled."""

    def __init__(self, when: float, call: Handler) -> None:
        self.when = when
        self.call: Handler | None = call

    def cancel(self) -> None:
        """Never make the call."""
        self.call = None


class Loop:
    """Waits for fds and timers and calls their handlers. `close` it when done.

    on_bug: takes exceptions that a handler let out, so that one bad handler does not end all; None: they end `run`.
    """

    def __init__(self) -> None:
        self.on_bug: OnBug | None = None
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._soon: deque[Handler] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._running = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.add(self._wake, READ | EDGE, lambda: None)

    def add(self, fd: int, events: int, handler: Handler) -> None:
        """Call `handler` when `fd` is ready. Raises OSError when the fd cannot be waited for."""
        self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def change(self, fd: int, events: int) -> None:
        """Wait for other events on an fd that was added."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Stop waiting for an fd; do this before closing it. Unknown fds are ignored."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def call_soon(self, call: Handler) -> None:
        """Make a call in the next round. Safe from the loop's own thread only."""
        self._soon.append(call)

    def call_threadsafe(self, call: Handler) -> None:
        """Make a call in the loop's thread; safe from any thread and from signal handlers."""
        self._soon.append(call)
        os.eventfd_write(self._wake, 1)

    def call_later(self, seconds: float, call: Handler) -> Timer:
        """Make a call after a delay."""
        timer = Timer(time.monotonic() + seconds, call)
        heapq.heappush(self._timers, (timer.when, next(self._order), timer))
        return timer

    def run(self) -> None:
        """Serve until `stop`."""
        self._running = True
        while self._running:
            self.run_once(self._timeout())

    def stop(self) -> None:
        """Make `run` return after this round; from another thread, `call_threadsafe(loop.stop)`."""
        self._running = False

    def _timeout(self) -> float | None:
        if self._soon:
            return 0.0
        if not self._timers:
            return None
        return max(0.0, self._timers[0][0] - time.monotonic())

    def run_once(self, timeout: float | None) -> None:
        """One round: wait at most `timeout` seconds (None: for ever), then call all that is due."""
        for fd, _ in self._epoll.poll(timeout):
            handler = self._handlers.get(fd)
            if handler is not None:
                self._call(handler)
        for _ in range(len(self._soon)):
            self._call(self._soon.popleft())
        while self._timers and self._timers[0][0] <= time.monotonic():
            timer = heapq.heappop(self._timers)[2]
            if timer.call is not None:
                self._call(timer.call)

    def _call(self, handler: Handler) -> None:
        try:
            handler()
        except Exception as error:
            if self.on_bug is None:
                raise
            self.on_bug(error)

    def close(self) -> None:
        """Free the loop's own fds; those that were added stay open."""
        self._epoll.close()
        os.close(self._wake)
