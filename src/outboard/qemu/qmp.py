"""QEMU's monitor, synchronously.

Documents: QEMU Machine Protocol Specification; QEMU QMP Reference (screendump, quit).
The protocol is PyPI's `qemu.qmp`, imported when a connection is made:
`pip install outboard[qemu]`. A thread runs its event loop, so that any thread can ask.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from outboard.errors import LocalError
from outboard.qemu.failure import QemuError

if TYPE_CHECKING:
    from qemu.qmp import QMPClient

T = TypeVar("T")
Event = dict[str, Any]

# qemu.qmp logs each failure that it also raises; the caller has it from the exception
logging.getLogger("qemu.qmp").addHandler(logging.NullHandler())


def new_client() -> QMPClient:
    """A client that is not connected. Raises LocalError when `qemu.qmp` is not installed."""
    try:
        from qemu.qmp import QMPClient
    except ImportError as error:
        raise LocalError("the Python package qemu.qmp is not installed; run: pip install 'outboard[qemu]'") from error
    return QMPClient("outboard")


class Qmp:
    """A connection to QEMU's monitor. A context manager; `close` may be called twice."""

    def __init__(self, path: Path, timeout: float = 30) -> None:
        """Connect to the UNIX socket `path` and wait for the greeting.

        timeout: seconds, here and for each command. Raises OSError when nobody listens, or when something
        else comes first: QEMU sends an event of its start before the greeting to who connects just then, and
        connecting again helps. QemuError when the greeting does not come.
        """
        self.timeout = timeout
        self.events: list[Event] = []
        self._client = new_client()
        self._loop = asyncio.new_event_loop()
        self._came = asyncio.Condition()
        self._thread = threading.Thread(target=self._loop.run_forever, name="qmp", daemon=True)
        self._thread.start()
        try:
            self._wait(f"greeting on {path}", self._client.connect(str(path)), timeout)
        except QemuError as error:
            self.close()
            reason = getattr(error.__cause__, "exc", None)
            if isinstance(reason, OSError):
                raise reason from None
            if type(reason).__name__ == "GreetingError":
                raise ConnectionAbortedError(f"{path} did not greet first: {reason}") from None
            raise
        self._listener = asyncio.run_coroutine_threadsafe(self._listen(), self._loop)

    def command(self, name: str, **arguments: Any) -> Any:
        """Run the monitor command `name`; its return value as JSON gives it.

        Argument names with a dash: `command("x", **{"job-id": 1})`. Raises QemuError.
        """
        return self._wait(name, self._client.execute(name, arguments), self.timeout)

    def screendump(self, path: Path, device: str | None = None, head: int | None = None, format: str = "png") -> Path:
        """Write what a console shows to `path` (`png`, or `ppm`); the cursor is not in it.

        device, head: id of a display device and number of its output; the first console without.
        Before the first frame, and after an output is switched off, QEMU writes a placeholder of its own.
        """
        path = path.absolute()
        where = {key: value for key, value in (("device", device), ("head", head)) if value is not None}
        self.command("screendump", filename=str(path), format=format, **where)
        return path

    def wait_event(self, name: str, timeout: float | None = None, **data: Any) -> Event:
        """Take the first event called `name` whose data holds `data`, come or to come.

        Raises QemuError after `timeout` seconds; the text names the events that came instead.
        """

        def fits(event: Event) -> bool:
            named: bool = event["event"] == name
            return named and all(event.get("data", {}).get(key) == value for key, value in data.items())

        limit = self.timeout if timeout is None else timeout
        try:
            return self._wait(f"event {name}", self._take(fits), limit)
        except QemuError as error:
            others = ", ".join(event["event"] for event in self.events) or "none"
            raise QemuError(f"{error}; events that came and were not taken: {others}") from None

    def close(self) -> None:
        """End the connection; QEMU runs on."""
        if self._loop.is_closed():
            return
        try:
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
        except Exception:  # a monitor that died says so again here; the caller was told when it asked
            pass
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Qmp:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    async def _end(self) -> None:
        """Disconnect and let every task of the loop finish."""
        try:
            await self._client.disconnect()
        finally:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    async def _listen(self) -> None:
        """Keep the events that come."""
        async for message in self._client.events:
            async with self._came:
                self.events.append(dict(message))
                self._came.notify_all()

    async def _take(self, fits: Callable[[Event], bool]) -> Event:
        """The first event that fits, taken from those kept."""
        async with self._came:
            await self._came.wait_for(lambda: any(map(fits, self.events)))
            return self.events.pop(next(i for i, event in enumerate(self.events) if fits(event)))

    def _wait(self, what: str, work: Coroutine[Any, Any, T], timeout: float) -> T:
        """Run `work` on the loop's thread and return its result; all errors become QemuError."""
        if self._loop.is_closed():
            work.close()
            raise QemuError(f"QMP {what}: the connection is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout)
        except FutureTimeout:
            future.cancel()
            raise QemuError(f"QMP {what}: no answer within {timeout:g} s") from None
        except Exception as error:
            raise QemuError(f"QMP {what}: {error or type(error).__name__}") from error
