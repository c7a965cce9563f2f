"""Signals of this process as calls in a loop, none of them late.

A handler of Python's runs when the interpreter does: a signal that comes just before the loop waits would be noticed
with the next event, whenever that is. So the kernel's side of the handler writes to a pipe, which wakes the loop.
"""

import contextlib
import os
import signal
from types import TracebackType
from typing import Any, Self

from outboard.host.loop import READ, Handler, Handlers

READ_MAX = 4096


class Signals:
    """Calls that a loop makes when signals come. In the main thread, in a `with` statement around the loop's whole run.

    At its end the handlers of before are back.
    """

    def __init__(self, loop: Handlers) -> None:
        self._loop = loop
        self._calls: dict[int, Handler] = {}
        self._before: dict[int, Any] = {}
        self._reading, self._writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._woken_before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        loop.add(self._reading, READ, self._make_calls)

    def call(self, number: int, call: Handler) -> None:
        """Make a call for each signal of a number, or for several that come at once."""
        self._calls[number] = call
        before = signal.signal(number, _nothing)
        self._before.setdefault(number, before)

    def _make_calls(self) -> None:
        """Each byte is a signal's number."""
        with contextlib.suppress(BlockingIOError):
            for number in dict.fromkeys(os.read(self._reading, READ_MAX)):
                if number in self._calls:
                    self._calls[number]()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        signal.set_wakeup_fd(self._woken_before, warn_on_full_buffer=False)
        self._loop.remove(self._reading)
        os.close(self._reading)
        os.close(self._writing)


def _nothing(*_: object) -> None:
    """Keep the signal from what it does by default."""
