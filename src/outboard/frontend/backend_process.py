"""A back-end program, started for one front-end.

Source: QEMU docs/interop/vhost-user, "Backend program conventions".

`{socket}` in an argument stands for the path that the program shall listen on, `{fd}` for the number of an inherited
socket that is connected already.
"""

import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from outboard.errors import LocalError
from outboard.frontend.program import END_S, Program, interrupts_held

SOCKET, FD = "{socket}", "{fd}"
PAUSE_S = 0.002
"""Between two tries to connect."""


class BackendProcess(Program):
    """A running back-end; `connect` returns the control socket. Use in a `with` statement: it is ended at the end.

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
        self.inherits = FD in uses
        with interrupts_held():
            self._folder = tempfile.TemporaryDirectory(prefix="outboard-")
        self._path = Path(self._folder.name, "backend.sock")
        self._ours: socket.socket | None = None
        try:
            self._start()
        except BaseException:
            self._clean()
            raise

    def _start(self) -> None:
        if not self.inherits:
            super().__init__([word.replace(SOCKET, str(self._path)) for word in self.command])
            return
        self._ours, theirs = socket.socketpair()
        with theirs:
            super().__init__([word.replace(FD, str(theirs.fileno())) for word in self.command], [theirs.fileno()])

    def fate(self) -> str:
        """Return in words what became of it, with its last ones."""
        words = self.last_words()
        return f"{self.command[0]} {self.ended() or 'still runs'}{f', its last words: {words}' if words else ''}"

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
                raise LocalError(f"{BackendProcess.fate(self)}; nobody listens on its socket")
            if time.monotonic() > end:
                raise LocalError(f"{BackendProcess.fate(self)}, but does not listen on {SOCKET} after {timeout_s:g} s")
            time.sleep(PAUSE_S)

    def _clean(self) -> None:
        if self._ours is not None:
            self._ours.close()
            self._ours = None
        self._folder.cleanup()

    def close(self, patience_s: float = END_S) -> None:
        """End the program, see `Program.close`, and remove its socket."""
        super().close(patience_s)
        self._clean()
