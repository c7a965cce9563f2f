"""The display's end of the GPU socket, which keeps every message as it came and heals nothing.

Source: QEMU docs/interop/vhost-user-gpu, "Wire format".

`frontend.DisplayReader` shows pictures and refuses what it cannot read; a check wants to see flags, sizes and ids as
they are, and answers as it likes. `Vmm` drives either.
"""

import fcntl
import os
import select
import socket
import termios
import time
from array import array
from collections.abc import Callable, Sequence
from typing import NamedTuple

from outboard.conformance.check import Failed, NotApplicable
from outboard.conformance.transcript import Transcript
from outboard.errors import ProtocolError
from outboard.spec.vhost_user import MAX_FDS
from outboard.spec.vhost_user import Header as FrameHeader
from outboard.spec.vhost_user_gpu import FLAG_REPLY, U64, EdidRequest, Header, ProtocolFeature, Req, Scanout, Update
from outboard.spec.virtio_gpu import BYTES_PER_PIXEL, MAX_SCANOUTS, DisplayOne, Rect, RespDisplayInfo, RespEdid
from outboard.vhost_user.connection import Connection

CHUNK = 1 << 20
MAX_PAYLOAD = 256 << 20
MAX_SIDE = 16384
_FD_ROOM = socket.CMSG_SPACE(MAX_FDS * 4)
FEATURES = ProtocolFeature.EDID | ProtocolFeature.DMABUF2
DMABUFS = frozenset({Req.DMABUF_SCANOUT, Req.DMABUF_SCANOUT2})
PAUSE_S = 0.02
"""Between the pieces of a reply: long enough for the peer to take one by itself."""


class Sent(NamedTuple):
    """One message of the back-end, as it came."""

    request: int
    flags: int
    payload: bytes
    fds: int

    @property
    def name(self) -> str:
        """Its name, or its number."""
        return Req(self.request).name if self.request in list(Req) else str(self.request)

    def update(self) -> Update:
        """Its UPDATE. Raises ProtocolError when it is too short."""
        return Update.unpack_from(self.payload)

    def scanout(self) -> Scanout:
        """Its SCANOUT. Raises ProtocolError when it has another size."""
        return Scanout.unpack(self.payload)


def reply(request: int, payload: bytes = b"", flags: int = FLAG_REPLY) -> bytes:
    """Return a reply's bytes."""
    return Header(request, flags, len(payload)).pack() + payload


def edid_of(scanout_id: int) -> bytes:
    """Return a blob that tells which output it belongs to."""
    return bytes([0, 255, 255, 255, 255, 255, 255, 0, scanout_id]).ljust(128, b"\x5a")


class Watch:
    """A display. sent: all messages, of all sockets, in order; eof: whether the back-end closed the last one.

    modes: sizes of the outputs. features: what GET_PROTOCOL_FEATURES is answered with. answers: request to a function
    that returns the pieces of its reply, to be replaced by checks that answer otherwise.
    """

    def __init__(
        self, transcript: Transcript, modes: Sequence[tuple[int, int]] = ((1280, 800),), features: int = FEATURES
    ) -> None:
        self.sent: list[Sent] = []
        self.eof = False
        self.stalled = False
        self.broken: ProtocolError | None = None
        self.modes = list(modes)
        self.features = features
        self.answers: dict[int, Callable[[Sent], Sequence[bytes]]] = {
            Req.GET_PROTOCOL_FEATURES: lambda _: [reply(Req.GET_PROTOCOL_FEATURES, U64(self.features).pack())],
            Req.GET_DISPLAY_INFO: lambda _: [reply(Req.GET_DISPLAY_INFO, self.display_info())],
            Req.GET_EDID: lambda sent: [reply(Req.GET_EDID, self.edid(sent))],
            Req.DMABUF_UPDATE: lambda _: [reply(Req.DMABUF_UPDATE)],
        }
        self._transcript = transcript
        self._socket: socket.socket | None = None
        self._connection = Connection(self._bounded)

    # What it says

    def display_info(self) -> bytes:
        """Return struct virtio_gpu_resp_display_info."""
        shown = [DisplayOne(Rect(0, 0, *size), 1) if any(size) else DisplayOne() for size in self.modes]
        return RespDisplayInfo(pmodes=(*shown, *[DisplayOne()] * (MAX_SCANOUTS - len(shown)))).pack()

    def edid(self, sent: Sent) -> bytes:
        """Return struct virtio_gpu_resp_edid for the output that a GET_EDID names."""
        blob = edid_of(EdidRequest.unpack(sent.payload).scanout_id)
        return RespEdid(size=len(blob), edid=blob.ljust(1024, b"\0")).pack()

    # The part of a display that `Vmm` drives

    def attach(self, ours: socket.socket) -> None:
        """Read from this socket, owned now, in place of the one before."""
        self.detach()
        ours.setblocking(False)
        self._socket = ours
        self._connection = Connection(self._bounded)
        self.eof, self.broken = False, None

    def detach(self) -> None:
        """Close the socket: the back-end sees its end."""
        if self._socket:
            self._transcript.note("GPU socket closed by the front-end")
            self._socket.close()
            self._socket = None

    close = detach

    def pollable(self) -> int:
        """Return the fd to poll before `step`, or -1."""
        return -1 if self._socket is None or self.stalled or self.eof else self._socket.fileno()

    def step(self) -> bool:
        """Read and answer what is there; whether something came."""
        came = False
        while self.pollable() >= 0 and self._read():
            came = True
        return came

    def _read(self) -> bool:
        assert self._socket
        try:
            data, ancillary, _, _ = self._socket.recvmsg(CHUNK, _FD_ROOM, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            data, ancillary = b"", []
        fds = [fd for _, _, body in ancillary for fd in array("i", body[: len(body) & ~3])]
        for fd in fds:
            os.close(fd)
        if not data:
            self._transcript.note("GPU socket closed by the back-end")
            self.eof = True
            return True
        try:
            frames = self._connection.receive(data)
        except ProtocolError as error:
            self.eof, self.broken = True, error
            return True
        for at, frame in enumerate(frames):
            self._take(Sent(frame.request, frame.flags, frame.payload, len(fds) if at == len(frames) - 1 else 0))
        return True

    @staticmethod
    def _bounded(header: FrameHeader) -> None:
        if header.size > MAX_PAYLOAD:
            raise ProtocolError("GPU message", f"at most {MAX_PAYLOAD} bytes", f"{header.size}")

    def _take(self, sent: Sent) -> None:
        self.sent.append(sent)
        kept = sent.payload[: Update.sizeof] if sent.request == Req.UPDATE else sent.payload
        self._transcript.message("display", False, sent.request, sent.flags, kept, len(sent.payload), sent.fds)
        if sent.request in self.answers:
            self.say(self.answers[sent.request](sent))

    def say(self, pieces: Sequence[bytes]) -> None:
        """Send bytes, piece by piece, with a pause between them in which the back-end takes what is there."""
        for at, piece in enumerate(pieces):
            if at:
                time.sleep(PAUSE_S)
            if self._socket:
                self._socket.send(piece, socket.MSG_NOSIGNAL)
        if data := b"".join(pieces):
            head = Header.unpack_from(data.ljust(Header.sizeof, b"\0"))
            self._transcript.message(
                "display", True, head.request, head.flags, data[Header.sizeof :], len(data) - Header.sizeof, 0
            )

    def unread(self) -> int:
        """Return how many bytes lie in the socket."""
        waiting = array("i", [0])
        if self._socket:
            fcntl.ioctl(self._socket, termios.FIONREAD, waiting)
        return waiting[0]

    # What is waited for

    def wait(self, condition: Callable[[], object], expected: str, timeout_s: float) -> None:
        """Read until the condition holds. Raises Failed with what was expected when it does not in time."""
        end = time.monotonic() + timeout_s
        while not condition():
            if self.broken:
                raise Failed(expected, str(self.broken))
            left = end - time.monotonic()
            if self.pollable() < 0:
                raise Failed(expected, self._last())
            if left <= 0:
                raise Failed(expected, f"{self._last()} in {timeout_s:g} s")
            select.select([self.pollable()], [], [], left)
            self.step()

    def _last(self) -> str:
        end = ", then the end of the GPU socket" if self.eof else ""
        return f"{', '.join(one.name for one in self.sent[-8:]) or 'no message'}{end}"

    def since(self, mark: int, *requests: int) -> list[Sent]:
        """Return the messages from number `mark` on, of these requests or of all."""
        return [one for one in self.sent[mark:] if not requests or one.request in requests]

    def _pixels_only(self) -> None:
        if self.since(0, *DMABUFS):
            raise NotApplicable("the back-end shows shared buffers, whose pixels are not looked at")

    def scanouts(self, mark: int = 0) -> list[Scanout]:
        """Return the SCANOUTs from message `mark` on. Raises NotApplicable when shared buffers are shown instead."""
        self._pixels_only()
        return [one.scanout() for one in self.since(mark, Req.SCANOUT)]

    def updates(self, mark: int = 0) -> list[Update]:
        """Return the UPDATEs from message `mark` on. Raises NotApplicable when shared buffers are shown instead."""
        self._pixels_only()
        return [one.update() for one in self.since(mark, Req.UPDATE)]

    # Pictures

    def picture(self, scanout_id: int = 0) -> tuple[int, int, bytes]:
        """Return width, height and pixels that an output shows after all messages: black at first, then every UPDATE.

        The top byte of a pixel means nothing and is 0 here. Raises NotApplicable when shared buffers are shown.
        """
        width = height = 0
        pixels = bytearray()
        self._pixels_only()
        for sent in self.sent:
            if sent.request == Req.SCANOUT and sent.scanout().scanout_id == scanout_id:
                width, height = sent.scanout().width, sent.scanout().height
                if max(width, height) > MAX_SIDE:
                    raise Failed(f"a scanout of at most {MAX_SIDE}x{MAX_SIDE}", f"{width}x{height}")
                pixels = bytearray(BYTES_PER_PIXEL * width * height)
            elif sent.request == Req.UPDATE and sent.update().scanout_id == scanout_id:
                blit(pixels, width, height, sent.update(), sent.payload[Update.sizeof :])
        pixels[3::4] = bytes(len(pixels) // 4)
        return width, height, bytes(pixels)


def blit(pixels: bytearray, width: int, height: int, update: Update, rows: bytes) -> None:
    """Copy what lies inside a picture of `width` x `height`."""
    cut = max(0, min(update.width, width - update.x)) * BYTES_PER_PIXEL
    for row in range(min(update.height, max(0, height - update.y))):
        to = BYTES_PER_PIXEL * ((update.y + row) * width + update.x)
        start = BYTES_PER_PIXEL * row * update.width
        if cut:
            pixels[to : to + cut] = rows[start : start + cut].ljust(cut, b"\0")
