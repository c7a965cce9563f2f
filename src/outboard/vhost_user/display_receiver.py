"""The front-end's end of the GPU socket: what is legal, what is answered; what is shown goes to a sink. No I/O.

Source: QEMU docs/interop/vhost-user-gpu.

Modelled: requests 1 to 12 and all replies. Pixels are read where the sink wants them, nothing copies them in between
when they are many. What a back-end must not send, but can be skipped, goes to `violations`; what makes the stream
unreadable raises ProtocolError. The flags of a request mean nothing and are only noted.
"""

import struct
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from outboard.errors import LocalError, ProtocolError
from outboard.layout import Layout
from outboard.spec.vhost_user_gpu import (
    FLAG_REPLY,
    REQUESTS,
    U64,
    CursorPos,
    CursorUpdate,
    DmabufScanout,
    DmabufScanout2,
    EdidRequest,
    Header,
    ProtocolFeature,
    Req,
    Row,
    Scanout,
    Update,
)
from outboard.spec.virtio_gpu import (
    BYTES_PER_PIXEL,
    EDID_MAX,
    MAX_SCANOUTS,
    CtrlHdr,
    DisplayOne,
    Rect,
    Resp,
    RespDisplayInfo,
    RespEdid,
)
from outboard.vhost_user.display_sink import Sink
from outboard.vhost_user.display_stream import DisplayStream

Size = tuple[int, int]
"""Width and height in pixels."""
MAX_SIDE = 16384
"""Width and height of a scanout, at most."""
MAX_PIXELS = 8192 * 8192
"""Pixels of all scanouts together, by default."""
LOG_LENGTH = 4096
UPDATE_SIZE = Update.sizeof
_UPDATE = struct.Struct("=" + Update.codes)
_UPDATE_ROW = REQUESTS[Req.UPDATE]


class Entry(NamedTuple):
    """One message in the log, without pixels: size is that of the whole payload, flags the header's."""

    req: Req
    payload: Layout | None
    size: int
    fds: int
    flags: int = 0


class _Reply:
    """A reply on its way out. held_by: the output whose `release` it waits for."""

    def __init__(self, data: bytes, held_by: int | None) -> None:
        self.data = data
        self.held_by = held_by


Observer = Callable[[bool, int, int, bytes, int, int], object]


class DisplayReceiver(DisplayStream):
    """Session on the GPU socket, over any number of sockets: `open` begins anew, the sink's pictures stay.

    modes: sizes of the outputs; (0, 0) is one that is off. features: the mask for GET_PROTOCOL_FEATURES. edid: returns
    an output's blob, at most 1024 bytes. outputs: how many the sink has. max_pixels: of all scanouts together; more are
    refused. close_fds: takes fds that nobody wants. observer: called for every message with (to the back-end, request,
    flags, payload without pixels, size of the whole payload, number of fds).

    A transport reads into `buffer()`, says how much by `received`, and sends what `take_reply` returns.
    """

    def __init__(
        self,
        sink: Sink,
        modes: Sequence[Size],
        features: int,
        edid: Callable[[int], bytes],
        close_fds: Callable[[list[int]], object],
        *,
        outputs: int = MAX_SCANOUTS,
        max_pixels: int = MAX_PIXELS,
        log_length: int = LOG_LENGTH,
        observer: Observer | None = None,
    ) -> None:
        self.sink = sink
        self._sizes: list[Size] = [(0, 0)] * MAX_SCANOUTS
        self.modes = list(modes)
        self.features = features
        self.outputs = outputs
        self.max_pixels = max_pixels
        self.observer = observer
        self.log: deque[Entry] = deque(maxlen=log_length)
        self.counts: Counter[int] = Counter()
        self.logging = True
        self._edid = edid
        self._handlers: dict[int, Callable[[Any, list[int]], bytes | None]] = {
            Req.GET_PROTOCOL_FEATURES: self._get_protocol_features,
            Req.SET_PROTOCOL_FEATURES: self._set_protocol_features,
            Req.GET_DISPLAY_INFO: self._get_display_info,
            Req.CURSOR_POS: self._cursor_pos,
            Req.CURSOR_POS_HIDE: self._cursor_pos_hide,
            Req.CURSOR_UPDATE: self._cursor_update,
            Req.SCANOUT: self._scanout,
            Req.DMABUF_SCANOUT: self._dmabuf_scanout,
            Req.DMABUF_UPDATE: self._dmabuf_update,
            Req.GET_EDID: self._get_edid,
            Req.DMABUF_SCANOUT2: self._dmabuf_scanout2,
        }
        super().__init__(close_fds)

    def open(self) -> None:
        """Begin on a new socket: nothing is live until the back-end says so."""
        super().open()
        self._update: tuple[int, int, int, int, int] | None = None
        self._replies: deque[_Reply] = deque()
        for scanout_id, size in enumerate(self._sizes):
            if any(size):
                self._sizes[scanout_id] = (0, 0)
                self.sink.scanout(scanout_id, 0, 0)

    # Messages

    def _unknown(self, request: int, flags: int, size: int, fds: list[int]) -> None:
        """Skip a message of an unknown request; not in `counts`, where every number would take room."""
        self.violate(f"unknown request {request} of {size} bytes")
        self._observe(False, request, flags, b"", size, len(fds))
        self._close_fds(fds)
        self._update = self._target = None
        self._due = size

    def _message(self, request: int, flags: int, body: memoryview, size: int, fds: list[int]) -> None:
        """Carry out one complete message that has no pixels."""
        row = REQUESTS.get(request)  # type: ignore[call-overload]
        if row is None:
            self._unknown(request, flags, size, fds)
            return
        payload = self._note(row, flags, body, size, fds)
        reply = self._handlers[request](payload, fds)
        self._close_fds(fds)
        if reply is not None:
            self._reply(request, reply)

    def _note(self, row: Row, flags: int, body: memoryview, size: int, fds: list[int]) -> Layout | None:
        self.counts[row.req] += 1
        payload = row.payload.unpack(body) if row.payload and (self.logging or not row.pixels) else None
        if self.logging:
            self.log.append(Entry(row.req, payload, size, len(fds), flags))
            self._observe(False, row.req, flags, bytes(body), size, len(fds))
        if len(fds) > row.fds[1]:
            self.violate(f"{row.req.name} with {len(fds)} fds")
        return payload

    def _observe(self, to_backend: bool, request: int, flags: int, payload: bytes, size: int, fds: int) -> None:
        if self.observer is not None:
            self.observer(to_backend, request, flags, payload, size, fds)

    # Answers

    def _reply(self, request: int, payload: bytes, held_by: int | None = None) -> None:
        self._replies.append(_Reply(Header(request, FLAG_REPLY, len(payload)).pack() + payload, held_by))
        self._observe(True, request, FLAG_REPLY, payload, len(payload), 0)

    @property
    def answering(self) -> bool:
        """Whether a reply may leave now."""
        return bool(self._replies) and self._replies[0].held_by is None

    @property
    def replies_waiting(self) -> int:
        """How many replies have not been taken, held ones included."""
        return len(self._replies)

    def take_reply(self) -> bytes:
        """Return the next reply that may leave, to be sent in one piece; b"" when there is none."""
        return self._replies.popleft().data if self.answering else b""

    def release(self, scanout_id: int) -> None:
        """Let the DMABUF_UPDATE replies of an output leave that `Sink.dmabuf_update` held."""
        for reply in self._replies:
            if reply.held_by == scanout_id:
                reply.held_by = None

    def _get_protocol_features(self, payload: None, fds: list[int]) -> bytes:
        return U64(self.features).pack()

    def _set_protocol_features(self, payload: U64, fds: list[int]) -> None:
        if payload.value & ~self.features:
            self.violate(f"SET_PROTOCOL_FEATURES {payload.value:#x} of {self.features:#x}")

    def _get_display_info(self, payload: None, fds: list[int]) -> bytes:
        shown = [DisplayOne(Rect(0, 0, *size), 1) if any(size) else DisplayOne() for size in self.modes]
        return RespDisplayInfo(pmodes=(*shown, *[DisplayOne()] * (MAX_SCANOUTS - len(shown)))).pack()

    def _get_edid(self, payload: EdidRequest, fds: list[int]) -> bytes:
        if not self.features & ProtocolFeature.EDID:
            self.violate("GET_EDID, which was not negotiated")
        if not self._exists(payload.scanout_id, "GET_EDID"):
            return RespEdid(CtrlHdr(Resp.ERR_INVALID_SCANOUT_ID)).pack()
        blob = self._edid(payload.scanout_id)
        return RespEdid(size=len(blob), edid=blob.ljust(EDID_MAX, b"\0")).pack()

    # Pictures

    def _exists(self, scanout_id: int, what: str) -> bool:
        if scanout_id >= self.outputs:
            self.violate(f"{what} on scanout {scanout_id}")
        return scanout_id < self.outputs

    def _resize(self, what: str, scanout_id: int, width: int, height: int) -> bool:
        """Note the size of a scanout; false, and the output counts as off, when it cannot have that."""
        others = sum(w * h for at, (w, h) in enumerate(self._sizes) if at != scanout_id)
        bad = max(width, height) > MAX_SIDE or bool(width) != bool(height)
        if bad:
            self.violate(f"{what} {width}x{height}")
        elif others + width * height > self.max_pixels:
            self.violate(f"{what} {width}x{height}: more than {self.max_pixels} pixels in all")
            bad = True
        self._sizes[scanout_id] = (0, 0) if bad else (width, height)
        return not bad

    def _scanout(self, payload: Scanout, fds: list[int]) -> None:
        scanout_id = payload.scanout_id
        if self._exists(scanout_id, "SCANOUT"):
            self._resize("SCANOUT", scanout_id, payload.width, payload.height)
            self.sink.scanout(scanout_id, *self._sizes[scanout_id])
            self._bound()

    def _bound(self) -> None:
        """Leave the last pictures, which no live output shows, what the live ones leave of `max_pixels`."""
        self.sink.keep(self.max_pixels - sum(width * height for width, height in self._sizes))

    def _begin_update(self, flags: int, body: memoryview, size: int, rest: memoryview, fds: list[int]) -> int:
        """Begin an UPDATE, of whose pixels `rest` is here already; return how many bytes of `rest` were taken."""
        scanout_id, x, y, width, height = _UPDATE.unpack(body)
        update = (scanout_id, x, y, width, height)
        due: int = BYTES_PER_PIXEL * width * height
        if width > MAX_SIDE or height > MAX_SIDE or size != UPDATE_SIZE + due:
            self._close_fds(fds)
            raise ProtocolError("UPDATE", f"{UPDATE_SIZE + due} bytes for {width}x{height}", f"{size}")
        self._note(_UPDATE_ROW, flags, body, size, fds)
        if fds:
            self._close_fds(fds)
        fits = due and self._fits(*update)
        if fits and due <= len(rest):
            self.sink.paint(*update, rest[:due])
            return due
        self._due, self._at = due, 0
        self._update = update if fits else None
        self._target = self.sink.room(*update) if fits else None
        return 0

    def _fits(self, scanout_id: int, x: int, y: int, width: int, height: int) -> bool:
        """Whether an UPDATE can be shown, in part at least; notes what is wrong with it."""
        if not self._exists(scanout_id, "UPDATE"):
            return False
        scanout = self._sizes[scanout_id]
        if not scanout[0]:
            self.violate(f"UPDATE of scanout {scanout_id}, which is not enabled")
            return False
        if x + width > scanout[0] or y + height > scanout[1]:
            where = f"{width}x{height} at {x},{y}"
            self.violate(f"UPDATE {where} outside a scanout of {scanout[0]}x{scanout[1]}")
        return bool(x < scanout[0] and y < scanout[1] and width * height <= self.max_pixels)

    def _end_update(self, pixels: memoryview | None) -> None:
        update, self._update, self._target = self._update, None, None
        if update is not None:
            self.sink.paint(*update, pixels)

    # Shared buffers

    def _dmabuf_scanout(self, payload: DmabufScanout, fds: list[int], modifier: int = 0) -> None:
        scanout_id = payload.scanout_id
        if not self._exists(scanout_id, "DMABUF_SCANOUT"):
            return
        size = (payload.width or payload.fd_width, payload.height or payload.fd_height) if fds else (0, 0)
        good = self._resize("DMABUF_SCANOUT", scanout_id, *size)
        try:
            self.sink.dmabuf_scanout(payload, modifier, fds[0] if fds and good else None)
            del fds[: int(good)]
        except LocalError as error:
            self._sizes[scanout_id] = (0, 0)
            self.violate(f"DMABUF_SCANOUT of scanout {scanout_id}: {error}")
        self._bound()

    def _dmabuf_scanout2(self, payload: DmabufScanout2, fds: list[int]) -> None:
        if not self.features & ProtocolFeature.DMABUF2:
            self.violate("DMABUF_SCANOUT2, which was not negotiated")
        self._dmabuf_scanout(payload.dmabuf_scanout, fds, payload.modifier)

    def _dmabuf_update(self, payload: Update, fds: list[int]) -> None:
        scanout_id = payload.scanout_id
        shown = True
        if self._exists(scanout_id, "DMABUF_UPDATE"):
            shown = self.sink.dmabuf_update(scanout_id, payload.x, payload.y, payload.width, payload.height)
        self._reply(Req.DMABUF_UPDATE, b"", None if shown else scanout_id)

    # Cursor

    def _cursor_pos(self, payload: CursorPos, fds: list[int]) -> None:
        if self._exists(payload.scanout_id, "CURSOR_POS"):
            self.sink.cursor_pos(payload.scanout_id, payload.x, payload.y)

    def _cursor_pos_hide(self, payload: CursorPos, fds: list[int]) -> None:
        if self._exists(payload.scanout_id, "CURSOR_POS_HIDE"):
            self.sink.cursor_pos_hide(payload.scanout_id, payload.x, payload.y)

    def _cursor_update(self, payload: CursorUpdate, fds: list[int]) -> None:
        pos = payload.pos
        if self._exists(pos.scanout_id, "CURSOR_UPDATE"):
            self.sink.cursor_update(pos.scanout_id, pos.x, pos.y, payload.hot_x, payload.hot_y, payload.data)
