"""preadv and pwritev of many transfers in one go. Plain form; `vectored.pxd` holds the compiled one.

The compiled form lets go of the interpreter's lock once for all of them.

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


def point(
    vectors: memoryview, views: list[memoryview | None], at: int, memory: memoryview, start: int, length: int
) -> None:
    """Let piece `at` be `length` bytes of memory. Here it is a view; compiled, it is an address, and nothing else keeps
    the memory alive."""
    views[at] = memory[start : start + length]


def transfer(
    fd: int,
    writes: memoryview,
    offsets: memoryview,
    left: memoryview,
    first: memoryview,
    pieces: memoryview,
    errors: memoryview,
    vectors: memoryview,
    views: list[memoryview | None],
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
            buffers = [view for view in views[first[at] : last] if view is not None]
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
            _advance(offsets, left, first, pieces, views, at, count)


def _advance(
    offsets: memoryview,
    left: memoryview,
    first: memoryview,
    pieces: memoryview,
    views: list[memoryview | None],
    at: int,
    count: int,
) -> None:
    """Let a row stand behind the `count` bytes that were done."""
    offsets[at] += count
    left[at] -= count
    while count:
        view = views[first[at]]
        assert view is not None
        if count < len(view):
            views[first[at]] = view[count:]
            return
        count -= len(view)
        first[at] += 1
        pieces[at] -= 1
