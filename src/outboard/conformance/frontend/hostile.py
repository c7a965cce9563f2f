"""What may end a front-end: each probe on a front-end of its own, which is to live on, or to close the GPU socket.

Source: QEMU docs/interop/vhost-user-gpu says nothing of errors. A back-end is less trusted than the VMM, which it is
kept apart from for that reason.
"""

import random
from collections.abc import Callable

from outboard.conformance.check import ROBUSTNESS, VHOST_USER_GPU, Checks, Failed
from outboard.conformance.frontend.buffers import dmabuf, memfd
from outboard.conformance.frontend.pictures import show, update
from outboard.conformance.frontend.session import Session
from outboard.conformance.frontend.stage import Stage
from outboard.spec.vhost_user_gpu import REQUESTS, DmabufScanout, Header, Req, Scanout, Update

HUGE = 0xFFFF_FF00

hostile = Checks()


def lives(stage: Stage, session: Session, behind: str) -> None:
    """See that the front-end answers still, or has closed the GPU socket and goes on. Raises Failed."""
    if session.display_live:
        question = session.ask(Req.GET_DISPLAY_INFO)
        session.run(lambda: question.reply or not session.display_live or session.ended is not None, stage.timeout_s)
        if question.reply is None and session.display_live:
            raise Failed(f"an answer, or the GPU socket closed, behind {behind}", f"silence for {stage.timeout_s:g} s")
    session.run(lambda: session.ended is not None, min(0.3, stage.timeout_s))
    if session.ended is not None:
        raise Failed(f"a front-end that outlives {behind}", "the control socket closed")


def ends_when_asked(stage: Stage, session: Session, what: str) -> None:
    """See that the front-end can be ended from outside while the GPU socket is stuck. Raises Failed."""
    if not stage.ends_when_asked():
        raise Failed(f"a front-end that ends on SIGTERM while {what}", f"it runs on for {stage.timeout_s:g} s")


Probe = Callable[[Session], None]


def _row(check_id: str, says: str, what: str, probe: Probe) -> None:
    def run(stage: Stage) -> None:
        session = stage.dangerous()
        probe(session)
        lives(stage, session, what)

    hostile.add(f"front.hostile.{check_id}", VHOST_USER_GPU, "Front-end message types", ROBUSTNESS, says, run)


def _update_first(session: Session) -> None:
    update(session, 0, 0, 16, 16)


def _update_after_disable(session: Session) -> None:
    show(session)
    session.tell(Req.SCANOUT, Scanout(0, 0, 0))
    update(session, 0, 0, 16, 16)


def _sized(width: int, height: int) -> Probe:
    def probe(session: Session) -> None:
        session.tell(Req.SCANOUT, Scanout(0, width, height))

    return probe


def _short(request: Req) -> Probe:
    def probe(session: Session) -> None:
        show(session)
        session.tell(request, b"\0\0\0")

    return probe


def _pixels_missing(session: Session) -> None:
    show(session)
    session.tell(Req.UPDATE, Update(0, 0, 0, 64, 64).pack() + b"\x40" * 64)


def _pixels_many(session: Session) -> None:
    show(session)
    session.tell(Req.UPDATE, Update(0, 0, 0, 0x1_0001, 0x1_0001).pack() + b"\x40" * 64)


def _huge(session: Session) -> None:
    show(session)
    session.raw(Header(Req.UPDATE, 0, HUGE).pack() + bytes(4096), f"UPDATE that announces {HUGE:#x} bytes")
    session.close_display()


def _half_header(session: Session) -> None:
    session.raw(Header(Req.GET_DISPLAY_INFO, 0, 0).pack()[:6], "half a header")
    session.close_display()


def _half_payload(session: Session) -> None:
    session.raw(Header(Req.UPDATE, 0, 20 + 64).pack() + Update(0, 0, 0, 4, 4).pack(), "an UPDATE without its pixels")
    session.close_display()


def _noise(session: Session) -> None:
    session.raw(random.Random(1).randbytes(8192), "8192 random bytes")
    session.close_display()


def _buffer_odd(session: Session) -> None:
    for buffer in (DmabufScanout(0, 9, 9, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 1, 0xFFFF, -1), dmabuf(0, 0)):
        session.tell(Req.DMABUF_SCANOUT, buffer, fds=[memfd()])
        session.ask(Req.DMABUF_UPDATE, Update(0, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF), optional=True)


_row(
    "update-first",
    "UPDATE of an output that no SCANOUT has set is ignored.",
    "UPDATE before any SCANOUT",
    _update_first,
)
_row(
    "update-disabled",
    "UPDATE of an output that is disabled is ignored.",
    "UPDATE after SCANOUT 0x0",
    _update_after_disable,
)
_row("scanout-64x0", "SCANOUT with a width and no height does no harm.", "SCANOUT 64x0", _sized(64, 0))
_row("scanout-0x64", "SCANOUT with a height and no width does no harm.", "SCANOUT 0x64", _sized(0, 64))
_row(
    "scanout-65536",
    "SCANOUT of a size that no memory holds is refused.",
    "SCANOUT 65536x65536",
    _sized(65536, 65536),
)
_row(
    "scanout-overflow",
    "SCANOUT of a size whose bytes overflow 32 bits is refused.",
    "SCANOUT 0x40000001x16",
    _sized(0x4000_0001, 16),
)
_row(
    "update-pixels-missing",
    "UPDATE with fewer pixels than it announces is refused.",
    "UPDATE 64x64 with 16 pixels",
    _pixels_missing,
)
_row(
    "update-overflow",
    "UPDATE of a size whose bytes overflow is refused.",
    "UPDATE 65537x65537 with 16 pixels",
    _pixels_many,
)
_row(
    "dmabuf-odd",
    "DMABUF_SCANOUT of a buffer that its fd does not hold is refused.",
    "DMABUF_SCANOUT 65535x65535 with stride 1",
    _buffer_odd,
)
_row("size-huge", "A size that no message has does no harm when the stream ends.", f"a size of {HUGE:#x}", _huge)
_row("header-half", "A stream that ends inside a header does no harm.", "half a header", _half_header)
_row("payload-half", "A stream that ends inside a payload does no harm.", "half a payload", _half_payload)
_row("noise", "Noise on the GPU socket does no harm.", "8192 random bytes", _noise)
for _number, _request in REQUESTS.items():
    if _request.payload is not None and not _request.acknowledged:
        _row(
            f"short-{_request.req.name.lower().replace('_', '-')}",
            f"{_request.req.name} with a payload of 3 bytes is refused.",
            f"{_request.req.name} with 3 bytes",
            _short(_request.req),
        )


@hostile.check("front.hostile.header-stalls", VHOST_USER_GPU, "Wire format", ROBUSTNESS)
def header_stalls(stage: Stage) -> None:
    """Half a header and then silence holds up the display only: the front-end can be ended."""
    session = stage.dangerous()
    session.raw(Header(Req.GET_DISPLAY_INFO, 0, 0).pack()[:6], "half a header")
    ends_when_asked(stage, session, "half a header is on the GPU socket")


@hostile.check("front.hostile.payload-stalls", VHOST_USER_GPU, "Wire format", ROBUSTNESS)
def payload_stalls(stage: Stage) -> None:
    """Half a payload and then silence holds up the display only: the front-end can be ended."""
    session = stage.dangerous()
    head = Update(0, 0, 0, 64, 64).pack()
    session.raw(Header(Req.UPDATE, 0, len(head) + 64 * 64 * 4).pack() + head, "an UPDATE without its pixels")
    ends_when_asked(stage, session, "half an UPDATE is on the GPU socket")


@hostile.check("front.control.drains", VHOST_USER_GPU, "Communication", ROBUSTNESS)
def drains(stage: Stage) -> None:
    """The GPU socket is served while an answer on the control socket is awaited: both sides wait for ever otherwise."""
    session = stage.started()
    stage.wait_held(session)
    question = session.ask(Req.GET_DISPLAY_INFO)
    session.run(lambda: question.reply or session.ended is not None, min(1.0, stage.timeout_s))
    early = question.reply is not None
    stage.show(session, len(session.record))
    session.let_go()
    if not early:
        raise Failed("a reply to GET_DISPLAY_INFO while the front-end waits on the control socket", "none until it had")
