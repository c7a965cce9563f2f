"""The back-end's end of the GPU socket.

Source: QEMU docs/interop/vhost-user-gpu.

Modelled: all requests, the negotiation of EDID and DMABUF2, one question outstanding at a time. Large pictures leave in
bands, each an UPDATE of its own, so that a slow front-end is never held long by one message; nothing here blocks.
"""

from collections import Counter, deque
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from outboard.errors import LocalError, ProtocolError
from outboard.layout import Layout
from outboard.spec import vhost_user
from outboard.spec.vhost_user_gpu import (
    FLAG_REPLY,
    REQUESTS,
    U64,
    CursorPos,
    CursorUpdate,
    DmabufScanout,
    DmabufScanout2,
    EdidRequest,
    Header,
    ProtocolFeature,
    Req,
    Scanout,
    Update,
)
from outboard.vhost_user.connection import Connection
from outboard.vhost_user.outbox import STAGING, Outbox

BAND = 1 << 20
"""Pixel bytes of one UPDATE, at most, when they are sent from where they lie."""
PIECE = 512 << 10
"""Pixel bytes sent at once from where they lie: few enough that they are still in cache if they were just written."""
DIRECT_MIN = 64 << 10
"""Pixel bytes from which sending from where they lie beats gathering."""
HIGH_WATER = STAGING // 2
"""Staged bytes from which no further command should run."""
BYTES_PER_PIXEL = 4

HEADER = Header.sizeof
UPDATE_HEAD = HEADER + Update.sizeof
CURSOR_POS = HEADER + CursorPos.sizeof
UPDATE_ID = int(Req.UPDATE)


class Pixels(Protocol):
    """Where an UPDATE finds its pixels."""

    def contiguous(self, x: int, y: int, width: int, rows: int) -> memoryview | None:
        """Return a rectangle's bytes where they lie, or None when they are not in one piece."""

    def gather(self, into: memoryview, start: int, x: int, y: int, width: int, rows: int) -> None:
        """Copy a rectangle as tight rows to byte `start` of `into`."""


class Reply(NamedTuple):
    """An answer of the front-end. `payload` has the length that the request's row declares."""

    req: Req
    payload: bytes


class DisplaySender:
    """Session on the GPU socket. While `connected` is false every message is dropped, and commands go on."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self._words = self.outbox.words
        self.connected = False
        self.features: ProtocolFeature | None = None
        self._connection = Connection(self._check)
        self._jobs: deque[Iterator[None]] = deque()
        self._questions: deque[tuple[Req, Layout | None]] = deque()
        self._asked: Req | None = None
        self._late: Counter[Req] = Counter()
        self._unsent: list[int] = []
        self._due = 0

    def open(self) -> list[int]:
        """Begin on a new socket: drop all that was queued, ask for the protocol features. Returns fds to close."""
        fds = self.close()
        self.connected = True
        self.ask(Req.GET_PROTOCOL_FEATURES)
        return fds

    def close(self) -> list[int]:
        """Forget the socket and what was queued for it. Returns fds to close."""
        self.connected = False
        self.features = None
        self._connection = Connection(self._check)
        self._jobs.clear()
        self._questions.clear()
        self._asked = None
        self._late.clear()
        self._due = 0
        fds, self._unsent = self._unsent, []
        return fds + self.outbox.clear()

    # Questions and answers

    def ask(self, req: Req, payload: Layout | None = None) -> None:
        """Send a request that has a reply, as soon as the one before is answered."""
        self._questions.append((req, payload))
        self._ask_next()

    def _ask_next(self) -> None:
        if self._asked is None and self._questions and self.connected:
            self._asked, payload = self._questions.popleft()
            self._message(self._asked, payload.pack() if payload else b"")

    def give_up(self) -> None:
        """Wait no more for the answer to the question asked last; it may still come, and is dropped then.

        The protocol features are waited for as long as it takes: nothing else tells what the front-end can do.
        """
        if self._questions:
            self._questions.pop()
        elif self._asked is not None and self._asked != Req.GET_PROTOCOL_FEATURES:
            self._late[self._asked] += 1
            self._asked = None

    @property
    def wanted(self) -> int:
        """Bytes to read next at most."""
        return self._connection.wanted

    def _check(self, header: vhost_user.Header) -> None:
        asked = next((late for late in self._late if late == header.request and self._late[late]), self._asked)
        if asked is None:
            raise ProtocolError("GPU socket", "nothing, no question is open", f"reply {header.request}")
        layout = REQUESTS[asked].reply
        size = layout.sizeof if layout else 0
        if header.request != asked or not header.flags & FLAG_REPLY or header.size != size:
            raise ProtocolError(
                asked.name,
                f"reply {int(asked)}, flags {FLAG_REPLY:#x}, {size} bytes",
                f"{header.request}, flags {header.flags:#x}, {header.size} bytes",
            )

    def receive(self, data: bytes) -> list[Reply]:
        """Add bytes that came from the front-end; return the replies they complete. Raises ProtocolError."""
        replies = []
        for frame in self._connection.receive(data):
            req = Req(frame.request)
            if req != self._asked:
                self._late[req] -= 1
                continue
            # An answer to the same question asked before is as good: the second one is the late one then.
            self._asked = None
            if req == Req.GET_PROTOCOL_FEATURES:
                self._negotiate(U64.unpack(frame.payload).value)
            replies.append(Reply(req, frame.payload))
            self._ask_next()
        return replies

    def _negotiate(self, offered: int) -> None:
        self.features = ProtocolFeature(offered & (ProtocolFeature.EDID | ProtocolFeature.DMABUF2))
        self._message(Req.SET_PROTOCOL_FEATURES, U64(self.features).pack())

    # What the guest shows

    @property
    def congested(self) -> bool:
        """Whether the transport should write before more is shown."""
        outbox = self.outbox
        return bool(self._jobs) or outbox.borrowed or outbox.room() < STAGING - HIGH_WATER

    def scanout(self, scanout_id: int, width: int, height: int) -> None:
        """SCANOUT: the size of an output; 0 x 0 disables it."""
        self._message(Req.SCANOUT, Scanout(scanout_id, width, height).pack())

    def update(self, scanout_id: int, surface: Pixels, x: int, y: int, width: int, height: int) -> None:
        """UPDATE: a rectangle, in one message or in bands from the top."""
        if not self.connected:
            return
        size = BYTES_PER_PIXEL * width * height
        if size < DIRECT_MIN and not self._jobs and size + UPDATE_HEAD <= self.outbox.room():
            self._gather(scanout_id, surface, x, y, width, height)
        else:
            self._later(self._bands(scanout_id, surface, x, y, width, height))

    def _head(self, scanout_id: int, x: int, y: int, width: int, height: int) -> int:
        """Stage an UPDATE's header and rectangle; return the bytes of its pixels."""
        size = BYTES_PER_PIXEL * width * height
        words = self._words
        at = self.outbox.stage(UPDATE_HEAD) >> 2
        words[at] = UPDATE_ID
        words[at + 1] = 0
        words[at + 2] = UPDATE_HEAD - HEADER + size
        words[at + 3] = scanout_id
        words[at + 4] = x
        words[at + 5] = y
        words[at + 6] = width
        words[at + 7] = height
        return size

    def _gather(self, scanout_id: int, surface: Pixels, x: int, y: int, width: int, height: int) -> None:
        size = self._head(scanout_id, x, y, width, height)
        surface.gather(self.outbox.staging, self.outbox.stage(size), x, y, width, height)

    def _bands(self, scanout_id: int, surface: Pixels, x: int, y: int, width: int, height: int) -> Iterator[None]:
        """Queue a rectangle band by band; yields while there is no room."""
        row_bytes = BYTES_PER_PIXEL * width
        while height:
            rows = min(height, max(1, BAND // row_bytes))
            if surface.contiguous(x, y, width, rows) is None:
                rows = min(height, (STAGING - UPDATE_HEAD) // row_bytes)
                while self.outbox.room() < UPDATE_HEAD + row_bytes * rows:
                    yield
                self._gather(scanout_id, surface, x, y, width, rows)
            else:
                yield from self._direct(scanout_id, surface, x, y, width, rows)
            y += rows
            height -= rows

    def _direct(self, scanout_id: int, surface: Pixels, x: int, y: int, width: int, height: int) -> Iterator[None]:
        """Queue one UPDATE whose pixels stay where they lie, piece by piece: each leaves before the next is touched."""
        while self.outbox.room() < UPDATE_HEAD:
            yield
        row_bytes = BYTES_PER_PIXEL * width
        self._due = self._head(scanout_id, x, y, width, height)
        while self._due:
            data = surface.contiguous(x, y, width, min(height, max(1, PIECE // row_bytes)))
            assert data is not None, "a surface does not move while it is shown"
            self.outbox.borrow(data)
            self._due -= len(data)
            y += len(data) // row_bytes
            height -= len(data) // row_bytes
            while self.outbox.borrowed:
                yield

    def cursor_update(self, scanout_id: int, x: int, y: int, hot_x: int, hot_y: int, image: bytes) -> None:
        """CURSOR_UPDATE: image, hot spot and position, and show it."""
        update = CursorUpdate(CursorPos(scanout_id, x, y), hot_x, hot_y, image)
        self._message(Req.CURSOR_UPDATE, update.pack())

    def cursor_pos(self, scanout_id: int, x: int, y: int) -> None:
        """CURSOR_POS: move the cursor and show it."""
        self._cursor(Req.CURSOR_POS, scanout_id, x, y)

    def cursor_pos_hide(self, scanout_id: int, x: int, y: int) -> None:
        """CURSOR_POS_HIDE: move the cursor and hide it."""
        self._cursor(Req.CURSOR_POS_HIDE, scanout_id, x, y)

    def _cursor(self, req: int, scanout_id: int, x: int, y: int) -> None:
        outbox = self.outbox
        if self._jobs or outbox.room() < CURSOR_POS:
            self._message(Req(req), CursorPos(scanout_id, x, y).pack())
        elif self.connected:
            words = self._words
            at = outbox.stage(CURSOR_POS) >> 2
            words[at] = req
            words[at + 1] = 0
            words[at + 2] = CURSOR_POS - HEADER
            words[at + 3] = scanout_id
            words[at + 4] = x
            words[at + 5] = y

    # Buffers shared by fd

    def dmabuf_scanout(self, scanout: DmabufScanout, modifier: int, fd: int | None) -> None:
        """DMABUF_SCANOUT or, when a modifier needs it, DMABUF_SCANOUT2; without an fd it disables the output.

        The fd is closed once sent; `close` returns those that were not. Raises LocalError when the front-end cannot
        take the modifier; the fd stays the caller's.
        """
        fds = [] if fd is None else [fd]
        if modifier == 0:
            self._message(Req.DMABUF_SCANOUT, scanout.pack(), fds)
        elif self.features is not None and self.features & ProtocolFeature.DMABUF2:
            self._message(Req.DMABUF_SCANOUT2, DmabufScanout2(scanout, modifier).pack(), fds)
        else:
            raise LocalError(f"modifier {modifier:#x} needs DMABUF2, which the front-end did not offer")

    def dmabuf_update(self, scanout_id: int, x: int, y: int, width: int, height: int) -> None:
        """DMABUF_UPDATE; its reply says that the front-end has shown it."""
        self.ask(Req.DMABUF_UPDATE, Update(scanout_id, x, y, width, height))

    def edid(self, scanout_id: int) -> None:
        """GET_EDID, which a front-end answers only when it offered EDID."""
        self.ask(Req.GET_EDID, EdidRequest(scanout_id))

    # The queue in front of the outbox

    def _message(self, req: Req, payload: bytes, fds: list[int] | None = None) -> None:
        data = Header(req, 0, len(payload)).pack() + payload
        self._unsent += fds or ()
        if self.connected:
            self._later(self._when_room(data, fds))

    def _when_room(self, data: bytes, fds: list[int] | None) -> Iterator[None]:
        while self.outbox.room() < len(data):
            yield
        for fd in fds or ():
            self._unsent.remove(fd)
        self.outbox.put(data, fds)

    def _later(self, job: Iterator[None]) -> None:
        self._jobs.append(job)
        if len(self._jobs) == 1:
            self.refill()

    def refill(self) -> None:
        """Move queued messages to the outbox while there is room. The transport calls it when it has written."""
        while self._jobs and next(self._jobs[0], self) is self:
            self._jobs.popleft()

    def settle(self) -> bool:
        """Stop reading the guest's pixels: finish the message that has begun from copies, drop the others.

        Return whether any were dropped: the display no longer shows what it should then.
        """
        self.outbox.own()
        while self._due:
            next(self._jobs[0])
            self.outbox.own()
        dropped = bool(self._jobs)
        self._jobs.clear()
        return dropped
