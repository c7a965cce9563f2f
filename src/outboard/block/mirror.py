"""The mirror job: copies a disk that is in use to another node, then lets the users go on there.

Source: QEMU 4.1, block/mirror.c, qapi/block-core.json (blockdev-mirror).
A filter above the source sees the writes: in the background they make chunks dirty, which are copied again; with
write-blocking they go to both nodes before they end. The job is ready when no chunk is dirty.
"""

import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import ClassVar

from outboard.aio.coroutine import co_enter, co_run
from outboard.aio.wait import kick
from outboard.block import edges, iov, requests, roles
from outboard.block.driver import Driver
from outboard.block.gate import Gate
from outboard.block.iov import Buffers
from outboard.block.jobs import Job
from outboard.block.node import Child, Node, subtree
from outboard.errors import LocalError

BACKGROUND, WRITE_BLOCKING = "background", "write-blocking"
CHUNK = 65536
IN_FLIGHT = 4
"""Chunks that are copied at the same time."""


class Chunks:
    """What is not the same on both sides, and what is being written: chunks of a disk, by number."""

    def __init__(self, length: int, size: int) -> None:
        self.length = length
        self.size = size
        self.dirty = dict.fromkeys(range(-(-length // size)))  # an ordered set
        self._taken: dict[int, Gate] = {}

    def of(self, offset: int, length: int) -> range:
        """Return the chunks that a range touches."""
        return range(offset // self.size, -(-(offset + length) // self.size))

    def place(self, chunk: int) -> tuple[int, int]:
        """Return offset and length of a chunk."""
        offset = chunk * self.size
        return offset, min(self.size, self.length - offset)

    def next_dirty(self) -> int | None:
        """Return a chunk to copy that nobody writes now."""
        return next((chunk for chunk in self.dirty if chunk not in self._taken), None)

    @asynccontextmanager
    async def taken(self, chunks: range) -> AsyncIterator[None]:
        """Have chunks to oneself; at once when they are free."""
        while other := next((self._taken[chunk] for chunk in chunks if chunk in self._taken), None):
            await other.wait()
        released = Gate()
        self._taken.update(dict.fromkeys(chunks, released))
        try:
            yield
        finally:
            for chunk in chunks:
                del self._taken[chunk]
            released.open()


class MirrorTop(Driver):
    """The filter above the source."""

    format_name = "mirror_top"

    def __init__(self, job: "Mirror") -> None:
        self.job = job

    async def _write(self, offset: int, length: int, call: Callable[[Node], Awaitable[None]]) -> None:
        """Do what changes bytes of the source; then of the target, or note the chunks."""
        job = self.job
        chunks = job.chunks.of(offset, length)
        if job.copy_mode == BACKGROUND:
            try:
                await call(self.below().node)
            finally:
                job.touched(chunks)
            return
        async with job.chunks.taken(chunks):
            await call(self.below().node)
            if not job.over:
                await self._write_target(chunks, call)
        job.wake()

    async def _write_target(self, chunks: range, call: Callable[[Node], Awaitable[None]]) -> None:
        """What goes wrong on the target ends the job; the user's request is done."""
        try:
            await call(self.job.target)
        except Exception as error:
            self.job.failed(error)
            self.job.touched(chunks)

    async def pwritev(self, offset: int, buffers: Buffers) -> None:
        """Write."""
        await self._write(offset, iov.size(buffers), lambda node: requests.pwritev(node, offset, buffers))

    async def pwrite_zeroes(self, offset: int, length: int, may_unmap: bool) -> None:
        """Write zeroes."""
        await self._write(
            offset, length, lambda node: requests.pwrite_zeroes(node, offset, length, may_unmap=may_unmap)
        )

    async def flush(self) -> None:
        """Flush the source; where writes go to both nodes, so do flushes."""
        await requests.flush(self.below().node)
        if self.job.copy_mode == WRITE_BLOCKING and not self.job.over:
            await self._write_target(range(0), requests.flush)

    def child_resized(self, child: Child) -> None:
        """The source has grown by a write past its end: there is no such place on the target."""
        self.job.failed(OSError(errno.EFBIG, f"node {child.node.name!r} has another length, its mirror has not"))
        self.job.wake()
        super().child_resized(child)

    async def pdiscard(self, offset: int, length: int) -> None:
        """Do nothing: what is discarded may read differently from each node."""


class Mirror(Job):
    """The job. It keeps both nodes the same until `complete` or `cancel`. target: a node as long as source.

    Raises LocalError when the target does not fit, or cannot come to the context of the source.
    """

    kind: ClassVar[str] = "mirror"

    def __init__(
        self, name: str, source: Node, target: Node, *, copy_mode: str = BACKGROUND, chunk_bytes: int = CHUNK
    ) -> None:
        _fit(source, target, copy_mode, chunk_bytes)
        super().__init__(name, source.ctx)
        self.source = source
        self.target = target
        self.copy_mode = copy_mode
        self.chunks = Chunks(source.driver.length(), chunk_bytes)
        self.copies = 0
        self._flushed = False
        self.top = Node(f"{name}-top", MirrorTop(self), source.ctx)
        edges.append(source, self.top, roles.FILTERED)
        self.add(source)
        try:
            self.add(target)
        except LocalError:
            self.cancelled = True
            self.leave()
            edges.detach_child(self.children[0])
            raise

    @property
    def over(self) -> bool:
        """Whether the target is of no use any more."""
        return self.cancelled or self.error is not None

    def active(self) -> bool:
        """Whether the coroutine runs, or chunks are on their way."""
        return self.busy or self.copies > 0

    def touched(self, chunks: range) -> None:
        """Chunks of the source have changed."""
        self.chunks.dirty.update(dict.fromkeys(chunks))
        self.wake()

    def failed(self, error: Exception) -> None:
        """End because of an error; the first one counts."""
        self.error = self.error or error

    async def work(self) -> None:
        """Copy dirty chunks until none is left and the job may complete."""
        while not self.over:
            await self.pause_point()
            chunk = self.chunks.next_dirty()
            if self.over:
                break
            if chunk is not None and self.copies < IN_FLIGHT:
                self.copies += 1
                co_enter(self.home, self._copy(chunk))
            elif self.chunks.dirty or self.copies:
                await self.idle()
            elif not self._flushed:
                self._flushed = True
                await requests.flush(self.target)
            else:
                self.ready()
                if self.should_complete:
                    return
                await self.idle()
        while self.copies:
            await self.idle()

    async def _copy(self, chunk: int) -> None:
        async with self.chunks.taken(range(chunk, chunk + 1)):
            self.chunks.dirty.pop(chunk, None)
            offset, length = self.chunks.place(chunk)
            bounce = bytearray(length)
            try:
                await requests.preadv(self.source, offset, [bounce])
                await requests.pwritev(self.target, offset, [bounce])
            except Exception as error:
                self.chunks.dirty[chunk] = None
                self.failed(error)
        self.copies -= 1
        self.wake()
        kick()

    def settled(self) -> bool:
        """Whether both nodes are the same, now that nobody writes; then what the target has lasts."""
        if self.chunks.dirty:
            return False
        try:
            co_run(self.home, requests.flush(self.target))
        except Exception as error:
            self.failed(error)
        return True

    def leave(self) -> None:
        """Let the users go on at the target, or as before."""
        edges.replace_node(self.top, self.source if self.over else self.target)
        edges.close(self.top)


def _fit(source: Node, target: Node, copy_mode: str, chunk_bytes: int) -> None:
    if copy_mode not in (BACKGROUND, WRITE_BLOCKING):
        raise LocalError(f"mirror: expected copy mode {BACKGROUND} or {WRITE_BLOCKING}, got {copy_mode!r}")
    if chunk_bytes < 1:
        raise LocalError(f"mirror: expected chunks of 1 byte or more, got {chunk_bytes}")
    if source in subtree(target):
        raise LocalError(f"mirror: expected a target apart from the source; node {target.name!r} is it, or uses it")
    lengths = source.driver.length(), target.driver.length()
    if lengths[0] != lengths[1] or target.driver.read_only:
        raise LocalError(
            f"mirror: expected a target that can be written and has {lengths[0]} bytes, as node {source.name!r} has; "
            f"node {target.name!r} has {lengths[1]}{' and is read-only' if target.driver.read_only else ''}"
        )
