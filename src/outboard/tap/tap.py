"""The tap: listens for a front-end, connects to the back-end, splices their sockets and those that they hand over."""

import os
import socket
from pathlib import Path

from outboard.errors import LocalError
from outboard.host import sockets
from outboard.host.loop import READ, Loop, Timer
from outboard.spec.vhost_user import Req
from outboard.tap.seen import BACKEND, CONTROL, DISPLAY, Kind, Watcher
from outboard.tap.splice import Splice, adopt

CONNECT_S = 5.0
"""Seconds that the back-end is given to listen, once a front-end has spoken."""
RETRY_S = 0.05
LINGER_S = 2.0
"""After the control socket's end, a GPU socket on which nothing moves for so long is closed."""
AHEAD = 4 << 20
"""Bytes that a back-end may be ahead of the tap: with more, both work at the same time."""
SPLICES_MAX = 64
"""Sockets in a session's care; those beyond are handed over as they are."""

HANDED: dict[int, Kind] = {Req.GPU_SET_SOCKET: DISPLAY, Req.SET_BACKEND_REQ_FD: BACKEND}
"""Requests that hand a socket over."""


class Session:
    """A front-end and the back-end's connection for it."""

    def __init__(self, tap: "Tap", number: int, front: socket.socket, back: socket.socket) -> None:
        self._tap = tap
        self._number = number
        self._count = 0
        self.others: list[Splice] = []
        self._moved = -1
        self._timer: Timer | None = None
        label = (f"{CONTROL.name}-{number}", CONTROL)
        self.control: Splice | None = Splice(tap.loop, front, back, label, tap.watcher, self._control_ended, self._swap)

    def _swap(self, request: int, fds: list[int]) -> list[int]:
        """Put ourselves into the midst of a socket that is handed over: the back-end gets one end of a new pair.

        That end is in blocking mode: QEMU's back-end needs it.
        """
        kind = HANDED.get(request)
        if kind is None:
            return fds
        front = adopt(fds[0]) if len(self.others) < SPLICES_MAX else None
        if front is None:
            self._tap.watcher.note(f"{Req(request).name}: its fd is passed on untapped")
            return fds
        ours, theirs = socket.socketpair()
        sockets.widen(theirs, AHEAD)
        self._count += 1
        label = (f"{kind.name}-{self._number}.{self._count}", kind)
        self.others.append(Splice(self._tap.loop, front, ours, label, self._tap.watcher, self._other_ended))
        return [theirs.detach(), *fds[1:]]

    def _other_ended(self, splice: Splice) -> None:
        self.others.remove(splice)
        self._check()

    def _control_ended(self, splice: Splice) -> None:
        self.control = None
        inside = ", inside a message" if splice.inside else ""
        self._tap.watcher.note(f"the {splice.first} left{inside}" if splice.first else "stopped")
        self._check()

    def _check(self) -> None:
        """End with the last socket; those that are left without the control socket must move, or they are closed."""
        if self.control is None and not self.others:
            if self._timer:
                self._timer.cancel()
            self._tap.ended(self)
        elif self.control is None and self._timer is None:
            self._linger()

    def _linger(self) -> None:
        moved = sum(splice.moved for splice in self.others)
        if moved == self._moved:
            self.close()
        else:
            self._moved = moved
            self._timer = self._tap.loop.call_later(LINGER_S, self._linger)

    def close(self) -> None:
        """Close all sockets of the session."""
        for splice in [*self.others, *([self.control] if self.control else [])]:
            splice.close()


class Tap:
    """Accepts front-ends on a path, one at a time, and passes each on to the back-end.

    once: stop the loop when the first front-end that spoke has left. failure: why the loop was stopped, if it was not
    asked to.
    """

    def __init__(self, loop: Loop, listen: Path, connect: Path, watcher: Watcher, *, once: bool = False) -> None:
        self.loop = loop
        self.watcher = watcher
        self.failure: LocalError | None = None
        if len(os.fsencode(connect)) > sockets.PATH_MAX:
            raise LocalError(f"{connect}: socket paths have at most {sockets.PATH_MAX} bytes; choose a shorter one")
        if connect.absolute() == listen.absolute():
            raise LocalError(f"{listen}: LISTEN and CONNECT are the same path; the tap listens on one of its own")
        self._connect = connect
        self._once = once
        self._numbers = 0
        self._sessions: list[Session] = []
        self._waiting: socket.socket | None = None
        self._timer: Timer | None = None
        self._listener = sockets.listen(listen)
        self._path = listen
        self._inode = listen.stat().st_ino
        self._closed = False
        loop.add(self._listener.fileno(), READ, self._accept)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        sock.setblocking(False)
        self.loop.remove(self._listener.fileno())
        self._waiting = sock
        # Whoever says nothing only looked whether somebody listens; a back-end may take a connection just once.
        self.loop.add(sock.fileno(), READ, self._spoke)

    def _spoke(self) -> None:
        front = self._waiting
        assert front
        try:
            there = front.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            there = b""
        self.loop.remove(front.fileno())
        if there:
            self._reach(front, int(CONNECT_S / RETRY_S))
        else:
            front.close()
            self._listen_again()

    def _listen_again(self) -> None:
        self._waiting = None
        self.loop.add(self._listener.fileno(), READ, self._accept)

    def _reach(self, front: socket.socket, tries: int) -> None:
        """Connect to the back-end, now or a little later; begin the session."""
        back = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        back.setblocking(False)
        try:
            back.connect(os.fspath(self._connect))
        except OSError as error:
            back.close()
            if tries:
                self._timer = self.loop.call_later(RETRY_S, lambda: self._reach(front, tries - 1))
            else:
                why = f"nobody listens there after {CONNECT_S:g} s: {error.strerror or error}"
                self.failure = LocalError(f"{self._connect}: {why}; start the back-end first")
                self.loop.stop()
            return
        self._timer = self._waiting = None
        self._numbers += 1
        self.watcher.note(f"front-end {self._numbers} connected")
        self._sessions.append(Session(self, self._numbers, front, back))

    def ended(self, session: Session) -> None:
        """Forget a session; take the next front-end, or stop."""
        self._sessions.remove(session)
        if self._once:
            self.loop.stop()
        elif not self._closed:
            self._listen_again()

    def close(self) -> None:
        """Close everything; remove the socket's file if it is still ours."""
        self._closed = True
        if self._timer:
            self._timer.cancel()
        for session in list(self._sessions):
            session.close()
        if self._waiting:
            self.loop.remove(self._waiting.fileno())
            self._waiting.close()
        self.loop.remove(self._listener.fileno())
        self._listener.close()
        if self._path.exists() and self._path.stat().st_ino == self._inode:
            self._path.unlink()
