"""What a front-end answers on the GPU socket, asked while its device runs.

Source: QEMU docs/interop/vhost-user-gpu; VIRTIO-1.2 5.7.6.8 (display info).
"""

from outboard.conformance.check import (
    MUST,
    ROBUSTNESS,
    SHOULD,
    VHOST_USER_GPU,
    VIRTIO,
    Checks,
    Failed,
    expect,
)
from outboard.conformance.frontend.session import Question, Session
from outboard.conformance.frontend.stage import Stage
from outboard.conformance.frontend.wire import Said
from outboard.layout import Layout
from outboard.spec.vhost_user_gpu import (
    REQUESTS,
    U64,
    Header,
    ProtocolFeature,
    Req,
    Scanout,
)
from outboard.spec.virtio_gpu import CtrlHdr, DisplayOne, Resp, RespDisplayInfo

MAX_SIDE = 16384
"""Width and height of a display, at most, that a guest can use."""
OTHER_SIZE = (320, 200)
"""A scanout's size that is no display's."""
GARBAGE_FLAGS = (0x5, 0x36, 0x7F3D, 0xFFFF_FFFF)
"""QEMU's back-end sends what its heap holds; seen were the first three, the reply bit among them."""
UNKNOWN = 99

questions = Checks()


# Asking


def answer(stage: Stage, session: Session, question: Question, behind: str = "") -> Said:
    """Wait for the reply to a question. behind: what was sent before it. Raises Failed when none comes."""
    name = Req(question.request).name
    if not session.run(lambda: question.reply is not None or not session.display_live, stage.timeout_s):
        question.optional = True
        raise Failed(f"a reply to {name}{behind}", f"none in {stage.timeout_s:g} s{_stuck(session)}")
    if question.reply is None:
        raise Failed(f"a reply to {name}{behind}", f"the GPU socket closed {session.display_ended}".rstrip())
    return question.reply


def _stuck(session: Session) -> str:
    return f", {session.unsent} bytes before it not read" if session.unsent else ""


def asked(stage: Stage, session: Session, request: Req, payload: Layout | bytes = b"", behind: str = "") -> Said:
    """Ask a question and wait for its reply, whose payload has the declared size. Raises Failed."""
    reply = answer(stage, session, session.ask(request, payload), behind)
    layout = REQUESTS[request].reply
    expected = layout.sizeof if layout else 0
    expect(reply.size == expected, f"{expected} bytes in reply to {request.name}", reply.size)
    return reply


def still_answers(stage: Stage, session: Session, behind: str) -> None:
    """See that the stream is in step: a question behind what was sent is answered."""
    if not session.display_live:
        raise Failed(f"a front-end that goes on behind {behind}", "the GPU socket closed")
    asked(stage, session, Req.GET_DISPLAY_INFO, behind=f" behind {behind}")


def features(stage: Stage, session: Session) -> int:
    """Return the front-end's protocol features."""
    return U64.unpack(asked(stage, session, Req.GET_PROTOCOL_FEATURES).payload).value


def displays(stage: Stage, session: Session) -> tuple[DisplayOne, ...]:
    """Return what the front-end says of its outputs."""
    return RespDisplayInfo.unpack(asked(stage, session, Req.GET_DISPLAY_INFO).payload).pmodes


def enabled(stage: Stage, session: Session) -> list[int]:
    """Return the ids of the outputs that are enabled."""
    return [at for at, one in enumerate(displays(stage, session)) if one.enabled]


# Protocol features


@questions.check("front.gpu-features.answered", VHOST_USER_GPU, "VHOST_USER_GPU_GET_PROTOCOL_FEATURES", MUST)
def features_answered(stage: Stage) -> None:
    """GET_PROTOCOL_FEATURES is answered, by 8 bytes."""
    features(stage, stage.running())


@questions.check("front.gpu-features.known", VHOST_USER_GPU, "Protocol features", SHOULD)
def features_known(stage: Stage) -> None:
    """The mask has bits that the document names, EDID 1 and DMABUF2 2, and no others."""
    mask = features(stage, stage.running())
    named = sum(ProtocolFeature)
    expect(not mask & ~named, f"bits of {named:#x}", f"{mask:#x}")


@questions.check("front.gpu-features.set", VHOST_USER_GPU, "VHOST_USER_GPU_SET_PROTOCOL_FEATURES", MUST)
def features_set(stage: Stage) -> None:
    """SET_PROTOCOL_FEATURES is taken and not answered."""
    session = stage.running()
    mask = features(stage, session)
    before = len(session.unasked)
    session.tell(Req.SET_PROTOCOL_FEATURES, U64(mask))
    still_answers(stage, session, "SET_PROTOCOL_FEATURES")
    expect(len(session.unasked) == before, "no reply to SET_PROTOCOL_FEATURES", "one")


# Display info


@questions.check("front.display-info.answered", VHOST_USER_GPU, "VHOST_USER_GPU_GET_DISPLAY_INFO", MUST)
def display_info_answered(stage: Stage) -> None:
    """GET_DISPLAY_INFO is answered, by struct virtio_gpu_resp_display_info, 408 bytes with its header."""
    displays(stage, stage.running())


@questions.check("front.display-info.type", VIRTIO, "5.7.6.8 VIRTIO_GPU_CMD_GET_DISPLAY_INFO", MUST)
def display_info_type(stage: Stage) -> None:
    """The display info has the type RESP_OK_DISPLAY_INFO."""
    said = asked(stage, stage.running(), Req.GET_DISPLAY_INFO)
    kind = CtrlHdr.unpack_from(said.payload).type
    expect(kind == Resp.OK_DISPLAY_INFO, f"type {int(Resp.OK_DISPLAY_INFO):#x}", f"{kind:#x}")


@questions.check("front.display-info.enabled", VIRTIO, "5.7.6.8 VIRTIO_GPU_CMD_GET_DISPLAY_INFO", SHOULD)
def display_info_enabled(stage: Stage) -> None:
    """At least one output is enabled: a guest shows nothing otherwise."""
    expect(enabled(stage, stage.running()), "an output with enabled 1", "none")


@questions.check("front.display-info.sizes", VIRTIO, "5.7.6.8 VIRTIO_GPU_CMD_GET_DISPLAY_INFO", MUST)
def display_info_sizes(stage: Stage) -> None:
    """Enabled outputs have a size that a guest can use."""
    for at, one in enumerate(displays(stage, stage.running())):
        good = 1 <= one.r.width <= MAX_SIDE and 1 <= one.r.height <= MAX_SIDE
        if one.enabled and not good:
            raise Failed(f"1 to {MAX_SIDE} pixels each way", f"{one.r.width}x{one.r.height} for output {at}")


@questions.check("front.display-info.flag", VIRTIO, "5.7.6.8 VIRTIO_GPU_CMD_GET_DISPLAY_INFO", SHOULD)
def display_info_flag(stage: Stage) -> None:
    """`enabled` is 0 or 1."""
    for at, one in enumerate(displays(stage, stage.running())):
        expect(one.enabled in (0, 1), "0 or 1", f"{one.enabled:#x} for output {at}")


@questions.check("front.display-info.display", VIRTIO, "5.7.6.8 VIRTIO_GPU_CMD_GET_DISPLAY_INFO", MUST)
def display_info_display(stage: Stage) -> None:
    """The display info is the display's: a SCANOUT of another size does not change it."""
    session = stage.running()
    before = displays(stage, session)
    session.tell(Req.SCANOUT, Scanout(0, *OTHER_SIZE))
    after = displays(stage, session)
    changed = [at for at, one in enumerate(before) if one != after[at]]
    for at in changed:
        got = f"{after[at].r.width}x{after[at].r.height} behind SCANOUT {OTHER_SIZE[0]}x{OTHER_SIZE[1]}"
        raise Failed(f"{before[at].r.width}x{before[at].r.height} for output {at}, as before", got)


# The stream


@questions.check("front.questions.pipelined", VHOST_USER_GPU, "Communication", ROBUSTNESS)
def pipelined(stage: Stage) -> None:
    """Questions that come together are answered, each once, in their order."""
    session = stage.running()
    before = len(session.unordered)
    row = (Req.GET_PROTOCOL_FEATURES, Req.GET_DISPLAY_INFO, Req.GET_PROTOCOL_FEATURES, Req.GET_DISPLAY_INFO)
    waiting = [session.ask(request) for request in row]
    for question in waiting:
        answer(stage, session, question)
    expect(len(session.unordered) == before, "replies in the order of the questions", "another order")


@questions.check("front.questions.flags", VHOST_USER_GPU, "Header", SHOULD)
def flags(stage: Stage) -> None:
    """The flags of a request are not looked at: QEMU's back-end leaves garbage there, the reply bit included."""
    session = stage.running()
    for value in GARBAGE_FLAGS:
        question = session.ask(Req.GET_DISPLAY_INFO, flags=value)
        answer(stage, session, question, f" with flags {value:#x}")


@questions.check("front.questions.bytewise", VHOST_USER_GPU, "Wire format", ROBUSTNESS)
def bytewise(stage: Stage) -> None:
    """A request that comes byte by byte is put together."""
    session = stage.running()
    question = Question(Req.GET_DISPLAY_INFO, True)
    message = Header(Req.GET_DISPLAY_INFO, 0, 0).pack()
    for at in range(len(message)):
        last = at == len(message) - 1
        session.raw(message[at : at + 1], f"byte {at} of GET_DISPLAY_INFO", question if last else None)
        session.run(lambda: not session.display_live, 0.01)
    answer(stage, session, question, " that came byte by byte")


@questions.check("front.questions.unknown", VHOST_USER_GPU, "Front-end message types", SHOULD)
def unknown(stage: Stage) -> None:
    """A request that nobody knows is skipped with its payload, and not answered."""
    session = stage.running()
    before = len(session.unasked)
    session.tell(UNKNOWN, bytes(range(40)))
    still_answers(stage, session, f"request {UNKNOWN}")
    expect(len(session.unasked) == before, f"no reply to request {UNKNOWN}", "one")
