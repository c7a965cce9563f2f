"""The tap passes everything on: real sockets, bytes and fds compared."""

import os
import random
import socket
import struct
import threading
import time

import pytest

from outboard.host.loop import Loop
from outboard.tap import direction
from outboard.tap.tap import Tap
from tests.tap.conftest import Journal, exactly, message, receive, same, send

pytestmark = pytest.mark.alike


def wait_until(condition, what):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def update(width, height, pixels=None, flags=0):
    pixels = random.Random(width).randbytes(4 * width * height) if pixels is None else pixels
    return message(8, flags, struct.pack("=IIIII", 0, 0, 0, width, height) + pixels)


def test_fds_are_the_same_files(rig, tmp_path):
    front, back = rig.pair()
    files = [(tmp_path / str(at)).open("wb") for at in range(3)]
    send(front, message(5, 1, bytes(8 + 32 * 3)), [file.fileno() for file in files])
    data, fds = receive(back, 1000)
    assert data == message(5, 1, bytes(8 + 32 * 3)), "in one piece"
    assert [same(fd, file.fileno()) for fd, file in zip(fds, files, strict=True)] == [True] * 3
    for fd in fds:
        os.close(fd)
    read, write = os.pipe()
    send(front, message(13, 1, bytes(8)), [write])
    _, (fd,) = receive(back, 1000)
    os.write(fd, b"x")
    assert os.read(read, 1) == b"x"
    for one in (read, write, fd):
        os.close(one)
    assert rig.journal.seen[-2].fds == (str(tmp_path / "0"), str(tmp_path / "1"), str(tmp_path / "2"))


def test_fds_go_both_ways_and_are_closed_in_the_tap(rig, open_fds):
    front, back = rig.pair()
    before = open_fds()
    for _ in range(50):
        read, write = os.pipe()
        send(back, message(31, 5, bytes(20)), [read])
        data, (fd,) = receive(front, 1000)
        assert data == message(31, 5, bytes(20)) and same(fd, read)
        for one in (read, write, fd):
            os.close(one)
    front.sendall(message(1))
    exactly(back, 12)
    assert open_fds() == before


@pytest.mark.parametrize(
    "size", [0, 1, 7, 12, 4095, 4096, 65536, 100_001, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20]
)
@pytest.mark.parametrize("wants_data", [False, True])
def test_unknown_messages_of_any_size(make_rig, size, wants_data):
    rig = make_rig(Journal(wants_data))
    front, back = rig.pair()
    payload = random.Random(size).randbytes(size)
    for request in (77, 0xFFFF_FFFF):
        sender = threading.Thread(target=front.sendall, args=(message(request, 0xDEAD, payload),))
        sender.start()
        assert exactly(back, 12 + size) == message(request, 0xDEAD, payload)
        sender.join()
    front.sendall(message(3))
    assert exactly(back, 12) == message(3)
    assert [name for name, _ in rig.journal.said()][-3:] == ["unknown 77", "unknown 4294967295", "SET_OWNER"]


def test_order_of_many_messages(rig):
    front, back = rig.pair()
    rng = random.Random(4)
    sent = [
        message(rng.randrange(60), rng.randrange(16), rng.randbytes(rng.choice((0, 8, 40, 500)))) for _ in range(500)
    ]
    stream = b"".join(sent)
    assert b"GPU" not in stream

    def write():
        at = 0
        while at < len(stream):
            at += front.send(stream[at : at + rng.randrange(1, 3000)])

    sender = threading.Thread(target=write)
    sender.start()
    assert exactly(back, len(stream)) == stream
    sender.join()
    seen = [one.header + one.payload for one in rig.journal.seen if one.to_backend]
    assert seen[1:] == sent, "and each message was seen as it is"


@pytest.mark.parametrize("wants_data", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (64, 64), (90, 91), (91, 91), (640, 480), (1920, 1080)])
def test_frames_are_pixel_exact(make_rig, size, wants_data):
    journal = Journal(wants_data)
    rig = make_rig(journal)
    shown, drawn, *_ = rig.gpu()
    frames = [
        message(7, 0x36, struct.pack("=III", 0, *size)),
        update(*size, flags=5),
        message(4, 0, bytes(12)),
        update(*size),
    ]
    sender = threading.Thread(target=drawn.sendall, args=(b"".join(frames),))
    sender.start()
    assert exactly(shown, sum(map(len, frames))) == b"".join(frames)
    sender.join()
    wait_until(lambda: len(rig.journal.finished) >= 7, "all messages")
    assert [name for name, _ in rig.journal.said("gpu")] == [
        "GPU SCANOUT",
        "GPU UPDATE",
        "GPU CURSOR_POS",
        "GPU UPDATE",
    ]
    if wants_data and 4 * size[0] * size[1] > direction.PIXELS_MAX:
        assert bytes(journal.chunks) == frames[1][32:] + frames[3][32:]


def test_a_message_leaves_in_one_piece_however_it_came(rig):
    front, back = rig.pair()
    whole = message(9, 1, bytes(40))
    for at in range(0, len(whole), 5):
        front.sendall(whole[at : at + 5])
        time.sleep(0.001)
    assert back.recv(1000) == whole


def test_what_stops_in_its_midst_is_passed_on_as_far_as_it_came(rig):
    """A back-end may refuse a header; it would wait for ever for a payload that the tap waits for too."""
    front, back = rig.pair()
    front.sendall(struct.pack("=III", 9, 0x41, 1000))
    assert exactly(back, 12) == struct.pack("=III", 9, 0x41, 1000)
    front.sendall(b"abc")
    assert exactly(back, 3) == b"abc"
    front.sendall(bytes(997) + message(3))
    assert exactly(back, 997 + 12) == bytes(997) + message(3)
    assert rig.journal.said()[-1] == ("SET_OWNER", True)


def test_less_than_a_header_is_passed_on_too(rig):
    front, back = rig.pair()
    whole = message(3) + message(9, 1, bytes(40))
    for part in (whole[:5], whole[5:12], whole[12:19], whole[19:]):
        front.sendall(part)
        assert exactly(back, len(part)) == part
    assert rig.journal.said()[-2:] == [("SET_OWNER", True), ("SET_VRING_ADDR", True)]


def test_fds_wait_until_it_is_known_what_they_are(rig):
    """Less than a header, with the fd of a display's socket perhaps: it must not pass untapped."""
    front, back = rig.pair()
    shown, theirs = socket.socketpair()
    whole = message(33, 1)
    send(front, whole[:5], [theirs.fileno()])
    time.sleep(2 * direction.RELEASE_S)
    front.sendall(whole[5:])
    data, (drawn,) = receive(back, 1000)
    assert data == whole and os.fstat(drawn).st_ino != os.fstat(theirs.fileno()).st_ino
    os.close(drawn)
    shown.close()
    theirs.close()


def test_hostile_sizes_take_no_memory(rig):
    """A header may announce 4 GiB; what comes of it is passed on."""
    front, back = rig.pair()
    for request in (8, 6, 99):
        head = struct.pack("=III", request, 0xFFFF_FFFF, 0xFFFF_FFFF)
        ours, theirs = rig.hand_over(front, back)
        sender = threading.Thread(target=theirs.sendall, args=(head + bytes(3_000_000),))
        sender.start()
        assert exactly(ours, 12 + 3_000_000) == head + bytes(3_000_000)
        sender.join()
    assert max(len(one.payload) for one in rig.journal.seen) <= direction.HEAD


def test_many_fds_with_one_message(rig, tmp_path):
    front, back = rig.pair()
    with (tmp_path / "file").open("wb") as file:
        send(front, message(77), 250 * [file.fileno()])
        data, fds = receive(back, 1000)
        assert data == message(77) and len(fds) == 250
        assert all(same(fd, file.fileno()) for fd in fds)
        for fd in fds:
            os.close(fd)
        # More than one sendmsg can carry, on the pieces of one message: nothing is lost, they leave in pieces.
        for piece in (b"M\0\0\0", b"\1\0\0\0", b"\0\0\0\0"):
            send(front, piece, 200 * [file.fileno()])
        got, fds = bytearray(), []
        while len(got) < 12:
            data, more = receive(back, 12 - len(got))
            got += data
            fds += more
        assert bytes(got) == message(77) and len(fds) == 600
        for fd in fds:
            os.close(fd)


def test_the_end_handed_over_is_in_blocking_mode(rig):
    """QEMU's back-end does not go on after a short write."""
    _, drawn, *_ = rig.gpu()
    drawn.settimeout(None)  # as a new socket object has it: the fd itself is asked below
    assert os.get_blocking(drawn.fileno())


def test_gpu_set_socket_without_a_socket(rig, tmp_path):
    front, back = rig.pair()
    front.sendall(message(33))
    assert receive(back, 100) == (message(33), [])
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with (tmp_path / "file").open("wb") as file, left, right, socket.socket(socket.AF_UNIX) as lone:
        for odd in (file, left, rig.listener, lone):
            send(front, message(33), [odd.fileno()])
            data, (fd,) = receive(back, 100)
            assert data == message(33) and same(fd, odd.fileno()), "passed on as it is"
            assert os.get_blocking(fd) is (odd is not rig.listener), "in the mode that it had"
            os.close(fd)
    assert len([note for note in rig.journal.notes if "untapped" in note]) == 4
    assert rig.journal.sockets == ["control-1"]


def test_other_fds_of_gpu_set_socket_are_passed_on(rig, tmp_path):
    front, back = rig.pair()
    left, right = socket.socketpair()
    with (tmp_path / "file").open("wb") as file, left, right:
        send(front, message(33), [right.fileno(), file.fileno()])
        data, fds = receive(back, 100)
        assert data == message(33) and same(fds[1], file.fileno()) and not same(fds[0], right.fileno())
        os.write(fds[0], message(1, 0))
        left.settimeout(10)
        right.close()
        assert exactly(left, 12) == message(1, 0)
        for fd in fds:
            os.close(fd)


def test_a_second_gpu_socket(rig):
    """The first one lives until it is closed; what was under way on it arrives."""
    shown, drawn, front, back = rig.gpu()
    drawn.sendall(update(8, 8))
    shown2, drawn2 = rig.hand_over(front, back)
    drawn2.sendall(update(4, 4))
    assert exactly(shown2, len(update(4, 4))) == update(4, 4)
    drawn.sendall(update(2, 2))
    drawn.close()
    assert exactly(shown, len(update(8, 8) + update(2, 2))) == update(8, 8) + update(2, 2)
    assert shown.recv(1) == b""
    shown2.sendall(message(1, 4, bytes(8)))
    assert exactly(drawn2, 20) == message(1, 4, bytes(8))
    assert rig.journal.sockets == ["control-1", "gpu-1.1", "gpu-1.2"]


def test_the_back_end_s_channel(rig):
    front, back = rig.pair()
    ours, theirs = rig.hand_over(front, back, 21)
    theirs.sendall(message(2, 9))
    assert exactly(ours, 12) == message(2, 9)
    ours.sendall(message(2, 5, bytes(8)))
    assert exactly(theirs, 20) == message(2, 5, bytes(8))
    assert rig.journal.said("backend") == [("BACKEND CONFIG_CHANGE_MSG", False), ("BACKEND CONFIG_CHANGE_MSG", True)]


def test_a_display_that_does_not_read_blocks_nothing_else(rig):
    """Frames pile up no further than buffers go; replies and the control socket pass."""
    shown, drawn, front, back = rig.gpu()
    frame = update(1920, 1080)
    sent = []

    def draw():
        for _ in range(4):
            drawn.sendall(frame)
            sent.append(len(frame))

    sender = threading.Thread(target=draw)
    sender.start()
    for number in range(100):
        shown.sendall(message(3, 4, bytes(408)))
        assert exactly(drawn, 420) == message(3, 4, bytes(408)), number
        front.sendall(message(1))
        assert exactly(back, 12) == message(1)
    assert len(sent) < 3, "it waits"
    for _ in range(4):
        assert exactly(shown, len(frame)) == frame
    sender.join()


@pytest.mark.parametrize("who", ["front", "back"])
def test_end_of_file_comes_last(rig, who):
    """On every socket, with all that was said before."""
    shown, drawn, front, back = rig.gpu()
    one, other, more, rest = (front, back, shown, drawn) if who == "front" else (back, front, drawn, shown)
    frame = update(300, 200)
    one.sendall(message(3) + message(9, 1, bytes(40)))
    sender = threading.Thread(target=lambda: (more.sendall(frame + b"half a me"), more.close()))
    sender.start()
    one.close()
    assert exactly(other, 12 + 52) == message(3) + message(9, 1, bytes(40))
    assert other.recv(1) == b""
    assert exactly(rest, len(frame) + 9) == frame + b"half a me"
    assert rest.recv(1) == b""
    sender.join()
    wait_until(lambda: f"the {who}-end left" in rig.journal.notes, rig.journal.notes)


def test_half_closed(rig):
    """Who only ends what it writes still gets the answer."""
    front, back = rig.pair()
    front.sendall(message(15))
    front.shutdown(socket.SHUT_WR)
    assert exactly(back, 12) == message(15) and back.recv(1) == b""
    back.sendall(message(15, 5, bytes(8)))
    back.close()
    assert exactly(front, 20) == message(15, 5, bytes(8)) and front.recv(1) == b""


def test_whoever_writes_to_somebody_gone_is_told(rig):
    shown, drawn, *_ = rig.gpu()
    shown.close()
    assert drawn.recv(1) == b""
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        while True:
            drawn.sendall(message(4, 0, bytes(12)))


def test_an_end_inside_a_message_is_told(rig):
    front, back = rig.pair()
    front.sendall(message(9, 1, bytes(40))[:20])
    front.close()
    assert exactly(back, 20) == message(9, 1, bytes(40))[:20] and back.recv(1) == b""
    wait_until(lambda: "the front-end left, inside a message" in rig.journal.notes, rig.journal.notes)


def test_the_next_front_end_is_served(rig):
    for number in (1, 2, 3):
        front, back = rig.pair()
        assert rig.journal.sockets[-1] == f"control-{number}"
        front.close()
        assert back.recv(1) == b""


def test_a_front_end_that_says_nothing_costs_no_connection(rig):
    """QEMU's back-end takes one connection in its life."""
    rig.front().close()
    front, _ = rig.pair()
    assert rig.journal.sockets == ["control-1"]
    rig.listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        rig.listener.accept()
    assert front


def test_sockets_that_are_left_are_closed_when_nothing_moves(rig, monkeypatch):
    monkeypatch.setattr("outboard.tap.tap.LINGER_S", 0.05)
    shown, drawn, front, back = rig.gpu()
    front.close()
    assert back.recv(1) == b""
    assert shown.recv(1) == b"" and drawn.recv(1) == b""


def test_no_fd_is_left(rig, open_fds):
    def session():
        shown, drawn, front, back = rig.gpu()
        frame = update(640, 480)
        sender = threading.Thread(target=drawn.sendall, args=(frame,))
        sender.start()
        exactly(shown, len(frame))
        sender.join()
        for sock in (shown, drawn, front, back):
            sock.close()
        ended = rig.journal.notes.count
        wait_until(lambda: ended("the front-end left") + ended("the back-end left") == session.turn, "the end")

    session.turn = 1
    session()
    before = open_fds()
    for session.turn in (2, 3, 4):
        session()
    wait_until(lambda: open_fds() <= before, "closed fds")


def test_too_many_sockets_are_handed_over_as_they_are(rig, monkeypatch):
    monkeypatch.setattr("outboard.tap.tap.SPLICES_MAX", 2)
    front, back = rig.pair()
    kept = [rig.hand_over(front, back) for _ in range(3)]
    for shown, drawn in kept:
        drawn.sendall(message(1, 0))
        assert exactly(shown, 12) == message(1, 0)
    assert rig.journal.said("gpu") == [("GPU GET_PROTOCOL_FEATURES", False)] * 2


def test_nobody_listens_at_connect(socket_dir, monkeypatch):
    monkeypatch.setattr("outboard.tap.tap.CONNECT_S", 0.1)
    loop = Loop()
    tap = Tap(loop, socket_dir / "tap.sock", socket_dir / "nobody.sock", Journal())
    with socket.socket(socket.AF_UNIX) as front:
        front.connect(str(socket_dir / "tap.sock"))
        front.sendall(message(1))
        loop.run()
        assert "nobody.sock: nobody listens there" in str(tap.failure)
        tap.close()
        loop.close()
    assert not (socket_dir / "tap.sock").exists()


@pytest.mark.parametrize("seed", range(12))
def test_random_streams_with_random_fds(rig, tmp_path, seed):
    """Any bytes in any pieces, fds on any piece: the same bytes and the same fds come out, in order."""
    rng = random.Random(seed)
    front, back = rig.pair()
    sizes = [rng.choice((0, 8, 40, 5000, 300_000, 0xFFFF_FFFF)) for _ in range(12)]
    parts = [
        struct.pack("=III", rng.randrange(90), rng.getrandbits(32), size) + rng.randbytes(min(size, 400_000))
        for size in sizes
    ]
    stream = (
        b"".join(parts)
        .replace(struct.pack("=I", 33), struct.pack("=I", 34))
        .replace(struct.pack("=I", 21), b"\7\0\0\0")
    )
    # Behind an endless payload all is spliced, where fds have no place.
    kept = sum(12 + size for size in sizes[: sizes.index(0xFFFF_FFFF)]) if 0xFFFF_FFFF in sizes else len(stream)
    files = []

    def write():
        at = 0
        while at < len(stream):
            piece = stream[at : at + rng.choice((1, 11, 12, 13, 3000, 100_000))]
            if at + len(piece) < kept and rng.random() < 0.3 and len(files) < 60:
                files.append((tmp_path / str(len(files))).open("wb"))
                at += front.sendmsg(
                    [piece], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", files[-1].fileno()))]
                )
            else:
                at += front.send(piece)
        front.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=write)
    sender.start()
    got, fds = bytearray(), []
    while True:
        data, more = receive(back, 1 << 16)
        got += data
        fds += more
        if not data:
            break
    sender.join()
    assert bytes(got) == stream
    assert [os.readlink(f"/proc/self/fd/{fd}") for fd in fds] == [file.name for file in files]
    for fd in fds:
        os.close(fd)
    for file in files:
        file.close()
