"""Lines for whoever reads them, perhaps nobody: a tap must not wait for its reader, since a VM waits for the tap."""

import os
import select
import time
from collections.abc import Callable

from outboard.host.loop import Handlers

UNREAD_MAX = 8 << 20
"""Bytes that wait to be read, at most."""
RETRY_S = 0.02
END_S = 1.0
"""Seconds that a reader is given for the rest at the end."""

Say = Callable[[str], object]


class Output:
    """An fd that takes text; it stays the caller's. What it does not take now waits; beyond UNREAD_MAX it is left out.

    The mode of the fd is not changed, others may share it: so little is written at once that nothing has to wait. say:
    told when text is left out, and why the fd takes no more for good.
    """

    def __init__(self, fd: int, loop: Handlers, say: Say) -> None:
        self._fd = fd
        self._loop = loop
        self._say = say
        self._unread = bytearray()
        self._left_out = 0
        self._waits = False
        self._broken = False
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def write(self, text: str) -> None:
        """Write lines, the last one without its end."""
        if self._broken:
            return
        data = f"{text}\n".encode(errors="backslashreplace")
        if len(self._unread) + len(data) > UNREAD_MAX:
            self._left_out += data.count(b"\n")
            return
        self._unread += data
        self._push()
        self._wait()

    def finish(self) -> None:
        """Give the reader the time to take the rest; say what it did not take."""
        end = time.monotonic() + END_S
        while self._unread and not self._broken and (left := end - time.monotonic()) > 0:
            self._poll.poll(left * 1000)
            self._push()
        self._left_out += self._unread.count(b"\n")
        self._unread.clear()
        self._tell()

    def _wait(self) -> None:
        if self._unread and not self._waits:
            self._waits = True
            self._loop.call_later(RETRY_S, self._again)

    def _again(self) -> None:
        self._waits = False
        self._push()
        if not self._unread:
            self._tell()
        self._wait()

    def _push(self) -> None:
        """Write what can be written without waiting: a pipe that has room has room for PIPE_BUF."""
        done = 0
        try:
            while done < len(self._unread) and self._poll.poll(0):
                done += os.write(self._fd, self._unread[done : done + select.PIPE_BUF])
        except BlockingIOError:
            pass
        except OSError as error:
            self._broken = True
            self._unread.clear()
            if not isinstance(error, BrokenPipeError):
                self._say(f"messages cannot be printed any more: {error.strerror}")
        del self._unread[:done]

    def _tell(self) -> None:
        if self._left_out:
            self._say(f"{self._left_out} lines were not printed, as nobody read them in time")
            self._left_out = 0
