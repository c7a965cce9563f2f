"""Requests that are answered: on the image's file itself, and by the block graph."""

import random
import struct

import pytest

from outboard.machine.disk import Request, requests
from outboard.spec.virtio_blk import Feature
from tests.backend.disk.conftest import SIZE, bytes_of

OK, IOERR, UNSUPP = 0, 1, 2


def noise(seed, length):
    return random.Random(seed).randbytes(length)


@pytest.mark.parametrize("indirect", [False, True])
@pytest.mark.parametrize("piece", [0, 512, 777, 4096])
def test_reads_and_writes_in_any_pieces(served, drive, indirect, piece):
    service, data = served
    disk = drive(service, indirect=indirect, piece=piece)
    assert disk.read(0, 4096) == data[:4096]
    assert disk.read(SIZE - 512, 512) == data[-512:]
    new = noise(1, 8192)
    disk.write(3 * 512, new)
    assert disk.read(0, 16384) == data[:1536] + new + data[1536 + 8192 : 16384]
    assert bytes_of(service)[1536 : 1536 + 8192] == new


def test_nothing_is_something_to_read_and_write(served, drive):
    service, data = served
    disk = drive(service)
    assert disk.ask(requests.read(512, 0)) == (OK, b"", 1)
    assert disk.ask(requests.write(SIZE, b"")) == (OK, b"", 1)
    assert bytes_of(service) == data


def test_many_at_once_on_many_queues(served, drive):
    service, data = served
    model = bytearray(data)
    disk = drive(service, queues=4)
    for turn in range(4):
        rng = random.Random(turn)
        places = rng.sample(range(SIZE // 4096), 200)
        reads = []
        for at, place in enumerate(places):
            if at % 2:
                new = rng.randbytes(4096)
                disk.submit(requests.write(4096 * place, new), at % 4, kick=at % 3 == 0)
                model[4096 * place : 4096 * (place + 1)] = new
            else:
                reads.append((place, disk.submit(requests.read(4096 * place, 4096), at % 4, kick=at % 3 == 0)))
        disk.wait_all()
        for place, read in reads:
            assert read.answer.data == model[4096 * place : 4096 * (place + 1)]
        assert bytes_of(service) == model
    assert service.sessions == 1


def test_large_ones_at_once(serve, drive, image, iothread):
    """So much that other threads help to copy it."""
    data = noise(3, 16 << 20)
    image.write_bytes(data)
    disk = drive(serve(image, iothread=iothread))
    reads = [disk.submit(requests.read(at << 20, 1 << 20), kick=False) for at in range(16)]
    disk.wait_all()
    assert b"".join(one.answer.data for one in reads) == data
    new = noise(4, 16 << 20)
    for at in range(16):
        disk.submit(requests.write(at << 20, new[at << 20 : (at + 1) << 20]), kick=False)
    disk.wait_all()
    assert image.read_bytes() == new
    assert disk.read(0, 16 << 20) == new, "in one request"


def test_who_it_is(served, drive):
    service, _ = served
    disk = drive(service)
    assert disk.get_id() == "disk 7"
    assert disk.ask(Request(8, room=100)).data[:20] == b"disk 7".ljust(20, b"\0")
    assert disk.ask(Request(8, room=3)) == (OK, b"dis", 4)
    assert disk.ask(Request(8, room=0)) == (OK, b"", 1)
    assert (disk.config.num_queues, disk.config.capacity) == (4, SIZE // 512)


def test_flush_discard_and_zeroes(served, drive):
    service, data = served
    disk = drive(service)
    disk.flush()
    disk.write_zeroes([(4096, 8192), (0, 512)])
    disk.write_zeroes([(65536, 65536)], unmap=True)
    expected = bytearray(data)
    for start, length in ((4096, 8192), (0, 512), (65536, 65536)):
        expected[start : start + length] = bytes(length)
    assert bytes_of(service) == expected
    disk.discard([(131072, 65536), (262144, 0)])
    after = bytes_of(service)
    assert after[:131072] == expected[:131072]
    assert after[196608:] == expected[196608:]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (Request(0, SIZE // 512, room=512), IOERR),
        (Request(0, 0, room=500), IOERR),
        (Request(1, SIZE // 512, out=bytes(512)), IOERR),
        (Request(1, (1 << 64) - 1, out=bytes(1024)), IOERR),
        (Request(2), UNSUPP),
        (Request(10, room=6), UNSUPP),
        (Request(14, out=struct.pack("<QII", 0, 1, 0)), UNSUPP),
        (Request(0x8000_0000, room=512), UNSUPP),
        (Request(11, out=struct.pack("<QII", 0, 1, 1)), UNSUPP),
        (Request(11, out=bytes(15)), IOERR),
        (Request(11), IOERR),
        (Request(11, out=bytes(16 * 33)), IOERR),
        (Request(11, out=bytes(1 << 16)), IOERR),
        (Request(13, out=struct.pack("<QII", SIZE // 512, 1, 0)), IOERR),
        (Request(13, out=struct.pack("<QII", 0, 1, 0) + struct.pack("<QII", 0, 1, 6)), UNSUPP),
    ],
)
def test_wrong_ones_are_answered_and_change_nothing(served, drive, request_, status):
    service, data = served
    disk = drive(service)
    assert disk.ask(request_).status == status
    assert bytes_of(service) == data
    assert disk.read(0, 512) == data[:512]


def test_a_disk_for_reading(serve, drive, image, iothread):
    data = image.read_bytes()
    disk = drive(serve(image, iothread=iothread, read_only=True))
    assert disk.read_only
    assert not disk.has(Feature.DISCARD)
    assert disk.read(512, 512) == data[512:1024]
    assert disk.ask(requests.write(0, bytes(512))).status == IOERR
    assert disk.ask(requests.discard([(0, 512)])).status == UNSUPP
    disk.flush()
    assert image.read_bytes() == data


def test_blocks_of_4096_bytes(serve, drive, image, iothread):
    disk = drive(serve(image, iothread=iothread, logical_block_size=4096))
    assert disk.block_size == 4096
    assert disk.config.topology.physical_block_exp == 0
    assert disk.ask(requests.read(512, 4096)).status == IOERR
    assert disk.ask(requests.write(4096, bytes(512))).status == IOERR
    assert len(disk.read(4096, 8192)) == 8192


def test_writes_that_wait_for_the_medium(serve, drive, image, iothread):
    service = serve(image, iothread=iothread, writeback=False)
    disk = drive(service)
    assert disk.config.writeback == 0
    for at in range(40):
        disk.submit(requests.write(4096 * at, bytes([at]) * 4096), kick=at % 8 == 0)
    disk.wait_all()
    disk.set_writeback(True)
    assert disk.probe().writeback == 1
    disk.write(0, b"w" * 4096)
    disk.set_writeback(False)
    disk.write(512, b"t" * 512)
    expected = b"".join(bytes([at]) * 4096 for at in range(40))
    assert image.read_bytes()[: len(expected)] == b"w" * 512 + b"t" * 512 + b"w" * 3072 + expected[4096:]


def test_segments_no_larger_than_asked_for(serve, drive, image, iothread):
    disk = drive(serve(image, iothread=iothread, size_max=4096))
    assert disk.config.size_max == 4096
    assert disk.read(0, 65536) == image.read_bytes()[:65536]


def test_what_the_driver_knows_outlives_its_connection(serve, drive, image, iothread):
    service = serve(image, iothread=iothread)
    first = drive(service)
    first.set_writeback(False)
    first.machine.close()
    assert drive(service).config.writeback == 0
