"""Framing, alike on the control socket and on the GPU socket: a header of request, flags and size, then the payload.

Source: QEMU docs/interop/vhost-user, "Message Specification"; docs/interop/vhost-user-gpu, "Wire format".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from outboard.errors import ProtocolError
from outboard.spec.vhost_user import MAX_FDS, Header

FDS_HELD = 4 * MAX_FDS
"""Fds kept for an unfinished message: a peer that sends one byte and some fds at a time must not take all there are."""


@dataclass
class Frame:
    """One message. `fds` are open and belong to the frame until `take_fd` or `take_fds` hands them on."""

    request: int
    flags: int
    payload: bytes
    fds: list[int] = field(default_factory=list)

    def take_fds(self) -> list[int]:
        """Return the remaining fds; the caller owns them now."""
        fds, self.fds = self.fds, []
        return fds

    def take_fd(self) -> int | None:
        """Return the first remaining fd, or None; the caller owns it now."""
        return self.fds.pop(0) if self.fds else None


class Connection:
    """Turns a byte stream with fds into frames.

    check: called with every header as soon as it is complete; raises ProtocolError to refuse it, so that a hostile
    size is never buffered. After an error the connection stays broken: every call raises the same error.

    A transport that never reads more than `wanted` bytes at once gives each fd to the message it came with. One that
    reads more gives them to the message that the first byte of the chunk belongs to.
    """

    def __init__(self, check: Callable[[Header], None]) -> None:
        self._check = check
        self._buffer = bytearray()
        self._header: Header | None = None
        self._fds: list[int] = []
        self._error: ProtocolError | None = None

    @property
    def wanted(self) -> int:
        """Bytes missing from the header, or, once it is here, from the message; at least 1."""
        whole = Header.sizeof + (self._header.size if self._header else 0)
        return max(1, whole - len(self._buffer))

    def receive(self, data: bytes | bytearray | memoryview, fds: Sequence[int] = ()) -> list[Frame]:
        """Add a chunk of the stream; return the frames it completes. Raises ProtocolError."""
        self._fds.extend(fds)
        if len(self._fds) > FDS_HELD and self._error is None:
            self._error = ProtocolError("message", f"at most {FDS_HELD} fds", f"{len(self._fds)}")
        if self._error:
            raise self._error
        self._buffer += data
        frames = []
        try:
            while (frame := self._next()) is not None:
                frames.append(frame)
        except ProtocolError as error:
            self._error = error
            for frame in frames:
                self._fds.extend(frame.take_fds())
            raise
        return frames

    def _next(self) -> Frame | None:
        if self._header is None:
            if len(self._buffer) < Header.sizeof:
                return None
            header = Header.unpack_from(self._buffer)
            self._check(header)
            self._header = header
        end = Header.sizeof + self._header.size
        if len(self._buffer) < end:
            return None
        frame = Frame(self._header.request, self._header.flags, bytes(self._buffer[Header.sizeof : end]), self._fds)
        self._fds = []
        del self._buffer[:end]
        self._header = None
        return frame

    @property
    def partial(self) -> bool:
        """Whether the stream would end inside a message if it ended now."""
        return bool(self._buffer)

    def close(self) -> list[int]:
        """Return the fds of messages that never were completed; the caller closes them."""
        fds, self._fds = self._fds, []
        return fds
