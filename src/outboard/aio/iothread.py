"""A thread that serves a context: QEMU's `-object iothread`.

Source: QEMU 4.1, iothread.c.
"""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

from outboard.aio.context import AioContext
from outboard.aio.wait import kick
from outboard.aio.world import REAL, current_context, main_context
from outboard.errors import LocalError

__all__ = ["IOThread", "Runner", "current_context", "main_context", "served_context"]

STOP_S = 10.0
"""Seconds that a thread is given to end."""


class Runner(Protocol):
    """Serves a context in the calling thread until it is stopped: an asyncio loop, say, that hosts it."""

    def run(self) -> None:
        """Serve until `stop`."""

    def stop(self) -> None:
        """End `run`; from any thread."""


class _Bare:
    """Polls the context, nothing else."""

    def __init__(self, ctx: AioContext) -> None:
        self._ctx = ctx
        self._stopped = False

    def run(self) -> None:
        poll = self._ctx.poll
        while not self._stopped:
            poll(True)

    def stop(self) -> None:
        self._stopped = True
        self._ctx.notify()


class IOThread:
    """A thread and its context; use it in a `with` statement.

    poll_max_ns, poll_grow, poll_shrink: as `AioContext.set_poll_params`. loop_factory: makes what serves the context in
    the thread, `asyncio_loop.AsyncioLoop` say; by default nothing but the context runs there. A callback's exception
    that nobody takes ends the thread; `stop` raises it.
    """

    def __init__(
        self,
        name: str,
        *,
        poll_max_ns: int = 0,
        poll_grow: int = 0,
        poll_shrink: int = 0,
        loop_factory: Callable[[AioContext], Runner] | None = None,
    ) -> None:
        self.name = name
        self.context = REAL.context(name)
        self.context.set_poll_params(poll_max_ns, poll_grow, poll_shrink)
        self._factory = loop_factory or _Bare
        self.runner: Runner | None = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def failure(self) -> BaseException | None:
        """The exception that has ended the thread."""
        return self._failure

    def start(self) -> Self:
        """Start the thread; it serves the context when this returns. Raises LocalError when it was started before."""
        if self._thread is not None or self.context.closed:
            raise LocalError(f"IOThread {self.name} was {'stopped' if self.context.closed else 'started already'}")
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name=self.name, daemon=True)
        self._thread.start()
        ready.wait()
        return self

    def _run(self, ready: threading.Event) -> None:
        try:
            self.context.adopt()
            self.runner = self._factory(self.context)
            ready.set()
            self.runner.run()
        except BaseException as error:
            self._failure = error
        finally:
            ready.set()
            self.context.abandon()
            kick()  # whoever waits for what it would have done

    def stop(self) -> None:
        """End the thread and free its context; safe to call twice. What waits in the context is not run.

        Raises LocalError when the thread does not end, or in the thread itself; and what has ended the thread before.
        """
        if self.context.closed:
            return
        if self._thread is None:
            self.context.close()
            return
        if self._thread is threading.current_thread():
            raise LocalError(f"IOThread {self.name} cannot be stopped by one of its own callbacks")
        if self.runner is not None:
            self.runner.stop()
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            raise LocalError(
                f"IOThread {self.name} did not end within {STOP_S:g} s: one of its callbacks does not return"
            )
        self.context.close()
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, value: Any, trace: TracebackType | None) -> None:
        try:
            self.stop()
        except BaseException:
            if value is None:
                raise


def served_context(where: object) -> AioContext:
    """Return a context, or that of an IOThread. Raises LocalError when no thread serves it: nobody would come."""
    ctx = where.context if isinstance(where, IOThread) else where
    if not isinstance(ctx, AioContext):
        raise LocalError(f"expected an IOThread or a context to live in, got {where!r}")
    if ctx.closed or ctx.home is None:
        state = "was stopped" if ctx.closed else "has ended" if ctx.deserted else "has no thread: start it first"
        raise LocalError(f"context {ctx.name}: expected one that a thread serves, got one whose IOThread {state}")
    return ctx
