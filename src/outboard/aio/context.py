"""AioContext: the fds, event notifiers, timers and bottom halves that one thread serves, its home.

Source: QEMU 4.1, include/block/aio.h, util/async.c, util/aio-posix.c, docs/devel/multiple-iothreads.txt.
Modelled: fd handlers and notifiers, external ones disabled, bottom halves, timers of one clock, nested `poll`, acquire
and release, adaptive polling, `notify`.
Not modelled: GSource, idle bottom halves, the thread pool, Linux AIO; the virtual clock of a VM.
"""

from collections import deque
from collections.abc import Callable

from outboard.aio import observe
from outboard.aio.bottom_halves import BottomHalf, BottomHalves
from outboard.aio.fd_handlers import FdHandler, FdHandlers, Owner, Poll
from outboard.aio.lock import ContextLock
from outboard.aio.polling import PollTime
from outboard.aio.timers import Timer, Timers
from outboard.aio.world import Notifier, Waiter
from outboard.errors import LocalError
from outboard.host.loop import READ, WRITE, OnBug

Call = Callable[[], object]


class AioContext:
    """What one thread serves. Any thread may call all of it, save `poll`, which is the home thread's.

    Callbacks run in `poll`, with the context acquired: who acquires it from another thread has it to himself.
    on_bug: takes exceptions that a callback let out; None: they end `poll`; when it is next called it goes on with the
    rest. deserted: its home has left it, and nobody came.
    """

    def __init__(self, name: str, waiter: Waiter) -> None:
        self.name = name
        self.world = waiter.world
        self.waiter = waiter
        self.home: int | None = None
        self.deserted = False
        self.on_bug: OnBug | None = None
        self.now_ns = waiter.now_ns
        self.lock = ContextLock(waiter.world)
        self.fds = FdHandlers(waiter)
        self._ident = waiter.world.ident
        self._halves = BottomHalves(self._wake)
        self._timers = Timers(self._wake)
        self._ready: deque[tuple[FdHandler, int]] = deque()
        self._sleeping = False
        self._notified = False
        self._poll_time = PollTime()
        self.closed = False

    def __repr__(self) -> str:
        return f"<AioContext {self.name}>"

    # The home

    def adopt(self) -> None:
        """Make the calling thread the home. Raises LocalError when it or the context is taken."""
        me = self._ident()
        other = self.world.contexts.get(me)
        if self.home not in (None, me) or other not in (None, self):
            taken = f"{other.name} is of this thread" if other else "another thread is its home"
            raise LocalError(f"context {self.name}: {taken}")
        self.home = me
        self.deserted = False
        self.world.contexts[me] = self

    def abandon(self) -> None:
        """Undo `adopt`; another thread may be the home then."""
        if self.home is not None:
            self.world.contexts.pop(self.home, None)
            self.home = None
            self.deserted = True

    @property
    def in_home_thread(self) -> bool:
        """Whether the calling thread is the home."""
        return self.home == self._ident()

    def here(self) -> "AioContext | None":
        """Return itself if the calling thread is the home."""
        return self if self.in_home_thread else None

    # Handlers

    def set_fd_handler(
        self,
        fd: int,
        on_read: Call | None = None,
        on_write: Call | None = None,
        *,
        external: bool = False,
        poll: Poll | None = None,
    ) -> None:
        """Call these while an fd can be read or written, as long as it can; both None: no longer.

        poll: looks without a system call and does the work if there is some, then returns true. Raises OSError when the
        fd cannot be waited for.
        """
        if on_read is None and on_write is None:
            self.fds.drop(fd)
            return
        events = (READ if on_read else 0) | (WRITE if on_write else 0)
        handler = FdHandler(fd, events, external=external, poll=poll)
        handler.read, handler.write = on_read, on_write
        self.fds.replace(handler)

    def set_event_notifier(
        self, notifier: Notifier, handler: Call | None, *, external: bool = False, poll: Poll | None = None
    ) -> None:
        """Call `handler` while a notifier is set, which the handler clears; None: no longer."""
        self.set_fd_handler(notifier.fd, handler, external=external, poll=poll)

    def disable_external(self) -> None:
        """Run no external handler until `enable_external` was called as often.

        One that runs now goes on; who has acquired the context knows that none does.
        """
        self.fds.disable_external()

    def enable_external(self) -> None:
        """Undo one `disable_external`; what became ready meanwhile is told now."""
        self.fds.enable_external()

    # The same as host.loop.Handlers

    def add(self, fd: int, events: int, handler: Call, *, external: bool = False, poll: Poll | None = None) -> None:
        """Call `handler` when `fd` is ready. external, poll: as `set_fd_handler`.

        Raises OSError when the fd cannot be waited for, LocalError when it has a handler.
        """
        entry = FdHandler(fd, events, external=external, poll=poll)
        entry.any = handler
        self.fds.put(entry)

    def change(self, fd: int, events: int) -> None:
        """Wait for other events on an fd that was added."""
        self.fds.change(fd, events)

    def remove(self, fd: int) -> None:
        """Stop waiting for an fd; do this before closing it. Unknown fds are ignored."""
        self.fds.drop(fd)

    def call_soon(self, call: Call) -> None:
        """Make a call in the next round; from any thread."""
        self._halves.once(call)

    call_threadsafe = call_soon

    def call_later(self, seconds: float, call: Call) -> Timer:
        """Make a call after a delay."""
        timer = Timer(self._timers, call)
        timer.mod_ns(self.now_ns() + round(seconds * 1e9))
        return timer

    # Bottom halves and timers

    def bh_new(self, call: Call) -> BottomHalf:
        """Make a bottom half; it is not scheduled."""
        return BottomHalf(self._halves, call)

    def bh_schedule_oneshot(self, call: Call) -> None:
        """Make a call in the next round; from any thread."""
        self._halves.once(call)

    def timer_new(self, call: Call) -> Timer:
        """Make a timer; it is not armed."""
        return Timer(self._timers, call)

    # Other threads

    def acquire(self) -> None:
        """Have the context to oneself: none of its callbacks runs in another thread. May be nested.

        Raises LocalError in a callback of another context, unless that is the main one: two that acquired each other's
        would wait for ever.
        """
        mine = self.world.contexts.get(self._ident())
        if mine not in (None, self, self.world.main) and mine.lock.owner == mine.home:
            raise LocalError(
                f"a callback of context {mine.name} cannot acquire context {self.name}: schedule a bottom half there, "
                "or let the main context do it"
            )
        self.lock.acquire()

    def release(self) -> None:
        """Undo one `acquire`."""
        self.lock.release()

    def __enter__(self) -> "AioContext":
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.lock.release()

    def notify(self) -> None:
        """Make a `poll` that waits return, or the next one not wait."""
        self._notified = True
        self._wake()

    def _wake(self) -> None:
        # Whoever waits says so first and looks for work then; so one of both sees the other.
        if self._sleeping:
            self._sleeping = False
            self.waiter.wake()

    # Polling

    def set_poll_params(self, max_ns: int, grow: int = 0, shrink: int = 0) -> None:
        """Look for work up to `max_ns` before sleeping; 0: sleep at once.

        grow, shrink: what the time is multiplied by, and divided by; 0: by 2, and down to nothing.
        Raises LocalError for negative numbers.
        """
        if min(max_ns, grow, shrink) < 0:
            raise LocalError(f"polling: expected numbers from 0 on, got {max_ns}, {grow}, {shrink}")
        self._poll_time.set(max_ns, grow, shrink)
        self.notify()

    @property
    def poll_params(self) -> tuple[int, int, int]:
        """What `set_poll_params` was given: max_ns, grow, shrink."""
        return self._poll_time.max_ns, self._poll_time.grow, self._poll_time.shrink

    @property
    def scheduled(self) -> int:
        """How many bottom halves wait for the next round."""
        return sum(half.scheduled for half in list(self._halves.queue))

    @property
    def armed(self) -> int:
        """How many timers wait for their time."""
        return self._timers.armed

    @property
    def poll_ns(self) -> int:
        """How long the next wait will look first."""
        return self._poll_time.ns

    def poll(self, blocking: bool, limit_ns: int | None = None) -> bool:
        """Make the calls that are due; blocking: wait until there is one, or for `notify`, or `limit_ns`.

        True when a call was made. May be called in a callback; callbacks that are ready then run as well.
        Raises LocalError in another thread than the home.
        """
        if self.home != self._ident():
            self.adopt()
        progress = False
        if not blocking:
            timeout_ns: int | None = 0
        elif self._poll_time.max_ns:
            return self._poll_adaptively(limit_ns)
        else:
            self._sleeping = True
            timeout_ns = self._timeout_ns(limit_ns)
        self._wait(timeout_ns)
        self._notified = False  # `poll` returns soon: who gave notice of something is heard
        if self._ready or self._halves.queue or self._timers.queue or self._timers.later:
            progress = self._dispatch()
        return progress

    def _wait(self, timeout_ns: int | None) -> None:
        self.fds.waits += 1
        ready = self.waiter.wait(timeout_ns)
        self._sleeping = False
        if ready:
            self._ready.extend(self.fds.of(ready))

    def prepare(self) -> int | None:
        """Say that another loop waits for this context; return how long at most: nanoseconds, None for ever.

        It calls `poll(False)` when that time is over or the waiter's fd is ready, and this again before it waits.
        """
        self._sleeping = True
        return self._timeout_ns(None)

    def _timeout_ns(self, limit_ns: int | None) -> int | None:
        if self._halves.queue or self._notified or self._ready:
            return 0
        if not self._timers.queue and not self._timers.later:
            return limit_ns
        expire_ns = self._timers.next_ns()
        if expire_ns is None:
            return limit_ns
        left_ns = max(0, expire_ns - self.now_ns())
        return left_ns if limit_ns is None else min(left_ns, limit_ns)

    def _poll_adaptively(self, limit_ns: int | None) -> bool:
        began_ns = self.now_ns()
        timeout_ns = self._timeout_ns(limit_ns)
        look_ns = self._poll_time.ns if timeout_ns is None else min(self._poll_time.ns, timeout_ns)
        progress = self._look()  # once, even if there is no time for more
        while not progress and self.now_ns() < began_ns + look_ns:
            self._wait(0)
            progress = self._look() or bool(self._ready or self._halves.queue or self._notified)
        if not progress:
            self._sleeping = True
            timeout_ns = self._timeout_ns(limit_ns)
            self._wait(timeout_ns)
        self._notified = False
        self._poll_time.waited(self.now_ns() - began_ns)
        return self._dispatch() or progress

    def _look(self) -> bool:
        """Ask the handlers that can be asked without a system call."""
        if not self.fds.polled:
            return False
        progress = False
        self.lock.enter()
        try:
            for handler in self.fds.polled:
                if handler.poll is not None and self.fds.runs(handler):
                    progress = self._asked(handler.poll, handler.owner) or progress
        finally:
            self.lock.release()
        return progress

    def _asked(self, poll: Poll, owner: Owner | None) -> bool:
        try:
            return observe.asked(self, poll) if observe.hooks else poll()
        except Exception as error:
            self._bug(error, owner)
            return True

    def _dispatch(self) -> bool:
        self.lock.enter()
        try:
            progress = self._halves.run(self.make) if self._halves.queue else False
            while self._ready:
                handler, events = self._ready.popleft()
                progress = self._handle(handler, events) or progress
            if self._timers.queue or self._timers.later:
                progress = self._timers.run(self.now_ns(), self.make) or progress
        finally:
            self.lock.release()
        return progress

    def _handle(self, handler: FdHandler, events: int) -> bool:
        progress = False
        if handler.take is not None:
            handler.take(events)
            return True
        for what, call in handler.calls(events):
            if self.fds.runs(handler):
                self.make(what, call, handler.owner)
                progress = True
        return progress

    def make(self, what: str, call: Call, owner: Owner | None = None) -> None:
        """Make a call of this context, then let who waits for the context have it. owner: of its own `on_bug`."""
        try:
            if observe.hooks:
                observe.observed(self, what, call)
            else:
                call()
        except Exception as error:
            self._bug(error, owner)
        if self.lock.wanted:
            self.lock.give_way()

    def _bug(self, error: Exception, owner: Owner | None) -> None:
        on_bug = (owner and owner.on_bug) or self.on_bug
        if on_bug is None:
            raise error
        on_bug(error)

    def close(self) -> None:
        """Free what the context has of its own; fds that were added stay open."""
        if not self.closed:
            self.closed = True
            self.abandon()
            self.waiter.close()

    def reopen(self, waiter: Waiter) -> None:
        """Undo `close`: wait with another waiter for what is still here; an fd that was closed meanwhile is not."""
        self.waiter = waiter
        self.fds.wait_with(waiter)
        self.closed = False
