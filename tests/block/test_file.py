"""Images in files: system calls that do half of what was asked, holes, errors, locks that QEMU honours."""

import errno
import fcntl
import os
import re
import shutil
import signal
import struct
import subprocess
import sys

import pytest

from outboard.aio import IOThread
from outboard.block.backend import BlockBackend
from outboard.block.drivers import File, Raw, file_io
from outboard.block.graph import FILE, Node, attach_child, close
from outboard.errors import LocalError

pytestmark = pytest.mark.alike

DATA = bytes(range(256)) * 64


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "image"
    made.write_bytes(DATA)
    return made


@pytest.fixture
def backend(path):
    made = BlockBackend("disk0")
    node = Node("file", File(path))
    made.insert(node)
    yield made
    made.remove()
    close(node)


def fails(backend, coro) -> int:
    with pytest.raises(OSError) as failure:
        backend.run(coro)
    return failure.value.errno


def test_reading_and_writing(backend, path):
    assert backend.length == len(DATA) and backend.pread(100, 300) == DATA[100:400]
    backend.pwrite(1000, b"written")
    backend.run(backend.flush())
    assert path.read_bytes() == DATA[:1000] + b"written" + DATA[1007:]


def test_what_is_not_in_the_page_cache_is_read_by_another_thread(backend):
    os.fsync(backend.node.driver.fd)
    os.posix_fadvise(backend.node.driver.fd, 0, 0, os.POSIX_FADV_DONTNEED)
    assert backend.pread(0, len(DATA)) == DATA


def test_a_page_that_is_missing_in_the_middle(backend, monkeypatch):
    """Each read without waiting stops after 100 bytes, the third one would wait."""
    calls, real = [], os.preadv

    def preadv(fd, buffers, offset, flags=0):
        calls.append((offset, flags))
        if flags and len(calls) == 3:
            raise BlockingIOError(errno.EAGAIN, "would wait")
        return real(fd, [memoryview(buffers[0])[:100]], offset)

    monkeypatch.setattr(os, "preadv", preadv)
    assert backend.pread(10, 350) == DATA[10:360]
    now, later = os.RWF_NOWAIT, 0
    assert calls == [(10, now), (110, now), (210, now), (210, later), (310, later)]


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_a_file_system_that_always_waits(backend, monkeypatch, number):
    real, asked = os.preadv, []

    def preadv(fd, buffers, offset, flags=0):
        asked.append(flags)
        if flags:
            raise OSError(number, "no")
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    assert backend.pread(0, 10) == backend.pread(0, 10) == DATA[:10]
    assert asked == [os.RWF_NOWAIT, 0, 0], "it is asked once"


def test_writes_that_do_half(backend, path, monkeypatch):
    real = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda fd, views, offset: real(fd, [bytes(views[0])[:7]], offset))
    backend.run(backend.pwritev(5, [b"0123456789", b"", b"abcdefghij"]))
    assert path.read_bytes()[:30] == DATA[:5] + b"0123456789abcdefghij" + DATA[25:30]


def test_more_buffers_than_the_kernel_takes(backend, path):
    pieces = [bytes([number % 251]) for number in range(3000)]
    backend.run(backend.pwritev(1, pieces))
    assert path.read_bytes()[1:3001] == b"".join(pieces)
    got = [bytearray(1) for _ in range(3000)]
    backend.run(backend.preadv(1, got))
    assert b"".join(got) == b"".join(pieces)


@pytest.mark.parametrize("call", ["preadv", "pwritev"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_errors_keep_their_number(backend, monkeypatch, call, number):
    def broken(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, broken)
    assert fails(backend, getattr(backend, call)(0, [bytearray(10)])) == number
    assert not backend.in_flight and not backend.node.in_flight


def test_a_disk_that_takes_nothing_is_full(backend, monkeypatch):
    monkeypatch.setattr(os, "pwritev", lambda *_: 0)
    assert fails(backend, backend.pwritev(0, [b"x"])) == errno.ENOSPC


def test_an_error_of_a_worker_comes_to_who_asked(backend, monkeypatch):
    def broken(fd):
        raise OSError(errno.EIO, "gone")

    monkeypatch.setattr(os, "fdatasync", broken)
    assert fails(backend, backend.flush()) == errno.EIO


def test_signals_do_not_end_a_read(tmp_path):
    """A fifo stands for a disk that waits: the read is interrupted before there is something."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading, writing = os.open(fifo, os.O_RDWR | os.O_NONBLOCK), os.open(fifo, os.O_WRONLY)
    os.set_blocking(reading, True)
    seen = []

    def arrived(*_):
        seen.append("signal")
        os.write(writing, b"late")

    before = signal.signal(signal.SIGALRM, arrived)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        got = bytearray(4)
        file_io._transfer(lambda views, _: os.readv(reading, views), 0, [got])
    finally:
        signal.signal(signal.SIGALRM, before)
        os.close(reading)
        os.close(writing)
    assert bytes(got) == b"late" and seen == ["signal"]


def test_the_last_sector_is_whole_and_ends_in_zeros(tmp_path):
    path = tmp_path / "odd"
    path.write_bytes(b"x" * 700)
    backend, node = BlockBackend("disk0"), Node("file", File(path))
    backend.insert(node)
    assert backend.length == 1024
    assert backend.pread(600, 424) == b"x" * 100 + bytes(324)
    os.ftruncate(node.driver.fd, 100)
    assert backend.pread(0, 1024) == b"x" * 100 + bytes(924), "a file that was cut behind our back"
    backend.pwrite(1000, b"end")
    assert path.stat().st_size == 1003
    backend.remove()
    close(node)


def holes(path) -> bool:
    return path.stat().st_blocks * 512 < path.stat().st_size


def test_discard_and_zeroes_make_holes(backend, path):
    backend.run(backend.pdiscard(0, 8192))
    assert backend.pread(0, 8192) == bytes(8192) and holes(path)
    backend.run(backend.pwrite_zeroes(8192, 4096, may_unmap=True))
    backend.run(backend.pwrite_zeroes(12300, 10))
    assert (
        backend.pread(8192, 4096) == bytes(4096)
        and path.read_bytes()[12288:] == DATA[12288:12300] + bytes(10) + DATA[12310:]
    )
    assert path.stat().st_size == len(DATA)


@pytest.mark.parametrize("may_unmap", [False, True])
def test_a_file_system_without_holes_gets_zeros(backend, path, monkeypatch, may_unmap):
    def no(fd, mode, offset, size):
        raise OSError(errno.ENOTSUP, "no")

    monkeypatch.setattr(file_io, "fallocate", no)
    backend.run(backend.pwrite_zeroes(100, 5000, may_unmap=may_unmap))
    assert path.read_bytes() == DATA[:100] + bytes(5000) + DATA[5100:]
    backend.run(backend.pdiscard(0, 512))
    assert path.read_bytes()[:100] == DATA[:100], "a discard may do nothing"


def test_the_second_way_is_taken(backend, monkeypatch):
    done, real = [], file_io.fallocate

    def partly(fd, mode, offset, size):
        done.append(mode)
        if mode & file_io.ZERO_RANGE:
            raise OSError(errno.ENOTSUP, "no")
        real(fd, mode, offset, size)

    monkeypatch.setattr(file_io, "fallocate", partly)
    backend.run(backend.pwrite_zeroes(0, 4096))
    assert done == [file_io.ZERO_RANGE | file_io.KEEP_SIZE, file_io.PUNCH_HOLE | file_io.KEEP_SIZE, 0]
    assert backend.pread(0, 4097) == bytes(4096) + DATA[4096:4097]


def test_other_errors_of_fallocate_are_told(backend, monkeypatch):
    def full(fd, mode, offset, size):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(file_io, "fallocate", full)
    assert fails(backend, backend.pwrite_zeroes(0, 4096)) == errno.ENOSPC
    assert fails(backend, backend.pdiscard(0, 4096)) == errno.ENOSPC


def test_fallocate_reports_the_kernels_error(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(OSError) as failure:
            file_io.fallocate(fd, file_io.PUNCH_HOLE | file_io.KEEP_SIZE, 0, 4096)
    finally:
        os.close(fd)
    assert failure.value.errno == errno.EBADF


def test_another_length(backend, path):
    backend.run(backend.truncate(4096))
    assert (backend.length, path.stat().st_size) == (4096, 4096)
    backend.run(backend.truncate(8192))
    assert backend.pread(4000, 200) == DATA[4000:4096] + bytes(104)


def test_a_window(path):
    backend, window = BlockBackend("disk0"), Node("window", Raw(offset=1000, size=2000))
    attach_child(window, Node("file", File(path)), FILE)
    backend.insert(window)
    assert backend.length == 2000 and backend.pread(0, 2000) == DATA[1000:3000]
    backend.pwrite(1990, b"0123456789")
    assert path.read_bytes()[2990:3001] == b"0123456789" + DATA[3000:3001]
    backend.run(backend.pwrite_zeroes(0, 8))
    backend.run(backend.pdiscard(0, 8))
    assert path.read_bytes()[999:1009] == DATA[999:1000] + bytes(8) + DATA[1008:1009]
    assert fails(backend, backend.pwritev(1999, [b"ab"])) == errno.EIO
    assert fails(backend, backend.truncate(10)) == errno.ENOTSUP
    backend.remove()
    close(window)


@pytest.mark.parametrize(("offset", "size", "length"), [(0, None, 16384), (16000, 1000, 384), (20000, None, 0)])
def test_windows_that_reach_past_the_file(path, offset, size, length):
    window = Node("window", Raw(offset=offset, size=size))
    attach_child(window, Node("file", File(path, read_only=True)), FILE)
    assert window.driver.length() == length
    close(window)


def test_a_file_in_an_iothread(path):
    with IOThread("io0") as thread:
        backend, node = BlockBackend("disk0", thread.context), Node("file", File(path), thread.context)
        backend.insert(node)
        backend.pwrite(7, b"thread")
        assert backend.pread(7, 6) == b"thread"
        backend.run(backend.flush())
        backend.remove()
        close(node)


# Opening


@pytest.mark.parametrize("read_only", [False, True])
def test_what_cannot_be_opened(tmp_path, read_only):
    for path, words in ((tmp_path / "none", "No such file or directory"), (tmp_path, "")):
        with pytest.raises(LocalError, match=f"^Could not open '{re.escape(str(path))}': .*{words}"):
            File(path, read_only=read_only)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(LocalError, match="expected a regular file or a block device"):
        File(tmp_path / "fifo", read_only=False)


def test_nothing_stays_open_when_opening_fails(path, tmp_path, open_fds):
    writer = File(path)
    before = open_fds()
    for wrong in (path, tmp_path, tmp_path / "none"):
        with pytest.raises(LocalError):
            File(wrong)
    assert open_fds() == before
    writer.close()


# Locks


def test_an_image_is_written_by_one(path):
    writer = File(path)
    mine = re.escape(f"image [{path}] is in use by process {os.getpid()} (")
    with pytest.raises(LocalError, match=f'^Failed to get "write" lock: {mine}'):
        File(path)
    with pytest.raises(LocalError, match=f'^Failed to get shared "write" lock: {mine}'):
        File(path, read_only=True)
    writer.close()
    readers = File(path, read_only=True), File(path, read_only=True)
    with pytest.raises(LocalError, match=r'^Failed to get "write" lock'):
        File(path)
    for reader in readers:
        reader.close()
    File(path).close()


def test_those_who_share_write_both(path):
    one, two = File(path, share_rw=True), File(path, share_rw=True)
    with pytest.raises(LocalError, match=r'^Failed to get shared "write" lock'):
        File(path)
    one.close()
    two.close()


def test_a_file_system_without_locks_is_used_without(path, monkeypatch):
    def no(*_):
        raise OSError(errno.ENOLCK, "no")

    monkeypatch.setattr(fcntl, "fcntl", no)
    one, two = File(path), File(path)
    one.close()
    two.close()


def test_a_holder_that_cannot_be_seen(path, monkeypatch):
    """A lock that another user's process has, say: /proc does not show it to us."""
    from outboard.block.drivers import file_locks

    monkeypatch.setattr(file_locks, "_holding", lambda *_: iter(()))
    writer = File(path)
    with pytest.raises(LocalError, match=re.escape(f"lock: Is another process using the image [{path}]?")):
        File(path)
    writer.close()


@pytest.mark.skipif(not shutil.which("qemu-io"), reason="qemu-utils is not installed")
class TestWithQemu:
    """QEMU and we see each other's locks."""

    def qemu_io(self, *arguments):
        return subprocess.run(["qemu-io", "-f", "raw", *arguments], capture_output=True, text=True, timeout=60)

    def test_qemu_is_refused(self, path):
        writer = File(path)
        said = self.qemu_io("-c", "write 0 512", str(path))
        assert said.returncode and 'Failed to get "write" lock' in said.stderr
        writer.close()
        assert not self.qemu_io("-c", "write 0 512", str(path)).returncode

    def test_we_are_refused(self, path):
        qemu = subprocess.Popen(
            ["qemu-io", "-f", "raw", str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            qemu.stdin.write("length\n")
            qemu.stdin.flush()
            while "16 KiB" not in qemu.stdout.readline():
                pass
            with pytest.raises(LocalError, match=rf'"write" lock: image .* by process {qemu.pid} \(qemu-io\)'):
                File(path)
        finally:
            qemu.communicate("quit\n", timeout=60)
        File(path).close()


def test_the_locks_are_on_the_bytes_that_qemu_takes(path):
    """QEMU 4.1, block/file-posix.c: 100 + what is used, 200 + what is not shared; READ is 0, WRITE 1, RESIZE 3."""
    writer = File(path)
    other = os.open(path, os.O_RDWR)
    taken = []
    for byte in range(300):
        asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, byte, 1, 0)
        if struct.unpack("hhqqi4x", fcntl.fcntl(other, fcntl.F_OFD_GETLK, asked))[0] != fcntl.F_UNLCK:
            taken.append(byte)
    os.close(other)
    writer.close()
    assert taken == [100, 101, 103, 201, 203]


def test_the_import_is_light():
    show = "import sys, outboard.block, outboard.block.drivers; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True).stdout.split()
    assert {"asyncio", "concurrent", "numpy", "outboard.block.picture"}.isdisjoint(loaded)


def test_a_fifo_is_refused_and_not_waited_for(tmp_path, open_fds):
    fifo, before = tmp_path / "fifo", open_fds()
    os.mkfifo(fifo)
    for read_only in (False, True):
        with pytest.raises(LocalError, match=f"Could not open '{fifo}': expected a regular file or a block device"):
            File(fifo, read_only=read_only)
    assert open_fds() == before


def test_an_image_is_opened_to_wait(path):
    """O_NONBLOCK is for opening only."""
    file = File(path)
    assert os.get_blocking(file.fd)
    file.close()


def test_a_file_that_is_closed_twice_closes_nothing_else(path):
    file = File(path)
    number = file.fd
    file.close()
    other = os.open(path, os.O_RDONLY)
    os.dup2(other, number)
    file.close()
    assert os.fstat(number).st_size == len(DATA)
    for fd in {other, number}:
        os.close(fd)
