"""The back-end in a thread of this process, and front-ends in front of it: a whole machine, or bare bytes."""

import contextlib
import random
import socket
import struct
import tempfile
import time
from array import array
from pathlib import Path

import pytest

import outboard.gpu
from outboard import trace
from outboard.backend import displays
from outboard.frontend.display_reader import DisplayReader
from outboard.frontend.ram import GuestRam, Span
from outboard.frontend.vmm import Vmm
from outboard.machine.gpu_driver import GpuDriver
from outboard.spec.virtio_gpu import Format, Rect

PATIENCE = 20.0
"""Seconds until something that must happen is said not to; never what a test waits for when all is well."""


def eventually(condition, what):
    """Wait until `condition()` is true; fail with `what` when it never is."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.002)


@pytest.fixture
def patient(monkeypatch):
    """Let the back-end wait for a display as long as a busy machine needs; tests of its patience set their own."""
    monkeypatch.setattr(displays, "PATIENCE_S", PATIENCE)


@pytest.fixture
def folder():
    """A folder with a short name: the path of a UNIX socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="outboard-") as name:
        yield Path(name)


@pytest.fixture
def heard():
    """The events that were traced, as (name, fields)."""
    events = []

    def hook(event, fields):
        events.append((event, fields))

    trace.listen(hook)
    yield events
    trace.unlisten(hook)


@pytest.fixture
def serve(folder):
    """`serve(**options)` serves a back-end on `service.path` until the test ends; a bug in it fails the test."""
    with contextlib.ExitStack() as stack:

        def start(**options):
            path = folder / f"gpu{random.randrange(1 << 30):x}.sock"
            service = stack.enter_context(outboard.gpu.serve(path, **options))
            service.path = path
            return service

        yield start


@pytest.fixture
def service(serve):
    """A back-end with default options."""
    return serve()


class Machine:
    """A machine in front of a back-end: `vmm`, its `display`, a `driver`, and one picture on output 0.

    A reader thread of its own makes the display read whatever the test does; without one it reads while `vmm` waits.
    """

    def __init__(self, path, modes=((320, 200),), display=None, spans=None, **options):
        self.display = display or DisplayReader(modes=modes)
        ram = GuestRam(spans or (Span(0, 2 << 20), Span(0x1_0000_0000, 24 << 20)))
        self.vmm = Vmm(self.display, ram, timeout_s=PATIENCE, **options)
        self.vmm.connect(path)
        self.driver = None

    def start(self):
        """Negotiate, start with empty rings, and load the driver."""
        self.vmm.negotiate()
        self.vmm.start()
        self.driver = GpuDriver(self.vmm)
        return self

    def show(self, width=320, height=200, seed=1, resource_id=1, output=0, fmt=Format.B8G8R8X8, transfer=True):
        """Put a picture of noise on an output and return its bytes."""
        picture = random.Random(seed).randbytes(4 * width * height)
        backing = self.vmm.ram.scattered(len(picture))
        backing.write(0, picture)
        full = Rect(0, 0, width, height)
        self.driver.create_2d(resource_id, fmt, width, height)
        self.driver.attach_backing(resource_id, backing)
        if transfer:
            self.driver.transfer(resource_id, full, 0)
        self.driver.set_scanout(output, resource_id, full)
        self.driver.flush(resource_id, full)
        return picture

    def sees(self, picture, output=0):
        """Wait until the display shows exactly this."""
        shown = self.display.outputs[output]
        self.display.wait_until(lambda: bytes(shown.pixels) == picture, "the picture", PATIENCE)
        assert self.display.violations == []

    def code(self, request, **options):
        """Send a request; return its response code."""
        return self.driver.command(request, **options).type

    def new_display(self, display=None):
        """Hand over another GPU socket while the device runs."""
        if display is not None:
            self.display.close()
            self.display = self.vmm.display = display
        ours, theirs = socket.socketpair()
        self.display.attach(ours)
        with theirs:
            self.vmm.tell(self.vmm.session.gpu_set_socket(theirs.fileno()))

    def settle(self):
        """Wait until the back-end has done all that was said on the control socket before."""
        self.vmm.read_config()

    def close(self):
        self.vmm.close()


@pytest.fixture
def machine():
    """`machine(service, ...)` starts a machine and closes it when the test ends."""
    with contextlib.ExitStack() as stack:

        def start(service, *, begin=True, **options):
            made = Machine(service.path, **options)
            stack.callback(made.close)
            return made.start() if begin else made

        yield start


class Raw:
    """A control socket and bare bytes on it."""

    def __init__(self, path=None, sock=None):
        self.socket = sock or socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if path is not None:
            self.socket.connect(str(path))
        self.socket.settimeout(PATIENCE)

    def send(self, data, fds=()):
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        assert self.socket.sendmsg([data], ancillary) == len(data)

    def message(self, request, payload=b"", flags=1, fds=()):
        self.send(struct.pack("=III", request, flags, len(payload)) + payload, fds)

    def receive(self, length):
        """Read exactly `length` bytes; fewer at the end of the stream."""
        data = b""
        while len(data) < length:
            more = self.socket.recv(length - len(data))
            if not more:
                break
            data += more
        return data

    def ask(self, request, payload=b"", flags=1, fds=()):
        """Send a message; return (request, flags, payload) of the answer, or None when the connection ended."""
        self.message(request, payload, flags, fds)
        return self.answer()

    def answer(self):
        head = self.receive(12)
        if len(head) < 12:
            assert head == b""
            return None
        request, flags, size = struct.unpack("=III", head)
        payload = self.receive(size)
        assert len(payload) == size
        return request, flags, payload

    def alive(self):
        """Whether the back-end still answers, and in step."""
        try:
            answer = self.ask(15)
        except (BrokenPipeError, ConnectionResetError):
            return False
        assert answer is None or answer[:2] == (15, 5)
        return answer is not None

    def ended(self):
        """Whether the back-end ends the connection without another word."""
        try:
            return self.receive(1) == b""
        except ConnectionResetError:
            return True

    def acked(self, request, payload=b"", fds=()):
        """Send a message that asks for an acknowledgement; return its u64."""
        number, flags, answer = self.ask(request, payload, 9, fds)
        assert (number, flags, len(answer)) == (request, 5, 8)
        return int.from_bytes(answer, "little")

    def close(self):
        self.socket.close()


@pytest.fixture
def raw():
    """`raw(service)` connects a bare control socket and closes it when the test ends."""
    with contextlib.ExitStack() as stack:

        def connect(service):
            made = Raw(service.path)
            stack.callback(made.close)
            return made

        yield connect


@pytest.fixture
def agreed(service, raw):
    """A bare control socket on which REPLY_ACK, CONFIG and CONFIGURE_MEM_SLOTS hold."""
    made = raw(service)
    made.message(16, struct.pack("=Q", 0x8208))
    return made
