"""GPU socket: a new one, none, one that is full, and one whose other end goes away.

Source: QEMU docs/interop/vhost-user-gpu; docs/interop/vhost-user, VHOST_USER_GPU_SET_SOCKET.
"""

import socket
import struct

from outboard.conformance.backend.bench import Bench
from outboard.conformance.check import MUST, ROBUSTNESS, SHOULD, VHOST_USER_GPU, Checks, expect
from outboard.spec.vhost_user import Req as ControlReq
from outboard.spec.vhost_user_gpu import Req
from outboard.spec.virtio_gpu import Cmd, CtrlHdr, Rect, ResourceFlush

checks = Checks()
SET_SOCKET = "VHOST_USER_GPU_SET_SOCKET"
BIG = (1024, 768)
"""A frame that no socket buffer holds."""
DISPLAY_INFO = CtrlHdr(Cmd.GET_DISPLAY_INFO)


@checks.check("gpu.socket.replaced", VHOST_USER_GPU, SET_SOCKET, MUST)
def socket_replaced(bench: Bench) -> None:
    """A second GPU_SET_SOCKET replaces the first: negotiation, scanout and picture come on the new one."""
    machine = bench.machine()
    machine.show(32, 32)
    machine.settle()
    machine.hand_over()
    mark = len(machine.watch.sent)
    machine.driver.flush(1, Rect(0, 0, 32, 32))
    wanted = ("GET_PROTOCOL_FEATURES", "SCANOUT", "UPDATE")
    machine.wait(
        lambda: {one.name.removeprefix("DMABUF_") for one in machine.watch.since(mark)}.issuperset(wanted),
        f"{', '.join(wanted)} on the new socket",
    )


@checks.check("gpu.socket.resumed_picture", VHOST_USER_GPU, SET_SOCKET, SHOULD)
def socket_resumed_picture(bench: Bench) -> None:
    """A new display is shown what is there, without waiting for the guest to draw."""
    machine = bench.machine()
    pixels = machine.show(32, 32)
    machine.sees(32, 32, pixels)
    machine.hand_over()
    machine.watch.sent.clear()
    machine.sees(32, 32, pixels)


@checks.check("gpu.socket.none", VHOST_USER_GPU, SET_SOCKET, ROBUSTNESS)
def socket_none(bench: Bench) -> None:
    """GPU_SET_SOCKET without a descriptor is refused or means "no display", and the back-end lives on."""
    control = bench.agreed()
    bench.declined(control, ControlReq.GPU_SET_SOCKET, b"", or_done=True)


@checks.check("gpu.socket.none.display_info", VHOST_USER_GPU, SET_SOCKET, ROBUSTNESS)
def socket_none_display_info(bench: Bench) -> None:
    """Without a GPU socket the guest's GET_DISPLAY_INFO is answered by something, so that its driver does not hang."""
    machine = bench.machine(start=False)
    machine.vmm.shows = False
    machine.start()
    code = machine.code(DISPLAY_INFO)
    expect(code, "an answer", "none")


@checks.check("gpu.socket.several", VHOST_USER_GPU, SET_SOCKET, ROBUSTNESS)
def socket_several(bench: Bench) -> None:
    """GPU_SET_SOCKET with several descriptors is refused or takes one of them, and the back-end lives on."""
    control = bench.agreed()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        bench.declined(control, ControlReq.GPU_SET_SOCKET, b"", [theirs.fileno()] * 3, or_done=True)


@checks.check("gpu.socket.no_socket", VHOST_USER_GPU, SET_SOCKET, ROBUSTNESS)
def socket_no_socket(bench: Bench) -> None:
    """GPU_SET_SOCKET with a descriptor that is no socket does not end the back-end."""
    control = bench.agreed()
    with open("/dev/null", "rb") as file:
        bench.declined(control, ControlReq.GPU_SET_SOCKET, b"", [file.fileno()], or_done=True)


@checks.check("gpu.socket.eof.survived", VHOST_USER_GPU, "Communication", ROBUSTNESS)
def eof_survived(bench: Bench) -> None:
    """When the display closes its end, the back-end goes on with the guest's commands; SIGPIPE does not kill it."""
    machine = bench.machine()
    machine.show()
    machine.watch.detach()
    for _ in range(3):
        machine.code(ResourceFlush(r=Rect(0, 0, 64, 48), resource_id=1))
    machine.works()


@checks.check("gpu.socket.eof.idle", VHOST_USER_GPU, "Communication", ROBUSTNESS)
def eof_idle(bench: Bench) -> None:
    """When the display closes its end while nothing goes on, the back-end sleeps; it does not spin."""
    machine = bench.machine()
    machine.show()
    machine.watch.detach()
    bench.calm("when its GPU socket was closed")


@checks.check("gpu.socket.eof.waiting", VHOST_USER_GPU, "Communication", ROBUSTNESS)
def eof_waiting(bench: Bench) -> None:
    """When the display closes its end while a reply is awaited, the back-end does not spin, and answers the guest."""
    machine = bench.machine()
    machine.show()
    del machine.watch.answers[Req.GET_DISPLAY_INFO]
    machine.put(DISPLAY_INFO)
    machine.message(Req.GET_DISPLAY_INFO)
    machine.watch.detach()
    bench.calm("when its GPU socket was closed while it waited for a reply")
    machine.used()


@checks.check("gpu.socket.eof.mid_frame", VHOST_USER_GPU, "Communication", ROBUSTNESS)
def eof_mid_frame(bench: Bench) -> None:
    """When the display closes its end in the middle of a frame, the back-end goes on."""
    machine = bench.machine()
    machine.create(*BIG)
    machine.driver.set_scanout(0, 1, Rect(0, 0, *BIG))
    machine.settle()
    machine.watch.stalled = True
    machine.put(ResourceFlush(r=Rect(0, 0, *BIG), resource_id=1))
    machine.until(lambda: machine.watch.unread() > 0, "the beginning of a frame")
    machine.watch.detach()
    machine.until(lambda: machine.vmm.rings[0].queue.ready, "the flush, completed")
    machine.used()
    machine.works()


@checks.check("gpu.socket.full", VHOST_USER_GPU, "Communication", ROBUSTNESS)
def socket_full(bench: Bench) -> None:
    """The control socket is served while the display does not read; else a front-end of one thread waits for ever."""
    machine = bench.machine()
    pixels = machine.create(*BIG)
    machine.driver.set_scanout(0, 1, Rect(0, 0, *BIG))
    machine.settle()
    machine.watch.stalled = True
    machine.put(ResourceFlush(r=Rect(0, 0, *BIG), resource_id=1))
    machine.until(lambda: machine.watch.unread() > 0, "the beginning of a frame")
    control = bench.over(machine)
    control.ask(ControlReq.GET_CONFIG, struct.pack("=III", 0, 16, 0) + bytes(16))
    machine.watch.stalled = False
    machine.sees(*BIG, pixels)


@checks.check("gpu.socket.nonblocking", VHOST_USER_GPU, "Communication", ROBUSTNESS)
def socket_nonblocking(bench: Bench) -> None:
    """A GPU socket that is handed over in non-blocking mode gets whole frames."""
    machine = bench.machine(start=False)
    machine.vmm.blocking = False
    machine.start()
    pixels = machine.show(*BIG)
    machine.sees(*BIG, pixels)
