"""Who owns the fds that come on the GPU socket, however the messages are cut and joined; and who waits for an answer.

Over real sockets, since it is the kernel that says with which bytes an fd comes. Nothing may be left open.
"""

import array
import gc
import os
import socket
import threading
from contextlib import contextmanager

import pytest

from outboard.display import Screens
from outboard.errors import ProtocolError, WaitTimeout
from outboard.frontend.display_reader import DisplayReader
from outboard.viewers.live import LiveScreens

pytestmark = pytest.mark.alike


def octets(text: str) -> bytes:
    words = text.replace("·", " ").split()
    return b"".join(bytes(int(word[:-1])) if word.endswith("z") else bytes.fromhex(word) for word in words)


def dmabuf(scanout_id: int = 0, form: int = 9) -> bytes:
    """Return a DMABUF_SCANOUT of 4x2, or DMABUF_SCANOUT2."""
    size, modifier = ("28", "") if form == 9 else ("30", "8z")
    return octets(
        f"{form:02x}000000 00000000 {size}000000 · {scanout_id:02x}000000 00000000 00000000 04000000 02000000"
        f"· 04000000 02000000 10000000 00000000 58523234 {modifier}"
    )


SCANOUT = octets("07000000 00000000 0c000000 · 00000000 04000000 02000000")
UPDATE = octets("08000000 00000000 34000000 · 00000000 00000000 00000000 04000000 02000000 · 32z")
POSITION = octets("04000000 00000000 0c000000 · 00000000 01000000 02000000")
UNKNOWN = octets("63000000 00000000 04000000 · 4z")
DRAWN = octets("0a000000 00000000 14000000 · 00000000 00000000 00000000 04000000 02000000")
QUESTION = octets("01000000 00000000 00000000")
DRAWN_ANSWER = octets("0a000000 04000000 00000000")
ANSWER = octets("01000000 04000000 08000000 · 0300000000000000")
LARGE = octets("07000000 00000000 0c000000 · 00000000 00010000 00010000")
LARGE_UPDATE = octets("08000000 00000000 14000400 · 00000000 00000000 00000000 00010000 00010000")


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def buffer(salt: int) -> int:
    """Return a memory file for a buffer of 4x2."""
    fd = os.memfd_create("buffer")
    os.write(fd, bytes([salt]) * 32)
    return fd


class Wire:
    """A reader that is driven by hand, and the back-end's end of its socket."""

    def __init__(self, **options) -> None:
        self.reader = DisplayReader(**options)
        self.theirs, ours = socket.socketpair()
        self.theirs.settimeout(10)
        self.reader.attach(ours)

    def send(self, data: bytes, *salts: int) -> None:
        """Send bytes by one sendmsg, with a buffer for each salt."""
        fds = [buffer(salt) for salt in salts]
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        assert self.theirs.sendmsg([data], rights) == len(data)
        for fd in fds:
            os.close(fd)

    def read(self) -> None:
        while self.reader.step():
            pass

    def shown(self, scanout_id: int = 0) -> int | None:
        """Return the salt of the buffer that an output shows, None for none."""
        screen = self.reader.outputs[scanout_id]
        if not screen.active:
            return None
        screen.update_shared(0, 0, 4, 2)
        assert len(set(screen.pixels)) == 1
        return screen.pixels[0]


@contextmanager
def wire(**options):
    gc.collect()  # what earlier tests left may be closed at any time
    before = open_fds()
    made = Wire(**options)
    try:
        yield made
    finally:
        made.reader.close()
        made.theirs.close()
    assert open_fds() == before, "fds were left open"


@pytest.mark.parametrize("form", [9, 12])
def test_one_message_a_sendmsg(form):
    with wire() as one:
        for salt in range(1, 20):
            one.send(dmabuf(form=form), salt)
            one.send(POSITION)
        one.read()
        assert one.shown() == 19
        assert not one.reader.violations


def test_a_backlog_of_messages_each_with_its_own():
    with wire() as one:
        for scanout_id in range(16):
            one.send(POSITION)
            one.send(dmabuf(scanout_id), scanout_id + 1)
        one.send(dmabuf(3))
        one.read()
        assert [one.shown(scanout_id) for scanout_id in range(16)] == [1, 2, 3, None, *range(5, 17)]
        assert not one.reader.violations


@pytest.mark.parametrize("before", [b"", SCANOUT, SCANOUT + UPDATE, UNKNOWN, POSITION * 50])
@pytest.mark.parametrize("behind", [b"", DRAWN, POSITION * 50])
def test_several_messages_in_one_sendmsg(before, behind):
    with wire() as one:
        one.send(before + dmabuf() + behind, 7)
        one.read()
        assert one.shown() == 7
        assert len(one.reader.violations) == (before == UNKNOWN)


@pytest.mark.parametrize("split", range(1, 52))
@pytest.mark.parametrize("when", ["first piece", "second piece"])
def test_a_message_in_two_pieces_whichever_has_the_fd(split, when):
    with wire() as one:
        one.send(dmabuf()[:split], *[5] * (when == "first piece"))
        if split % 2:
            one.read()
        one.send(dmabuf()[split:], *[5] * (when == "second piece"))
        one.read()
        assert one.shown() == 5
        assert not one.reader.violations


def test_an_fd_in_every_piece():
    with wire() as one:
        for at in range(52):
            one.send(dmabuf()[at : at + 1], at)
            one.read()
        assert one.shown() == 0, "the first one counts"
        assert one.reader.violations


@pytest.mark.parametrize("count", [2, 8, 9, 30, 253])
def test_more_fds_than_one(count):
    with wire() as one:
        one.send(dmabuf(), *[6] * count)
        one.read()
        assert one.shown() == 6
        assert one.reader.violations
        one.send(dmabuf(1))
        one.read()
        assert one.shown(1) is None


@pytest.mark.parametrize("message", [SCANOUT, SCANOUT + UPDATE, POSITION, UNKNOWN, DRAWN, QUESTION])
def test_fds_on_messages_that_take_none(message):
    with wire() as one:
        one.send(message, 6, 6)
        one.read()
        assert one.reader.violations
        one.send(dmabuf())
        one.read()
        assert one.shown() is None


def test_fds_amid_payload_pixels_and_what_is_skipped():
    with wire() as one:
        one.send(LARGE)
        one.read()
        one.send(LARGE_UPDATE)
        rest = 256 * 256 * 4
        for step in (1, 100, 40_000, 100_000, rest - 140_101):
            one.send(bytes(step), 6)
            one.read()
        one.send(octets("63000000 00000000 80380100"))
        one.read()
        one.send(bytes(50_000), 6)
        one.send(bytes(30_000), 6)
        one.read()
        assert not one.reader.receiver.partial
        assert one.reader.receiver.violation_count == 8
        one.send(dmabuf())
        one.read()
        assert one.shown() is None


def test_fds_of_a_stream_that_breaks_or_ends():
    for end in (b"", octets("07000000 00000000 0d000000"), octets("63000000 00000000 ffffffff")):
        with wire() as one:
            one.send(dmabuf()[:30], 5)
            one.read()
            one.send((dmabuf()[30:] + end) if end else b"\0", 6)
            one.theirs.shutdown(socket.SHUT_WR)
            one.read()
            assert one.reader.eof


def test_buffers_are_closed_with_their_socket_and_for_good():
    with wire() as one:
        one.send(dmabuf(), 5)
        one.read()
        before = open_fds()
        one.theirs.close()
        one.theirs, ours = socket.socketpair()
        one.reader.attach(ours)
        assert open_fds() == before - 1, "nothing is live on a new socket"
        assert not one.reader.outputs[0].active


@pytest.mark.parametrize("kind", ["refuse", "counting"])
def test_nobody_keeps_a_buffer_that_is_not_shown(kind):
    options = {"screens": Screens(16)} if kind == "refuse" else {"counting": True}
    with wire(**options) as one:
        for _ in range(10):
            one.send(dmabuf(), 5)
        one.read()
        assert len(one.reader.violations) == 10


@pytest.mark.parametrize("make", [lambda: os.pipe(), lambda: [s.detach() for s in socket.socketpair()]])
def test_what_is_no_buffer_is_noted_and_closed(make):
    with wire() as one:
        fds = make()
        for fd in fds:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
            one.theirs.sendmsg([dmabuf()], rights)
            os.close(fd)
        one.read()
        assert all("neither a dma-buf nor a memory file" in what for what in one.reader.violations)
        assert len(one.reader.violations) == 2
        assert "neither" in one.reader.outputs[0].refused


# Answers


def test_an_answer_that_is_held_leaves_at_its_release_in_order():
    with wire(threaded=True) as one:
        one.reader.hold(0)
        one.send(dmabuf() + DRAWN + QUESTION + DRAWN, 5)
        one.reader.wait_until(lambda: one.reader.counts[10] == 2, "both updates")
        one.theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            one.theirs.recv(1)
        one.theirs.settimeout(10)
        one.reader.release(0)
        expected = DRAWN_ANSWER + ANSWER + DRAWN_ANSWER
        assert one.theirs.recv(len(expected), socket.MSG_WAITALL) == expected
        one.send(DRAWN)
        assert one.theirs.recv(12, socket.MSG_WAITALL) == DRAWN_ANSWER


def test_a_back_end_that_never_reads_its_answers_is_not_read_for_ever():
    with wire(threaded=True) as one:
        one.theirs.settimeout(0.2)
        questions = octets("03000000 00000000 00000000") * 1000
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 100 << 20:
                sent += one.theirs.send(questions)
        assert one.reader.receiver.replies_waiting < 20_000
        assert not one.reader.eof
        # It reads at last: all is answered that was asked.
        one.theirs.settimeout(10)
        asked = sent // 12
        for _ in range(asked):
            assert len(one.theirs.recv(420, socket.MSG_WAITALL)) == 420
        one.reader.wait_until(lambda: one.reader.counts[3] == asked, "all questions")


@pytest.mark.parametrize("held", [False, True])
def test_the_end_is_seen_behind_answers_that_nobody_reads(held):
    with wire(threaded=True) as one:
        if held:
            one.reader.hold(0)
        one.send((DRAWN if held else QUESTION) * 200)
        one.reader.wait_until(lambda: one.reader.counts[10 if held else 1] == 200, "all questions")
        one.theirs.close()
        with pytest.raises(WaitTimeout, match="end of the stream"):
            one.reader.wait_until(lambda: False, "the end", 60)
        assert one.reader.eof


def test_whoever_waits_for_a_frame_is_woken_when_the_stream_ends_or_breaks():
    for end in ("close", "error"):
        screens = LiveScreens(16)
        with wire(threaded=True, screens=screens) as one:
            one.send(SCANOUT + UPDATE)
            screens.live[0].wait_for_frame(timeout=60)
            caught = []

            def wait(screen=screens.live[0], caught=caught):
                try:
                    screen.wait_for_frame(after=1, timeout=60)
                except Exception as error:
                    caught.append(str(error))

            waiting = threading.Thread(target=wait)
            waiting.start()
            if end == "close":
                one.theirs.close()
            else:
                one.send(octets("07000000 00000000 ffffffff"))
            waiting.join(60)
            assert caught and "has ended" in caught[0]
            assert (one.reader.error is not None) == (end == "error")


@pytest.mark.parametrize("threaded", [False, True])
def test_a_back_end_whose_stream_is_not_understood_sees_the_end(threaded):
    with wire(threaded=threaded) as one:
        one.send(octets("07000000 00000000 ffffffff"))
        with pytest.raises(ProtocolError, match="SCANOUT"):
            one.reader.wait_until(lambda: False, "the error")
        assert one.theirs.recv(1) == b""
        with pytest.raises(BrokenPipeError):
            one.theirs.send(bytes(1 << 20))


@pytest.mark.parametrize("where", [1, 100_000])
def test_a_thread_that_waits_for_pixels_can_be_detached_from(where):
    with wire(threaded=True) as one:
        one.send(LARGE)
        one.send(LARGE_UPDATE + bytes(where))
        one.reader.wait_until(lambda: one.reader.counts[8] == 1, "the header")
        one.reader.frame(0)
        one.reader.detach()
        with pytest.raises(BrokenPipeError):
            one.theirs.send(b"more")
        assert one.reader.outputs[0].serial == 0


def test_answers_that_were_not_read_leave_when_there_is_room_for_them():
    with wire() as one:
        asked = 0
        one.theirs.setblocking(False)
        while one.reader.receiver.replies_waiting <= 64:
            asked += one.theirs.send(octets("03000000 00000000 00000000") * 100) // 12
            one.reader.step()
        one.theirs.settimeout(10)
        assert one.reader.pollable() >= 0
        for _ in range(asked):
            one.reader.step()
            assert len(one.theirs.recv(420, socket.MSG_WAITALL)) == 420
        assert one.reader.counts[3] == asked
