"""The byte stream of the GPU socket as a front-end reads it: messages with their fds, pixels straight to their place.

Source: QEMU docs/interop/vhost-user-gpu, "Wire format".

Knows sizes from the table of requests, and of UPDATE that pixels follow. What a message means is a subclass's own.
"""

import struct
from collections import deque
from collections.abc import Callable

from outboard.errors import ProtocolError
from outboard.spec.vhost_user_gpu import REQUESTS, Header, Req, Update
from outboard.vhost_user.connection import FDS_HELD

CHUNK = 256 << 10
"""Bytes read at once, at most, when they are not the pixels of one picture; every known message fits."""
DIRECT_MIN = 32 << 10
"""Pixel bytes still to come from which they are read where they belong."""
SKIP_MAX = 64 << 20
"""Bytes of a message whose request is unknown, at most."""
VIOLATIONS_KEPT = 256
UPDATE = int(Req.UPDATE)
HEADER_SIZE = Header.sizeof
UPDATE_HEADER = HEADER_SIZE + Update.sizeof
_HEADER = struct.Struct("=" + Header.codes)


class DisplayStream:
    """The stream of one GPU socket after the other: `open` begins anew.

    close_fds: takes fds that nobody wants. A transport reads into `buffer()`, says how much by `received`.
    """

    def __init__(self, close_fds: Callable[[list[int]], object]) -> None:
        self.violations: list[str] = []
        self.violation_count = 0
        self._close_fds = close_fds
        self._chunk = memoryview(bytearray(CHUNK))
        self._fds: deque[tuple[int, list[int]]] = deque()
        self.open()

    def open(self) -> None:
        """Begin on a new socket."""
        self._drop_fds()
        self._fill = 0
        self._next = CHUNK  # bytes of the chunk that are read into
        self._due = 0  # bytes of pixels, or of what is skipped, still to come
        self._at = 0  # bytes of pixels that came
        self._target: memoryview | None = None

    def close(self) -> None:
        """Close the fds of messages that never were completed."""
        self._drop_fds()

    def violate(self, what: str) -> None:
        """Note what the back-end must not do; the first ones are kept in words, all are counted."""
        self.violation_count += 1
        if len(self.violations) < VIOLATIONS_KEPT:
            self.violations.append(what)

    # What the messages mean

    def _message(self, request: int, flags: int, body: memoryview, size: int, fds: list[int]) -> None:
        """Take one complete message without pixels; the fds are to be closed or kept."""
        raise NotImplementedError

    def _unknown(self, request: int, flags: int, size: int, fds: list[int]) -> None:
        """Take note of a message that is skipped; the fds are to be closed."""
        raise NotImplementedError

    def _begin_update(self, flags: int, body: memoryview, size: int, rest: memoryview, fds: list[int]) -> int:
        """Take the rectangle of an UPDATE, of whose pixels `rest` is here already; return how many bytes were taken.

        For the others `_due` is set, and `_target` if they are wanted. Raises ProtocolError.
        """
        raise NotImplementedError

    def _end_update(self, pixels: memoryview | None) -> None:
        """All that was due has come."""
        raise NotImplementedError

    # Bytes

    @property
    def partial(self) -> bool:
        """Whether the stream would end inside a message if it ended now."""
        return bool(self._fill or self._due)

    def buffer(self) -> memoryview:
        """Return where the next bytes go: some bytes of room, valid until `received`."""
        if self._due >= DIRECT_MIN:
            if self._target is not None:
                return self._target[self._at : self._at + self._due]
            return self._chunk[: self._due]  # It is empty now, and nobody wants these.
        return self._chunk[self._fill : self._next]

    def received(self, count: int, fds: list[int]) -> None:
        """Take `count` bytes that were read into `buffer()`, and the fds that came with them, which are ours now.

        Raises ProtocolError when the rest of the stream cannot be understood.
        """
        if self._due >= DIRECT_MIN:
            self._at += count
            self._due -= count
            if fds:
                self._stray(fds)
            if not self._due:
                self._end_update(self._target)
                # Large pictures follow each other: of the next one only the header is read to another place.
                self._next = UPDATE_HEADER
            return
        self._fill += count
        self._next = CHUNK
        if fds:
            self._hold(fds)
        self._parse()

    def _parse(self) -> None:
        """Take all complete messages, and all pixels, out of the chunk."""
        at, fill, view = 0, self._fill, self._chunk
        while True:
            if self._due:
                at += self._more(view[at:fill])
            if fill - at < HEADER_SIZE or self._due:
                break
            request, flags, size = _HEADER.unpack_from(view, at)
            length = self._checked(request, size)
            end = at + HEADER_SIZE + length
            if end > fill:
                break
            fds = self._fds_of(at) if self._fds else []
            body = view[at + HEADER_SIZE : end]
            at = end
            if request == UPDATE:
                at += self._begin_update(flags, body, size, view[at:fill], fds)
            elif length < size:
                self._unknown(request, flags, size, fds)
            else:
                self._message(request, flags, body, size, fds)
        self._fill = fill - at
        if at:
            view[: self._fill] = view[at:fill] if at >= self._fill else bytes(view[at:fill])
            if self._fds:
                self._fds = deque((max(0, start - at), fds) for start, fds in self._fds)

    def _checked(self, request: int, size: int) -> int:
        """Return how many bytes of the payload are taken as one. Raises ProtocolError for a size that cannot be."""
        row = REQUESTS.get(request)  # type: ignore[call-overload]
        if row is None:
            if size > SKIP_MAX:
                raise ProtocolError("GPU message", f"at most {SKIP_MAX} bytes of unknown request {request}", f"{size}")
            return 0
        wanted = row.payload.sizeof if row.payload else 0
        if size < wanted or (size > wanted and not row.pixels):
            raise ProtocolError(row.req.name, f"{wanted} bytes", f"{size}")
        return int(wanted)

    def _more(self, view: memoryview) -> int:
        """Take bytes of pixels, or of what is skipped; return how many."""
        step = min(self._due, len(view))
        if self._target is not None:
            self._target[self._at : self._at + step] = view[:step]
        self._at += step
        self._due -= step
        if not self._due:
            self._end_update(self._target)
        return step

    # Fds

    def _hold(self, fds: list[int]) -> None:
        """Keep fds until their message is complete. A read ends behind the segment that carried them.

        So they belong to the last message that begins in the chunk, or, where a sender joined several in one segment,
        to the last one that takes an fd.
        """
        if len(fds) + sum(len(held) for _, held in self._fds) > FDS_HELD:
            self.violate(f"{len(fds)} fds more than are held")
            self._close_fds(fds)
            return
        owner = last = min(self._due, self._fill)
        if last == self._fill:
            self._stray(fds)
            return
        while self._fill - last > 0:
            if self._fill - last < HEADER_SIZE:
                owner = last
                break
            request, _, size = _HEADER.unpack_from(self._chunk, last)
            row = REQUESTS.get(request)
            takes = row is not None and row.fds[1] > 0
            if takes or not self._takes(owner):
                owner = last
            last += HEADER_SIZE + size
        self._fds.append((owner, fds))

    def _stray(self, fds: list[int]) -> None:
        self.violate(f"{len(fds)} fds amid the bytes of a message")
        self._close_fds(fds)

    def _takes(self, at: int) -> bool:
        """Whether the message at `at` of the chunk takes an fd."""
        row = REQUESTS.get(_HEADER.unpack_from(self._chunk, at)[0])
        return row is not None and row.fds[1] > 0

    def _fds_of(self, at: int) -> list[int]:
        """Return the fds of the message at `at`; those of bytes before it belong to nothing."""
        mine: list[int] = []
        while self._fds and self._fds[0][0] <= at:
            mine += self._fds.popleft()[1]
        return mine

    def _drop_fds(self) -> None:
        while self._fds:
            self._close_fds(self._fds.popleft()[1])
