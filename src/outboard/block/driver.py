"""What a node does: one class a driver. This one hands all to the node below, as a filter that looks on.

Source: QEMU 4.1, include/block/block_int.h: BlockDriver.
"""

import errno
import os
from dataclasses import dataclass
from typing import ClassVar

from outboard.aio.context import AioContext
from outboard.block import requests, roles
from outboard.block.iov import Buffers
from outboard.block.node import Child, Node


@dataclass(frozen=True)
class DirectFile:
    """The file that holds a node's bytes as they are: `length` of them from `offset` on.

    To be used between `begin_io` and `end_io` of a backend, in the backend's context. The fd is the driver's.
    """

    fd: int
    offset: int
    length: int
    read_only: bool


def failed(number: int) -> OSError:
    """Make the error of a request, by its errno."""
    return OSError(number, os.strerror(number))


class Driver:
    """Base of the drivers. Requests run in the home thread of the node's context, with offset and length checked.

    cluster: what copy-on-read copies at once, in bytes. A request fails
    by OSError, whose errno goes to who asked.
    """

    format_name: ClassVar[str] = "filter"
    cluster = 1
    own_read_only = False
    node: Node

    def below(self) -> Child:
        """Return the edge to the node that most requests go to. Raises OSError, ENOMEDIUM, when there is none."""
        child = self.node.child(roles.FILE, roles.FILTERED)
        if child is None:
            raise failed(errno.ENOMEDIUM)
        return child

    @property
    def read_only(self) -> bool:
        """Whether this node, or what it writes to, refuses writes; they do not come here then."""
        below = (child.node.driver for child in self.node.children if child.role is not roles.BACKING)
        return self.own_read_only or any(driver.read_only for driver in below)

    def length(self) -> int:
        """Return the length in bytes."""
        return self.below().node.driver.length()

    def direct(self) -> DirectFile | None:
        """Return the file that holds the bytes as they are, when nothing has to know of requests."""
        return None

    async def preadv(self, offset: int, buffers: Buffers) -> None:
        """Fill the buffers; all of it is inside the length."""
        await requests.preadv(self.below().node, offset, buffers)

    async def pwritev(self, offset: int, buffers: Buffers) -> None:
        """Write the buffers."""
        await requests.pwritev(self.below().node, offset, buffers)

    async def flush(self) -> None:
        """Make what was written last through a power cut."""
        await requests.flush(self.below().node)

    async def pdiscard(self, offset: int, length: int) -> None:
        """The contents are not needed any more. ENOTSUP counts as done."""
        await requests.pdiscard(self.below().node, offset, length)

    async def pwrite_zeroes(self, offset: int, length: int, may_unmap: bool) -> None:
        """Make a range zeros. may_unmap: it need not keep its place on the disk. After ENOTSUP zeros are written."""
        await requests.pwrite_zeroes(self.below().node, offset, length, may_unmap=may_unmap)

    async def truncate(self, length: int) -> None:
        """Change the length; what is new reads as zeros."""
        await requests.truncate(self.below().node, length)

    async def is_allocated(self, offset: int, length: int) -> tuple[bool, int]:
        """Return whether the bytes at `offset` are this node's own, not its backing's, and for how many that holds."""
        return True, length

    def attach_aio_context(self, ctx: AioContext) -> None:
        """Make what belongs to a context: timers, handlers. Called with it acquired, in any thread; does not fail."""

    def detach_aio_context(self) -> None:
        """Undo `attach_aio_context`; nothing of the driver runs in that context any more."""

    def drain_begin(self) -> None:
        """Let out requests that are held back; hold none until `drain_end`. With the context acquired, any thread."""

    def drain_end(self) -> None:
        """Undo `drain_begin`."""

    def child_resized(self, child: Child) -> None:
        """A node below has another length."""
        roles.resized(self.node)

    def close(self) -> None:
        """Free what the driver has; no request is under way and none will come."""
