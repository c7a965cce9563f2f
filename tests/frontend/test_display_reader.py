"""The display's end of the GPU socket, against bytes typed by hand from QEMU docs/interop/vhost-user-gpu."""

import array
import os
import socket
import struct
import time

import pytest

from outboard.errors import ProtocolError, WaitTimeout
from outboard.frontend.display_reader import DisplayReader
from outboard.spec.vhost_user_gpu import Req, Scanout

pytestmark = pytest.mark.alike


def octets(text: str) -> bytes:
    return bytes.fromhex(text.replace("·", ""))


GET_PROTOCOL_FEATURES = octets("01000000 00000000 00000000")
SCANOUT_4X2 = octets("07000000 00000000 0c000000 · 00000000 04000000 02000000")
UPDATE_1_0_2X2 = octets(
    "08000000 05000000 24000000 · 00000000 01000000 00000000 02000000 02000000· 04050607 08090a0b 14151617 18191a1b"
)
PICTURE = octets("00000000 04050607 08090a0b 00000000  00000000 14151617 18191a1b 00000000")
CURSOR_POS = octets("04000000 00000000 0c000000 · 00000000 f6ffffff 07000000")
CURSOR_UPDATE = octets("06000000 00000000 14400000 · 00000000 05000000 06000000 01000000 02000000") + b"\x7f" * 16384
DMABUF_SCANOUT = octets(
    "09000000 00000000 28000000 · 00000000 00000000 00000000 04000000 02000000"
    "· 04000000 02000000 10000000 00000000 58523234"
)


class Pair:
    """A reader, and the back-end's end of its socket."""

    def __init__(self, **options) -> None:
        self.reader = DisplayReader(**options)
        self.theirs, ours = socket.socketpair()
        self.reader.attach(ours)

    def send(self, data: bytes, fds: tuple[int, ...] = ()) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.theirs.sendmsg([data], rights)
        if not self.reader.threaded:
            self.reader.step()

    def __enter__(self) -> "Pair":
        return self

    def __exit__(self, *_) -> None:
        self.reader.close()
        self.theirs.close()


@pytest.mark.parametrize("split", range(1, len(SCANOUT_4X2 + UPDATE_1_0_2X2 + CURSOR_POS)))
def test_the_stream_may_be_split_anywhere(split):
    stream = SCANOUT_4X2 + UPDATE_1_0_2X2 + CURSOR_POS
    with Pair() as pair:
        pair.send(stream[:split])
        pair.send(stream[split:])
        assert pair.reader.frame(0) == PICTURE
        assert (
            pair.reader.outputs[0].cursor.x,
            pair.reader.outputs[0].cursor.y,
            pair.reader.outputs[0].cursor.visible,
        ) == (-10, 7, True)
        assert [entry.req for entry in pair.reader.log] == [Req.SCANOUT, Req.UPDATE, Req.CURSOR_POS]
        assert pair.reader.log[0].payload == Scanout(0, 4, 2)
        assert not pair.reader.violations


@pytest.mark.parametrize("threaded", [False, True])
@pytest.mark.parametrize("counting", [False, True])
def test_many_messages_at_once(threaded, counting):
    with Pair(threaded=threaded, counting=counting) as pair:
        pair.send(SCANOUT_4X2 + (UPDATE_1_0_2X2 + CURSOR_POS) * 100)
        pair.reader.wait_painted(0, 400)
        pair.reader.wait_until(lambda: pair.reader.counts[Req.CURSOR_POS] == 100, "all positions")
        assert pair.reader.counts[Req.UPDATE] == pair.reader.outputs[0].updates == 100
        assert pair.reader.frame(0) == (b"" if counting else PICTURE)
        assert pair.reader.outputs[0].cursor[:2] == (-10, 7)


@pytest.mark.parametrize("counting", [False, True])
def test_pictures_larger_than_every_buffer(counting):
    width, height = 2000, 1000
    pixels = os.urandom(4 * width * height)
    with Pair(threaded=True, counting=counting) as pair:
        pair.send(octets("07000000 00000000 0c000000 · 00000000 d0070000 e8030000"))
        pair.theirs.sendall(
            octets("08000000 00000000 14127a00 · 00000000 00000000 00000000 d0070000 e8030000") + pixels
        )
        pair.reader.wait_painted(0, width * height)
        assert pair.reader.bytes_read == 24 + 32 + len(pixels)
        assert counting or pair.reader.frame(0) == pixels


@pytest.mark.parametrize("width", [4, 6, 200])
def test_an_update_larger_than_its_scanout_is_cut(width):
    """As rust-vmm's back-end sends the whole resource, whatever part of it the scanout shows."""
    height = 300
    rows = [os.urandom(4 * width) for _ in range(height)]
    update = struct.pack("=8I", 8, 0, 20 + 4 * width * height, 0, 0, 0, width, height)
    with Pair(threaded=True) as pair:
        pair.theirs.sendall(SCANOUT_4X2 + update + b"".join(rows) + CURSOR_POS)
        pair.reader.wait_until(lambda: pair.reader.counts[Req.CURSOR_POS] == 1, "what follows")
        assert pair.reader.frame(0) == rows[0][:16] + rows[1][:16]
        assert len(pair.reader.violations) == 1


@pytest.mark.parametrize(("features", "answer"), [(0, "00"), (1, "01"), (2, "02"), (3, "03")])
def test_protocol_features_are_answered(features, answer):
    with Pair(features=features) as pair:
        pair.send(GET_PROTOCOL_FEATURES)
        assert pair.theirs.recv(64) == octets(f"01000000 04000000 08000000 · {answer}00000000000000")
        pair.send(octets("02000000 00000000 08000000 · 0300000000000000"))
        assert bool(pair.reader.violations) is (features != 3)


def test_display_info_and_edid_are_answered():
    edid = bytes(range(128))
    with Pair(modes=[(1280, 800)], edid=edid) as pair:
        pair.send(octets("03000000 00000000 00000000"))
        info = pair.theirs.recv(1000)
        assert len(info) == 12 + 408
        assert info[:16] == octets("03000000 04000000 98010000 · 01110000")
        assert info[36:60] == octets("00000000 00000000 00050000 20030000 01000000 00000000")
        pair.send(octets("0b000000 00000000 04000000 · 00000000"))
        answer = pair.theirs.recv(2000)
        assert answer[:16] == octets("0b000000 04000000 20040000 · 04110000")
        assert answer[36:44] == octets("80000000 00000000")
        assert answer[44:172] == edid and answer[172:] == bytes(896)
        assert not pair.reader.violations


def test_what_was_not_negotiated_is_noted():
    with Pair(features=0) as pair:
        pair.send(octets("0b000000 00000000 04000000 · 00000000"))
        assert len(pair.reader.violations) == 1


def test_the_cursor_image_is_kept():
    with Pair() as pair:
        pair.send(CURSOR_UPDATE)
        cursor = pair.reader.outputs[0].cursor
        assert (cursor.x, cursor.y, cursor.hot_x, cursor.hot_y) == (5, 6, 1, 2)
        assert cursor.image == b"\x7f" * 16384
        pair.send(octets("05000000 00000000 0c000000 · 00000000 01000000 02000000"))
        cursor = pair.reader.outputs[0].cursor
        assert not cursor.visible and cursor.image


def test_an_fd_goes_to_the_message_it_came_with():
    with Pair() as pair, open(os.memfd_create("buffer"), "wb") as file:
        file.truncate(32)
        pair.reader.stall()
        pair.send(DMABUF_SCANOUT)
        pair.send(SCANOUT_4X2 + DMABUF_SCANOUT[:5])
        pair.theirs.sendall(DMABUF_SCANOUT[5:])
        pair.send(DMABUF_SCANOUT, (file.fileno(),))
        pair.send(CURSOR_POS)
        pair.reader.go_on()
        while pair.reader.step():
            pass
        scanouts = [entry for entry in pair.reader.log if entry.req == Req.DMABUF_SCANOUT]
        assert [entry.fds for entry in scanouts] == [0, 0, 1]
        assert pair.reader.outputs[0].dmabuf
        assert pair.reader.outputs[0].dmabuf.fd_drm_fourcc == 0x34325258
        pair.send(DMABUF_SCANOUT)
        assert pair.reader.outputs[0].dmabuf is None
        assert not pair.reader.violations


def test_an_fd_where_none_belongs_is_noted_and_closed(open_fds):
    with Pair() as pair, open(os.devnull) as file:
        before = open_fds()
        pair.send(SCANOUT_4X2, (file.fileno(), file.fileno()))
        assert len(pair.reader.violations) == 1
        assert open_fds() == before


def test_dmabuf_update_is_answered_by_a_header_alone():
    with Pair() as pair:
        pair.send(octets("0a000000 00000000 14000000 · 00000000 00000000 00000000 04000000 02000000"))
        assert pair.theirs.recv(64) == octets("0a000000 04000000 00000000")


@pytest.mark.parametrize(
    "message",
    [
        UPDATE_1_0_2X2,
        SCANOUT_4X2[:-8] + octets("40000000 00000000"),
        SCANOUT_4X2[:-8] + octets("01000100 01000000"),
        SCANOUT_4X2[:12] + octets("10000000 04000000 02000000"),
        octets("63000000 00000000 04000000 · 00000000"),
    ],
)
def test_what_a_front_end_cannot_use_is_noted_and_skipped(message):
    with Pair() as pair:
        pair.send(message)
        assert len(pair.reader.violations) == 1
        pair.send(SCANOUT_4X2 + UPDATE_1_0_2X2)
        assert pair.reader.frame(0) == PICTURE


@pytest.mark.parametrize(
    "message",
    [
        octets("07000000 00000000 08000000 · 00000000 00000000"),
        octets("07000000 00000000 ffffffff"),
        octets("63000000 00000000 ffffffff"),
        octets("08000000 00000000 18000000 · 00000000 00000000 00000000 02000000 02000000"),
        octets("08000000 00000000 14000000 · 00000000 00000000 00000000 00000100 00000100"),
    ],
)
def test_a_size_that_cannot_be_breaks_the_stream(message):
    with Pair() as pair:
        pair.send(message)
        with pytest.raises(ProtocolError):
            pair.reader.wait_painted(0, 1)


@pytest.mark.parametrize("threaded", [False, True])
def test_a_stalled_display_reads_nothing(threaded):
    with Pair(threaded=threaded) as pair:
        pair.reader.stall()
        pair.send(SCANOUT_4X2)
        time.sleep(0.02)
        assert not pair.reader.log
        pair.reader.go_on()
        pair.reader.wait_until(lambda: len(pair.reader.log) == 1, "the message")


@pytest.mark.parametrize("threaded", [False, True])
def test_the_picture_outlives_the_stream(threaded):
    with Pair(threaded=threaded) as pair:
        pair.send(SCANOUT_4X2 + UPDATE_1_0_2X2 + SCANOUT_4X2[:7])
        pair.theirs.close()
        with pytest.raises(WaitTimeout, match="end of the stream"):
            pair.reader.wait_until(lambda: False, "nothing")
        assert pair.reader.frame(0) == PICTURE
        assert pair.reader.violations == ["the stream ended inside a message"]
        pair.theirs, ours = socket.socketpair()
        pair.reader.attach(ours)
        pair.send(CURSOR_POS)
        pair.reader.wait_until(lambda: pair.reader.outputs[0].cursor.visible, "the cursor")
