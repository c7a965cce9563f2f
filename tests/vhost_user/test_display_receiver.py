"""The front-end's session on the GPU socket, against bytes typed by hand from QEMU docs/interop/vhost-user-gpu."""

import os

import pytest

from outboard.errors import LocalError, ProtocolError
from outboard.vhost_user.display_receiver import DisplayReceiver

pytestmark = pytest.mark.alike


def octets(text: str) -> bytes:
    """Read hexadecimal; "20z" stands for twenty zero bytes."""
    words = text.replace("·", " ").split()
    return b"".join(bytes(int(word[:-1])) if word.endswith("z") else bytes.fromhex(word) for word in words)


class Watcher:
    """A sink that writes down what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []
        self.answers_at_once = True
        self.wants_pixels = True
        self.refuses = ""
        self.kept: list[int] = []

    def scanout(self, *what) -> None:
        self.calls.append(("scanout", *what))

    def keep(self, pixels) -> None:
        self.kept.append(pixels)

    def room(self, scanout_id, x, y, width, height) -> memoryview | None:
        return memoryview(bytearray(4 * width * height)) if self.wants_pixels else None

    def paint(self, *what) -> None:
        self.calls.append(("paint", *what[:-1], what[-1] and bytes(what[-1])))

    def cursor_update(self, *what) -> None:
        self.calls.append(("cursor_update", *what))

    def cursor_pos(self, *what) -> None:
        self.calls.append(("cursor_pos", *what))

    def cursor_pos_hide(self, *what) -> None:
        self.calls.append(("cursor_pos_hide", *what))

    def dmabuf_scanout(self, scanout, modifier, fd) -> None:
        if self.refuses and fd is not None:
            raise LocalError(self.refuses)
        self.calls.append(("dmabuf_scanout", *tuple_of(scanout), modifier, fd))

    def dmabuf_update(self, *what) -> bool:
        self.calls.append(("dmabuf_update", *what))
        return self.answers_at_once


def tuple_of(scanout) -> tuple:
    """Return the ten numbers of a DMABUF_SCANOUT."""
    return tuple(memoryview(scanout.pack()).cast("I"))


class Session:
    """A receiver, its sink, and the fds that it gave back; fds are any numbers."""

    def __init__(self, modes=((1280, 800), (0, 0)), features=3, **options) -> None:
        self.sink = Watcher()
        self.closed: list[int] = []
        self.seen: list[tuple] = []
        self.receiver = DisplayReceiver(
            self.sink,
            modes,
            features,
            lambda scanout_id: bytes([scanout_id]) * 128,
            self.closed.extend,
            observer=lambda *message: self.seen.append(message),
            **options,
        )

    def feed(self, data: bytes, fds=(), most: int = 1 << 30) -> None:
        """Give bytes to the receiver, `most` at once; the fds come with the first."""
        given = list(fds)
        rest = memoryview(data)
        while rest:
            room = self.receiver.buffer()
            count = min(len(room), len(rest), most)
            room[:count] = rest[:count]
            self.receiver.received(count, given)
            rest, given = rest[count:], []

    def replies(self) -> list[bytes]:
        found = []
        while self.receiver.answering:
            found.append(self.receiver.take_reply())
        assert self.receiver.take_reply() == b""
        return found

    @property
    def calls(self) -> list[tuple]:
        return self.sink.calls


SCANOUT = octets("07000000 00000000 0c000000 · 00000000 04000000 02000000")
IMAGE = bytes(range(256)) * 64
UPDATE = octets(
    "08000000 05000000 24000000 · 00000000 01000000 00000000 02000000 02000000· 04050607 08090a0b 14151617 18191a1b"
)
PIXELS = octets("04050607 08090a0b 14151617 18191a1b")
INFO_1280_800 = octets(
    "03000000 04000000 98010000 · 01110000 20z · 00000000 00000000 00050000 20030000 01000000 00000000 · 360z"
)
EDID_OF_1 = octets("0b000000 04000000 20040000 · 04110000 20z · 80000000 00000000") + b"\1" * 128 + bytes(896)

# Message, what the sink is told, what is answered. Before each one SCANOUT 0 4x2 was sent.
MESSAGES = {
    "GET_PROTOCOL_FEATURES": (
        octets("01000000 00000000 00000000"),
        [],
        [octets("01000000 04000000 08000000 · 0300000000000000")],
    ),
    "SET_PROTOCOL_FEATURES": (octets("02000000 00000000 08000000 · 0300000000000000"), [], []),
    "GET_DISPLAY_INFO": (octets("03000000 00000000 00000000"), [], [INFO_1280_800]),
    "CURSOR_POS": (
        octets("04000000 00000000 0c000000 · 00000000 f6ffffff 07000000"),
        [("cursor_pos", 0, 4294967286, 7)],
        [],
    ),
    "CURSOR_POS_HIDE": (
        octets("05000000 00000000 0c000000 · 01000000 01000000 02000000"),
        [("cursor_pos_hide", 1, 1, 2)],
        [],
    ),
    "CURSOR_UPDATE": (
        octets("06000000 00000000 14400000 · 00000000 05000000 06000000 01000000 02000000") + IMAGE,
        [("cursor_update", 0, 5, 6, 1, 2, IMAGE)],
        [],
    ),
    "SCANOUT": (
        octets("07000000 00000000 0c000000 · 02000000 00050000 20030000"),
        [("scanout", 2, 1280, 800)],
        [],
    ),
    "SCANOUT off": (octets("07000000 00000000 0c000000 · 00000000 00000000 00000000"), [("scanout", 0, 0, 0)], []),
    "UPDATE": (UPDATE, [("paint", 0, 1, 0, 2, 2, PIXELS)], []),
    "UPDATE of nothing": (octets("08000000 00000000 14000000 · 00000000 00000000 00000000 00000000 02000000"), [], []),
    "DMABUF_SCANOUT off": (
        octets("09000000 00000000 28000000 · 00000000 00000000 00000000 04000000 02000000 · 20z"),
        [("dmabuf_scanout", 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, None)],
        [],
    ),
    "DMABUF_UPDATE": (
        octets("0a000000 00000000 14000000 · 00000000 01000000 02000000 03000000 04000000"),
        [("dmabuf_update", 0, 1, 2, 3, 4)],
        [octets("0a000000 04000000 00000000")],
    ),
    "GET_EDID": (octets("0b000000 00000000 04000000 · 01000000"), [], [EDID_OF_1]),
    "DMABUF_SCANOUT2 off": (
        octets("0c000000 00000000 30000000 · 01000000 36z · ffffffffffffff00"),
        [("dmabuf_scanout", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFFFFFFFFFFFFFF, None)],
        [],
    ),
}


def places(length: int) -> list[int]:
    """Return where a message is split: everywhere in its first and last bytes, here and there in between."""
    return sorted({*range(1, min(length, 80)), *range(80, length, 1021), *range(max(1, length - 20), length)})


@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_means_the_same_at_every_split(name):
    message, calls, replies = MESSAGES[name]
    for split in [0, *places(len(message))]:
        session = Session()
        session.feed(SCANOUT)
        session.feed(message[:split])
        assert session.receiver.partial == (split > 0)
        if not message.startswith(octets("08000000")) or split < 32:
            assert session.calls == [("scanout", 0, 4, 2)] and not session.replies(), split
        session.feed(message[split:])
        assert session.calls[1:] == calls, split
        assert session.replies() == replies, split
        assert not session.receiver.partial
        assert session.receiver.violations == []


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("most", [1, 7, 4096])
def test_what_follows_a_message_is_the_next_one(name, most):
    message, calls, replies = MESSAGES[name]
    session = Session()
    session.feed(SCANOUT + message + SCANOUT + message, most=most)
    assert session.calls == [("scanout", 0, 4, 2), *calls] * 2
    assert session.replies() == replies * 2


@pytest.mark.parametrize("name", MESSAGES)
def test_a_truncated_message_does_nothing_but_is_told(name):
    message, _, _ = MESSAGES[name]
    for length in places(len(message)):
        session = Session()
        session.feed(SCANOUT + message[:length])
        assert session.calls == [("scanout", 0, 4, 2)]
        assert session.replies() == []
        assert session.receiver.partial
        session.receiver.open()
        assert not session.receiver.partial
        session.feed(SCANOUT)
        assert session.calls[-1] == ("scanout", 0, 4, 2)


@pytest.mark.parametrize("name", [name for name in MESSAGES if "UPDATE" not in name or "_UPDATE" in name])
@pytest.mark.parametrize("lie", [-1, 1, 4, 1 << 31])
def test_a_payload_of_another_size_breaks_the_stream(name, lie):
    message, _, _ = MESSAGES[name]
    size = int.from_bytes(message[8:12], "little") + lie
    if size < 0:
        return
    session = Session()
    with pytest.raises(ProtocolError) as error:
        session.feed(message[:8] + size.to_bytes(4, "little") + message[12:])
    assert error.value.request == name.split()[0]
    assert error.value.got == str(size)
    assert not session.calls


@pytest.mark.parametrize(
    "message",
    [
        "08000000 00000000 13000000 · 00000000 00000000 00000000 00000000 00000000",
        "08000000 00000000 23000000 · 00000000 00000000 00000000 02000000 02000000",
        "08000000 00000000 25000000 · 00000000 00000000 00000000 02000000 02000000",
        "08000000 00000000 14000000 · 00000000 00000000 00000000 00800000 00800000",  # 4 * w * h is 2 ** 32
        "08000000 00000000 14000000 · 00000000 00000000 00000000 00000080 00000080",
        "08000000 00000000 14000100 · 00000000 00000000 00000000 01400000 01000000",  # 16385 columns
    ],
)
def test_an_update_whose_pixels_do_not_fit_its_size_breaks_the_stream(message):
    session = Session()
    with pytest.raises(ProtocolError, match="UPDATE"):
        session.feed(octets(message), fds=[7])
    session.receiver.close()
    assert session.closed == [7]


@pytest.mark.parametrize("flags", ["00000000", "04000000", "05000000", "36000000", "3d7f0000", "ffffffff"])
def test_the_flags_of_a_request_mean_nothing(flags):
    session = Session()
    for message, _, _ in MESSAGES.values():
        session.feed(message[:4] + octets(flags) + message[8:])
    assert len(session.replies()) == 4
    assert {entry.flags for entry in session.receiver.log} == {int.from_bytes(octets(flags), "little")}


# Bytes that are skipped


@pytest.mark.parametrize("number", ["00000000", "0d000000", "63000000", "ffffffff"])
@pytest.mark.parametrize("size", [0, 1, 13, 70_000, 200_000])
def test_unknown_requests_are_skipped_and_noted(number, size):
    for most in (1 << 30, 4097):
        session = Session()
        junk = octets(number) + bytes(4) + size.to_bytes(4, "little") + b"\x07" * size
        session.feed(SCANOUT + junk + UPDATE, most=most)
        assert session.calls == [("scanout", 0, 4, 2), ("paint", 0, 1, 0, 2, 2, PIXELS)]
        assert len(session.receiver.violations) == 1 and f"of {size} bytes" in session.receiver.violations[0]


def test_more_is_not_skipped():
    session = Session()
    with pytest.raises(ProtocolError, match="67108865"):
        session.feed(octets("63000000 00000000 01000004"))


def test_a_flood_of_unknown_requests_takes_no_room():
    session = Session()
    for number in range(100, 5000):
        session.feed(number.to_bytes(4, "little") + bytes(8))
    assert session.receiver.violation_count == 4900
    assert len(session.receiver.violations) == 256
    assert len(session.receiver.counts) == 0


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("07000000 00000000 0c000000 · 10000000 04000000 02000000", "scanout 16"),
        ("07000000 00000000 0c000000 · ffffffff 04000000 02000000", "scanout 4294967295"),
        ("04000000 00000000 0c000000 · 10000000 00000000 00000000", "scanout 16"),
        ("05000000 00000000 0c000000 · 10000000 00000000 00000000", "scanout 16"),
        ("06000000 00000000 14400000 · 10000000 00000000 00000000 00000000 00000000 16384z", "scanout 16"),
        ("08000000 00000000 18000000 · 10000000 00000000 00000000 01000000 01000000 · 4z", "scanout 16"),
        ("08000000 00000000 18000000 · 01000000 00000000 00000000 01000000 01000000 · 4z", "not enabled"),
        ("08000000 00000000 18000000 · 00000000 04000000 00000000 01000000 01000000 · 4z", "1x1 at 4,0 outside"),
        ("08000000 00000000 18000000 · 00000000 00000000 ffffffff 01000000 01000000 · 4z", "1x1 at 0,4294967295"),
        ("09000000 00000000 28000000 · 10000000 36z", "scanout 16"),
    ],
)
def test_what_lies_outside_is_noted_and_skipped(message, why):
    session = Session()
    session.feed(SCANOUT + octets(message))
    assert session.calls == [("scanout", 0, 4, 2)]
    assert len(session.receiver.violations) == 1 and why in session.receiver.violations[0]
    session.feed(UPDATE)
    assert session.calls[1:] == [("paint", 0, 1, 0, 2, 2, PIXELS)]


@pytest.mark.parametrize("size", ["01400000 01000000", "40000000 00000000", "00000000 01000000", "ffffffff ffffffff"])
def test_a_scanout_that_cannot_be_is_off(size):
    session = Session()
    session.feed(SCANOUT + octets(f"07000000 00000000 0c000000 · 00000000 {size}"))
    assert session.calls == [("scanout", 0, 4, 2), ("scanout", 0, 0, 0)]
    session.feed(UPDATE)
    assert len(session.calls) == 2 and len(session.receiver.violations) == 2


def test_an_update_over_the_edge_is_given_whole_and_noted():
    session = Session()
    session.feed(SCANOUT + octets("08000000 00000000 20000000 · 00000000 03000000 01000000 01000000 03000000 · 12z"))
    assert session.calls[1:] == [("paint", 0, 3, 1, 1, 3, bytes(12))]
    assert session.receiver.violations == ["UPDATE 1x3 at 3,1 outside a scanout of 4x2"]


def test_all_scanouts_together_have_at_most_so_many_pixels():
    session = Session(max_pixels=20)
    session.feed(SCANOUT)  # 8 of 20
    session.feed(octets("07000000 00000000 0c000000 · 01000000 04000000 03000000"))  # 12 more: just enough
    session.feed(octets("07000000 00000000 0c000000 · 02000000 01000000 01000000"))  # 1 more
    assert session.calls == [("scanout", 0, 4, 2), ("scanout", 1, 4, 3), ("scanout", 2, 0, 0)]
    assert session.receiver.violations == ["SCANOUT 1x1: more than 20 pixels in all"]
    session.feed(octets("07000000 00000000 0c000000 · 01000000 01000000 01000000"))  # its own do not count
    session.feed(octets("07000000 00000000 0c000000 · 02000000 01000000 0b000000"))
    assert session.calls[3:] == [("scanout", 1, 1, 1), ("scanout", 2, 1, 11)]
    assert session.sink.kept == [12, 0, 0, 11, 0]


def test_fewer_outputs_than_the_protocol_allows():
    session = Session(outputs=1)
    session.feed(octets("07000000 00000000 0c000000 · 01000000 04000000 02000000"))
    session.feed(octets("0b000000 00000000 04000000 · 01000000"))
    session.feed(octets("0a000000 00000000 14000000 · 01000000 16z"))
    assert session.calls == []
    assert len(session.receiver.violations) == 3
    invalid = octets("0b000000 04000000 20040000 · 02120000 1052z")
    assert session.replies() == [invalid, octets("0a000000 04000000 00000000")], "whoever asks is answered"


# Pixels


def test_many_pixels_are_read_where_they_belong():
    session = Session()
    session.feed(octets("07000000 00000000 0c000000 · 00000000 00010000 00010000"))  # 256 x 256
    pixels = os.urandom(4 * 256 * 256)
    update = octets("08000000 00000000 14000400 · 00000000 00000000 00000000 00010000 00010000")
    session.feed(update + pixels[:5])
    assert len(session.receiver.buffer()) == len(pixels) - 5, "never a byte of the next message"
    session.feed(pixels[5:-1])
    assert len(session.calls) == 1, "half a picture is nobody's business"
    session.feed(pixels[-1:] + SCANOUT)
    assert session.calls[1:] == [("paint", 0, 0, 0, 256, 256, pixels), ("scanout", 0, 4, 2)]


@pytest.mark.parametrize("most", [1, 1000, 40_000, 1 << 20])
def test_pixels_that_nobody_wants(most):
    session = Session()
    session.sink.wants_pixels = False
    session.feed(octets("07000000 00000000 0c000000 · 00000000 80000000 80000000"))
    update = octets("08000000 00000000 14000100 · 00000000 00000000 00000000 80000000 80000000") + bytes(65536)
    session.feed(update + SCANOUT, most=most)
    assert session.calls[1:] in (
        [("paint", 0, 0, 0, 128, 128, None), ("scanout", 0, 4, 2)],
        [("paint", 0, 0, 0, 128, 128, bytes(65536)), ("scanout", 0, 4, 2)],
    )


def test_a_new_socket_begins_with_nothing_enabled():
    session = Session()
    session.feed(SCANOUT + UPDATE[:40])
    session.receiver.open()
    assert session.calls == [("scanout", 0, 4, 2), ("scanout", 0, 0, 0)]
    session.feed(UPDATE)
    assert session.receiver.violations == ["UPDATE of scanout 0, which is not enabled"]
    session.receiver.open()
    assert len(session.calls) == 2, "told once"


# Answers


def test_display_info_has_all_outputs_that_are_on():
    session = Session(modes=[(0, 0), (640, 480)])
    session.receiver.modes[0] = (16384, 1)
    session.feed(octets("03000000 00000000 00000000"))
    (reply,) = session.replies()
    assert len(reply) == 12 + 408
    assert reply[36:60] == octets("00000000 00000000 00400000 01000000 01000000 00000000")
    assert reply[60:84] == octets("00000000 00000000 80020000 e0010000 01000000 00000000")
    assert reply[84:] == bytes(336)


@pytest.mark.parametrize(("features", "mask", "noted"), [(3, 3, 0), (1, 3, 1), (0, 0, 0), (3, 1 << 40, 1)])
def test_features_that_were_not_offered_are_noted(features, mask, noted):
    session = Session(features=features)
    session.feed(octets("02000000 00000000 08000000") + mask.to_bytes(8, "little"))
    assert len(session.receiver.violations) == noted


def test_negotiation_is_advice():
    session = Session(features=0)
    session.feed(MESSAGES["GET_EDID"][0] + MESSAGES["DMABUF_SCANOUT2 off"][0])
    assert session.replies() == [EDID_OF_1]
    assert session.calls == MESSAGES["DMABUF_SCANOUT2 off"][1]
    assert len(session.receiver.violations) == 2


QUESTION = octets("01000000 00000000 00000000")
ANSWER = octets("01000000 04000000 08000000 · 0300000000000000")
DRAWN = octets("0a000000 04000000 00000000")


def drawn(scanout_id: int) -> bytes:
    """Return a DMABUF_UPDATE of 4x2."""
    return octets(f"0a000000 00000000 14000000 · {scanout_id:02x}000000 00000000 00000000 04000000 02000000")


def test_the_sink_may_hold_the_answer_to_dmabuf_update_and_all_behind_it_wait():
    session = Session()
    session.sink.answers_at_once = False
    session.feed(QUESTION + drawn(0) + QUESTION)
    assert session.replies() == [ANSWER]
    assert session.receiver.replies_waiting == 2
    session.receiver.release(1)
    assert session.replies() == []
    session.receiver.release(0)
    assert session.replies() == [DRAWN, ANSWER]
    assert session.receiver.replies_waiting == 0


def test_answers_of_several_outputs_leave_in_the_order_of_the_questions():
    session = Session()
    session.sink.answers_at_once = False
    session.feed(drawn(0) + drawn(1) + drawn(0))
    session.sink.answers_at_once = True
    session.feed(drawn(2))
    session.receiver.release(1)
    assert session.replies() == []
    session.receiver.release(0)
    assert session.replies() == [DRAWN] * 4


def test_what_was_held_is_forgotten_with_its_socket():
    session = Session()
    session.sink.answers_at_once = False
    session.feed(drawn(0))
    session.receiver.open()
    session.receiver.release(0)
    assert session.replies() == []
    session.feed(QUESTION)
    assert session.replies() == [ANSWER]


# Fds


DMABUF = octets(
    "09000000 00000000 28000000 · 00000000 01000000 02000000 03000000 04000000 05000000 06000000 14000000 00000000"
    "58523234"
)
SHOWN = ("dmabuf_scanout", 0, 1, 2, 3, 4, 5, 6, 20, 0, 0x34325258, 0)


def test_a_sink_that_takes_a_buffer_owns_its_fd():
    session = Session()
    session.feed(DMABUF, fds=[9])
    assert session.calls == [(*SHOWN, 9)]
    assert session.closed == []


def test_a_sink_that_refuses_a_buffer_does_not():
    session = Session()
    session.sink.refuses = "it is green"
    session.feed(DMABUF, fds=[9])
    assert session.closed == [9]
    assert session.receiver.violations == ["DMABUF_SCANOUT of scanout 0: it is green"]
    session.feed(UPDATE)
    assert "not enabled" in session.receiver.violations[1]


@pytest.mark.parametrize("lie", ["00000000 00000000", "01400000 01000000", "ffffffff ffffffff"])
def test_a_buffer_of_an_impossible_size_is_none(lie):
    session = Session(max_pixels=100)
    message = bytearray(DMABUF)
    message[24:32] = octets(lie)
    message[32:40] = octets("01400000 01400000")
    session.feed(bytes(message), fds=[9])
    assert session.calls[0][-1] is None
    assert session.closed == [9]


def test_a_second_fd_is_noted_and_closed():
    session = Session()
    session.feed(DMABUF, fds=[9, 10, 11])
    assert session.calls == [(*SHOWN, 9)]
    assert session.closed == [10, 11]
    assert session.receiver.violations == ["DMABUF_SCANOUT with 3 fds"]


@pytest.mark.parametrize("name", [name for name in MESSAGES if "DMABUF_SCANOUT" not in name])
def test_an_fd_that_a_message_does_not_take_is_noted_and_closed(name):
    session = Session()
    session.feed(SCANOUT)
    message, calls, _ = MESSAGES[name]
    session.feed(message, fds=[9])
    assert session.calls[1:] == calls
    assert session.closed == [9]
    assert len(session.receiver.violations) == 1
    session.feed(MESSAGES["DMABUF_SCANOUT off"][0])
    assert session.calls[-1][-1] is None, "it is not left over for the next one"


def test_fds_of_an_unknown_request_and_amid_what_is_skipped_are_closed():
    session = Session()
    session.feed(octets("63000000 00000000 80380100"), fds=[9])
    session.feed(bytes(1000), fds=[10])
    session.feed(bytes(79_000) + SCANOUT)
    assert session.closed == [9, 10]
    assert session.calls == [("scanout", 0, 4, 2)]


def test_fds_amid_pixels_are_closed():
    session = Session()
    session.feed(octets("07000000 00000000 0c000000 · 00000000 00010000 00010000"))
    session.feed(octets("08000000 00000000 14000400 · 00000000 00000000 00000000 00010000 00010000"))
    session.feed(bytes(1000), fds=[9])
    session.feed(bytes(261_143), fds=[10])
    session.feed(b"\0", fds=[11])  # of the pixels that go through the chunk
    assert session.closed == [9, 10, 11]
    assert session.receiver.violation_count == 3
    assert session.calls[1:] == [("paint", 0, 0, 0, 256, 256, bytes(262_144))]


def test_an_fd_may_come_with_any_part_of_its_message():
    for split in range(len(DMABUF)):
        session = Session()
        if split:
            session.feed(DMABUF[:split])
        session.feed(DMABUF[split:], fds=[9])
        assert session.calls == [(*SHOWN, 9)], split
        assert not session.receiver.violations


def test_where_messages_are_joined_the_fd_belongs_to_the_one_that_takes_it():
    session = Session()
    session.feed(SCANOUT + DMABUF + drawn(0), fds=[9])
    assert session.calls == [("scanout", 0, 4, 2), (*SHOWN, 9), ("dmabuf_update", 0, 0, 0, 4, 2)]
    session = Session()
    session.feed(DMABUF)  # off
    session.feed(DMABUF, fds=[9])  # on
    session.feed(DMABUF + QUESTION[:5], fds=[])
    assert [call[-1] for call in session.calls] == [None, 9, None]


def test_fds_of_messages_that_never_end_are_bounded_and_closed():
    session = Session()
    for number in range(60):
        session.feed(DMABUF[number % 40 : number % 40 + 1] if number < 40 else b"", fds=[number])
    assert len(session.closed) == 40 - 32
    session.receiver.close()
    assert sorted(session.closed) == list(range(40))


def test_closing_gives_back_what_was_not_taken():
    session = Session()
    session.feed(DMABUF[:50], fds=[9])
    session.receiver.open()
    assert session.closed == [9]


# The log


def test_everything_is_observed_without_pixels():
    session = Session()
    session.feed(SCANOUT + UPDATE + QUESTION + octets("63000000 07000000 02000000 0102"))
    assert session.seen == [
        (False, 7, 0, SCANOUT[12:], 12, 0),
        (False, 8, 5, UPDATE[12:32], 36, 0),
        (False, 1, 0, b"", 0, 0),
        (True, 1, 4, ANSWER[12:], 8, 0),
        (False, 0x63, 7, b"", 2, 0),
    ]
    assert [(entry.req, entry.size) for entry in session.receiver.log] == [(7, 12), (8, 36), (1, 0)]


def test_the_log_is_as_long_as_one_likes():
    session = Session(log_length=3)
    session.feed(QUESTION * 10)
    assert len(session.receiver.log) == 3
    assert session.receiver.counts[1] == 10
