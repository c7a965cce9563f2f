"""The peer under test as a process, or as a socket that somebody else listens on.

Source: QEMU docs/interop/vhost-user, "Backend program conventions".

Each check has a process of its own. The next ones are started while a check runs, so that nobody waits for interpreters
and dynamic linkers to start.
"""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from outboard.conformance.check import Failed, PeerUnusable

WORDS = 3
"""Last lines of a peer's stderr that are shown."""
PAUSE_S = 0.002
"""Between two looks at something that can only be looked at."""
KILL_S = 5.0
AHEAD = 2
"""Processes that are started before their checks."""
_SESSION, _UTIME = 3, 11
"""Fields of /proc/PID/stat behind the name (proc(5)); each peer leads a session of its own."""


class Peer:
    """One process that listens on a path, or has a connected socket. argv: with {socket} or {fd} in it."""

    def __init__(self, argv: Sequence[str], folder: Path, number: int) -> None:
        self.path = folder / f"{number}.sock"
        self.may_end = False
        self._said = open(folder / f"{number}.err", "w+b")  # closed in `close`
        self._ours: socket.socket | None = None
        self.inherits = "{fd}" in "".join(argv)
        theirs: socket.socket | None = None
        if self.inherits:
            self._ours, theirs = socket.socketpair()
        fd = theirs.fileno() if theirs else -1
        words = [word.replace("{socket}", str(self.path)).replace("{fd}", str(fd)) for word in argv]
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                pass_fds=(fd,) if theirs else (),
                start_new_session=True,
            )
        except OSError as error:
            self._said.close()
            if self._ours:
                self._ours.close()
            raise PeerUnusable(f"{words[0]}: {error.strerror}") from error
        finally:
            if theirs:
                theirs.close()

    def connect(self, timeout_s: float) -> socket.socket:
        """Return a connected control socket, once the peer listens. Raises PeerUnusable when it does not in time."""
        if self._ours:
            ours, self._ours = self._ours, None
            return ours
        end = time.monotonic() + timeout_s
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.connect(str(self.path))
                return sock
            except (FileNotFoundError, ConnectionRefusedError) as error:
                sock.close()
                if fate := self.fate():
                    raise PeerUnusable(f"the program does not serve: {fate}") from error
                if time.monotonic() > end:
                    raise PeerUnusable(f"the program does not listen on {{socket}} in {timeout_s:g} s") from error
                time.sleep(PAUSE_S)

    def fate(self) -> str:
        """Return how the process ended, with its last words; "" while it lives."""
        code = self._process.poll()
        if code is None:
            return ""
        how = f"died of {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"
        return f"the process {how}{self._words()}"

    def _words(self) -> str:
        self._said.seek(0)
        lines = self._said.read()[-4096:].decode(errors="replace").splitlines()
        last = " | ".join(line.strip() for line in lines[-WORDS:] if line.strip())
        return f" ({last})" if last else ""

    def wait_end(self, timeout_s: float) -> bool:
        """Wait until the process ends; whether it did."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def cpu_seconds(self) -> float | None:
        """Return the CPU time that the process and what it started have used, None when nobody can say."""
        ticks = None
        for file in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                after_name = file.read_text().rpartition(")")[2].split()
                if int(after_name[_SESSION]) == self._process.pid:
                    ticks = (ticks or 0) + int(after_name[_UTIME]) + int(after_name[_UTIME + 1])
        return None if ticks is None else ticks / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """Kill the process, with what it started, and forget its socket."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(KILL_S)
        if self._ours:
            self._ours.close()
        self._said.close()
        self.path.unlink(missing_ok=True)
        Path(self._said.name).unlink(missing_ok=True)


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

    reuse: a peer that is given back unharmed is taken again, until a check fails on one with a past.
    """

    def __init__(self, argv: Sequence[str], path: str | None, reuse: bool = False) -> None:
        self._argv, self._at = list(argv), path
        if path is None and not any("{socket}" in word or "{fd}" in word for word in argv):
            raise PeerUnusable("the program's command line says neither {socket} nor {fd}, so it cannot be reached")
        self._folder = tempfile.TemporaryDirectory(prefix="outboard-")
        self._count = 0
        self._ready: deque[Peer] = deque()
        self._ahead = 1 if reuse else AHEAD
        self._reuse = reuse
        self._kept: Peer | None = None
        self._past = False
        self._reached = False

    def _start(self) -> Peer:
        self._count += 1
        return Peer(self._argv, Path(self._folder.name), self._count)

    def take(self) -> Peer | Listener:
        """Return a peer, which the caller closes. Raises PeerUnusable."""
        if self._at is not None:
            return Listener(self._at)
        kept, self._kept = self._kept, None
        self._past = kept is not None
        peer = kept or (self._ready.popleft() if self._ready else self._start())
        while len(self._ready) < self._ahead:
            self._ready.append(self._start())
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
        self._folder.cleanup()
