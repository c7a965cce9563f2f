"""A tap in a thread of this process, with a socket of the test's at either end."""

import os
import socket
import struct
import subprocess
import sys
import threading
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from outboard.host.loop import Loop
from outboard.tap.seen import Several
from outboard.tap.tap import Tap

TIMEOUT_S = 10


class Journal:
    """A watcher that keeps everything."""

    def __init__(self, wants_data=False):
        self.wants_data = wants_data
        self.sockets, self.seen, self.finished, self.notes = [], [], [], []
        self.chunks = bytearray()

    def opened(self, socket, kind):
        self.sockets.append(socket)

    def head(self, seen):
        self.seen.append(seen)

    def data(self, seen, chunk):
        self.chunks += chunk

    def done(self, seen):
        self.finished.append(seen)

    def note(self, words):
        self.notes.append(words)

    def said(self, socket="control"):
        """Name and direction of the messages of one kind of socket."""
        return [(one.decoded().name, one.to_backend) for one in self.seen if one.kind.name == socket]


class Rig:
    """A tap between two paths; `watchers` are told."""

    def __init__(self, folder: Path, *watchers, once=False):
        self.listen, self.connect = folder / "tap.sock", folder / "back.sock"
        self.journal = Journal()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.connect))
        self.listener.listen()
        self.listener.settimeout(TIMEOUT_S)
        self.loop = Loop()
        self.tap = Tap(self.loop, self.listen, self.connect, Several([self.journal, *watchers]), once=once)
        self.thread = threading.Thread(target=self.loop.run)
        self.thread.start()
        self.opened = []

    def front(self):
        """A front-end's connection, which has said nothing."""
        sock = self.keep(socket.socket(socket.AF_UNIX))
        sock.connect(str(self.listen))
        return sock

    def pair(self):
        """A front-end and the back-end's end of its session, GET_FEATURES being said and answered."""
        front = self.front()
        front.sendall(message(1))
        back = self.keep(self.listener.accept()[0])
        assert exactly(back, 12) == message(1)
        back.sendall(message(1, 5, bytes(8)))
        assert exactly(front, 20) == message(1, 5, bytes(8))
        return front, back

    def gpu(self):
        """The two ends of a GPU socket that a front-end has handed over; the display's first, and its pair."""
        front, back = self.pair()
        return (*self.hand_over(front, back), front, back)

    def hand_over(self, front, back, request=33):
        """Hand over a socket; the ends of front-end and back-end."""
        ours, theirs = socket.socketpair()
        send(front, message(request), [theirs.fileno()])
        theirs.close()
        data, fds = receive(back, 12)
        assert data == message(request) and len(fds) == 1
        return self.keep(ours), self.keep(socket.socket(fileno=fds[0]))

    def keep(self, sock):
        """Close it at the end."""
        sock.settimeout(TIMEOUT_S)
        self.opened.append(sock)
        return sock

    def close(self):
        """End the tap and all sockets."""
        self.loop.call_threadsafe(self.loop.stop)
        self.thread.join(TIMEOUT_S)
        assert not self.thread.is_alive()
        self.tap.close()
        self.loop.close()
        for sock in [*self.opened, self.listener]:
            sock.close()


def message(request, flags=1, payload=b""):
    """A message of any of the sockets."""
    return struct.pack("=III", request, flags, len(payload)) + payload


def send(sock, data, fds):
    """Send data with fds."""
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))])


def receive(sock, length):
    """One recvmsg: data and fds."""
    data, ancillary, _, _ = sock.recvmsg(length, socket.CMSG_SPACE(4 * 253))
    return data, [fd for _, _, raw in ancillary for fd in array("i", raw)]


def exactly(sock, length):
    """So many bytes."""
    data = bytearray()
    while len(data) < length:
        chunk = sock.recv(length - len(data))
        assert chunk, f"end of file after {len(data)} of {length} bytes"
        data += chunk
    return bytes(data)


def same(first, second):
    """Whether two fds are the same file."""
    a, b = os.fstat(first), os.fstat(second)
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)


@pytest.fixture
def make_rig(socket_dir: Path) -> Iterator[type]:
    made = []

    def make(*watchers, **options):
        made.append(Rig(socket_dir, *watchers, **options))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


@pytest.fixture
def rig(make_rig) -> Rig:
    return make_rig()


@pytest.fixture
def run_outboard():
    """`run_outboard("tap", …)`: the command, to its end."""

    def run(*words):
        return subprocess.run([sys.executable, "-m", "outboard", *words], capture_output=True, text=True, timeout=60)

    return run
