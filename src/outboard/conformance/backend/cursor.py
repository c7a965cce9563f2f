"""The cursor: its image, its place, and how it is hidden.

Source: QEMU docs/interop/vhost-user-gpu, VHOST_USER_GPU_CURSOR_UPDATE; VIRTIO-1.2 5.7.6.10.
"""

from outboard.conformance.backend.bench import Bench
from outboard.conformance.backend.machine import Machine, noise
from outboard.conformance.backend.watch import Sent
from outboard.conformance.check import MUST, ROBUSTNESS, SHOULD, VHOST_USER_GPU, VIRTIO, Checks, expect
from outboard.spec.vhost_user_gpu import CursorPos, CursorUpdate, Req
from outboard.spec.virtio_gpu import CURSOR_SIZE, Format, Rect, Resp

checks = Checks()
CURSOR_UPDATE = "VHOST_USER_GPU_CURSOR_UPDATE"
CURSOR_POS = "VHOST_USER_GPU_CURSOR_POS"
HIDE = "VHOST_USER_GPU_CURSOR_POS_HIDE"
CURSORQ = "5.7.6.10"
SIDE = CURSOR_SIZE
MESSAGES = (Req.CURSOR_UPDATE, Req.CURSOR_POS, Req.CURSOR_POS_HIDE)


def with_image(bench: Bench, fmt: Format = Format.B8G8R8A8) -> tuple[Machine, bytes]:
    """Return a machine that has a cursor image as resource 1, and the image."""
    machine = bench.machine()
    machine.show(64, 64, resource_id=2)
    return machine, machine.create(SIDE, SIDE, fmt=fmt, seed=7)


def last(machine: Machine, mark: int = 0) -> Sent:
    """Wait until everything has come; return the last cursor message. Raises Failed without one."""
    machine.settle()
    machine.wait(lambda: machine.watch.since(mark, *MESSAGES), "a cursor message")
    return machine.watch.since(mark, *MESSAGES)[-1]


def update(sent: Sent) -> CursorUpdate:
    """Return a CURSOR_UPDATE. Raises Failed when it is something else."""
    expect(sent.request == Req.CURSOR_UPDATE, "CURSOR_UPDATE", sent.name)
    return CursorUpdate.unpack(sent.payload)


def _image(fmt: Format) -> None:
    def run(bench: Bench) -> None:
        machine, pixels = with_image(bench, fmt)
        machine.driver.update_cursor(0, 1, 5, 6)
        got = update(last(machine)).data
        expect(got == pixels, f"the image as the guest wrote it, {pixels[:8].hex()}...", f"{got[:8].hex()}...")

    says = f"A cursor image of {fmt.name} is sent as it is, the alpha byte of each pixel too: Linux uses either format."
    checks.add(f"cursor.update.{fmt.name.lower()}", VHOST_USER_GPU, CURSOR_UPDATE, MUST, says, run)


for _fmt in (Format.B8G8R8A8, Format.B8G8R8X8):
    _image(_fmt)


@checks.check("cursor.update.fields", VHOST_USER_GPU, CURSOR_UPDATE, MUST)
def update_fields(bench: Bench) -> None:
    """CURSOR_UPDATE carries scanout, position and hot spot as the guest gave them."""
    machine, _ = with_image(bench)
    machine.driver.update_cursor(0, 1, 100, 50, 3, 4)
    got = update(last(machine))
    expect(got.pos == CursorPos(0, 100, 50), "scanout 0, 100,50", got.pos)
    expect((got.hot_x, got.hot_y) == (3, 4), "hot spot 3,4", f"{got.hot_x},{got.hot_y}")


@checks.check("cursor.update.snapshot", VIRTIO, CURSORQ, MUST)
def update_snapshot(bench: Bench) -> None:
    """The image is taken when UPDATE_CURSOR is executed: a later transfer into the resource does not change it."""
    machine, pixels = with_image(bench)
    machine.driver.update_cursor(0, 1, 5, 6)
    mark = machine.settle()
    machine.driver.detach_backing(1)
    backing = machine.vmm.ram.contiguous(len(pixels))
    backing.write(0, noise(SIDE, SIDE, 8))
    machine.driver.attach_backing(1, backing)
    machine.driver.transfer(1, Rect(0, 0, SIDE, SIDE), 0)
    machine.driver.flush(1, Rect(0, 0, SIDE, SIDE))
    machine.settle()
    got = [one.name for one in machine.watch.since(mark, *MESSAGES)]
    expect(not got, "no cursor message for a transfer or a flush", got)


@checks.check("cursor.update.unref", VIRTIO, CURSORQ, ROBUSTNESS)
def update_unref(bench: Bench) -> None:
    """A cursor whose resource is destroyed can still be moved."""
    machine, _ = with_image(bench)
    machine.driver.update_cursor(0, 1, 5, 6)
    machine.driver.unref(1)
    mark = machine.settle()
    machine.driver.move_cursor(0, 1, 7, 8)
    got = CursorPos.unpack(last(machine, mark).payload)
    expect((got.x, got.y) == (7, 8), "the cursor at 7,8", got)


@checks.check("cursor.update.resource_0", VIRTIO, CURSORQ, MUST)
def update_resource_0(bench: Bench) -> None:
    """UPDATE_CURSOR with resource 0, as Linux sends it, hides the cursor by CURSOR_POS_HIDE, not by an empty image."""
    machine, _ = with_image(bench)
    machine.driver.update_cursor(0, 1, 5, 6)
    mark = machine.settle()
    machine.driver.update_cursor(0, 0, 0, 0)
    got = last(machine, mark)
    expect(got.request == Req.CURSOR_POS_HIDE, "CURSOR_POS_HIDE", got.name)


@checks.check("cursor.update.unknown_resource", VIRTIO, CURSORQ, ROBUSTNESS)
def update_unknown_resource(bench: Bench) -> None:
    """UPDATE_CURSOR with a resource that does not exist does no harm, and the cursor works afterwards."""
    machine, pixels = with_image(bench)
    machine.driver.update_cursor(0, 99, 5, 6)
    mark = machine.settle()
    machine.driver.update_cursor(0, 1, 5, 6)
    expect(update(last(machine, mark)).data == pixels, "the image of resource 1", "another one")


@checks.check("cursor.update.small_resource", VIRTIO, CURSORQ, ROBUSTNESS)
def update_small_resource(bench: Bench) -> None:
    """UPDATE_CURSOR with a resource of 16x16 reads nothing behind it: what is sent holds its pixels or nothing."""
    machine, _ = with_image(bench)
    small = machine.create(16, 16, resource_id=3, seed=3)
    machine.driver.update_cursor(0, 3, 5, 6)
    machine.settle()
    for sent in machine.watch.since(0, Req.CURSOR_UPDATE):
        data = CursorUpdate.unpack(sent.payload).data
        strange = [data[at : at + 4] for at in range(0, len(data), 4) if data[at : at + 4] not in small]
        expect(not any(any(one) for one in strange), "pixels of the resource, or 0", strange[:1])
    machine.works()


@checks.check("cursor.update.scanout_id", VIRTIO, CURSORQ, ROBUSTNESS)
def update_scanout_id(bench: Bench) -> None:
    """A cursor command for output 99 sends nothing for such an output, and does no harm."""
    machine, _ = with_image(bench)
    machine.driver.update_cursor(99, 1, 5, 6)
    machine.driver.move_cursor(99, 1, 5, 6)
    machine.settle()
    got = [one for one in machine.watch.since(0, *MESSAGES) if CursorPos.unpack_from(one.payload).scanout_id > 15]
    expect(not got, "no cursor message for output 99", [one.name for one in got])
    machine.works()


@checks.check("cursor.move.position", VHOST_USER_GPU, CURSOR_POS, MUST)
def move_position(bench: Bench) -> None:
    """MOVE_CURSOR is followed by CURSOR_POS with scanout and position, and no image."""
    machine, _ = with_image(bench)
    machine.driver.update_cursor(0, 1, 5, 6)
    mark = machine.settle()
    machine.driver.move_cursor(0, 1, 70, 80)
    got = last(machine, mark)
    expect(got.request == Req.CURSOR_POS, "CURSOR_POS", got.name)
    expect(CursorPos.unpack(got.payload) == CursorPos(0, 70, 80), "scanout 0, 70,80", CursorPos.unpack(got.payload))


@checks.check("cursor.move.negative", VHOST_USER_GPU, CURSOR_POS, MUST)
def move_negative(bench: Bench) -> None:
    """Positions left of and above the output, which Linux sends as wrapped numbers, are passed on as they are."""
    machine, _ = with_image(bench)
    machine.driver.update_cursor(0, 1, -3, -4)
    first = update(last(machine)).pos
    expect((first.x, first.y) == (0xFFFF_FFFD, 0xFFFF_FFFC), "-3,-4 in 32 bits", f"{first.x:#x},{first.y:#x}")
    machine.driver.move_cursor(0, 1, -10, -1)
    got = CursorPos.unpack(last(machine).payload)
    expect((got.x, got.y) == (0xFFFF_FFF6, 0xFFFF_FFFF), "-10,-1 in 32 bits", f"{got.x:#x},{got.y:#x}")


@checks.check("cursor.move.resource_0", VHOST_USER_GPU, HIDE, SHOULD)
def move_resource_0(bench: Bench) -> None:
    """MOVE_CURSOR with resource 0 hides the cursor, by CURSOR_POS_HIDE: some drivers hide it so."""
    machine, _ = with_image(bench)
    machine.driver.update_cursor(0, 1, 5, 6)
    mark = machine.settle()
    machine.driver.move_cursor(0, 0, 5, 6)
    got = last(machine, mark)
    expect(got.request == Req.CURSOR_POS_HIDE, "CURSOR_POS_HIDE", got.name)


@checks.check("cursor.move.shown_again", VHOST_USER_GPU, CURSOR_POS, MUST)
def move_shown_again(bench: Bench) -> None:
    """After it was hidden, the cursor is shown again by MOVE_CURSOR, with CURSOR_POS."""
    machine, _ = with_image(bench)
    machine.driver.update_cursor(0, 1, 5, 6)
    machine.driver.move_cursor(0, 0, 5, 6)
    mark = machine.settle()
    machine.driver.move_cursor(0, 1, 9, 9)
    got = last(machine, mark)
    expect(got.request == Req.CURSOR_POS, "CURSOR_POS", got.name)


@checks.check("cursor.output", VHOST_USER_GPU, CURSOR_UPDATE, MUST)
def output(bench: Bench) -> None:
    """A cursor of output 1 is sent for output 1."""
    machine = bench.machine(modes=((640, 480), (640, 480)))
    machine.show(64, 64, resource_id=2, scanout_id=1)
    machine.create(SIDE, SIDE)
    machine.driver.update_cursor(1, 1, 5, 6)
    got = update(last(machine)).pos.scanout_id
    expect(got == 1, "scanout 1", got)


@checks.check("cursor.response.none", VIRTIO, CURSORQ, MUST)
def response_none(bench: Bench) -> None:
    """A cursor command without room for a response, as Linux sends it, is executed and returned with length 0."""
    machine, _ = with_image(bench)
    answer = machine.driver.update_cursor(0, 1, 5, 6, room=0)
    expect(not answer.data, "0 bytes written", len(answer.data))
    last(machine)


@checks.check("cursor.response.ok", VIRTIO, CURSORQ, SHOULD)
def response_ok(bench: Bench) -> None:
    """A cursor command with room for a response is answered by OK_NODATA."""
    machine, _ = with_image(bench)
    answer = machine.driver.update_cursor(0, 1, 5, 6, room=24)
    got = f"{answer.type:#x}, {len(answer.data)} bytes"
    expect((answer.type, len(answer.data)) == (Resp.OK_NODATA, 24), "OK_NODATA in 24 bytes", got)
