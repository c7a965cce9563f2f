"""TRANSFER_TO_HOST_2D and backings: which bytes of guest memory become which pixels, and when they are read.

Source: VIRTIO-1.2 5.7.6.8, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING.
"""

from outboard.conformance.backend.bench import Bench
from outboard.conformance.backend.machine import Machine, noise
from outboard.conformance.check import MUST, ROBUSTNESS, SHOULD, VIRTIO, Checks, expect
from outboard.frontend.ram import Backing
from outboard.spec.virtio_gpu import BYTES_PER_PIXEL, Format, Rect

checks = Checks()
CONTROLQ = "5.7.6.8"
WIDTH, HEIGHT = 32, 24
STRIDE = BYTES_PER_PIXEL * WIDTH
FULL = Rect(0, 0, WIDTH, HEIGHT)
BLACK = bytes(STRIDE * HEIGHT)


def fresh(bench: Bench, backing_bytes: int = STRIDE * HEIGHT) -> tuple[Machine, Backing]:
    """Return a machine with an untouched resource on output 0, and its backing of 0 bytes."""
    machine = bench.machine()
    machine.driver.create_2d(1, Format.B8G8R8X8, WIDTH, HEIGHT)
    backing = machine.vmm.ram.contiguous(backing_bytes)
    machine.driver.attach_backing(1, backing)
    machine.driver.set_scanout(0, 1, FULL)
    return machine, backing


def flushed(machine: Machine, wanted: bytes) -> None:
    """Flush everything; raise Failed unless the picture is this."""
    machine.driver.flush(1, FULL)
    machine.sees(WIDTH, HEIGHT, wanted)


def placed(under: bytes, pixels: bytes, rect: Rect) -> bytes:
    """Return a picture with a rectangle of tight rows put into it."""
    out = bytearray(under)
    row = BYTES_PER_PIXEL * rect.width
    for at in range(rect.height):
        to = STRIDE * (rect.y + at) + BYTES_PER_PIXEL * rect.x
        out[to : to + row] = pixels[row * at : row * (at + 1)]
    return bytes(out)


@checks.check("transfer.new_is_black", VIRTIO, CONTROLQ, SHOULD)
def new_is_black(bench: Bench) -> None:
    """A new resource holds zeros, nothing of others."""
    machine = bench.machine()
    old, new = range(100, 108), range(1, 9)
    for resource_id in old:
        machine.create(WIDTH, HEIGHT, resource_id=resource_id)
    for resource_id in old:
        machine.driver.unref(resource_id)
    for resource_id in new:
        machine.driver.create_2d(resource_id, Format.B8G8R8X8, WIDTH, HEIGHT)
    for resource_id in new:
        machine.driver.set_scanout(0, resource_id, FULL)
        machine.driver.flush(resource_id, FULL)
        machine.sees(WIDTH, HEIGHT, BLACK)


@checks.check("transfer.whole", VIRTIO, CONTROLQ, MUST)
def whole(bench: Bench) -> None:
    """A transfer of the whole resource copies the whole picture."""
    machine, backing = fresh(bench)
    pixels = noise(WIDTH, HEIGHT)
    backing.write(0, pixels)
    machine.driver.transfer(1, FULL, 0)
    flushed(machine, pixels)


@checks.check("transfer.rectangle", VIRTIO, CONTROLQ, MUST)
def rectangle(bench: Bench) -> None:
    """A transfer of a rectangle reads rows that are a whole picture's row apart, and changes nothing else."""
    machine, backing = fresh(bench)
    pixels = noise(WIDTH, HEIGHT)
    backing.write(0, pixels)
    rect = Rect(5, 3, 9, 7)
    machine.driver.transfer(1, rect, STRIDE * rect.y + BYTES_PER_PIXEL * rect.x)
    tight = b"".join(
        pixels[STRIDE * y + BYTES_PER_PIXEL * rect.x :][: BYTES_PER_PIXEL * rect.width]
        for y in range(rect.y, rect.y + rect.height)
    )
    flushed(machine, placed(BLACK, tight, rect))


@checks.check("transfer.offset", VIRTIO, CONTROLQ, MUST)
def offset(bench: Bench) -> None:
    """The offset is of the rectangle's first pixel, also one that is no multiple of a pixel or row."""
    machine, backing = fresh(bench, 2 * STRIDE * HEIGHT)
    data = noise(WIDTH, 2 * HEIGHT)
    backing.write(0, data)
    rect, start = Rect(1, 2, 4, 3), 4 * 77 + 3
    machine.driver.transfer(1, rect, start)
    tight = b"".join(data[start + STRIDE * at :][: BYTES_PER_PIXEL * rect.width] for at in range(rect.height))
    flushed(machine, placed(BLACK, tight, rect))


@checks.check("transfer.whole_width", VIRTIO, CONTROLQ, MUST)
def whole_width(bench: Bench) -> None:
    """A transfer of the first rows at offset 0 copies these rows, not the whole picture."""
    machine, backing = fresh(bench)
    pixels = noise(WIDTH, HEIGHT)
    backing.write(0, pixels)
    machine.driver.transfer(1, Rect(0, 0, WIDTH, 5), 0)
    flushed(machine, pixels[: 5 * STRIDE] + BLACK[5 * STRIDE :])


@checks.check("transfer.only_then", VIRTIO, CONTROLQ, MUST)
def only_then(bench: Bench) -> None:
    """Guest memory is read by a transfer only: a guest may reuse it before it flushes."""
    machine, backing = fresh(bench)
    pixels = noise(WIDTH, HEIGHT)
    backing.write(0, pixels)
    machine.driver.transfer(1, FULL, 0)
    backing.write(0, noise(WIDTH, HEIGHT, 2))
    flushed(machine, pixels)


@checks.check("transfer.short_backing", VIRTIO, CONTROLQ, ROBUSTNESS)
def short_backing(bench: Bench) -> None:
    """A transfer that needs more than the backing has copies what there is or is refused; nothing behind is read."""
    machine, backing = fresh(bench, STRIDE * 4)
    pixels = noise(WIDTH, HEIGHT)[: STRIDE * 4]
    backing.write(0, pixels)
    try:
        machine.driver.transfer(1, FULL, 0)
    except Exception:
        machine.works()
        return
    flushed(machine, pixels + BLACK[STRIDE * 4 :])


@checks.check("transfer.scattered", VIRTIO, CONTROLQ, MUST)
def scattered(bench: Bench) -> None:
    """A backing of many pages in any order is one stream of bytes in the order of its list."""
    machine = bench.machine()
    backing = machine.vmm.ram.scattered(BYTES_PER_PIXEL * 200 * 150)
    machine.sees(200, 150, machine.show(200, 150, backing=backing))


@checks.check("transfer.one_byte_pieces", VIRTIO, CONTROLQ, MUST)
def one_byte_pieces(bench: Bench) -> None:
    """Pieces of a backing may be of any length, 1 byte too, and pixels lie across them."""
    machine = bench.machine()
    ram = machine.vmm.ram
    lengths = [1, 2, 3, 1, 1, 5, 64, 1, 7, 128, 1]
    rest = BYTES_PER_PIXEL * 16 * 8 - sum(lengths)
    pieces = tuple((ram.allocate(length, 1) if at % 2 else ram.allocate(length + 1, 2) + 1, length)
                   for at, length in enumerate([*lengths, rest]))  # fmt: skip
    machine.sees(16, 8, machine.show(16, 8, backing=Backing(ram, pieces)))


@checks.check("transfer.unaligned", VIRTIO, CONTROLQ, MUST)
def unaligned(bench: Bench) -> None:
    """A backing may begin at an odd address."""
    machine = bench.machine()
    ram = machine.vmm.ram
    at = ram.allocate(BYTES_PER_PIXEL * 16 * 8 + 1, 16) + 1
    machine.sees(16, 8, machine.show(16, 8, backing=Backing(ram, ((at, BYTES_PER_PIXEL * 16 * 8),))))


@checks.check("transfer.long_list", VIRTIO, CONTROLQ, MUST)
def long_list(bench: Bench) -> None:
    """A backing of 2000 pieces, as a framebuffer of single pages needs them, is taken."""
    machine = bench.machine()
    width, height = 1000, 8
    pieces = BYTES_PER_PIXEL * width * height // 16
    start = machine.vmm.ram.allocate(32 * pieces, 16)
    entries = tuple((start + 32 * at, 16) for at in range(pieces))
    machine.sees(width, height, machine.show(width, height, backing=Backing(machine.vmm.ram, entries)))


@checks.check("transfer.after_detach", VIRTIO, CONTROLQ, MUST)
def after_detach(bench: Bench) -> None:
    """Detaching the backing keeps the pixels, and another backing may be attached."""
    machine, backing = fresh(bench)
    pixels = noise(WIDTH, HEIGHT)
    backing.write(0, pixels)
    machine.driver.transfer(1, FULL, 0)
    machine.driver.detach_backing(1)
    flushed(machine, pixels)
    other = machine.vmm.ram.contiguous(len(pixels))
    other.write(0, second := noise(WIDTH, HEIGHT, 2))
    machine.driver.attach_backing(1, other)
    machine.driver.transfer(1, FULL, 0)
    flushed(machine, second)


@checks.check("transfer.id_reused", VIRTIO, CONTROLQ, MUST)
def id_reused(bench: Bench) -> None:
    """A resource id may be used again after UNREF, for a resource of another size."""
    machine, _ = fresh(bench)
    machine.driver.set_scanout(0, 0, Rect())
    machine.driver.unref(1)
    pixels = machine.show(40, 10, seed=3)
    machine.sees(40, 10, pixels)


@checks.check("transfer.large_id", VIRTIO, CONTROLQ, MUST)
def large_id(bench: Bench) -> None:
    """Resource ids are any number but 0: 0xffffffff is one."""
    machine = bench.machine()
    machine.sees(16, 16, machine.show(16, 16, resource_id=0xFFFF_FFFF))


@checks.check("transfer.many", VIRTIO, CONTROLQ, ROBUSTNESS)
def many(bench: Bench) -> None:
    """Two hundred resources at once are no problem, and each has its own pixels."""
    machine = bench.machine()
    for resource_id in range(1, 201):
        machine.driver.create_2d(resource_id, Format.B8G8R8X8, 8, 8)
    pixels = machine.vmm.ram.contiguous(256)
    pixels.write(0, data := noise(8, 8))
    machine.driver.attach_backing(150, pixels)
    machine.driver.transfer(150, Rect(0, 0, 8, 8), 0)
    machine.driver.set_scanout(0, 150, Rect(0, 0, 8, 8))
    machine.driver.flush(150, Rect(0, 0, 8, 8))
    machine.sees(8, 8, data)
    expect(machine.watch.since(0), "messages", "none")
