"""A context inside an asyncio loop: `asyncio` code and the context's callbacks share its thread.

`AsyncioLoop` makes asyncio wait with the context, so a kick costs one wait. `HostedLoop` takes any loop that has
`add_reader`, uvloop's say, and looks after the context when the loop tells that its fd is ready; each costs one more.
Both are made for `IOThread(loop_factory=…)`.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar

from outboard.aio.context import AioContext
from outboard.aio.coroutine import Place, co_enter
from outboard.aio.epoll import EpollWaiter
from outboard.aio.fd_handlers import FdHandler
from outboard.errors import LocalError
from outboard.host.loop import READ, WRITE

T = TypeVar("T")
Event = tuple[selectors.SelectorKey, int]
ROUNDS = 16
"""Of a hosted context, before its loop has a turn."""


class ContextSelector(selectors.BaseSelector):
    """A selector whose fds are a context's: `select` makes the context's calls and returns asyncio's events."""

    def __init__(self, ctx: AioContext) -> None:
        self._ctx = ctx
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._handlers: dict[int, FdHandler] = {}
        self._fired: list[Event] = []
        self._parked: list[FdHandler] = []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Wait for a file. Raises ValueError for events that there are not, KeyError when it is known."""
        if not events or events & ~(selectors.EVENT_READ | selectors.EVENT_WRITE):
            raise ValueError(f"events {events!r}")
        key = selectors.SelectorKey(fileobj, _fileno(fileobj), events, data)
        if key.fd in self._keys:
            raise KeyError(f"{fileobj!r} is registered already")
        mask = (READ if events & selectors.EVENT_READ else 0) | (WRITE if events & selectors.EVENT_WRITE else 0)
        handler = FdHandler(key.fd, mask)
        handler.take = partial(self._take, handler)
        self._ctx.fds.put(handler)
        self._keys[key.fd], self._handlers[key.fd] = key, handler
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Wait for it no more. Raises KeyError when it is not known."""
        key = self._keys.pop(_fileno(fileobj))
        del self._handlers[key.fd]
        self._ctx.fds.drop(key.fd)
        self._fired = [(one, events) for one, events in self._fired if one.fd != key.fd]
        return key

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """Return what is known of a file. Raises KeyError."""
        return self._keys[_fileno(fileobj)]

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return all, by fd."""
        return self._keys

    def select(self, timeout: float | None = None) -> list[Event]:
        """Make one round of the context; return what asyncio's files are ready for."""
        for handler in self._parked:
            self._ctx.fds.unpark(handler)
        self._parked.clear()
        blocking = not self._fired and (timeout is None or timeout > 0)
        self._ctx.poll(blocking, None if timeout is None else max(0, round(timeout * 1e9)))
        fired, self._fired = self._fired, []
        return fired

    def _take(self, handler: FdHandler, events: int) -> None:
        key = self._keys.get(handler.fd)
        if key is None:
            return
        ready = (selectors.EVENT_READ if events & ~WRITE else 0) | (selectors.EVENT_WRITE if events & ~READ else 0)
        self._fired.append((key, ready & key.events))
        if self._ctx.lock.depth > 1:
            # Inside a callback of the context asyncio has no turn: it is told later, and not again and again till then.
            self._ctx.fds.park(handler)
            self._parked.append(handler)

    def close(self) -> None:
        """Forget all; the context stays."""
        for fd in list(self._keys):
            self.unregister(fd)


def _fileno(fileobj: Any) -> int:
    return fileobj if isinstance(fileobj, int) else int(fileobj.fileno())


class AsyncioLoop:
    """An asyncio loop that waits with a context. loop: for `call_soon_threadsafe`, `run_coroutine_threadsafe`."""

    def __init__(self, ctx: AioContext) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.SelectorEventLoop(ContextSelector(ctx))

    def run(self) -> None:
        """Serve until `stop`."""
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    def stop(self) -> None:
        """End `run`; from any thread. After it has ended, nothing."""
        try:
            self.loop.call_soon_threadsafe(self.loop.stop)
        except RuntimeError:
            pass  # it was closed meanwhile


class HostedLoop(AsyncioLoop):
    """A loop of any make that looks after a context: `partial(HostedLoop, new_loop=uvloop.new_event_loop)`."""

    def __init__(
        self, ctx: AioContext, new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    ) -> None:
        if not isinstance(ctx.waiter, EpollWaiter):
            raise LocalError(f"context {ctx.name} waits for no real fds")
        self._ctx = ctx
        self._timer: asyncio.TimerHandle | None = None
        self.loop = new_loop()
        self.loop.add_reader(ctx.waiter.fileno(), self._serve)
        self.loop.call_soon(self._serve)

    def _serve(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for _ in range(ROUNDS):
            if not self._ctx.poll(False):
                break
        timeout_ns = self._ctx.prepare()
        if timeout_ns == 0:
            self.loop.call_soon(self._serve)
        elif timeout_ns is not None:
            self._timer = self.loop.call_later(timeout_ns / 1e9, self._serve)


def as_future(place: Place, coro: Coroutine[Any, Any, T]) -> "asyncio.Future[T]":
    """Run a coroutine of a context, there, and return what a coroutine of the running asyncio loop can await."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    task = co_enter(place, coro, kept=True)

    def finish() -> None:
        if future.done():
            return
        try:
            future.set_result(task.result())
        except Exception as error:
            future.set_exception(error)

    task.completion.on_done(partial(loop.call_soon_threadsafe, finish))
    return future
