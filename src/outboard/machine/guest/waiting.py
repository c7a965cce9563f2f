"""How guest code waits for interrupts: as a generator, or in the midst of functions that know nothing of it."""

import threading
from collections.abc import Callable, Generator
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from outboard.machine.cpu import WAIT, Cpu
from outboard.machine.guest.controller import InterruptController

T = TypeVar("T")
Waits = Generator[Any, None, T]
"""A part of a program: it yields what programs yield, and returns something."""
Pause = Callable[[], None]
"""Give the CPU away until it is interrupted."""


def wait_until(controller: InterruptController, cpu: Cpu, done: Callable[[], object]) -> Waits[None]:
    """Wait, and handle interrupts, until `done()`; the handler that makes it true runs here, or sends an IPI here."""
    while not done():
        yield WAIT
        controller.handle(cpu)


class Abandoned(BaseException):
    """The program that runs a fiber was stopped. No Exception: nobody shall catch it and go on."""


class Fiber(Generic[T]):
    """A function on a stack of its own (a thread, of which one runs at a time), so that it can wait in the midst."""

    def __init__(self, body: Callable[[Pause], T]) -> None:
        self._body = body
        self._go: SimpleQueue[None] = SimpleQueue()  # switches faster than semaphores, which are made of conditions
        self._back: SimpleQueue[None] = SimpleQueue()
        self._closed = self.ended = False
        self._paused = True
        self._error: BaseException | None = None
        self._result: list[T] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self._result.append(self._body(self._pause))
        except BaseException as error:  # whatever it is, it is raised where the fiber is resumed
            self._error = error
        self.ended = True
        self._back.put(None)

    def _pause(self) -> None:
        if self._closed:
            raise Abandoned
        self._paused = True
        self._back.put(None)
        self._go.get()
        if self._closed:
            raise Abandoned

    def resume(self) -> None:
        """Run until it pauses or ends; raises what it raises."""
        self._paused = False
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._go.put(None)
        self._back.get()
        if self._error:
            raise self._error

    @property
    def result(self) -> T:
        """What the function returned."""
        return self._result[0]

    def close(self) -> None:
        """End it where it pauses; one that still runs ends when it pauses next."""
        self._closed = True
        if self._thread.ident is not None and self._paused and not self.ended:
            self._go.put(None)
            self._thread.join()


def steps(body: Callable[[Pause], T]) -> Waits[T]:
    """Run a function as a part of a program: `yield from steps(body)`. It waits by calling what it is given."""
    fiber = Fiber(body)
    try:
        fiber.resume()
        while not fiber.ended:
            yield WAIT
            fiber.resume()
        return fiber.result
    finally:
        fiber.close()
