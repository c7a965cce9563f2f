"""What a front-end answers to GET_EDID.

Source: QEMU docs/interop/vhost-user-gpu; VIRTIO-1.2 5.7.6.8; VESA E-EDID 1.4, section 3.
"""

from collections.abc import Sequence

from outboard.conformance.check import (
    MUST,
    ROBUSTNESS,
    SHOULD,
    VHOST_USER_GPU,
    VIRTIO,
    Checks,
    NotApplicable,
    expect,
)
from outboard.conformance.frontend.questions import OTHER_SIZE, asked, displays, enabled, features, still_answers
from outboard.conformance.frontend.session import Session
from outboard.conformance.frontend.stage import Stage
from outboard.spec.vhost_user_gpu import EdidRequest, ProtocolFeature, Req, Scanout
from outboard.spec.virtio_gpu import EDID_MAX, MAX_SCANOUTS, Resp, RespEdid

BLOCK = 128
"""Bytes of an EDID block."""
EDID_MAGIC = bytes.fromhex("00ffffffffffff00")
MAX_TIMING = 4095
"""Largest size that a detailed timing can say."""

edids = Checks()


def with_edid(stage: Stage) -> Session:
    """Return a running front-end that offers EDID. Raises NotApplicable."""
    session = stage.running()
    if not features(stage, session) & ProtocolFeature.EDID:
        raise NotApplicable("the front-end does not offer EDID")
    return session


def edid(stage: Stage, session: Session, scanout_id: int) -> RespEdid:
    """Ask for an EDID. Raises Failed without one."""
    said = asked(stage, session, Req.GET_EDID, EdidRequest(scanout_id))
    return RespEdid.unpack(said.payload)


def of_enabled(stage: Stage) -> list[tuple[int, RespEdid]]:
    """Return the EDIDs of all enabled outputs."""
    session = with_edid(stage)
    return [(at, edid(stage, session, at)) for at in enabled(stage, session)]


@edids.check("front.edid.answered", VHOST_USER_GPU, "VHOST_USER_GPU_GET_EDID", MUST)
def edid_answered(stage: Stage) -> None:
    """GET_EDID is answered for enabled outputs, by struct virtio_gpu_resp_edid, 1056 bytes, where EDID is offered."""
    of_enabled(stage)


@edids.check("front.edid.type", VIRTIO, "5.7.6.8 VIRTIO_GPU_CMD_GET_EDID", MUST)
def edid_type(stage: Stage) -> None:
    """The EDID's answer has the type RESP_OK_EDID."""
    for at, one in of_enabled(stage):
        got = f"{one.hdr.type:#x} for output {at}"
        expect(one.hdr.type == Resp.OK_EDID, f"type {int(Resp.OK_EDID):#x}", got)


@edids.check("front.edid.blocks", VIRTIO, "5.7.6.8 VIRTIO_GPU_CMD_GET_EDID", MUST)
def edid_blocks(stage: Stage) -> None:
    """The EDID is one of VESA's: it begins as one, and every block of 128 bytes sums up to 0."""
    for at, one in of_enabled(stage):
        expect(one.edid.startswith(EDID_MAGIC), f"{EDID_MAGIC.hex()} first for output {at}", one.edid[:8].hex())
        for start in range(0, _blocks(one.edid) * BLOCK, BLOCK):
            total = sum(one.edid[start : start + BLOCK]) % 256
            expect(total == 0, f"a checksum of 0 for block {start // BLOCK} of output {at}", f"{total:#x}")


def _blocks(blob: bytes) -> int:
    """Return how many blocks the base block says there are, as far as they fit."""
    return min(1 + blob[126], EDID_MAX // BLOCK)


@edids.check("front.edid.fits", VIRTIO, "5.7.6.8 VIRTIO_GPU_CMD_GET_EDID", MUST)
def edid_fits(stage: Stage) -> None:
    """`size` covers the EDID's blocks, and is at most 1024."""
    for at, one in of_enabled(stage):
        least = _blocks(one.edid) * BLOCK
        expect(least <= one.size <= EDID_MAX, f"{least} to {EDID_MAX} for output {at}", one.size)


@edids.check("front.edid.size", VIRTIO, "5.7.6.8 VIRTIO_GPU_CMD_GET_EDID", SHOULD)
def edid_size(stage: Stage) -> None:
    """`size` is that of the EDID's blocks, and does not count what is behind them."""
    for at, one in of_enabled(stage):
        exact = _blocks(one.edid) * BLOCK
        expect(one.size == exact, f"{exact} for output {at}", one.size)


@edids.check("front.edid.timing", VIRTIO, "5.7.6.8 VIRTIO_GPU_CMD_GET_EDID", SHOULD)
def edid_timing(stage: Stage) -> None:
    """The preferred timing of an EDID is the size that the display info has for that output."""
    session = with_edid(stage)
    for at, one in enumerate(displays(stage, session)):
        if one.enabled:
            wanted = (one.r.width, one.r.height)
            got = preferred(edid(stage, session, at).edid)
            expect(got == wanted or max(wanted) > MAX_TIMING, _size(wanted) + f" for output {at}", _size(got))


def preferred(blob: bytes) -> tuple[int, int]:
    """Return width and height of an EDID's first detailed timing (VESA E-EDID 3.10.2)."""
    return blob[56] | (blob[58] & 0xF0) << 4, blob[59] | (blob[61] & 0xF0) << 4


def _size(size: Sequence[int]) -> str:
    return f"{size[0]}x{size[1]}"


@edids.check("front.edid.display", VIRTIO, "5.7.6.8 VIRTIO_GPU_CMD_GET_EDID", MUST)
def edid_display(stage: Stage) -> None:
    """The EDID is the display's, not the scanout's: a SCANOUT of another size does not change it."""
    session = with_edid(stage)
    for at in enabled(stage, session)[:1]:
        before = preferred(edid(stage, session, at).edid)
        session.tell(Req.SCANOUT, Scanout(at, *OTHER_SIZE))
        after = preferred(edid(stage, session, at).edid)
        expect(after == before, f"{_size(before)} for output {at} behind SCANOUT {_size(OTHER_SIZE)}", _size(after))


@edids.check("front.edid.every-output", VHOST_USER_GPU, "VHOST_USER_GPU_GET_EDID", SHOULD)
def edid_every_output(stage: Stage) -> None:
    """GET_EDID is answered for every output, enabled or not: a back-end waits, and knows no other way to ask."""
    session = with_edid(stage)
    asked_of = [(at, session.ask(Req.GET_EDID, EdidRequest(at), optional=True)) for at in range(MAX_SCANOUTS)]
    still_answers(stage, session, "GET_EDID for outputs 0 to 15")
    silent = [str(at) for at, question in asked_of if question.reply is None]
    expect(not silent, "a reply for each of outputs 0 to 15", f"none for {', '.join(silent)}")


@edids.check("front.edid.bad-output", VHOST_USER_GPU, "VHOST_USER_GPU_GET_EDID", ROBUSTNESS)
def edid_bad_output(stage: Stage) -> None:
    """GET_EDID for an output that cannot be does no harm: the question behind it is answered."""
    session = with_edid(stage)
    for scanout_id in (MAX_SCANOUTS, 0x7FFF_FFFF, 0xFFFF_FFFF):
        session.ask(Req.GET_EDID, EdidRequest(scanout_id), optional=True)
        still_answers(stage, session, f"GET_EDID for output {scanout_id:#x}")
