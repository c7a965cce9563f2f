"""A filter that lets requests through at a limited rate.

Source: QEMU 4.1, util/throttle.c and block/throttle.c: leaky buckets of operations and of bytes, for reads, writes,
both.
Modelled: rates and bursts of one second. Not modelled: groups of several nodes, burst lengths, iops-size.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from outboard.aio.context import AioContext
from outboard.aio.coroutine import Completion
from outboard.aio.timers import Timer
from outboard.block import iov
from outboard.block.driver import Driver
from outboard.block.iov import Buffers
from outboard.errors import LocalError

READ, WRITE = 0, 1
SECOND = 1_000_000_000
BURST_PART = 10
"""Without a burst of its own, a bucket takes what its rate gives in a tenth of a second."""

# Name: the directions that fill the bucket, and whether it counts bytes.
BUCKETS = {
    "iops_total": ((READ, WRITE), False),
    "iops_read": ((READ,), False),
    "iops_write": ((WRITE,), False),
    "bps_total": ((READ, WRITE), True),
    "bps_read": ((READ,), True),
    "bps_write": ((WRITE,), True),
}
LIMITS = (*BUCKETS, *(f"{name}_max" for name in BUCKETS))


@dataclass
class Bucket:
    """What was let through and has not leaked yet. rate: what leaks in a second; size: from where on others wait."""

    directions: tuple[int, ...]
    bytes: bool
    rate: int
    size: float
    level: float = 0.0
    leaked_ns: int = 0

    def wait_ns(self, now_ns: int) -> int:
        """Return how long the next request has to wait."""
        self.level = max(0.0, self.level - self.rate * (now_ns - self.leaked_ns) / SECOND)
        self.leaked_ns = now_ns
        return max(0, round((self.level - self.size) * SECOND / self.rate))


def buckets(limits: Mapping[str, int]) -> list[Bucket]:
    """Make the buckets for limits by name. Raises LocalError for names and numbers that make no sense."""
    if unknown := sorted(set(limits) - set(LIMITS)):
        raise LocalError(f"throttle: expected limits of {', '.join(LIMITS)}, got {', '.join(unknown)}")
    made = []
    for name, (directions, counts_bytes) in BUCKETS.items():
        rate, burst = limits.get(name, 0), limits.get(f"{name}_max", 0)
        if rate < 0 or burst < 0 or (burst and burst < rate):
            raise LocalError(f"throttle: expected {name} from 0 on and {name}_max not below it, got {rate}, {burst}")
        if rate:
            made.append(Bucket(directions, counts_bytes, rate, burst or rate / BURST_PART))
    return made


class Throttle(Driver):
    """limits: see LIMITS, in operations or bytes a second; `_max`: what may come at once."""

    format_name = "throttle"

    def __init__(self, **limits: int) -> None:
        self.buckets = buckets(limits)
        self.queues: tuple[deque[tuple[Completion[None], int]], ...] = (deque(), deque())
        self._timers: list[Timer] = []
        self._open = False

    async def preadv(self, offset: int, buffers: Buffers) -> None:
        """Read when it is time."""
        await self._take(READ, iov.size(buffers))
        await super().preadv(offset, buffers)

    async def pwritev(self, offset: int, buffers: Buffers) -> None:
        """Write when it is time."""
        await self._take(WRITE, iov.size(buffers))
        await super().pwritev(offset, buffers)

    async def pwrite_zeroes(self, offset: int, length: int, may_unmap: bool) -> None:
        """Write zeroes when it is time."""
        await self._take(WRITE, length)
        await super().pwrite_zeroes(offset, length, may_unmap)

    async def pdiscard(self, offset: int, length: int) -> None:
        """Discard when it is time."""
        await self._take(WRITE, length)
        await super().pdiscard(offset, length)

    async def _take(self, direction: int, size: int) -> None:
        turn: Completion[None] = Completion()
        self.queues[direction].append((turn, size))
        self._let_through(direction)
        await turn

    def _wait_ns(self, direction: int) -> int:
        now_ns = self.node.ctx.now_ns()
        return max((one.wait_ns(now_ns) for one in self.buckets if direction in one.directions), default=0)

    def _let_through(self, direction: int) -> None:
        """Let go all whose time has come; wait for the next one's."""
        queue = self.queues[direction]
        while queue:
            wait_ns = self._wait_ns(direction)
            if wait_ns and not self._open:
                self._timers[direction].mod_ns(self.node.ctx.now_ns() + wait_ns)
                return
            turn, size = queue.popleft()
            for bucket in self.buckets:
                if direction in bucket.directions:
                    bucket.level += size if bucket.bytes else 1
            turn.set_result(None)

    def due(self, direction: int) -> None:
        """The time of the first in a queue has come."""
        self._let_through(direction)

    def attach_aio_context(self, ctx: AioContext) -> None:
        """Have timers there."""
        self._timers = [ctx.timer_new(partial(self.due, direction)) for direction in (READ, WRITE)]

    def detach_aio_context(self) -> None:
        """Have none."""
        for timer in self._timers:
            timer.delete()

    def drain_begin(self) -> None:
        """Let all through."""
        self._open = True
        for direction in (READ, WRITE):
            self._let_through(direction)

    def drain_end(self) -> None:
        """Be strict again; what was let through counts."""
        self._open = False
