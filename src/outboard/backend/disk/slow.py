"""Requests that the block graph carries out: flushes, ranges; reads and writes where the graph is more than a file.

Source: VIRTIO-1.2 5.2.6.
"""

from outboard import trace
from outboard.backend.disk.batch import Slow
from outboard.blk.disk import Disk
from outboard.blk.requests import IOERR, OK, Range, ranges
from outboard.block import requests
from outboard.block.node import Node
from outboard.spec.virtio_blk import Type


async def carry_out(node: Node, disk: Disk, slow: Slow) -> int:
    """Do a request on a node; return its status. The caller has counted it as under way."""
    try:
        if slow.type == Type.IN:
            await requests.preadv(node, slow.offset, slow.buffers)
        elif slow.type == Type.OUT:
            await requests.pwritev(node, slow.offset, slow.buffers)
            await _settle(node, disk)
        elif slow.type == Type.FLUSH:
            await requests.flush(node)
        else:
            found = ranges(disk, slow.type, slow.data)
            if isinstance(found, int):
                return found
            for one in found:
                await _clear(node, slow.type, one)
            await _settle(node, disk)
    except OSError as error:
        trace.emit("blk.failed", type=slow.type, offset=slow.offset, error=error.strerror or repr(error))
        return IOERR
    return OK


async def _clear(node: Node, kind: int, one: Range) -> None:
    if not one.length:
        return
    if kind == Type.DISCARD:
        await requests.pdiscard(node, one.offset, one.length)
    else:
        await requests.pwrite_zeroes(node, one.offset, one.length, may_unmap=one.unmap)


async def _settle(node: Node, disk: Disk) -> None:
    """With a writethrough cache, a write is on the medium before it is answered."""
    if disk.stable:
        await requests.flush(node)
