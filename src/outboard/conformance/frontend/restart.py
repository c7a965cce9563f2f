"""How a front-end hands the GPU socket over, stops its rings, and starts them anew.

Source: QEMU docs/interop/vhost-user, "Ring states"; docs/interop/vhost-user-gpu, GPU_SET_SOCKET.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

from outboard.conformance.check import MUST, SHOULD, VHOST_USER, VHOST_USER_GPU, Checks, Failed, NotApplicable
from outboard.conformance.frontend.control import present, wrong
from outboard.conformance.frontend.rings import QUEUES, about, enabling, index_of
from outboard.conformance.frontend.session import Session
from outboard.conformance.frontend.stage import Stage
from outboard.conformance.frontend.wire import STREAM, Said
from outboard.spec.vhost_user import Req, VringState

restart = Checks()


# The GPU socket


@restart.check("front.socket.sent", VHOST_USER_GPU, "VHOST_USER_GPU_SET_SOCKET", MUST)
def socketabout(stage: Stage) -> None:
    """GPU_SET_SOCKET hands a GPU socket over, before the rings are enabled."""
    for session, at, _ in enabling(stage):
        if not any(_is_socket(said) for said in session.record[:at]):
            raise wrong(stage, session, at, "GPU_SET_SOCKET with an fd before", "no GPU socket")


def _is_socket(said: Said) -> bool:
    return said.asks(Req.GPU_SET_SOCKET) and bool(said.fds)


def _sockets(stage: Stage) -> Iterator[tuple[Session, int, Said]]:
    for session, at, said in present(stage, Req.GPU_SET_SOCKET):
        if said.fds:
            yield session, at, said


@restart.check("front.socket.stream", VHOST_USER_GPU, "VHOST_USER_GPU_SET_SOCKET", MUST)
def socket_stream(stage: Stage) -> None:
    """The GPU socket is a connected UNIX stream socket."""
    for session, at, said in _sockets(stage):
        if said.fds[0].kind != STREAM:
            raise wrong(stage, session, at, f"a {STREAM}", said.fds[0].kind)


@restart.check("front.socket.blocking", VHOST_USER_GPU, "VHOST_USER_GPU_SET_SOCKET", SHOULD)
def socket_blocking(stage: Stage) -> None:
    """The GPU socket is in blocking mode: QEMU's back-end loses what does not fit otherwise."""
    for session, at, said in _sockets(stage):
        if not said.fds[0].blocking:
            raise wrong(stage, session, at, "a socket without O_NONBLOCK", "one with O_NONBLOCK")


# Stop and restart


def _each_restart(stage: Stage, judge: Callable[[Stage, Session, int, int, int], None]) -> None:
    """Judge every start of a ring that was started before: session, ring, place of the last start and of this one."""
    found = False
    for session in {id(one): one for one, _, _ in present(stage, Req.SET_VRING_KICK)}.values():
        for ring in range(QUEUES):
            record = enumerate(session.record)
            starts = [at for at, said in record if said.asks(Req.SET_VRING_KICK) and index_of(said) == ring]
            for before, at in pairwise(starts):
                found = True
                judge(stage, session, ring, before, at)
    if not found:
        raise NotApplicable("the guest did not start the device a second time while it was watched")


@restart.check("front.restart.stopped", VHOST_USER, "Ring states", SHOULD)
def restart_stopped(stage: Stage) -> None:
    """A ring that runs is stopped by GET_VRING_BASE before it is started anew."""

    def judge(stage: Stage, session: Session, ring: int, before: int, at: int) -> None:
        if not _stops(session, ring, before, at):
            raise wrong(stage, session, at, f"GET_VRING_BASE {ring} since the last start", "none")

    _each_restart(stage, judge)


def _stops(session: Session, ring: int, before: int, at: int) -> list[int]:
    """Return the bases with which a ring was stopped between two messages."""
    answers = [said for said in session.record[before:at] if said.answers(Req.GET_VRING_BASE)]
    states = [VringState.unpack(said.payload) for said in answers]
    return [state.num for state in states if state.index == ring]


@restart.check("front.restart.base", VHOST_USER, "VHOST_USER_SET_VRING_BASE", MUST)
def restart_base(stage: Stage) -> None:
    """A ring goes on from the base that it was stopped with, or begins anew at 0."""

    def judge(stage: Stage, session: Session, ring: int, before: int, at: int) -> None:
        bases = about(session, at, Req.SET_VRING_BASE, ring)
        stops = _stops(session, ring, before, at)
        if bases and stops and VringState.unpack_from(bases[-1].payload).num not in (0, stops[-1]):
            got = VringState.unpack_from(bases[-1].payload).num
            raise wrong(stage, session, at, f"base {stops[-1]}, or 0", f"{got}")

    _each_restart(stage, judge)


@restart.check("front.restart.socket", VHOST_USER_GPU, "VHOST_USER_GPU_SET_SOCKET", SHOULD)
def restart_socket(stage: Stage) -> None:
    """A device that is started anew has a GPU socket: the one it had, or a new one."""

    def judge(stage: Stage, session: Session, ring: int, before: int, at: int) -> None:
        ends = [place for place in session.display_ends if before < place <= at]
        if ends and not any(_is_socket(said) for said in session.record[ends[-1] : at]):
            raise wrong(stage, session, at, "a new GPU socket, since the one before was closed", "none")

    _each_restart(stage, judge)


@restart.check("front.stop.both", VHOST_USER, "VHOST_USER_GET_VRING_BASE", SHOULD)
def stop_both(stage: Stage) -> None:
    """A front-end that stops one ring stops both."""
    for session in {id(one): one for one, _, _ in present(stage, Req.GET_VRING_BASE)}.values():
        running: set[int] = set()
        stopped_last = 0
        for at, said in enumerate(session.record):
            if said.asks(Req.SET_VRING_KICK):
                running.add(index_of(said))
            elif said.asks(Req.GET_VRING_BASE):
                running.discard(index_of(said))
                stopped_last = at
        if running and running != set(range(QUEUES)):
            stage.show(session, stopped_last)
            raise Failed("GET_VRING_BASE for rings 0 and 1", f"none for {min(running)}")
