"""The front-end's session, as the kit sees it."""

import contextlib
import socket

import pytest

from outboard.conformance.frontend.session import Session
from outboard.conformance.frontend.wire import Said
from outboard.conformance.transcript import Transcript
from outboard.host.loop import Loop
from outboard.spec.vhost_user_gpu import Req

pytestmark = pytest.mark.alike

EVERY_S = 0.01


def test_a_guest_that_draws_all_the_time_is_settled_when_its_vmm_is():
    """Pictures are no words on the control socket."""
    ours, theirs = socket.socketpair()
    with contextlib.closing(Loop()) as loop, theirs:
        session = Session(loop, ours, Transcript())

        def draw():
            session._note(Said("display", False, 1, Req.UPDATE, 0, bytes(20), 20))
            session.changed()
            loop.call_later(EVERY_S, draw)

        draw()
        session.settle(5)
        assert session.quiet
        assert len(session.record) > 1
        theirs.close()
        assert session.run(lambda: session.ended is not None, 5)
