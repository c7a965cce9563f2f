"""A disk that reads as zeros and forgets what is written.

Source: QEMU 4.1, block/null.c: null-co. With a latency it is a slow disk to measure and to test with.
"""

from outboard.block import iov, roles
from outboard.block.driver import Driver
from outboard.block.iov import Buffers
from outboard.block.sleep import sleep_until


class NullCo(Driver):
    """size: in bytes. latency_ns: what each request takes."""

    format_name = "null-co"

    def __init__(self, size: int = 1 << 30, *, latency_ns: int = 0, read_only: bool = False) -> None:
        self.size = size
        self.latency_ns = latency_ns
        self.own_read_only = read_only

    def length(self) -> int:
        """Return the size."""
        return self.size

    async def _take_time(self) -> None:
        if self.latency_ns:
            ctx = self.node.ctx
            await sleep_until(ctx, ctx.now_ns() + self.latency_ns)

    async def preadv(self, offset: int, buffers: Buffers) -> None:
        """Read zeros."""
        await self._take_time()
        iov.zero(buffers)

    async def pwritev(self, offset: int, buffers: Buffers) -> None:
        """Take anything."""
        await self._take_time()

    async def flush(self) -> None:
        """Nothing is there to flush."""
        await self._take_time()

    async def pdiscard(self, offset: int, length: int) -> None:
        """Nothing is there to discard."""
        await self._take_time()

    async def pwrite_zeroes(self, offset: int, length: int, may_unmap: bool) -> None:
        """It is all zeros."""
        await self._take_time()

    async def truncate(self, length: int) -> None:
        """Have another size."""
        self.size = length
        roles.resized(self.node)
