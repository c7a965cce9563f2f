"""Our front-end and our kit in front of a back-end that behaves as rust-vmm's vhost-device-gpu.

The program itself cannot be built where the tests run: `tests.peers.rust_like` stands in for it. What is known of it is
known from its sources, and seen here on the stand-in.
"""

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from outboard.conformance.backend.run import CHECKS
from outboard.conformance.known import BACK_ENDS, RUST, RUST_GFXSTREAM, RUST_VIRGLRENDERER
from outboard.errors import WaitTimeout
from outboard.frontend.display_reader import DisplayReader
from outboard.frontend.vmm import Vmm
from outboard.machine.gpu_driver import GpuDriver
from outboard.spec.vhost_user_gpu import Req
from outboard.spec.virtio_gpu import Cmd, CtrlHdr, Format, GetEdid, Rect, ResourceFlush, ResourceUnref, Resp
from tests.conformance.patience import disagreements, results

pytestmark = pytest.mark.alike

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 3.0
AT_ONCE = 8
RACES = {"queue.broken.reset", "queue.broken.cursor_alone", "gpu.socket.nonblocking"}
"""Known deviations that are not seen when one side happens to be slow: the program's two threads, or the display."""
WIDTH, HEIGHT = 64, 48
FULL = Rect(0, 0, WIDTH, HEIGHT)
PEERS = {"virglrenderer": (RUST, RUST_VIRGLRENDERER), "gfxstream": (RUST, RUST_GFXSTREAM)}


def command_line(mode, path):
    return [
        sys.executable,
        "-m",
        "bench.plain",
        "tests.peers.rust_like",
        "--socket-path",
        str(path),
        "--gpu-mode",
        mode,
    ]


@pytest.fixture
def hosted(socket_dir):
    """Starts the stand-in in a mode, behind a machine with a driver."""

    @contextmanager
    def host(mode, **display):
        path = socket_dir / "gpu.sock"
        process = subprocess.Popen(command_line(mode, path), cwd=ROOT)
        try:
            with Vmm(DisplayReader(**display)) as vmm:
                vmm.connect(path)
                vmm.negotiate()
                vmm.start()
                yield vmm, GpuDriver(vmm)
        finally:
            process.kill()
            process.wait()

    return host


def noise(width=WIDTH, height=HEIGHT):
    """Return pixels that all differ, with top bytes of 0."""
    pixels = bytearray(random.Random(width).randbytes(4 * width * height))
    pixels[3::4] = bytes(width * height)
    return bytes(pixels)


def fill(vmm, driver, pixels, resource_id=1, width=WIDTH, height=HEIGHT):
    """Create a resource with a picture in it; return its backing."""
    backing = vmm.ram.contiguous(len(pixels))
    backing.write(0, pixels)
    driver.create_2d(resource_id, Format.B8G8R8X8, width, height)
    driver.attach_backing(resource_id, backing)
    driver.transfer(resource_id, Rect(0, 0, width, height), 0)
    return backing


def shown(vmm, scanout_id=0):
    """Return size and pixels of an output, after everything that was sent before."""
    vmm.display.step()
    screen = vmm.display.outputs[scanout_id]
    return screen.width, screen.height, bytes(screen.pixels)


# Hosting it


@pytest.mark.parametrize("mode", PEERS)
def test_whole_pictures_are_right(hosted, mode):
    pixels = noise()
    with hosted(mode) as (vmm, driver):
        fill(vmm, driver, pixels)
        driver.set_scanout(0, 1, FULL)
        driver.flush(1, FULL)
        assert shown(vmm) == (WIDTH, HEIGHT, pixels)
        assert vmm.display.violations == []


@pytest.mark.parametrize("mode", PEERS)
def test_a_flush_of_a_corner_shows_all_of_the_resource(hosted, mode):
    with hosted(mode) as (vmm, driver):
        backing = fill(vmm, driver, bytes(4 * WIDTH * HEIGHT))
        driver.set_scanout(0, 1, FULL)
        backing.write(0, noise())
        driver.transfer(1, FULL, 0)
        driver.flush(1, Rect(0, 0, 1, 1))
        assert shown(vmm) == (WIDTH, HEIGHT, noise())
        sent = [entry.payload for entry in vmm.display.log if entry.req in (Req.UPDATE, Req.DMABUF_UPDATE)]
        assert [(one.x, one.y, one.width, one.height) for one in sent][-1] == (0, 0, WIDTH, HEIGHT)


def test_virglrenderer_shows_a_rectangle_of_a_resource(hosted):
    pixels = noise()
    with hosted("virglrenderer") as (vmm, driver):
        fill(vmm, driver, pixels)
        driver.set_scanout(0, 1, Rect(16, 8, 32, 24))
        driver.flush(1, FULL)
        rows = [pixels[4 * (WIDTH * y + 16) :][: 4 * 32] for y in range(8, 32)]
        assert shown(vmm) == (32, 24, b"".join(rows))


def test_gfxstream_sends_all_of_a_resource_of_which_a_rectangle_is_shown(hosted):
    with hosted("gfxstream") as (vmm, driver):
        fill(vmm, driver, noise())
        driver.set_scanout(0, 1, Rect(16, 8, 32, 24))
        vmm.display.step()
        assert vmm.display.violations == [f"UPDATE {WIDTH}x{HEIGHT} at 0,0 outside a scanout of 32x24"]


def test_gfxstream_updates_what_is_disabled(hosted):
    with hosted("gfxstream") as (vmm, driver):
        fill(vmm, driver, noise())
        driver.set_scanout(0, 1, FULL)
        driver.set_scanout(0, 0, FULL)
        driver.flush(1, FULL)
        vmm.display.step()
        assert vmm.display.violations == ["UPDATE of scanout 0, which is not enabled"]
        assert not vmm.display.outputs[0].active


def test_null_mode_agrees_to_everything_and_shows_nothing(hosted):
    with hosted("null") as (vmm, driver):
        for question in (CtrlHdr(Cmd.GET_DISPLAY_INFO), GetEdid()):
            assert driver.command(question).data == CtrlHdr(Resp.OK_NODATA).pack()
        driver.set_scanout(0, 77, FULL)
        driver.flush(77, FULL)
        vmm.display.step()
        assert not vmm.display.log


@pytest.mark.parametrize("mode", PEERS)
def test_questions_reach_the_display_and_nothing_is_negotiated(hosted, mode):
    with hosted(mode, modes=[(800, 600), (0, 0), (640, 480)], features=0) as (vmm, driver):
        info = driver.get_display_info()
        assert [info[32 + 24 * at : 40 + 24 * at] for at in range(3)] == [
            (800).to_bytes(4, "little") + (600).to_bytes(4, "little"),
            bytes(8),
            (640).to_bytes(4, "little") + (480).to_bytes(4, "little"),
        ]
        assert driver.get_edid(2)[32:40] == bytes([0, 255, 255, 255, 255, 255, 255, 0])
        assert [entry.req for entry in vmm.display.log] == [Req.GET_DISPLAY_INFO, Req.GET_EDID]
        assert vmm.display.violations == ["GET_EDID, which was not negotiated"]


def test_a_flush_waits_for_the_display_and_the_control_socket_does_not(hosted):
    with hosted("virglrenderer") as (vmm, driver):
        fill(vmm, driver, noise())
        driver.set_scanout(0, 1, FULL)
        vmm.display.step()
        vmm.display.stall()
        with pytest.raises(WaitTimeout):
            driver.command(ResourceFlush(r=FULL, resource_id=1), timeout_s=0.2)
        assert vmm.read_config(8, 4) == (16).to_bytes(4, "little")
        vmm.display.go_on()
        assert vmm.wait_used() and shown(vmm) == (WIDTH, HEIGHT, noise())


@pytest.mark.parametrize("mode", PEERS)
def test_what_an_output_shows_is_not_given_back(hosted, mode):
    with hosted(mode) as (vmm, driver):
        fill(vmm, driver, noise())
        driver.set_scanout(0, 1, FULL)
        assert driver.command(ResourceUnref(resource_id=1)).type == Resp.ERR_UNSPEC
        vmm.display.step()
        assert vmm.display.outputs[0].active


@pytest.mark.parametrize("mode", PEERS)
def test_the_cursor_is_shown_moved_and_never_hidden_by_resource_0(hosted, mode):
    with hosted(mode) as (vmm, driver):
        fill(vmm, driver, noise(64, 64), 2, 64, 64)
        fill(vmm, driver, noise(32, 32), 3, 32, 32)
        assert driver.update_cursor(0, 2, -3, 5, 1, 2, room=24).type == Resp.OK_NODATA
        assert driver.move_cursor(0, 2, 7, 9, room=24).type == Resp.OK_NODATA
        assert driver.update_cursor(0, 0, 0, 0, room=24).type == Resp.ERR_INVALID_RESOURCE_ID
        assert driver.update_cursor(0, 3, 0, 0, room=24).type == Resp.ERR_INVALID_PARAMETER
        vmm.display.step()
        cursor = vmm.display.outputs[0].cursor
        assert (cursor.x, cursor.y, cursor.hot_x, cursor.hot_y, cursor.visible) == (7, 9, 1, 2, True)
        assert cursor.image == noise(64, 64)
        assert driver.move_cursor(0, 0, 7, 9, room=24).type == Resp.OK_NODATA
        vmm.display.step()
        assert not vmm.display.outputs[0].cursor.visible


@pytest.mark.parametrize("mode", PEERS)
def test_the_renderer_keeps_its_first_display(hosted, mode):
    with hosted(mode) as (vmm, driver):
        fill(vmm, driver, noise())
        vmm.stop()
        vmm.start()
        request = CtrlHdr(Cmd.GET_DISPLAY_INFO)
        assert GpuDriver(vmm).command(request).type == Resp.ERR_UNSPEC
        assert not vmm.display.log


# The kit


@pytest.fixture
def differences(monkeypatch):
    """Runs all checks on the stand-in; returns how it differs from what is known of it."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=":")
    rows = list(CHECKS)

    def run(mode):
        argv = command_line(mode, "{socket}")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            parts = pool.map(lambda part: results(argv, rows[part::AT_ONCE], TIMEOUT_S), range(AT_ONCE))
            every = [result for part in parts for result in part]
        known = {row.check for row in BACK_ENDS if row.peer in PEERS[mode]}
        return disagreements(lambda odd: results(argv, odd, TIMEOUT_S), every, known)

    return run


@pytest.mark.parametrize("mode", PEERS)
def test_the_kit_reports_what_is_known_and_nothing_else(differences, mode):
    unknown, unseen = differences(mode)
    assert unknown == {}, "not known"
    assert unseen <= RACES, "known, and not seen"
