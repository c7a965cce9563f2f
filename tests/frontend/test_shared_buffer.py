"""The buffer behind a DMABUF_SCANOUT: byte orders, strides, origins, and what is refused.

Memory files stand for dma-bufs, which no test can make without a driver; see tests/host/test_dmabuf.py.
Source: Linux include/uapi/drm/drm_fourcc.h; QEMU docs/interop/vhost-user-gpu.
"""

import os

import pytest

from outboard.errors import LocalError
from outboard.frontend.shared_buffer import import_buffer
from outboard.spec.vhost_user_gpu import DmabufScanout

pytestmark = pytest.mark.alike

XR24, AR24, XB24, AB24 = 0x34325258, 0x34325241, 0x34324258, 0x34324241
LINEAR, INVALID = 0, 0x00FFFFFFFFFFFFFF
WIDTH, HEIGHT = 6, 5


def pixel(x, y):
    """Return a pixel of the buffer, in memory order."""
    return bytes((10 * x, 10 * y, x + y, 200 + x))


def file_of(stride=4 * WIDTH, rows=HEIGHT):
    """Return a memory file with the buffer; what is between the rows is 0xee."""
    fd = os.memfd_create("shared")
    for y in range(rows):
        os.write(fd, b"".join(pixel(x, y) for x in range(WIDTH)).ljust(stride, b"\xee"))
    return fd


def scanout(x=0, y=0, width=WIDTH, height=HEIGHT, stride=4 * WIDTH, flags=0, fourcc=XR24, size=(WIDTH, HEIGHT)):
    return DmabufScanout(0, x, y, width, height, *size, stride, flags, fourcc)


def shown(buffer, x, y, width, height):
    """Return a rectangle of what is visible, tight rows, with something before and behind."""
    into = memoryview(bytearray(b"\x55" * (8 + 4 * width * height)))
    buffer.gather(into, 4, x, y, width, height)
    assert bytes(into[:4]) == bytes(into[-4:]) == b"\x55" * 4
    return bytes(into[4:-4])


def expected(x, y, width, height, swapped=False):
    """Return a rectangle of the buffer, in bytes B, G, R, X."""
    made = b""
    for row in range(y, y + height):
        for column in range(x, x + width):
            first, second, third, fourth = pixel(column, row)
            made += bytes((third, second, first, fourth) if swapped else (first, second, third, fourth))
    return made


# Little-endian words: XR24 is X:R:G:B from the top, so B comes first in memory; XB24 the other way round.
@pytest.mark.parametrize(("fourcc", "swapped"), [(XR24, False), (AR24, False), (XB24, True), (AB24, True)])
@pytest.mark.parametrize("modifier", [LINEAR, INVALID])
def test_byte_orders(fourcc, swapped, modifier):
    buffer = import_buffer(scanout(fourcc=fourcc), modifier, file_of())
    assert shown(buffer, 0, 0, WIDTH, HEIGHT) == expected(0, 0, WIDTH, HEIGHT, swapped)
    assert shown(buffer, 2, 1, 3, 2) == expected(2, 1, 3, 2, swapped)
    buffer.close()


@pytest.mark.parametrize("stride", [4 * WIDTH, 4 * WIDTH + 1, 64, 4096])
def test_rows_may_be_longer_than_they_are_wide(stride):
    buffer = import_buffer(scanout(stride=stride), LINEAR, file_of(stride))
    assert shown(buffer, 0, 0, WIDTH, HEIGHT) == expected(0, 0, WIDTH, HEIGHT)
    buffer.close()


def test_the_last_row_needs_no_padding():
    fd = file_of(64)
    os.ftruncate(fd, 64 * (HEIGHT - 1) + 4 * WIDTH)
    buffer = import_buffer(scanout(stride=64), LINEAR, fd)
    assert shown(buffer, 0, HEIGHT - 1, WIDTH, 1) == expected(0, HEIGHT - 1, WIDTH, 1)
    buffer.close()
    fd = file_of(64)
    os.ftruncate(fd, 64 * (HEIGHT - 1) + 4 * WIDTH - 1)
    with pytest.raises(LocalError, match="has 279 bytes, its stride and height ask for 280"):
        import_buffer(scanout(stride=64), LINEAR, fd)
    os.close(fd)


@pytest.mark.parametrize("stride", [24, 40])
def test_what_is_visible_is_a_rectangle_of_the_buffer(stride):
    buffer = import_buffer(scanout(x=1, y=2, width=4, height=3, stride=stride), LINEAR, file_of(stride))
    assert shown(buffer, 0, 0, 4, 3) == expected(1, 2, 4, 3)
    assert shown(buffer, 3, 2, 1, 1) == expected(4, 4, 1, 1)
    buffer.close()


def test_no_size_is_that_of_the_buffer():
    buffer = import_buffer(scanout(width=0, height=0), LINEAR, file_of())
    assert shown(buffer, 0, 0, WIDTH, HEIGHT) == expected(0, 0, WIDTH, HEIGHT)
    buffer.close()


def test_rows_count_upwards_where_y_0_top_is_set():
    buffer = import_buffer(scanout(flags=1), LINEAR, file_of())
    for y in range(HEIGHT):
        assert shown(buffer, 0, y, WIDTH, 1) == expected(0, HEIGHT - 1 - y, WIDTH, 1)
    buffer.close()
    buffer = import_buffer(scanout(x=1, y=1, width=3, height=2, flags=0xFFFFFFFF), LINEAR, file_of())
    assert shown(buffer, 0, 0, 3, 2) == expected(1, 3, 3, 1) + expected(1, 2, 3, 1)
    buffer.close()


def test_other_flags_mean_nothing():
    buffer = import_buffer(scanout(flags=0xFFFFFFFE), LINEAR, file_of())
    assert shown(buffer, 0, 0, WIDTH, HEIGHT) == expected(0, 0, WIDTH, HEIGHT)
    buffer.close()


@pytest.mark.parametrize(
    ("changed", "modifier", "why"),
    [
        ({}, 0x0100000000000001, "modifier 0x100000000000001 is not linear"),
        ({}, 1, "modifier 0x1 is not linear"),
        ({"fourcc": 0x36314752}, LINEAR, "RG16"),
        ({"fourcc": 0}, LINEAR, "format"),
        ({"fourcc": -1}, LINEAR, "only XR24 AR24 XB24 AB24"),
        ({"fourcc": 0x30335258}, LINEAR, "XR30"),
        ({"x": 1}, LINEAR, "6x5 at 1,0 lies outside its buffer of 6x5"),
        ({"y": 0xFFFFFFFF}, LINEAR, "6x5 at 0,4294967295 lies outside"),
        ({"width": 7}, LINEAR, "7x5 at 0,0 lies outside"),
        ({"x": 1, "width": 0xFFFFFFFF}, LINEAR, "lies outside"),
        ({"stride": 23}, LINEAR, "stride of 23 bytes is less than 6 pixels"),
        ({"stride": 0}, LINEAR, "stride"),
        ({"stride": 25}, LINEAR, "has 120 bytes, its stride and height ask for 124"),
        ({"stride": 0xFFFFFFFF}, LINEAR, "has 120 bytes"),
        ({"size": (6, 6)}, LINEAR, "has 120 bytes, its stride and height ask for 144"),
        ({"size": (0xFFFFFFFF, 0xFFFFFFFF), "stride": 0xFFFFFFFF}, LINEAR, "stride"),
        ({"size": (6, 0xFFFFFFFF), "stride": 0xFFFFFFFF}, LINEAR, "has 120 bytes"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason_and_the_fd_stays_the_callers(changed, modifier, why):
    fd = file_of()
    with pytest.raises(LocalError, match=why):
        import_buffer(scanout(**changed), modifier, fd)
    os.close(fd)


@pytest.mark.parametrize("swapped", [XR24, XB24])
def test_a_buffer_that_is_truncated_later_is_told(swapped):
    fd = file_of()
    buffer = import_buffer(scanout(fourcc=swapped), LINEAR, os.dup(fd))
    os.ftruncate(fd, 4 * WIDTH * 2 + 3)
    assert shown(buffer, 0, 0, WIDTH, 2) == expected(0, 0, WIDTH, 2, swapped == XB24)
    with pytest.raises(LocalError, match="too early"):
        shown(buffer, 0, 0, WIDTH, 3)
    buffer.close()
    os.close(fd)


def test_the_sync_ends_where_the_read_breaks():
    class Rows:
        def __init__(self):
            self.told = []

        def begin(self):
            self.told.append("begin")

        def end(self):
            self.told.append("end")

        def read(self, offset, into):
            raise LocalError("gone")

    buffer = import_buffer(scanout(), LINEAR, file_of())
    buffer.close()
    buffer._rows = Rows()
    with pytest.raises(LocalError, match="gone"):
        shown(buffer, 0, 0, 1, 1)
    assert buffer._rows.told == ["begin", "end"]


def test_the_fd_is_closed_with_the_buffer(open_fds):
    before = open_fds()
    for _ in range(3):
        import_buffer(scanout(), LINEAR, file_of()).close()
    assert open_fds() == before
