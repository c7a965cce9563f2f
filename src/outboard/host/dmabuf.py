"""Reading buffers that another process shares by fd, row by row: dma-bufs, and memory files that stand for them.

Source: Linux Documentation/driver-api/dma-buf.rst, "CPU access to DMA Buffer Objects"; include/uapi/linux/dma-buf.h.

A dma-buf is mapped, and every read stands between the two sync ioctls. A memory file (memfd, tmpfs) is read by
`preadv`: its owner may truncate it at any time, and a read beyond its end is short, where a mapping would fault.
Everything else is refused: reading a file of a foreign file system could wait for ever.
"""

import fcntl
import mmap
import os
import stat
import struct
from typing import Protocol

from outboard.errors import LocalError

SYNC_IOCTL = 0x40086200
"""DMA_BUF_IOCTL_SYNC: _IOW('b', 0, u64)."""
SYNC_READ = 1 << 0
SYNC_END = 1 << 2
F_GET_SEALS = 1034
_FLAGS = struct.Struct("=Q")


class Rows(Protocol):
    """A buffer whose rows can be read; owns its fd."""

    def read(self, offset: int, into: memoryview) -> None:
        """Fill `into` from byte `offset`. Raises LocalError when the buffer has fewer bytes."""

    def begin(self) -> None:
        """Wait until whoever draws is done; reads follow."""

    def end(self) -> None:
        """All reads are done."""

    def close(self) -> None:
        """Close the fd."""


class MemoryFile:
    """A memfd, or a file on tmpfs."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def begin(self) -> None:
        """Memory files know no fences."""

    def end(self) -> None:
        """See `begin`."""

    def read(self, offset: int, into: memoryview) -> None:
        """See `Rows.read`."""
        done = 0
        while done < len(into):
            try:
                count = os.preadv(self._fd, [into[done:]], offset + done)
            except OSError as error:
                raise LocalError(f"the shared buffer cannot be read: {error.strerror}") from error
            if not count:
                raise LocalError(f"the shared buffer ends at byte {offset + done}, {len(into) - done} bytes too early")
            done += count

    def close(self) -> None:
        """See `Rows.close`."""
        os.close(self._fd)


class DmaBuf:
    """A dma-buf, mapped. Its exporter fixed its size, so that the mapping cannot lose pages."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._mapping = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ)
        self._view = memoryview(self._mapping)

    def _sync(self, flags: int) -> None:
        while True:
            try:
                fcntl.ioctl(self._fd, SYNC_IOCTL, _FLAGS.pack(flags | SYNC_READ))
                return
            except (InterruptedError, BlockingIOError):
                continue  # EINTR and EAGAIN: to be restarted, says the document
            except OSError as error:
                raise LocalError(f"DMA_BUF_IOCTL_SYNC failed: {error.strerror}") from error

    def begin(self) -> None:
        """See `Rows.begin`."""
        self._sync(0)

    def end(self) -> None:
        """See `Rows.end`."""
        self._sync(SYNC_END)

    def read(self, offset: int, into: memoryview) -> None:
        """See `Rows.read`."""
        if offset + len(into) > len(self._view):
            raise LocalError(f"the dma-buf has {len(self._view)} bytes, wanted {len(into)} at {offset}")
        into[:] = self._view[offset : offset + len(into)]

    def close(self) -> None:
        """See `Rows.close`."""
        self._view.release()
        self._mapping.close()
        os.close(self._fd)


def size_of(fd: int) -> int:
    """Return the bytes behind an fd. Raises LocalError when it has no size."""
    try:
        here = os.lseek(fd, 0, os.SEEK_CUR)
        size = os.lseek(fd, 0, os.SEEK_END)
        os.lseek(fd, here, os.SEEK_SET)
    except OSError as error:
        raise LocalError(f"the fd is neither a dma-buf nor a memory file: {error.strerror}") from error
    return size


def _is_dmabuf(fd: int) -> bool:
    """Whether the kernel says of an fd that an exporter of dma-bufs made it."""
    try:
        with open(f"/proc/self/fdinfo/{fd}") as info:
            return any(line.startswith("exp_name:") for line in info)
    except OSError as error:
        raise LocalError(f"nothing is known of the shared buffer: {error}") from error


def rows_of(fd: int, size: int) -> Rows:
    """Make an fd readable, at least `size` bytes of it; it is owned if this returns.

    Raises LocalError with the reason when it cannot be: it is smaller, of another kind, or cannot be mapped.
    """
    if _is_dmabuf(fd):
        there = size_of(fd)
        _check_size(there, size)
        try:
            return DmaBuf(fd, there)
        except (OSError, ValueError) as error:
            raise LocalError(f"the dma-buf cannot be mapped: {error}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode) or not is_memory(fd):
        raise LocalError("the fd is neither a dma-buf nor a memory file (memfd, tmpfs)")
    _check_size(size_of(fd), size)
    return MemoryFile(fd)


def _check_size(there: int, size: int) -> None:
    if there < size:
        raise LocalError(f"the shared buffer has {there} bytes, its stride and height ask for {size}")


def is_memory(fd: int) -> bool:
    """Whether a file lives in memory: only those answer questions about seals."""
    try:
        fcntl.fcntl(fd, F_GET_SEALS)
    except OSError:
        return False
    return True
