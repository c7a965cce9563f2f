"""Random control messages: any order, any bytes, any fds; a back-end that survives serves the next front-end."""

import os
import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outboard.errors import ProtocolError
from outboard.vhost_user.backend import BackendSession
from outboard.vhost_user.connection import Connection
from outboard.vhost_user.display_sender import DisplaySender
from tests.fuzz.conftest import BATCH, cases
from tests.fuzz.front import GUEST, SIZE, USER, Front, message, resident, u64
from tests.vectors.numbers import CONTROL_PAYLOADS

KNOWN = sorted(CONTROL_PAYLOADS)
NUMBERS = [*range(46), 0x1000, 0xFFFFFFFF]
EDGES = [0, 1, 2, 3, 15, 16, 17, 255, 256, 1024, 1025, 4096, 65535, 65536, 1 << 31, (1 << 32) - 1]
FLAGS = [1, 1, 1, 1, 9, 9, 9, 0, 5, 0xD, 0xFFFFFFFF]
GROWTH_KIB = 48 << 10
"""Resident memory that a whole campaign may add, caches of the allocator included."""


class Fds:
    """What may be passed as an fd that is not what it should be."""

    def __init__(self, front):
        self.front = front
        self.pipe = os.pipe()
        self.null = os.open("/dev/null", os.O_RDWR)
        self.text = os.open(__file__, os.O_RDONLY)
        self.dead, other = socket.socketpair()
        other.close()
        self.datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.alone = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def any(self, rng):
        """Return one of them, or one that is right for something."""
        return rng.choice(
            [
                *self.pipe,
                self.null,
                self.text,
                self.dead.fileno(),
                self.datagrams.fileno(),
                self.alone.fileno(),
                self.front.memfd,
                *self.front.events[:2],
            ]
        )

    def close(self):
        for fd in (*self.pipe, self.null, self.text):
            os.close(fd)
        for sock in (self.dead, self.datagrams, self.alone):
            sock.close()


def number(rng):
    return rng.choice([*EDGES, rng.getrandbits(32), rng.getrandbits(8)])


def address(rng):
    base = rng.choice([GUEST, USER, USER, 0, 1 << 63, (1 << 64) - 4096])
    return (base + rng.choice([0, 0, 0x1000, 0x2000, 0x4000, SIZE - 16, SIZE, rng.randrange(SIZE)])) & ((1 << 64) - 1)


def any_payload(rng, request):
    """Return a payload of the request's form with values that hurt."""
    if request in (8, 10, 11, 18):
        return struct.pack("=II", rng.choice([0, 0, 1, 1, number(rng)]), number(rng))
    if request == 9:
        return struct.pack(
            "=IIQQQQ", rng.choice([0, 1, number(rng)]), rng.randrange(2), *(address(rng) for _ in range(4))
        )
    if request == 5:
        count = rng.choice([0, 1, 1, 2, 3, 8, 9, number(rng)])
        regions = [region(rng) for _ in range(rng.choice([count, count, rng.randrange(9)]) % 10)]
        return struct.pack("=II", count, 0) + b"".join(regions)
    if request in (37, 38):
        return bytes(8) + region(rng)
    if request in (12, 13, 14):
        return u64(rng.choice([0, 1, 0x100, 0x101, 2, rng.getrandbits(64)]))
    if request in (24, 25):
        length = rng.choice([0, 1, 4, 16, 17, 256, 257])
        return struct.pack("=III", rng.choice([0, 0, 4, 16, number(rng)]), length, rng.randrange(3)) + bytes(length)
    if request in (2, 16):
        return u64(rng.choice([0x1_7000_000E, 0xA209, 0, rng.getrandbits(64), (1 << 64) - 1, 0x1_3000_0000]))
    return rng.randbytes(rng.choice([0, 0, 0, 4, 8, 40]))


def region(rng):
    size = rng.choice([0, 16, 4096, SIZE, SIZE, SIZE + 1, 1 << 40, (1 << 64) - 1])
    return struct.pack("=QQQQ", address(rng), size, address(rng), rng.choice([0, 0, 0, 16, 4096, SIZE, 1 << 63]))


def mangle(rng, data):
    """Return the bytes of a message with something wrong."""
    data = bytearray(data)
    kind = rng.randrange(5)
    if kind == 0:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[rng.randrange(len(data)) :]
    elif kind == 2:
        data += rng.randbytes(rng.randrange(1, 40))
    elif kind == 3:
        struct.pack_into("=I", data, 4, rng.choice(FLAGS))
    else:
        struct.pack_into("=I", data, 8, rng.choice([0, 1, 12, 4096, 4097, number(rng)]))
    return bytes(data)


class Case:
    """One session of mischief."""

    def __init__(self, rng, front, fds):
        self.rng, self.front, self.fds = rng, front, fds

    def script(self):
        """Return (bytes, fds) to send: a start that was tampered with."""
        rng = self.rng
        said = self.front.start(rng.random() < 0.5)
        if rng.random() < 0.3:
            rng.shuffle(said)
        elif rng.random() < 0.7:
            said = said[: rng.randint(1, len(said))]
        for _ in range(rng.choice([0, 1, 2, 3, 8])):
            at = rng.randrange(len(said) + 1)
            request = rng.choice(KNOWN if rng.random() < 0.8 else NUMBERS)
            said.insert(at, (request, any_payload(rng, request), self.some_fds(request)))
        for _ in range(rng.choice([0, 0, 1, 2])):
            said.pop(rng.randrange(len(said)))
            if not said:
                break
        for request, payload, fds in said:
            data = message(request, payload, rng.choice(FLAGS) if rng.random() < 0.05 else rng.choice([1, 9]))
            if rng.random() < 0.05:
                data = mangle(rng, data)
            if rng.random() < 0.03:
                fds = self.some_fds(request)
            yield data, fds

    def some_fds(self, request):
        rng = self.rng
        right = {5: 1, 12: 1, 13: 1, 14: 1, 21: 1, 33: 1, 37: 1}.get(request, 0)
        count = right if rng.random() < 0.7 else rng.choice([0, 1, 2, 8, 12])
        if request in (5, 37) and rng.random() < 0.7:
            return [self.front.memfd] * count
        if request == 33 and rng.random() < 0.6:
            return ["display"]
        return [self.fds.any(rng) for _ in range(count)]

    def run(self):
        rng, front = self.rng, self.front
        front.zero()
        front.connect()
        bytewise = rng.random() < 0.08
        for data, fds in self.script():
            theirs = front.new_display() if fds == ["display"] else None
            given = [theirs.fileno()] if theirs else fds
            alive = self.say(data, given, bytewise)
            if theirs:
                theirs.close()
            if not alive:
                break
            if rng.random() < 0.1:
                front.put(rng.randbytes(rng.randrange(64)), rng.choice([0, 24, 408]), rng.randrange(2))
            if rng.random() < 0.1:
                front.run(2)
            if rng.random() < 0.05 and front.display:
                talk(rng, front.display)
        front.run()
        front.receive()
        front.disconnect()

    def say(self, data, fds, bytewise):
        """Send a message whole, or in pieces with the loop running between them."""
        front, rng = self.front, self.rng
        if bytewise or rng.random() < 0.1:
            step = 1 if bytewise else rng.randint(1, max(1, len(data)))
            for at in range(0, len(data), step):
                if not front.send(data[at : at + step], fds):
                    return False
                fds = []
                front.run(1)
            return True
        return front.send(data, fds)


def talk(rng, display):
    """Say something on the GPU socket that nobody asked for."""
    try:
        display.send(
            struct.pack("=III", rng.randrange(14), 4, rng.choice([0, 8, 408, 1056])) + bytes(rng.randrange(500))
        )
    except OSError:
        pass


@pytest.fixture
def one(open_fds):
    front = Front()
    fds = Fds(front)
    front.check()
    before = open_fds()
    count, memory = 0, 0

    def case(rng):
        nonlocal count, memory
        Case(rng, front, fds).run()
        count += 1
        assert open_fds() == before, "fds were left open or closed twice"
        if count % 10 == 0:
            front.check()
        if count == 200:
            memory = resident()
        if count > 200 and count % 200 == 0:
            assert resident() - memory < GROWTH_KIB, "memory grows"

    yield case
    fds.close()
    front.close()


@pytest.mark.timeout(0)
def test_control(campaign, one):
    campaign.run("control", one)


# Streams cut anywhere are the same streams


def seen(target, data, cuts):
    """Feed a stream in pieces; return what came of it: frames, and the error that ended it."""
    found, last = [], 0
    for cut in [*sorted(cuts), len(data)]:
        try:
            found += target(data[last:cut])
        except ProtocolError as error:
            return found, str(error)
        last = cut
    return found, ""


def framing():
    connection = Connection(lambda header: None)
    return lambda data: [(frame.request, frame.flags, frame.payload) for frame in connection.receive(data)]


def session():
    made = BackendSession()
    return lambda data: [(one.number, one.payload, one.tail) for one in made.receive(data)]


def sender():
    made = DisplaySender()
    made.open()
    return made.receive


ONE = st.builds(
    lambda request, flags, payload, lie: struct.pack("=III", request, flags, len(payload) + lie) + payload,
    st.one_of(st.sampled_from(KNOWN), st.integers(0, 50)),
    st.sampled_from([1, 9, 4, 0]),
    st.binary(max_size=60),
    st.sampled_from([0, 0, 0, 0, 1, 5, 5000]),
)


@pytest.mark.timeout(0)
def test_streams(campaign):
    ran = 0

    @settings(max_examples=cases("streams"), deadline=None, derandomize=True, database=None)
    @given(
        messages=st.lists(ONE, max_size=5), cuts=st.lists(st.integers(0, 300), max_size=6), noise=st.binary(max_size=40)
    )
    def check(messages, cuts, noise):
        nonlocal ran
        ran += 1
        if ran % BATCH == 1:
            campaign.watch()
        data = b"".join(messages) + noise
        cuts = [cut for cut in cuts if cut <= len(data)]
        if all(len(one) == 12 + struct.unpack_from("=I", one, 8)[0] for one in messages):
            assert [frame[2] for frame in framing()(b"".join(messages))] == [one[12:] for one in messages]
        assert seen(framing(), data, cuts) == seen(framing(), data, [])
        whole, error = seen(session(), data, [])
        found, stopped = seen(session(), data, [*cuts, *range(len(data))])
        # An error in a chunk hides the good messages in front of it in the same chunk; byte by byte they all come.
        assert found[: len(whole)] == whole
        assert bool(error) == bool(stopped)
        seen(sender(), data, cuts)

    check()
    campaign.tell("streams", ran)
