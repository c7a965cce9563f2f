"""How a front-end's replies on the GPU socket looked, all of them, whoever had asked.

Source: QEMU docs/interop/vhost-user-gpu, "Wire format".
"""

from outboard.conformance.check import MUST, SHOULD, VHOST_USER_GPU, Checks
from outboard.conformance.frontend.control import wrong
from outboard.conformance.frontend.session import Session
from outboard.conformance.frontend.stage import Stage
from outboard.conformance.frontend.wire import Said
from outboard.spec.vhost_user_gpu import FLAG_REPLY, REQUESTS

replies = Checks()


@replies.check("front.reply.flags", VHOST_USER_GPU, "Header", MUST)
def reply_flags(stage: Stage) -> None:
    """Flags of a reply are 4: bit 2, and no other."""
    for session in stage.heard():
        for at, said in _replies(session):
            if said.flags != FLAG_REPLY:
                raise wrong(stage, session, at, f"flags {FLAG_REPLY:#x}", f"{said.flags:#x}")


@replies.check("front.reply.size", VHOST_USER_GPU, "Front-end message types", MUST)
def reply_size(stage: Stage) -> None:
    """A reply has the size that its request's answer has."""
    for session in stage.heard():
        for at, said in _replies(session):
            row = REQUESTS.get(said.request)  # type: ignore[call-overload]
            expected = row.reply.sizeof if row and row.reply else 0
            if row and said.size != expected:
                raise wrong(stage, session, at, f"{expected} bytes in reply to {row.req.name}", f"{said.size}")


@replies.check("front.reply.whole", VHOST_USER_GPU, "Wire format", SHOULD)
def reply_whole(stage: Stage) -> None:
    """Header and payload of a reply leave by one call: QEMU's back-end does not put pieces together."""
    for session in stage.heard():
        for at, said in _replies(session):
            if not said.whole:
                raise wrong(stage, session, at, "header and payload at once", "pieces")


@replies.check("front.reply.fds", VHOST_USER_GPU, "Communication", SHOULD)
def reply_fds(stage: Stage) -> None:
    """No fd comes with a reply."""
    for session in stage.heard():
        for at, said in _replies(session):
            if said.fds:
                raise wrong(stage, session, at, "no fd", f"{len(said.fds)}")


@replies.check("front.reply.asked", VHOST_USER_GPU, "Communication", MUST)
def reply_asked(stage: Stage) -> None:
    """The front-end says nothing on the GPU socket but replies, one to a question."""
    for session in stage.heard():
        for at in session.unasked:
            raise wrong(stage, session, at, "a reply to a question", f"request {session.record[at].request}, unasked")


@replies.check("front.reply.order", VHOST_USER_GPU, "Communication", MUST)
def reply_order(stage: Stage) -> None:
    """Replies come in the order of their questions."""
    for session in stage.heard():
        for at in session.unordered:
            raise wrong(stage, session, at, "the reply to an earlier question first", "a later one's")


def _replies(session: Session) -> list[tuple[int, Said]]:
    return [(at, said) for at, said in enumerate(session.record) if said.by_front and said.socket == "display"]
