"""preadv and pwritev of many transfers in one go. Plain form; `vectored.pxd` holds the compiled one.

The compiled form does not need the interpreter's lock. A table of pieces is a list of views here; compiled, it is a
column of addresses and lengths, and nothing in it keeps the memory alive.

Callers check bounds: the compiled form does not. A transfer is one row of all columns: whether it writes, its offset in
the file, the bytes left, its first piece of memory, the pieces left. Each row goes on where it stands, so that one that
would have blocked can be carried out later.
"""

import errno
import os

NOWAIT = os.RWF_NOWAIT
DSYNC = os.RWF_DSYNC
PIECES_MAX = 1024
"""Pieces of one system call, IOV_MAX."""


Pieces = list[memoryview | None]


def table(pieces: int) -> Pieces:
    """Return a table with room for some pieces of memory."""
    return [None] * pieces


def point(table: Pieces, at: int, places: list[memoryview], row: int, start: int, length: int) -> None:
    """Let piece `at` be `length` bytes from byte `start` of a row of places on (`outboard.guest.places`)."""
    table[at] = places[row][start : start + length]


def move(into: Pieces, at: int, table: Pieces, piece: int) -> None:
    """Let piece `at` of a table be what a piece of another is."""
    into[at] = table[piece]


def forget(table: Pieces, count: int) -> None:
    """Hold the memory of the first `count` pieces no more."""
    table[:count] = [None] * count


def set_byte(table: Pieces, at: int, value: int) -> None:
    """Write the first byte of a piece."""
    piece = table[at]
    assert piece is not None
    piece[0] = value


def transfer(
    fd: int,
    writes: memoryview,
    offsets: memoryview,
    left: memoryview,
    first: memoryview,
    pieces: memoryview,
    errors: memoryview,
    table: Pieces,
    row: int,
    end: int,
    read_flags: int,
    write_flags: int,
) -> None:
    """Carry rows `row` to `end - 1` out, those that have bytes left; `errors` are what stopped them, 0 for nothing.

    A file that ends too early is ENODATA. With NOWAIT, what would block is EAGAIN, and a file that cannot tell, or a
    direction that cannot, EOPNOTSUPP.
    """
    for at in range(row, end):
        errors[at] = 0
        while left[at] and not errors[at]:
            last = first[at] + min(pieces[at], PIECES_MAX)
            buffers = [view for view in table[first[at] : last] if view is not None]
            try:
                if writes[at]:
                    count = os.pwritev(fd, buffers, offsets[at], write_flags)
                else:
                    count = os.preadv(fd, buffers, offsets[at], read_flags)
            except OSError as error:
                errors[at] = error.errno or errno.EIO
                break
            if not count:
                errors[at] = errno.ENODATA
            _advance(offsets, left, first, pieces, table, at, count)


def _advance(
    offsets: memoryview,
    left: memoryview,
    first: memoryview,
    pieces: memoryview,
    table: Pieces,
    at: int,
    count: int,
) -> None:
    """Let a row stand behind the `count` bytes that were done."""
    offsets[at] += count
    left[at] -= count
    while count:
        view = table[first[at]]
        assert view is not None
        if count < len(view):
            table[first[at]] = view[count:]
            return
        count -= len(view)
        first[at] += 1
        pieces[at] -= 1
