"""Coroutines of a context: `async def` that runs in callbacks and is resumed by bottom halves, with no loop of its own.

Source: QEMU 4.1, util/async.c (aio_co_enter, aio_co_schedule, aio_co_wake).
"""

import os
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from outboard.aio.context import AioContext
from outboard.aio.home import Home
from outboard.aio.wait import kick, wait_while
from outboard.errors import LocalError

T = TypeVar("T")
Place = AioContext | Home
"""Where a coroutine runs: a context, or wherever the home of a device is."""


class Completion(Generic[T]):
    """A value that is awaited until another callback, or another thread, sets it; once."""

    def __init__(self) -> None:
        self.done = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._resume: Callable[[], object] | None = None
        self._ticket = [True]

    def set_result(self, value: T) -> None:
        """Give the value. Raises LocalError the second time."""
        self._settle(value, None)

    def set_exception(self, error: BaseException) -> None:
        """Let the one who awaits it raise an exception. Raises LocalError the second time."""
        self._settle(None, error)

    def _settle(self, value: T | None, error: BaseException | None) -> None:
        if self.done:
            raise LocalError("a completion was completed twice")
        self._value, self._error = value, error
        self.done = True
        self._wake()

    def on_done(self, call: Callable[[], object]) -> None:
        """Make one call when it is done, or now, in whatever thread that is. Raises LocalError when one was given."""
        if self._resume is not None:
            raise LocalError("a completion is awaited twice")
        self._resume = call
        if self.done:
            self._wake()

    def _wake(self) -> None:
        # Both sides may come here at once; the ticket is there for one.
        if self._resume is not None:
            try:
                self._ticket.pop()
            except IndexError:
                return
            self._resume()

    def result(self) -> T:
        """Return the value, or raise the exception. Raises LocalError before it is done."""
        if not self.done:
            raise LocalError("not completed yet")
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    def __await__(self) -> Generator["Completion[T]", None, T]:
        if not self.done:
            yield self
        return self.result()


class _Move:
    """What a coroutine awaits to go on elsewhere."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def __await__(self) -> Generator["_Move", None, None]:
        yield self


class Task(Generic[T]):
    """A coroutine that was entered. place: where it runs, and is resumed: change it to resume it elsewhere."""

    def __init__(self, place: Place, coro: Coroutine[Any, Any, T], *, kept: bool) -> None:
        self.place = place
        self.completion: Completion[T] = Completion()
        self._coro = coro
        self._kept = kept

    @property
    def name(self) -> str:
        """The coroutine's name."""
        return str(getattr(self._coro, "__qualname__", self._coro))

    @property
    def module(self) -> str:
        """The last word of the module that the coroutine is written in; "" where it does not say."""
        code = getattr(self._coro, "cr_code", None)
        return os.path.basename(code.co_filename).removesuffix(".py") if code else ""

    @property
    def done(self) -> bool:
        """Whether it has returned or raised."""
        return self.completion.done

    def result(self) -> T:
        """Return what it has returned, or raise what it has raised."""
        return self.completion.result()

    def __await__(self) -> Generator[Completion[T], None, T]:
        return self.completion.__await__()

    def resume(self) -> None:
        """Go on in a bottom half of its place; from any thread."""
        self.place.call_threadsafe(self.step)

    def step(self) -> None:
        """Go on, here and now, to the next thing that is awaited."""
        try:
            awaited = self._coro.send(None)
        except StopIteration as stop:
            self.completion.set_result(stop.value)
        except Exception as error:
            self.completion.set_exception(error)
            if not self._kept:
                raise
        else:
            self._wait_for(awaited)

    def _wait_for(self, awaited: object) -> None:
        if isinstance(awaited, _Move):
            self.place = awaited.place
            self.resume()
        elif isinstance(awaited, Completion):
            awaited.on_done(self.resume)
        else:
            self._coro.close()
            self.completion.set_exception(error := LocalError(f"a coroutine of a context cannot await {awaited!r}"))
            if not self._kept:
                raise error


def co_enter(place: Place, coro: Coroutine[Any, Any, T], *, kept: bool = False) -> Task[T]:
    """Run a coroutine in a context: at once in its home thread, else in a bottom half; from any thread.

    kept: what it raises is for who awaits the task or asks for its result; else for `on_bug` of the context.
    """
    task = Task(place, coro, kept=kept)
    ctx = place.here()
    if ctx is None:
        task.resume()
    else:
        with ctx:
            ctx.make("coroutine", task.step)
    return task


def co_run(place: Place, coro: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a context and wait for it, as `wait.wait_while` does; return or raise what it does.

    Raises LocalError when its home is closed, and when its thread has ended, or ends meanwhile.
    """
    if isinstance(place, Home) and place.closed:
        coro.close()
        raise LocalError(f"{place!r} is closed: nothing of it runs any more")
    task = co_enter(place, coro, kept=True)
    task.completion.on_done(kick)
    wait_while(_context(place), lambda: not task.done and not _context(place).deserted)
    if not task.done:
        raise LocalError(f"context {_context(place).name}: its thread has ended before `{task.name}` was done")
    return task.result()


def _context(place: Place) -> AioContext:
    return place if isinstance(place, AioContext) else place.context


async def co_move(place: Place) -> None:
    """Let the running coroutine go on in another place."""
    await _Move(place)


async def together(place: Place, *coros: Coroutine[Any, Any, T]) -> list[T]:
    """Run coroutines side by side; when all have ended return their values, or raise the exception of the first."""
    tasks = [co_enter(place, coro, kept=True) for coro in coros]
    for task in tasks:
        if not task.done:
            done: Completion[None] = Completion()
            task.completion.on_done(lambda done=done: done.set_result(None))  # type: ignore[misc]
            await done
    return [task.result() for task in tasks]
