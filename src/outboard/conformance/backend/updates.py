"""UPDATE: which rectangles are sent, where they are said to lie, how their pixels look, and on which outputs.

Source: QEMU docs/interop/vhost-user-gpu, VHOST_USER_GPU_UPDATE; VIRTIO-1.2 5.7.6.8.
"""

from outboard.conformance.backend.bench import Bench
from outboard.conformance.backend.machine import cut, noise
from outboard.conformance.backend.scanouts import FULL, HEIGHT, PART, WIDTH, bound, live
from outboard.conformance.check import MUST, SHOULD, VHOST_USER_GPU, VIRTIO, Checks, expect
from outboard.spec.vhost_user_gpu import Req
from outboard.spec.virtio_gpu import BYTES_PER_PIXEL, Format, Rect, ResourceFlush

checks = Checks()
UPDATE = "VHOST_USER_GPU_UPDATE"
COLOURS = {
    Format.B8G8R8A8: (0, 1, 2),
    Format.B8G8R8X8: (0, 1, 2),
    Format.A8R8G8B8: (3, 2, 1),
    Format.X8R8G8B8: (3, 2, 1),
    Format.R8G8B8A8: (2, 1, 0),
    Format.X8B8G8R8: (1, 2, 3),
    Format.A8B8G8R8: (1, 2, 3),
    Format.R8G8B8X8: (2, 1, 0),
}
"""Which byte of a pixel holds blue, green and red: the format's name lists them, lowest address first."""


def on_wire(pixels: bytes, fmt: Format) -> bytes:
    """Return pixels as x8r8g8b8 words, top byte 0."""
    out = bytearray(len(pixels))
    for at, source in enumerate(COLOURS[fmt]):
        out[at::4] = pixels[source::4]
    return bytes(out)


# UPDATE


@checks.check("picture.update.origin", VHOST_USER_GPU, UPDATE, MUST)
def update_origin(bench: Bench) -> None:
    """Coordinates of UPDATE count from the scanout's top left corner, not from the framebuffer's."""
    machine, pixels = bound(bench, PART)
    mark = len(machine.watch.sent)
    machine.driver.flush(1, PART)
    machine.settle()
    places = [(one.x, one.y) for one in machine.watch.updates(mark)]
    expect(
        places and min(places) == (0, 0),
        "UPDATE at 0,0 for a flush of the whole scanout at 32,16",
        places or "no UPDATE",
    )
    machine.sees(PART.width, PART.height, cut(pixels, WIDTH, PART))


@checks.check("picture.update.clipped", VHOST_USER_GPU, UPDATE, MUST)
def update_clipped(bench: Bench) -> None:
    """A flush of the whole framebuffer sends no more than the scanout: UPDATE never reaches over its edges."""
    machine, _ = bound(bench, Rect(0, 0, 20, 10))
    mark = len(machine.watch.sent)
    machine.driver.flush(1, FULL)
    machine.settle()
    expect(machine.watch.updates(mark), "an UPDATE", "none")
    expect(not live(machine.watch.sent), "UPDATEs inside 20x10", live(machine.watch.sent))


@checks.check("picture.update.rectangle", VHOST_USER_GPU, UPDATE, MUST)
def update_rectangle(bench: Bench) -> None:
    """A flush of a rectangle sends that rectangle at least, at its place, with its pixels."""
    machine, pixels = bound(bench)
    machine.driver.flush(1, FULL)
    machine.settle()
    backing = machine.vmm.ram.contiguous(len(pixels))
    fresh = noise(WIDTH, HEIGHT, 9)
    backing.write(0, fresh)
    machine.driver.detach_backing(1)
    machine.driver.attach_backing(1, backing)
    rect = Rect(10, 20, 7, 5)
    machine.driver.transfer(1, rect, BYTES_PER_PIXEL * (rect.y * WIDTH + rect.x))
    machine.driver.flush(1, rect)
    wanted = bytearray(pixels)
    for y in range(rect.y, rect.y + rect.height):
        row = slice(BYTES_PER_PIXEL * (y * WIDTH + rect.x), BYTES_PER_PIXEL * (y * WIDTH + rect.x + rect.width))
        wanted[row] = fresh[row]
    machine.sees(WIDTH, HEIGHT, bytes(wanted))


@checks.check("picture.update.empty", VHOST_USER_GPU, UPDATE, SHOULD)
def update_empty(bench: Bench) -> None:
    """A flush that touches no part of the scanout sends no UPDATE, not even an empty one."""
    machine, _ = bound(bench, Rect(0, 0, 16, 16))
    mark = len(machine.watch.sent)
    machine.driver.flush(1, Rect(32, 32, 8, 8))
    machine.settle()
    got = machine.watch.updates(mark)
    expect(not got, "no UPDATE", got)


@checks.check("picture.update.no_pixels", VHOST_USER_GPU, UPDATE, SHOULD)
def update_no_pixels(bench: Bench) -> None:
    """A flush of a rectangle 0 wide or 0 high sends no UPDATE."""
    machine, _ = bound(bench)
    mark = len(machine.watch.sent)
    for rect in (Rect(4, 4, 0, 4), Rect(4, 4, 4, 0)):
        machine.code(ResourceFlush(r=rect, resource_id=1))
    machine.settle()
    got = machine.watch.updates(mark)
    expect(not got, "no UPDATE", got)


@checks.check("picture.update.unbound", VIRTIO, "5.7.6.8", MUST)
def update_unbound(bench: Bench) -> None:
    """A flush of a resource that no output shows sends nothing."""
    machine, _ = bound(bench)
    machine.create(WIDTH, HEIGHT, resource_id=2)
    mark = machine.settle()
    machine.driver.flush(2, FULL)
    machine.settle()
    got = [one.name for one in machine.watch.since(mark, Req.UPDATE, Req.SCANOUT, Req.DMABUF_UPDATE)]
    expect(not got, "nothing", got)


@checks.check("picture.update.big", VHOST_USER_GPU, UPDATE, MUST)
def update_big(bench: Bench) -> None:
    """A frame of 1920x1080, more than a socket holds, comes whole."""
    machine = bench.machine(modes=((1920, 1080),))
    machine.sees(1920, 1080, machine.show(1920, 1080))


@checks.check("picture.update.odd", VHOST_USER_GPU, UPDATE, MUST)
def update_odd(bench: Bench) -> None:
    """Widths that are no multiple of anything are sent without padding: 1x1, 3x5, 33x7, 257x3."""
    machine = bench.machine()
    for at, (width, height) in enumerate(((1, 1), (3, 5), (33, 7), (257, 3)), 1):
        machine.sees(width, height, machine.show(width, height, resource_id=at))


# Pixels


def _format(fmt: Format) -> None:
    def run(bench: Bench) -> None:
        machine = bench.machine()
        pixels = machine.show(16, 16, fmt=fmt)
        machine.sees(16, 16, on_wire(pixels, fmt))

    says = f"Pixels of {fmt.name} arrive as x8r8g8b8 words: blue, green, red and a byte of no meaning in memory."
    checks.add(f"picture.format.{fmt.name.lower()}", VHOST_USER_GPU, UPDATE, MUST, says, run)


for _fmt in Format:
    _format(_fmt)


# Several outputs


@checks.check("picture.outputs.two", VIRTIO, "5.7.6.8", MUST)
def outputs_two(bench: Bench) -> None:
    """Two resources on two outputs: each flush reaches its own."""
    machine = bench.machine(modes=((640, 480), (640, 480)))
    first = machine.show(32, 32, scanout_id=0)
    second = machine.show(48, 16, scanout_id=1, resource_id=2, seed=2)
    machine.sees(32, 32, first, 0)
    machine.sees(48, 16, second, 1)


@checks.check("picture.outputs.mirror", VIRTIO, "5.7.6.8", MUST)
def outputs_mirror(bench: Bench) -> None:
    """One resource on two outputs: a flush reaches both."""
    machine = bench.machine(modes=((640, 480), (640, 480)))
    pixels = machine.create(WIDTH, HEIGHT)
    for scanout_id in (0, 1):
        machine.driver.set_scanout(scanout_id, 1, FULL)
    machine.driver.flush(1, FULL)
    for scanout_id in (0, 1):
        machine.sees(WIDTH, HEIGHT, pixels, scanout_id)


@checks.check("picture.outputs.side_by_side", VIRTIO, "5.7.6.8", MUST)
def outputs_side_by_side(bench: Bench) -> None:
    """One framebuffer across two outputs: one flush sends each its half, at 0,0."""
    machine = bench.machine(modes=((32, 48), (32, 48)))
    pixels = machine.create(WIDTH, HEIGHT)
    halves = [Rect(32 * at, 0, 32, HEIGHT) for at in (0, 1)]
    for scanout_id, half in enumerate(halves):
        machine.driver.set_scanout(scanout_id, 1, half)
    machine.driver.flush(1, FULL)
    for scanout_id, half in enumerate(halves):
        machine.sees(32, HEIGHT, cut(pixels, WIDTH, half), scanout_id)


@checks.check("picture.outputs.last", VIRTIO, "5.7.4", MUST)
def outputs_last(bench: Bench) -> None:
    """Output 15, which QEMU may have although the back-end's own config space says fewer, can be used."""
    machine = bench.machine(modes=[(32, 32)] * 16)
    machine.sees(32, 32, machine.show(32, 32, scanout_id=15), 15)


@checks.check("picture.outputs.rebound", VIRTIO, "5.7.6.8", MUST)
def outputs_rebound(bench: Bench) -> None:
    """When an output shows another resource, flushes of the one before do not reach it any more."""
    machine, _ = bound(bench)
    second = machine.show(WIDTH, HEIGHT, resource_id=2, seed=2)
    machine.driver.flush(1, FULL)
    machine.settle()
    machine.sees(WIDTH, HEIGHT, second)
