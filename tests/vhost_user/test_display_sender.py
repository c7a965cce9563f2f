"""The back-end's end of the GPU socket: bytes, questions, bands, congestion, fds."""

import random
import struct

import pytest

from outboard.errors import LocalError, ProtocolError
from outboard.spec.vhost_user_gpu import DmabufScanout, ProtocolFeature, Req
from outboard.vhost_user.display_sender import DisplaySender
from tests.vectors import worked_example as example
from tests.vectors.worked_example import octets
from tests.vhost_user.test_outbox import Wire

BAND = 1 << 20  # pixel bytes of one UPDATE, at most
STAGING = 256 << 10  # bytes held for a front-end that does not read, at most
BUFFER = DmabufScanout(0, 1, 2, 3, 4, 5, 6, 7, 1, 0x34325258)


class Surface:
    """Tight pixels; a rectangle of full rows is in one piece when `direct`."""

    def __init__(self, width, height, seed=1, direct=True):
        self.width, self.height, self.direct = width, height, direct
        self.pixels = bytearray(random.Random(seed).randbytes(4 * width * height))

    def contiguous(self, x, y, width, rows):
        if not self.direct or (x, width) != (0, self.width):
            return None
        return memoryview(self.pixels)[4 * y * width : 4 * (y + rows) * width]

    def gather(self, into, start, x, y, width, rows):
        into[start : start + 4 * width * rows] = self.cut(x, y, width, rows)

    def cut(self, x, y, width, rows):
        pitch = 4 * self.width
        return b"".join(self.pixels[at * pitch + 4 * x : at * pitch + 4 * (x + width)] for at in range(y, y + rows))


class Peer(Wire):
    """The front-end: takes the stream as it comes and cuts it into messages."""

    def __init__(self, sender):
        super().__init__(sender.outbox)
        self.sender = sender

    def take(self, most):
        done = super().take(most)
        self.sender.refill()
        return done

    def messages(self):
        """Take all, return (request, flags, payload) of every message since the last call."""
        self.drain()
        found, data = [], bytes(self.stream)
        while data:
            request, flags, size = struct.unpack_from("=III", data)
            assert len(data) >= 12 + size, "the stream ends inside a message"
            found.append((request, flags, data[12 : 12 + size]))
            data = data[12 + size :]
        self.stream.clear()
        return found


def fresh():
    """Return a sender on a new socket, its peer, all yet unsaid."""
    sender = DisplaySender()
    assert sender.open() == []
    return sender, Peer(sender)


def negotiated(features=3):
    sender, peer = fresh()
    peer.drain()
    sender.receive(struct.pack("=IIIQ", 1, 4, 8, features))
    peer.drain()
    peer.stream.clear()
    return sender, peer


def paint(messages, width, height):
    """Return the picture that a series of UPDATEs leaves, and their number; every one lies inside."""
    picture = bytearray(4 * width * height)
    for request, _, payload in messages:
        assert request == 8
        _, x, y, w, h = struct.unpack_from("=IIIII", payload)
        pixels = payload[20:]
        assert len(pixels) == 4 * w * h > 0
        assert x + w <= width
        assert y + h <= height
        for row in range(h):
            at = 4 * ((y + row) * width + x)
            picture[at : at + 4 * w] = pixels[4 * w * row : 4 * w * (row + 1)]
    return bytes(picture)


# Negotiation and questions


def test_the_first_message_asks_for_the_protocol_features():
    _, peer = fresh()
    peer.drain()
    assert peer.stream == octets(example.GPU_GET_PROTOCOL_FEATURES)


@pytest.mark.parametrize(
    ("reply", "answer", "features"),
    [
        (example.GPU_PROTOCOL_FEATURES_NONE, example.GPU_SET_PROTOCOL_FEATURES_NONE, 0),
        (example.GPU_PROTOCOL_FEATURES_BOTH, example.GPU_SET_PROTOCOL_FEATURES_BOTH, 3),
        ("01000000 04000000 08000000 ffffffffffffffff", example.GPU_SET_PROTOCOL_FEATURES_BOTH, 3),
        ("01000000 04000000 08000000 0100000000000080", "02000000 00000000 08000000 0100000000000000", 1),
    ],
)
def test_what_is_offered_and_known_is_accepted(reply, answer, features):
    sender, peer = fresh()
    peer.drain()
    peer.stream.clear()
    assert sender.features is None
    (got,) = sender.receive(octets(reply))
    assert got.req == Req.GET_PROTOCOL_FEATURES
    peer.drain()
    assert peer.stream == octets(answer)
    assert sender.features == features


@pytest.mark.parametrize("cut", range(21))
def test_a_reply_may_come_in_pieces(cut):
    sender, peer = fresh()
    peer.drain()
    reply = octets(example.GPU_PROTOCOL_FEATURES_BOTH)
    got = sender.receive(reply[:cut]) + sender.receive(reply[cut:])
    assert [one.payload for one in got] == [bytes.fromhex("0300000000000000")]


def test_one_question_is_open_at_a_time():
    sender, peer = fresh()
    sender.ask(Req.GET_DISPLAY_INFO)
    sender.edid(1)
    sender.scanout(0, 4, 2)
    assert [request for request, _, _ in peer.messages()] == [1, 7]
    sender.receive(octets(example.GPU_PROTOCOL_FEATURES_BOTH))
    assert [request for request, _, _ in peer.messages()] == [2, 3]
    sender.receive(struct.pack("=III", 3, 4, 408) + bytes(408))
    assert peer.messages() == [(11, 0, bytes.fromhex("01000000"))]
    (reply,) = sender.receive(struct.pack("=III", 11, 4, 1056) + bytes(1056))
    assert reply.req == Req.GET_EDID
    assert peer.messages() == []


def test_after_giving_up_another_question_is_asked():
    sender, peer = negotiated()
    sender.ask(Req.GET_DISPLAY_INFO)
    assert [request for request, _, _ in peer.messages()] == [3]
    sender.give_up()
    sender.edid(0)
    assert [request for request, _, _ in peer.messages()] == [11]


def test_a_question_that_waits_for_the_protocol_features_is_never_sent_when_given_up():
    sender = DisplaySender()
    peer = Peer(sender)
    sender.open()
    sender.ask(Req.GET_DISPLAY_INFO)
    sender.give_up()
    sender.receive(struct.pack("=IIIQ", 1, 4, 8, 3))
    assert [request for request, _, _ in peer.messages()] == [1, 2]
    assert sender.features == 3


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(struct.pack("=III", 3, 0, 408), id="no reply flag"),
        pytest.param(struct.pack("=III", 3, 0xFFFFFFFB, 408), id="all flags but reply"),
        pytest.param(struct.pack("=III", 11, 4, 1056), id="another id"),
        pytest.param(struct.pack("=III", 3, 4, 407), id="a byte too short"),
        pytest.param(struct.pack("=III", 3, 4, 409), id="a byte too long"),
        pytest.param(struct.pack("=III", 3, 4, 0), id="empty"),
        pytest.param(struct.pack("=III", 3, 4, 0xFFFFFFFF), id="endless"),
        pytest.param(struct.pack("=III", 0, 4, 0), id="id 0"),
    ],
)
def test_a_wrong_reply_breaks_the_session(reply):
    sender, _ = negotiated()
    sender.ask(Req.GET_DISPLAY_INFO)
    with pytest.raises(ProtocolError, match="GET_DISPLAY_INFO"):
        sender.receive(reply)
    with pytest.raises(ProtocolError):
        sender.receive(struct.pack("=III", 3, 4, 408))


def test_a_reply_that_nobody_asked_for_breaks_the_session():
    sender, _ = negotiated()
    with pytest.raises(ProtocolError, match="no question"):
        sender.receive(octets(example.GPU_PROTOCOL_FEATURES_BOTH))


def test_a_reply_answers_once():
    sender, _ = fresh()
    stream = octets(example.GPU_PROTOCOL_FEATURES_BOTH) * 2
    with pytest.raises(ProtocolError, match="no question"):
        while stream:
            wanted = sender.wanted
            sender.receive(stream[:wanted])
            stream = stream[wanted:]
    assert len(stream) == 20


def test_other_flags_of_a_reply_mean_nothing():
    sender, _ = fresh()
    (reply,) = sender.receive(struct.pack("=IIIQ", 1, 0xFFFFFFFF, 8, 0))
    assert reply.payload == bytes(8)


# Messages


def test_messages_are_the_document_s_bytes():
    sender, peer = negotiated()
    image = bytes(range(256)) * 64
    sender.scanout(0, 4, 2)
    sender.scanout(0, 0, 0)
    sender.cursor_pos(0, 0xFFFFFFF6, 20)
    sender.cursor_pos_hide(1, 0, 0)
    sender.cursor_update(0, 5, 6, 7, 8, image)
    sender.edid(1)
    peer.drain()
    assert bytes(peer.stream) == (
        octets(example.GPU_SCANOUT)
        + octets(example.GPU_SCANOUT_OFF)
        + octets(example.GPU_CURSOR_POS)
        + octets(example.GPU_CURSOR_POS_HIDE)
        + octets(example.GPU_CURSOR_UPDATE_HEAD)
        + image
        + octets(example.GPU_GET_EDID)
    )


@pytest.mark.parametrize("direct", [False, True])
def test_a_small_update_is_one_message(direct):
    sender, peer = negotiated()
    surface = Surface(4, 2, direct=direct)
    surface.pixels[:] = bytes(range(32))
    sender.update(0, surface, 1, 0, 2, 2)
    sender.update(0, surface, 0, 0, 4, 2)
    peer.drain()
    assert peer.stream == octets(example.GPU_UPDATE) + octets(example.GPU_UPDATE_FULL)


def test_without_a_socket_everything_is_dropped_and_nothing_congests():
    sender = DisplaySender()
    surface = Surface(1024, 1024)
    for _ in range(3):
        sender.scanout(0, 1024, 1024)
        sender.update(0, surface, 0, 0, 1024, 1024)
        sender.update(0, surface, 0, 0, 8, 8)
        sender.cursor_pos(0, 1, 1)
        sender.cursor_update(0, 1, 1, 0, 0, bytes(16384))
    assert sender.outbox.empty
    assert not sender.congested


@pytest.mark.parametrize(
    ("width", "height", "rect"),
    [
        (1920, 1080, (0, 0, 1920, 1080)),
        (1920, 1080, (0, 7, 1920, 1000)),
        (1920, 1080, (1, 0, 1919, 1080)),
        (3000, 400, (2900, 3, 100, 390)),
        (16384, 20, (0, 0, 16384, 20)),
        (16384, 20, (1, 1, 16383, 19)),
        (1, 16384, (0, 0, 1, 16384)),
        (5, 16384, (2, 0, 1, 16384)),
        (16384, 1, (0, 0, 16384, 1)),
    ],
)
@pytest.mark.parametrize("most", [1 << 30, 100_003])
def test_a_large_update_leaves_in_bands_that_make_the_picture(width, height, rect, most):
    sender, peer = negotiated()
    surface = Surface(width, height)
    sender.update(3, surface, *rect)
    sender.cursor_pos(3, 1, 1)
    while not sender.outbox.empty:
        peer.take(most)
    *updates, last = peer.messages()
    assert last[0] == 4
    x, y, w, h = rect
    expected = bytearray(4 * width * height)
    for row in range(y, y + h):
        at = 4 * (row * width + x)
        expected[at : at + 4 * w] = surface.pixels[at : at + 4 * w]
    assert paint(updates, width, height) == expected
    assert all(struct.unpack_from("=I", payload) == (3,) for _, _, payload in updates)
    assert max(len(payload) for _, _, payload in updates) <= BAND + 20
    assert sum(len(payload) - 20 for _, _, payload in updates) == 4 * w * h
    assert not sender.congested


def test_a_picture_too_large_to_stage_is_not_copied():
    sender, peer = negotiated()
    surface = Surface(1024, 1024)
    sender.update(0, surface, 0, 0, 1024, 1024)
    assert sender.outbox.borrowed
    assert sender.congested
    surface.pixels[-4:] = b"late"
    assert paint(peer.messages(), 1024, 1024)[-4:] == b"late"
    assert not sender.congested


def test_a_narrow_rectangle_is_gathered_and_may_change_at_once():
    sender, peer = negotiated()
    surface = Surface(256, 128)
    before = surface.cut(3, 5, 64, 64)
    sender.update(0, surface, 3, 5, 64, 64)
    surface.pixels[:] = bytes(len(surface.pixels))
    assert not sender.outbox.borrowed
    ((_, _, payload),) = peer.messages()
    assert payload[20:] == before


# A slow front-end


def test_a_peer_that_never_reads_costs_no_more_than_the_staging():
    sender, _ = negotiated()
    surface = Surface(300, 200)
    shown = 0
    while not sender.congested:
        sender.update(0, surface, 1, 1, 64, 64)
        shown += 1
    assert shown * (64 * 64 * 4 + 32) <= STAGING
    assert STAGING - sender.outbox.room() <= STAGING


def test_what_is_shown_against_advice_still_arrives_in_order():
    sender, peer = negotiated()
    surface = Surface(512, 512)
    for turn in range(20):
        sender.update(0, surface, 0, 0, 512, 512)
        sender.cursor_pos(0, turn, turn)
        sender.scanout(0, turn, turn)
    found = peer.messages()
    assert [request for request, _, _ in found if request != 8] == [4, 7] * 20
    numbers = [struct.unpack("=III", payload)[1] for request, _, payload in found if request != 8]
    assert numbers == [turn for turn in range(20) for _ in "47"]
    full = [payload for request, _, payload in found if request == 8]
    assert sum(len(payload) - 20 for payload in full) == 20 * 512 * 512 * 4


@pytest.mark.parametrize("taken", [0, 1, 12, 31, 32, 33, 5000, 1_000_000, 1_048_600])
def test_settling_keeps_what_has_begun_as_it_was_and_drops_the_rest(taken):
    sender, peer = negotiated()
    surface = Surface(600, 1000)
    rest = Surface(2000, 1500, direct=False)
    sender.update(0, surface, 0, 0, 600, 1000)
    sender.update(1, rest, 0, 0, 1999, 1500)
    sender.scanout(2, 9, 9)
    before = bytes(surface.pixels)
    left = taken
    while left:
        left -= peer.take(left)
    sender.settle()
    assert not sender.outbox.borrowed
    surface.pixels[:] = bytes(len(surface.pixels))
    rest.pixels[:] = bytes(len(rest.pixels))
    found = peer.messages()
    assert all(request == 8 for request, _, _ in found)
    first = [payload for _, _, payload in found if payload[:4] == bytes(4)]
    assert b"".join(payload[20:] for payload in first) == before[: sum(len(payload) - 20 for payload in first)]
    assert len(first) == 1 + (taken > BAND)
    sender.scanout(0, 4, 2)
    assert peer.messages() == [(7, 0, octets(example.GPU_SCANOUT)[12:])]


def test_a_new_socket_starts_from_nothing():
    sender, peer = negotiated()
    sender.update(0, Surface(1024, 1024), 0, 0, 1024, 1024)
    sender.ask(Req.GET_DISPLAY_INFO)
    peer.take(100)
    assert sender.open() == []
    assert not sender.congested
    peer = Peer(sender)
    assert peer.messages() == [(1, 0, b"")]
    sender.receive(octets(example.GPU_PROTOCOL_FEATURES_NONE))
    assert sender.features == 0


# Buffers shared by fd


def test_buffers_are_announced_with_their_fd():
    sender, peer = negotiated()
    sender.dmabuf_scanout(BUFFER, 0, 50)
    sender.dmabuf_scanout(DmabufScanout(0, 1, 2, 3, 4, 5, 6, 7, 0, 0x34324241), 0x00FFFFFFFFFFFFFF, 51)
    sender.dmabuf_scanout(DmabufScanout(), 0, None)
    sender.dmabuf_update(0, 1, 2, 3, 4)
    peer.drain()
    first, second = octets(example.GPU_DMABUF_SCANOUT), octets(example.GPU_DMABUF_SCANOUT2)
    off = bytes.fromhex("09000000 00000000 28000000") + bytes(40)
    assert peer.stream == first + second + off + octets(example.GPU_DMABUF_UPDATE)
    assert peer.fds == [(0, 50), (len(first), 51)]
    assert peer.to_close == [50, 51]
    (done,) = sender.receive(octets(example.GPU_DMABUF_UPDATE_DONE))
    assert done.req == Req.DMABUF_UPDATE


@pytest.mark.parametrize("features", [0, 1])
def test_a_modifier_needs_the_front_end_s_consent_and_the_fd_stays_the_caller_s(features):
    sender, peer = negotiated(features)
    with pytest.raises(LocalError, match="DMABUF2"):
        sender.dmabuf_scanout(BUFFER, 5, 50)
    assert peer.messages() == []
    assert sender.close() == []


def busy(sender):
    """Leave no room in the outbox, so that messages wait."""
    sender.update(0, Surface(1000, 1000, direct=False), 0, 0, 999, 1000)
    assert sender.congested


def sent(sender, peer):
    peer.drain()
    return peer.to_close


CHOICES = {
    "sent": sent,
    "sent bytewise": lambda sender, peer: [peer.take(1) for _ in range(53)] and peer.to_close + sender.close(),
    "closed": lambda sender, peer: sender.close(),
    "replaced": lambda sender, peer: sender.open(),
    "settled and closed": lambda sender, peer: [sender.settle()] and sender.close(),
    "settled and sent": lambda sender, peer: [sender.settle(), peer.drain()] and peer.to_close + sender.close(),
    "waiting, sent": lambda sender, peer: sent(sender, peer),
}


@pytest.mark.parametrize("waiting", [False, True])
@pytest.mark.parametrize("end", CHOICES)
def test_every_fd_is_closed_exactly_once(end, waiting):
    sender, peer = negotiated()
    if waiting:
        busy(sender)
    for fd in (50, 51, 52):
        sender.dmabuf_scanout(BUFFER, 0, fd)
    closed = CHOICES[end](sender, peer)
    assert sorted(closed) == [50, 51, 52]
    assert sender.close() == []
    assert sender.outbox.clear() == []


def test_the_fd_of_a_message_that_is_dropped_for_want_of_a_socket_is_handed_back():
    sender = DisplaySender()
    sender.dmabuf_scanout(BUFFER, 0, 50)
    assert sender.close() == [50]
    assert sender.close() == []


def test_features_are_forgotten_with_the_socket():
    sender, _ = negotiated(3)
    assert sender.features == ProtocolFeature.EDID | ProtocolFeature.DMABUF2
    sender.close()
    assert sender.features is None
    assert not sender.connected
