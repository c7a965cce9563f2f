"""The peer under test as a process, or as a socket that somebody else listens on.

Source: QEMU docs/interop/vhost-user, "Backend program conventions".

Each check has a process of its own. The next ones are started while a check runs, so that nobody waits for interpreters
and dynamic linkers to start.
"""

import contextlib
import os
import socket
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from outboard.conformance.check import Failed, PeerUnusable
from outboard.errors import LocalError
from outboard.frontend.backend_process import BackendProcess
from outboard.frontend.program import Program

WORDS = 3
"""Last lines of a peer's stderr that are shown."""
PAUSE_S = 0.002
"""Between two looks at something that can only be looked at."""
AHEAD = 2
"""Processes that are started before their checks."""
_SESSION, _UTIME = 3, 11
"""Fields of /proc/PID/stat behind the name (proc(5)); each peer leads a session of its own."""


class Peer(BackendProcess):
    """One process that listens on a path, or has a connected socket. may_end: whether it ended by right."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.may_end = False
        try:
            super().__init__(argv)
        except LocalError as error:
            raise PeerUnusable(str(error)) from error

    def connect(self, timeout_s: float = 5.0) -> socket.socket:
        """Return a connected control socket, once the peer listens. Raises PeerUnusable when it does not in time."""
        try:
            return super().connect(timeout_s)
        except LocalError as error:
            raise PeerUnusable(str(error)) from error

    def fate(self) -> str:
        """Return how the process ended, with its last words; "" while it lives."""
        return fate(self)

    def wait_end(self, timeout_s: float) -> bool:
        """Wait until the process ends; whether it did."""
        return self.wait(timeout_s) is not None

    def cpu_seconds(self) -> float | None:
        """Return the CPU time that the process and what it started have used, None when nobody can say."""
        ticks = None
        for file in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                after_name = file.read_text().rpartition(")")[2].split()
                if int(after_name[_SESSION]) == self.pid:
                    ticks = (ticks or 0) + int(after_name[_UTIME]) + int(after_name[_UTIME + 1])
        return None if ticks is None else ticks / os.sysconf("SC_CLK_TCK")

    def close(self, patience_s: float = 0) -> None:
        """Kill the process at once, with what it started."""
        super().close(patience_s)


def fate(program: Program) -> str:
    """Return how a program ended, with its last words; "" while it lives."""
    ended, words = program.ended(), program.last_words(WORDS)
    return f"the process {ended}{f' ({words})' if words else ''}" if ended else ""


class Listener:
    """A peer that somebody else started: each check connects to it anew."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.inherits = self.may_end = False

    def connect(self, timeout_s: float) -> socket.socket:
        """Return a connected control socket. Raises PeerUnusable when nobody accepts in time."""
        end = time.monotonic() + timeout_s
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.connect(str(self.path))
                return sock
            except OSError as error:
                sock.close()
                if time.monotonic() > end:
                    raise PeerUnusable(f"{self.path}: nobody listens: {error.strerror}") from error
                time.sleep(PAUSE_S)

    def fate(self) -> str:
        """Nobody can say."""
        return ""

    def wait_end(self, timeout_s: float) -> bool:
        """Nobody can say."""
        return False

    def cpu_seconds(self) -> float | None:
        """Nobody can say."""
        return None

    def close(self) -> None:
        """It is not ours."""


class Peers:
    """Peers of one command line, or of one path: `take` returns a fresh one and prepares the next ones.

    reuse: a peer that is given back unharmed is taken again, until a check fails on one with a past. alone: none is
    started before the last one has ended.
    """

    def __init__(self, argv: Sequence[str], path: str | None, reuse: bool = False, alone: bool = False) -> None:
        self._argv, self._at = list(argv), path
        self._ready: deque[Peer] = deque()
        self._ahead = 0 if alone else 1 if reuse else AHEAD
        self._reuse = reuse
        self._kept: Peer | None = None
        self._past = False
        self._reached = False

    def take(self) -> Peer | Listener:
        """Return a peer, which the caller closes. Raises PeerUnusable."""
        if self._at is not None:
            return Listener(self._at)
        kept, self._kept = self._kept, None
        self._past = kept is not None
        peer = kept or (self._ready.popleft() if self._ready else Peer(self._argv))
        while len(self._ready) < self._ahead:
            self._ready.append(Peer(self._argv))
        return peer

    def give_back(self, peer: Peer | Listener) -> None:
        """Take a peer back whose connections are closed: keep it for the next check, or end it."""
        keeps = self._reuse and isinstance(peer, Peer) and not (peer.inherits or peer.may_end or peer.fate())
        if keeps and isinstance(peer, Peer):
            self._kept = peer
        else:
            peer.close()

    def worn(self) -> bool:
        """Whether the peer taken last had a past; it is ended then, and the next one is fresh."""
        past, self._past = self._past, False
        if past and self._kept:
            self._kept.close()
            self._kept = None
        return past

    def connect(self, peer: Peer | Listener, timeout_s: float) -> socket.socket:
        """Connect to a peer. Raises PeerUnusable when no peer could be reached ever, and Failed later on."""
        try:
            sock = peer.connect(timeout_s)
        except PeerUnusable as error:
            if self._reached:
                raise Failed("a back-end that can be reached", str(error)) from error
            raise
        self._reached = True
        return sock

    def close(self) -> None:
        """End the peers that nobody took."""
        for peer in (*self._ready, *filter(None, [self._kept])):
            peer.close()
        self._ready.clear()
        self._kept = None
