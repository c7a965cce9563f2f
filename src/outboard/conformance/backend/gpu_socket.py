"""GPU socket: negotiation, and the form of messages.

Source: QEMU docs/interop/vhost-user-gpu, "Wire format".
"""

from outboard.conformance.backend.bench import Bench
from outboard.conformance.backend.machine import Machine
from outboard.conformance.backend.watch import FEATURES, Sent, reply
from outboard.conformance.check import MUST, SHOULD, VHOST_USER_GPU, Checks, NotApplicable, expect
from outboard.spec.vhost_user import F_PROTOCOL_FEATURES
from outboard.spec.vhost_user_gpu import REQUESTS, U64, ProtocolFeature, Req, Update
from outboard.spec.virtio import Feature
from outboard.spec.virtio_gpu import BYTES_PER_PIXEL, Cmd, CtrlHdr, GetEdid, Rect
from outboard.spec.virtio_gpu import Feature as GpuFeature

checks = Checks()
WIRE = "Wire format"
FULL_SPECTRUM = ((800, 600), (0, 0), (640, 480))
PLAIN = F_PROTOCOL_FEATURES | Feature.VERSION_1
"""Features without EDID, which a back-end may not be able to serve without the display's."""
DISPLAY_INFO = CtrlHdr(Cmd.GET_DISPLAY_INFO)


def everything(bench: Bench) -> list[Sent]:
    """Have every kind of message sent that a 2D device knows, UPDATE in many sizes; return them."""
    machine = bench.machine(modes=FULL_SPECTRUM)
    machine.show(64, 64)
    driver = machine.driver
    for side in range(1, 64):
        driver.flush(1, Rect(64 - side, side, side, 64 - side))
    driver.update_cursor(0, 1, 10, 20, 1, 2)
    driver.move_cursor(0, 1, 30, 40)
    driver.move_cursor(0, 0, 30, 40)
    if machine.vmm.session.features & GpuFeature.EDID:
        driver.get_edid(0)
    driver.set_scanout(0, 0, Rect())
    machine.settle()
    return machine.watch.sent


# Negotiation


@checks.check("gpu.features.first", VHOST_USER_GPU, "VHOST_USER_GPU_GET_PROTOCOL_FEATURES", SHOULD)
def features_first(bench: Bench) -> None:
    """The first message on a GPU socket is GET_PROTOCOL_FEATURES."""
    machine = bench.machine()
    machine.show()
    machine.wait(lambda: machine.watch.sent, "a message")
    got = machine.watch.sent[0]
    expect(got.request == Req.GET_PROTOCOL_FEATURES, "GET_PROTOCOL_FEATURES", got.name)


@checks.check("gpu.features.set", VHOST_USER_GPU, "VHOST_USER_GPU_SET_PROTOCOL_FEATURES", SHOULD)
def features_set(bench: Bench) -> None:
    """GET_PROTOCOL_FEATURES is followed by SET_PROTOCOL_FEATURES, before anything else."""
    machine = bench.machine()
    machine.show()
    machine.wait(lambda: len(machine.watch.sent) > 1, "a second message")
    got = machine.watch.sent[1]
    expect(got.request == Req.SET_PROTOCOL_FEATURES, "SET_PROTOCOL_FEATURES", got.name)


def agreed(machine: Machine) -> int:
    """Return the mask of SET_PROTOCOL_FEATURES. Raises NotApplicable when there is none."""
    machine.settle()
    masks = [U64.unpack(one.payload).value for one in machine.watch.since(0, Req.SET_PROTOCOL_FEATURES)]
    if not masks:
        raise NotApplicable("the back-end does not negotiate on the GPU socket")
    return masks[-1]


def _subset(mask: int) -> None:
    def run(bench: Bench) -> None:
        machine = bench.machine(display_features=mask, features=PLAIN)
        got = agreed(machine)
        expect(not got & ~mask, f"a part of the mask {mask:#x}", f"{got:#x}")

    says = f"SET_PROTOCOL_FEATURES sets nothing but what the reply offered, which was the mask {mask:#x}."
    checks.add(f"gpu.features.mask_{mask}", VHOST_USER_GPU, "VHOST_USER_GPU_SET_PROTOCOL_FEATURES", MUST, says, run)


for _mask in (0, 1, 2):
    _subset(_mask)


@checks.check("gpu.features.unknown", VHOST_USER_GPU, "VHOST_USER_GPU_SET_PROTOCOL_FEATURES", MUST)
def features_unknown(bench: Bench) -> None:
    """Protocol features that no document names are not set, although the reply offers them."""
    machine = bench.machine(display_features=0xFFFF_FFFF_FFFF_FFFF)
    got = agreed(machine)
    expect(not got & ~3, "bits 0 and 1 at most", f"{got:#x}")


@checks.check("gpu.features.before_commands", VHOST_USER_GPU, "Communication", SHOULD)
def features_before_commands(bench: Bench) -> None:
    """No picture is sent before the reply to GET_PROTOCOL_FEATURES has come."""
    machine = bench.machine(start=False)
    del machine.watch.answers[Req.GET_PROTOCOL_FEATURES]
    machine.start()
    machine.put(DISPLAY_INFO)
    machine.wait(lambda: machine.watch.sent, "a message")
    if machine.watch.sent[0].request != Req.GET_PROTOCOL_FEATURES:
        raise NotApplicable("the back-end does not negotiate on the GPU socket")
    for _ in range(2):
        machine.vmm.read_config()
    machine.watch.step()
    got = [one.name for one in machine.watch.sent[1:]]
    expect(not got, "nothing behind the question that waits", ", ".join(got))
    machine.watch.say([reply(Req.GET_PROTOCOL_FEATURES, U64(FEATURES).pack())])
    machine.used()


@checks.check("gpu.edid.not_offered", VHOST_USER_GPU, "VHOST_USER_GPU_GET_EDID", MUST)
def edid_not_offered(bench: Bench) -> None:
    """GET_EDID is not sent to a display that does not offer EDID, and the guest is answered all the same."""
    machine = with_edid(bench, ProtocolFeature.DMABUF2)
    code = machine.code(GetEdid(scanout=0))
    machine.settle()
    expect(not machine.watch.since(0, Req.GET_EDID), "no GET_EDID at the display", "GET_EDID")
    expect(code, "an answer to the guest", "none")


def with_edid(bench: Bench, features: int = ProtocolFeature.EDID) -> Machine:
    """Return a machine whose back-end offers EDID to the guest. Raises NotApplicable."""
    machine = bench.machine(start=False, display_features=features)
    if not machine.vmm.session.features_offered & GpuFeature.EDID:
        raise NotApplicable("the back-end does not offer EDID")
    machine.start()
    return machine


# Form


@checks.check("gpu.request.flags", VHOST_USER_GPU, WIRE, SHOULD)
def request_flags(bench: Bench) -> None:
    """The flags of a request are 0."""
    for sent in everything(bench):
        expect(sent.flags == 0, f"flags 0 in {sent.name}", f"{sent.flags:#x}")


@checks.check("gpu.request.ids", VHOST_USER_GPU, WIRE, MUST)
def request_ids(bench: Bench) -> None:
    """Only requests that the document lists are sent."""
    for sent in everything(bench):
        expect(sent.request in REQUESTS, "a request from 1 to 12", sent.request)


@checks.check("gpu.request.sizes", VHOST_USER_GPU, WIRE, MUST)
def request_sizes(bench: Bench) -> None:
    """Every message has exactly the payload that its request asks for."""
    for sent in everything(bench):
        if sent.request in REQUESTS and sent.request != Req.UPDATE:
            layout = REQUESTS[Req(sent.request)].payload
            size = layout.sizeof if layout else 0
            expect(len(sent.payload) == size, f"{size} bytes in {sent.name}", len(sent.payload))


@checks.check("gpu.request.update_size", VHOST_USER_GPU, "VHOST_USER_GPU_UPDATE", MUST)
def request_update_size(bench: Bench) -> None:
    """UPDATE carries 20 bytes and then 4 * width * height bytes of pixels, without padding."""
    machine = bench.machine()
    machine.show(30, 7)
    machine.settle()
    expect(machine.watch.updates(), "an UPDATE", "none")
    for sent in machine.watch.since(0, Req.UPDATE):
        size = Update.sizeof + BYTES_PER_PIXEL * sent.update().width * sent.update().height
        expect(len(sent.payload) == size, f"{size} bytes in {sent.update()}", len(sent.payload))


@checks.check("gpu.request.fds", VHOST_USER_GPU, "Communication", MUST)
def request_fds(bench: Bench) -> None:
    """File descriptors come with DMABUF_SCANOUT only."""
    for sent in everything(bench):
        if sent.request not in (Req.DMABUF_SCANOUT, Req.DMABUF_SCANOUT2):
            expect(not sent.fds, f"no descriptor with {sent.name}", sent.fds)
