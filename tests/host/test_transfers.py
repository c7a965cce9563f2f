"""Reads and writes of many rows in one go: what is done, what stops it, where it goes on."""

import errno
import os
import random
import tempfile

import pytest

from outboard.guest.memory import GuestMemory, Region
from outboard.host.transfers import Transfers
from outboard.host.vectored import DSYNC, NOWAIT

SIZE = 1 << 20


@pytest.fixture
def file():
    """A file of random bytes; `(fd, bytes)`."""
    data = random.Random(1).randbytes(SIZE)
    with tempfile.TemporaryFile() as made:
        made.write(data)
        made.flush()
        yield made.fileno(), data


def places(memory):
    """Return where `memory` lies, as the only region of a guest."""
    guest = GuestMemory()
    guest.add(Region(0, 0, memory))
    return guest.hosts


def errors(table):
    return [table.error(row) for row in range(table.count)]


def test_rows_read_and_write_what_they_point_to(file):
    fd, data = file
    memory = memoryview(bytearray(64 << 10))
    table = Transfers(4, 16)
    table.add()
    table.aim(False, 4096)
    for start, length in ((0, 512), (8192, 3584)):
        table.point(places(memory), 0, start, length)
    table.add()
    table.add()
    table.aim(True, 100)
    memory[40000:40010] = b"0123456789"
    table.point(places(memory), 0, 40000, 10)
    table.run(fd, 0, 3, 0, 0)
    assert errors(table) == [0, 0, 0]
    assert memory[:512] == data[4096:4608]
    assert memory[8192:11776] == data[4608:8192]
    assert os.pread(fd, 12, 99) == data[99:100] + b"0123456789" + data[110:111]


def test_a_file_that_ends_too_early_is_said_so(file):
    fd, data = file
    memory = memoryview(bytearray(8192))
    table = Transfers(2, 4)
    for offset in (SIZE - 512, SIZE + 4096):
        table.add()
        table.aim(False, offset)
        table.point(places(memory), 0, 4096 * (table.count - 1), 4096)
    table.run(fd, 0, 2, 0, 0)
    assert errors(table) == [errno.ENODATA, errno.ENODATA]
    assert memory[:512] == data[-512:]
    assert not any(memory[512:])


def test_what_was_stopped_goes_on_where_it_stood(file):
    fd, data = file
    os.ftruncate(fd, 1000)
    memory = memoryview(bytearray(8192))
    table = Transfers(1, 8)
    table.add()
    table.aim(False, 0)
    for at in range(0, 4096, 600):
        table.point(places(memory), 0, at, min(600, 4096 - at))
    table.run(fd, 0, 1, 0, 0)
    assert errors(table) == [errno.ENODATA]
    assert memory[:1000] == data[:1000]
    os.pwrite(fd, data[1000:], 1000)
    memory[:1000] = bytes(1000)
    table.run(fd, 0, 1, 0, 0)
    assert errors(table) == [0]
    assert memory[:4096] == bytes(1000) + data[1000:4096], "what was done was not done again"


def test_more_pieces_than_one_call_takes(file):
    fd, data = file
    memory = memoryview(bytearray(SIZE))
    table = Transfers(2, 2600)
    for write in (False, True):
        table.add()
        table.aim(write, 3)
        for at in range(1300):
            table.point(places(memory), 0, 2 * at, 1)
    table.run(fd, 0, 1, 0, 0)
    assert bytes(memory[0:2600:2]) == data[3:1303]
    memory[:2600] = b"z" * 2600
    table.run(fd, 1, 2, 0, 0)
    assert errors(table) == [0, 0]
    assert os.pread(fd, 1302, 2) == data[2:3] + b"z" * 1300 + data[1303:1304]


def test_errors_are_the_row_s_own(file):
    fd, data = file
    memory = memoryview(bytearray(8192))
    table = Transfers(3, 4)
    for offset in (0, (1 << 63) - 1, 4096):
        table.add()
        table.aim(False, offset)
        table.point(places(memory), 0, 4096 if offset else 0, 1024)
    table.run(fd, 0, 3, 0, 0)
    assert errors(table)[::2] == [0, 0]
    assert errors(table)[1] in (errno.EINVAL, errno.EOVERFLOW)
    assert memory[4096:5120] == data[4096:5120]
    table.clear()
    table.add()
    table.aim(True, 0)
    table.point(places(memory), 0, 0, 512)
    reading = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    table.run(reading, 0, 1, 0, 0)
    os.close(reading)
    assert errors(table) == [errno.EBADF]


def test_what_would_block_is_left_or_done(file):
    """Whatever the file system can tell: after a second run that may wait, all of it is there."""
    fd, data = file
    os.fdatasync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    memory = memoryview(bytearray(SIZE))
    table = Transfers(16, 16)
    for at in range(16):
        table.add()
        table.aim(False, 65536 * at)
        table.point(places(memory), 0, 65536 * at, 65536)
    table.run(fd, 0, 16, NOWAIT, NOWAIT)
    assert set(errors(table)) <= {0, errno.EAGAIN, errno.EOPNOTSUPP}
    table.run(fd, 0, 16, 0, 0)
    assert errors(table) == [0] * 16
    assert memory == data


def test_a_write_may_wait_for_the_medium(file):
    fd, _ = file
    table = Transfers(1, 1)
    table.add()
    table.aim(True, 512)
    memory = memoryview(bytearray(b"y" * 512))
    table.point(places(memory), 0, 0, 512)
    table.run(fd, 0, 1, 0, DSYNC)
    assert errors(table) == [0]
    assert os.pread(fd, 512, 512) == b"y" * 512


def test_a_row_can_go_on_in_a_table_of_its_own(file):
    fd, data = file
    os.ftruncate(fd, 700)
    memory = memoryview(bytearray(4096))
    table, one = Transfers(3, 8), Transfers(1, 4)
    for at in range(3):
        table.add()
        table.aim(False, 512 * at)
        for piece in range(2):
            table.point(places(memory), 0, 1024 * at + 300 * piece, 256)
    table.run(fd, 0, 2, 0, 0)
    assert errors(table)[:2] == [0, errno.ENODATA]
    os.pwrite(fd, data[700:], 700)
    table.split(1, one)
    one.run(fd, 0, 1, 0, 0)
    assert errors(one) == [0]
    assert memory[1024:1280] == data[512:768]
    assert memory[1324:1580] == data[768:1024]
    memory[1024:1580] = bytes(556)
    table.run(fd, 0, 3, 0, 0)
    assert not any(memory[1024:1580]), "nothing of it is left there"
    assert errors(table) == [0, 0, 0]
    assert memory[2048:2304] == data[1024:1280]


def test_rows_outside_of_the_run_are_left_alone(file):
    fd, data = file
    memory = memoryview(bytearray(4096))
    table = Transfers(3, 3)
    for at in range(3):
        table.add()
        table.aim(False, 512 * at)
        table.point(places(memory), 0, 1024 * at, 512)
    table.run(fd, 1, 2, 0, 0)
    assert memory[1024:1536] == data[512:1024]
    assert not any(memory[:1024])
    assert not any(memory[1536:])


def test_a_full_device_is_an_error():
    fd = os.open("/dev/full", os.O_RDWR)
    table = Transfers(1, 1)
    table.add()
    table.aim(True, 0)
    memory = memoryview(bytearray(512))
    table.point(places(memory), 0, 0, 512)
    table.run(fd, 0, 1, 0, 0)
    os.close(fd)
    assert errors(table) == [errno.ENOSPC]
