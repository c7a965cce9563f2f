"""The two back-ends under test: QEMU's C helper and ours. Starts them, waits until they listen, ends them.

Environment: OUTBOARD_BENCH_BACKEND is the command line of ours, with `{socket}` for the path of the socket;
OUTBOARD_C_HELPER is the C helper's program, where it is not found by itself.
"""

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from outboard.errors import OutboardError
from outboard.qemu.find import find_c_helper

START_LIMIT_S = 15.0
"""A back-end that does not listen by then has failed."""
POLL_S = 0.0005
OURS = "ours"
C = "C"


class PeerFailed(Exception):
    """A back-end did not start, or ended; the text says which and how."""


class Peer(NamedTuple):
    """A back-end. argv: its command line, with `{socket}` in it."""

    name: str
    argv: tuple[str, ...]


class Running(NamedTuple):
    """A started back-end. ready_s: from the start of the process until its socket accepted."""

    peer: Peer
    process: subprocess.Popen[bytes]
    socket: socket.socket
    ready_s: float

    @property
    def pid(self) -> int:
        """Of the back-end's process."""
        return self.process.pid


def ours() -> Peer:
    """Return our back-end, as the environment names it."""
    command = os.environ.get("OUTBOARD_BENCH_BACKEND")
    argv = shlex.split(command) if command else [sys.executable, "-m", "outboard", "gpu", "serve", "{socket}"]
    return Peer(OURS, tuple(argv))


def c_helper() -> Peer | None:
    """Return QEMU's C helper, or None where it is not installed."""
    program = os.environ.get("OUTBOARD_C_HELPER") or find_c_helper()
    return Peer(C, (str(program), "--socket-path={socket}")) if program else None


@contextmanager
def run(peer: Peer, folder: Path) -> Iterator[Running]:
    """Run a back-end and be connected to it; both end with the block. Raises PeerFailed with its last words."""
    path = folder / f"{peer.name}.sock"
    path.unlink(missing_ok=True)
    log = folder / f"{peer.name}.log"
    with log.open("wb") as words:
        began = time.perf_counter()
        argv = [word.replace("{socket}", str(path)) for word in peer.argv]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=words, stderr=words)
    try:
        connected = _connect(peer, process, path, log)
        yield Running(peer, process, connected, time.perf_counter() - began)
    except OutboardError as error:
        raise PeerFailed(f"{peer.name}: {error}; its last words: {_last_words(log)}") from error
    finally:
        process.kill()
        process.wait()


def _connect(peer: Peer, process: subprocess.Popen[bytes], path: Path, log: Path) -> socket.socket:
    end = time.perf_counter() + START_LIMIT_S
    while process.poll() is None and time.perf_counter() < end:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(str(path))
            return sock
        except (FileNotFoundError, ConnectionRefusedError):
            sock.close()
            time.sleep(POLL_S)
    raise PeerFailed(f"{shlex.join(peer.argv)} does not listen: {_last_words(log)}")


def _last_words(log: Path) -> str:
    return " / ".join(log.read_text(errors="replace").strip().splitlines()[-4:])
