"""Two disks that are served at the same time, in threads of their own: each answer is that disk's, to the byte."""

import random

import pytest

from outboard.aio.iothread import IOThread
from outboard.machine.disk import requests
from tests.backend.disk.conftest import SIZE

BURSTS = 40
DEPTH = 48


class Checked:
    """A disk under random requests, many in flight, and what it must hold."""

    def __init__(self, disk, service, data, seed):
        self.disk, self.service = disk, service
        self.random = random.Random(seed)
        self.data = bytearray(data)
        self.wanted = []

    def fill(self):
        """Put requests on the ring that do not touch each other's bytes; the device is not told."""
        for place in self.random.sample(range(SIZE // 8192), DEPTH):
            at, length = 8192 * place, 512 * self.random.randint(1, 16)
            kind = self.random.choice(["read", "read", "write", "write", "flush", "id", "beyond"])
            if kind == "read":
                self.ask(requests.read(at, length), bytes(self.data[at : at + length]))
            elif kind == "write":
                self.data[at : at + length] = new = self.random.randbytes(length)
                self.ask(requests.write(at, new), b"")
            elif kind == "flush":
                self.ask(requests.flush(), b"")
            elif kind == "id":
                self.ask(requests.get_id(), self.service.drive.disk.serial)
            else:
                self.ask(requests.read(SIZE, 512), None)

    def ask(self, request, answer):
        self.wanted.append((self.disk.submit(request, kick=False), answer))

    def check(self):
        """Compare all answers; None: refused."""
        self.disk.wait_all()
        for pending, answer in self.wanted:
            assert pending.answer.ok == (answer is not None)
            assert answer is None or pending.answer.data == answer
        self.wanted.clear()


@pytest.mark.parametrize("moves", [False, True])
def test_two_disks_at_the_same_time(folder, image, iothread, serve, drive, moves):
    """Also while each moves to where the other was."""
    images = [image, folder / "other.img"]
    images[1].write_bytes(random.Random(8).randbytes(SIZE))
    with IOThread("other") as other:
        threads = [iothread, other]
        both = []
        for at, (path, thread) in enumerate(zip(images, threads, strict=True)):
            service = serve(path, iothread=thread, serial=f"disk {at}")
            both.append(Checked(drive(service), service, path.read_bytes(), at))
        for turn in range(BURSTS):
            for one in both:
                one.fill()
            for one in both:
                one.disk.machine.kick(0)
            if moves:
                for at, one in enumerate(both):
                    one.service.try_set_aio_context(threads[(at + turn) % 2])
            for one in both:
                one.check()
        for one, path in zip(both, images, strict=True):
            one.disk.flush()
            assert path.read_bytes() == one.data
            one.service.try_set_aio_context(iothread)
