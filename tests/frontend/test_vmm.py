"""The miniature VMM in front of our own back-end: what QEMU's does not survive, and what both must show alike."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from outboard.errors import WaitTimeout
from outboard.frontend.display_reader import DisplayReader
from outboard.frontend.ram import GuestRam, Span
from outboard.frontend.vmm import FEATURES, Vmm
from outboard.machine.gpu_driver import GpuDriver
from outboard.spec.virtio import Feature
from outboard.spec.virtio_gpu import BYTES_PER_PIXEL, Format, Rect

WIDTH, HEIGHT = 320, 200
FULL = Rect(0, 0, WIDTH, HEIGHT)
PICTURE = random.Random(5).randbytes(BYTES_PER_PIXEL * WIDTH * HEIGHT)


@pytest.fixture
def back_end(socket_dir: Path) -> Iterator[Path]:
    """Our back-end, listening; it serves one front-end after the other."""
    path = socket_dir / "ours.sock"
    argv = [sys.executable, "-m", "outboard", "gpu", "serve", str(path)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 15
        while not path.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        yield path
        process.kill()


@contextmanager
def machine(path: Path, **options) -> Iterator[tuple[Vmm, GpuDriver]]:
    """A running machine that shows PICTURE, and its driver."""
    ram = GuestRam((Span(0, 1 << 20), Span(0x1_0000_0000, 4 << 20)))
    with Vmm(DisplayReader(), ram, **options) as vmm:
        vmm.connect(path)
        vmm.negotiate()
        vmm.start()
        driver = GpuDriver(vmm)
        draw(vmm, driver)
        yield vmm, driver


def draw(vmm: Vmm, driver: GpuDriver) -> None:
    """Show PICTURE on output 0 by resource 1."""
    backing = vmm.ram.scattered(len(PICTURE))
    backing.write(0, PICTURE)
    driver.create_2d(1, Format.B8G8R8X8, WIDTH, HEIGHT)
    driver.attach_backing(1, backing)
    driver.set_scanout(0, 1, FULL)
    driver.transfer(1, FULL, 0)
    driver.flush(1, FULL)
    seen(vmm)


def seen(vmm: Vmm) -> None:
    """Wait until the display shows PICTURE."""
    vmm.display.wait_until(lambda: bytes(vmm.display.outputs[0].pixels) == PICTURE, "the picture")
    assert vmm.display.violations == []


@pytest.mark.parametrize("mem_slots", [False, True])
def test_stop_and_resume_keep_everything(back_end, mem_slots):
    with machine(back_end, mem_slots=mem_slots, ack_all=True) as (vmm, driver):
        for _ in range(3):
            before = vmm.stop()
            assert before == [ring.queue.avail_idx for ring in vmm.rings]
            vmm.display.outputs[0].pixels[:] = bytes(len(PICTURE))
            vmm.resume()
            seen(vmm)  # The back-end shows it again by itself: a new display starts from black.
            driver.flush(1, FULL)


def test_commands_that_were_offered_while_it_was_stopped_are_done_at_resume(back_end):
    with machine(back_end) as (vmm, _):
        vmm.stop()
        queue = vmm.rings[0].queue
        room = vmm.ram.allocate(24)
        queue.add([(vmm.ram.allocate(24), 24)], [(room, 24)])
        vmm.kick()
        with pytest.raises(WaitTimeout):
            vmm.wait_used(0, 0.1)
        vmm.resume()
        assert vmm.wait_used(0) == [(0, 24)]


def test_reset_forgets_everything(back_end):
    with machine(back_end) as (vmm, _):
        for _ in range(2):
            vmm.reset()
            vmm.start()
            driver = GpuDriver(vmm)
            assert driver.command(bytes.fromhex("02010000" + "00" * 20 + "0100000000000000")).type == 0x1203
            draw(vmm, driver)


@pytest.mark.parametrize("features", [FEATURES, FEATURES & ~Feature.EVENT_IDX])
@pytest.mark.parametrize("indirect", [False, True])
def test_pictures_arrive_whatever_the_ring_negotiated(back_end, features, indirect):
    with machine(back_end, features=features) as (vmm, _):
        driver = GpuDriver(vmm, indirect=indirect, piece=7)
        driver.unref(1)
        draw(vmm, driver)


def test_one_front_end_follows_the_other(back_end):
    for _ in range(3):
        with machine(back_end):
            pass


def test_memory_can_be_added_and_taken_away_while_it_runs(back_end):
    with machine(back_end) as (vmm, driver):
        at = vmm.ram.grow(Span(0x2_0000_0000, 1 << 20))
        vmm.send_memory()
        place = vmm.ram.allocate(len(PICTURE), region=at)
        vmm.ram.view(place, len(PICTURE))[:] = PICTURE
        driver.create_2d(2, Format.B8G8R8X8, WIDTH, HEIGHT)
        attach = bytes.fromhex("06010000" + "00" * 20 + "0200000001000000") + place.to_bytes(8, "little")
        assert driver.command(attach + len(PICTURE).to_bytes(8, "little")).type == 0x1100
        driver.transfer(2, FULL, 0)
        driver.detach_backing(2)
        vmm.forget_memory(vmm.ram.description(at))
        assert driver.command(attach + len(PICTURE).to_bytes(8, "little")).type == 0x1200


def test_call_fds_can_be_replaced_while_it_runs(back_end):
    with machine(back_end, ack_all=True) as (vmm, driver):
        for _ in range(20):
            vmm.replace_call_fd(0)
            driver.flush(1, FULL)


def test_a_malformed_ring_is_signalled_by_its_error_fd(back_end):
    with machine(back_end) as (vmm, _):
        vmm.rings[0].queue.put_head(0xFFFF)
        vmm.kick()
        end = time.monotonic() + 5
        while not vmm.broken(0):
            assert time.monotonic() < end
            time.sleep(0.01)
        assert len(vmm.read_config()) == 16, "the control socket lives on"


def test_interrupts_come_when_they_are_asked_for(back_end):
    with machine(back_end) as (vmm, _):
        queue = vmm.rings[0].queue
        vmm.interrupts()
        room = vmm.ram.allocate(24 * 6)
        for at in range(6):
            queue.add([(vmm.ram.allocate(24), 24)], [(room + 24 * at, 24)])
        queue.want_interrupt(6)
        vmm.kick()
        end = time.monotonic() + 5
        while queue.used_idx != queue.avail_idx:
            assert time.monotonic() < end
            time.sleep(0.001)
        time.sleep(0.05)
        assert vmm.interrupts() >= 1
        assert len(vmm.wait_used()) == 6
