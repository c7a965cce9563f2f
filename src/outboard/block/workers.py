"""Threads for system calls that would block. A call ends as a completion, awaited in the caller's context.

Source: QEMU 4.1, util/thread-pool.c. Here one pool serves all contexts.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from outboard.aio.coroutine import Completion

T = TypeVar("T")
MAX_THREADS = 16


class Workers:
    """Threads that are started as calls come, up to a limit."""

    def __init__(self, limit: int = MAX_THREADS) -> None:
        self._limit = limit
        self._calls: SimpleQueue[tuple[Callable[[], Any], Completion[Any]]] = SimpleQueue()
        self._mutex = threading.Lock()
        self._threads = 0
        self._unclaimed = 0  # calls that no thread is known to be free for, negative: free threads

    def submit(self, call: Callable[[], T]) -> Completion[T]:
        """Make a call in a thread; await what is returned for its value or exception. From any thread."""
        completion: Completion[T] = Completion()
        with self._mutex:
            self._unclaimed += 1
            start = self._unclaimed > 0 and self._threads < self._limit
            self._threads += start
            self._unclaimed -= start
        self._calls.put((call, completion))
        if start:
            threading.Thread(target=self._work, name="block-worker", daemon=True).start()
        return completion

    def _work(self) -> None:
        while True:
            call, completion = self._calls.get()
            try:
                value = call()
            except BaseException as error:
                self._free()
                completion.set_exception(error)
            else:
                self._free()
                completion.set_result(value)

    def _free(self) -> None:
        """Count the thread as free, before anybody hears of the end of its call: his next one finds it."""
        with self._mutex:
            self._unclaimed -= 1


WORKERS = Workers()
