"""The GPU socket of one device: what the sender queues goes out, replies come in, and nothing blocks.

Source: QEMU docs/interop/vhost-user-gpu.
"""

import socket
from collections.abc import Callable

from outboard import trace
from outboard.errors import LocalError, ProtocolError
from outboard.host import sockets
from outboard.host.events import close_all
from outboard.host.loop import READ, WRITE, Handler, Handlers
from outboard.vhost_user.display_sender import DisplaySender, Reply

READ_MAX = 64
"""Reads before others have their turn."""
SEND_BUFFER = 1 << 20
"""Bytes the socket may hold unread: fewer mean more turns with the reader for a frame, more spill the cache."""


class DisplayLink:
    """At most one socket at a time; `sender` holds the session.

    on_reply: takes every reply. on_room: called when the socket takes bytes again after it was full. on_lost: called
    when the front-end closed it or broke the protocol.
    """

    def __init__(
        self,
        loop: Handlers,
        sender: DisplaySender,
        on_reply: Callable[[Reply], object],
        on_room: Handler,
        on_lost: Handler,
    ) -> None:
        self._loop = loop
        self._sender = sender
        self._on_reply = on_reply
        self._on_room = on_room
        self._on_lost = on_lost
        self._socket: socket.socket | None = None
        self._full = False

    def open(self, fd: int) -> None:
        """Take over a connected socket in place of the one before. Raises ProtocolError; the fd is closed then."""
        try:
            self._socket = sockets.adopt(fd)
        except LocalError as error:
            close_all([fd])
            raise ProtocolError("GPU_SET_SOCKET", "a UNIX stream socket", str(error)) from error
        sockets.widen(self._socket, SEND_BUFFER)
        self._loop.add(fd, READ, self._ready)
        close_all(self._sender.open())
        self.flush()

    def close(self) -> None:
        """Drop the socket and what was queued for it."""
        close_all(self._sender.close())
        if self._socket is not None:
            self._loop.remove(self._socket.fileno())
            self._socket.close()
            self._socket = None
            self._full = False

    def _lose(self, why: str) -> None:
        trace.emit("display.lost", why=why)
        self.close()
        self._on_lost()

    def _ready(self) -> None:
        full = self._full  # before reading: a question that follows an answer takes the rest along
        self._read()
        if full:
            self._on_room()

    def _read(self) -> None:
        for _ in range(READ_MAX):
            if self._socket is None:
                return
            received = sockets.receive(self._socket, self._sender.wanted, 1)
            if received is None:
                return
            data, fds = received
            close_all(fds)
            if not data:
                self._lose("closed by the front-end")
                return
            try:
                for reply in self._sender.receive(data):
                    self._on_reply(reply)
            except ProtocolError as error:
                self._lose(str(error))
                return
            self.flush()

    def flush(self) -> bool:
        """Write what the socket takes; false when something is left."""
        sender = self._sender
        outbox = sender.outbox
        while not outbox.empty:
            assert self._socket is not None
            parts, fds = outbox.parts()
            try:
                written = sockets.send(self._socket, parts, fds)
            except OSError as error:
                self._lose(error.strerror or str(error))
                return True
            if written is None:
                self._watch(True)
                return False
            sent = outbox.advance(written)
            if sent:
                close_all(sent)
            sender.refill()
        if self._full:
            self._watch(False)
        return True

    def _watch(self, full: bool) -> None:
        if full != self._full and self._socket is not None:
            self._full = full
            self._loop.change(self._socket.fileno(), READ | WRITE if full else READ)
