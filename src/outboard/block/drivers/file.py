"""An image in a file or on a block device of the host.

Reads take what is in the page cache at once; what would wait for the disk, flushes and holes are done by worker
threads. Writes go to the page cache in the context's own thread.

Source: QEMU 4.1, block/file-posix.c. Not modelled: O_DIRECT, Linux AIO, character devices.
"""

import errno
import os
from functools import partial

from outboard.block import iov, roles
from outboard.block.driver import DirectFile, Driver
from outboard.block.drivers import file_io, file_locks
from outboard.block.iov import Buffers
from outboard.block.workers import WORKERS
from outboard.errors import LocalError


class File(Driver):
    """See the module. share_rw: others may have the image open for writing; they and we see each other's writes.

    Raises LocalError when the image cannot be opened, or is in use.
    """

    format_name = "file"

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool = False, share_rw: bool = False) -> None:
        self.path = os.fspath(path)
        self.own_read_only = read_only
        mode = os.O_RDONLY if read_only else os.O_RDWR
        try:
            self.fd = os.open(self.path, mode | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO would wait for its other end
        except OSError as error:
            raise LocalError(f"Could not open '{self.path}': {error.strerror}") from None
        try:
            if not file_io.is_image(self.fd):
                raise LocalError(f"Could not open '{self.path}': expected a regular file or a block device")
            os.set_blocking(self.fd, True)
            file_locks.lock(self.fd, self.path, read_only=read_only, share_rw=share_rw)
            self._length = file_io.length(self.fd)
        except BaseException:
            os.close(self.fd)
            raise
        self._nowait = True

    def length(self) -> int:
        """Return the length in bytes, whole sectors."""
        return self._length

    def direct(self) -> DirectFile | None:
        """Return all of the file."""
        return DirectFile(self.fd, 0, self._length, self.own_read_only)

    async def preadv(self, offset: int, buffers: Buffers) -> None:
        """Read what is at hand here, the rest in a worker thread."""
        done = self._read_nowait(offset, buffers) if self._nowait else 0
        if done < iov.size(buffers):
            await WORKERS.submit(partial(file_io.read, self.fd, offset + done, iov.rest(buffers, done)))

    def _read_nowait(self, offset: int, buffers: Buffers) -> int:
        try:
            return file_io.read_nowait(self.fd, offset, buffers)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EINVAL, errno.ENOSYS):
                raise
            self._nowait = False
            return 0

    async def pwritev(self, offset: int, buffers: Buffers) -> None:
        """Write here; a file that grows has a new length."""
        file_io.write(self.fd, offset, buffers)
        if offset + iov.size(buffers) > self._length:
            self._measure()

    async def flush(self) -> None:
        """fdatasync(2)."""
        await WORKERS.submit(partial(os.fdatasync, self.fd))

    async def pdiscard(self, offset: int, length: int) -> None:
        """Punch a hole."""
        await WORKERS.submit(partial(file_io.first_way, self.fd, file_io.DISCARD, offset, length))

    async def pwrite_zeroes(self, offset: int, length: int, may_unmap: bool) -> None:
        """fallocate(2), as far as the file system can."""
        ways = file_io.ZERO_AND_UNMAP if may_unmap else file_io.ZERO_IN_PLACE
        await WORKERS.submit(partial(file_io.first_way, self.fd, ways, offset, length))

    async def truncate(self, length: int) -> None:
        """ftruncate(2)."""
        await WORKERS.submit(partial(os.ftruncate, self.fd, length))
        self._measure()

    def _measure(self) -> None:
        self._length = file_io.length(self.fd)
        roles.resized(self.node)

    def close(self) -> None:
        """Close the file; its locks go. Safe to call twice."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
