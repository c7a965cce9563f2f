"""What a display knows of its outputs, as the messages of the GPU socket change it. No I/O.

Source: QEMU docs/interop/vhost-user-gpu.

Modelled: requests 1 to 12. SCANOUT starts from black, as in QEMU, also when the size stays. Not modelled: reading
dma-bufs, whose fd is kept and nothing more. What a back-end must not send goes to `violations` and has no other effect.
"""

import os
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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
    Scanout,
    Update,
)
from outboard.spec.virtio_gpu import (
    BYTES_PER_PIXEL,
    EDID_MAX,
    MAX_SCANOUTS,
    DisplayOne,
    Rect,
    RespDisplayInfo,
    RespEdid,
)

Size = tuple[int, int]
"""Width and height in pixels."""
LOG_LENGTH = 65536
MAX_SIDE = 16384
"""Width and height of a scanout or an UPDATE, at most."""


@dataclass
class Output:
    """One output. pixels: rows of x8r8g8b8 words without padding; painted: pixels of all UPDATEs so far."""

    width: int = 0
    height: int = 0
    pixels: bytearray = field(default_factory=bytearray)
    updates: int = 0
    painted: int = 0
    dmabuf: DmabufScanout | None = None
    modifier: int = 0
    dmabuf_fd: int = -1


@dataclass
class Cursor:
    """The pointer. image: 64 x 64 a8r8g8b8 words, of the last CURSOR_UPDATE; x, y are signed."""

    scanout_id: int = 0
    x: int = 0
    y: int = 0
    hot_x: int = 0
    hot_y: int = 0
    visible: bool = False
    image: bytes = b""


class Entry(NamedTuple):
    """One message in the log, without pixels: size is that of the whole payload."""

    req: Req
    payload: Layout | None
    size: int
    fds: int


def _signed(value: int) -> int:
    return value - (1 << 32) if value & 0x8000_0000 else value


class Outputs:
    """All outputs, the cursor and the log of one display.

    modes: sizes of the enabled outputs, from output 0 on; a size of (0, 0) is an output that is off.
    features: the mask that GET_PROTOCOL_FEATURES is answered with. edid: blob for GET_EDID, at most 1024 bytes.
    """

    def __init__(self, modes: Sequence[Size], features: int, edid: bytes) -> None:
        self.modes = list(modes)
        self.features = features
        self.edid = edid
        self.outputs = [Output() for _ in range(MAX_SCANOUTS)]
        self.cursor = Cursor()
        self.log: deque[Entry] = deque(maxlen=LOG_LENGTH)
        self.counts: Counter[int] = Counter()
        self.violations: list[str] = []
        self._update = Update(0, 0, 0, 0, 0)
        self._picture = bytearray()
        self._handlers: dict[int, Callable[[Any, list[int]], bytes | None]] = {
            Req.GET_PROTOCOL_FEATURES: self._get_protocol_features,
            Req.SET_PROTOCOL_FEATURES: self._set_protocol_features,
            Req.GET_DISPLAY_INFO: self._get_display_info,
            Req.CURSOR_POS: self._cursor_pos,
            Req.CURSOR_POS_HIDE: self._cursor_pos_hide,
            Req.CURSOR_UPDATE: self._cursor_update,
            Req.SCANOUT: self._scanout,
            Req.UPDATE: self._begin_update,
            Req.DMABUF_SCANOUT: self._dmabuf_scanout,
            Req.DMABUF_UPDATE: self._dmabuf_update,
            Req.GET_EDID: self._get_edid,
            Req.DMABUF_SCANOUT2: self._dmabuf_scanout2,
        }

    def message(self, req: int, body: memoryview, size: int, fds: list[int]) -> bytes | None:
        """Apply one message; return its reply, if it has one. All `fds` are taken.

        body: the declared payload, exactly; size: of the whole payload. An UPDATE's pixels follow by `paint`.
        """
        self.counts[req] += 1
        row = REQUESTS.get(req)  # type: ignore[call-overload]
        if row is None:
            self.violate(f"unknown request {req} of {size} bytes")
            self._drop(fds)
            return None
        payload = row.payload.unpack(body) if row.payload else None
        self.log.append(Entry(row.req, payload, size, len(fds)))
        if len(fds) > row.fds[1]:
            self.violate(f"{row.req.name} with {len(fds)} fds")
        reply = self._handlers[req](payload, fds)
        self._drop(fds)
        return None if reply is None else Header(req, FLAG_REPLY, len(reply)).pack() + reply

    def violate(self, what: str) -> None:
        """Note what the back-end must not do."""
        self.violations.append(what)

    @staticmethod
    def _drop(fds: list[int]) -> None:
        while fds:
            os.close(fds.pop())

    def _output(self, scanout_id: int, what: str) -> Output | None:
        if scanout_id < len(self.outputs):
            return self.outputs[scanout_id]
        self.violate(f"{what} on scanout {scanout_id}")
        return None

    # Questions

    def _get_protocol_features(self, payload: None, fds: list[int]) -> bytes:
        return U64(self.features).pack()

    def _set_protocol_features(self, payload: U64, fds: list[int]) -> None:
        if payload.value & ~self.features:
            self.violate(f"SET_PROTOCOL_FEATURES {payload.value:#x} of {self.features:#x}")

    def _get_display_info(self, payload: None, fds: list[int]) -> bytes:
        shown = [DisplayOne(Rect(0, 0, *size), 1) if any(size) else DisplayOne() for size in self.modes]
        return RespDisplayInfo(pmodes=(*shown, *[DisplayOne()] * (MAX_SCANOUTS - len(shown)))).pack()

    def _get_edid(self, payload: EdidRequest, fds: list[int]) -> bytes | None:
        if not self.features & ProtocolFeature.EDID:
            self.violate("GET_EDID, which was not negotiated")
        if payload.scanout_id >= MAX_SCANOUTS:
            self.violate(f"GET_EDID for scanout {payload.scanout_id}")
            return None
        return RespEdid(size=len(self.edid), edid=self.edid.ljust(EDID_MAX, b"\0")).pack()

    # Pictures

    def _scanout(self, payload: Scanout, fds: list[int]) -> None:
        output = self._output(payload.scanout_id, "SCANOUT")
        size = payload.width, payload.height
        if max(size) > MAX_SIDE or any(size) != all(size):
            self.violate(f"SCANOUT {payload.width}x{payload.height}")
        if output and max(size) <= MAX_SIDE:
            output.width, output.height = size
            output.pixels = bytearray(BYTES_PER_PIXEL * payload.width * payload.height)

    def _begin_update(self, payload: Update, fds: list[int]) -> None:
        self._update = payload
        self._picture = bytearray()
        if not payload.width or not payload.height:
            self._end_update()

    def paint(self, pixels: memoryview) -> None:
        """Add pixel bytes to the UPDATE that `message` was given last; the picture changes with the last of them."""
        self._picture += pixels
        if len(self._picture) >= BYTES_PER_PIXEL * self._update.width * self._update.height:
            self._end_update()

    def _end_update(self) -> None:
        update, picture = self._update, memoryview(self._picture)
        self._picture = bytearray()
        output = self._output(update.scanout_id, "UPDATE")
        if output is None:
            return
        output.updates += 1
        output.painted += update.width * update.height
        if update.x + update.width > output.width or update.y + update.height > output.height:
            self.violate(f"{update} outside a scanout of {output.width}x{output.height}")
        self._blit(output, update, picture)

    @staticmethod
    def _blit(output: Output, update: Update, picture: memoryview) -> None:
        """Copy what lies inside the output."""
        width = min(update.width, max(0, output.width - update.x))
        height = min(update.height, max(0, output.height - update.y))
        stride = BYTES_PER_PIXEL * output.width
        if width == output.width == update.width:
            output.pixels[update.y * stride : (update.y + height) * stride] = picture[: height * stride]
            return
        size, step = BYTES_PER_PIXEL * width, BYTES_PER_PIXEL * update.width
        to = update.y * stride + BYTES_PER_PIXEL * update.x
        for at in range(0, height * step, step) if size else ():
            output.pixels[to : to + size] = picture[at : at + size]
            to += stride

    def _dmabuf_scanout(self, payload: DmabufScanout, fds: list[int], modifier: int = 0) -> None:
        output = self._output(payload.scanout_id, "DMABUF_SCANOUT")
        if output is None:
            return
        if output.dmabuf_fd >= 0:
            os.close(output.dmabuf_fd)
        output.dmabuf_fd = fds.pop(0) if fds else -1
        output.dmabuf = payload if output.dmabuf_fd >= 0 else None
        output.modifier = modifier

    def _dmabuf_scanout2(self, payload: DmabufScanout2, fds: list[int]) -> None:
        if not self.features & ProtocolFeature.DMABUF2:
            self.violate("DMABUF_SCANOUT2, which was not negotiated")
        self._dmabuf_scanout(payload.dmabuf_scanout, fds, payload.modifier)

    def _dmabuf_update(self, payload: Update, fds: list[int]) -> bytes:
        output = self._output(payload.scanout_id, "DMABUF_UPDATE")
        if output:
            output.updates += 1
            output.painted += payload.width * payload.height
        return b""

    # Cursor

    def _cursor_pos(self, payload: CursorPos, fds: list[int]) -> None:
        self._move(payload, True)

    def _cursor_pos_hide(self, payload: CursorPos, fds: list[int]) -> None:
        self._move(payload, False)

    def _cursor_update(self, payload: CursorUpdate, fds: list[int]) -> None:
        self._move(payload.pos, True)
        self.cursor.hot_x, self.cursor.hot_y = payload.hot_x, payload.hot_y
        self.cursor.image = payload.data

    def _move(self, pos: CursorPos, visible: bool) -> None:
        self._output(pos.scanout_id, "cursor")
        self.cursor.scanout_id = pos.scanout_id
        self.cursor.x, self.cursor.y = _signed(pos.x), _signed(pos.y)
        self.cursor.visible = visible

    def close(self) -> None:
        """Close the dma-buf fds; the pictures stay."""
        for output in self.outputs:
            if output.dmabuf_fd >= 0:
                os.close(output.dmabuf_fd)
                output.dmabuf_fd = -1
