"""The fds of a context: who handles them, which are external, which the waiter waits for now. Any thread changes them.

An external handler serves what comes from outside, a guest's kick; while external ones are disabled nothing of them is
waited for and nothing runs. Waiting anew tells again what is ready, so nothing is lost.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from outboard.aio.world import Waiter
from outboard.errors import LocalError
from outboard.host.loop import READ, WRITE, OnBug

Call = Callable[[], object]
Poll = Callable[[], bool]


class Owner(Protocol):
    """Who takes exceptions of a handler before the context does."""

    on_bug: OnBug | None


# What epoll reports unasked, numbered as select.EPOLLERR and EPOLLHUP.
ERROR = 0x008
HANG_UP = 0x010
READS = READ | HANG_UP | ERROR
WRITES = WRITE | ERROR


class FdHandler:
    """What is called for an fd. any: for whatever is ready; or read, write. take: gets the events too.

    owner: whose on_bug comes before the context's. wait: the number of the wait during which it was added. live: it was
    not removed.
    """

    __slots__ = ("any", "events", "external", "fd", "live", "owner", "poll", "read", "take", "wait", "waited", "write")

    def __init__(self, fd: int, events: int, *, external: bool = False, poll: Poll | None = None) -> None:
        self.fd = fd
        self.events = events
        self.external = external
        self.poll = poll
        self.any: Call | None = None
        self.read: Call | None = None
        self.write: Call | None = None
        self.take: Callable[[int], None] | None = None
        self.owner: Owner | None = None
        self.wait = 0
        self.live = True
        self.waited = False

    def calls(self, events: int) -> list[tuple[str, Call]]:
        """Return what is to be called for these events, reading first, with what it is."""
        found = []
        if self.any is not None:
            found.append(("fd", self.any))
        if self.read is not None and events & READS:
            found.append(("read", self.read))
        if self.write is not None and events & WRITES:
            found.append(("write", self.write))
        return found


class FdHandlers:
    """The table of a context, by fd. polled: those of it that have `poll`.

    external_disabled: how often they were. waits: how many waits were begun.
    """

    def __init__(self, waiter: Waiter) -> None:
        self._waiter = waiter
        self._mutex = threading.Lock()  # never held while anything but the waiter's tables is touched
        self.table: dict[int, FdHandler] = {}
        self.external_disabled = 0
        self.waits = 0
        self.polled: tuple[FdHandler, ...] = ()

    def put(self, handler: FdHandler) -> None:
        """Handle an fd. Raises LocalError when it is handled already, OSError when it cannot be waited for."""
        with self._mutex:
            if handler.fd in self.table:
                raise LocalError(f"fd {handler.fd} has a handler in this context: remove that first")
            self._put(handler)

    def replace(self, handler: FdHandler) -> None:
        """Handle an fd, no longer as before."""
        with self._mutex:
            self._drop(handler.fd)
            self._put(handler)

    def change(self, fd: int, events: int) -> None:
        """Wait for other events. Raises LocalError where the fd has no handler."""
        with self._mutex:
            handler = self.table.get(fd)
            if handler is None:
                raise LocalError(f"fd {fd} has no handler in this context")
            if handler.events != events:
                self._forget(handler)
                handler.events = events
                self._wait_for(handler)

    def drop(self, fd: int) -> bool:
        """Handle an fd no longer; false where it was not."""
        with self._mutex:
            return self._drop(fd)

    def _put(self, handler: FdHandler) -> None:
        handler.live = True
        handler.wait = self.waits
        self.table[handler.fd] = handler
        if handler.poll is not None:
            self.polled = (*self.polled, handler)
        try:
            self._wait_for(handler)
        except OSError:
            self._drop(handler.fd)
            raise

    def _drop(self, fd: int) -> bool:
        handler = self.table.pop(fd, None)
        if handler is None:
            return False
        handler.live = False
        if handler.poll is not None:
            self.polled = tuple(one for one in self.polled if one is not handler)
        self._forget(handler)
        return True

    def _wait_for(self, handler: FdHandler) -> None:
        if not handler.waited and not (handler.external and self.external_disabled):
            self._waiter.add_fd(handler.fd, handler.events)
            handler.waited = True

    def _forget(self, handler: FdHandler) -> None:
        if handler.waited:
            self._waiter.remove_fd(handler.fd)
            handler.waited = False

    def wait_with(self, waiter: Waiter) -> None:
        """Wait for all with another waiter; the one before is closed. Fds that were closed are forgotten."""
        with self._mutex:
            self._waiter = waiter
            handlers = list(self.table.values())
            self.table.clear()
            self.polled = ()
            for handler in handlers:
                handler.waited = False
                with suppress(OSError):
                    self._put(handler)

    def park(self, handler: FdHandler) -> None:
        """Do not wait for a handler's fd until `unpark`."""
        with self._mutex:
            self._forget(handler)

    def unpark(self, handler: FdHandler) -> None:
        """Wait for it again, unless it was removed."""
        with self._mutex:
            if handler.live:
                self._wait_for(handler)

    def disable_external(self) -> None:
        """Wait for no external fd until `enable_external` was called as often."""
        with self._mutex:
            self.external_disabled += 1
            if self.external_disabled == 1:
                for handler in self._external():
                    self._forget(handler)

    def enable_external(self) -> None:
        """Undo one `disable_external`. Raises LocalError where there was none, OSError for an fd that was closed."""
        with self._mutex:
            if not self.external_disabled:
                raise LocalError("external handlers are enabled already")
            self.external_disabled -= 1
            failure = None
            for handler in [] if self.external_disabled else self._external():
                try:
                    self._wait_for(handler)
                except OSError as error:
                    self._drop(handler.fd)
                    failure = failure or error
        if failure:
            raise failure

    def _external(self) -> list[FdHandler]:
        return [handler for handler in self.table.values() if handler.external]

    def of(self, ready: Sequence[tuple[int, int]]) -> list[tuple[FdHandler, int]]:
        """Return the handlers of fds that a wait has reported.

        A handler that was added while the wait went on may have its number from an fd that was closed: what was
        reported may be the other's, so it is waited for anew, which reports what is ready again.
        """
        found = []
        for fd, events in ready:
            handler = self.table.get(fd)
            if handler is None:
                continue
            if handler.wait == self.waits:
                self.park(handler)
                self.unpark(handler)
            else:
                found.append((handler, events))
        return found

    def runs(self, handler: FdHandler) -> bool:
        """Return whether a handler that was ready may still be called."""
        return handler.live and not (handler.external and self.external_disabled)
