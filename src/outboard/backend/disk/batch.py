"""Requests of one queue that are carried out together, one row each; what takes longer gets a batch of its own."""

from array import array
from typing import NamedTuple

import outboard.host.vectored as vectored
from outboard.guest.memory import Region
from outboard.host.transfers import Transfers
from outboard.virtio.split_queue import MAX_SEGMENTS

ROWS = 128
PIECES = 2 * MAX_SEGMENTS
"""One more chain fits as long as half of them are free."""
SINGLE_PIECES = 256
"""Room of a batch for one row that is kept for the next one."""
SPREAD = 512 << 10
"""Bytes of a batch from which on worker threads help to copy, and after which the driver is told."""
LARGE = 256 << 10
"""Bytes of a request that is worth a worker thread's while."""
BYTES_MAX = 8 << 20
"""A batch that transfers more is full: so long the rings are not looked at."""


class Batch:
    """One row a request, the same as in `transfers`, which does nothing for requests of other kinds.

    moves: rows that read or write; far: those that are left to other threads; done: those that are answered, or split
    off. carried: how many rows have had their turn; stopped: those among the last of them that did not end well.
    pinned: keeps guest memory where it is, data and status, until a batch of one row is answered.
    """

    def __init__(self, rows: int = ROWS, pieces: int = PIECES) -> None:
        self.rows = rows
        self.room = pieces
        self.transfers = Transfers(rows, pieces)
        self.heads = memoryview(array("I", bytes(4 * rows)))
        self.written = memoryview(array("I", bytes(4 * rows)))
        self.moves = memoryview(bytearray(rows))
        self.far = memoryview(bytearray(rows))
        self.done = memoryview(bytearray(rows))
        self.statuses = vectored.table(rows)
        self.slow: list[Slow] = []
        self.bytes = 0
        self.carried = self.stopped = 0
        self.pinned: list[Region] = []

    def split(self, row: int, one: "Batch") -> None:
        """Put a row that takes longer into a batch of its own, which has room for it."""
        self.transfers.split(row, one.transfers)
        one.heads[0] = self.heads[row]
        one.written[0] = self.written[row]
        one.moves[0] = self.moves[row]
        one.done[0] = 0
        vectored.move(one.statuses, 0, self.statuses, row)
        self.done[row] = 1

    def is_full(self) -> bool:
        """Whether another request may not fit."""
        if self.transfers.count == self.rows or self.bytes >= BYTES_MAX:
            return True
        return self.transfers.used > self.room - MAX_SEGMENTS

    def sort_out(self, stable: bool) -> bool:
        """Choose rows for other threads, true if there are any: writes that wait for the medium; large reads but the
        last, when there is much. Large writes are not: file systems write to a file one at a time.
        """
        chosen = 0
        last = -1
        for row in range(self.transfers.count):
            if self.transfers.writes[row]:
                far = stable and self.moves[row]
            else:
                far = self.bytes >= SPREAD and self.transfers.left[row] >= LARGE
                if far:
                    last = row
            self.far[row] = far
            chosen += far
        if last >= 0:
            self.far[last] = 0
            chosen -= 1
        return chosen > 0

    def near_end(self, row: int) -> int:
        """Return where the rows from `row` on end that are done here in one go: at one for others, or after enough."""
        done = 0
        while row < self.transfers.count and not self.far[row] and done < SPREAD:
            done += self.transfers.left[row]
            row += 1
        return row

    def clear(self) -> None:
        """Forget all rows."""
        vectored.forget(self.statuses, self.transfers.count)
        self.transfers.clear()
        self.slow = []
        self.pinned = []
        self.bytes = 0
        self.carried = self.stopped = 0


class Slow(NamedTuple):
    """A request that the block graph carries out, a batch of its own. buffers: guest memory; data: ranges, copied."""

    batch: Batch
    type: int
    offset: int
    buffers: list[memoryview]
    data: bytes
