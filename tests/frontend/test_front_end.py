"""The front-end of any device, before a back-end that is a few lines of this file and does as it is told."""

import array
import os
import socket
import struct
import threading

import pytest

from outboard.errors import LocalError, ProtocolError
from outboard.frontend.front_end import FrontEnd
from outboard.frontend.inflight import InflightArea
from outboard.spec.vhost_user import F_PROTOCOL_FEATURES, Inflight, ProtocolFeature, Req
from outboard.spec.virtio import Feature

HEADER = struct.Struct("=III")
REPLY = 5
OFFERED = F_PROTOCOL_FEATURES | Feature.VERSION_1
PATIENCE_S = 10


class Puppet:
    """A back-end of two queues: answers what has a reply, and notes all else. area_fds: sent with GET_INFLIGHT_FD."""

    def __init__(self, protocol_features=ProtocolFeature.MQ | ProtocolFeature.INFLIGHT_SHMFD, area_fds=1):
        self.seen = []
        self.areas = []
        self.protocol_features, self.area_fds = protocol_features, area_fds
        self.ours, self.theirs = socket.socketpair()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while head := self.theirs.recv(HEADER.size, socket.MSG_WAITALL | socket.MSG_PEEK):
            size = HEADER.unpack(head)[2]
            data, ancillary, *_ = self.theirs.recvmsg(HEADER.size + size, socket.CMSG_SPACE(32), socket.MSG_WAITALL)
            fds = [fd for *_, some in ancillary for fd in array.array("i", some)]
            self.take(Req(HEADER.unpack_from(data)[0]), data[HEADER.size :], fds)
            for fd in fds:
                os.close(fd)

    def take(self, req, payload, fds):
        self.seen.append((req, payload))
        if req == Req.SET_INFLIGHT_FD:
            self.areas.append((Inflight.unpack(payload), os.fstat(fds[0]).st_ino))
        answers = {
            Req.GET_FEATURES: struct.pack("=Q", OFFERED),
            Req.GET_PROTOCOL_FEATURES: struct.pack("=Q", self.protocol_features),
            Req.GET_QUEUE_NUM: struct.pack("=Q", 2),
            Req.GET_VRING_BASE: payload[:4] + struct.pack("=I", 0),
            Req.GET_INFLIGHT_FD: Inflight(4096, 0, 2, 16).pack(),
        }
        if req in answers:
            made = [os.memfd_create("area") for _ in range(self.area_fds)] if req == Req.GET_INFLIGHT_FD else []
            for fd in made:
                os.ftruncate(fd, 4096)
            body = answers[req]
            socket.send_fds(self.theirs, [HEADER.pack(req, REPLY, len(body)) + body], made)
            for fd in made:
                os.close(fd)

    def said(self, req):
        """Return the payloads of one request."""
        return [payload for one, payload in self.seen if one == req]

    def close(self):
        if self.thread.is_alive():
            self.theirs.shutdown(socket.SHUT_RDWR)
            self.thread.join()
        self.theirs.close()
        self.ours.close()


@pytest.fixture
def puppets():
    """`puppets(...)` makes one; all are closed in the end."""
    made = []

    def make(**options):
        made.append(Puppet(**options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def front():
    with FrontEnd(queue_sizes=(16, 8), timeout_s=PATIENCE_S) as one:
        yield one


def started(front, puppet):
    front.attach(puppet.ours)
    front.negotiate()
    front.start()


def test_as_many_rings_as_are_wanted_and_no_gpu_socket(front, puppets):
    puppet = puppets()
    started(front, puppet)
    assert not puppet.said(Req.GPU_SET_SOCKET)
    assert puppet.said(Req.SET_VRING_NUM) == [struct.pack("=II", 0, 16), struct.pack("=II", 1, 8)]
    assert len(puppet.said(Req.SET_VRING_ENABLE)) == 2
    assert puppet.said(Req.SET_FEATURES) == [struct.pack("=Q", OFFERED)]
    asked = puppet.said(Req.GET_INFLIGHT_FD)
    assert [Inflight.unpack(one) for one in asked] == [Inflight(0, 0, 2, 16)], "the largest ring, for all"


def test_no_inflight_area_where_none_is_offered(front, puppets):
    puppet = puppets(protocol_features=0)
    started(front, puppet)
    assert front.inflight is None and not puppet.said(Req.GET_INFLIGHT_FD) and not puppet.said(Req.SET_INFLIGHT_FD)


@pytest.mark.parametrize("count", [0, 2])
def test_an_area_has_one_fd(front, puppets, count, open_fds):
    before = open_fds()
    puppet = puppets(area_fds=count)
    with pytest.raises(ProtocolError, match=f"expected 1 fd, got {count}"):
        started(front, puppet)
    puppet.close()
    assert open_fds() == before, "none of theirs is left open"


def test_the_area_outlives_its_back_end(front, puppets):
    """The next one gets the same memory, is asked for none, and goes on from what was used; every ring is kicked."""
    first, second = puppets(), puppets()
    started(front, first)
    queue = front.rings[0].queue
    for _ in range(3):
        queue.add([(front.ram.allocate(16), 16)])
    queue.publish()
    queue.used16[1] = 1  # one was answered; the other two were under way
    front.lose()
    assert not front.running
    for ring in front.rings:
        while True:  # the kicks so far were the first one's
            try:
                os.eventfd_read(ring.kick_fd)
            except BlockingIOError:
                break
    front.attach(second.ours)
    front.negotiate()
    front.recover()
    assert front.running and not second.said(Req.GET_INFLIGHT_FD)
    assert second.areas == first.areas, "its description and its file"
    assert second.said(Req.SET_VRING_BASE) == [struct.pack("=II", 0, 1), struct.pack("=II", 1, 0)]
    assert [os.eventfd_read(ring.kick_fd) for ring in front.rings] == [1, 1]
    assert queue.avail_idx == 3, "the ring is as it was"


def test_a_reset_device_has_nothing_in_flight(front, puppets):
    puppet = puppets()
    started(front, puppet)
    front.stop()
    front.resume()
    assert len(puppet.said(Req.GET_INFLIGHT_FD)) == 1 and puppet.areas[0] == puppet.areas[1]
    front.reset()
    front.start()
    assert len(puppet.said(Req.GET_INFLIGHT_FD)) == 2 and puppet.areas[2] != puppet.areas[0]


def test_what_is_in_the_area():
    fd = os.memfd_create("area")
    os.write(fd, b"abcdefgh")
    assert InflightArea(Inflight(4, 2, 1, 1), fd).read() == b"cdef"
    with pytest.raises(LocalError, match="ends at 9, its file at 8"):
        InflightArea(Inflight(4, 5, 1, 1), fd).read()
    area = InflightArea(Inflight(), fd)
    area.close()
    area.close()
