"""The back-end's end of the control socket: which messages are legal, what they say, what the answer looks like.

Source: QEMU docs/interop/vhost-user. What a request does is its device's business (`outboard.backend`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from outboard import trace
from outboard.errors import ProtocolError
from outboard.layout import Layout
from outboard.spec.vhost_user import (
    FLAG_NEED_REPLY,
    FLAG_REPLY,
    REQUESTS,
    U64,
    VERSION,
    VERSION_MASK,
    Header,
    ProtocolFeature,
    Req,
    Row,
)
from outboard.vhost_user.connection import Connection, Frame

MAX_PAYLOAD = 4096
"""Bytes; no request that reaches a GPU comes near."""


@dataclass
class Request:
    """One legal message. payload: the row's structure, or None; tail: bytes behind it; frame: holds the fds."""

    number: int
    row: Row | None
    payload: Layout | None
    tail: bytes
    frame: Frame

    @property
    def name(self) -> str:
        """The document's name, or the number when it has none."""
        return Req(self.number).name if self.number in set(Req) else f"request {self.number}"

    @property
    def need_reply(self) -> bool:
        """Whether the front-end set need_reply."""
        return bool(self.frame.flags & FLAG_NEED_REPLY)


class BackendSession:
    """Framing, legality and answers. `protocol_features` are those that the front-end accepted.

    rows: the requests whose payloads are looked at; any other is left to its device as it came.
    """

    def __init__(self, rows: Mapping[int, Row] = REQUESTS) -> None:
        self._rows = rows
        self.protocol_features = ProtocolFeature(0)
        self._connection = Connection(self._check)
        self._stray: list[int] = []

    def _check(self, header: Header) -> None:
        name = self._rows[header.request].req.name if header.request in self._rows else f"request {header.request}"
        if header.flags & VERSION_MASK != VERSION or header.flags & FLAG_REPLY:
            raise ProtocolError(name, f"flags with version {VERSION} and no reply bit", f"{header.flags:#x}")
        if header.size > MAX_PAYLOAD:
            raise ProtocolError(name, f"a payload of at most {MAX_PAYLOAD} bytes", f"{header.size}")

    @property
    def wanted(self) -> int:
        """Bytes to read next at most, so that fds stay with their message."""
        return self._connection.wanted

    @property
    def partial(self) -> bool:
        """Whether the stream would end inside a message."""
        return self._connection.partial

    def receive(self, data: bytes, fds: Sequence[int] = ()) -> list[Request]:
        """Add a chunk of the stream; return the requests it completes. Raises ProtocolError; see `close` for fds."""
        frames = self._connection.receive(data, fds)
        try:
            return [self._request(frame) for frame in frames]
        except ProtocolError:
            self._stray += [fd for frame in frames for fd in frame.take_fds()]
            raise

    def _request(self, frame: Frame) -> Request:
        row = self._rows.get(frame.request)
        if row is None:
            return Request(frame.request, None, None, frame.payload, frame)
        size = row.payload.sizeof if row.payload else 0
        if len(frame.payload) < size or (len(frame.payload) > size and not row.tail):
            raise ProtocolError(row.req.name, f"{size} bytes", f"{len(frame.payload)}")
        fewest, most = row.fds
        if len(frame.fds) < fewest:
            raise ProtocolError(row.req.name, f"{fewest} fd", f"{len(frame.fds)}")
        if len(frame.fds) > most:
            trace.emit("vhost_user.extra_fds", request=row.req.name, expected=most, got=len(frame.fds))
        payload = row.payload.unpack(frame.payload[:size]) if row.payload else None
        return Request(frame.request, row, payload, frame.payload[size:], frame)

    def reply(self, request: Request, payload: Layout | None, tail: bytes = b"") -> bytes:
        """Return the message that answers a request which has a reply of its own; without payload it is a refusal."""
        body = tail if payload is None else payload.pack() + tail
        return Header(request.number, VERSION | FLAG_REPLY, len(body)).pack() + body

    def acknowledge(self, request: Request, ok: bool) -> bytes:
        """Return the u64 that answers any other request, empty when none was asked for: 0 is success."""
        if not (request.need_reply and self.protocol_features & ProtocolFeature.REPLY_ACK):
            return b""
        return self.reply(request, U64(0 if ok else 1))

    def close(self) -> list[int]:
        """Return fds that belong to no request; the caller closes them."""
        stray, self._stray = self._stray, []
        return stray + self._connection.close()
