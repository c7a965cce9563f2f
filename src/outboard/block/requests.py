"""Requests on nodes: counted, kept apart where they must be, cut at the end of the node.

Source: QEMU 4.1, block/io.c: bdrv_co_preadv, bdrv_co_pwritev, bdrv_co_do_copy_on_readv, tracked requests.
Modelled: in-flight counting, serialising requests, reads past the end, zeroes by writing where a driver can do
no better.
Not modelled: alignment (a request may begin at any byte), I/O limits of a node, dirty bitmaps (the mirror has its own).
"""

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from outboard.aio.wait import kick
from outboard.block import iov
from outboard.block.gate import Gate
from outboard.block.iov import Buffers
from outboard.block.node import Node, keepers

ZEROES_AT_ONCE = 1 << 20
"""Bytes of zeros that are written in one piece where a driver cannot write zeroes."""


@dataclass(eq=False)
class Request:
    """A request that is under way: bytes from start to end, of a node.

    serialising: none that overlaps it runs beside it. held: waits for another one, and has not begun.
    """

    start: int
    end: int
    serialising: bool
    held: bool = False
    done: Gate = field(default_factory=Gate)

    def conflicts(self, other: "Request") -> bool:
        """Whether this one has to wait for another. One that is held itself will look at us when it wakes."""
        apart = self.end <= other.start or other.end <= self.start
        return other is not self and not apart and not other.held and (self.serialising or other.serialising)


def enter(node: Node) -> None:
    """Count a request of a node as under way."""
    node.in_flight += 1


def leave(node: Node) -> None:
    """Count it as done; who waits for the node looks again."""
    node.in_flight -= 1
    if not node.in_flight:
        kick()


@asynccontextmanager
async def tracked(node: Node, offset: int, length: int, serialising: bool = False) -> AsyncIterator[Request]:
    """Be a request under way: wait for those it must not overlap, then hold up those that must not overlap it."""
    request = Request(offset, offset + length, serialising)
    enter(node)
    node.requests.append(request)
    try:
        while other := next((one for one in node.requests if request.conflicts(one)), None):
            request.held = True
            await other.done.wait()
            request.held = False
        yield request
    finally:
        node.requests.remove(request)
        request.done.open()
        leave(node)


async def preadv(node: Node, offset: int, buffers: Buffers, *, copy_on_read: bool = False) -> None:
    """Fill buffers with the bytes of a node from `offset` on; past its end there are zeros.

    copy_on_read: what comes from the backing node is written to this one.
    """
    length = iov.size(buffers)
    start, end = offset, offset + length
    if copy_on_read:
        cluster = node.driver.cluster
        start, end = start // cluster * cluster, -(-end // cluster) * cluster
    async with tracked(node, start, end - start, serialising=copy_on_read):
        if copy_on_read:
            await _copy_in(node, start, min(end, node.driver.length()))
        inside = max(0, min(length, node.driver.length() - offset))
        if inside:
            await node.driver.preadv(offset, iov.part(buffers, 0, inside))
        iov.zero(iov.rest(buffers, inside))


async def _copy_in(node: Node, start: int, end: int) -> None:
    """Make a range of whole clusters the node's own."""
    while start < end:
        own, count = await node.driver.is_allocated(start, end - start)
        if not own:
            bounce = bytearray(count)
            await node.driver.preadv(start, [bounce])
            await node.driver.pwritev(start, [bounce])
        start += count


def _writable(node: Node) -> None:
    if node.driver.read_only:
        raise PermissionError(errno.EPERM, f"node {node.name!r} is read-only")


async def pwritev(node: Node, offset: int, buffers: Buffers) -> None:
    """Write buffers to a node from `offset` on."""
    _writable(node)
    async with tracked(node, offset, iov.size(buffers)):
        await node.driver.pwritev(offset, buffers)


async def flush(node: Node) -> None:
    """Make all that was written before last through a power cut."""
    async with tracked(node, 0, 0):
        await node.driver.flush()


async def pdiscard(node: Node, offset: int, length: int) -> None:
    """Say that a range is not needed any more; what it reads as then is open."""
    _writable(node)
    async with tracked(node, offset, length):
        try:
            await node.driver.pdiscard(offset, length)
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise


async def pwrite_zeroes(node: Node, offset: int, length: int, *, may_unmap: bool = False) -> None:
    """Make a range zeros, by writing them where the driver has no better way."""
    _writable(node)
    async with tracked(node, offset, length):
        try:
            await node.driver.pwrite_zeroes(offset, length, may_unmap)
            return
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
        for at in range(offset, offset + length, ZEROES_AT_ONCE):
            await node.driver.pwritev(at, [bytes(min(ZEROES_AT_ONCE, offset + length - at))])


async def truncate(node: Node, length: int) -> None:
    """Change the length of a node; its parents are told. Raises OSError: EBUSY while one of them needs it as it is."""
    _writable(node)
    if kept := keepers(node):
        raise OSError(errno.EBUSY, f"node {node.name!r} keeps its length for {kept[0].role.description(kept[0])}")
    async with tracked(node, 0, max(length, node.driver.length()), serialising=True):
        await node.driver.truncate(length)
