"""A disk in memory; over a backing node it holds what was written, cluster by cluster, and the rest is read from there.

Not in QEMU. It stands where QEMU has a qcow2 overlay: copy-on-read needs a node that knows which bytes are its own.
"""

import errno
from collections.abc import Iterator

from outboard.block import iov, requests, roles
from outboard.block.driver import Driver, failed
from outboard.block.iov import Buffers
from outboard.block.node import Child
from outboard.errors import LocalError


class Memory(Driver):
    """size: in bytes. cluster: bytes that are copied from a backing node at once; a cluster is here or it is not."""

    format_name = "memory"

    def __init__(self, size: int, *, cluster: int = 65536, read_only: bool = False) -> None:
        if size < 0 or cluster < 1:
            raise LocalError(f"memory: expected a size from 0 and clusters from 1 byte on, got {size}, {cluster}")
        self.data = bytearray(size)
        self.cluster = cluster
        self.own_read_only = read_only
        self.own: set[int] = set()

    def length(self) -> int:
        """Return the size."""
        return len(self.data)

    def _backing(self) -> Child | None:
        return self.node.child(roles.BACKING)

    async def is_allocated(self, offset: int, length: int) -> tuple[bool, int]:
        """Return whether the bytes at `offset` are here, and for how many that holds."""
        if self._backing() is None:
            return True, length
        first, end = offset // self.cluster, -(-(offset + length) // self.cluster)
        here = first in self.own
        last = next((one for one in range(first, end) if (one in self.own) != here), end)
        return here, min(length, last * self.cluster - offset)

    async def _runs(self, offset: int, length: int) -> list[tuple[bool, int, int]]:
        """Cut a range where it goes from here to the backing or back: (here, offset, length)."""
        runs = []
        end = offset + length
        while offset < end:
            here, count = await self.is_allocated(offset, end - offset)
            runs.append((here, offset, count))
            offset += count
        return runs

    async def preadv(self, offset: int, buffers: Buffers) -> None:
        """Read here and in the backing."""
        backing = self._backing()
        for here, at, count in await self._runs(offset, iov.size(buffers)):
            views = iov.part(buffers, at - offset, count)
            if here or backing is None:
                iov.fill(views, memoryview(self.data)[at : at + count])
            else:
                await requests.preadv(backing.node, at, views)

    async def pwritev(self, offset: int, buffers: Buffers) -> None:
        """Write here; of clusters that are written in part, the rest is copied first."""
        length = iov.size(buffers)
        await self._own_edges(offset, length)
        if offset + length > len(self.data):
            await self.truncate(offset + length)
        memoryview(self.data)[offset : offset + length] = iov.join(buffers)
        self.own.update(self._clusters(offset, length))

    async def _own_edges(self, offset: int, length: int) -> None:
        backing = self._backing()
        if backing is None:
            return
        for cluster in {offset // self.cluster, (offset + length) // self.cluster} - self.own:
            start = cluster * self.cluster
            end = min(start + self.cluster, len(self.data))
            inside = offset <= start and end <= offset + length
            if start < end and not inside and start < offset + length:
                copied = bytearray(end - start)
                await requests.preadv(backing.node, start, [copied])
                if cluster not in self.own:  # nobody wrote it meanwhile
                    memoryview(self.data)[start:end] = copied
                    self.own.add(cluster)

    def _clusters(self, offset: int, length: int) -> Iterator[int]:
        yield from range(offset // self.cluster, -(-(offset + length) // self.cluster))

    async def pwrite_zeroes(self, offset: int, length: int, may_unmap: bool) -> None:
        """Zeros are written as any other bytes."""
        raise failed(errno.ENOTSUP)

    async def pdiscard(self, offset: int, length: int) -> None:
        """Keep it all: a hole would let the backing show through."""

    async def flush(self) -> None:
        """Memory does not outlive the process: nothing to do."""

    async def truncate(self, length: int) -> None:
        """Have another size."""
        old = len(self.data)
        if length < old:
            del self.data[length:]
        else:
            if old:
                await self._own_edges(old - 1, 1)
            self.data.extend(bytes(length - old))
            self.own.update(self._clusters(old, length - old))
        roles.resized(self.node)
