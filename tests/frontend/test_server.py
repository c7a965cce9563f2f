"""The display server in front of back-ends of several makes, and of some that no one should make."""

import gc
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time

import pytest

from outboard.errors import LocalError, OutboardError, ProtocolError, WaitTimeout
from outboard.frontend.server import DisplayServer
from outboard.machine.gpu_driver import GpuDriver
from outboard.qemu.find import find_c_helper
from outboard.spec.vhost_user import Req
from outboard.spec.virtio_gpu import Format, Rect

pytestmark = pytest.mark.alike

LONG = 60.0
"""Seconds: a wait that takes so long has failed."""
WIDTH, HEIGHT = 320, 200
PICTURE = random.Random(6).randbytes(4 * WIDTH * HEIGHT)
OURS = [sys.executable, "-m", "outboard", "gpu", "serve"]


def commands() -> dict[str, list[str]]:
    """Return the command lines of all back-ends that are here."""
    found = {"ours by path": [*OURS, "{socket}"], "ours by fd": [*OURS, "--fd={fd}"]}
    if helper := find_c_helper():
        found |= {"C by path": [str(helper), "--socket-path={socket}"], "C by fd": [str(helper), "--fd={fd}"]}
    return found


# A back-end of 40 lines, on fd `sys.argv[1]`. It says yes to everything; `{drawing}` runs with the GPU socket at the
# second GET_FEATURES after it came, which is when the machine runs.
MINIMAL = """
import array, os, signal, socket, struct, sys
sock, gpu, asked = socket.socket(fileno=int(sys.argv[1])), None, 0
def update(x, y, width, height, byte):
    return struct.pack("=8I", 8, 0, 20 + 4 * width * height, 0, x, y, width, height) + byte * (4 * width * height)
SCANOUT = struct.pack("=6I", 7, 0, 12, 0, 64, 48)
while True:
    header, rights, _, _ = sock.recvmsg(12, 1024)
    if not header:
        break
    request, flags, size = struct.unpack("=3I", header)
    payload = sock.recv(size, socket.MSG_WAITALL) if size else b""
    fds = [fd for _, _, data in rights for fd in array.array("i", data)]
    if request == 33:
        gpu, asked = socket.socket(fileno=fds[0]), 0
    answer = {1: 0x140000000, 15: 0, 17: 2}.get(request)
    if answer is not None:
        sock.send(struct.pack("=3IQ", request, 5, 8, answer))
    if request == 11:
        sock.send(struct.pack("=3I2I", request, 5, 8, payload[0], 0))
    asked += request == 1
    if request == 1 and gpu:
        DRAWING
"""


def minimal(drawing: str) -> list[str]:
    """Return the command line of a back-end that does `drawing`, one or more statements, once it runs."""
    return [sys.executable, "-S", "-c", MINIMAL.replace("DRAWING", drawing), "{fd}"]


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def nothing_is_left():
    gc.collect()  # A failure that was caught holds the memory of its machine, which has an fd.
    fds, threads = open_fds(), threading.active_count()
    yield
    gc.collect()
    assert open_fds() == fds
    assert threading.active_count() == threads


def draw(server: DisplayServer, picture: bytes = PICTURE) -> GpuDriver:
    """Show a picture on output 0 by resource 1."""
    driver = GpuDriver(server.vmm)
    backing = server.vmm.ram.scattered(len(picture))
    backing.write(0, picture)
    full = Rect(0, 0, WIDTH, HEIGHT)
    driver.create_2d(1, Format.B8G8R8X8, WIDTH, HEIGHT)
    driver.attach_backing(1, backing)
    driver.set_scanout(0, 1, full)
    driver.transfer(1, full, 0)
    driver.flush(1, full)
    return driver


@pytest.mark.parametrize("name", commands())
def test_a_picture_from_every_back_end(name):
    with DisplayServer(modes=[(WIDTH, HEIGHT)], timeout_s=20) as server:
        server.start(commands()[name])
        server.boot()
        driver = draw(server)
        screen = server.screens[0]
        frame = server.told(lambda: screen.wait_for_frame(timeout=LONG))
        while frame.pixels != PICTURE:
            frame = screen.wait_for_frame(after=frame.serial, timeout=LONG)
        assert screen.size == (frame.width, frame.height) == (WIDTH, HEIGHT)
        server.resize(0, 640, 480)
        assert server.vmm.config_space.interrupted()
        assert server.vmm.config().events_read == 1
        assert driver.get_display_info()[32:40] == struct.pack("<II", 640, 480)
        server.vmm.write_config(4, bytes((1, 0, 0, 0)))
        assert server.vmm.config().events_read == 0
        assert server.violations == []
        pid = server.backend.pid
    assert not os.path.exists(f"/proc/{pid}")


def test_a_back_end_that_listens_already(socket_dir):
    path = socket_dir / "ours.sock"
    with DisplayServer(timeout_s=0.05) as server, pytest.raises(WaitTimeout, match="nobody listens"):
        server.connect(path)
    with subprocess.Popen([*OURS, str(path), "--once"], stderr=subprocess.DEVNULL) as process:
        with DisplayServer(timeout_s=20) as server:
            server.connect(path)
            server.boot()
            draw(server)
            assert server.screens[0].wait_for_frame(timeout=LONG).width == WIDTH
            assert server.backend is None
        assert process.wait(LONG) == 0


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["/nowhere/at-all", "{fd}"], "cannot be started"),
        (["true"], "write {socket} where"),
        (["false", "{socket}"], "false exited with status 1; nobody listens"),
        (["false", "{fd}"], "false exited with status 1; control socket"),
        ([sys.executable, "-S", "-c", "import sys; sys.exit('on fire')", "{fd}"], "its last words: on fire; control"),
        ([sys.executable, "-S", "-c", "import os; os.kill(os.getpid(), 11)", "{fd}"], "died of SIGSEGV; control"),
    ],
)
def test_a_back_end_that_does_not_come_up_says_why(command, why):
    with DisplayServer(timeout_s=20) as server:
        with pytest.raises(LocalError) as error:
            server.start(command)
            server.boot()
        assert why in str(error.value)


def test_a_back_end_that_says_nothing():
    with DisplayServer(timeout_s=0.1) as server:
        server.start(["sh", "-c", "exec sleep 600", "{fd}"])
        with pytest.raises(WaitTimeout, match="no reply"):
            server.boot()
        pid = server.backend.pid
    assert not os.path.exists(f"/proc/{pid}")


def test_a_back_end_that_closes_and_goes_on():
    code = (
        "import socket, sys, signal; s = socket.socket(fileno=int(sys.argv[1])); s.recv(12); s.close(); signal.pause()"
    )
    with DisplayServer(timeout_s=20) as server:
        server.start([sys.executable, "-S", "-c", code, "{fd}"])
        with pytest.raises(ProtocolError, match=r"closed connection|end of file"):
            server.boot()


def test_a_back_end_that_accepts_and_closes():
    code = (
        "import socket, sys\nl = socket.socket(1)\nl.bind(sys.argv[1])\nl.listen()\ns, _ = l.accept()\n"
        "s.close()\nsys.exit('I do not like you')"
    )
    with DisplayServer(timeout_s=20) as server:
        server.start([sys.executable, "-S", "-c", code, "{socket}"])
        with pytest.raises(LocalError, match=r"exited with status 1, its last words: I do not like you; "):
            server.boot()


def test_one_back_end_a_server():
    with DisplayServer(timeout_s=20) as server:
        server.start(minimal("pass"))
        with pytest.raises(LocalError, match="started already"):
            server.start(minimal("pass"))
        server.boot()


@pytest.mark.parametrize("modes", [[], [(640, 480)] * 17])
def test_a_display_has_one_to_sixteen_outputs(modes):
    with pytest.raises(LocalError, match="1 to 16"):
        DisplayServer(modes)


def test_a_frame_of_the_minimal_one():
    with DisplayServer(timeout_s=20) as server:
        server.start(minimal("gpu.sendall(SCANOUT + update(0, 0, 64, 48, b'a')); gpu = None"))
        server.boot()
        frame = server.told(lambda: server.screens[0].wait_for_frame(timeout=LONG))
        assert frame.pixels == b"a" * 4 * 64 * 48


@pytest.mark.parametrize("end", ["sys.exit('tripped')", "os.kill(os.getpid(), 9)"])
@pytest.mark.parametrize("wait", ["frame", "idle"])
def test_a_back_end_that_dies_amid_a_frame(end, wait):
    half = "update(0, 0, 64, 48, b'b')[:-5000]"
    with DisplayServer(timeout_s=20) as server:
        server.start(minimal(f"gpu.sendall(SCANOUT + update(0, 0, 64, 48, b'a') + {half}); {end}"))
        why = r"exited with status 1, its last words: tripped; " if "exit" in end else r"died of SIGKILL; "
        screen = server.screens[0]

        def look():
            server.boot()
            if wait == "frame":
                screen.wait_for_frame(after=1, timeout=LONG)
            else:
                screen.wait_idle(quiet=LONG, timeout=2 * LONG)

        with pytest.raises(LocalError, match=why):
            server.told(look)
        server.display.detach()
        assert screen.frame().pixels == b"a" * 4 * 64 * 48, "half a frame is never visible"


def test_a_back_end_that_dies_while_its_driver_waits():
    with DisplayServer(timeout_s=20) as server:
        server.start([*OURS, "--fd={fd}"])
        server.boot()
        driver = draw(server)
        os.kill(server.backend.pid, signal.SIGKILL)
        with pytest.raises(LocalError, match="died of SIGKILL, "):
            server.told(lambda: [driver.flush(1, Rect(0, 0, WIDTH, HEIGHT)) for _ in range(100)])


def test_what_is_wrong_with_the_stream_is_told():
    with DisplayServer(timeout_s=20, max_pixels=5000) as server:
        server.start(
            minimal("gpu.sendall(update(0, 0, 1, 1, b'x') + struct.pack('=6I', 7, 0, 12, 1, 5001, 1)); gpu = None")
        )
        server.boot()
        server.display.wait_until(lambda: len(server.violations) == 2, "two violations", LONG)
        assert "not enabled" in server.violations[0]
        assert "more than 5000 pixels" in server.violations[1]


def test_a_stream_that_cannot_be_understood_ends_the_display_alone():
    with DisplayServer(timeout_s=20) as server:
        server.start(minimal("gpu.sendall(struct.pack('=3I', 7, 0, 1 << 31)); gpu = None"))
        server.boot()
        with pytest.raises(LocalError, match="has ended"):
            server.told(lambda: server.screens[0].wait_for_frame(timeout=LONG))
        assert "SCANOUT" in str(server.display.error)
        assert server.backend.alive
        server.vmm.get(Req.GET_FEATURES)


def test_programs_are_told_apart_from_what_they_do():
    def fail():
        raise WaitTimeout("of my own")

    with DisplayServer(timeout_s=20) as server:
        with pytest.raises(WaitTimeout, match="of my own"):
            server.told(fail)
        server.start(minimal("pass"))
        with pytest.raises(OutboardError, match="of my own"):
            server.told(fail)
        server.backend.process.kill()
        end = time.monotonic() + LONG
        while server.backend.alive and time.monotonic() < end:
            time.sleep(0.001)
        with pytest.raises(LocalError, match="died of SIGKILL; of my own"):
            server.told(fail)


def test_closing_twice():
    server = DisplayServer()
    server.start(minimal("pass"))
    server.close()
    server.close()
