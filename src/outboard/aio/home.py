"""What belongs to one device: its fds, timers and calls, which move between contexts as one."""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from outboard.aio.bottom_halves import BottomHalf
from outboard.aio.context import AioContext
from outboard.aio.fd_handlers import FdHandler, Poll
from outboard.aio.timers import Timer
from outboard.aio.wait import kick, wait_while
from outboard.errors import LocalError
from outboard.host.loop import OnBug

Call = Callable[[], object]
T = TypeVar("T")


class HomeTimer:
    """A call that is due at expire_ns, wherever its home is then."""

    def __init__(self, home: "Home", expire_ns: int, call: Call) -> None:
        self._home = home
        self.expire_ns = expire_ns
        self.call = call
        self.timer: Timer | None = None

    def cancel(self) -> None:
        """Never make the call."""
        self._home.forget(self)


class Home:
    """See `host.loop.Handlers`. All of it may be called from any thread.

    A call that runs when its home is moved, which only its own thread can have brought about, ends where it is.
    on_bug: takes exceptions that a callback of this home let out; None: its context's does.
    """

    def __init__(self, ctx: AioContext) -> None:
        self.context = ctx
        self.on_bug: OnBug | None = None
        self._mutex = ctx.world.mutex()  # taken inside a context's lock, never around it
        self._fds: dict[int, FdHandler] = {}
        self._timers: set[HomeTimer] = set()
        self._soon: deque[Call] = deque()
        self._half: BottomHalf
        self._moves = 0
        self._attached = False
        self._closed = False
        self._attach(0)

    def __repr__(self) -> str:
        return f"<Home in {self.context.name}>"

    # host.loop.Handlers

    def add(self, fd: int, events: int, handler: Call, *, external: bool = False, poll: Poll | None = None) -> None:
        """Call `handler` when `fd` is ready. external, poll: as `AioContext.set_fd_handler`.

        Raises OSError when the fd cannot be waited for; LocalError when it has a handler here, or the home is closed.
        """
        entry = FdHandler(fd, events, external=external, poll=poll)
        entry.any, entry.owner = handler, self
        with self._mutex:
            if fd in self._fds or self._closed:
                raise LocalError(f"fd {fd}: " + ("the home is closed" if self._closed else "it has a handler already"))
            if self._attached:
                self.context.fds.put(entry)
            self._fds[fd] = entry

    def change(self, fd: int, events: int) -> None:
        """Wait for other events on an fd that was added."""
        with self._mutex:
            if fd not in self._fds:
                raise LocalError(f"fd {fd} has no handler here")
            if self._attached:
                self.context.fds.change(fd, events)
            self._fds[fd].events = events

    def remove(self, fd: int) -> None:
        """Stop waiting for an fd; do this before closing it. Unknown fds are ignored."""
        with self._mutex:
            if self._fds.pop(fd, None) is not None and self._attached:
                self.context.fds.drop(fd)

    def call_soon(self, call: Call) -> None:
        """Make a call in the next round of the context."""
        self._soon.append(call)
        self._half.schedule()  # while it moves, nothing; `_attach` looks again

    call_threadsafe = call_soon

    def call_later(self, seconds: float, call: Call) -> HomeTimer:
        """Make a call after a delay, wherever the home is then."""
        waits = HomeTimer(self, self.context.now_ns() + round(seconds * 1e9), call)
        with self._mutex:
            if not self._closed:
                self._timers.add(waits)
                if self._attached:
                    self._arm(waits)
        return waits

    def forget(self, waits: HomeTimer) -> bool:
        """Disarm a timer; false when it was not armed."""
        with self._mutex:
            known = waits in self._timers
            self._timers.discard(waits)
            if waits.timer is not None:
                waits.timer.delete()
        return known

    # Where it runs

    @property
    def closed(self) -> bool:
        """Whether `close` was called; calls are not made any more."""
        return self._closed

    def here(self) -> AioContext | None:
        """Return the context if the calling thread is its home and the home is all there."""
        return self.context if self._attached and self.context.in_home_thread else None

    def run_in(self, call: Callable[[], T]) -> T:
        """Make a call in the home thread and wait for it, as `wait.wait_while` does; return or raise what it does.

        Raises LocalError when the home is closed, and when the thread has ended, or ends meanwhile.
        """
        if self.here() is not None:
            return call()
        if self._closed:
            raise LocalError("the home is closed: nothing of it runs any more")
        ended: list[tuple[T | None, Exception | None]] = []

        def run() -> None:
            try:
                ended.append((call(), None))
            except Exception as error:
                ended.append((None, error))
            kick()

        self.call_threadsafe(run)
        wait_while(self.context, lambda: not ended and not self.context.deserted)
        if not ended:
            raise LocalError(f"context {self.context.name}: its thread has ended, and the call was not made")
        value, error = ended[0]
        if error is not None:
            raise error
        return value  # type: ignore[return-value]

    def move(self, ctx: AioContext) -> None:
        """Take all of it to another context. From any thread, save callbacks of contexts that may not acquire its own.

        When this returns nothing of it runs in the old context, save a call that makes the move itself. In the new one
        it begins all at once, in a bottom half; what becomes ready meanwhile is told then. An fd that was closed and is
        still here stays behind, with an exception for `on_bug`.
        """
        old = self._acquire()
        try:
            with self._mutex:
                self._moves += 1
                number = self._moves
                self._detach()
                self.context = ctx
        finally:
            old.release()
        ctx.bh_schedule_oneshot(partial(self._attach, number))

    def close(self) -> None:
        """Remove all of it, for good; when this returns nothing of it runs in another thread."""
        old = self._acquire()
        try:
            with self._mutex:
                self._moves += 1
                self._detach()
                self._closed = True
                self._fds.clear()
                self._timers.clear()
                self._soon.clear()
        finally:
            old.release()

    def _acquire(self) -> AioContext:
        while True:
            ctx = self.context
            ctx.acquire()
            if self.context is ctx:
                return ctx
            ctx.release()

    def _detach(self) -> None:
        self._half.delete()
        if self._attached:
            self._attached = False
            for fd in self._fds:
                self.context.fds.drop(fd)
            for waits in self._timers:
                if waits.timer is not None:
                    waits.timer.delete()

    def _attach(self, move: int) -> None:
        failures = []
        with self._mutex:
            if move != self._moves or self._closed:
                return
            for fd, entry in list(self._fds.items()):
                try:
                    self._fds[fd] = self._put(entry)
                except (OSError, LocalError) as error:
                    del self._fds[fd]
                    failures.append(error)
            for waits in self._timers:
                self._arm(waits)
            self._half = self.context.bh_new(partial(self._run_soon, move))
            self._attached = True
        if self._soon:
            self._half.schedule()
        for failure in failures:
            self._bug(failure)

    def _put(self, entry: FdHandler) -> FdHandler:
        # A new one each time: the old context may have the old one among those that are ready.
        anew = FdHandler(entry.fd, entry.events, external=entry.external, poll=entry.poll)
        anew.any, anew.owner = entry.any, entry.owner
        self.context.fds.put(anew)
        return anew

    def _arm(self, waits: HomeTimer) -> None:
        waits.timer = self.context.timer_new(partial(self._fire, waits))
        waits.timer.mod_ns(waits.expire_ns)

    def _fire(self, waits: HomeTimer) -> None:
        if self.forget(waits):
            self._guarded(waits.call)

    def _run_soon(self, move: int) -> None:
        for _ in range(len(self._soon)):
            if move != self._moves or not self._soon:
                return
            self.context.make("call", self._soon.popleft(), self)

    def _guarded(self, call: Call) -> None:
        try:
            call()
        except Exception as error:
            self._bug(error)

    def _bug(self, error: Exception) -> None:
        if self.on_bug is None:
            raise error
        self.on_bug(error)
