"""One socket with the tap in its midst: a pair of sockets, a direction each way."""

import os
import select
import socket
from collections.abc import Callable

from outboard.errors import LocalError
from outboard.host import sockets
from outboard.host.loop import READ, WRITE, Loop
from outboard.tap.direction import Direction, Swap
from outboard.tap.seen import Kind, Watcher

BUFFER = 1 << 20
"""Bytes that a socket is asked to hold on its way; the system grants less, and a frame passes in fewer turns."""


class Splice:
    """Joins the front-end's socket and the back-end's, both owned, until both directions have ended.

    on_end: called once, when the sockets are closed. first: who ended it, "front-end" or "back-end", "" before that;
    inside: whether that was inside a message.
    """

    def __init__(
        self,
        loop: Loop,
        front: socket.socket,
        back: socket.socket,
        label: tuple[str, Kind],
        watcher: Watcher,
        on_end: Callable[["Splice"], object],
        swap: Swap | None = None,
    ) -> None:
        self.first = ""
        self.inside = False
        self._loop = loop
        self._sockets = (front, back)
        self._on_end = on_end
        self._closed = False
        self._masks: dict[int, int] = {}
        self.to_backend = Direction(loop, front, back, (*label, True), watcher, self.pump, swap)
        self.to_frontend = Direction(loop, back, front, (*label, False), watcher, self.pump)
        self._directions = (self.to_backend, self.to_frontend)
        for sock in self._sockets:
            sock.setblocking(False)
            sockets.widen(sock, BUFFER)
        watcher.opened(*label)
        self._wait()

    @property
    def moved(self) -> int:
        """Bytes passed on so far."""
        return sum(direction.moved for direction in self._directions)

    def pump(self) -> None:
        """Handler of both sockets: move what can be moved, then wait for the rest."""
        if self._closed:
            return
        for direction in self._directions:
            if not direction.ended:
                direction.pump()
                if direction.ended:
                    self._one_ended(direction)
        if all(direction.ended for direction in self._directions):
            self.close()
        else:
            self._wait()

    def _one_ended(self, direction: Direction) -> None:
        """Note who left first. Whoever closed its socket whole takes nothing any more: cut what would go there."""
        other = self.to_frontend if direction is self.to_backend else self.to_backend
        if not self.first:
            gone = direction.target if direction.broken else direction.source
            self.first = "front-end" if gone is self._sockets[0] else "back-end"
            self.inside = direction.partial
        if _hung_up(direction.source):
            other.cut()

    def _wait(self) -> None:
        """Wait for what each socket is wanted for; one that is wanted for nothing would only report its end."""
        front, back = self._sockets
        for sock, source, target in (
            (front, self.to_backend, self.to_frontend),
            (back, self.to_frontend, self.to_backend),
        ):
            self._set_mask(sock.fileno(), (READ if source.reads else 0) | (WRITE if target.writes else 0))

    def _set_mask(self, fd: int, mask: int) -> None:
        before = self._masks.get(fd, 0)
        if mask == before:
            return
        if not mask:
            self._loop.remove(fd)
        elif before:
            self._loop.change(fd, mask)
        else:
            self._loop.add(fd, mask, self.pump)
        self._masks[fd] = mask

    def close(self) -> None:
        """Close both sockets now; what was not passed on is lost."""
        if self._closed:
            return
        self._closed = True
        for direction in self._directions:
            direction.close()
        for sock in self._sockets:
            self._loop.remove(sock.fileno())
            sock.close()
        self._on_end(self)


def _hung_up(sock: socket.socket) -> bool:
    """Whether the peer has closed its socket, not only ended what it writes."""
    poll = select.poll()
    poll.register(sock, 0)
    return bool(poll.poll(0))


def adopt(fd: int) -> socket.socket | None:
    """Take over an fd that is a connected UNIX stream socket; None, and the fd stays as it was, when it is not."""
    blocking = os.get_blocking(fd)
    try:
        sock = sockets.adopt(fd)
    except LocalError:
        return None
    try:
        if not sockets.is_listening(sock):
            sock.getpeername()
            return sock
    except OSError:
        pass
    os.set_blocking(sock.detach(), blocking)
    return None
