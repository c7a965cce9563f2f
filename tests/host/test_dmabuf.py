"""Buffers that another process shares: what is read of them, what is refused, and what a hostile owner can do later.

Not tested: a real dma-buf, which only a driver makes. A memory file stands for one here, and its ioctl is replaced.
"""

import errno
import fcntl
import os
import socket
import struct
import tempfile

import pytest

from outboard.errors import LocalError
from outboard.host import dmabuf
from outboard.host.dmabuf import DmaBuf, MemoryFile, rows_of

pytestmark = pytest.mark.alike

CONTENT = bytes(range(256)) * 32


@pytest.fixture
def memfd():
    """A memory file of 8192 bytes; closed by whoever takes it."""
    fd = os.memfd_create("shared", os.MFD_ALLOW_SEALING)
    os.write(fd, CONTENT)
    yield fd
    try:
        os.close(fd)
    except OSError:
        pass


def read(rows, offset, size):
    """Read some bytes as a row is read."""
    into = memoryview(bytearray(size))
    rows.begin()
    rows.read(offset, into)
    rows.end()
    return bytes(into)


# Memory files


def test_a_memory_file_is_read_where_one_asks(memfd):
    rows = rows_of(memfd, 8192)
    assert isinstance(rows, MemoryFile)
    assert read(rows, 0, 8192) == CONTENT
    assert read(rows, 8191, 1) == b"\xff"
    assert read(rows, 300, 0) == b""
    os.pwrite(memfd, b"new", 5)
    assert read(rows, 4, 5) == b"\4new\10", "what is there now"
    rows.close()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(memfd)


def test_where_the_file_stands_does_not_matter(memfd):
    os.lseek(memfd, 100, os.SEEK_SET)
    rows = rows_of(memfd, 8192)
    assert os.lseek(memfd, 0, os.SEEK_CUR) == 100, "the position is the peer's too"
    assert read(rows, 0, 4) == b"\0\1\2\3"


def test_a_file_that_is_truncated_later_is_told_and_never_faults(memfd):
    rows = rows_of(memfd, 8192)
    os.ftruncate(memfd, 5000)
    assert read(rows, 4990, 10) == CONTENT[4990:5000]
    with pytest.raises(LocalError, match="ends at byte 5000, 5 bytes too early"):
        read(rows, 4995, 10)
    os.ftruncate(memfd, 0)
    with pytest.raises(LocalError, match="ends at byte 0"):
        read(rows, 0, 1)


def test_sealed_files_and_holes_are_read(memfd):
    os.ftruncate(memfd, 1 << 40)
    fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
    rows = rows_of(memfd, 1 << 40)
    assert read(rows, (1 << 40) - 4, 4) == bytes(4)


def test_a_file_on_tmpfs_is_a_memory_file_too():
    if not os.path.isdir("/dev/shm"):
        pytest.skip("no tmpfs at /dev/shm")
    with tempfile.TemporaryFile(dir="/dev/shm") as file:
        file.write(CONTENT)
        file.flush()
        assert read(rows_of(file.fileno(), 8192), 256, 3) == b"\0\1\2"


def pipe_read():
    ours, theirs = os.pipe()
    os.close(theirs)
    return ours


def pipe_write():
    ours, theirs = os.pipe()
    os.close(ours)
    return theirs


def unix_socket():
    ours, _theirs = socket.socketpair()
    return ours.detach()


def on_disk():
    # The folder of this file lies on a disk, or on what stands for one.
    fd = os.open(os.path.dirname(__file__), os.O_RDWR | os.O_TMPFILE)
    os.write(fd, CONTENT)
    try:
        fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        return fd
    os.close(fd)
    raise OSError("the tests lie in memory themselves")


REFUSED = {
    "pipe": pipe_read,
    "pipe to nobody": pipe_write,
    "socket": unix_socket,
    "/dev/null": lambda: os.open("/dev/null", os.O_RDWR),
    "/dev/zero": lambda: os.open("/dev/zero", os.O_RDWR),
    "folder": lambda: os.open("/", os.O_RDONLY),
    "eventfd": lambda: os.eventfd(1),
    "/proc": lambda: os.open("/proc/self/status", os.O_RDONLY),
    "path only": lambda: os.open("/", os.O_PATH),
    "file on a disk": on_disk,
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_shared_memory_is_refused_with_a_reason_and_stays_the_callers(kind, open_fds):
    before = open_fds()
    try:
        fd = REFUSED[kind]()
    except OSError as error:
        pytest.skip(f"cannot be made here: {error}")
    with pytest.raises(LocalError, match="neither a dma-buf nor a memory file"):
        rows_of(fd, 0)
    os.close(fd)
    assert open_fds() == before


@pytest.mark.parametrize("size", [8193, 1 << 32, 1 << 63, 1 << 70])
def test_a_file_that_is_too_small_is_refused(memfd, size):
    with pytest.raises(LocalError, match=f"has 8192 bytes, its stride and height ask for {size}"):
        rows_of(memfd, size)
    os.fstat(memfd)


def test_a_file_that_cannot_be_read_is_told(memfd):
    writable = os.open(f"/proc/self/fd/{memfd}", os.O_WRONLY)
    rows = rows_of(writable, 8192)
    with pytest.raises(LocalError, match="cannot be read"):
        read(rows, 0, 1)
    rows.close()


# What stands for a dma-buf


class Ioctls:
    """Notes the ioctls; fails as often as it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple] = []
        self.failures: list[int] = []

    def __call__(self, fd, number, argument):
        self.seen.append((fd, number, struct.unpack("=Q", argument)[0]))
        if self.failures:
            number = self.failures.pop(0)
            raise OSError(number, os.strerror(number))
        return 0


@pytest.fixture
def ioctls(monkeypatch):
    made = Ioctls()
    monkeypatch.setattr(dmabuf.fcntl, "ioctl", made)
    monkeypatch.setattr(dmabuf, "_is_dmabuf", lambda fd: True)
    return made


def test_a_dmabuf_is_read_between_the_two_syncs(memfd, ioctls):
    rows = rows_of(memfd, 8192)
    assert isinstance(rows, DmaBuf)
    assert read(rows, 254, 4) == b"\xfe\xff\0\1"
    # _IOW('b', 0, __u64): write 1 << 30, size 8 << 16, type 0x62 << 8, number 0. READ is 1, START is 0, END is 4.
    assert ioctls.seen == [(memfd, 0x40086200, 1), (memfd, 0x40086200, 5)]
    with pytest.raises(LocalError, match="has 8192 bytes, wanted 4 at 8189"):
        rows.read(8189, memoryview(bytearray(4)))
    rows.close()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(memfd)


def test_a_sync_that_was_interrupted_is_made_again(memfd, ioctls):
    rows = rows_of(memfd, 8192)
    ioctls.failures = [errno.EINTR, errno.EAGAIN]
    rows.begin()
    assert len(ioctls.seen) == 3
    rows.close()


def test_a_sync_that_fails_is_told(memfd, ioctls):
    rows = rows_of(memfd, 8192)
    ioctls.failures = [errno.ENOTTY]
    with pytest.raises(LocalError, match="DMA_BUF_IOCTL_SYNC failed"):
        rows.begin()
    rows.close()


def test_a_dmabuf_that_cannot_be_mapped_is_refused(memfd, ioctls, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(dmabuf.mmap, "mmap", refuse)
    with pytest.raises(LocalError, match="cannot be mapped"):
        rows_of(memfd, 8192)
    os.fstat(memfd)


def test_a_dmabuf_that_is_too_small_or_has_no_size_is_refused(memfd, ioctls):
    with pytest.raises(LocalError, match="has 8192 bytes"):
        rows_of(memfd, 8193)
    os.ftruncate(memfd, 0)
    with pytest.raises(LocalError, match="cannot be mapped"):
        rows_of(memfd, 0)
    ours, theirs = os.pipe()
    with pytest.raises(LocalError, match="neither a dma-buf nor a memory file"):
        rows_of(ours, 0)
    os.close(ours)
    os.close(theirs)


def test_a_read_only_dmabuf_is_mapped_for_reading(memfd, ioctls):
    readable = os.open(f"/proc/self/fd/{memfd}", os.O_RDONLY)
    rows = rows_of(readable, 8192)
    assert read(rows, 1, 2) == b"\1\2"
    rows.close()


def test_the_exporters_name_tells_a_dmabuf(memfd, tmp_path, monkeypatch):
    said = tmp_path / "info"
    monkeypatch.setattr("builtins.open", lambda path, *_: said.open())
    said.write_text("pos:\t0\nflags:\t02\nsize:\t8192\ncount:\t2\nexp_name:\tudmabuf\n")
    assert dmabuf._is_dmabuf(memfd)
    said.write_text("pos:\t0\nflags:\t02\nname:\texp_name:\n")
    assert not dmabuf._is_dmabuf(memfd)
    said.unlink()
    with pytest.raises(LocalError, match="nothing is known"):
        dmabuf._is_dmabuf(memfd)


def test_a_mapping_takes_no_fd_for_good(memfd, ioctls, open_fds):
    before = open_fds()
    for _ in range(3):
        rows_of(os.dup(memfd), 8192).close()
    assert open_fds() == before
