"""Virtual I/O Device (VIRTIO) 1.2, section 5.7: GPU device.

Modelled: 2D, cursor, EDID, UUID and blob commands and their responses. Declared only: capability sets and 3D commands,
whose numbers a 2D device must know to refuse them.
"""

from enum import IntEnum, IntFlag
from typing import Annotated, NamedTuple

from outboard.layout import Array, Bytes, Layout, Scalar, says, u8, u32, u64

MAX_SCANOUTS = 16
CONTROL_QUEUE = 0
CURSOR_QUEUE = 1
CURSOR_SIZE = 64
"""Width and height of a cursor image in pixels (5.7.6.10)."""
MAX_BACKING_ENTRIES = 16384
"""Largest nr_entries that QEMU's devices accept; the specification sets no limit."""


class Feature(IntFlag):
    """Device feature bits (5.7.3)."""

    VIRGL = 1 << 0
    EDID = 1 << 1
    RESOURCE_UUID = 1 << 2
    RESOURCE_BLOB = 1 << 3
    CONTEXT_INIT = 1 << 4


EVENT_DISPLAY = 1 << 0
"""VIRTIO_GPU_EVENT_DISPLAY: the sizes of displays changed (5.7.4)."""


class Config(Layout):
    """struct virtio_gpu_config (5.7.4)."""

    events_read: u32 = says("bit 0: a display changed", default=0)
    events_clear: u32 = 0
    num_scanouts: u32 = says("1 to 16", default=0)
    num_capsets: u32 = 0


class HdrFlag(IntFlag):
    """Flags of the control header (5.7.6.7)."""

    FENCE = 1
    INFO_RING_IDX = 2


class Cmd(IntEnum):
    """Commands (5.7.6.7, enum virtio_gpu_ctrl_type)."""

    GET_DISPLAY_INFO = 0x0100
    RESOURCE_CREATE_2D = 0x0101
    RESOURCE_UNREF = 0x0102
    SET_SCANOUT = 0x0103
    RESOURCE_FLUSH = 0x0104
    TRANSFER_TO_HOST_2D = 0x0105
    RESOURCE_ATTACH_BACKING = 0x0106
    RESOURCE_DETACH_BACKING = 0x0107
    GET_CAPSET_INFO = 0x0108
    GET_CAPSET = 0x0109
    GET_EDID = 0x010A
    RESOURCE_ASSIGN_UUID = 0x010B
    RESOURCE_CREATE_BLOB = 0x010C
    SET_SCANOUT_BLOB = 0x010D
    CTX_CREATE = 0x0200
    CTX_DESTROY = 0x0201
    CTX_ATTACH_RESOURCE = 0x0202
    CTX_DETACH_RESOURCE = 0x0203
    RESOURCE_CREATE_3D = 0x0204
    TRANSFER_TO_HOST_3D = 0x0205
    TRANSFER_FROM_HOST_3D = 0x0206
    SUBMIT_3D = 0x0207
    RESOURCE_MAP_BLOB = 0x0208
    RESOURCE_UNMAP_BLOB = 0x0209
    UPDATE_CURSOR = 0x0300
    MOVE_CURSOR = 0x0301


class Resp(IntEnum):
    """Responses (5.7.6.7, enum virtio_gpu_ctrl_type)."""

    OK_NODATA = 0x1100
    OK_DISPLAY_INFO = 0x1101
    OK_CAPSET_INFO = 0x1102
    OK_CAPSET = 0x1103
    OK_EDID = 0x1104
    OK_RESOURCE_UUID = 0x1105
    OK_MAP_INFO = 0x1106
    ERR_UNSPEC = 0x1200
    ERR_OUT_OF_MEMORY = 0x1201
    ERR_INVALID_SCANOUT_ID = 0x1202
    ERR_INVALID_RESOURCE_ID = 0x1203
    ERR_INVALID_CONTEXT_ID = 0x1204
    ERR_INVALID_PARAMETER = 0x1205


class Format(IntEnum):
    """2D formats; the name lists the bytes in memory, lowest address first (5.7.6.8, enum virtio_gpu_formats)."""

    B8G8R8A8 = 1
    B8G8R8X8 = 2
    A8R8G8B8 = 3
    X8R8G8B8 = 4
    R8G8B8A8 = 67
    X8B8G8R8 = 68
    A8B8G8R8 = 121
    R8G8B8X8 = 134


BYTES_PER_PIXEL = 4
"""Of every 2D format."""


class CtrlHdr(Layout):
    """struct virtio_gpu_ctrl_hdr."""

    type: u32 = 0
    flags: u32 = 0
    fence_id: u64 = 0
    ctx_id: u32 = 0
    ring_idx: u8 = 0
    padding: Annotated[bytes, Bytes(3)] = b"\0\0\0"


class Rect(Layout):
    """struct virtio_gpu_rect."""

    x: u32 = 0
    y: u32 = 0
    width: u32 = 0
    height: u32 = 0


class DisplayOne(Layout):
    """struct virtio_gpu_display_one."""

    r: Rect = Rect()
    enabled: u32 = 0
    flags: u32 = 0


class RespDisplayInfo(Layout):
    """struct virtio_gpu_resp_display_info."""

    hdr: CtrlHdr = CtrlHdr(Resp.OK_DISPLAY_INFO)
    pmodes: Annotated[tuple[DisplayOne, ...], Array(DisplayOne, MAX_SCANOUTS)] = (DisplayOne(),) * MAX_SCANOUTS


class ResourceCreate2D(Layout):
    """struct virtio_gpu_resource_create_2d."""

    hdr: CtrlHdr = CtrlHdr(Cmd.RESOURCE_CREATE_2D)
    resource_id: u32 = says("chosen by the driver, not 0", default=0)
    format: u32 = 0
    width: u32 = 0
    height: u32 = 0


class ResourceUnref(Layout):
    """struct virtio_gpu_resource_unref."""

    hdr: CtrlHdr = CtrlHdr(Cmd.RESOURCE_UNREF)
    resource_id: u32 = 0
    padding: u32 = 0


class SetScanout(Layout):
    """struct virtio_gpu_set_scanout."""

    hdr: CtrlHdr = CtrlHdr(Cmd.SET_SCANOUT)
    r: Rect = Rect()
    scanout_id: u32 = 0
    resource_id: u32 = says("0 disables the scanout", default=0)


class ResourceFlush(Layout):
    """struct virtio_gpu_resource_flush."""

    hdr: CtrlHdr = CtrlHdr(Cmd.RESOURCE_FLUSH)
    r: Rect = Rect()
    resource_id: u32 = 0
    padding: u32 = 0


class TransferToHost2D(Layout):
    """struct virtio_gpu_transfer_to_host_2d."""

    hdr: CtrlHdr = CtrlHdr(Cmd.TRANSFER_TO_HOST_2D)
    r: Rect = Rect()
    offset: u64 = says("of the rectangle's first pixel in the backing", default=0)
    resource_id: u32 = 0
    padding: u32 = 0


class MemEntry(Layout):
    """struct virtio_gpu_mem_entry."""

    addr: u64 = says("guest-physical", default=0)
    length: u32 = 0
    padding: u32 = 0


class ResourceAttachBacking(Layout):
    """struct virtio_gpu_resource_attach_backing; nr_entries MemEntry follow."""

    hdr: CtrlHdr = CtrlHdr(Cmd.RESOURCE_ATTACH_BACKING)
    resource_id: u32 = 0
    nr_entries: u32 = 0


class ResourceDetachBacking(Layout):
    """struct virtio_gpu_resource_detach_backing."""

    hdr: CtrlHdr = CtrlHdr(Cmd.RESOURCE_DETACH_BACKING)
    resource_id: u32 = 0
    padding: u32 = 0


class GetCapsetInfo(Layout):
    """struct virtio_gpu_get_capset_info."""

    hdr: CtrlHdr = CtrlHdr(Cmd.GET_CAPSET_INFO)
    capset_index: u32 = 0
    padding: u32 = 0


class RespCapsetInfo(Layout):
    """struct virtio_gpu_resp_capset_info."""

    hdr: CtrlHdr = CtrlHdr(Resp.OK_CAPSET_INFO)
    capset_id: u32 = 0
    capset_max_version: u32 = 0
    capset_max_size: u32 = says("bytes of a GET_CAPSET answer", default=0)
    padding: u32 = 0


class GetEdid(Layout):
    """struct virtio_gpu_get_edid."""

    hdr: CtrlHdr = CtrlHdr(Cmd.GET_EDID)
    scanout: u32 = 0
    padding: u32 = 0


EDID_MAX = 1024


class RespEdid(Layout):
    """struct virtio_gpu_resp_edid."""

    hdr: CtrlHdr = CtrlHdr(Resp.OK_EDID)
    size: u32 = 0
    padding: u32 = 0
    edid: Annotated[bytes, Bytes(EDID_MAX)] = bytes(EDID_MAX)


class ResourceAssignUuid(Layout):
    """struct virtio_gpu_resource_assign_uuid."""

    hdr: CtrlHdr = CtrlHdr(Cmd.RESOURCE_ASSIGN_UUID)
    resource_id: u32 = 0
    padding: u32 = 0


class RespResourceUuid(Layout):
    """struct virtio_gpu_resp_resource_uuid."""

    hdr: CtrlHdr = CtrlHdr(Resp.OK_RESOURCE_UUID)
    uuid: Annotated[bytes, Bytes(16)] = bytes(16)


class BlobMem(IntEnum):
    """Where a blob resource lives (5.7.6.8, RESOURCE_CREATE_BLOB)."""

    GUEST = 1
    HOST3D = 2
    HOST3D_GUEST = 3


class BlobFlag(IntFlag):
    """Uses of a blob resource."""

    MAPPABLE = 1
    SHAREABLE = 2
    CROSS_DEVICE = 4


class ResourceCreateBlob(Layout):
    """struct virtio_gpu_resource_create_blob; nr_entries MemEntry follow."""

    hdr: CtrlHdr = CtrlHdr(Cmd.RESOURCE_CREATE_BLOB)
    resource_id: u32 = 0
    blob_mem: u32 = 0
    blob_flags: u32 = 0
    nr_entries: u32 = 0
    blob_id: u64 = 0
    size: u64 = 0


class SetScanoutBlob(Layout):
    """struct virtio_gpu_set_scanout_blob."""

    hdr: CtrlHdr = CtrlHdr(Cmd.SET_SCANOUT_BLOB)
    r: Rect = Rect()
    scanout_id: u32 = 0
    resource_id: u32 = says("0 disables the scanout", default=0)
    width: u32 = 0
    height: u32 = 0
    format: u32 = 0
    padding: u32 = 0
    strides: Annotated[tuple[int, ...], Array(Scalar("I"), 4)] = (0, 0, 0, 0)
    offsets: Annotated[tuple[int, ...], Array(Scalar("I"), 4)] = (0, 0, 0, 0)


class CursorPos(Layout):
    """struct virtio_gpu_cursor_pos."""

    scanout_id: u32 = 0
    x: u32 = says("signed in use: Linux sends negative positions", default=0)
    y: u32 = 0
    padding: u32 = 0


class UpdateCursor(Layout):
    """struct virtio_gpu_update_cursor; MOVE_CURSOR has the same form."""

    hdr: CtrlHdr = CtrlHdr(Cmd.UPDATE_CURSOR)
    pos: CursorPos = CursorPos()
    resource_id: u32 = says("0 hides the cursor", default=0)
    hot_x: u32 = 0
    hot_y: u32 = 0
    padding: u32 = 0


class CommandRow(NamedTuple):
    """One command: its request, and the response when all is well."""

    cmd: Cmd
    request: type[Layout]
    response: type[Layout]
    feature: Feature | None = None


COMMANDS = {
    row.cmd: row
    for row in (
        CommandRow(Cmd.GET_DISPLAY_INFO, CtrlHdr, RespDisplayInfo),
        CommandRow(Cmd.RESOURCE_CREATE_2D, ResourceCreate2D, CtrlHdr),
        CommandRow(Cmd.RESOURCE_UNREF, ResourceUnref, CtrlHdr),
        CommandRow(Cmd.SET_SCANOUT, SetScanout, CtrlHdr),
        CommandRow(Cmd.RESOURCE_FLUSH, ResourceFlush, CtrlHdr),
        CommandRow(Cmd.TRANSFER_TO_HOST_2D, TransferToHost2D, CtrlHdr),
        CommandRow(Cmd.RESOURCE_ATTACH_BACKING, ResourceAttachBacking, CtrlHdr),
        CommandRow(Cmd.RESOURCE_DETACH_BACKING, ResourceDetachBacking, CtrlHdr),
        CommandRow(Cmd.GET_EDID, GetEdid, RespEdid, Feature.EDID),
        CommandRow(Cmd.RESOURCE_ASSIGN_UUID, ResourceAssignUuid, RespResourceUuid, Feature.RESOURCE_UUID),
        CommandRow(Cmd.RESOURCE_CREATE_BLOB, ResourceCreateBlob, CtrlHdr, Feature.RESOURCE_BLOB),
        CommandRow(Cmd.SET_SCANOUT_BLOB, SetScanoutBlob, CtrlHdr, Feature.RESOURCE_BLOB),
    )
}
"""Commands of the control queue that a 2D device executes."""

CURSOR_COMMANDS = {
    row.cmd: row
    for row in (
        CommandRow(Cmd.UPDATE_CURSOR, UpdateCursor, CtrlHdr),
        CommandRow(Cmd.MOVE_CURSOR, UpdateCursor, CtrlHdr),
    )
}
"""Commands of the cursor queue."""
