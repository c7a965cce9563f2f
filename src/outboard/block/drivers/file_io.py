"""System calls on image files, to the last byte: short reads and writes go on, the end of the file reads as zeros.

Interrupted calls are made again by Python itself (PEP 475).
"""

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Sequence
from functools import cache

from outboard.block import iov
from outboard.block.driver import failed
from outboard.block.iov import Buffers

IOV_MAX = 1024
SECTOR = 512

# linux/falloc.h
KEEP_SIZE = 1
PUNCH_HOLE = 2
ZERO_RANGE = 16

DISCARD = ((PUNCH_HOLE | KEEP_SIZE,),)
ZERO_AND_UNMAP = ((PUNCH_HOLE | KEEP_SIZE,), (ZERO_RANGE | KEEP_SIZE,))
ZERO_IN_PLACE = ((ZERO_RANGE | KEEP_SIZE,), (PUNCH_HOLE | KEEP_SIZE, 0))
"""Ways to do a thing, the best first: each the modes of the fallocate calls that it takes."""


def read_nowait(fd: int, offset: int, buffers: Buffers) -> int:
    """Read what is in the page cache; return the number of bytes. Raises OSError: ENOTSUP for some file systems."""
    return _transfer(lambda views, at: os.preadv(fd, views, at, os.RWF_NOWAIT), offset, buffers)


def read(fd: int, offset: int, buffers: Buffers) -> None:
    """Fill the buffers; what is past the end of the file are zeros."""
    iov.zero(iov.rest(buffers, _transfer(lambda views, at: os.preadv(fd, views, at), offset, buffers)))


def write(fd: int, offset: int, buffers: Buffers) -> None:
    """Write all of the buffers. Raises OSError: ENOSPC also where the kernel takes nothing and says nothing."""
    if _transfer(lambda views, at: os.pwritev(fd, views, at), offset, buffers) < iov.size(buffers):
        raise failed(errno.ENOSPC)


def _transfer(call: Callable[[Sequence[iov.Buffer], int], int], offset: int, buffers: Buffers) -> int:
    """Repeat a call until all is done or it does nothing more; return the bytes."""
    length, done = iov.size(buffers), 0
    while done < length:
        views = iov.rest(buffers, done) if done else buffers
        try:
            count = call(views[:IOV_MAX], offset + done)
        except BlockingIOError:
            break
        if not count:
            break
        done += count
    return done


def length(fd: int) -> int:
    """Return the length of a file or a block device in bytes, the last sector counted whole; it reads as zeros."""
    return -(-os.lseek(fd, 0, os.SEEK_END) // SECTOR) * SECTOR


def is_image(fd: int) -> bool:
    """Whether an open file can be an image: a regular file or a block device."""
    mode = os.fstat(fd).st_mode
    return stat.S_ISREG(mode) or stat.S_ISBLK(mode)


@cache
def _libc_fallocate() -> Callable[[int, int, int, int], int]:
    function = ctypes.CDLL(None, use_errno=True).fallocate64
    function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return function


def fallocate(fd: int, mode: int, offset: int, size: int) -> None:
    """Call fallocate(2). Raises OSError."""
    while _libc_fallocate()(fd, mode, offset, size):
        if (number := ctypes.get_errno()) != errno.EINTR:
            raise failed(errno.ENOTSUP if number == errno.ENOSYS else number)


def first_way(fd: int, ways: Sequence[Sequence[int]], offset: int, size: int) -> None:
    """Do a thing in the first way that the file system knows. Raises OSError: ENOTSUP when it knows none."""
    for way in ways:
        try:
            for mode in way:
                fallocate(fd, mode, offset, size)
            return
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
    raise failed(errno.ENOTSUP)
