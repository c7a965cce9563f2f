"""The display's end of the GPU socket: reads what a back-end sends, answers what it asks.

Source: QEMU docs/interop/vhost-user-gpu, "Wire format".

Driven by a thread of its own (`threaded`), or step by step by whoever waits for something. It can stall, that is not
read, to see what a back-end does then. `counting` is the fast path for benchmarks: pixels and cursor positions are read
into one buffer and counted, not kept.
"""

import os
import select
import socket
import struct
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from outboard.errors import ProtocolError, WaitTimeout
from outboard.frontend.outputs import MAX_SIDE, Outputs, Size
from outboard.spec.vhost_user import MAX_FDS
from outboard.spec.vhost_user_gpu import REQUESTS, Header, ProtocolFeature, Req, Update
from outboard.spec.virtio_gpu import BYTES_PER_PIXEL

CHUNK = 1 << 20
"""Bytes read at once, at most; every message fits but for the pixels of UPDATE."""
READS = 16
"""Chunks that one `step` reads, at most."""
SPINS = 1000
"""Tries of the fast path inside an UPDATE, about a millisecond, before it sleeps. A frame is far more than the buffer:
two sides that sleep on it in turn measure the scheduler."""
UPDATE = int(Req.UPDATE)
COUNTED = frozenset({UPDATE, int(Req.CURSOR_POS), int(Req.CURSOR_POS_HIDE)})
HEADER_SIZE = Header.sizeof
UPDATE_SIZE = Update.sizeof
_HEADER = struct.Struct("=" + Header.codes)
_UPDATE = struct.Struct("=" + Update.codes)
_FD_ROOM = socket.CMSG_SPACE(MAX_FDS * 4)


class DisplayReader(Outputs):
    """A display that lives as long as its machine, over any number of GPU sockets.

    counting: count UPDATE and cursor positions in `counts` and in each output's `painted`, keep no pixels and no log of
    them; `last_counted` is the payload of the last one. Raises nothing while reading: a broken stream is in `error`.
    """

    def __init__(
        self,
        modes: Sequence[Size] = ((1280, 800),),
        features: int = ProtocolFeature.EDID | ProtocolFeature.DMABUF2,
        edid: bytes = b"",
        *,
        threaded: bool = False,
        counting: bool = False,
    ) -> None:
        super().__init__(modes, features, edid)
        self.threaded = threaded
        self.counting = counting
        self.last_counted = b""
        self.bytes_read = 0
        self.eof = False
        self.error: ProtocolError | None = None
        self._socket: socket.socket | None = None
        self._stalled = False
        self._buffer = bytearray(CHUNK)
        self._view = memoryview(self._buffer)
        self._fill = 0
        self._pixels_due = 0
        self._fds: list[int] = []
        self._fds_first = False
        self._changed = threading.Condition()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread: threading.Thread | None = None

    # Life

    def attach(self, ours: socket.socket) -> None:
        """Read from `ours`, which the reader owns now, in place of the socket before; the pictures stay."""
        self.detach()
        ours.setblocking(False)
        self._fill = self._pixels_due = 0
        self.eof, self.error = False, None
        self._socket = ours
        if self.threaded:
            self._thread = threading.Thread(target=self._serve, args=(ours,), name="display", daemon=True)
            self._thread.start()

    def detach(self) -> None:
        """Close the socket, so that the back-end sees its end."""
        with self._changed:
            ours, self._socket = self._socket, None
            self._drop(self._fds)
        if self._thread:
            os.eventfd_write(self._wake, 1)
            self._thread.join()
            self._thread = None
        if ours:
            ours.close()

    def close(self) -> None:
        """Detach for good."""
        self.detach()
        super().close()
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def stall(self) -> None:
        """Read nothing from now on, so that the socket fills up."""
        self._set_stalled(True)

    def go_on(self) -> None:
        """Read again."""
        self._set_stalled(False)

    def _set_stalled(self, stalled: bool) -> None:
        with self._changed:
            self._stalled = stalled
        os.eventfd_write(self._wake, 1)

    # Driving

    def pollable(self) -> int:
        """Return the fd that whoever drives the reader polls before `step`, or -1 when there is nothing to drive."""
        idle = self.threaded or self._stalled or self.eof or self._socket is None
        return -1 if idle or self._socket is None else self._socket.fileno()

    def step(self) -> bool:
        """Read what is there, up to `READS` chunks, without waiting; true when something came."""
        with self._changed:
            before = self.bytes_read
            for _ in range(READS):
                if self._stalled or self.eof or self._socket is None or not self._read(self._socket):
                    break
                if self.counting and self._pixels_due:
                    self._skip_pixels(self._socket)
            if self.eof or self.bytes_read > before:
                self._changed.notify_all()
            return self.bytes_read > before

    def _skip_pixels(self, ours: socket.socket) -> None:
        """Count the rest of an UPDATE away, the buffer being empty; give up when it does not come."""
        due, tries = self._pixels_due, SPINS
        while due and tries:
            try:
                came = ours.recv_into(self._buffer, min(due, CHUNK))
            except BlockingIOError:
                tries -= 1
                continue
            except ConnectionResetError:
                break
            if not came:
                break
            due -= came
            tries = SPINS
        self.bytes_read += self._pixels_due - due
        self._pixels_due = due

    def _serve(self, ours: socket.socket) -> None:
        """Body of the thread: step whenever something comes, until detached."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        while self._socket is ours:
            if self._stalled or self.eof:
                if len(poll.poll()) == 1:
                    os.eventfd_read(self._wake)
                continue
            poll.register(ours, select.POLLIN)
            ready = [fd for fd, _ in poll.poll()]
            poll.unregister(ours)
            if self._wake in ready:
                os.eventfd_read(self._wake)
            self.step()

    def wait_until(self, condition: Callable[[], bool], what: str, timeout_s: float = 5.0) -> None:
        """Read, or let the thread read, until `condition()` holds; it is evaluated under the reader's lock.

        Raises WaitTimeout with `what`, and the stream's ProtocolError when it broke.
        """
        end = time.monotonic() + timeout_s
        while True:
            with self._changed:
                if condition():
                    return
                left = end - time.monotonic()
                if self.error:
                    raise self.error
                if left <= 0 or self.eof:
                    raise WaitTimeout(f"{what}; got {dict(self.counts)}{' and the end of the stream' * self.eof}")
                if self.threaded:
                    self._changed.wait(left)
                    continue
            if self.pollable() >= 0:
                select.select([self.pollable()], [], [], left)
                self.step()
            else:
                raise WaitTimeout(f"{what}; nothing drives the display")

    def wait_painted(self, scanout_id: int, pixels: int, timeout_s: float = 5.0) -> None:
        """Wait until `pixels` pixels in all came for one output."""
        output = self.outputs[scanout_id]
        self.wait_until(lambda: output.painted >= pixels, f"{pixels} pixels for scanout {scanout_id}", timeout_s)

    def frame(self, scanout_id: int = 0) -> bytes:
        """Return a copy of an output's pixels, never half an UPDATE."""
        with self._changed:
            return bytes(self.outputs[scanout_id].pixels)

    # The stream

    def _read(self, ours: socket.socket) -> bool:
        """Read one chunk; false when there is none."""
        try:
            size, ancillary, flags, _ = ours.recvmsg_into([self._view[self._fill :]], _FD_ROOM, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            size, ancillary, flags = 0, [], 0
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._fds += array("i", data[: len(data) & ~3])
        if flags & socket.MSG_CTRUNC:
            self.violate("more fds than one message carries")
        if size == 0:
            return self._end()
        self.bytes_read += size
        self._fill += size
        try:
            self._parse()
        except ProtocolError as error:
            self.error = error
            self.eof = True
        return True

    def _end(self) -> bool:
        if self._fill or self._pixels_due:
            self.violate("the stream ended inside a message")
        self.eof = True
        return True

    def _parse(self) -> None:
        """Take all complete messages, and all pixels, out of the buffer."""
        at, fill, view = 0, self._fill, self._view
        while True:
            if self._pixels_due:
                step = min(self._pixels_due, fill - at)
                self._pixels_due -= step
                if not self.counting and step:
                    self.paint(view[at : at + step])
                at += step
            if fill - at < HEADER_SIZE:
                break
            request, _, size = _HEADER.unpack_from(view, at)
            body = UPDATE_SIZE if request == UPDATE else size
            end = at + HEADER_SIZE + body
            if end > fill:
                self._checked(request, size)
                break
            self._one(request, size, view[at + HEADER_SIZE : end], at == 0, at + HEADER_SIZE + size >= fill)
            at = end
        self._fill = fill - at
        self._view[: self._fill] = bytes(view[at:fill])
        self._fds_first = bool(self._fds)

    def _one(self, request: int, size: int, body: memoryview, first: bool, last: bool) -> None:
        """Take one message; the pixels of an UPDATE are still to come.

        A read ends behind bytes that came with fds, so these belong to the last message that starts in the chunk.
        """
        if request == UPDATE:
            scanout_id, _, _, width, height = _UPDATE.unpack(body)
            self._pixels_due = self._pixel_bytes(size, width, height)
            if self.counting and scanout_id < len(self.outputs):
                self.outputs[scanout_id].painted += width * height
                self.outputs[scanout_id].updates += 1
        else:
            self._checked(request, size)
        fds: list[int] = []
        if self._fds and (first if self._fds_first else last):
            fds, self._fds, self._fds_first = self._fds, [], False
        if self.counting and request in COUNTED:
            self.counts[request] += 1
            self.last_counted = bytes(body)
        else:
            reply = self.message(request, body, size, fds)
            if reply and self._socket:
                self._socket.sendall(reply)

    @staticmethod
    def _pixel_bytes(size: int, width: int, height: int) -> int:
        pixels = BYTES_PER_PIXEL * width * height
        if width > MAX_SIDE or height > MAX_SIDE or size != UPDATE_SIZE + pixels:
            raise ProtocolError("UPDATE", f"{UPDATE_SIZE + pixels} bytes for {width}x{height}", f"{size}")
        return pixels

    @staticmethod
    def _checked(request: int, size: int) -> None:
        """Raise ProtocolError when a message has not the size that its request has."""
        row = REQUESTS.get(request)  # type: ignore[call-overload]
        if row and request != UPDATE and size != (row.payload.sizeof if row.payload else 0):
            raise ProtocolError(row.req.name, f"{row.payload.sizeof if row.payload else 0} bytes", f"{size}")
        if request != UPDATE and size > CHUNK - HEADER_SIZE:
            raise ProtocolError("GPU message", f"at most {CHUNK - HEADER_SIZE} bytes", f"{size}")
