"""One socket of a front-end under test, looked at raw: every message as it came, before anything judges it.

Source: QEMU docs/interop/vhost-user, "Message Specification"; docs/interop/vhost-user-gpu, "Wire format".
"""

import array
import errno
import os
import select
import socket
import stat
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from outboard.conformance.transcript import Transcript
from outboard.errors import ProtocolError
from outboard.host import sockets
from outboard.host.events import close_all
from outboard.host.loop import READ, WRITE, Loop
from outboard.spec.vhost_user import Header
from outboard.vhost_user.connection import Connection, Frame

READS = 64
"""Reads of one socket before others have their turn."""
FDS = 16
"""Fds taken with one read."""
PEEK = 1 << 16
MAX_PAYLOAD = 1 << 16
"""Bytes; nothing that a front-end says comes near."""


class Fd(NamedTuple):
    """What an fd was when it came. kind: in words; size: of a file; blocking, pollable: as the fd stands."""

    kind: str
    size: int
    blocking: bool
    pollable: bool


class Said(NamedTuple):
    """One message. socket: control or display; number: which GPU socket, from 1; whole: header and payload together.

    trouble: why memory that it hands over cannot be mapped.
    """

    socket: str
    by_front: bool
    number: int
    request: int
    flags: int
    payload: bytes
    size: int
    fds: tuple[Fd, ...] = ()
    whole: bool = True
    trouble: str = ""

    def asks(self, *requests: int) -> bool:
        """Whether the front-end sends one of these requests on the control socket, or any when none is named."""
        return self.by_front and self.socket == "control" and (not requests or self.request in requests)

    def show(self, transcript: Transcript) -> None:
        """Add it to a transcript."""
        transcript.message(self.socket, self.by_front, self.request, self.flags, self.payload, self.size, len(self.fds))

    def answers(self, request: int) -> bool:
        """Whether our back-end answers this request on the control socket."""
        return not self.by_front and self.socket == "control" and self.request == request


def look(fd: int) -> Fd:
    """Return what an fd is; it stays as it was."""
    status = os.fstat(fd)
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return Fd(_kind(fd, status.st_mode), size, os.get_blocking(fd), _pollable(fd))


def _kind(fd: int, mode: int) -> str:
    if stat.S_ISSOCK(mode):
        return _socket_kind(fd)
    if stat.S_ISREG(mode):
        return "file"
    return os.readlink(f"/proc/self/fd/{fd}").removeprefix("anon_inode:").strip("[]").partition(":")[0]


def _socket_kind(fd: int) -> str:
    with socket.socket(fileno=os.dup(fd)) as sock:
        if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
            return f"socket of family {int(sock.family)} and type {int(sock.type)}"
        try:
            sock.getpeername()
        except OSError:
            return "stream socket without a peer"
    return STREAM


STREAM = "connected stream socket"


def _pollable(fd: int) -> bool:
    with select.epoll() as epoll:
        try:
            epoll.register(fd, 0)
        except OSError as error:
            return error.errno != errno.EPERM
    return True


class Wire:
    """A stream socket on the loop: whole messages in, bytes out. Owns its socket and the fds it was given to send.

    on_message: called with a frame, whose fds it takes, and whether the frame was there in one piece. on_end: called
    once, with what was wrong with the stream, "" when it was just closed. on_room: called when all has been sent.
    """

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        on_message: Callable[[Frame, bool], object],
        on_end: Callable[[str], object],
        max_payload: int = MAX_PAYLOAD,
        on_room: Callable[[], object] = lambda: None,
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._on_message = on_message
        self._on_end = on_end
        self._max_payload = max_payload
        self._on_room = on_room
        self._connection = Connection(self._check)
        self._out: deque[tuple[memoryview, list[int]]] = deque()
        self._unsent = 0
        self._whole = True
        self._paused = False
        self.closed = False
        loop.add(sock.fileno(), READ, self._ready)

    def _check(self, header: Header) -> None:
        if header.size > self._max_payload:
            raise ProtocolError("message", f"a payload of at most {self._max_payload} bytes", f"{header.size}")

    # In

    def _ready(self) -> None:
        self._flush()
        for _ in range(READS):
            if self.closed or self._paused or not self._read():
                return

    def _read(self) -> bool:
        if not self._connection.partial:
            self._whole = self._in_one_piece()
        received = sockets.receive(self._socket, self._connection.wanted, FDS)
        if received is None:
            return False
        data, fds = received
        if not data:
            close_all(fds)
            self._end("inside a message" if self._connection.partial else "")
            return False
        try:
            frames = self._connection.receive(data, fds)
        except ProtocolError as error:
            self._end(str(error))
            return False
        for frame in frames:
            self._on_message(frame, self._whole)
        return True

    def _in_one_piece(self) -> bool:
        """Whether all of the next message is there: what was sent by one call is."""
        try:
            seen = self._socket.recv(PEEK, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            return True
        if not seen:
            return True
        if len(seen) < Header.sizeof:
            return False
        return len(seen) >= min(PEEK, Header.sizeof + Header.unpack_from(seen).size)

    def _end(self, why: str) -> None:
        self.close()
        self._on_end(why)

    # Out

    @property
    def unsent(self) -> int:
        """Bytes that the socket did not take yet."""
        return self._unsent

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Queue bytes; the fds go with the first of them and are closed then. Nothing is sent on a closed wire."""
        if self.closed:
            close_all(list(fds))
            return
        self._out.append((memoryview(data), list(fds)))
        self._unsent += len(data)
        self._flush()

    def pause(self, paused: bool) -> None:
        """Read nothing, or read again."""
        self._paused = paused
        self._watch()

    def _watch(self) -> None:
        if not self.closed:
            self._loop.change(self._socket.fileno(), (0 if self._paused else READ) | (WRITE if self._out else 0))

    def _flush(self) -> None:
        waiting = bool(self._out)
        while self._out and not self.closed:
            part, fds = self._out[0]
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            try:
                sent = self._socket.sendmsg([part], ancillary, sockets.SEND_FLAGS)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                self._forget()  # the end of the stream is read, too
                break
            close_all(fds)
            self._unsent -= sent
            self._out.popleft()
            if sent < len(part):
                self._out.appendleft((part[sent:], []))
        self._watch()
        if waiting and not self._out:
            self._on_room()

    def close(self) -> None:
        """Close the socket and all fds; `on_end` is not called."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove(self._socket.fileno())
        self._socket.close()
        close_all(self._connection.close())
        self._forget()

    def _forget(self) -> None:
        """Drop what was not sent."""
        close_all([fd for _, fds in self._out for fd in fds])
        self._out.clear()
        self._unsent = 0
