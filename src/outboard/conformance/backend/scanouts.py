"""Scanouts: how an output is enabled, changed and disabled.

Source: QEMU docs/interop/vhost-user-gpu, VHOST_USER_GPU_SCANOUT; VIRTIO-1.2 5.7.6.8.
"""

from collections.abc import Iterable

from outboard.conformance.backend.bench import Bench
from outboard.conformance.backend.machine import Machine
from outboard.conformance.backend.watch import Sent
from outboard.conformance.check import MUST, SHOULD, VHOST_USER_GPU, VIRTIO, Checks, expect
from outboard.spec.vhost_user_gpu import Req, Scanout
from outboard.spec.virtio_gpu import Rect, ResourceUnref, SetScanout

checks = Checks()
UPDATE = "VHOST_USER_GPU_UPDATE"
SCANOUT = "VHOST_USER_GPU_SCANOUT"
WIDTH, HEIGHT = 64, 48
FULL = Rect(0, 0, WIDTH, HEIGHT)
PART = Rect(32, 16, 24, 20)
"""A scanout that does not begin at its framebuffer's origin."""
ERROR = 0x1200


def live(sent: Iterable[Sent]) -> list[str]:
    """Return what is wrong with the UPDATEs among messages: those of no live scanout, and those beyond its edges."""
    sizes: dict[int, tuple[int, int]] = {}
    wrong = []
    for one in sent:
        if one.request == Req.SCANOUT:
            scanout = one.scanout()
            sizes[scanout.scanout_id] = scanout.width, scanout.height
        elif one.request == Req.UPDATE:
            update = one.update()
            width, height = sizes.get(update.scanout_id, (0, 0))
            if update.x + update.width > width or update.y + update.height > height:
                wrong.append(f"{update} on a scanout of {width}x{height}")
    return wrong


def bound(bench: Bench, rect: Rect = FULL) -> tuple[Machine, bytes]:
    """Return a machine that shows a part of its picture on output 0, and the picture; everything has come."""
    machine = bench.machine()
    pixels = machine.create(WIDTH, HEIGHT)
    machine.driver.set_scanout(0, 1, rect)
    machine.settle()
    return machine, pixels


@checks.check("picture.scanout.sent", VHOST_USER_GPU, SCANOUT, MUST)
def scanout_sent(bench: Bench) -> None:
    """SET_SCANOUT is followed by SCANOUT with the size of the scanout's rectangle, not of framebuffer or display."""
    machine = bench.machine(modes=((1280, 800),))
    machine.show(WIDTH, HEIGHT)
    machine.driver.set_scanout(0, 1, PART)
    machine.driver.flush(1, FULL)
    machine.settle()
    got = machine.watch.scanouts()[-1:]
    expect(got == [Scanout(0, PART.width, PART.height)], "SCANOUT 0 of 24x20", got or "no SCANOUT")


@checks.check("picture.scanout.before_update", VHOST_USER_GPU, UPDATE, MUST)
def scanout_before_update(bench: Bench) -> None:
    """UPDATE comes only inside a scanout that SCANOUT has enabled: anything else crashes QEMU."""
    machine = bench.machine()
    machine.create(WIDTH, HEIGHT)
    machine.driver.flush(1, FULL)
    machine.driver.set_scanout(0, 1, FULL)
    machine.driver.flush(1, FULL)
    machine.driver.set_scanout(0, 0, Rect())
    machine.driver.flush(1, FULL)
    machine.settle()
    expect(not live(machine.watch.sent), "no UPDATE but inside a live scanout", live(machine.watch.sent))


@checks.check("picture.scanout.full_update", VHOST_USER_GPU, SCANOUT, SHOULD)
def scanout_full_update(bench: Bench) -> None:
    """What a resource holds is shown when it is put on an output, before the guest flushes: SCANOUT begins black."""
    machine, pixels = bound(bench)
    machine.sees(WIDTH, HEIGHT, pixels)


@checks.check("picture.scanout.partial_flush", VHOST_USER_GPU, SCANOUT, SHOULD)
def scanout_partial_flush(bench: Bench) -> None:
    """A first flush of a part of the framebuffer leaves no black around that part."""
    machine, pixels = bound(bench)
    machine.driver.flush(1, Rect(8, 8, 8, 8))
    machine.sees(WIDTH, HEIGHT, pixels)


@checks.check("picture.scanout.unchanged", VHOST_USER_GPU, SCANOUT, SHOULD)
def scanout_unchanged(bench: Bench) -> None:
    """SET_SCANOUT with nothing changed, which guests repeat all the time, does not turn the screen black."""
    machine, pixels = bound(bench)
    machine.driver.flush(1, FULL)
    machine.driver.set_scanout(0, 1, FULL)
    machine.settle()
    machine.sees(WIDTH, HEIGHT, pixels)


@checks.check("picture.scanout.flip", VHOST_USER_GPU, SCANOUT, MUST)
def scanout_flip(bench: Bench) -> None:
    """A page flip to another resource and a flush show the other picture."""
    machine = bench.machine()
    machine.show(WIDTH, HEIGHT)
    pixels = machine.show(WIDTH, HEIGHT, resource_id=2, seed=2)
    machine.sees(WIDTH, HEIGHT, pixels)


@checks.check("picture.disable.zero", VHOST_USER_GPU, SCANOUT, MUST)
def disable_zero(bench: Bench) -> None:
    """SET_SCANOUT with resource 0 is followed by SCANOUT with width and height both 0, and no UPDATE after that."""
    machine, _ = bound(bench)
    mark = len(machine.watch.sent)
    machine.driver.set_scanout(0, 0, FULL)  # as Linux does, with a rectangle
    machine.driver.flush(1, FULL)
    machine.settle()
    sent = machine.watch.scanouts(mark)
    expect(sent == [Scanout(0, 0, 0)], "one SCANOUT 0 of 0x0", sent or "no SCANOUT")
    expect(not machine.watch.since(mark, Req.UPDATE), "no UPDATE", "UPDATE")


@checks.check("picture.disable.empty_rect", VIRTIO, "5.7.6.8", SHOULD)
def disable_empty_rect(bench: Bench) -> None:
    """SET_SCANOUT of an empty rectangle never makes a SCANOUT of which one side is 0: newer QEMUs abort then."""
    machine, _ = bound(bench)
    mark = len(machine.watch.sent)
    for rect in (Rect(0, 0, 16, 0), Rect(0, 0, 0, 16), Rect(0, 0, 0, 0)):
        machine.code(SetScanout(r=rect, scanout_id=0, resource_id=1))
        machine.settle()
        for half in machine.watch.scanouts(mark):
            expect(bool(half.width) == bool(half.height), "both sides 0 or neither", half)


@checks.check("picture.disable.unref", VIRTIO, "5.7.6.8", MUST)
def disable_unref(bench: Bench) -> None:
    """Destroying a resource that is shown disables its output, and nothing of it is sent afterwards."""
    machine, _ = bound(bench)
    mark = len(machine.watch.sent)
    if machine.code(ResourceUnref(resource_id=1)) >= ERROR:
        return  # refused: the resource is there still
    machine.settle()
    sent = machine.watch.scanouts(mark)
    expect(sent and not sent[-1].width and not sent[-1].height, "SCANOUT 0 of 0x0", sent or "no SCANOUT")


@checks.check("picture.disable.never_used", VHOST_USER_GPU, SCANOUT, SHOULD)
def disable_never_used(bench: Bench) -> None:
    """Disabling an output that never showed anything sends no UPDATE, and breaks nothing."""
    machine = bench.machine()
    machine.driver.set_scanout(0, 0, FULL)
    machine.settle()
    expect(not machine.watch.since(0, Req.UPDATE), "no UPDATE", "UPDATE")


@checks.check("picture.outputs.mirror_flush", VIRTIO, "5.7.6.8", MUST)
def outputs_mirror_flush(bench: Bench) -> None:
    """One resource on two outputs that both show it already: what is flushed later reaches both."""
    machine = bench.machine(modes=((64, 48), (64, 48)))
    pixels = bytearray(machine.create())
    full = Rect(0, 0, 64, 48)
    for scanout_id in (0, 1):
        machine.driver.set_scanout(scanout_id, 1, full)
    machine.driver.flush(1, full)
    for scanout_id in (0, 1):
        machine.sees(64, 48, bytes(pixels), scanout_id)
    machine.driver.detach_backing(1)
    pixels[:] = pixels[::-1]
    backing = machine.vmm.ram.contiguous(len(pixels))
    backing.write(0, pixels)
    machine.driver.attach_backing(1, backing)
    machine.driver.transfer(1, full, 0)
    machine.driver.flush(1, full)
    for scanout_id in (0, 1):
        machine.sees(64, 48, bytes(pixels), scanout_id)
