"""Buffers of a request: a list of flat byte views, read or written as one stream."""

from collections.abc import Sequence

Buffer = memoryview | bytearray | bytes
Buffers = Sequence[Buffer]


def size(buffers: Buffers) -> int:
    """Return the length of all together, in bytes."""
    return sum(len(one) for one in buffers)


def part(buffers: Buffers, start: int, length: int) -> list[memoryview]:
    """Return views of `length` bytes from `start` on, fewer where the buffers end."""
    views = []
    for one in buffers:
        if length <= 0:
            break
        if start < len(one):
            view = memoryview(one)[start : start + length]
            views.append(view)
            length -= len(view)
        start = max(0, start - len(one))
    return views


def rest(buffers: Buffers, start: int) -> list[memoryview]:
    """Return views of all from `start` on."""
    return part(buffers, start, size(buffers) - start)


def join(buffers: Buffers) -> bytes:
    """Return all in one piece."""
    return b"".join(buffers)


def fill(buffers: Buffers, data: Buffer) -> None:
    """Copy `data`, which is as long as the buffers, into them."""
    start = 0
    for one in buffers:
        memoryview(one)[:] = data[start : start + len(one)]
        start += len(one)


def zero(buffers: Buffers) -> None:
    """Make all of them zeros."""
    for one in buffers:
        memoryview(one)[:] = bytes(len(one))
