"""A table of reads and writes of one file, each from or to many pieces of memory, carried out in one go.

The memory must stay where it is until the rows that point to it are done: whoever fills the table sees to that.
"""

import errno
from array import array

import outboard.host.vectored as vectored

AGAIN = errno.EAGAIN
"""Error of a row that would block; `run` it once more without NOWAIT, in a thread that may wait."""
UNTOLD = errno.EOPNOTSUPP
"""Error of a row of whose file nobody can say whether it would block."""


def _column(code: str, length: int) -> memoryview:
    return memoryview(array(code, bytes(array(code).itemsize * length)))


class Transfers:
    """Up to `rows` transfers of up to `pieces` pieces of memory altogether. `count` and `used` are how many there are.

    errors: per row an errno, 0 when all of it was done; left: bytes of it that were not.
    """

    def __init__(self, rows: int, pieces: int) -> None:
        self.count = 0
        self.used = 0
        self.writes = _column("B", rows)
        self.offsets = _column("Q", rows)
        self.left = _column("Q", rows)
        self.first = _column("I", rows)
        self.pieces = _column("I", rows)
        self.errors = _column("i", rows)
        self.table = vectored.table(pieces)

    def clear(self) -> None:
        """Forget all rows."""
        vectored.forget(self.table, self.used)
        self.count = self.used = 0

    def add(self) -> int:
        """Begin a row that does nothing; return its number."""
        row = self.count
        self.count = row + 1
        self.writes[row] = 0
        self.offsets[row] = 0
        self.left[row] = 0
        self.first[row] = self.used
        self.pieces[row] = 0
        self.errors[row] = 0
        return row

    def aim(self, write: bool, offset: int) -> None:
        """Let the row begun last read or write the file from byte `offset` on; `point` gives it memory."""
        row = self.count - 1
        self.writes[row] = write
        self.offsets[row] = offset

    def point(self, places: list[memoryview], place: int, start: int, length: int) -> None:
        """Add a piece to the row begun last: `length` bytes from `start` on of a row of `GuestMemory.hosts`.

        They are inside it and not none.
        """
        row = self.count - 1
        vectored.point(self.table, self.used, places, place, start, length)
        self.used += 1
        self.pieces[row] += 1
        self.left[row] += length

    def split(self, row: int, one: "Transfers") -> None:
        """Put a row as it stands into a table of its own that has room for its pieces; here nothing of it is left."""
        first, pieces = self.first[row], self.pieces[row]
        one.clear()
        one.add()
        one.aim(bool(self.writes[row]), self.offsets[row])
        one.used = one.pieces[0] = pieces
        one.left[0] = self.left[row]
        for at in range(pieces):
            vectored.move(one.table, at, self.table, first + at)
        self.left[row] = self.pieces[row] = 0

    def error(self, row: int) -> int:
        """Return what stopped a row when it was run last."""
        return self.errors[row]

    def run(self, fd: int, row: int, end: int, read_flags: int, write_flags: int) -> None:
        """Carry rows `row` to `end - 1` out, or what is left of them. Flags: those of preadv2, NOWAIT and DSYNC.

        Others wait for the interpreter's lock as long as the caller holds it.
        """
        vectored.transfer(
            fd,
            self.writes,
            self.offsets,
            self.left,
            self.first,
            self.pieces,
            self.errors,
            self.table,
            row,
            end,
            read_flags,
            write_flags,
        )
