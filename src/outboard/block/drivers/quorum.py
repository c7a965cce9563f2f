"""Several copies of a disk, which vote.

Source: QEMU 4.1, block/quorum.c, docs/interop/qmp: QUORUM_REPORT_BAD, QUORUM_FAILURE.
Modelled: vote_threshold, rewrite_corrupted, both read patterns. Not modelled: blkverify, adding and removing children.
Not as in QEMU: a corrupted copy is rewritten by a request of its own, which no overlapping write can run beside.
"""

import errno
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from outboard import trace
from outboard.aio.coroutine import co_enter, together
from outboard.block import iov, requests, roles
from outboard.block.driver import Driver, failed
from outboard.block.iov import Buffers
from outboard.block.node import Child, Node
from outboard.errors import LocalError

Outcome = bytes | OSError
PATTERNS = ("quorum", "fifo")


async def _outcome(call: Coroutine[Any, Any, Outcome | None]) -> Outcome | None:
    try:
        return await call
    except OSError as error:
        return error


async def _read(node: Node, offset: int, length: int) -> bytes:
    buffer = bytearray(length)
    await requests.preadv(node, offset, [buffer])
    return bytes(buffer)


class Quorum(Driver):
    """Uses nodes in the role DATA. vote_threshold: how many must agree.

    rewrite_corrupted: copies that were outvoted are written anew. read_pattern: `quorum` asks all copies, `fifo` one
    after the other until one answers.
    """

    format_name = "quorum"

    def __init__(self, vote_threshold: int, *, rewrite_corrupted: bool = False, read_pattern: str = "quorum") -> None:
        if vote_threshold < 1 or read_pattern not in PATTERNS:
            raise LocalError(
                f"quorum: expected a threshold from 1 on and a read pattern of {', '.join(PATTERNS)}, "
                f"got {vote_threshold}, {read_pattern!r}"
            )
        self.vote_threshold = vote_threshold
        self.rewrite_corrupted = rewrite_corrupted
        self.fifo = read_pattern == "fifo"

    def copies(self) -> list[Child]:
        """Return the copies. Raises OSError, EINVAL, when there are not enough to agree."""
        found = [child for child in self.node.children if child.role is roles.DATA]
        if len(found) < self.vote_threshold:
            raise failed(errno.EINVAL)
        return found

    def length(self) -> int:
        """Return the length of the copies. Raises OSError, EIO, when they differ."""
        lengths = {child.node.driver.length() for child in self.copies()}
        if len(lengths) != 1:
            raise failed(errno.EIO)
        return lengths.pop()

    def child_resized(self, child: Child) -> None:
        """Tell when all copies have the same length again."""
        if len({one.node.driver.length() for one in self.node.children if one.role is roles.DATA}) == 1:
            super().child_resized(child)

    async def preadv(self, offset: int, buffers: Buffers) -> None:
        """Read what most copies say."""
        length = iov.size(buffers)
        if self.fifo:
            iov.fill(buffers, await self._read_first(offset, length))
            return
        winner, outvoted = await self._vote(offset, length)
        iov.fill(buffers, winner)
        if outvoted and self.rewrite_corrupted:
            co_enter(self.node.ctx, self._rewrite(offset, length), kept=True)

    async def _read_first(self, offset: int, length: int) -> bytes:
        for child in self.copies():
            got = await _outcome(_read(child.node, offset, length))
            if isinstance(got, bytes):
                return got
            self._bad(child, got, offset, length)
        assert isinstance(got, OSError)
        raise got

    async def _vote(self, offset: int, length: int) -> tuple[bytes, list[Child]]:
        """Read all copies; return what enough of them say, and those that say something else."""
        copies = self.copies()
        outcomes = await self._of_all(copies, lambda node: _read(node, offset, length))
        self._enough(copies, outcomes, offset, length)
        votes = Counter(one for one in outcomes if isinstance(one, bytes))
        winner, count = votes.most_common(1)[0]
        if count < self.vote_threshold:
            trace.emit("quorum_failure", node=self.node.name, offset=offset, length=length)
            raise failed(errno.EIO)
        outvoted = [
            child for child, one in zip(copies, outcomes, strict=True) if isinstance(one, bytes) and one != winner
        ]
        for child in outvoted:
            self._bad(child, None, offset, length)
        return winner, outvoted

    async def _rewrite(self, offset: int, length: int) -> None:
        async with requests.tracked(self.node, offset, length, serialising=True):
            winner, outvoted = await self._vote(offset, length)
            await self._of_all(outvoted, lambda node: requests.pwritev(node, offset, [winner]))

    async def _of_all(
        self, copies: Iterable[Child], call: Callable[[Node], Coroutine[Any, Any, Any]]
    ) -> list[Outcome | None]:
        return await together(self.node.ctx, *(_outcome(call(child.node)) for child in copies))

    def _enough(self, copies: list[Child], outcomes: list[Outcome | None], offset: int, length: int) -> None:
        """Raise the error that most copies failed with, unless enough did not fail."""
        failures = [one for one in outcomes if isinstance(one, OSError)]
        for child, one in zip(copies, outcomes, strict=True):
            if isinstance(one, OSError):
                self._bad(child, one, offset, length)
        if len(outcomes) - len(failures) < self.vote_threshold:
            trace.emit("quorum_failure", node=self.node.name, offset=offset, length=length)
            number, _ = Counter(one.errno or errno.EIO for one in failures).most_common(1)[0]
            raise failed(number)

    def _bad(self, child: Child, error: Outcome | None, offset: int, length: int) -> None:
        trace.emit(
            "quorum_report_bad", node=child.node.name, error=str(error) if error else None, offset=offset, length=length
        )

    async def _on_all(self, call: Callable[[Node], Coroutine[Any, Any, None]], offset: int, length: int) -> None:
        copies = self.copies()
        self._enough(copies, await self._of_all(copies, call), offset, length)

    async def pwritev(self, offset: int, buffers: Buffers) -> None:
        """Write all copies; enough must succeed, and so for the rest."""
        await self._on_all(lambda node: requests.pwritev(node, offset, buffers), offset, iov.size(buffers))

    async def pwrite_zeroes(self, offset: int, length: int, may_unmap: bool) -> None:
        """Write zeroes to all copies."""
        await self._on_all(
            lambda node: requests.pwrite_zeroes(node, offset, length, may_unmap=may_unmap), offset, length
        )

    async def pdiscard(self, offset: int, length: int) -> None:
        """Do nothing: what is discarded may read differently from each copy."""

    async def flush(self) -> None:
        """Flush all copies."""
        await self._on_all(requests.flush, 0, 0)

    async def truncate(self, length: int) -> None:
        """Change the length of all copies."""
        await self._on_all(lambda node: requests.truncate(node, length), 0, length)
