"""A guest's serial console, as text and as a shell.

The shell is any POSIX shell that reads lines from the console. A command's end is seen by
a mark that is printed after it; the mark is written so that an echo of the line is not it.
"""

from __future__ import annotations

import re
import shlex
import socket
import threading
import time
from pathlib import Path

from outboard.errors import LocalError, WaitTimeout
from outboard.qemu.failure import QemuError

LINE_LIMIT = 4000
"""A terminal in line mode takes 4096 bytes (Linux, N_TTY_BUF_SIZE)."""


class Serial:
    """The client of a serial port's UNIX socket; a thread keeps reading, so the guest never blocks."""

    def __init__(self, path: Path) -> None:
        """Connect to `path`. Raises OSError."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._data = bytearray()
        self._came = threading.Condition()
        self._open = True
        self._marks = 0
        self._thread = threading.Thread(target=self._read, name="serial", daemon=True)
        self._thread.start()

    @property
    def text(self) -> str:
        """All that the guest has written; lines end in a newline alone."""
        with self._came:
            return self._data.decode(errors="replace").replace("\r", "")

    def send(self, text: str) -> None:
        """Write to the guest as a keyboard does; a line needs its newline."""
        self._socket.sendall(text.encode())

    def wait_for(self, pattern: str, timeout: float = 60, start: int = 0) -> re.Match[str]:
        """Wait until `text` from index `start` matches a regular expression; `^` is the start of any line.

        End the pattern with a newline to have the whole line: text comes in pieces.
        Raises WaitTimeout after `timeout` seconds, QemuError when the console was closed before;
        both show the last lines.
        """
        wanted = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + timeout
        with self._came:
            while not (found := wanted.search(self.text, start)):
                if not self._open:
                    raise QemuError(f"the console closed before {pattern!r} came; {self.tail()}")
                if not self._came.wait(max(0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    raise WaitTimeout(f"{pattern!r} did not come within {timeout:g} s; {self.tail()}")
        return found

    def run(self, command: str, timeout: float = 60, check: bool = True) -> str:
        """Run a line in the guest's shell; what it printed.

        Raises QemuError when its exit status is not 0, unless `check` is false; LocalError when the line
        is too long or not one line; otherwise as `wait_for`.
        """
        if "\n" in command or len(command) > LINE_LIMIT:
            raise LocalError(f"a guest command must be one line of at most {LINE_LIMIT} characters, got {command!r}")
        self._marks += 1
        mark = f"mark-{self._marks}-ends"
        start = len(self.text)
        self.send(f"eval {shlex.quote(command)}; echo @@''{mark} $?\n")
        end = self.wait_for(rf"@@{mark} (\d+)\n", timeout, start)
        printed = end.string[start : end.start()]
        if check and end[1] != "0":
            raise QemuError(f"guest command {command!r}: exit status {end[1]}, it printed:\n{printed}")
        return printed

    def tail(self, lines: int = 20) -> str:
        """The last lines, for an error's text."""
        kept = self.text.splitlines()[-lines:]
        return "the guest's last lines:\n" + "\n".join(f"    {line}" for line in kept) if kept else "it wrote nothing"

    def close(self) -> None:
        """End the connection; what was read stays in `text`."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        except OSError:
            pass  # QEMU went first
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        """The thread: keep what comes until the end."""
        while True:
            try:
                data = self._socket.recv(65536)
            except OSError:
                data = b""
            with self._came:
                self._data += data
                self._open = bool(data)
                self._came.notify_all()
            if not data:
                return
