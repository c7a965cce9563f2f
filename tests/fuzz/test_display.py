"""Random answers of a display: the sender only ever raises ProtocolError, and the guest goes on whatever comes."""

import struct

import pytest

from outboard.backend import displays
from outboard.errors import ProtocolError
from outboard.spec.vhost_user_gpu import DmabufScanout, Req
from outboard.vhost_user.display_sender import DisplaySender
from tests.fuzz.front import SIZE, Front, drain, message
from tests.vhost_user.test_display_sender import Peer, Surface, paint

SIZES = {1: 8, 3: 408, 10: 0, 11: 1056}
STAGED = 256 << 10
REST = 0x30000  # from here on guest memory holds neither rings nor requests nor answers
SURFACE = Surface(300, 200)


def any_answer(rng, question):
    """Return an answer to `question`, or something like it."""
    number = question if rng.random() < 0.8 else rng.randrange(14)
    size = SIZES.get(number, 8)
    flags = rng.choice([4, 4, 4, 4, 4, 5, 0, 0xFFFFFFFF])
    if rng.random() < 0.05:
        size = rng.choice([0, size - 1 & 0xFFFFFFFF, size + 1, 1 << 31, 0xFFFFFFFF])
    payload = (
        rng.randbytes(min(size, 2000))
        if rng.random() < 0.7
        else struct.pack("<I", 0x1101).ljust(min(size, 2000), b"\0")
    )
    data = struct.pack("=III", number, flags, size) + payload
    return data if rng.random() < 0.95 else data[: rng.randrange(len(data))]


def well_formed_stream(messages):
    """Check every message that the back-end sent by itself."""
    sizes = {1: 0, 2: 8, 3: 0, 4: 12, 5: 12, 6: 16404, 7: 12, 9: 40, 10: 20, 11: 4, 12: 48}
    for request, flags, payload in messages:
        assert flags == 0
        if request == 8:
            _, _, _, width, height = struct.unpack_from("=IIIII", payload)
            assert len(payload) == 20 + 4 * width * height > 20
        else:
            assert len(payload) == sizes[request], request


def answers(rng):
    """One sender, many questions, answers of all kinds; fds come back exactly once."""
    sender = DisplaySender()
    peer = None
    given, back = [], []
    for turn in range(rng.randint(3, 30)):
        kind = rng.randrange(12)
        if peer is None or kind == 0:
            if peer:
                back += peer.to_close
            back += sender.open()
            peer = Peer(sender)
        elif kind == 1:
            sender.ask(Req.GET_DISPLAY_INFO)
        elif kind == 2:
            sender.edid(rng.randrange(20))
        elif kind == 3:
            sender.dmabuf_scanout(DmabufScanout(), 0, 1000 + turn)
            given.append(1000 + turn)
        elif kind == 4:
            sender.dmabuf_update(0, 1, 2, 3, 4)
        elif kind == 5:
            x, y = rng.randrange(300), rng.randrange(200)
            sender.update(rng.randrange(3), SURFACE, x, y, rng.randint(1, 300 - x), rng.randint(1, 200 - y))
        elif kind == 6:
            sender.cursor_pos(0, rng.getrandbits(32), rng.getrandbits(32))
        elif kind == 7:
            sender.settle()
        elif kind == 8:
            sender.give_up()
        elif kind == 9:
            peer.take(rng.choice([1, 100, 10_000, 1 << 20]))
        elif not hear(rng, sender):
            back += peer.to_close + sender.close()
            peer = None
        assert STAGED - sender.outbox.room() <= STAGED
    if peer:
        well_formed_stream(whole_messages(peer))
        back += peer.to_close
    back += sender.close()
    assert sorted(back) == given
    fresh = DisplaySender()
    fresh.open()
    fresh.update(0, SURFACE, 0, 0, 300, 200)
    assert paint(Peer(fresh).messages()[1:], 300, 200) == bytes(SURFACE.pixels)


def whole_messages(peer):
    """Return what is left in the outbox, from the first message that begins there."""
    peer.drain()
    data, found = bytes(peer.stream), []
    while data:
        request, flags, size = struct.unpack_from("=III", data)
        assert len(data) >= 12 + size
        found.append((request, flags, data[12 : 12 + size]))
        data = data[12 + size :]
    return found


def hear(rng, sender):
    """Answer something; false when that broke the session."""
    data = any_answer(rng, rng.choice([1, 3, 10, 11]))
    while data:
        step = rng.choice([1, 12, sender.wanted, sender.wanted])
        try:
            sender.receive(data[:step])
        except ProtocolError:
            return False
        data = data[step:]
    return True


@pytest.mark.timeout(0)
def test_answers(campaign):
    campaign.run("answers", answers)


# The whole back-end behind a display that answers anything


class Scene:
    """A running device whose display is this test."""

    def __init__(self, rng, front):
        self.rng, self.front = rng, front
        self.stream = b""

    def questions(self):
        """Read what came; return the numbers of the messages that are whole."""
        self.stream += drain(self.front.display) if self.front.display else b""
        found = []
        while len(self.stream) >= 12:
            request, _, size = struct.unpack_from("=III", self.stream)
            if len(self.stream) < 12 + size:
                break
            found.append(request)
            self.stream = self.stream[12 + size :]
        return found

    def reply(self, number):
        """Answer a question in some way, in some pieces."""
        if not self.front.display:
            return
        data = any_answer(self.rng, number)
        step = self.rng.choice([len(data) + 1, len(data) + 1, 1 + len(data) // 2, 7])
        for at in range(0, len(data), step):
            try:
                self.front.display.send(data[at : at + step])
            except OSError:
                return
            if self.rng.random() < 0.5:
                self.front.run(1)

    def run(self):
        rng, front = self.rng, self.front
        front.zero()
        front.connect()
        front.go(mem_slots=rng.random() < 0.5)
        front.ram[REST:] = b"\x5a" * (SIZE - REST)
        asked = 0
        for _ in range(rng.randint(2, 10)):
            kind = rng.randrange(6)
            if kind < 2:
                request = struct.pack("<IIQII", 0x100, 0, 0, 0, 0)
                asked += self.put(request + bytes(8) if kind else struct.pack("<IIQIIII", 0x10A, 0, 0, 0, 0, 0, 0))
            elif kind == 2:
                for number in self.questions():
                    if number in SIZES:
                        self.reply(number)
            elif kind == 3 and rng.random() < 0.3:
                theirs = front.new_display()
                self.stream = b""
                assert front.send(message(33), [theirs.fileno()])
                theirs.close()
            elif kind == 4 and rng.random() < 0.2:
                front.drop_display()
            elif kind == 5 and rng.random() < 0.2:
                self.reply(rng.randrange(14))
            front.run(2)
        # Patience is short here: whoever waits is answered by the next turns of the loop.
        front.drop_display()
        for _ in range(50):
            if front.used() == asked & 0xFFFF:
                break
            front.run(4)
        assert front.used() == asked & 0xFFFF, "a command was never answered"
        assert bytes(front.ram[REST:]) == b"\x5a" * (SIZE - REST), "guest memory was written that nobody offered"
        front.receive()
        front.disconnect()

    def put(self, request):
        """Put a query on the ring if there is room."""
        avail = self.front.ram[0x2002:0x2004].cast("H")[0]
        if (avail - self.front.used()) & 0xFFFF >= 7:
            return 0
        self.front.put(request, 1056)
        return 1


@pytest.fixture
def behind_a_display(monkeypatch, open_fds):
    monkeypatch.setattr(displays, "PATIENCE_S", 0.0005)
    front = Front()
    front.check()
    before = open_fds()
    count = 0

    def case(rng):
        nonlocal count
        Scene(rng, front).run()
        assert open_fds() == before
        count += 1
        if count % 10 == 0:
            front.check()

    yield case
    front.close()


@pytest.mark.timeout(0)
def test_displays(campaign, behind_a_display):
    campaign.run("displays", behind_a_display)
