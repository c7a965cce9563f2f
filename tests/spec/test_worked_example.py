"""The worked example's bytes against the structures, both ways."""

import pytest

from outboard.spec import vhost_user as control
from outboard.spec import vhost_user_gpu as display
from outboard.spec import virtio_gpu as gpu
from tests.vectors import worked_example as example
from tests.vectors.worked_example import octets

HDR = gpu.CtrlHdr
FULL = gpu.Rect(0, 0, 4, 2)
PART = gpu.Rect(1, 0, 2, 2)

QUEUE = [
    (example.CREATE_2D, [gpu.ResourceCreate2D(HDR(0x101), 1, 2, 4, 2)]),
    (
        example.ATTACH_BACKING,
        [gpu.ResourceAttachBacking(HDR(0x106), 1, 1), gpu.MemEntry(0x40800000, 32)],
    ),
    (example.SET_SCANOUT, [gpu.SetScanout(HDR(0x103), FULL, 0, 1)]),
    (example.TRANSFER, [gpu.TransferToHost2D(HDR(0x105), FULL, 0, 1)]),
    (example.FLUSH, [gpu.ResourceFlush(HDR(0x104), PART, 1)]),
    (example.FLUSH_FENCED, [gpu.ResourceFlush(HDR(0x104, 1, 0x1122334455667788, 9), PART, 1)]),
    (example.DISABLE, [gpu.SetScanout(HDR(0x103), gpu.Rect(), 0, 0)]),
    (example.OK_NODATA, [HDR(0x1100)]),
    (example.OK_NODATA_FENCED, [HDR(0x1100, 1, 0x1122334455667788, 9)]),
]

BUFFER = display.DmabufScanout(0, 1, 2, 3, 4, 5, 6, 7, 1, 0x34325258)
BUFFER2 = display.DmabufScanout(0, 1, 2, 3, 4, 5, 6, 7, 0, 0x34324241)
GPU_SOCKET = [
    (example.GPU_GET_PROTOCOL_FEATURES, [display.Header(1)]),
    (example.GPU_PROTOCOL_FEATURES_NONE, [display.Header(1, 4, 8), display.U64(0)]),
    (example.GPU_PROTOCOL_FEATURES_BOTH, [display.Header(1, 4, 8), display.U64(3)]),
    (example.GPU_SET_PROTOCOL_FEATURES_BOTH, [display.Header(2, 0, 8), display.U64(3)]),
    (example.GPU_GET_DISPLAY_INFO, [display.Header(3)]),
    (example.GPU_CURSOR_POS, [display.Header(4, 0, 12), display.CursorPos(0, 0xFFFFFFF6, 20)]),
    (example.GPU_CURSOR_POS_HIDE, [display.Header(5, 0, 12), display.CursorPos(1, 0, 0)]),
    (example.GPU_SCANOUT, [display.Header(7, 0, 12), display.Scanout(0, 4, 2)]),
    (example.GPU_SCANOUT_OFF, [display.Header(7, 0, 12), display.Scanout(0, 0, 0)]),
    (example.GPU_DMABUF_SCANOUT, [display.Header(9, 0, 40), BUFFER]),
    (example.GPU_DMABUF_UPDATE, [display.Header(10, 0, 20), display.Update(0, 1, 2, 3, 4)]),
    (example.GPU_DMABUF_UPDATE_DONE, [display.Header(10, 4, 0)]),
    (example.GPU_GET_EDID, [display.Header(11, 0, 4), display.EdidRequest(1)]),
    (
        example.GPU_DMABUF_SCANOUT2,
        [display.Header(12, 0, 48), display.DmabufScanout2(BUFFER2, 0x00FFFFFFFFFFFFFF)],
    ),
]

REGION = control.MemoryRegion(0x40000000, 64 << 20, 0x7F0000000000, 0)
PARTS = control.VringAddr(0, 0, 0x7F0000001000, 0x7F0000002000, 0x7F0000003000, 0)
CONTROL_SOCKET = [
    (example.GET_FEATURES, [control.Header(1, 1)]),
    (example.FEATURES_OF_C, [control.Header(1, 5, 8), control.U64(0x175000000)]),
    (example.SET_PROTOCOL_FEATURES, [control.Header(16, 1, 8), control.U64(0x209)]),
    (example.SET_OWNER, [control.Header(3, 1)]),
    (example.GPU_SET_SOCKET, [control.Header(33, 1)]),
    (example.SET_FEATURES, [control.Header(2, 1, 8), control.U64(0x170000000)]),
    (example.SET_MEM_TABLE, [control.Header(5, 1, 40), control.MemTable(1), REGION]),
    (example.SET_VRING_NUM, [control.Header(8, 1, 8), control.VringState(0, 64)]),
    (example.SET_VRING_BASE, [control.Header(10, 1, 8), control.VringState(0, 0)]),
    (example.SET_VRING_ADDR, [control.Header(9, 1, 40), PARTS]),
    (example.SET_VRING_CALL, [control.Header(13, 1, 8), control.U64(0)]),
    (example.SET_VRING_KICK, [control.Header(12, 1, 8), control.U64(0)]),
    (example.SET_VRING_KICK_NO_FD, [control.Header(12, 1, 8), control.U64(0x100)]),
    (example.SET_VRING_ENABLE, [control.Header(18, 1, 8), control.VringState(0, 1)]),
    (example.GET_VRING_BASE_REPLY, [control.Header(11, 5, 8), control.VringState(0, 7)]),
    (example.REFUSED, [control.Header(5, 5, 8), control.U64(1)]),
]


@pytest.mark.parametrize(("text", "structures"), QUEUE + GPU_SOCKET + CONTROL_SOCKET)
def test_bytes_and_structures_are_the_same_thing(text, structures):
    data = octets(text)
    assert b"".join(one.pack() for one in structures) == data
    at = 0
    for one in structures:
        assert type(one).unpack_from(data, at) == one
        at += one.sizeof
    assert at == len(data)


@pytest.mark.parametrize(("text", "structures"), QUEUE)
def test_the_requests_defaults_are_their_own_codes(text, structures):
    request = type(structures[0])
    if request is not HDR:
        assert request().hdr.type == structures[0].hdr.type


def test_a_cursor_update_is_its_head_and_the_image():
    image = bytes(range(256)) * 64
    update = display.CursorUpdate(display.CursorPos(0, 5, 6), 7, 8, image)
    assert display.Header(6, 0, 16404).pack() + update.pack() == octets(example.GPU_CURSOR_UPDATE_HEAD) + image


def test_a_config_access_is_its_head_and_the_bytes():
    head = control.Header(24, 1, 28).pack() + control.ConfigSpace(0, 16, 0).pack()
    assert head + bytes(16) == octets(example.GET_CONFIG)
