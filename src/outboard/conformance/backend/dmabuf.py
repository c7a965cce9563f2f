"""GPU socket: pictures as shared buffers, for back-ends that show them so.

Source: QEMU docs/interop/vhost-user-gpu, VHOST_USER_GPU_DMABUF_SCANOUT, VHOST_USER_GPU_DMABUF_UPDATE.

Not looked at: the pixels in the buffers.
"""

from outboard.conformance.backend.bench import Bench
from outboard.conformance.backend.machine import Machine
from outboard.conformance.backend.watch import DMABUFS, Sent
from outboard.conformance.check import MUST, ROBUSTNESS, SHOULD, VHOST_USER_GPU, Checks, NotApplicable, expect
from outboard.spec.vhost_user_gpu import DmabufScanout, ProtocolFeature, Req, Update
from outboard.spec.virtio_gpu import Rect, ResourceFlush

checks = Checks()
SCANOUT = "VHOST_USER_GPU_DMABUF_SCANOUT"
SCANOUT2 = "VHOST_USER_GPU_DMABUF_SCANOUT2"
UPDATE = "VHOST_USER_GPU_DMABUF_UPDATE"
WIDTH, HEIGHT = 64, 48
FULL = Rect(0, 0, WIDTH, HEIGHT)


def sharing(bench: Bench, features: int = ProtocolFeature.EDID | ProtocolFeature.DMABUF2) -> Machine:
    """Return a machine that shows a picture as a shared buffer. Raises NotApplicable when pixels are sent."""
    machine = bench.machine(display_features=features)
    machine.show(WIDTH, HEIGHT)
    machine.settle()
    if not machine.watch.since(0, *DMABUFS):
        raise NotApplicable("the back-end sends pixels, no shared buffers")
    return machine


def scanout(sent: Sent) -> DmabufScanout:
    """Return what a DMABUF_SCANOUT or DMABUF_SCANOUT2 says."""
    return DmabufScanout.unpack_from(sent.payload)


@checks.check("gpu.dmabuf.fd", VHOST_USER_GPU, SCANOUT, MUST)
def fd(bench: Bench) -> None:
    """DMABUF_SCANOUT that enables an output comes with one descriptor."""
    sent = sharing(bench).watch.since(0, *DMABUFS)[-1]
    expect(sent.fds == 1, "one descriptor", sent.fds)


@checks.check("gpu.dmabuf.size", VHOST_USER_GPU, SCANOUT, MUST)
def size(bench: Bench) -> None:
    """DMABUF_SCANOUT says the visible rectangle's size, and the buffer's, which is at least as large."""
    got = scanout(sharing(bench).watch.since(0, *DMABUFS)[-1])
    expect((got.width, got.height) == (WIDTH, HEIGHT), f"a rectangle of {WIDTH}x{HEIGHT}", got)
    expect(got.fd_width >= got.x + got.width and got.fd_height >= got.y + got.height, "a buffer that holds it", got)
    expect(got.fd_stride >= 4 * got.fd_width, "a stride of 4 bytes a pixel at least", got)


@checks.check("gpu.dmabuf.disable", VHOST_USER_GPU, SCANOUT, MUST)
def disable(bench: Bench) -> None:
    """An output is disabled by DMABUF_SCANOUT without a descriptor and of 0x0, or by SCANOUT of 0x0."""
    machine = sharing(bench)
    mark = len(machine.watch.sent)
    machine.driver.set_scanout(0, 0, Rect())
    machine.settle()
    sent = machine.watch.since(mark, *DMABUFS, Req.SCANOUT)
    expect(sent, "a message that disables output 0", "none")
    if sent[-1].request == Req.SCANOUT:
        half = sent[-1].scanout()
        expect(not half.width and not half.height, "SCANOUT of 0x0", half)
    else:
        got = scanout(sent[-1])
        expect(not sent[-1].fds and not got.width and not got.height, "no descriptor, 0x0", got)


@checks.check("gpu.dmabuf.modifier", VHOST_USER_GPU, SCANOUT2, MUST)
def modifier(bench: Bench) -> None:
    """DMABUF_SCANOUT2 is not sent to a display that does not offer DMABUF2."""
    machine = sharing(bench, ProtocolFeature.EDID)
    expect(not machine.watch.since(0, Req.DMABUF_SCANOUT2), "DMABUF_SCANOUT", "DMABUF_SCANOUT2")


@checks.check("gpu.dmabuf.update", VHOST_USER_GPU, UPDATE, MUST)
def update(bench: Bench) -> None:
    """A flush is followed by DMABUF_UPDATE of 20 bytes, without pixels, inside the scanout."""
    machine = sharing(bench)
    mark = len(machine.watch.sent)
    machine.driver.flush(1, Rect(8, 8, 16, 16))
    sent = machine.message(Req.DMABUF_UPDATE, mark)
    expect(len(sent.payload) == Update.sizeof, "20 bytes", len(sent.payload))
    got = sent.update()
    expect(got.x + got.width <= WIDTH and got.y + got.height <= HEIGHT, f"a part of {WIDTH}x{HEIGHT}", got)


@checks.check("gpu.dmabuf.update_rectangle", VHOST_USER_GPU, UPDATE, SHOULD)
def update_rectangle(bench: Bench) -> None:
    """DMABUF_UPDATE names the rectangle that was flushed, so that the display needs not draw everything anew."""
    machine = sharing(bench)
    mark = len(machine.watch.sent)
    machine.driver.flush(1, Rect(8, 8, 16, 16))
    got = machine.message(Req.DMABUF_UPDATE, mark).update()
    expect((got.x, got.y, got.width, got.height) == (8, 8, 16, 16), "16x16 at 8,8", got)


@checks.check("gpu.dmabuf.waits", VHOST_USER_GPU, UPDATE, MUST)
def waits(bench: Bench) -> None:
    """A second DMABUF_UPDATE is not sent before the display has answered the first one, which is the flow control."""
    machine = sharing(bench)
    mark = len(machine.watch.sent)
    del machine.watch.answers[Req.DMABUF_UPDATE]
    for _ in range(3):
        machine.put(ResourceFlush(r=FULL, resource_id=1))
    machine.message(Req.DMABUF_UPDATE, mark)
    for _ in range(2):
        machine.vmm.read_config()
    machine.watch.step()
    got = len(machine.watch.since(mark, Req.DMABUF_UPDATE))
    expect(got == 1, "one DMABUF_UPDATE that waits", got)


@checks.check("gpu.dmabuf.eof", VHOST_USER_GPU, UPDATE, ROBUSTNESS)
def eof(bench: Bench) -> None:
    """When the display goes away while DMABUF_UPDATE waits for it, the flush is completed."""
    machine = sharing(bench)
    mark = len(machine.watch.sent)
    del machine.watch.answers[Req.DMABUF_UPDATE]
    machine.put(ResourceFlush(r=FULL, resource_id=1))
    machine.message(Req.DMABUF_UPDATE, mark)
    machine.watch.detach()
    machine.until(lambda: machine.vmm.rings[0].queue.ready, "the flush, completed")
