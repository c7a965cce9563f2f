"""The bytes of a file as they are, or a window of them.

Source: QEMU 4.1, block/raw-format.c (options offset and size).
"""

import errno

from outboard.block import requests, roles
from outboard.block.driver import DirectFile, Driver, failed
from outboard.block.iov import Buffers
from outboard.errors import LocalError


class Raw(Driver):
    """offset: where the window begins, in bytes; size: its length, None: to the end of the file."""

    format_name = "raw"

    def __init__(self, *, offset: int = 0, size: int | None = None) -> None:
        if offset < 0 or (size is not None and size < 0):
            raise LocalError(f"raw: expected an offset and a size from 0 on, got {offset}, {size}")
        self.offset = offset
        self.size = size

    def length(self) -> int:
        """Return the window's length, as far as the file reaches."""
        left = max(0, self.below().node.driver.length() - self.offset)
        return left if self.size is None else min(self.size, left)

    def direct(self) -> DirectFile | None:
        """Return the window of the file."""
        child = self.node.child(roles.FILE, roles.FILTERED)
        below = child.node.driver.direct() if child else None
        return below and DirectFile(below.fd, below.offset + self.offset, self.length(), below.read_only)

    def _inside(self, offset: int, length: int) -> int:
        if self.size is not None and offset + length > self.size:
            raise failed(errno.ENOSPC)
        return self.offset + offset

    async def preadv(self, offset: int, buffers: Buffers) -> None:
        """Read in the window."""
        await requests.preadv(self.below().node, self.offset + offset, buffers)

    async def pwritev(self, offset: int, buffers: Buffers) -> None:
        """Write in the window."""
        at = self._inside(offset, sum(map(len, buffers)))
        await requests.pwritev(self.below().node, at, buffers)

    async def pdiscard(self, offset: int, length: int) -> None:
        """Discard in the window."""
        await requests.pdiscard(self.below().node, self._inside(offset, length), length)

    async def pwrite_zeroes(self, offset: int, length: int, may_unmap: bool) -> None:
        """Write zeroes in the window."""
        at = self._inside(offset, length)
        await requests.pwrite_zeroes(self.below().node, at, length, may_unmap=may_unmap)

    async def truncate(self, length: int) -> None:
        """Change the file's length; a window of a fixed size stays."""
        if self.size is not None:
            raise failed(errno.ENOTSUP)
        await requests.truncate(self.below().node, self.offset + length)
