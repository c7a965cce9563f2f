"""What is measured: each case brings a back-end into a state, then does units of one kind of work, all accounted for.

A unit's pictures are received in full while it is measured, or the case fails; before it is measured once, one picture
is compared byte by byte with what the guest drew.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import NamedTuple

from bench.accounting import Sample, cpu_ns
from bench.peers import Running
from outboard.frontend.display_reader import DisplayReader
from outboard.frontend.ram import Backing, GuestRam, Span
from outboard.frontend.vmm import Vmm
from outboard.machine.gpu_batch import Batch, run_batches
from outboard.machine.gpu_driver import GpuDriver, move_cursor
from outboard.spec.vhost_user_gpu import Req
from outboard.spec.virtio_gpu import (
    BYTES_PER_PIXEL,
    CURSOR_QUEUE,
    Format,
    Rect,
    ResourceFlush,
    TransferToHost2D,
)

QUEUE_SIZES = (256, 32)
RESOURCE = 1
HIDDEN = 2
"""A resource that no output shows."""
SETTLE_S = 0.02
"""After the last answer, until the back-end sleeps and its CPU time is exact."""
SMALL = 64
"""Side of a small rectangle in pixels."""


class CaseFailed(Exception):
    """The back-end did not do the work it was given."""


class Work(NamedTuple):
    """Work that can be repeated. batches are in flight together, each of `units` units; `check(units)` raises
    CaseFailed when what came out does not match."""

    vmm: Vmm
    batches: list[Batch]
    units: int
    check: Callable[[int], None]


class Machine(NamedTuple):
    """A started machine with one resource on output 0."""

    vmm: Vmm
    driver: GpuDriver
    backing: Backing
    size: tuple[int, int]


@contextmanager
def machine(running: Running, size: tuple[int, int], scattered: bool) -> Iterator[Machine]:
    """Start a machine whose resource has random pixels, and see that a full frame of them arrives."""
    width, height = size
    length = BYTES_PER_PIXEL * width * height
    display = DisplayReader(modes=[size])
    ram = GuestRam((Span(0, 4 << 20), Span(0x1_0000_0000, length + (4 << 20))))
    with Vmm(display, ram, QUEUE_SIZES, timeout_s=20) as vmm:
        vmm.attach(running.socket)
        vmm.negotiate()
        vmm.start()
        driver = GpuDriver(vmm)
        backing = ram.scattered(length) if scattered else ram.contiguous(length)
        driver.create_2d(RESOURCE, Format.B8G8R8X8, width, height)
        driver.attach_backing(RESOURCE, backing)
        driver.set_scanout(0, RESOURCE, Rect(0, 0, width, height))
        ready = Machine(vmm, driver, backing, size)
        _see_one_frame(ready)
        yield ready


def _see_one_frame(ready: Machine) -> None:
    width, height = ready.size
    display = ready.vmm.display
    picture = random.Random(1).randbytes(BYTES_PER_PIXEL * width * height)
    ready.backing.write(0, picture)
    ready.driver.transfer(RESOURCE, Rect(0, 0, width, height), 0)
    ready.driver.flush(RESOURCE, Rect(0, 0, width, height))
    try:
        display.wait_until(lambda: bytes(display.outputs[0].pixels) == picture, "the guest's picture")
    finally:
        if display.violations:
            raise CaseFailed("; ".join(display.violations))
    display.counting = True


@contextmanager
def frames(running: Running, size: tuple[int, int], scattered: bool) -> Iterator[Work]:
    """Full frames, TRANSFER and FLUSH; two in flight, as a guest with two buffers has."""
    with machine(running, size, scattered) as ready:
        full = Rect(0, 0, *size)
        requests = _transfer_and_flush(full, size[0])
        batches = [Batch(ready.vmm, requests) for _ in range(2)]
        yield Work(ready.vmm, batches, 1, _pixel_count(ready, size[0] * size[1]))


@contextmanager
def rectangles(running: Running, scattered: bool) -> Iterator[Work]:
    """64x64 rectangles all over a 1080p resource, TRANSFER and FLUSH; two batches of 16 in flight."""
    size = (1920, 1080)
    with machine(running, size, scattered) as ready:
        # Steps of 67 and 41 pixels: neither the resource's pages nor its rows repeat.
        places = [(67 * at % (size[0] - SMALL), 41 * at % (size[1] - SMALL)) for at in range(32)]
        requests = [_transfer_and_flush(Rect(x, y, SMALL, SMALL), size[0]) for x, y in places]
        batches = [Batch(ready.vmm, list(chain.from_iterable(half))) for half in (requests[:16], requests[16:])]
        yield Work(ready.vmm, batches, 16, _pixel_count(ready, SMALL * SMALL))


def _transfer_and_flush(rect: Rect, width: int) -> list[bytes]:
    offset = BYTES_PER_PIXEL * (rect.y * width + rect.x)
    transfer = TransferToHost2D(r=rect, offset=offset, resource_id=RESOURCE)
    return [transfer.pack(), ResourceFlush(r=rect, resource_id=RESOURCE).pack()]


def _pixel_count(ready: Machine, pixels: int) -> Callable[[int], None]:
    """Return a check that `units * pixels` more pixels came since the last one, neither fewer nor more."""
    display = ready.vmm.display
    seen = display.outputs[0].painted

    def check(units: int) -> None:
        nonlocal seen
        seen += units * pixels
        display.wait_painted(0, seen)
        if display.outputs[0].painted != seen:
            raise CaseFailed(f"{display.outputs[0].painted - seen} pixels too many")

    return check


@contextmanager
def cursor(running: Running) -> Iterator[Work]:
    """MOVE_CURSOR, 16 in flight, in two batches.

    A back-end may leave positions out that a later one follows at once; the last one must be shown.
    """
    with machine(running, (1024, 768), False) as ready:
        moves = [move_cursor(0, RESOURCE, 10 + at, 20 + 3 * at).pack() for at in range(16)]
        batches = [Batch(ready.vmm, half, queue=CURSOR_QUEUE, room=0) for half in (moves[:8], moves[8:])]
        yield Work(ready.vmm, batches, 8, _last_position(ready))


def _last_position(ready: Machine) -> Callable[[int], None]:
    """Return a check that moves the cursor once more, to a new place, and sees it there, behind all before it."""
    display = ready.vmm.display
    turn = 0

    def check(units: int) -> None:
        nonlocal turn
        turn += 1
        ready.driver.move_cursor(0, RESOURCE, 100 + turn % 800, 50)
        place = 100 + turn % 800
        display.wait_until(lambda: display.outputs[0].cursor.x == place, "the last cursor position")
        if display.counts[Req.CURSOR_POS] > units + 1:
            raise CaseFailed(f"{display.counts[Req.CURSOR_POS]} messages for {units + 1} positions")
        display.counts.clear()

    return check


@contextmanager
def no_op(running: Running) -> Iterator[Work]:
    """RESOURCE_FLUSH of a resource on no output, 64 in flight, in two batches; nothing may be shown."""
    with machine(running, (1024, 768), False) as ready:
        ready.driver.create_2d(HIDDEN, Format.B8G8R8X8, SMALL, SMALL)
        request = ResourceFlush(r=Rect(0, 0, SMALL, SMALL), resource_id=HIDDEN).pack()
        batches = [Batch(ready.vmm, [request] * 32) for _ in range(2)]
        yield Work(ready.vmm, batches, 32, _pixel_count(ready, 0))


def measure(running: Running, work: Work, units: int) -> Sample:
    """Do at least `units` units; return what they cost. Raises CaseFailed, and what a broken back-end makes raise."""
    times = max(len(work.batches), -(-units // work.units))
    units = times * work.units
    time.sleep(SETTLE_S)
    cpu = cpu_ns(running.pid)
    began = time.perf_counter_ns()
    run_batches(work.vmm, work.batches, times)
    work.check(units)
    wall_ns = time.perf_counter_ns() - began
    time.sleep(SETTLE_S)
    return Sample(units, cpu_ns(running.pid) - cpu, wall_ns)
