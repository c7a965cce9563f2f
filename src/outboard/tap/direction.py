"""One direction of one socket: reads messages, passes them on byte for byte, with their fds.

A message leaves by one sendmsg, fds with its first byte: QEMU's back-end cannot put a split one together. The pixels of
a large UPDATE, and whatever is too long to be kept, follow by splice(2) without being copied here, unless they are
watched. Nothing here waits: `pump` does what can be done now, `reads` and `writes` say what it waits for.

Not modelled: fds in the midst of spliced pixels, which no document has; splice drops them.
"""

import fcntl
import os
import socket
import struct
import time
from array import array
from collections import deque
from collections.abc import Callable

from outboard.host import sockets
from outboard.host.events import close_all
from outboard.host.loop import Loop, Timer
from outboard.spec.vhost_user import Header
from outboard.spec.vhost_user_gpu import Req, Update
from outboard.tap.seen import DISPLAY, Kind, Seen, Watcher

WHOLE_MAX = 1 << 20
"""Longest payload that is kept, to be passed on in one piece."""
PIXELS_MAX = 32 << 10
"""Longest UPDATE that is kept; splice pays above."""
HEAD = 4096
"""What is kept of payloads beyond WHOLE_MAX."""
READ_MAX = 64 << 10
CHUNK = 1 << 17
"""Bytes copied at once where data is watched."""
PIPE = 1 << 20
SPLICE_OUT = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE
UPDATE, UPDATE_SIZE = int(Req.UPDATE), Update.sizeof
BURST = 32
"""Reads of one direction before the others have their turn."""
FDS_MAX = 253
"""The kernel lets no more through with one sendmsg."""
FDS_ROOM = socket.CMSG_SPACE(4 * FDS_MAX)
RELEASE_S = 0.2
"""A message that stops in its midst for so long is passed on as far as it came."""

_HEADER = struct.Struct("=" + Header.codes)

Swap = Callable[[int, list[int]], list[int]]


class Direction:
    """From `source` to `target`, neither owned. label: the socket's name and kind, whether this is to the back-end.

    wake: called when something is to be written although nothing came. swap: called with a request and its fds, returns
    those that leave. ended: the end of the stream was passed on, or, if broken, nobody takes it. moved: bytes so far.
    """

    def __init__(
        self,
        loop: Loop,
        source: socket.socket,
        target: socket.socket,
        label: tuple[str, Kind, bool],
        watcher: Watcher,
        wake: Callable[[], object],
        swap: Swap | None = None,
    ) -> None:
        self.source, self.target = source, target
        self.name, self.kind, self.to_backend = label
        self.ended = False
        self.broken = False
        self.moved = 0
        self._loop = loop
        self._watcher = watcher
        self._wake = wake
        self._swap = swap
        self._head = bytearray()  # of the message that comes
        self._left = 0  # bytes of it that are on their way out already
        self._wanted = Header.sizeof
        self._fds: list[int] = []
        self._told_fds: list[str] = []
        self._out: deque[tuple[memoryview, list[int]]] = deque()
        self._seen: Seen | None = None
        self._due = 0  # bytes that follow the head
        self._pipe: tuple[int, int] | None = None
        self._piped = 0
        self._full = False
        self._buffer: bytearray | None = None
        self._eof = False
        self._timer: Timer | None = None
        self._splices = not watcher.wants_data

    # What it waits for

    @property
    def pending(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._out) or self._piped > 0

    @property
    def writes(self) -> bool:
        """Whether to wait until the target takes bytes."""
        return not self.ended and self.pending

    @property
    def reads(self) -> bool:
        """Whether to wait until the source has bytes."""
        ahead = self._due > 0 and self._splices and not self._full and not self._out
        return not self.ended and not self._eof and (ahead or not self.pending)

    @property
    def partial(self) -> bool:
        """Whether the stream would end inside a message if it ended now."""
        return bool(self._head) or self._due > 0

    # Moving

    def pump(self) -> None:
        """Move what can be moved now, not for ever."""
        for _ in range(BURST):
            written = self._push() if self._out or self._piped else False
            if self.ended or not self.reads or not (self._pull() or written):
                break
        if self._out or self._piped:
            self._push()
        if self._eof and not self.pending and not self.ended:
            self._finish()

    def _pull(self) -> bool:
        """Read once; false when there is nothing to read now."""
        if not self._due:
            return self._pull_head()
        return self._pull_pipe() if self._splices else self._pull_chunk()

    def _receive(self, length: int) -> bytes | None:
        received = sockets.receive(self.source, length, FDS_MAX)
        if received is None:
            return None
        data, fds = received
        if len(self._fds) + len(fds) > FDS_MAX:
            self._release()
        self._fds += fds
        self._told_fds += [_describe(fd) for fd in fds]
        return data

    def _pull_head(self) -> bool:
        data = self._receive(min(READ_MAX, self._wanted - len(self._head)))
        if data is None:
            if self._timer is None and len(self._head) > self._left and self._may_release():
                self._timer = self._loop.call_later(RELEASE_S, self._release_late)
            return False
        self._cancel()
        if not data:
            self._end_of_file()
            return False
        self._head += data
        if len(self._head) == Header.sizeof == self._wanted:
            self._wanted += self._kept(*_HEADER.unpack(self._head))
        if len(self._head) == self._wanted:
            self._complete()
        return True

    def _kept(self, request: int, _: int, size: int) -> int:
        """Return how many bytes of a payload are read before the message leaves."""
        if size > PIXELS_MAX and request == UPDATE and self.kind is DISPLAY:
            return UPDATE_SIZE
        return size if size <= WHOLE_MAX else HEAD

    def _complete(self) -> None:
        """Send and show a message whose head is here."""
        data = bytes(self._head)
        request, flags, size = _HEADER.unpack_from(data)
        self._release()
        self._due = Header.sizeof + size - len(data)
        label = (time.time_ns(), self.name, self.kind, self.to_backend)
        header, payload = data[: Header.sizeof], data[Header.sizeof :]
        self._seen = Seen(*label, header, payload, request, flags, size, tuple(self._told_fds))
        self._head.clear()
        self._told_fds.clear()
        self._left, self._wanted = 0, Header.sizeof
        self._watcher.head(self._seen)
        if not self._due:
            self._done()

    def _done(self) -> None:
        seen, self._seen = self._seen, None
        if seen:
            self._watcher.done(seen)

    def _release(self) -> None:
        """Put what is here of the message on its way, with its fds."""
        if self._swap and self._fds and len(self._head) >= Header.sizeof:
            self._fds = self._swap(_HEADER.unpack_from(self._head)[0], self._fds)
        if self._left < len(self._head):
            self._out.append((memoryview(bytes(self._head[self._left :])), self._fds))
            self._left = len(self._head)
            self._fds = []

    def _may_release(self) -> bool:
        """Whether what is here may leave: fds have to wait until it is known what they are."""
        return len(self._head) >= Header.sizeof or not self._fds

    def _release_late(self) -> None:
        self._timer = None
        if not self.pending and not self.ended:
            self._release()
            self._wake()

    def _cancel(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    # What follows a head

    def _pull_chunk(self) -> bool:
        if self._buffer is None:
            self._buffer = bytearray(CHUNK)
        room = memoryview(self._buffer)[: min(CHUNK, self._due)]
        flags = socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
        try:
            size, ancillary, _, _ = self.source.recvmsg_into([room], FDS_ROOM, flags)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            size, ancillary = 0, []
        fds = array("i")
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(data[: len(data) & ~3])
        if not size:
            self._end_of_file()
            return False
        self._out.append((room[:size], list(fds)))
        self._due -= size
        if self._seen:
            self._watcher.data(self._seen, room[:size])
        if not self._due:
            self._done()
        return True

    def _pull_pipe(self) -> bool:
        """Move bytes from the source into the pipe and on, not for ever."""
        if self._pipe is None:
            self._pipe = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                fcntl.fcntl(self._pipe[1], fcntl.F_SETPIPE_SZ, PIPE)
            except OSError:
                pass  # this user has many pipes: it stays small
        source, into = self.source.fileno(), self._pipe[1]
        for _ in range(BURST):
            try:
                size = os.splice(source, into, self._due, flags=os.SPLICE_F_NONBLOCK)
            except BlockingIOError:
                self._full = self._piped > 0
                return False
            except OSError:
                self._splices = False  # no such system call here, or the source is broken: reading will tell
                return True
            if not size:
                self._end_of_file()
                return False
            self._due -= size
            self._piped += size
            if not self._due or self._out or not self._drain():
                break
        if not self._due:
            self._done()
        return True

    # Writing

    def _push(self) -> bool:
        """Write what waits, as far as it goes; true when something was written."""
        moved = self.moved
        try:
            while self._out and (sent := sockets.send(self.target, [self._out[0][0]], self._out[0][1])) is not None:
                data, fds = self._out.popleft()
                close_all(fds)
                if sent < len(data):
                    self._out.appendleft((data[sent:], []))
                self.moved += sent
            if not self._out:
                self._drain()
        except BlockingIOError:
            pass
        except OSError:
            self._lose_target()
        return self.moved > moved

    def _drain(self) -> bool:
        """Write what the pipe holds; false when the target takes no more."""
        target = self.target.fileno()
        try:
            while self._piped:
                assert self._pipe
                sent = os.splice(self._pipe[0], target, self._piped, flags=SPLICE_OUT)
                self._piped -= sent
                self._full = False
                self.moved += sent
        except BlockingIOError:
            return False
        except OSError:
            self._lose_target()
            return False
        return True

    def _lose_target(self) -> None:
        self.broken = True
        self.cut()

    # Ends

    def _end_of_file(self) -> None:
        self._eof = True
        self._release()
        self._done()

    def _finish(self) -> None:
        """Pass the end of the stream on: all before it has been written."""
        self.ended = True
        _shut(self.target, socket.SHUT_WR)
        self.close()

    def cut(self) -> None:
        """End at once, since nobody will ever read this; the source's peer is told when it writes next."""
        if not self.ended:
            self.ended = True
            _shut(self.source, socket.SHUT_RD)
            self.close()

    def close(self) -> None:
        """Free everything but the sockets; nothing more is moved."""
        self.ended = True
        self._cancel()
        close_all(self._fds + [fd for _, fds in self._out for fd in fds] + list(self._pipe or ()))
        self._fds, self._pipe, self._piped = [], None, 0
        self._out.clear()


def _shut(sock: socket.socket, how: int) -> None:
    try:
        sock.shutdown(how)
    except OSError:
        pass  # gone already


def _describe(fd: int) -> str:
    """Return what an fd is, as the kernel names it: `socket`, `eventfd`, `/memfd:mem0`, `/dev/dri/card0`."""
    try:
        link = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return "fd"
    if link.startswith("anon_inode:"):
        return link.removeprefix("anon_inode:").strip("[]")
    return link.partition(":[")[0].removesuffix(" (deleted)")
