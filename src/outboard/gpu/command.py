"""One command in execution: a private copy of its request, and the reply that goes behind the response header."""

from typing import TypeVar

from outboard.layout import Layout
from outboard.spec.virtio_gpu import SetScanoutBlob
from outboard.virtio.split_queue import SplitQueue

L = TypeVar("L", bound=Layout)

REQUEST_MAX = SetScanoutBlob.sizeof
"""Bytes of the longest request, lists behind it not counted."""

WAIT = 0
"""Result of a verb: there is no answer yet; the queue waits for one."""


class Command:
    """The request that a queue popped last.

    words, longs: the first REQUEST_MAX bytes as u32 and u64; bytes beyond the request are left over from earlier ones,
    and the command's row makes sure that nobody looks at them. reply: what follows the response header.
    """

    def __init__(self, queue: SplitQueue) -> None:
        self.queue = queue
        self.request = memoryview(bytearray(REQUEST_MAX))
        self.view = self.request
        self.words = self.request.cast("I")
        self.longs = self.request.cast("Q")
        self.reply = b""

    def fetch(self) -> int:
        """Copy the request of the chain popped last; return how many bytes of it there are, REQUEST_MAX at most."""
        self.reply = b""
        return self.queue.read(0, self.view, REQUEST_MAX)

    def tail(self, start: int, length: int) -> bytes | None:
        """Return `length` bytes of the request from `start` on, or None when it is shorter."""
        if self.queue.readable_bytes < start + length:
            return None
        data = bytearray(start + length)
        self.queue.read(0, memoryview(data), start + length)
        return bytes(data[start:])

    def unpack(self, layout: type[L]) -> L:
        """Return the request as a structure; its row has checked that it is long enough."""
        return layout.unpack_from(self.request)
