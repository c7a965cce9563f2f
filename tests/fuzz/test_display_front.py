"""Random display streams into the front-end: legal ones show what a model of a few lines shows, hostile ones break
nothing but their own stream; no fd is left open, and memory stays within what was allowed."""

import array
import gc
import os
import random
import socket
import struct
import tracemalloc

import pytest

from outboard.errors import ProtocolError
from outboard.frontend.display_reader import DisplayReader
from outboard.frontend.server import DisplayServer

pytestmark = pytest.mark.alike

MAX_PIXELS = 40_000
"""Of all scanouts together; a case's sizes are of that order."""
PAYLOADS = {1: 0, 2: 8, 3: 0, 4: 12, 5: 12, 6: 16404, 7: 12, 9: 40, 10: 20, 11: 4, 12: 48}
ANSWERS = {1: 8, 3: 408, 10: 0, 11: 1056}
XR24 = 0x34325258
STEP = 30_000
"""Bytes that are sent before the reader reads: less than every socket takes."""


# What should be shown


class Picture:
    """One output of the model. shown: (width, height, pixels as a list of words) or None. live: its size, or None."""

    def __init__(self):
        self.shown = self.live = None
        self.black = False
        self.file = None
        self.cursor = (0, 0, False)

    def resize(self, size):
        self.live, self.black, self.file = size, bool(size), None

    def draw(self, x, y, width, height, words):
        """Draw a rectangle, cut to the output; its words in rows."""
        if self.black:
            self.shown, self.black = (*self.live, [0] * (self.live[0] * self.live[1])), False
        wide, high, pixels = self.shown
        for row in range(min(height, high - y)):
            for column in range(min(width, wide - x)):
                pixels[(y + row) * wide + x + column] = words[row * width + column]


class Model:
    """What the outputs show, from the protocol's description alone."""

    def __init__(self):
        self.outputs = [Picture() for _ in range(16)]
        self.questions = []

    def fits(self, at, width, height):
        """Whether a scanout can have this size beside the others."""
        others = sum(one.live[0] * one.live[1] for i, one in enumerate(self.outputs) if one.live and i != at)
        return 0 < width <= 16384 and 0 < height <= 16384 and others + width * height <= MAX_PIXELS

    def scanout(self, at, width, height):
        if at < 16:
            self.outputs[at].resize((width, height) if self.fits(at, width, height) else None)

    def update(self, at, x, y, width, height, words):
        """Pictures beside their output, or larger than all may be, are not shown."""
        live = self.outputs[at].live if at < 16 else None
        if live and x < live[0] and y < live[1] and 0 < width * height <= MAX_PIXELS:
            self.outputs[at].draw(x, y, width, height, words)

    def dmabuf(self, at, width, height, file):
        """file: (fd, words of its rows), or None; it is read when it is drawn."""
        if at < 16:
            good = file and self.fits(at, width, height)
            self.outputs[at].resize((width, height) if good else None)
            self.outputs[at].file = file if good else None

    def drawn(self, at, x, y, width, height):
        self.questions.append(10)
        one = self.outputs[at] if at < 16 else None
        if not one or not one.file or not one.live:
            return
        wide, high = one.live
        columns, rows = min(width, wide - x), min(height, high - y)
        there = os.fstat(one.file[0]).st_size
        if columns > 0 and rows > 0 and 4 * ((y + rows - 1) * wide + x + columns) <= there:
            words = [one.file[1][(y + j) * wide + x + i] for j in range(rows) for i in range(columns)]
            one.draw(x, y, columns, rows, words)


# Messages


def header(request, size, rng):
    flags = rng.choice([0, 0, 4, 5, 0x36, rng.getrandbits(32)])
    return struct.pack("=III", request, flags, size)


def near(rng, limit):
    """Return a number about a limit, or any."""
    return rng.choice([0, 1, max(0, limit - 1), limit, limit + 1, rng.randrange(limit + 1), rng.getrandbits(32)])


class Legal:
    """Makes messages a back-end may send, tells the model; `files` are closed by whoever ends the case."""

    def __init__(self, rng, model):
        self.rng, self.model, self.files = rng, model, []

    def message(self):
        """Return the bytes of a message and its fds."""
        kinds = [self.scanout, self.update, self.update, self.update, self.cursor, self.question, self.dmabuf]
        return self.rng.choice([*kinds, self.drawn, self.odd, self.bands, self.truncate])()

    def size(self):
        return self.rng.choice(
            [(0, 0), (1, 1), (64, 48), (200, 100), (self.rng.randint(1, 260), self.rng.randint(1, 200))]
        )

    def at(self):
        return self.rng.choice([0, 0, 0, 1, 15, 16, self.rng.getrandbits(32)])

    def scanout(self):
        at, (width, height) = self.at(), self.size()
        if self.rng.random() < 0.1:
            width, height = near(self.rng, 16384), near(self.rng, 16384)
        self.model.scanout(at, width, height)
        return header(7, 12, self.rng) + struct.pack("=III", at, width, height), []

    def pixels(self, at, x, y, width, height):
        data = self.rng.randbytes(4 * width * height)
        words = struct.unpack(f"={width * height}I", data)
        self.model.update(at, x, y, width, height, words)
        return header(8, 20 + len(data), self.rng) + struct.pack("=IIIII", at, x, y, width, height) + data

    def update(self):
        rng, at = self.rng, self.at()
        wide, high = (self.model.outputs[at].live if at < 16 else None) or (10, 10)
        if rng.random() < 0.2:
            return self.pixels(at, 0, 0, wide, high), []
        width, height = min(near(rng, wide), 300), min(near(rng, high), 200)
        return self.pixels(at, near(rng, wide - width if wide > width else 0), near(rng, high - 1), width, height), []

    def bands(self):
        """A frame in bands, in any order, perhaps with one missing."""
        at = self.rng.choice([0, 1])
        wide, high = self.model.outputs[at].live or (10, 10)
        step = self.rng.randint(1, high)
        tops = list(range(0, high, step))
        if self.rng.random() < 0.5:
            self.rng.shuffle(tops)
        if self.rng.random() < 0.3:
            tops.pop()
        return b"".join(self.pixels(at, 0, top, wide, min(step, high - top)) for top in tops), []

    def cursor(self):
        at, x, y = self.at(), self.rng.getrandbits(32), self.rng.getrandbits(32)
        request = self.rng.choice([4, 5, 6])
        if at < 16:
            signed = struct.unpack("=ii", struct.pack("=II", x, y))
            self.model.outputs[at].cursor = (*signed, request != 5)
        tail = struct.pack("=II", 1, 2) + self.rng.randbytes(16384) if request == 6 else b""
        return header(request, PAYLOADS[request], self.rng) + struct.pack("=III", at, x, y) + tail, []

    def question(self):
        request = self.rng.choice([1, 2, 3, 11])
        if request != 2:
            self.model.questions.append(request)
        return header(request, PAYLOADS[request], self.rng) + self.rng.randbytes(PAYLOADS[request]), []

    def dmabuf(self):
        rng, at, (width, height) = self.rng, self.at(), self.size()
        request = rng.choice([9, 12])
        words = [rng.getrandbits(32) for _ in range(width * height)]
        file = None
        if width and rng.random() < 0.8:
            file = (os.memfd_create("fuzz"), words)
            self.files.append(file[0])
            os.write(file[0], struct.pack(f"={len(words)}I", *words))
        flavour = rng.choice([XR24, XR24, XR24, 0x34325241, 0x30335258])
        stride = 4 * width if rng.random() < 0.9 else 4 * width - 1
        readable = file and flavour != 0x30335258 and stride == 4 * width
        self.model.dmabuf(at, width, height, file if readable else None)
        body = struct.pack("=10I", at, 0, 0, width, height, width, height, max(stride, 0), rng.choice([0, 2]), flavour)
        return header(request, PAYLOADS[request], rng) + body + bytes(8 * (request == 12)), [file[0]] if file else []

    def drawn(self):
        at = self.at()
        wide, high = (self.model.outputs[at].live if at < 16 else None) or (10, 10)
        box = (near(self.rng, wide), near(self.rng, high), near(self.rng, wide), near(self.rng, high))
        self.model.drawn(at, *box)
        return header(10, 20, self.rng) + struct.pack("=IIIII", at, *box), []

    def truncate(self):
        """What lies behind a buffer may shrink at any time; that is no message."""
        if self.files:
            fd = self.rng.choice(self.files)
            os.ftruncate(fd, self.rng.randrange(os.fstat(fd).st_size + 1))
        return b"", []

    def odd(self):
        size = self.rng.choice([0, 1, 100, 40_000, 100_000])
        number = self.rng.choice([0, 13, self.rng.randint(13, 2**32 - 1)])
        return header(number, size, self.rng) + self.rng.randbytes(size), []


def hostile(rng, legal):
    """Return bytes that are almost a message, or are not one, and fds that may belong to nothing."""
    data, fds = legal.message()
    kind = rng.randrange(8)
    if kind == 0:
        data = rng.randbytes(rng.randrange(100))
    elif kind == 1 and len(data) > 12:
        wrong = rng.choice([0, 1, len(data) - 13, len(data) - 11, 1 << 31, 2**32 - 1])
        data = data[:8] + struct.pack("=I", wrong & 0xFFFFFFFF) + data[12:]
    elif kind == 2 and data:
        at = rng.randrange(min(len(data), 64))
        data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    elif kind == 3:
        data = struct.pack("=8I", 8, 0, rng.choice([20, 24, 2**31, 2**32 - 1]), 0, 0, 0, 1 << 15, 1 << 15) + data
    elif kind == 4:
        data = (header(3, 0, rng)) * rng.choice([1, 300, 6000])
    elif kind == 5:
        data = (header(6, 16404, rng) + bytes(16404)) * rng.choice([1, 5])
    elif kind == 6:
        data = data[: rng.randrange(len(data) + 1)]
    given = [rng.choice(strange()) for _ in range(rng.choice([0, 0, 0, 1, 2, 9]))]
    return data, [*fds, *given]


def strange(made=[]):  # noqa: B006 - made once for all cases
    """Return fds that are no buffers; they live as long as the tests."""
    if not made:
        made += [*os.pipe(), os.open("/dev/null", os.O_RDWR), os.memfd_create("empty"), os.eventfd(0)]
    return made


# Sending


class Wire:
    """The back-end's end of a socket; reads answers as they come, or never."""

    def __init__(self, reader, rng):
        self.reader, self.rng = reader, rng
        self.theirs, ours = socket.socketpair()
        self.theirs.setblocking(False)
        reader.attach(ours)
        self.answers = bytearray()
        self.listens = True
        self.sent = 0
        self.clean = self.lost = False

    def send(self, data, fds=()):
        """Send bytes in random pieces, the fds with the first."""
        rest, given = memoryview(data), list(fds)
        while len(rest) and not self.lost:
            most = self.rng.choice([1, 11, 12, 13, 100, STEP, STEP]) if len(rest) < 3000 else STEP
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", given))] if given else []
            try:
                count = self.theirs.sendmsg([rest[:most]], rights)
            except BlockingIOError:
                self.read()
                self.lost = not self.listens and self.reader.receiver.replies_waiting > 64
                continue
            except OSError:
                self.lost = True
                break
            self.sent += count
            rest, given = rest[count:], []
            if self.rng.random() < 0.7:
                self.read()

    def read(self):
        """Let the reader read, and read what it answers; true when something happened."""
        before = len(self.answers)
        if not self.reader.threaded:
            while self.reader.step():
                pass
        if self.listens:
            try:
                while data := self.theirs.recv(1 << 16):
                    self.answers += data
                    if not self.reader.threaded:
                        self.reader.step()
            except BlockingIOError:
                pass
            except OSError:
                self.lost = True
        return len(self.answers) > before

    def asked(self):
        """Return the ids of the answers, each of which must be whole and well formed."""
        found, rest = [], bytes(self.answers)
        while rest:
            request, flags, size = struct.unpack_from("=III", rest)
            assert (flags, size) == (4, ANSWERS[request])
            assert len(rest) >= 12 + size
            found.append(request)
            rest = rest[12 + size :]
        return found

    def close(self):
        self.theirs.close()


def held(screens):
    """Return the bytes that screens keep of pixels."""
    return sum(
        len(buffer)
        for screen in screens
        for buffer in (screen._pixels, screen._fresh or b"", screen._spare or b"", screen._scratch)
    )


def compare(model, screens):
    """Compare all outputs with the model's."""
    for at, (one, screen) in enumerate(zip(model.outputs, screens, strict=True)):
        frame = screen.frame()
        assert screen.active == bool(one.live), at
        assert (frame.cursor.x, frame.cursor.y, frame.cursor.visible) == one.cursor, at
        stale = one.black or not one.live
        if one.shown and not (stale and frame.width == 0):  # Such a picture may have been forgotten to make room.
            width, height, words = one.shown
            assert (frame.width, frame.height) == (width, height), at
            assert frame.pixels == struct.pack(f"={width * height}I", *words), at


def reader(**options):
    return DisplayReader(max_pixels=MAX_PIXELS, log_length=64, **options)


def case(rng, made, live):
    """One stream, legal in half of all cases. made: the reader; live: waits until it has read all."""
    model = Model()
    legal = Legal(rng, model)
    clean = rng.random() < 0.5
    wire = Wire(made, rng)
    wire.clean, wire.listens = clean, clean or rng.random() < 0.7
    try:
        for _ in range(rng.randint(1, 25)):
            data, fds = legal.message() if clean else hostile(rng, legal)
            if not data:
                live(wire)  # Nothing is on its way while a file shrinks: the model reads at once.
            wire.send(data, fds)
            if (clean and fds) or not data:
                live(wire)
        live(wire)
        assert held(made.outputs) <= 12 * MAX_PIXELS
        assert made.error is None or isinstance(made.error, ProtocolError)
        if clean:
            assert made.error is None and not wire.lost
            assert made.bytes_read == wire.sent
            compare(model, made.outputs)
            assert wire.asked() == model.questions
        elif wire.listens and not wire.lost:
            wire.asked()
    finally:
        wire.close()
        for fd in legal.files:
            os.close(fd)


@pytest.mark.timeout(0)
def test_fronts(campaign, open_fds):
    strange()
    before = open_fds()

    def one(rng):
        with reader() as made:
            case(rng, made, lambda wire: wire.read())
        assert open_fds() == before

    campaign.run("fronts", one)


@pytest.mark.timeout(0)
def test_servers(campaign, open_fds):
    """The same in the thread of a display server, whose screens are looked at meanwhile."""
    strange()
    before = open_fds()

    def one(rng):
        server = DisplayServer(max_pixels=MAX_PIXELS, ram_size=1 << 20)
        made = server.display

        def settle(wire):
            server.screens[0].frame()
            while wire.clean and not made.eof and made.bytes_read < wire.sent:
                wire.read()
                server.screens[0].frame()
            if wire.clean:
                made.wait_until(lambda: not made._unsent and not made.receiver.answering, "all answers", 30)
                wire.read()

        try:
            case(rng, made, settle)
            made.wait_until(lambda: made.eof, "the end", 30)
        finally:
            server.close()

    campaign.run("servers", one)
    gc.collect()  # The machines' memory is mapped until nobody refers to it.
    assert open_fds() == before


def test_floods_take_no_more_memory_than_allowed():
    """Sixteen outputs in turn as large as allowed, all pixels drawn; images, questions, unknown numbers without end."""
    limit = 1 << 20  # pixels
    width, height = 1024, 1024
    scanout, update = struct.Struct("=6I"), struct.Struct("=8I")
    frame = bytes(4 * width * height)
    rng = random.Random(1)
    with DisplayReader(max_pixels=limit, log_length=64) as made:
        wire = Wire(made, rng)
        tracemalloc.start()
        for turn in range(32):
            at = turn % 16
            wire.send(scanout.pack(7, 0, 12, at, width, height))
            wire.send(update.pack(8, 0, 20 + len(frame), at, 0, 0, width, height) + frame)
            wire.send(update.pack(8, 0, 20 + len(frame) - 8192, at, 1, 0, width, height - 2) + frame[8192:])
            wire.send(scanout.pack(7, 0, 12, at, *((0, 0) if turn % 3 else (1, 1))))
            wire.send(struct.pack("=III", 6, 0, 16404) + bytes(16404))
            wire.send(
                b"".join(struct.pack("=III", number, 0, 0) for number in range(1000 * turn + 13, 1000 * turn + 999))
            )
            wire.send(struct.pack("=III", 3, 0, 0) * 500)
            wire.answers.clear()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        wire.close()
        assert not made.error
        assert made.receiver.counts[8] == 64
        assert held(made.outputs) <= 12 * limit
    # What the reader keeps besides: a chunk, what it throws away, the log with its images; and what is sent here.
    assert peak < 12 * limit + (8 << 20)
