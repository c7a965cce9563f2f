"""What a front-end makes of DMABUF messages, and of fds.

Source: QEMU docs/interop/vhost-user-gpu.

Modelled: memfds in place of dma-bufs. Not modelled: what a GPU would show of them.
"""

import fcntl
import os
import struct

from outboard.conformance.check import MUST, ROBUSTNESS, VHOST_USER_GPU, Checks, NotApplicable, expect
from outboard.conformance.frontend.pictures import BAD_IDS, HEIGHT, WIDTH
from outboard.conformance.frontend.questions import answer, asked, features, still_answers
from outboard.conformance.frontend.session import Session
from outboard.conformance.frontend.stage import Stage
from outboard.layout import Layout
from outboard.spec.vhost_user_gpu import DmabufScanout, DmabufScanout2, ProtocolFeature, Req, Update
from outboard.spec.virtio_gpu import BYTES_PER_PIXEL

XRGB8888 = 0x34325258
"""DRM fourcc XR24."""
FLOCK = "hhqqi4x"
"""struct flock."""

buffers = Checks()


def memfd() -> int:
    """Return a memfd that has room for a picture."""
    fd = os.memfd_create("outboard-check", os.MFD_CLOEXEC)
    os.ftruncate(fd, BYTES_PER_PIXEL * WIDTH * HEIGHT)
    return fd


def dmabuf(width: int = WIDTH, height: int = HEIGHT, scanout_id: int = 0) -> DmabufScanout:
    """Return what announces such a buffer, or disables the output."""
    return DmabufScanout(scanout_id, 0, 0, width, height, width, height, BYTES_PER_PIXEL * width, 0, XRGB8888)


@buffers.check("front.dmabuf.update", VHOST_USER_GPU, "VHOST_USER_GPU_DMABUF_UPDATE", MUST)
def dmabuf_update(stage: Stage) -> None:
    """DMABUF_UPDATE is answered by a header alone, also where there is no buffer: a back-end waits for it."""
    session = stage.running()
    asked(stage, session, Req.DMABUF_UPDATE, Update(0, 0, 0, 16, 16))


@buffers.check("front.dmabuf.scanout", VHOST_USER_GPU, "VHOST_USER_GPU_DMABUF_SCANOUT", MUST)
def dmabuf_scanout(stage: Stage) -> None:
    """DMABUF_SCANOUT with an fd, DMABUF_UPDATE, and disabling without an fd are taken, whatever the fd is good for."""
    session = stage.running()
    _buffer_and_back(stage, session, Req.DMABUF_SCANOUT)


def _buffer_and_back(stage: Stage, session: Session, request: Req) -> None:
    session.tell(request, _announce(request, dmabuf()), fds=[memfd()])
    asked(stage, session, Req.DMABUF_UPDATE, Update(0, 0, 0, WIDTH, HEIGHT), f" behind {request.name}")
    session.tell(request, _announce(request, dmabuf(0, 0)))
    still_answers(stage, session, f"{request.name} without an fd")


def _announce(request: Req, buffer: DmabufScanout) -> Layout:
    return DmabufScanout2(buffer) if request == Req.DMABUF_SCANOUT2 else buffer


@buffers.check("front.dmabuf.scanout2", VHOST_USER_GPU, "VHOST_USER_GPU_DMABUF_SCANOUT2", MUST)
def dmabuf_scanout2(stage: Stage) -> None:
    """DMABUF_SCANOUT2 is taken like DMABUF_SCANOUT, where DMABUF2 is offered."""
    session = stage.running()
    if not features(stage, session) & ProtocolFeature.DMABUF2:
        raise NotApplicable("the front-end does not offer DMABUF2")
    _buffer_and_back(stage, session, Req.DMABUF_SCANOUT2)


@buffers.check("front.dmabuf.bad-output", VHOST_USER_GPU, "VHOST_USER_GPU_DMABUF_SCANOUT", ROBUSTNESS)
def dmabuf_bad_output(stage: Stage) -> None:
    """DMABUF_SCANOUT for outputs that cannot be is ignored; DMABUF_UPDATE is answered still."""
    session = stage.running()
    for scanout_id in BAD_IDS:
        session.tell(Req.DMABUF_SCANOUT, dmabuf(scanout_id=scanout_id), fds=[memfd()])
        behind = f" behind DMABUF_SCANOUT of output {scanout_id:#x}"
        asked(stage, session, Req.DMABUF_UPDATE, Update(scanout_id, 0, 0, 4, 4), behind)


@buffers.check("front.dmabuf.released", VHOST_USER_GPU, "VHOST_USER_GPU_DMABUF_SCANOUT", ROBUSTNESS)
def dmabuf_released(stage: Stage) -> None:
    """A buffer is given back when the next one replaces it: fds and memory run out otherwise."""
    session = stage.running()
    first = Held()
    session.tell(Req.DMABUF_SCANOUT, dmabuf(), fds=[first.theirs])
    session.tell(Req.DMABUF_SCANOUT, dmabuf(), fds=[memfd()])
    still_answers(stage, session, "a second DMABUF_SCANOUT")
    _expect_given_back(stage, session, first, "a buffer that another replaced")


@buffers.check("front.fds.stray", VHOST_USER_GPU, "Communication", ROBUSTNESS)
def stray_fd(stage: Stage) -> None:
    """An fd that comes with a message that takes none does no harm, and is closed."""
    session = stage.running()
    stray = Held()
    question = session.ask(Req.GET_DISPLAY_INFO, fds=[stray.theirs])
    answer(stage, session, question, " that came with an fd")
    still_answers(stage, session, "a question with an fd")
    _expect_given_back(stage, session, stray, "an fd that came with GET_DISPLAY_INFO")


class Held:
    """A file of which we see whether anybody else holds it: its lock goes with the last copy of the fd, or mapping."""

    def __init__(self) -> None:
        self.theirs = memfd()
        self._ours = os.open(f"/proc/self/fd/{self.theirs}", os.O_RDWR | os.O_CLOEXEC)
        fcntl.fcntl(self.theirs, fcntl.F_OFD_SETLK, struct.pack(FLOCK, fcntl.F_WRLCK, 0, 0, 0, 0))

    def given_back(self) -> bool:
        """Whether nobody holds it any more."""
        query = struct.pack(FLOCK, fcntl.F_WRLCK, 0, 0, 0, 0)
        (kind,) = struct.unpack_from("h", fcntl.fcntl(self._ours, fcntl.F_OFD_GETLK, query))
        return bool(kind == fcntl.F_UNLCK)

    def close(self) -> None:
        """Close our side."""
        os.close(self._ours)


def _expect_given_back(stage: Stage, session: Session, held: Held, what: str) -> None:
    try:
        if not held.given_back():
            session.run(lambda: False, min(0.2, stage.timeout_s))
        expect(held.given_back(), f"{what} to be closed", "it is held still")
    finally:
        held.close()


# The end
