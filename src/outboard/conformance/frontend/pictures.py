"""What a front-end makes of pictures, cursors and buffers.

Source: QEMU docs/interop/vhost-user-gpu.

Not modelled: what the user sees. Nothing on the wire says it; a question behind each message shows that the front-end
took it and is in step.
"""

from outboard.conformance.check import MUST, ROBUSTNESS, SHOULD, VHOST_USER_GPU, Checks, Failed, NotApplicable, expect
from outboard.conformance.frontend.questions import features, still_answers
from outboard.conformance.frontend.session import Session
from outboard.conformance.frontend.stage import Stage
from outboard.spec.vhost_user_gpu import (
    CURSOR_DATA,
    CursorPos,
    CursorUpdate,
    EdidRequest,
    ProtocolFeature,
    Req,
    Scanout,
    Update,
)
from outboard.spec.virtio_gpu import MAX_SCANOUTS

WIDTH, HEIGHT = 320, 200
LARGE = (1920, 1080)
XRGB8888 = 0x34325258
"""DRM fourcc XR24."""
BAD_IDS = (MAX_SCANOUTS, 0x7FFF_FFFF, 0xFFFF_FFFF)

pictures = Checks()
last = Checks()
"""Probes after which a front-end may have closed the GPU socket."""


def show(session: Session, width: int = WIDTH, height: int = HEIGHT, scanout_id: int = 0) -> None:
    """Set a scanout, and paint all of it, so that whatever comes next has a picture to change."""
    session.tell(Req.SCANOUT, Scanout(scanout_id, width, height))
    update(session, 0, 0, width, height, scanout_id)


def update(session: Session, x: int, y: int, width: int, height: int, scanout_id: int = 0) -> None:
    """Send an UPDATE with its pixels."""
    head = Update(scanout_id, x, y, width, height).pack()
    session.tell(Req.UPDATE, head + b"\x40\x80\xc0\0" * (width * height))


# Scanouts


@pictures.check("front.scanout.update", VHOST_USER_GPU, "VHOST_USER_GPU_UPDATE", MUST)
def scanout_update(stage: Stage) -> None:
    """SCANOUT and an UPDATE of all of it are taken."""
    session = stage.running()
    show(session)
    still_answers(stage, session, "SCANOUT and UPDATE")


@pictures.check("front.scanout.part", VHOST_USER_GPU, "VHOST_USER_GPU_UPDATE", MUST)
def scanout_part(stage: Stage) -> None:
    """An UPDATE of a part of the scanout is taken: a row, a column, one pixel in the corner."""
    session = stage.running()
    show(session)
    for x, y, width, height in ((0, 7, WIDTH, 1), (7, 0, 1, HEIGHT), (WIDTH - 1, HEIGHT - 1, 1, 1), (13, 17, 33, 5)):
        update(session, x, y, width, height)
    still_answers(stage, session, "UPDATE of a part")


@pictures.check("front.scanout.large", VHOST_USER_GPU, "VHOST_USER_GPU_UPDATE", MUST)
def scanout_large(stage: Stage) -> None:
    """An UPDATE that is larger than any socket buffer, 1920x1080, is taken."""
    session = stage.running()
    show(session, *LARGE)
    still_answers(stage, session, "UPDATE 1920x1080")
    show(session)


@pictures.check("front.scanout.again", VHOST_USER_GPU, "VHOST_USER_GPU_SCANOUT", MUST)
def scanout_again(stage: Stage) -> None:
    """SCANOUT may come again, with the same size or another."""
    session = stage.running()
    for width, height in ((WIDTH, HEIGHT), (WIDTH, HEIGHT), (HEIGHT, WIDTH), (1, 1), (WIDTH, HEIGHT)):
        show(session, width, height)
    still_answers(stage, session, "one SCANOUT after the other")


@pictures.check("front.scanout.disable", VHOST_USER_GPU, "VHOST_USER_GPU_SCANOUT", MUST)
def scanout_disable(stage: Stage) -> None:
    """SCANOUT 0x0 disables an output, also twice, and it can be enabled again."""
    session = stage.running()
    show(session)
    session.tell(Req.SCANOUT, Scanout(0, 0, 0))
    session.tell(Req.SCANOUT, Scanout(0, 0, 0))
    still_answers(stage, session, "SCANOUT 0x0")
    show(session)
    still_answers(stage, session, "SCANOUT after it was disabled")


@pictures.check("front.scanout.outside", VHOST_USER_GPU, "VHOST_USER_GPU_UPDATE", ROBUSTNESS)
def scanout_outside(stage: Stage) -> None:
    """An UPDATE that reaches over the scanout's edges is clipped: QEMU's back-end sends such."""
    session = stage.running()
    show(session)
    for x, y, width, height in ((WIDTH - 8, HEIGHT - 8, 16, 16), (WIDTH, 0, 16, 16), (5000, 5000, 4, 4)):
        update(session, x, y, width, height)
    still_answers(stage, session, "UPDATE outside the scanout")


@pictures.check("front.scanout.empty", VHOST_USER_GPU, "VHOST_USER_GPU_UPDATE", ROBUSTNESS)
def scanout_empty(stage: Stage) -> None:
    """An UPDATE of 0x0 pixels does no harm: QEMU's back-end sends such."""
    session = stage.running()
    show(session)
    update(session, 0, 0, 0, 0)
    still_answers(stage, session, "UPDATE 0x0")


@pictures.check("front.scanout.bad-output", VHOST_USER_GPU, "VHOST_USER_GPU_SCANOUT", ROBUSTNESS)
def scanout_bad_output(stage: Stage) -> None:
    """SCANOUT and UPDATE for outputs that cannot be are ignored."""
    session = stage.running()
    for scanout_id in BAD_IDS:
        session.tell(Req.SCANOUT, Scanout(scanout_id, WIDTH, HEIGHT))
        update(session, 0, 0, 4, 4, scanout_id)
        still_answers(stage, session, f"SCANOUT of output {scanout_id:#x}")


# Cursor


def _cursor(session: Session, x: int, y: int, scanout_id: int = 0) -> None:
    pos = CursorPos(scanout_id, x % (1 << 32), y % (1 << 32))
    session.tell(Req.CURSOR_UPDATE, CursorUpdate(pos, 3, 4, b"\xff\xff\xff\x80" * (CURSOR_DATA // 4)))


@pictures.check("front.cursor.update", VHOST_USER_GPU, "VHOST_USER_GPU_CURSOR_UPDATE", MUST)
def cursor_update(stage: Stage) -> None:
    """CURSOR_UPDATE, CURSOR_POS and CURSOR_POS_HIDE are taken."""
    session = stage.running()
    show(session)
    _cursor(session, 10, 20)
    session.tell(Req.CURSOR_POS, CursorPos(0, 30, 40))
    session.tell(Req.CURSOR_POS_HIDE, CursorPos(0, 30, 40))
    still_answers(stage, session, "the cursor's messages")


@pictures.check("front.cursor.negative", VHOST_USER_GPU, "VHOST_USER_GPU_CURSOR_POS", SHOULD)
def cursor_negative(stage: Stage) -> None:
    """A cursor may be partly left of, or above, its output, or beyond it: its position is signed by use."""
    session = stage.running()
    show(session)
    for x, y in ((-10, -3), (-63, 0), (WIDTH + 100, HEIGHT + 100), (-(1 << 31), (1 << 31) - 1)):
        _cursor(session, x, y)
        session.tell(Req.CURSOR_POS, CursorPos(0, x % (1 << 32), y % (1 << 32)))
    still_answers(stage, session, "a cursor at -10,-3")


@pictures.check("front.cursor.bad-output", VHOST_USER_GPU, "VHOST_USER_GPU_CURSOR_POS", ROBUSTNESS)
def cursor_bad_output(stage: Stage) -> None:
    """Cursors on outputs that cannot be are ignored."""
    session = stage.running()
    for scanout_id in BAD_IDS:
        _cursor(session, 0, 0, scanout_id)
        session.tell(Req.CURSOR_POS, CursorPos(scanout_id, 1, 1))
        session.tell(Req.CURSOR_POS_HIDE, CursorPos(scanout_id, 1, 1))
        still_answers(stage, session, f"a cursor on output {scanout_id:#x}")


@pictures.check("front.picture.shown", VHOST_USER_GPU, "VHOST_USER_GPU_UPDATE", MUST)
def picture_shown(stage: Stage) -> None:
    """The user sees what was sent."""
    raise NotApplicable("nothing on the wire tells what is on the screen; compare a screenshot")


@last.check("front.gpu-features.masks", VHOST_USER_GPU, "Protocol features", SHOULD)
def masks(stage: Stage) -> None:
    """A front-end that answers GET_EDID says so by mask 1: the features' numbers, 0 and 1, are no masks."""
    session = stage.running()
    mask = features(stage, session)
    if mask & ProtocolFeature.EDID:
        return
    question = session.ask(Req.GET_EDID, EdidRequest(0), optional=True)
    fence = session.ask(Req.GET_DISPLAY_INFO, optional=True)
    session.run(lambda: fence.reply or not session.display_live, stage.timeout_s)
    expect(question.reply is None, f"mask {int(ProtocolFeature.EDID):#x} where GET_EDID is answered", f"{mask:#x}")


@last.check("front.socket.closed", VHOST_USER_GPU, "VHOST_USER_GPU_SET_SOCKET", SHOULD)
def socket_closed(stage: Stage) -> None:
    """A back-end that closes the GPU socket loses its display; the front-end goes on."""
    session = stage.running()
    show(session)
    still_answers(stage, session, "UPDATE")
    session.close_display()
    session.run(lambda: session.ended is not None, min(0.5, stage.timeout_s))
    if session.ended is not None:
        raise Failed("a front-end that goes on without a GPU socket", "the control socket closed")
