"""QEMU document docs/interop/vhost-user-gpu: the display protocol on the GPU socket.

Modelled: requests 1 to 12, both directions. Numbers are in host byte order, but the replies to GET_DISPLAY_INFO and
GET_EDID, which are virtio-gpu structures.
"""

from enum import IntEnum, IntFlag
from typing import Annotated, NamedTuple

from outboard.layout import Bytes, Layout, i32, says, u32, u64
from outboard.spec.virtio_gpu import RespDisplayInfo, RespEdid

FLAG_REPLY = 1 << 2
"""Bit 2 of the header's flags. The flags of a request mean nothing: QEMU's back-end leaves garbage there."""


class Header(Layout, byte_order="="):
    """Header of every message."""

    request: u32 = 0
    flags: u32 = 0
    size: u32 = says("bytes that follow", default=0)


class ProtocolFeature(IntFlag):
    """Answer to GET_PROTOCOL_FEATURES; values are masks, not bit numbers."""

    EDID = 1 << 0
    DMABUF2 = 1 << 1


class Req(IntEnum):
    """VHOST_USER_GPU_* request ids."""

    GET_PROTOCOL_FEATURES = 1
    SET_PROTOCOL_FEATURES = 2
    GET_DISPLAY_INFO = 3
    CURSOR_POS = 4
    CURSOR_POS_HIDE = 5
    CURSOR_UPDATE = 6
    SCANOUT = 7
    UPDATE = 8
    DMABUF_SCANOUT = 9
    DMABUF_UPDATE = 10
    GET_EDID = 11
    DMABUF_SCANOUT2 = 12


class U64(Layout, byte_order="="):
    """u64 payload."""

    value: u64 = 0


class CursorPos(Layout, byte_order="="):
    """VhostUserGpuCursorPos."""

    scanout_id: u32 = 0
    x: u32 = says("signed in use", default=0)
    y: u32 = 0


CURSOR_DATA = 64 * 64 * 4


class CursorUpdate(Layout, byte_order="="):
    """VhostUserGpuCursorUpdate; data holds 64 x 64 native 0xAARRGGBB words."""

    pos: CursorPos = CursorPos()
    hot_x: u32 = 0
    hot_y: u32 = 0
    data: Annotated[bytes, Bytes(CURSOR_DATA)] = bytes(CURSOR_DATA)


class Scanout(Layout, byte_order="="):
    """VhostUserGpuScanout; width and height 0 disable the output."""

    scanout_id: u32 = 0
    width: u32 = 0
    height: u32 = 0


class Update(Layout, byte_order="="):
    """VhostUserGpuUpdate; width * height native 0xXXRRGGBB words follow, in UPDATE only."""

    scanout_id: u32 = 0
    x: u32 = says("relative to the scanout", default=0)
    y: u32 = 0
    width: u32 = 0
    height: u32 = 0


class DmabufScanout(Layout, byte_order="="):
    """VhostUserGpuDMABUFScanout; without an fd it disables the output."""

    scanout_id: u32 = 0
    x: u32 = says("of the visible rectangle in the buffer", default=0)
    y: u32 = 0
    width: u32 = says("of the visible rectangle", default=0)
    height: u32 = 0
    fd_width: u32 = says("of the whole buffer", default=0)
    fd_height: u32 = 0
    fd_stride: u32 = says("bytes per row", default=0)
    fd_flags: u32 = says("bit 0: row 0 is the top row", default=0)
    fd_drm_fourcc: i32 = 0


class DmabufScanout2(Layout, byte_order="="):
    """VhostUserGpuDMABUFScanout2."""

    dmabuf_scanout: DmabufScanout = DmabufScanout()
    modifier: u64 = says("DRM format modifier; 0 is linear", default=0)


class EdidRequest(Layout, byte_order="="):
    """VhostUserGpuEdidRequest."""

    scanout_id: u32 = 0


class Row(NamedTuple):
    """One request. acknowledged: its reply has no payload; fds: fewest and most; pixels: words behind the payload."""

    req: Req
    payload: type[Layout] | None = None
    reply: type[Layout] | None = None
    acknowledged: bool = False
    fds: tuple[int, int] = (0, 0)
    feature: ProtocolFeature | None = None
    pixels: bool = False


REQUESTS = {
    row.req: row
    for row in (
        Row(Req.GET_PROTOCOL_FEATURES, None, U64),
        Row(Req.SET_PROTOCOL_FEATURES, U64),
        Row(Req.GET_DISPLAY_INFO, None, RespDisplayInfo),
        Row(Req.CURSOR_POS, CursorPos),
        Row(Req.CURSOR_POS_HIDE, CursorPos),
        Row(Req.CURSOR_UPDATE, CursorUpdate),
        Row(Req.SCANOUT, Scanout),
        Row(Req.UPDATE, Update, pixels=True),
        Row(Req.DMABUF_SCANOUT, DmabufScanout, fds=(0, 1)),
        Row(Req.DMABUF_UPDATE, Update, acknowledged=True),
        Row(Req.GET_EDID, EdidRequest, RespEdid, feature=ProtocolFeature.EDID),
        Row(Req.DMABUF_SCANOUT2, DmabufScanout2, fds=(0, 1), feature=ProtocolFeature.DMABUF2),
    )
}
