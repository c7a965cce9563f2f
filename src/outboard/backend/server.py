"""Listen, serve one front-end after the other, and say in one line why one was sent away."""

import os
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path

from outboard import trace
from outboard.backend.control import Reply, serve
from outboard.backend.served import VhostDevice
from outboard.errors import LocalError, ProtocolError
from outboard.host import sockets
from outboard.host.events import close_all
from outboard.host.loop import READ, WRITE, Handler, Handlers
from outboard.spec.vhost_user import MAX_FDS, OBSERVED, REQUESTS
from outboard.vhost_user.backend import BackendSession, Request

MESSAGES = 64
"""Messages of one front-end before the rings are looked at again."""
UNSENT_MAX = 1 << 16
"""Bytes of answers that a front-end may leave unread."""
UNSENT_FDS_MAX = 16
"""Fds of answers that a front-end may leave unread."""

MakeDevice = Callable[[Handlers], VhostDevice]
"""Makes the device of a new front-end, to be run by this loop."""


class Session:
    """One front-end's connection, with a device of its own."""

    def __init__(self, loop: Handlers, sock: socket.socket, device: VhostDevice, on_end: Handler) -> None:
        self._loop = loop
        self._sock = sock
        self.device = device
        self._on_end = on_end
        self._session = BackendSession(REQUESTS | {number: OBSERVED[number] for number in device.requests})
        self._unsent: deque[tuple[bytes, list[int]]] = deque()
        self.closed = False
        self.spoke = False
        self._serving = False
        device.memory_lost = self._memory_lost
        loop.add(sock.fileno(), READ, self._ready)

    def _ready(self) -> None:
        if self._serving:
            return  # called out of a request: its device waits for something and serves its context meanwhile
        self._flush()
        for _ in range(MESSAGES):
            if self.closed:
                return
            received = sockets.receive(self._sock, self._session.wanted, MAX_FDS)
            if received is None:
                return
            data, fds = received
            if not data:
                close_all(fds)
                self.close("inside a message" if self._session.partial else "")
                return
            self.spoke = True
            self._take(data, fds)

    def _memory_lost(self) -> None:
        self.close("memory: expected the files behind it to keep their size, got one truncated")

    def _take(self, data: bytes, fds: list[int]) -> None:
        self._serving = True
        try:
            for request in self._session.receive(data, fds):
                self._send(self._served(request))
        except ProtocolError as error:
            self.close(str(error))
        finally:
            self._serving = False

    def _served(self, request: Request) -> Reply:
        try:
            return serve(self.device, self._session, request)
        except ProtocolError as error:
            answer = self._session.acknowledge(request, False)
            if not answer or (request.row and request.row.reply):
                raise
            trace.emit("vhost_user.refused", request=error.request, expected=error.expected, got=error.got)
            return Reply(answer, [])

    def _send(self, reply: Reply) -> None:
        if self.closed:
            close_all(reply.fds)
        elif reply.data:
            self._unsent.append(reply)
            self._flush()

    def _flush(self) -> None:
        """Write what the socket takes. The fds of an answer go with its first byte, and without a byte of another."""
        if not self._unsent or self.closed:
            return
        while self._unsent:
            data, fds = self._unsent[0]
            try:
                written = sockets.send(self._sock, [memoryview(data)], fds)
            except OSError:
                self.close("answer not taken, the front-end has gone")
                return
            if written is None:
                break
            close_all(fds)
            self._unsent.popleft()
            if written < len(data):
                self._unsent.appendleft((data[written:], []))
        if sum(len(data) for data, _ in self._unsent) > UNSENT_MAX:
            self.close(f"more than {UNSENT_MAX} bytes of answers unread")
        elif sum(len(fds) for _, fds in self._unsent) > UNSENT_FDS_MAX:
            self.close(f"more than {UNSENT_FDS_MAX} fds of answers unread")
        else:
            self._loop.change(self._sock.fileno(), READ | WRITE if self._unsent else READ)

    def close(self, why: str = "") -> None:
        """End the session; `why` is empty when the front-end just left."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove(self._sock.fileno())
        close_all(self._session.close())
        for _, fds in self._unsent:
            close_all(fds)
        self._unsent.clear()
        self.device.close()
        self._sock.close()
        trace.emit("session.ended", why=why)
        self._on_end()


class Server:
    """Accepts front-ends on a path or an inherited fd, one at a time; the next waits until the one before has left.

    once: call `done` when the first front-end leaves; the end of an inherited connection always does.
    """

    def __init__(
        self, loop: Handlers, make_device: MakeDevice, *, once: bool = False, done: Handler = lambda: None
    ) -> None:
        self.loop = loop
        self.session: Session | None = None
        self.sessions = 0
        self._make_device = make_device
        self._once = once
        self._done = done
        self._listener: socket.socket | None = None
        self._path: Path | None = None

    def survive(self) -> None:
        """From now on a bug of ours costs the front-end its connection, not the process its life."""
        self.loop.on_bug = self.drop

    def drop(self, error: Exception) -> None:
        """Send the front-end away after an exception that should not have been; report it."""
        trace.emit("session.bug", error=repr(error), where=_where(error))
        if self.session is not None:
            self.session.close("dropped after a bug of ours")

    def listen(self, path: str | os.PathLike[str]) -> None:
        """Listen on a path. Raises LocalError."""
        self._listen_on(sockets.listen(Path(path)))
        self._path = Path(path)
        self._inode = self._path.stat().st_ino

    def adopt(self, fd: int) -> None:
        """Serve an inherited socket, connected or listening. Raises LocalError."""
        sock = sockets.adopt(fd)
        if sockets.is_listening(sock):
            self._listen_on(sock)
        else:
            self._once = True
            self._begin(sock)

    def _listen_on(self, listener: socket.socket) -> None:
        self._listener = listener
        self.loop.add(listener.fileno(), READ, self._accept)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            raise LocalError(f"cannot accept a front-end: {error.strerror}") from error
        sock.setblocking(False)
        self._begin(sock)

    def _begin(self, sock: socket.socket) -> None:
        if self._listener is not None:
            self.loop.remove(self._listener.fileno())
        self.sessions += 1
        trace.emit("session.began", number=self.sessions)
        self.session = Session(self.loop, sock, self._make_device(self.loop), self._ended)

    def _ended(self) -> None:
        session, self.session = self.session, None
        # Whoever says nothing only looked whether somebody listens.
        if self._once and (self._listener is None or (session is not None and session.spoke)):
            self._done()
        elif self._listener is not None:
            self.loop.add(self._listener.fileno(), READ, self._accept)

    def close(self) -> None:
        """End the session, stop listening, remove the socket file if it is still ours."""
        self._once = True
        if self.session is not None:
            self.session.close()
        if self._listener is not None:
            self.loop.remove(self._listener.fileno())
            self._listener.close()
            self._listener = None
        if self._path is not None and self._path.exists() and self._path.stat().st_ino == self._inode:
            self._path.unlink()


def _where(error: Exception) -> str:
    """Return the file and line that raised an error."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return f"{Path(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno}" if at else "nowhere"
