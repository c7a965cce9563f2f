"""A guest in Python that draws a moving picture on a GPU in another process, and what its display saw."""

import os
import time
from pathlib import Path
from typing import NamedTuple

from outboard.errors import ProtocolError
from outboard.frontend.display_reader import DisplayReader
from outboard.frontend.ram import GuestRam, Span
from outboard.frontend.vmm import Vmm
from outboard.machine.gpu_driver import GpuDriver
from outboard.machine.scene import Scene
from outboard.spec.virtio_gpu import Format, Rect, RespDisplayInfo

RAM_BASE = 0x4000_0000
RAM_SIZE = 64 << 20
RESOURCE_ID = 1


class Figures(NamedTuple):
    """What a run did. frames: pictures drawn; rectangles: transfers and flushes; pixels: that the display received."""

    frames: int
    rectangles: int
    pixels: int
    seconds: float
    backend_cpu_seconds: float


def run(socket_path: Path, backend_pid: int, seconds: float, size: tuple[int, int]) -> tuple[Figures, bytes]:
    """Boot, draw for `seconds`, and check that the display shows what the guest drew, byte for byte.

    backend_pid: whose processor time to count. size: of the display, in pixels. Returns the figures and the display's
    last picture. Raises ProtocolError when the picture is wrong, WaitTimeout when the back-end does not answer.
    """
    with DisplayReader([size], threaded=True) as display, Vmm(display, GuestRam([Span(RAM_BASE, RAM_SIZE)])) as vmm:
        vmm.connect(socket_path)
        vmm.negotiate()
        vmm.start()
        driver = GpuDriver(vmm)
        mode = RespDisplayInfo.unpack(driver.get_display_info()).pmodes[0].r
        width, height = mode.width, mode.height
        backing = vmm.ram.contiguous(4 * width * height)
        scene = Scene(vmm.ram.view(*backing.entries[0]), width, height)
        whole = Rect(0, 0, width, height)
        driver.create_2d(RESOURCE_ID, Format.B8G8R8X8, width, height)
        driver.attach_backing(RESOURCE_ID, backing)
        driver.transfer(RESOURCE_ID, whole, 0)
        driver.set_scanout(0, RESOURCE_ID, whole)
        driver.flush(RESOURCE_ID, whole)
        figures = _animate(driver, scene, display, backend_pid, seconds)
        driver.flush(RESOURCE_ID, whole)
        display.wait_painted(0, figures.pixels + width * height)
        picture = display.frame(0)
        if not _same(picture, backing.read()):
            raise ProtocolError("display", "the picture that the guest drew", "another one")
        return figures, picture


def _animate(driver: GpuDriver, scene: Scene, display: DisplayReader, pid: int, seconds: float) -> Figures:
    """Draw frame after frame, as fast as it goes."""
    frames = rectangles = drawn = 0
    before = display.outputs[0].painted
    cpu = cpu_seconds(pid)
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        for x, y, width, height in scene.step():
            rect = Rect(x, y, width, height)
            driver.transfer(RESOURCE_ID, rect, 4 * (y * scene.width + x))
            driver.flush(RESOURCE_ID, rect)
            rectangles += 1
            drawn += width * height
        frames += 1
    display.wait_painted(0, before + drawn)
    return Figures(frames, rectangles, before + drawn, time.monotonic() - start, cpu_seconds(pid) - cpu)


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _same(one: bytes, other: bytes) -> bool:
    """Whether two pictures show the same; the fourth byte of a pixel is never shown."""
    return all(one[byte::4] == other[byte::4] for byte in range(3))
