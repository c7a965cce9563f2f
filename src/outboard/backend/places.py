"""Where a served back-end runs: on a plain loop in a thread of its own, or in a context, which it may leave for others.

In a context all of it has one home: listener, control socket, kicks, display socket, timers. So it moves as one.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Protocol

from outboard.aio.context import AioContext
from outboard.aio.home import Home
from outboard.aio.iothread import IOThread, served_context
from outboard.errors import LocalError
from outboard.host.loop import Handlers, Loop

STOP_S = 10.0
"""Seconds that a thread is given to end."""
ARRIVE_S = 1.0
"""Seconds that a move is given to arrive before the next one goes ahead; its new thread is stuck, or ended, then."""

Ended = Callable[[BaseException | None], object]
"""Called once when all is over, with the exception that brought it about, if any; in the thread that served."""


class Place(Protocol):
    """Runs what is added to its `handlers`. on_ended: to be set before anything is added."""

    on_ended: Ended

    @property
    def handlers(self) -> Handlers:
        """The loop, or what stands for it."""

    @property
    def context(self) -> AioContext | None:
        """The context, if it is one."""

    def start(self) -> None:
        """Run it, if it does not run already."""

    def end(self) -> None:
        """All is over; called in the thread that serves."""

    def wait_ended(self, timeout: float) -> bool:
        """Wait until all is over; false when it is not after `timeout` seconds."""

    def alone(self) -> AbstractContextManager[None]:
        """Let no other thread run any of it for a block."""

    def move(self, ctx: AioContext | IOThread) -> None:
        """Go on in another context. Raises LocalError, and nothing has changed then."""

    def close(self) -> None:
        """Free what the place has of its own, after what was added is removed."""


class OwnThread:
    """A loop in a thread of its own. See `Place`."""

    context = None

    def __init__(self, name: str) -> None:
        self.on_ended: Ended = _nobody
        self._loop = Loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def handlers(self) -> Handlers:
        """See `Place`."""
        return self._loop

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            self._loop.run()
        except BaseException as error:
            failure = error
        self.on_ended(failure)

    def start(self) -> None:
        """See `Place`."""
        self._thread.start()

    def end(self) -> None:
        """See `Place`."""
        self._loop.stop()

    def wait_ended(self, timeout: float) -> bool:
        """See `Place`."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """See `Place`: the thread is ended, for good."""
        if self._thread.is_alive():
            self._loop.call_threadsafe(self._loop.stop)
            self._thread.join(STOP_S)
        yield

    def move(self, ctx: AioContext | IOThread) -> None:
        """See `Place`: never."""
        raise LocalError(
            f"cannot move to context {served_context(ctx).name}: expected a back-end in a context, got one with a "
            "loop of its own; serve it with iothread="
        )

    def close(self) -> None:
        """See `Place`."""
        self._loop.close()


class InContext:
    """A home in a context that somebody else runs. See `Place`.

    Raises LocalError when no thread serves the context: nobody would come.
    """

    def __init__(self, ctx: AioContext) -> None:
        ctx = served_context(ctx)
        self.on_ended: Ended = _nobody
        self._home = Home(ctx)
        self._turn = threading.Lock()
        self._arrived = threading.Event()
        self._arrived.set()
        self._over = threading.Event()
        self._closed = False

    @property
    def handlers(self) -> Handlers:
        """See `Place`."""
        return self._home

    @property
    def context(self) -> AioContext:
        """See `Place`."""
        return self._home.context

    def start(self) -> None:
        """See `Place`: it runs from the first handler on."""

    def end(self) -> None:
        """See `Place`."""
        self.on_ended(None)
        self._over.set()

    def wait_ended(self, timeout: float) -> bool:
        """See `Place`."""
        return self._over.wait(timeout)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """See `Place`. Raises LocalError in a callback of another context."""
        while True:
            ctx = self._home.context
            with ctx:
                if ctx is self._home.context:
                    yield
                    return

    def move(self, ctx: AioContext | IOThread) -> None:
        """See `Place`."""
        ctx = served_context(ctx)
        if self._closed:
            raise LocalError(f"cannot move to context {ctx.name}: the back-end has ended")
        here = self._home.context
        if ctx is here:
            return
        if here.in_home_thread and here.lock.depth:
            # The callback that runs now may be of this home: it must return before anything of it runs elsewhere.
            here.bh_schedule_oneshot(lambda: self._move_later(here, ctx))
        else:
            with self._turn:
                # Who moves it again and again must not keep it from running.
                self._arrived.wait(ARRIVE_S)
                self._leave_for(ctx)

    def _move_later(self, here: AioContext, ctx: AioContext) -> None:
        """Move, unless others have moved it meanwhile, or nobody serves the new context any more."""
        if self._home.context is here and not ctx.closed:
            self._leave_for(ctx)

    def _leave_for(self, ctx: AioContext) -> None:
        arrived = threading.Event()
        self._home.move(ctx)
        self._arrived = arrived
        # The first call is made when all of it is there, the second when what was ready has had its turn.
        self._home.call_soon(partial(self._home.call_soon, arrived.set))

    def close(self) -> None:
        """See `Place`."""
        self._closed = True
        self._home.close()
        self._arrived.set()
        self._over.set()


def _nobody(_: BaseException | None) -> None:
    """Nobody was told to be called."""
