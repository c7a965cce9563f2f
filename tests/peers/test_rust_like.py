"""The stand-in for rust-vmm's back-end does what its docstring says: bytes on its sockets, typed by hand."""

import mmap
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.alike

ROOT = Path(__file__).parents[2]
PATIENCE = 10
GET_FEATURES = struct.pack("=III", 1, 1, 0)
SET_OWNER = struct.pack("=III", 3, 1, 0)
PROTOCOL = struct.pack("=IIIQ", 16, 1, 8, 0x209)
EVERYTHING = 0x0101_7100_001F


class Process:
    """A started stand-in with a connected control socket."""

    def __init__(self, path, mode, *more):
        argv = [
            sys.executable,
            "-m",
            "bench.plain",
            "tests.peers.rust_like",
            "--socket-path",
            str(path),
            "--gpu-mode",
            mode,
            *more,
        ]
        self.process = subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE)
        self.control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.control.settimeout(PATIENCE)
        end = time.monotonic() + PATIENCE
        while self.control.connect_ex(str(path)):
            assert time.monotonic() < end and self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.002)

    def say(self, data, *fds):
        socket.send_fds(self.control, [data], fds)

    def hear(self, size):
        """Return `size` bytes, fewer at the end of the stream."""
        data = b""
        while len(data) < size and (more := self.control.recv(size - len(data))):
            data += more
        return data

    def end(self):
        """Return the exit status."""
        self.control.close()
        self.process.communicate(timeout=PATIENCE)
        return self.process.returncode

    def close(self):
        self.control.close()
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start(socket_dir):
    """Starts stand-ins, and ends them with the test."""
    started = []

    def one(mode="gfxstream", *more):
        started.append(Process(socket_dir / f"{len(started)}.sock", mode, *more))
        return started[-1]

    yield one
    for process in started:
        process.close()


@pytest.mark.parametrize("more, features", [((), EVERYTHING), (("--headless",), EVERYTHING & ~2)])
def test_features(start, more, features):
    peer = start("null", *more)
    peer.say(GET_FEATURES + struct.pack("=III", 15, 1, 0))
    assert peer.hear(40) == struct.pack("=IIIQIIIQ", 1, 5, 8, features, 15, 5, 8, 0x209)
    assert peer.end() == 0


def test_config_space(start):
    peer = start()
    peer.say(PROTOCOL + struct.pack("=IIIIII8x", 24, 1, 20, 8, 8, 0))
    assert peer.hear(32) == struct.pack("=IIIIIIII", 24, 5, 20, 8, 8, 0, 16, 0)
    peer.say(struct.pack("=IIIIII8x", 24, 1, 20, 12, 8, 0))
    assert peer.hear(24) == struct.pack("=IIIIII", 24, 5, 12, 12, 0, 0)


REFUSED_BY_DEVICE = {
    "SET_OWNER twice": struct.pack("=III", 3, 9, 0),
    "features that were not offered": struct.pack("=IIIQ", 2, 9, 8, 1 << 34),
    "a ring of 2048": struct.pack("=IIIII", 8, 9, 8, 0, 2048),
    "ring 2": struct.pack("=IIIII", 8, 9, 8, 2, 64),
    "ring addresses before memory": struct.pack("=IIIIIQQQQ", 9, 9, 40, 0, 0, 0x1000, 0x3000, 0x2000, 0),
    "GPU_SET_SOCKET without a socket": struct.pack("=III", 33, 9, 0),
}


@pytest.mark.parametrize("request_bytes", REFUSED_BY_DEVICE.values(), ids=REFUSED_BY_DEVICE)
def test_an_error_is_acknowledged_and_ends_the_connection(start, request_bytes):
    peer = start()
    peer.say(PROTOCOL + SET_OWNER + request_bytes)
    number = request_bytes[:4]
    assert peer.hear(21) == number + struct.pack("=IIQ", 5, 8, 1)
    assert peer.end() == 1


REFUSED_BY_LIBRARY = {
    "version 0": struct.pack("=III", 1, 8, 0),
    "an unknown request": struct.pack("=III", 77, 9, 0),
    "a payload too long": struct.pack("=IIIQQ", 2, 9, 16, 0, 0),
    "a payload too short": struct.pack("=IIII", 2, 9, 4, 0),
    "a request without its feature": struct.pack("=III", 34, 9, 0),
    "enable without protocol features": struct.pack("=IIIII", 18, 9, 8, 0, 1),
    "a call fd that is not there": struct.pack("=IIIQ", 13, 9, 8, 0),
}


@pytest.mark.parametrize("request_bytes", REFUSED_BY_LIBRARY.values(), ids=REFUSED_BY_LIBRARY)
def test_what_the_library_refuses_ends_the_connection_unanswered(start, request_bytes):
    peer = start()
    peer.say(PROTOCOL + request_bytes)
    assert peer.hear(1) == b""
    assert peer.end() == 1


def test_an_fd_that_does_not_belong_ends_the_connection(start):
    peer = start()
    with open(os.devnull) as null:
        peer.say(GET_FEATURES, null.fileno())
    assert peer.hear(1) == b""


# One command on a ring laid out by hand, in one page of guest memory at 0


def command(peer, request, room=24, gpu=None, fence=0):
    """Set everything up, put one command on queue 0 and kick; return (call eventfd, memory)."""
    memory_fd, kick, call = os.memfd_create("guest"), os.eventfd(0), os.eventfd(0)
    os.ftruncate(memory_fd, 1 << 16)
    memory = mmap.mmap(memory_fd, 1 << 16)
    if gpu:
        peer.say(struct.pack("=III", 33, 1, 0), gpu.fileno())
    peer.say(struct.pack("=IIIQ", 2, 1, 8, 0x1_4000_0000))
    peer.say(struct.pack("=IIIIIQQQQ", 5, 1, 40, 1, 0, 0, 1 << 16, 0, 0), memory_fd)
    peer.say(struct.pack("=IIIII", 8, 1, 8, 0, 8))
    peer.say(struct.pack("=IIIIIQQQQ", 9, 1, 40, 0, 0, 0, 0x200, 0x100, 0))
    for number, fd in ((13, call), (12, kick)):
        peer.say(struct.pack("=IIIQ", number, 1, 8, 0), fd)
    peer.say(struct.pack("=IIIII", 18, 1, 8, 0, 1))
    memory[0x1000 : 0x1000 + len(request)] = request
    memory[0:32] = struct.pack("<QIHHQIHH", 0x1000, len(request), 1, 1, 0x2000, room, 2, 0)
    memory[0x100:0x106] = struct.pack("<HHH", 0, 1, 0)
    peer.say(GET_FEATURES)
    assert len(peer.hear(20)) == 20
    os.eventfd_write(kick, 1)
    return call, memory


def test_null_mode_answers_every_command_alike(start):
    ours, theirs = socket.socketpair()
    peer = start("null")
    call, memory = command(peer, struct.pack("<I20x", 0x100), 408, theirs)
    assert os.eventfd_read(call) == 1
    assert memory[0x202:0x20C] == struct.pack("<HII", 1, 0, 24)
    assert memory[0x2000:0x2018] == struct.pack("<I20x", 0x1100)
    ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        ours.recv(1)


def test_display_info_is_asked_for_and_waited_for(start):
    ours, theirs = socket.socketpair()
    ours.settimeout(PATIENCE)
    peer = start("gfxstream")
    call, memory = command(peer, struct.pack("<I20x", 0x100), 408, theirs)
    assert ours.recv(64) == struct.pack("=III", 3, 0, 0), "nothing is negotiated before"
    mode = struct.pack("<IIIIII", 7, 8, 640, 480, 1, 9)
    ours.sendall(struct.pack("=III", 3, 4, 408) + struct.pack("<I20x", 0x1101) + mode.ljust(384, b"\0"))
    assert os.eventfd_read(call) == 1
    assert memory[0x2018:0x2030] == struct.pack("<IIIIII", 0, 0, 640, 480, 1, 0)


def test_without_a_gpu_socket_the_queue_is_dead_and_the_control_socket_lives(start):
    peer = start("virglrenderer")
    _, memory = command(peer, struct.pack("<I20x", 0x100), 408)
    assert b"set_gpu_socket() not called" in peer.process.stderr.readline()
    peer.say(GET_FEATURES)
    assert len(peer.hear(20)) == 20
    assert memory[0x202:0x204] == b"\0\0"


def test_a_blob_panics_and_takes_the_control_socket_along(start):
    _, theirs = socket.socketpair()
    peer = start("gfxstream")
    command(peer, struct.pack("<I20xIIIIQQ", 0x10C, 1, 1, 0, 0, 0, 4096), 24, theirs)
    assert b"panicked" in peer.process.stderr.readline()
    peer.say(GET_FEATURES)
    assert peer.hear(1) == b""
    assert peer.end() == 101
