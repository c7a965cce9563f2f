"""The display's end of the GPU socket: reads what a back-end sends into screens, answers what it asks.

Source: QEMU docs/interop/vhost-user-gpu.

Driven by a thread of its own (`threaded`), or step by step by whoever waits for something. It can stall, that is not
read, to see what a back-end does then. Answers that a back-end does not read make it read no more, and nothing else.
"""

import contextlib
import os
import select
import socket
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from outboard.display import Screen, Screens
from outboard.display.edid import edid as make_edid
from outboard.errors import LocalError, ProtocolError, WaitTimeout
from outboard.frontend.control import Observer
from outboard.frontend.shared_buffer import import_buffer
from outboard.host.events import close_all
from outboard.spec.vhost_user import MAX_FDS
from outboard.spec.vhost_user_gpu import ProtocolFeature
from outboard.spec.virtio_gpu import MAX_SCANOUTS
from outboard.vhost_user.display_receiver import LOG_LENGTH, MAX_PIXELS, MAX_SIDE, DisplayReceiver, Size

READS = 64
"""Chunks that one `step` reads, at most."""
ANSWERS_MAX = 64
"""Answers that wait for a back-end to read them, at most, before nothing more is read from it."""
DEFAULT_SIZE = (1280, 800)
"""What the EDID of an output that is off speaks of, as QEMU's does."""
_FD_ROOM = socket.CMSG_SPACE(MAX_FDS * 4)
# Plain numbers: the arithmetic of the named ones takes as long as a small read.
_READ_FLAGS, _SEND_FLAGS = int(socket.MSG_CMSG_CLOEXEC), int(socket.MSG_NOSIGNAL)
_TRUNCATED = int(socket.MSG_CTRUNC)


def _receive(ours: socket.socket, room: memoryview) -> tuple[int, list[int], int]:
    """Return how many bytes were read into `room`, 0 at the end, the fds that came, and whether some were lost."""
    try:
        size, ancillary, came, _ = ours.recvmsg_into([room], _FD_ROOM, _READ_FLAGS)
    except ConnectionResetError:
        return 0, [], 0
    fds: list[int] = []
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds += array("i", data[: len(data) & ~3])
    return size, fds, came & _TRUNCATED


def _hang_up(ours: socket.socket) -> None:
    """Let both ends see the end of the stream."""
    with contextlib.suppress(OSError):
        ours.shutdown(socket.SHUT_RDWR)


def check_mode(width: int, height: int) -> None:
    """Raise LocalError unless this can be the size of an output's display, or 0 x 0, which is off."""
    if (width, height) != (0, 0) and not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise LocalError(f"display of {width}x{height}: width and height go from 1 to {MAX_SIDE}, or 0x0 for none")


class Tally(Screens):
    """The same screens, but pixels are counted and thrown away: for benchmarks."""

    def __init__(self, screens: Screens) -> None:
        super().__init__(0)
        self.screens = screens.screens

    def room(self, scanout_id: int, x: int, y: int, width: int, height: int) -> None:
        """Throw the pixels away."""

    def paint(self, scanout_id: int, x: int, y: int, width: int, height: int, pixels: memoryview | None) -> None:
        """Count a rectangle."""
        screen = self.screens[scanout_id]
        screen.updates += 1
        screen.painted += width * height


class DisplayReader:
    """A display that lives as long as its machine, over any number of GPU sockets.

    modes: sizes of the outputs, (0, 0) for one that is off; may be changed. features: mask that is offered. edid: a
    blob for all outputs; by default each gets one of its own size. screens: where pictures go, by default own ones.
    max_pixels: of all scanouts together. log_length: messages kept in `log`. observer: called for every message.
    counting: count pixels and keep none. Reading raises nothing: a broken stream is in `error`.
    """

    def __init__(
        self,
        modes: Sequence[Size] = (DEFAULT_SIZE,),
        features: int = ProtocolFeature.EDID | ProtocolFeature.DMABUF2,
        edid: bytes = b"",
        *,
        screens: Screens | None = None,
        threaded: bool = False,
        counting: bool = False,
        max_pixels: int = MAX_PIXELS,
        log_length: int = LOG_LENGTH,
        observer: Observer | None = None,
    ) -> None:
        self.screens = screens or Screens(MAX_SCANOUTS, time.monotonic, import_buffer)
        for mode in modes:
            check_mode(*mode)
        self.edid = edid
        self.receiver = DisplayReceiver(
            self.screens,
            modes,
            features,
            self._edid_of,
            close_all,
            outputs=len(self.screens.screens),
            max_pixels=max_pixels,
            log_length=log_length,
            observer=None if observer is None else lambda *message: observer("display", *message),
        )
        self.modes = self.receiver.modes
        self.log = self.receiver.log
        self.counts = self.receiver.counts
        self.violations = self.receiver.violations
        self.threaded = threaded
        self.bytes_read = 0
        self.eof = self._gone = False
        self.error: ProtocolError | None = None
        self._unsent = b""
        self._socket: socket.socket | None = None
        self._stalled = False
        self._changed = threading.Condition()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread: threading.Thread | None = None
        self.counting = counting

    @property
    def outputs(self) -> list[Screen]:
        """The screens, by scanout_id."""
        return self.screens.screens

    @property
    def counting(self) -> bool:
        """Whether pixels are counted and thrown away, and messages not logged."""
        return isinstance(self.receiver.sink, Tally)

    @counting.setter
    def counting(self, counting: bool) -> None:
        self.receiver.sink = Tally(self.screens) if counting else self.screens
        self.receiver.logging = not counting

    def _edid_of(self, scanout_id: int) -> bytes:
        """Return the EDID of an output: that of the size which its display wants, not of what is shown there."""
        size = self.modes[scanout_id] if scanout_id < len(self.modes) else (0, 0)
        return self.edid or make_edid(*(size if all(size) else DEFAULT_SIZE), serial=scanout_id)

    # Life

    def attach(self, ours: socket.socket) -> None:
        """Read from `ours`, which the reader owns now, in place of the socket before; the pictures stay."""
        self.detach()
        ours.setblocking(False)
        self.receiver.open()
        self._unsent = b""
        self.eof, self.error, self._gone = False, None, False
        self._socket = ours
        self.screens.begin()
        if self.threaded:
            self._thread = threading.Thread(target=self._serve, args=(ours,), name="display", daemon=True)
            self._thread.start()

    def detach(self) -> None:
        """Close the socket, so that the back-end sees its end."""
        with self._changed:
            ours, self._socket = self._socket, None
            self.receiver.close()
        if self._thread:
            os.eventfd_write(self._wake, 1)
            self._thread.join()
            self._thread = None
        if ours:
            ours.close()
            self.screens.end()

    def close(self) -> None:
        """Detach for good."""
        self.detach()
        self.screens.close()
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
        """Return the fd that whoever drives the reader polls before `step`, or -1 when there is nothing to drive.

        It may be readable while answers wait for a back-end that does not read them: `step` tries to send those.
        """
        ours = self._socket
        return -1 if self.threaded or self._stalled or self.eof or ours is None else ours.fileno()

    def _events(self) -> int:
        full = self.receiver.replies_waiting > ANSWERS_MAX and not self._gone
        reads = 0 if full else select.POLLIN
        return reads | (select.POLLOUT if self._unsent else 0)

    def step(self) -> bool:
        """Read what is there, up to `READS` chunks, without waiting; true when something came."""
        with self._changed:
            before = self.bytes_read
            for _ in range(READS):
                ours = self._socket
                if self._stalled or self.eof or ours is None:
                    break
                self._answer(ours)
                if not self._events() & select.POLLIN or not self._read(ours):
                    break
            if self.eof or self.bytes_read > before:
                self._changed.notify_all()
            return self.bytes_read > before

    def _serve(self, ours: socket.socket) -> None:
        """Body of the thread: step whenever something comes, until detached."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.register(ours, 0)
        while self._socket is ours:
            if self.step():
                continue
            idle = self._stalled or self.eof
            if idle:
                poll.unregister(ours)
            else:
                poll.modify(ours, self._events())
            ready = dict(poll.poll())
            if self._wake in ready:
                os.eventfd_read(self._wake)
            if ready.get(ours.fileno(), 0) & select.POLLHUP:
                self._gone = True  # Nobody reads the answers any more; what is left is read up to the end.
            if idle:
                poll.register(ours, 0)

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
            if self.pollable() < 0:
                raise WaitTimeout(f"{what}; nothing drives the display")
            poll = select.poll()
            poll.register(self.pollable(), self._events())
            poll.poll(left * 1000)
            self.step()

    def wait_painted(self, scanout_id: int, pixels: int, timeout_s: float = 5.0) -> None:
        """Wait until `pixels` pixels in all came for one output."""
        output = self.outputs[scanout_id]
        self.wait_until(lambda: output.painted >= pixels, f"{pixels} pixels for scanout {scanout_id}", timeout_s)

    def frame(self, scanout_id: int = 0) -> bytes:
        """Return a copy of an output's pixels, never half an UPDATE."""
        with self._changed:
            return bytes(self.outputs[scanout_id].pixels)

    def hold(self, scanout_id: int) -> None:
        """Answer no DMABUF_UPDATE of an output from now on, so that its back-end waits before it draws again."""
        with self._changed:
            self.outputs[scanout_id].held = True

    def release(self, scanout_id: int) -> None:
        """Answer DMABUF_UPDATE again, those that wait first."""
        with self._changed:
            self.outputs[scanout_id].held = False
            self.receiver.release(scanout_id)
            if self._socket:
                self._answer(self._socket)
        os.eventfd_write(self._wake, 1)

    # The stream

    def _read(self, ours: socket.socket) -> bool:
        """Read one chunk; false when there is none."""
        try:
            self._take(ours, *_receive(ours, self.receiver.buffer()))
        except (BlockingIOError, InterruptedError):
            return False
        return True

    def _take(self, ours: socket.socket, size: int, fds: list[int], truncated: int) -> None:
        """Take what was read: no bytes are the end."""
        if truncated:
            self.receiver.violate("more fds than one message carries")
        if size == 0:
            close_all(fds)
            self._end()
            return
        self.bytes_read += size
        try:
            self.receiver.received(size, fds)
        except ProtocolError as error:
            self.error = error
            self._end()
            _hang_up(ours)  # Whoever writes on would wait for ever.
        self._answer(ours)

    def _end(self) -> None:
        if self.receiver.partial and not self.error:
            self.receiver.violate("the stream ended inside a message")
        self.eof = True
        self.receiver.close()
        self.screens.end()

    def _answer(self, ours: socket.socket) -> None:
        """Send replies, each in one piece if the socket takes it: QEMU's back-end does not put pieces together."""
        while self._unsent or self.receiver.answering:
            self._unsent = self._unsent or self.receiver.take_reply()
            try:
                sent = ours.send(self._unsent, _SEND_FLAGS)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                sent = len(self._unsent)  # It has gone; reading will say so.
            self._unsent = self._unsent[sent:]
