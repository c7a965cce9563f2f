"""Where front-ends are met: the socket they connect to, the program that is one, and what a check gets to see of them.

Source: QEMU docs/interop/vhost-user, "Communication".

One front-end serves all checks that leave it as it was. A check that may hurt it gets one of its own, and one that has
died is started anew, if there is a program to start.
"""

import contextlib
import os
import signal
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from outboard.conformance.backend.peer import fate
from outboard.conformance.check import NotApplicable, PeerUnusable
from outboard.conformance.frontend.session import Session
from outboard.conformance.frontend.wire import Said
from outboard.conformance.transcript import Transcript
from outboard.errors import LocalError
from outboard.frontend.program import Program
from outboard.host import sockets
from outboard.host.loop import EDGE, READ, Loop

BOOT_WAITS = 24
"""Waits that a front-end gets until its guest has started the device: two minutes, when a wait is 5 s."""
FATE_S = 0.5
"""Seconds that a process gets to be seen dead once its socket is closed."""


class FrontEnd(Program):
    """A front-end that we started. argv: with {socket} where the path belongs."""

    def __init__(self, argv: Sequence[str], path: Path) -> None:
        try:
            super().__init__([word.replace("{socket}", str(path)) for word in argv])
        except LocalError as error:
            raise PeerUnusable(str(error)) from error
        self.pidfd = os.pidfd_open(self.pid)

    def fate(self) -> str:
        """Return how the process ended, with its last words; "" while it lives."""
        return fate(self)

    def close(self, patience_s: float = 0) -> None:
        """Kill it at once, with what it started."""
        os.close(self.pidfd)
        super().close(patience_s)


class Meeting:
    """One front-end from its connection to its end. program: its process, if it is ours; left: we ended it."""

    def __init__(self, session: Session, program: FrontEnd | None) -> None:
        self.session = session
        self.program = program
        self.left = False
        if program is not None:
            session.loop.add(program.pidfd, READ | EDGE, session.changed)

    def gone(self) -> bool:
        """Whether it has ended by itself."""
        return self.session.ended is not None or (self.program is not None and bool(self.program.fate()))

    def fate(self, grace_s: float = 0) -> str:
        """Return what became of it; "" while all is well, or when we ended it. grace_s: to wait for an end."""
        if self.left or not (self.gone() or (grace_s and self.session.run(self.gone, grace_s))):
            return ""
        program = self.program
        if program is not None and self.session.run(program.fate, FATE_S):
            return program.fate()
        return f"the front-end closed the control socket {self.session.ended}".rstrip()

    def close(self) -> None:
        """Kill the program and close the session."""
        self.left = True
        self.session.close()
        if self.program is not None:
            self.session.loop.remove(self.program.pidfd)
            self.program.close()
            self.program = None


class Stage:
    """The context of every check of a front-end. argv: the program, empty when front-ends come by themselves.

    timeout_s: for every wait; hostile: whether checks may do what is known to kill front-ends.
    """

    def __init__(self, path: Path | None, argv: Sequence[str], timeout_s: float, hostile: bool) -> None:
        self.timeout_s = timeout_s
        self.hostile = hostile
        self.loop = Loop()
        self.meetings: list[Meeting] = []
        self._argv = list(argv)
        self._folder = tempfile.TemporaryDirectory(prefix="outboard-")
        self.path = path or Path(self._folder.name, "gpu.sock")
        self._listener = sockets.listen(self.path)
        self._transcript = Transcript()
        self._told: list[Said] | None = None
        self._hopeless = ""
        self._current: Meeting | None = None
        self._subject: Meeting | None = None

    # Front-ends

    def running(self) -> Session:
        """Return a front-end whose device runs, to be probed. Raises NotApplicable, PeerUnusable when there is none."""
        meeting = self._current
        if meeting is None or self._lost(meeting):
            meeting = self._subject = self._next()
            self._wait_running(meeting)
            self._listen_anew()
        self._subject = meeting
        self._wait_running(meeting)
        meeting.session.probing = True
        return meeting.session

    def _lost(self, meeting: Meeting) -> bool:
        """Whether another front-end is needed. Raises NotApplicable when there is no program to start."""
        session = meeting.session
        if not session.display_live and not meeting.gone():
            session.settle(self.timeout_s)  # a guest that resets the device closes the GPU socket first
        if not (meeting.gone() or session.display_lost):
            return False
        if not self._argv:
            gone = meeting.fate() or "the GPU socket is closed"
            raise NotApplicable(f"needs a front-end, and {gone}; a program behind -- would be started anew")
        return True

    def started(self) -> Session:
        """Return a front-end of its own that has just connected. Raises NotApplicable without a program."""
        if not self._argv:
            raise NotApplicable("needs a front-end of its own, and so the program that is one, behind --")
        self._subject = self._next()
        self._subject.session.probing = True
        return self._subject.session

    def fresh(self) -> Session:
        """Return a front-end of its own that runs and was shown nothing yet. Raises as `started`."""
        session = self.started()
        self._wait_running(self.meetings[-1])
        self._listen_anew()
        return session

    def dangerous(self) -> Session:
        """As `fresh`, for what is known to end front-ends. Raises NotApplicable unless that is wanted."""
        if not self.hostile:
            raise NotApplicable("may end the front-end; only with --hostile")
        return self.fresh()

    def wait_held(self, session: Session) -> None:
        """Wait until the front-end awaits an answer on the control socket. Raises NotApplicable when it never does."""
        session.hold = True
        meeting = self.meetings[-1]
        over = BOOT_WAITS * self.timeout_s
        session.run(lambda: session.holding or session.running or meeting.gone(), over)
        if not session.holding:
            raise NotApplicable("the front-end awaits no answer on the control socket behind GPU_SET_SOCKET")

    def ends_when_asked(self) -> bool:
        """Ask the current front-end to end; whether its process does."""
        meeting = self.meetings[-1]
        program = meeting.program
        assert program is not None
        meeting.left = True
        program.signal(signal.SIGTERM)
        return meeting.session.run(program.fate, self.timeout_s)

    def finish(self) -> None:
        """Ask the current front-end to end, watch it stop, and see that it is gone."""
        meeting, self._current = self._current, None
        if meeting is None:
            return
        if meeting.program is not None and not meeting.fate():
            meeting.session.release()
            meeting.left = True
            meeting.program.signal(signal.SIGTERM)
            meeting.session.run(lambda: meeting.session.ended is not None, self.timeout_s)
        meeting.close()

    def _next(self) -> Meeting:
        """Meet the next front-end, in place of the current one. Raises PeerUnusable when none comes."""
        if self._hopeless:
            raise NotApplicable(f"needs a device that runs, and {self._hopeless}")
        self.finish()
        program = None
        if self._argv:
            program = FrontEnd(self._argv, self.path)
        try:
            sock = self._accepted(program)
        except BaseException as error:
            if program:
                program.close()
            if isinstance(error, PeerUnusable) and self.meetings:
                raise NotApplicable(str(error)) from error
            raise
        meeting = self._current = Meeting(Session(self.loop, sock, self._transcript), program)
        self.meetings.append(meeting)
        return meeting

    def _accepted(self, program: FrontEnd | None) -> socket.socket:
        """Wait until a front-end connects."""
        patience = self.loop.call_later(BOOT_WAITS * self.timeout_s, self.loop.stop) if program else None
        self.loop.add(self._listener.fileno(), READ, self.loop.stop)
        if program:
            self.loop.add(program.pidfd, READ, self.loop.stop)
        try:
            self.loop.run()
            return self._listener.accept()[0]
        except BlockingIOError:
            late = f"none in {BOOT_WAITS * self.timeout_s:g} s, and the program runs on"
            fate = (program.fate() if program else "") or late
            raise PeerUnusable(f"no front-end connects to {self.path}: {fate}") from None
        finally:
            self.loop.remove(self._listener.fileno())
            if program:
                self.loop.remove(program.pidfd)
            if patience:
                patience.cancel()

    def _wait_running(self, meeting: Meeting) -> None:
        """Wait until the guest has started the device. Raises NotApplicable when it does not, and then at once."""
        session = meeting.session
        end = time.monotonic() + (0 if self._hopeless else BOOT_WAITS * self.timeout_s)
        # A guest may reset what it has just started: what counts is a device that runs while nothing more is said.
        while not (session.running and session.quiet) and not meeting.gone() and time.monotonic() < end:
            session.run(lambda: session.running or meeting.gone(), end - time.monotonic())
            session.settle(self.timeout_s)
        if not session.running:
            late = f"its guest did not start the device in {BOOT_WAITS * self.timeout_s:g} s"
            self._hopeless = self._hopeless or meeting.fate() or late
            raise NotApplicable(f"needs a device that runs, and {self._hopeless}")

    # What was heard

    def heard(self) -> list[Session]:
        """Return the sessions of all front-ends that were met, at least one; those of a program each to its end."""
        if not self.meetings:
            with contextlib.suppress(NotApplicable):
                self.running()
        if self._argv:
            self.finish()
        elif self._current is not None:
            self._current.session.release()
        self._subject = None
        return [meeting.session for meeting in self.meetings]

    def show(self, session: Session, at: int) -> None:
        """Have the report of this check show what led to message `at` of a session's record."""
        self._told = session.record[: at + 1]

    # The context of a check

    def begin(self) -> None:
        """A check begins."""
        self._told = None
        self._subject = None
        self._listen_anew()

    def _listen_anew(self) -> None:
        """Forget what was said so far, as far as reports show it."""
        self._transcript = Transcript()
        if self._current is not None:
            self._current.session.transcript = self._transcript

    def exchange(self) -> tuple[str, ...]:
        """Return what went over the wire in this check, decoded."""
        if self._told is None:
            return self._transcript.lines()
        transcript = Transcript()
        for said in self._told:
            said.show(transcript)
        return transcript.lines()

    def fate(self, grace_s: float = 0) -> str:
        """Return what became of the front-end that this check probed; "" while all is well."""
        return self._subject.fate(grace_s) if self._subject else ""

    def close(self) -> None:
        """End all."""
        self.finish()
        self._listener.close()
        self.path.unlink(missing_ok=True)
        self._folder.cleanup()
        self.loop.close()
