"""What waits to be written to a stream socket: small messages staged side by side, large pixels where they lie.

Pure bookkeeping: the transport asks for `parts`, writes what it can without blocking, and reports how much with
`advance`. Staged bytes are reused once all has left, so memory stays bounded however slow the peer is.
"""

from collections import deque

STAGING = 256 << 10
"""Bytes staged at most: they stay in the processor's cache from the gather to the socket."""


class Outbox:
    """Bytes in order. `borrowed` is true while a part refers to memory that its owner must not change."""

    def __init__(self) -> None:
        self.size = STAGING
        self.staging = memoryview(bytearray(STAGING))
        self.words = self.staging.cast("I")
        self._parts: deque[tuple[memoryview, list[int]]] = deque()
        self.clear()

    def clear(self) -> list[int]:
        """Drop everything; return the fds that were to be sent, for the caller to close."""
        fds = [fd for _, part_fds in self._parts for fd in part_fds]
        self._parts.clear()
        self._fill = 0
        self._closed = 0
        self.borrowed = False
        return fds

    @property
    def empty(self) -> bool:
        """Whether all has been written."""
        return not self._parts and self._fill == self._closed

    def room(self) -> int:
        """Bytes that can be staged now."""
        return self.size - self._fill

    def stage(self, length: int) -> int:
        """Return where in `staging` to put the next `length` bytes; the caller has looked at `room`."""
        at = self._fill
        self._fill += length
        return at

    def put(self, data: bytes, fds: list[int] | None = None) -> None:
        """Stage a copy of `data`, `room` permitting. fds go with its first byte; the transport closes them after."""
        if fds:
            self._close_part()
        at = self.stage(len(data))
        self.staging[at : at + len(data)] = data
        if fds:
            self._parts.append((self.staging[at : self._fill], fds))
            self._closed = self._fill

    def borrow(self, data: memoryview) -> None:
        """Add bytes without copying them."""
        self._close_part()
        self._parts.append((data, []))
        self.borrowed = True

    def _close_part(self) -> None:
        if self._fill > self._closed:
            self._parts.append((self.staging[self._closed : self._fill], []))
            self._closed = self._fill

    def parts(self, limit: int = 16) -> tuple[list[memoryview], list[int]]:
        """Return buffers to write next, in one call, and the fds that go with the first byte."""
        self._close_part()
        views: list[memoryview] = []
        fds: list[int] = []
        for view, part_fds in self._parts:
            if views and (part_fds or len(views) == limit):
                break
            views.append(view)
            fds = fds or part_fds
        return views, fds

    def advance(self, written: int) -> list[int]:
        """Note that `written` bytes are gone; return the fds that went with them, for the caller to close."""
        sent: list[int] = []
        while written:
            view, fds = self._parts.popleft()
            sent += fds
            if written < len(view):
                self._parts.appendleft((view[written:], []))
                break
            written -= len(view)
        if not self._parts and self._fill == self._closed:
            self._fill = self._closed = 0
            self.borrowed = False
        return sent

    def own(self) -> None:
        """Copy what is borrowed, so that its owner may change it."""
        if self.borrowed:
            self._parts = deque((memoryview(bytes(view)), fds) for view, fds in self._parts)
            self.borrowed = False
