"""The front-end's end of the back-end channel, the socket that SET_BACKEND_REQ_FD hands over. No I/O.

Source: QEMU docs/interop/vhost-user, "Back-end message types".

Modelled: CONFIG_CHANGE_MSG, and a refusal of every other request when an answer is asked for.
"""

from collections.abc import Callable, Sequence

from outboard.errors import ProtocolError
from outboard.spec.vhost_user import FLAG_NEED_REPLY, FLAG_REPLY, U64, VERSION, VERSION_MASK, BackendReq, Header
from outboard.vhost_user.connection import Connection

MAX_PAYLOAD = 4096
"""Bytes; no request comes near."""

Observer = Callable[[bool, int, int, bytes, int, int], object]


class BackendChannel:
    """Session on the channel. config_changed: called when the back-end says that its config space changed.

    observer: called for every message with (to the back-end, request, flags, payload, its size, number of fds).
    """

    def __init__(self, config_changed: Callable[[], object], observer: Observer) -> None:
        self._connection = Connection(self._check)
        self._served: dict[int, Callable[[], object]] = {BackendReq.CONFIG_CHANGE_MSG: config_changed}
        self._observe = observer
        self._stray: list[int] = []

    @property
    def wanted(self) -> int:
        """Bytes to read next, at most."""
        return self._connection.wanted

    def receive(self, data: bytes, fds: Sequence[int] = ()) -> bytes:
        """Add a chunk of the stream, whose fds the session owns; return the answers. Raises ProtocolError."""
        answers = b""
        for frame in self._connection.receive(data, fds):
            self._observe(False, frame.request, frame.flags, frame.payload, len(frame.payload), len(frame.fds))
            self._stray += frame.take_fds()
            serve = self._served.get(frame.request)
            if serve is not None:
                serve()
            if frame.flags & FLAG_NEED_REPLY:
                answers += self._answer(frame.request, serve is not None)
        return answers

    def _answer(self, request: int, served: bool) -> bytes:
        header, payload = Header(request, VERSION | FLAG_REPLY, U64.sizeof), U64(not served).pack()
        self._observe(True, request, header.flags, payload, U64.sizeof, 0)
        return header.pack() + payload

    @staticmethod
    def _check(header: Header) -> None:
        if header.flags & VERSION_MASK != VERSION:
            raise ProtocolError("back-end channel", f"version {VERSION}", f"flags {header.flags:#x}")
        if header.size > MAX_PAYLOAD:
            raise ProtocolError("back-end channel", f"at most {MAX_PAYLOAD} bytes", f"{header.size}")

    def take_fds(self) -> list[int]:
        """Return the fds that came with requests so far; the caller closes them."""
        stray, self._stray = self._stray, []
        return stray

    def close(self) -> list[int]:
        """Return all fds that are left; the caller closes them."""
        return self.take_fds() + self._connection.close()
