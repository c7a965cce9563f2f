"""Front-end half of the control session: composes requests, checks replies. No I/O.

Source: QEMU docs/interop/vhost-user, "Message Specification", "REPLY_ACK", "Front-end message types".

Modelled: every request of `spec.vhost_user.OBSERVED` can be composed, and its reply is checked; those of a GPU's and
of a disk's front-end have functions of their own. Not modelled: postcopy, logs; the back-end's own channel is
`backend_channel`.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from outboard.errors import LocalError, ProtocolError
from outboard.layout import Layout
from outboard.spec.vhost_user import (
    FLAG_NEED_REPLY,
    FLAG_REPLY,
    MAX_CONFIG,
    MAX_REGIONS,
    OBSERVED,
    U64,
    VERSION,
    VRING_NOFD,
    ConfigSpace,
    Header,
    Inflight,
    MemoryRegion,
    MemTable,
    ProtocolFeature,
    Req,
    Row,
    SingleRegion,
    VringAddr,
    VringState,
)
from outboard.vhost_user.connection import Connection, Frame

REPLY_FLAGS = VERSION | FLAG_REPLY
"""The whole flags word of a reply; QEMU compares all of it."""


class Message(NamedTuple):
    """One request on its way out. The fds go along with the first byte and stay the caller's to close.

    To be sent by one `sendmsg`: QEMU's back-end does not put a split message together again.
    """

    data: bytes
    fds: tuple[int, ...] = ()


class Reply(NamedTuple):
    """One checked reply. payload is None when the back-end refused GET_CONFIG; tail is the config data.

    fds: those that belong to the reply, the receiver's from now on.
    """

    req: Req
    payload: Layout | None
    tail: bytes = b""
    fds: tuple[int, ...] = ()

    @property
    def value(self) -> int:
        """The u64 of a reply that is one, acknowledgements included: 0 is success there."""
        assert isinstance(self.payload, U64), self
        return self.payload.value

    @property
    def num(self) -> int:
        """The second word of a vring state: for GET_VRING_BASE the next available index."""
        assert isinstance(self.payload, VringState), self
        return self.payload.num


class _Due(NamedTuple):
    """A reply that has to come. tail: bytes that follow the layout."""

    req: Req
    layout: type[Layout]
    tail: int


class Frontend:
    """State of the session: what was offered, what was acknowledged, which replies are due, in order.

    ack_all: set need_reply on every request that has no reply of its own, once REPLY_ACK is acknowledged. Otherwise
    only the requests in `ACKED` carry it, as QEMU 7.2 does.
    """

    ACKED = frozenset({Req.SET_MEM_TABLE, Req.ADD_MEM_REG, Req.REM_MEM_REG, Req.SET_BACKEND_REQ_FD})
    BRING_FDS = frozenset({Req.GET_INFLIGHT_FD})
    """Requests whose replies bring fds."""

    def __init__(self, ack_all: bool = False) -> None:
        self.ack_all = ack_all
        self.features_offered = 0
        self.features = 0
        self.protocol_features_offered = 0
        self.protocol_features = 0
        self._connection = Connection(self._check)
        self._due: deque[_Due] = deque()
        self._arriving: deque[_Due] = deque()
        self._stray: list[int] = []

    # Requests

    def compose(
        self,
        req: Req,
        payload: Layout | None = None,
        tail: bytes = b"",
        fds: Sequence[int] = (),
        need_reply: bool = True,
    ) -> Message:
        """Compose one request and note the reply it will get; `replies_due` counts it.

        need_reply=False keeps the flag off where it would be set. Raises LocalError when the request does not fit its
        row of the table or needs a protocol feature that was not acknowledged.
        """
        row = OBSERVED[req]
        self._fits(row, payload, tail, fds)
        body = (payload.pack() if payload else b"") + tail
        flags = VERSION
        if row.reply:
            self._due.append(_Due(req, row.reply, len(tail)))
        elif need_reply and self._acked(req):
            flags |= FLAG_NEED_REPLY
            self._due.append(_Due(req, U64, 0))
        return Message(Header(req, flags, len(body)).pack() + body, tuple(fds))

    def _acked(self, req: Req) -> bool:
        return bool(self.protocol_features & ProtocolFeature.REPLY_ACK) and (self.ack_all or req in self.ACKED)

    def _fits(self, row: Row, payload: Layout | None, tail: bytes, fds: Sequence[int]) -> None:
        """Raise LocalError when a request does not fit its row."""
        if row.feature and not self.protocol_features & row.feature:
            raise LocalError(f"{row.req.name} needs protocol feature {row.feature.name}, which was not acknowledged")
        if (type(payload) if payload else None) is not row.payload or (tail and not row.tail):
            raise LocalError(f"{row.req.name} carries {row.payload and row.payload.__name__}, got {payload!r}")
        if not row.fds[0] <= len(fds) <= row.fds[1]:
            raise LocalError(f"{row.req.name} carries {row.fds[0]} to {row.fds[1]} fds, got {len(fds)}")

    def get(self, req: Req) -> Message:
        """Compose a request without payload."""
        return self.compose(req)

    def set_features(self, mask: int) -> Message:
        """Acknowledge virtio features."""
        message = self.compose(Req.SET_FEATURES, U64(mask))
        self.features = mask
        return message

    def set_protocol_features(self, mask: int) -> Message:
        """Acknowledge protocol features; they hold from this message on, which itself is never acknowledged."""
        message = self.compose(Req.SET_PROTOCOL_FEATURES, U64(mask), need_reply=False)
        self.protocol_features = mask
        return message

    def gpu_set_socket(self, fd: int | None) -> Message:
        """Hand over the back-end's end of the GPU socket, in blocking mode; None hands over no display."""
        return self.compose(Req.GPU_SET_SOCKET, fds=() if fd is None else (fd,))

    def set_backend_req_fd(self, fd: int) -> Message:
        """Hand over the back-end's end of its own channel."""
        return self.compose(Req.SET_BACKEND_REQ_FD, fds=(fd,))

    def set_mem_table(self, regions: Sequence[MemoryRegion], fds: Sequence[int]) -> Message:
        """Replace all memory: one fd for each region, in order. Raises LocalError for more than 8 regions."""
        if len(regions) > MAX_REGIONS or len(fds) != len(regions):
            raise LocalError(f"SET_MEM_TABLE takes at most {MAX_REGIONS} regions, an fd each")
        tail = b"".join(region.pack() for region in regions)
        return self.compose(Req.SET_MEM_TABLE, MemTable(len(regions)), tail, fds)

    def add_mem_reg(self, region: MemoryRegion, fd: int) -> Message:
        """Add one region of memory."""
        return self.compose(Req.ADD_MEM_REG, SingleRegion(region=region), fds=(fd,))

    def rem_mem_reg(self, region: MemoryRegion) -> Message:
        """Remove the region with the same guest address, size and user address."""
        return self.compose(Req.REM_MEM_REG, SingleRegion(region=region))

    def get_config(self, offset: int, length: int) -> Message:
        """Ask for bytes of the device's config space. Raises LocalError beyond 256 of them."""
        if not 0 <= length <= MAX_CONFIG:
            raise LocalError(f"config access of {length} bytes, at most {MAX_CONFIG}")
        return self.compose(Req.GET_CONFIG, ConfigSpace(offset, length, 0), bytes(length))

    def set_config(self, offset: int, data: bytes, flags: int = 0) -> Message:
        """Write bytes of the device's config space; flags 1 is a restore after migration."""
        return self.compose(Req.SET_CONFIG, ConfigSpace(offset, len(data), flags), data)

    def set_vring_num(self, index: int, size: int) -> Message:
        """Set the number of descriptors of a ring."""
        return self.compose(Req.SET_VRING_NUM, VringState(index, size))

    def set_vring_base(self, index: int, avail_idx: int) -> Message:
        """Set the next available index that the back-end takes."""
        return self.compose(Req.SET_VRING_BASE, VringState(index, avail_idx))

    def set_vring_addr(self, index: int, desc_addr: int, avail_addr: int, used_addr: int) -> Message:
        """Place a ring; addresses in the front-end's address space ("user")."""
        return self.compose(Req.SET_VRING_ADDR, VringAddr(index, 0, desc_addr, used_addr, avail_addr))

    def set_vring_fd(self, req: Req, index: int, fd: int | None) -> Message:
        """Set the kick, call or error eventfd of a ring; None is the form without one."""
        value = U64(index | (VRING_NOFD if fd is None else 0))
        return self.compose(req, value, fds=() if fd is None else (fd,))

    def set_vring_enable(self, index: int, enable: bool) -> Message:
        """Enable or disable a ring."""
        return self.compose(Req.SET_VRING_ENABLE, VringState(index, int(enable)))

    def get_vring_base(self, index: int) -> Message:
        """Stop a ring and ask for its next available index."""
        return self.compose(Req.GET_VRING_BASE, VringState(index))

    def get_inflight_fd(self, num_queues: int, queue_size: int) -> Message:
        """Ask for memory to track the requests in flight of so many rings of this size; its fd comes in the reply."""
        return self.compose(Req.GET_INFLIGHT_FD, Inflight(0, 0, num_queues, queue_size))

    def set_inflight_fd(self, area: Inflight, fd: int) -> Message:
        """Hand over such memory, as a reply of GET_INFLIGHT_FD described it."""
        return self.compose(Req.SET_INFLIGHT_FD, area, fds=(fd,))

    # Replies

    @property
    def replies_due(self) -> int:
        """How many replies have not come yet."""
        return len(self._due) + len(self._arriving)

    @property
    def wanted(self) -> int:
        """Bytes to read next, at most: the transport never takes bytes of the message behind."""
        return self._connection.wanted

    def receive(self, data: bytes, fds: Sequence[int] = ()) -> list[Reply]:
        """Add a chunk of the stream; return the replies it completes.

        The session owns `fds` until `close`. Raises ProtocolError for a reply that nobody waits for, or with other
        flags than 5, another id or another size; the session stays broken then.
        """
        return [self._reply(frame) for frame in self._connection.receive(data, fds)]

    def _check(self, header: Header) -> None:
        """Compare a header with the reply that is due. Raises ProtocolError."""
        if not self._due:
            raise ProtocolError("reply", "none, nothing was asked", f"id {header.request}")
        due = self._due[0]
        name = due.req.name
        if header.request != due.req:
            raise ProtocolError(name, f"a reply with id {int(due.req)}", f"id {header.request}")
        if header.flags != REPLY_FLAGS:
            raise ProtocolError(name, f"reply flags {REPLY_FLAGS:#x}", f"{header.flags:#x}")
        size = due.layout.sizeof + due.tail
        if header.size != size and not (due.req == Req.GET_CONFIG and header.size == 0):
            raise ProtocolError(name, f"{size} bytes", f"{header.size}")
        self._arriving.append(self._due.popleft())

    def _reply(self, frame: Frame) -> Reply:
        due = self._arriving.popleft()
        fds = frame.take_fds()
        if due.req not in self.BRING_FDS:
            self._stray += fds
            fds = []
        if not frame.payload:
            return Reply(due.req, None)
        payload = due.layout.unpack_from(frame.payload)
        reply = Reply(due.req, payload, frame.payload[due.layout.sizeof :], tuple(fds))
        if due.req == Req.GET_FEATURES:
            self.features_offered = reply.value
        elif due.req == Req.GET_PROTOCOL_FEATURES:
            self.protocol_features_offered = reply.value
        return reply

    def close(self) -> list[int]:
        """Return the fds that came with replies, where none belongs; the caller closes them."""
        stray, self._stray = self._stray, []
        return stray + self._connection.close()
