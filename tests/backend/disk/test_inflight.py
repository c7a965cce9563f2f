"""What a back-end that died had in flight is done by the next one, once each, in order."""

import os
import random
import signal
import socket
import struct
import subprocess
import sys

import pytest

from outboard.errors import LocalError, ProtocolError
from outboard.frontend.front_end import FrontEnd
from outboard.machine.disk import Disk, requests
from outboard.machine.disk.disk import FEATURES
from outboard.spec.vhost_user import Inflight
from tests.backend.disk.conftest import PATIENCE, SIZE


@pytest.fixture
def machine(serve, image, iothread):
    """A front-end that has negotiated with a disk of two queues, and runs."""
    service = serve(image, iothread=iothread, num_queues=2, queue_size=64)
    with FrontEnd(queue_sizes=(64, 64), features=FEATURES, timeout_s=PATIENCE) as made:
        made.connect(service.path)
        made.negotiate()
        made.service = service
        yield made


def test_an_area_is_made_for_all_queues(machine):
    machine.start()
    area = machine.inflight
    assert (area.description.num_queues, area.description.queue_size) == (2, 64)
    assert area.description.mmap_size == 2 * 1088
    data = area.read()
    for at in (0, 1088):
        assert struct.unpack_from("<QHHHH", data, at) == (0, 1, 64, 0, 0)
    assert not any(data[16:1088])


def test_requests_are_noted_and_crossed_out(machine):
    machine.start()
    disk = Disk(machine)
    disk.probe()
    for _ in range(3):
        disk.read(0, 512, queue=1)
    data = machine.inflight.read()
    first, second = (struct.unpack_from("<QHHHH", data, at) for at in (0, 1088))
    assert first == (0, 1, 64, 0, 0)
    assert second[1:3] == (1, 64)
    assert second[4] == 3, "used index"
    assert not any(data[1088 + 16 + 16 * at] for at in range(64)), "nothing is in flight"
    counters = [struct.unpack_from("<Q", data, 1088 + 16 + 16 * at + 8)[0] for at in range(64)]
    assert sorted(counters)[-1] == 2


@pytest.mark.parametrize(
    "asked", [Inflight(0, 0, 0, 64), Inflight(0, 0, 3, 64), Inflight(0, 0, 1, 0), Inflight(0, 0, 1, 128)]
)
def test_an_area_that_is_not_for_this_disk_is_not_made(machine, asked):
    with pytest.raises((ProtocolError, LocalError)):
        machine.control.ask(machine.session.get_inflight_fd(asked.num_queues, asked.queue_size), PATIENCE)


@pytest.mark.parametrize(
    ("area", "length"),
    [
        (Inflight(2 * 1088, 0, 2, 64), 1088),
        (Inflight(1088, 0, 2, 64), 4096),
        (Inflight(2 * 1088, 4, 2, 64), 8192),
        (Inflight(2 * 1088, 8192, 2, 64), 8192),
        (Inflight(1 << 63, (1 << 63) - 8, 2, 64), 8192),
        (Inflight(4 * 1088, 0, 4, 64), 8192),
    ],
)
def test_an_area_that_cannot_be_used_is_refused(machine, area, length):
    fd = os.memfd_create("area")
    os.ftruncate(fd, length)
    message = machine.session.set_inflight_fd(area, fd)
    with pytest.raises((ProtocolError, LocalError)):
        machine.tell(message)
        machine.get(1)
    os.close(fd)


def test_an_fd_that_cannot_be_mapped_is_refused(machine):
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises((ProtocolError, LocalError)):
        machine.tell(machine.session.set_inflight_fd(Inflight(2 * 1088, 0, 2, 64), theirs.fileno()))
        machine.get(1)


def test_a_front_end_that_loses_its_connection_goes_on(machine):
    """The same back-end, another session: what it had is finished before the first one ends."""
    machine.start()
    disk = Disk(machine)
    disk.probe()
    for at in range(32):
        disk.submit(requests.write(4096 * at, bytes([at]) * 4096), at % 2)
    machine.lose()
    machine.connect(machine.service.path)
    machine.negotiate()
    machine.recover()
    disk.wait_all()
    assert disk.read(0, 32 * 4096) == b"".join(bytes([at]) * 4096 for at in range(32))


class Killed:
    """A process that serves an image and is killed at any moment, again and again."""

    def __init__(self, path, image, *options):
        self.path = path
        self.command = [sys.executable, "-m", "outboard", "blk", "serve", str(path), "--image", str(image), *options]
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        assert line.startswith("outboard: serving"), line + self.process.stderr.read()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stderr.close()


@pytest.mark.parametrize("options", [(), ("--cache", "writethrough")])
def test_kill_nine_again_and_again(folder, image, options):
    """Every block holds the number of its last write that was answered, or of the one in flight: none older."""
    path = folder / "killed.sock"
    killed = Killed(path, image, "--num-queues", "2", *options)
    killed.start()
    rng = random.Random(11)
    with FrontEnd(queue_sizes=(64, 64), features=FEATURES, timeout_s=PATIENCE) as machine:
        machine.connect(path)
        machine.negotiate()
        machine.start()
        disk = Disk(machine)
        disk.probe()
        blocks = SIZE // 4096
        number = dict.fromkeys(range(blocks), 0)
        for place in range(blocks):
            disk.write(4096 * place, struct.pack("<Q", 0) * 512)
        for turn in range(6):
            sent = []
            for at, place in enumerate(rng.sample(range(blocks), 100)):
                number[place] = 1000 * turn + at + 1
                data = struct.pack("<Q", number[place]) * 512
                sent.append(disk.submit(requests.write(4096 * place, data), at % 2, kick=at % 5 == 0))
                if at == 60 + turn:
                    killed.kill()
                    killed.start()
                    machine.lose()
                    machine.connect(path)
                    machine.negotiate()
                    machine.recover()
            disk.wait_all()
            assert all(one.answer.ok for one in sent)
            for place in range(blocks):
                assert disk.read(4096 * place, 4096) == struct.pack("<Q", number[place]) * 512, (turn, place)
    killed.kill()
    data = image.read_bytes()
    assert [struct.unpack_from("<Q", data, 4096 * place)[0] for place in range(blocks)] == list(number.values())
