"""A guest to try the examples with: a VMM, a display and a GPU driver in this process. Not needed with a real VM."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from outboard.frontend.display_reader import DisplayReader
from outboard.frontend.vmm import Vmm
from outboard.machine.gpu_driver import GpuDriver
from outboard.spec.virtio_gpu import Format, Rect


@contextmanager
def guest(path: str, size: tuple[int, int] = (640, 480)) -> Iterator[Callable[[int], None]]:
    """Boot a guest whose screen has this size; yields a function that fills the screen with a colour, 0xRRGGBB."""
    width, height = size
    whole = Rect(0, 0, width, height)
    with DisplayReader([size], threaded=True) as display, Vmm(display) as vmm:
        vmm.connect(path)
        vmm.negotiate()
        vmm.start()
        driver = GpuDriver(vmm)
        framebuffer = vmm.ram.contiguous(4 * width * height)
        driver.create_2d(1, Format.B8G8R8X8, width, height)
        driver.attach_backing(1, framebuffer)
        driver.set_scanout(0, 1, whole)

        def fill(colour: int) -> None:
            framebuffer.write(0, colour.to_bytes(4, "little") * width * height)
            driver.transfer(1, whole, 0)
            driver.flush(1, whole)

        yield fill
