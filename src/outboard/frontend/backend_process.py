"""A back-end program, started for one front-end.

Source: QEMU docs/interop/vhost-user, "Backend program conventions".

`{socket}` in an argument stands for the path that the program shall listen on, `{fd}` for the number of an inherited
socket that is connected already.
"""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from outboard.errors import LocalError

SOCKET, FD = "{socket}", "{fd}"
WORDS_MAX = 4096
"""Bytes of its last words that are looked at."""
END_S = 1.0
"""Seconds that a program is given to end by itself before it is killed."""


def _signal(number: int) -> str:
    """Return a signal's name; real-time signals have none."""
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


class BackendProcess:
    """A running program; `connect` returns the control socket. Use in a `with` statement: it is killed at the end.

    Raises LocalError when the program cannot be started, or names neither `{socket}` nor `{fd}`.
    """

    def __init__(self, command: Sequence[str]) -> None:
        uses = {mark for mark in (SOCKET, FD) if any(mark in word for word in command)}
        if len(uses) != 1:
            raise LocalError(
                f"{' '.join(command) or 'no command'}: write {SOCKET} where the socket's path belongs, or "
                f"{FD} where the number of a connected socket belongs"
            )
        self.command = list(command)
        self._folder = tempfile.TemporaryDirectory(prefix="outboard-")
        self._path = Path(self._folder.name, "backend.sock")
        self._errors: IO[bytes] = tempfile.TemporaryFile()
        self._ours: socket.socket | None = None
        try:
            self.process = self._start(FD in uses)
        except BaseException:
            self._clean()
            raise

    def _start(self, by_fd: bool) -> "subprocess.Popen[bytes]":
        theirs = None
        words = {SOCKET: str(self._path)}
        if by_fd:
            self._ours, theirs = socket.socketpair()
            words[FD] = str(theirs.fileno())
        command = list(self.command)
        for mark, word in words.items():
            command = [part.replace(mark, word) for part in command]
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                pass_fds=[theirs.fileno()] if theirs else [],
            )
        except OSError as error:
            raise LocalError(f"{command[0]}: cannot be started: {error.strerror}") from error
        finally:
            if theirs:
                theirs.close()

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    @property
    def last_words(self) -> str:
        """The last line that it printed, "" for none."""
        size = os.fstat(self._errors.fileno()).st_size
        tail = os.pread(self._errors.fileno(), WORDS_MAX, max(0, size - WORDS_MAX))
        lines = [line for line in tail.decode(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else ""

    def fate(self) -> str:
        """Return in words what became of it, with its last ones."""
        code = self.process.poll()
        if code is None:
            state = "still runs"
        elif code < 0:
            state = f"was ended by {_signal(-code)}"
        else:
            state = f"ended with exit code {code}"
        return f"{self.command[0]} {state}{f', its last words: {self.last_words}' if self.last_words else ''}"

    def connect(self, timeout_s: float = 5.0) -> socket.socket:
        """Return the connected control socket, the caller's from now on.

        Raises LocalError when the program ends, or does not listen in time.
        """
        if self._ours is not None:
            ours, self._ours = self._ours, None
            return ours
        end = time.monotonic() + timeout_s
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)  # A queue that is full is no reason to wait for ever.
                sock.connect(str(self._path))
                sock.setblocking(True)
                return sock
            except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
                sock.close()
            except OSError as error:
                sock.close()
                raise LocalError(f"{self._path}: cannot be connected to: {error}") from error
            if not self.alive:
                raise LocalError(f"{self.fate()}; nobody listens on its socket")
            if time.monotonic() > end:
                raise LocalError(f"{self.fate()}, but does not listen on {SOCKET} after {timeout_s:g} s")
            time.sleep(0.002)

    def wait(self, timeout_s: float) -> int | None:
        """Wait until it ends; return its exit code, negative for a signal, or None when it goes on."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(timeout_s)
        return None

    def _clean(self) -> None:
        if self._ours is not None:
            self._ours.close()
            self._ours = None
        self._errors.close()
        self._folder.cleanup()

    def close(self) -> None:
        """End the program, by force if it does not end by itself soon, and remove its socket. Safe to call twice."""
        if self._errors.closed:
            return
        self.process.terminate()
        if self.wait(END_S) is None:
            self.process.kill()
            self.process.wait()
        self._clean()

    def __enter__(self) -> "BackendProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
