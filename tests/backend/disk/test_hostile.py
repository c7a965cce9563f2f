"""Chains that no driver should lay out: what can be answered is, the rest breaks its ring and nothing else."""

import os
import struct
import time

import pytest

from outboard.machine.disk import requests
from outboard.virtio.driver_queue import NEXT, WRITE, Table
from tests.backend.conftest import eventually
from tests.backend.disk.conftest import PATIENCE, SIZE, bytes_of

OK, IOERR, UNSUPP = 0, 1, 2


class Bench:
    """A bare ring in front of a disk, and a page for headers, data and statuses."""

    def __init__(self, disk, queue=0):
        self.disk = disk
        self.machine = disk.machine
        self.ring = self.machine.rings[queue]
        self.queue = self.ring.queue
        self.page = self.machine.ram.allocate(1 << 16, 4096)
        self.view = self.machine.ram.view(self.page, 1 << 16)
        self.view[:] = b"\xee" * (1 << 16)

    def header(self, kind, sector=0):
        self.view[:16] = struct.pack("<IIQ", kind, 0, sector)

    def go(self, *rows):
        """Write descriptors (offset, length, flags) as one chain and wait for it; return the used length."""
        for at, (offset, length, flags) in enumerate(rows):
            last = at + 1 == len(rows)
            self.queue.write_desc(at, self.page + offset, length, flags | (0 if last else NEXT), 0 if last else at + 1)
        self.queue.in_flight.add(0)
        self.queue.put_head(0)
        self.ring.kick()
        return self.machine.wait_used()[0][1]

    def breaks(self):
        """Publish, kick, and wait until the back-end says that the ring is broken."""
        self.queue.publish()
        os.eventfd_write(self.ring.kick_fd, 1)
        assert self.machine._wait_readable(self.ring.err_fd, self.end())
        assert self.machine.broken()

    @staticmethod
    def end():
        return time.monotonic() + PATIENCE


@pytest.fixture
def bench(served, drive):
    service, data = served
    made = Bench(drive(service))
    made.service, made.data = service, data
    return made


def test_a_header_in_single_bytes(bench):
    bench.header(0, 2)
    rows = [(at, 1, 0) for at in range(16)]
    assert bench.go(*rows, (4096, 300, WRITE), (5000, 212, WRITE), (6000, 1, WRITE)) == 513
    assert bench.view[6000] == OK
    assert bytes(bench.view[4096:4396]) + bytes(bench.view[5000:5212]) == bench.data[1024:1536]


def test_data_and_status_in_one_descriptor(bench):
    bench.header(0, 1)
    assert bench.go((0, 16, 0), (4096, 513, WRITE)) == 513
    assert bench.view[4096:4608] == bench.data[512:1024]
    assert bench.view[4608] == OK


def test_header_and_data_in_one_descriptor(bench):
    bench.header(1, 3)
    bench.view[16:528] = b"n" * 512
    assert bench.go((0, 528, 0), (600, 1, WRITE)) == 1
    assert bench.view[600] == OK
    assert bytes_of(bench.service)[1536:2048] == b"n" * 512


def test_empty_descriptors_are_nothing(bench):
    bench.header(0)
    assert bench.go((0, 16, 0), (9, 0, 0), (4096, 0, WRITE), (4096, 512, WRITE), (8, 0, WRITE), (700, 1, WRITE)) == 513
    assert bench.view[4096:4608] == bench.data[:512]
    assert (bench.view[700], bench.view[8:9]) == (OK, b"\0")


@pytest.mark.parametrize("length", [0, 1, 15])
def test_a_header_that_is_too_short_is_an_error(bench, length):
    bench.header(0)
    rows = [(0, length, 0)] if length else []
    bench.go(*rows, (4096, 513, WRITE))
    assert bench.view[4608] == IOERR
    assert bench.view[4096:4608] == b"\xee" * 512


def test_what_a_write_may_not_overwrite_is_left_alone(bench):
    bench.header(1)
    bench.view[16:528] = b"n" * 512
    bench.go((0, 528, 0), (4096, 100, WRITE))
    assert bench.view[4096:4195] == b"\xee" * 99
    assert bench.view[4195] == OK


def test_what_a_read_reads_behind_its_header_does_not_matter(bench):
    bench.header(0)
    bench.go((0, 4000, 0), (4096, 513, WRITE))
    assert bench.view[4608] == OK
    assert bench.view[4096:4608] == bench.data[:512]


@pytest.mark.parametrize("kind", [0, 1, 4, 8, 11, 13, 99])
def test_a_request_without_a_place_for_its_status_breaks_the_ring(bench, heard, kind):
    bench.header(kind)
    bench.queue.write_desc(0, bench.page, 528, 0, 0)
    bench.queue.put_head(0)
    bench.breaks()
    assert [fields["why"] for event, fields in heard if event == "ring.broken"] == [
        "chain 0: a request without a byte for its status"
    ]
    assert bytes_of(bench.service) == bench.data


@pytest.mark.parametrize(
    ("addr", "length", "flags", "after"),
    [
        (1 << 60, 512, WRITE, 0),
        ((1 << 64) - 1, 2, WRITE, 0),
        (0, 0xFFFFFFFF, WRITE, 0),
        (0, 1, NEXT, 64),
        (0, 1, NEXT, 0),
        (0, 7, 4, 0),
    ],
)
def test_a_malformed_chain_breaks_its_ring_and_no_other(served, drive, addr, length, flags, after):
    service, data = served
    disk = drive(service, queues=2)
    bench = Bench(disk, queue=0)
    bench.queue.write_desc(0, addr, length, flags, after)
    bench.queue.put_head(0)
    bench.breaks()
    assert disk.read(512, 512, queue=1) == data[512:1024]
    with pytest.raises(Exception, match="no element on the used ring"):
        bench.machine.wait_used(0, 0.05)


def test_what_was_popped_before_the_ring_broke_is_answered(bench):
    bench.header(0)
    bench.queue.write_desc(0, bench.page, 16, NEXT, 1)
    bench.queue.write_desc(1, bench.page + 4096, 513, WRITE, 0)
    bench.queue.in_flight.add(0)
    bench.queue.put_head(0)
    bench.queue.put_head(1000)
    bench.breaks()
    assert bench.machine.wait_used() == [(0, 513)]
    assert bench.view[4608] == OK


def test_the_same_chain_again_and_again(bench):
    """More chains in flight than descriptors is what only a driver does that lies; it is answered or broken."""
    bench.header(4)
    bench.queue.write_desc(0, bench.page, 16, NEXT, 1)
    bench.queue.write_desc(1, bench.page + 4096, 1, WRITE, 0)
    for _ in range(64):
        bench.queue.put_head(0)
    bench.queue.publish()
    os.eventfd_write(bench.ring.kick_fd, 1)
    eventually(lambda: bench.queue.used_idx == 64, "all of them are answered")
    eventually(lambda: bench.service.drive.device.in_flight == 0, "none is left")


def test_indirect_tables_with_many_entries(bench):
    rows = 300
    bench.header(0)
    table = Table(bench.page + 32768, bench.view[32768:40960])
    single = [(bench.page + 4096 + at, 1, WRITE) for at in range(rows - 1)]
    table.fill([(bench.page, 16, 0), *single, (bench.page + 60000, 214, WRITE)])
    bench.queue.write_desc(0, bench.page + 32768, 16 * (rows + 1), 4, 0)
    bench.queue.in_flight.add(0)
    bench.queue.put_head(0)
    bench.ring.kick()
    assert bench.machine.wait_used() == [(0, 513)]
    assert bench.view[60213] == OK
    assert bench.view[4096 : 4096 + 299] == bench.data[:299]
    assert bench.view[60000:60213] == bench.data[299:512]


@pytest.mark.parametrize("writeback", [True, False])
def test_a_write_in_single_bytes(bench, writeback):
    """So many pieces, also where another thread writes them."""
    bench.disk.set_writeback(writeback)
    bench.header(1, 5)
    bench.view[4096 : 4096 + 512] = bytes(range(256)) * 2
    table = Table(bench.page + 32768, bench.view[32768:49152])
    single = [(bench.page + 4096 + at, 1, 0) for at in range(512)]
    table.fill([(bench.page, 16, 0), *single, (bench.page + 60000, 1, WRITE)])
    for _ in range(3):
        bench.queue.write_desc(0, bench.page + 32768, 16 * 514, 4, 0)
        bench.queue.in_flight.add(0)
        bench.queue.put_head(0)
        bench.ring.kick()
        assert bench.machine.wait_used() == [(0, 1)]
        assert bench.view[60000] == OK
    assert bytes_of(bench.service)[2560:3072] == bytes(range(256)) * 2


def test_the_ring_lives_again_after_a_reset(bench):
    bench.queue.put_head(1000)
    bench.breaks()
    bench.machine.reset()
    bench.machine.start()
    assert bench.disk.read(0, SIZE) == bench.data
    assert bench.disk.ask(requests.flush()).status == OK
