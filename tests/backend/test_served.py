"""Sessions of a device that is no GPU: features, rings, config and requests of its own."""

import os
import socket
import struct

import pytest

from outboard.backend import control
from outboard.backend.rings import Ring
from outboard.backend.served import Answer
from outboard.backend.server import UNSENT_FDS_MAX, Server
from outboard.errors import ProtocolError
from outboard.guest.memory import GuestMemory
from outboard.host.loop import Loop
from outboard.spec.vhost_user import Inflight, ProtocolFeature, Req
from outboard.virtio.split_queue import SplitQueue
from tests.backend.conftest import Raw

RINGS = 40
LARGEST = 64
CONFIG = bytes(range(100))


class Idle:
    """Does nothing with what is on a queue."""

    def __init__(self, queue):
        self.queue = queue

    def suspend(self):
        pass


def get_inflight_fd(device, session, request, payload):
    fd = os.memfd_create("inflight")
    os.write(fd, b"area")
    device.lent.append(fd)
    return Answer(Inflight(4, 0, payload.num_queues, payload.queue_size), fds=[fd])


class Toy:
    """A device with many rings that does nothing, and cannot do without a feature."""

    offered = 1 << 32 | 1 << 30 | 1 << 9
    protocol_features = ProtocolFeature.MQ | ProtocolFeature.REPLY_ACK | ProtocolFeature.CONFIG
    requests = control.COMMON | {Req.GET_INFLIGHT_FD: get_inflight_fd}

    def __init__(self, loop):
        self.memory = GuestMemory()
        self.memory_lost = lambda: None
        self.rings = [Ring(at, loop, Idle(SplitQueue(self.memory)), lambda: None, LARGEST) for at in range(RINGS)]
        self.told = []
        self.lent = []

    def set_features(self, features):
        if not features & 1 << 9:
            raise ProtocolError("SET_FEATURES", "bit 9", f"{features:#x}")

    def config(self):
        return CONFIG

    def set_config(self, offset, data):
        if offset > 4:
            raise ProtocolError("SET_CONFIG", "offset 4 at most", str(offset))
        self.told.append((offset, data))

    def wake(self):
        pass

    ask_reset = wake

    def stop(self, ring):
        return ring.stop()

    def close(self):
        for ring in self.rings:
            ring.close()


class Rig:
    """A front-end's end, and the loop of the other, which is run step by step."""

    def __init__(self):
        self.loop = Loop()
        ours, theirs = socket.socketpair()
        self.peer = Raw(sock=ours)
        self.ended = []
        self.server = Server(self.loop, Toy, done=lambda: self.ended.append(True))
        self.server.adopt(theirs.detach())
        self.device = self.server.session.device

    def run(self):
        for _ in range(8):
            self.loop.run_once(0)

    def ask(self, request, payload=b"", flags=1, fds=()):
        self.peer.message(request, payload, flags, fds)
        self.run()
        return self.peer.answer()

    def acked(self, request, payload=b"", fds=()):
        return int.from_bytes(self.ask(request, payload, 9, fds)[2], "little")


@pytest.fixture
def rig():
    made = Rig()
    assert made.ask(15)[2] == struct.pack("=Q", 0x209)
    made.peer.message(16, struct.pack("=Q", 0xFFFF_FFFF))
    made.run()
    yield made
    made.server.close()
    made.loop.close()
    made.peer.close()


def test_features_rings_and_config_are_the_device_s(rig):
    assert rig.ask(1)[2] == struct.pack("=Q", 0x1_4000_0200)
    assert rig.ask(17)[2] == struct.pack("=Q", RINGS)
    assert rig.ask(24, struct.pack("=III", 90, 10, 0) + bytes(10))[2][12:] == CONFIG[90:]
    assert rig.acked(2, struct.pack("=Q", 0x1_4000_0200)) == 0
    assert rig.acked(2, struct.pack("=Q", 0x1_4000_0000)) == 1


def test_rings_are_as_many_and_as_large_as_the_device_says(rig):
    assert rig.acked(8, struct.pack("=II", RINGS - 1, LARGEST)) == 0
    assert rig.acked(8, struct.pack("=II", RINGS, LARGEST)) == 1
    assert rig.acked(8, struct.pack("=II", 0, 2 * LARGEST)) == 1
    with os.fdopen(os.eventfd(0), "wb") as kick:
        assert rig.acked(12, struct.pack("=Q", RINGS - 1), [kick.fileno()]) == 0
    assert rig.device.rings[RINGS - 1].kick is not None
    assert rig.acked(18, struct.pack("=II", RINGS - 1, 1)) == 0
    assert rig.device.rings[RINGS - 1].live
    assert rig.ask(11, struct.pack("=II", RINGS - 1, 0))[2] == struct.pack("=II", RINGS - 1, 0)
    assert not rig.device.rings[RINGS - 1].live


def test_config_is_written_as_the_device_takes_it(rig):
    assert rig.acked(25, struct.pack("=III", 3, 2, 0) + b"ab") == 0
    assert rig.acked(25, struct.pack("=III", 5, 2, 0) + b"ab") == 1
    assert rig.device.told == [(3, b"ab")]


def test_a_request_of_the_device_s_own_is_answered_with_an_fd(rig):
    rig.peer.message(31, struct.pack("=QQHHI", 0, 0, 2, 64, 0))
    rig.run()
    data, fds, _, _ = socket.recv_fds(rig.peer.socket, 1000, 4)
    assert data == struct.pack("=III", 31, 5, 24) + struct.pack("=QQHHI", 4, 0, 2, 64, 0)
    (fd,) = fds
    assert os.pread(fd, 10, 0) == b"area"
    os.close(fd)
    for lent in rig.device.lent:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(lent)


def test_what_is_of_another_device_is_refused(rig):
    with socket.socket(socket.AF_UNIX) as display:
        assert rig.acked(33, fds=[display.fileno()]) == 1
    assert rig.ask(1)[0] == 1


def test_fds_that_nobody_reads_end_the_session_and_are_closed(rig, heard, open_fds):
    before = open_fds()
    message = struct.pack("=III", 31, 1, 24) + struct.pack("=QQHHI", 0, 0, 2, 64, 0)
    while not rig.ended:
        rig.peer.send(message)
        rig.run()
    assert heard[-1] == ("session.ended", {"why": f"more than {UNSENT_FDS_MAX} fds of answers unread"})
    assert len(rig.device.lent) > UNSENT_FDS_MAX
    assert open_fds() == before - 1, "the session's socket is closed, and every fd"
