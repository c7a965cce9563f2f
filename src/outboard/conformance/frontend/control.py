"""What a front-end says on the control socket: each message by itself, and what was negotiated before it.

Source: QEMU docs/interop/vhost-user; VIRTIO-1.2 sections 5.7.3 and 6.
"""

from collections.abc import Iterator

from outboard.conformance.check import MUST, ROBUSTNESS, SHOULD, VHOST_USER, VIRTIO, Checks, Failed, NotApplicable
from outboard.conformance.frontend.session import Session
from outboard.conformance.frontend.stage import Stage
from outboard.conformance.frontend.wire import Said
from outboard.spec import virtio
from outboard.spec.vhost_user import (
    F_PROTOCOL_FEATURES,
    FLAG_NEED_REPLY,
    MAX_CONFIG,
    MAX_REGIONS,
    OBSERVED,
    U64,
    VERSION,
    VERSION_MASK,
    VRING_NOFD,
    ConfigSpace,
    MemoryRegion,
    MemTable,
    ProtocolFeature,
    Req,
)
from outboard.spec.vhost_user_gpu import Req as GpuReq

TRANSPORT = sum(1 << bit for bit in range(24, 50))
"""Bits that belong to no device type: QEMU's own rings have them, whatever a back-end offers (VIRTIO-1.2, 6)."""
RING_FDS = (Req.SET_VRING_KICK, Req.SET_VRING_CALL, Req.SET_VRING_ERR)

control = Checks()


def name(request: int) -> str:
    """Return the document's name of a request, or its number."""
    return Req(request).name if request in set(Req) else f"request {request}"


def gpu_name(request: int) -> str:
    """Return the document's name of a request on the GPU socket, or its number."""
    return GpuReq(request).name if request in set(GpuReq) else f"request {request}"


def heard(stage: Stage, *requests: int) -> Iterator[tuple[Session, int, Said]]:
    """Yield session, place and message of all that front-ends said on the control socket, or of these requests."""
    for session in stage.heard():
        for at, said in enumerate(session.record):
            if said.asks(*requests):
                yield session, at, said


def present(stage: Stage, *requests: int) -> Iterator[tuple[Session, int, Said]]:
    """As `heard`; raises NotApplicable when nothing of it was said."""
    found = False
    for one in heard(stage, *requests):
        found = True
        yield one
    if not found:
        raise NotApplicable(f"the front-end sent no {' or '.join(map(name, requests)) or 'message'}")


def wrong(stage: Stage, session: Session, at: int, expected: str, got: object) -> Failed:
    """Return the failure that message `at` of a record is."""
    stage.show(session, at)
    said = session.record[at]
    where = name(said.request) if said.socket == "control" else f"reply to {gpu_name(said.request)}"
    return Failed(expected, f"{got} ({where})")


def number(said: Said) -> int:
    """Return the u64 of a message, 0 when it is too short for one."""
    return U64.unpack_from(said.payload).value if len(said.payload) >= U64.sizeof else 0


def accepted(session: Session, at: int) -> int:
    """Return the protocol features that were accepted before message `at`."""
    masks = [number(said) for said in session.record[:at] if said.asks(Req.SET_PROTOCOL_FEATURES)]
    return masks[-1] if masks else 0


def offered(session: Session, request: Req, at: int) -> int | None:
    """Return the mask that a question was answered with before message `at`, None when it was not asked."""
    masks = [number(said) for said in session.record[:at] if said.answers(request)]
    return masks[-1] if masks else None


# Every message


@control.check("front.message.version", VHOST_USER, "Header", MUST)
def version(stage: Stage) -> None:
    """Flags of a request are version 1, and need_reply where it is wanted; no reply bit, no other bit."""
    for session, at, said in present(stage):
        if said.flags & VERSION_MASK != VERSION or said.flags & ~(VERSION_MASK | FLAG_NEED_REPLY):
            raise wrong(
                stage, session, at, f"flags {VERSION:#x}, or {VERSION | FLAG_NEED_REPLY:#x}", f"{said.flags:#x}"
            )


@control.check("front.message.size", VHOST_USER, "Front-end message types", MUST)
def size(stage: Stage) -> None:
    """A payload has the size that its request has."""
    for session, at, said in present(stage):
        if said.request in OBSERVED and said.size != (expected := _size(said)):
            raise wrong(stage, session, at, f"{expected} bytes", f"{said.size}")


def _size(said: Said) -> int:
    """Return how long a payload has to be, as far as its own counts say."""
    row = OBSERVED[said.request]
    fixed = row.payload.sizeof if row.payload else 0
    if said.request == Req.SET_MEM_TABLE and said.size >= fixed:
        return fixed + MemoryRegion.sizeof * min(MAX_REGIONS, MemTable.unpack_from(said.payload).nregions)
    if said.request in (Req.GET_CONFIG, Req.SET_CONFIG) and said.size >= fixed:
        return fixed + min(MAX_CONFIG, ConfigSpace.unpack_from(said.payload).length)
    return max(fixed, said.size) if row.tail else fixed


@control.check("front.message.fds", VHOST_USER, "Communication", MUST)
def fds(stage: Stage) -> None:
    """A message carries as many fds as its request takes."""
    for session, at, said in present(stage):
        if said.request in OBSERVED and len(said.fds) not in (expected := _fds(said)):
            words = " or ".join(map(str, sorted(expected)))
            raise wrong(stage, session, at, f"{words} fds", f"{len(said.fds)}")


def _fds(said: Said) -> set[int]:
    if said.request == Req.SET_MEM_TABLE and said.size >= MemTable.sizeof:
        return {MemTable.unpack_from(said.payload).nregions}
    if said.request in RING_FDS:
        return {0} if number(said) & VRING_NOFD else {1}
    if said.request == Req.REM_MEM_REG:
        return {0, 1}  # the document asks back-ends to put up with one
    return {OBSERVED[said.request].fds[1]}


@control.check("front.message.whole", VHOST_USER, "Message Specification", SHOULD)
def whole(stage: Stage) -> None:
    """Header, payload and fds of a message leave by one call: QEMU's back-end does not put pieces together."""
    for session, at, said in present(stage):
        if not said.whole:
            raise wrong(stage, session, at, "header and payload at once", "a message in pieces")


@control.check("front.message.readable", VHOST_USER, "Message Specification", MUST)
def readable(stage: Stage) -> None:
    """The control socket carries messages, and ends between two of them."""
    for session in stage.heard():
        if session.ended:
            stage.show(session, len(session.record))
            raise Failed("messages, each complete", f"the stream ended {session.ended}")


@control.check("front.message.served", VHOST_USER, "Front-end message types", MUST)
def served(stage: Stage) -> None:
    """A back-end can do what it is asked for."""
    for session in stage.heard():
        for at, why in session.refused:
            raise wrong(stage, session, at, "a request that can be carried out", why)


# What was negotiated


@control.check("front.features.first", VHOST_USER, "VHOST_USER_GET_PROTOCOL_FEATURES", MUST)
def features_first(stage: Stage) -> None:
    """GET_FEATURES comes before what it decides on: features, and whether there are protocol features."""
    for session, at, _ in present(stage, Req.SET_FEATURES, Req.GET_PROTOCOL_FEATURES, Req.SET_PROTOCOL_FEATURES):
        if offered(session, Req.GET_FEATURES, at) is None:
            raise wrong(stage, session, at, "GET_FEATURES before", "no such question")


@control.check("front.features.offered", VHOST_USER, "VHOST_USER_SET_FEATURES", MUST)
def features_offered(stage: Stage) -> None:
    """SET_FEATURES accepts device features that were offered, and no others."""
    for session, at, said in present(stage, Req.SET_FEATURES):
        there = (offered(session, Req.GET_FEATURES, at) or 0) | TRANSPORT
        if number(said) & ~there:
            raise wrong(stage, session, at, "features that were offered", f"{number(said) & ~there:#x}")


@control.check("front.features.version-1", VIRTIO, "6.1 Driver Requirements: Reserved Feature Bits", MUST)
def version_1(stage: Stage) -> None:
    """VIRTIO_F_VERSION_1 is accepted: a GPU has no legacy interface."""
    for session, at, said in present(stage, Req.SET_FEATURES):
        if not number(said) & virtio.Feature.VERSION_1:
            raise wrong(stage, session, at, f"{virtio.Feature.VERSION_1:#x} among the features", f"{number(said):#x}")


@control.check("front.protocol-features.offered", VHOST_USER, "VHOST_USER_SET_PROTOCOL_FEATURES", MUST)
def protocol_features_offered(stage: Stage) -> None:
    """SET_PROTOCOL_FEATURES accepts features that were offered, and no others."""
    for session, at, said in present(stage, Req.SET_PROTOCOL_FEATURES):
        extra = number(said) & ~(offered(session, Req.GET_PROTOCOL_FEATURES, at) or 0)
        if extra:
            raise wrong(stage, session, at, "protocol features that were offered", f"{extra:#x}")


@control.check("front.protocol-features.used", VHOST_USER, "Protocol features", MUST)
def protocol_features_used(stage: Stage) -> None:
    """A request that needs a protocol feature is sent only where the feature was accepted."""
    for session, at, said in present(stage):
        row = OBSERVED.get(said.request)
        if row and row.feature and not row.feature & accepted(session, at):
            lacks = ProtocolFeature(row.feature).name
            raise wrong(stage, session, at, f"{lacks} accepted before", f"{accepted(session, at):#x}")


@control.check("front.need-reply.negotiated", VHOST_USER, "VHOST_USER_PROTOCOL_F_REPLY_ACK", MUST)
def need_reply(stage: Stage) -> None:
    """need_reply is set only once REPLY_ACK was accepted."""
    for session, at, said in present(stage):
        if said.flags & FLAG_NEED_REPLY and not accepted(session, at) & ProtocolFeature.REPLY_ACK:
            raise wrong(stage, session, at, "no need_reply before REPLY_ACK is accepted", f"flags {said.flags:#x}")


@control.check("front.owner.once", VHOST_USER, "VHOST_USER_SET_OWNER", MUST)
def owner_once(stage: Stage) -> None:
    """SET_OWNER is sent once, before the features are set and memory is shared."""
    for session in stage.heard():
        owners = [at for at, said in enumerate(session.record) if said.asks(Req.SET_OWNER)]
        if len(owners) > 1:
            raise wrong(stage, session, owners[1], "one SET_OWNER", "a second")
        for at, said in enumerate(session.record):
            if said.asks(Req.SET_FEATURES, Req.SET_MEM_TABLE, Req.ADD_MEM_REG) and not (owners and owners[0] < at):
                raise wrong(stage, session, at, "SET_OWNER before", "none so far")


@control.check("front.requests.known", VHOST_USER, "Front-end message types", ROBUSTNESS)
def known(stage: Stage) -> None:
    """Every request is one that the document has, and none that it calls deprecated."""
    for session, at, said in present(stage):
        if said.request not in OBSERVED or said.request == Req.RESET_OWNER:
            raise wrong(stage, session, at, "a request for a GPU", "another")


# Config space


@control.check("front.config.range", VHOST_USER, "Virtio device config space", MUST)
def config_range(stage: Stage) -> None:
    """GET_CONFIG and SET_CONFIG stay within 256 bytes, and carry as many bytes as they say."""
    for session, at, said in present(stage, Req.GET_CONFIG, Req.SET_CONFIG):
        if said.size < ConfigSpace.sizeof:
            raise wrong(stage, session, at, f"{ConfigSpace.sizeof} bytes and the data", f"{said.size}")
        config = ConfigSpace.unpack_from(said.payload)
        if config.offset + config.length > MAX_CONFIG or said.size != ConfigSpace.sizeof + config.length:
            got = f"offset {config.offset}, length {config.length}, {said.size - ConfigSpace.sizeof} bytes of data"
            raise wrong(stage, session, at, f"a range within {MAX_CONFIG} bytes, and all of its data", got)


@control.check("front.features.protocol-bit", VHOST_USER, "VHOST_USER_SET_FEATURES", SHOULD)
def protocol_features_bit(stage: Stage) -> None:
    """Where protocol features are used, SET_FEATURES has their bit: rings begin disabled only then."""
    for session, at, said in present(stage, Req.SET_FEATURES):
        if accepted(session, at) and not number(said) & F_PROTOCOL_FEATURES:
            raise wrong(stage, session, at, f"{F_PROTOCOL_FEATURES:#x} among the features", f"{number(said):#x}")
