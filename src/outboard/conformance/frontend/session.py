"""One front-end while it is checked: between it and our own back-end, hearing everything, asking questions of its own.

Source: QEMU docs/interop/vhost-user; docs/interop/vhost-user-gpu.

The control socket is served by the real device of `outboard.backend`, so that a guest finds a GPU that works. The GPU
socket stays here: what the device says is passed on, replies find who asked. While a check probes, the device's
questions are passed on still, its pictures are not; it shows them again on a new socket afterwards (`release`).
"""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from outboard.backend.control import serve
from outboard.backend.device import Device, Options
from outboard.conformance.frontend.memory import unmappable
from outboard.conformance.frontend.wire import Said, Wire, look
from outboard.conformance.transcript import Transcript
from outboard.errors import LocalError, ProtocolError
from outboard.host.events import close_all
from outboard.host.loop import Loop
from outboard.layout import Layout
from outboard.spec.vhost_user import FLAG_NEED_REPLY, VERSION, Header, Req
from outboard.spec.vhost_user_gpu import FLAG_REPLY, REQUESTS
from outboard.vhost_user.backend import BackendSession, Request
from outboard.vhost_user.connection import Frame

ANY_SIZE = 1 << 31
RECORD_LENGTH = 100_000
"""Messages that are kept; what comes later is served and not judged."""
UNSENT_MAX = 4 << 20
"""Bytes that a front-end may leave unread before the device has to wait."""
QUIET_S = 0.25
"""Seconds without a word on the control socket after which a start is taken to be over."""


@dataclass
class Question:
    """A request that has a reply. ours: a check asked, not the device; optional: others may be answered before it."""

    request: int
    ours: bool
    optional: bool = False
    reply: Said | None = None


class Session:
    """A front-end's connection. `record` has all that was said on both sockets, in order.

    probing: pictures of the device are not passed on. hold: keep the first answer behind GPU_SET_SOCKET back.
    refused: places in the record of requests that our back-end could not carry out, and why. unasked, unordered:
    places of replies to no question, and of replies that overtook another.
    """

    def __init__(self, loop: Loop, sock: socket.socket, transcript: Transcript) -> None:
        self.loop = loop
        self.record: list[Said] = []
        self.control_words = 0
        self.refused: list[tuple[int, str]] = []
        self.unasked: list[int] = []
        self.unordered: list[int] = []
        self.ended: str | None = None
        self.display_ended: str | None = None
        self.displays = 0
        self.display_ends: list[int] = []
        self.probing = False
        self.quiet = False
        self.hold = False
        self.device = Device(loop, Options())
        self.transcript = transcript
        self._backend = BackendSession()
        self._control = Wire(loop, sock, self._control_said, self._control_ended)
        self._display: Wire | None = None
        self._inner: Wire | None = None
        self._asked: list[Question] = []
        self._awaited: Callable[[], object] | None = None
        self._held: list[bytes] | None = None

    # Waiting

    def run(self, until: Callable[[], object], seconds: float) -> bool:
        """Serve until `until()` is true, at most `seconds`; whether it is."""
        if not until():
            self._awaited = until
            timer = self.loop.call_later(seconds, self.loop.stop)
            self.loop.run()
            timer.cancel()
            self._awaited = None
        return bool(until())

    def changed(self) -> None:
        """Look again at what is waited for."""
        if self._awaited is not None and self._awaited():
            self.loop.stop()

    def settle(self, seconds: float) -> None:
        """Serve until the control socket is quiet and all questions are answered; at most `seconds`."""
        self.quiet = False
        while seconds > 0 and self.ended is None and not (self.quiet and not self._asked):
            self.quiet = not self.run(self._more_than(self.control_words), min(seconds, QUIET_S))
            seconds -= QUIET_S

    def _more_than(self, count: int) -> Callable[[], bool]:
        return lambda: self.control_words > count or self.ended is not None

    @property
    def running(self) -> bool:
        """Whether the device runs and has a display: all its rings are live."""
        return self.display_live and all(ring.live for ring in self.device.rings)

    @property
    def display_lost(self) -> bool:
        """Whether the GPU socket is closed although the device runs."""
        return not self.display_live and all(ring.live for ring in self.device.rings)

    @property
    def display_live(self) -> bool:
        """Whether the GPU socket is open."""
        return self._display is not None and not self._display.closed

    # The control socket

    def _note(self, said: Said) -> int:
        """Add a message to record and transcript; return its place in the record."""
        if len(self.record) < RECORD_LENGTH:
            self.record.append(said)
        said.show(self.transcript)
        return len(self.record) - 1

    def _control_said(self, frame: Frame, whole: bool) -> None:
        fds = tuple(look(fd) for fd in frame.fds)
        trouble = "; ".join(unmappable(frame))
        size = len(frame.payload)
        said = Said("control", True, 0, frame.request, frame.flags, frame.payload, size, fds, whole, trouble)
        self.control_words += 1
        at = self._note(said)
        if frame.request == Req.GPU_SET_SOCKET and frame.fds:
            self._take_display(frame)
        # Flags are judged by the checks; here they must not end the session.
        flags = VERSION | frame.flags & FLAG_NEED_REPLY
        message = Header(frame.request, flags, size).pack() + frame.payload
        try:
            answers = [self._served(request) for request in self._backend.receive(message, frame.take_fds())]
        except ProtocolError as error:
            self._refuse(at, error)
            answers = []
        self._answer(b"".join(answers))
        self.changed()

    def _refuse(self, at: int, error: ProtocolError) -> None:
        self.refused.append((at, f"{error.request}: {error.expected}, got {error.got}"))
        accepted = self._backend.protocol_features
        close_all(self._backend.close())
        self._backend = BackendSession()
        self._backend.protocol_features = accepted

    def _served(self, request: Request) -> bytes:
        try:
            return serve(self.device, self._backend, request).data
        except ProtocolError as error:
            self.refused.append((len(self.record) - 1, f"{error.request}: {error.expected}, got {error.got}"))
            return self._backend.acknowledge(request, False)

    def _answer(self, data: bytes) -> None:
        """Send an answer, or hold it back while a check wants to see what the front-end does meanwhile."""
        if not data:
            return
        if self.hold and self.displays:
            self.hold = False
            self._held = []
        if self._held is not None:
            self._held.append(data)
            return
        self._control.send(data)
        header = Header.unpack_from(data)
        payload = data[Header.sizeof :]
        self._note(Said("control", False, 0, header.request, header.flags, payload, header.size))

    @property
    def holding(self) -> bool:
        """Whether an answer is held back."""
        return self._held is not None

    def let_go(self) -> None:
        """Send the answers that were held back."""
        held, self._held = self._held or [], None
        for data in held:
            self._answer(data)

    def _control_ended(self, why: str) -> None:
        self.ended = why
        self.transcript.note(f"the front-end closed the control socket {why}".rstrip())
        self.changed()

    # The GPU socket

    def _take_display(self, frame: Frame) -> None:
        """Keep the first fd of GPU_SET_SOCKET, and give the device one of ours in its place."""
        self._drop_display()
        self.displays += 1
        self.display_ended = None
        theirs = frame.fds[0]
        if look(theirs).kind.startswith("connected"):
            frame.fds.pop(0)
            sock = socket.socket(fileno=theirs)
            self._display = Wire(self.loop, sock, self._display_said, self._display_closed, on_room=self._display_room)
            frame.fds.insert(0, self._new_inner())

    def _new_inner(self) -> int:
        """Make a GPU socket for the device; return its end."""
        ours, devices = socket.socketpair()
        self._inner = Wire(self.loop, ours, self._device_said, lambda why: None, ANY_SIZE)
        return devices.detach()

    def _drop_display(self) -> None:
        for wire in (self._display, self._inner):
            if wire is not None:
                wire.close()
        self._display = self._inner = None
        self._asked.clear()

    def _device_said(self, frame: Frame, whole: bool) -> None:
        row = REQUESTS.get(frame.request)  # type: ignore[call-overload]
        if row is None or self._display is None:
            close_all(frame.take_fds())
        elif row.reply or row.acknowledged:
            self._say(Question(frame.request, False), 0, frame.payload, frame.take_fds())
        elif self.probing:
            close_all(frame.take_fds())
        else:
            self._say(None, 0, frame.payload, frame.take_fds(), frame.request)
            if self._inner is not None and self._display.unsent > UNSENT_MAX:
                self._inner.pause(True)

    def _display_room(self) -> None:
        if self._inner is not None:
            self._inner.pause(False)

    def _say(self, question: Question | None, flags: int, payload: bytes, fds: Sequence[int], request: int = 0) -> None:
        assert self._display is not None
        number = question.request if question else request
        if question:
            self._asked.append(question)
        kinds = tuple(look(fd) for fd in fds)
        self._note(Said("display", False, self.displays, number, flags, payload[:256], len(payload), kinds))
        self._display.send(Header(number, flags, len(payload)).pack() + payload, fds)

    def _display_said(self, frame: Frame, whole: bool) -> None:
        fds = tuple(look(fd) for fd in frame.fds)
        close_all(frame.take_fds())
        size = len(frame.payload)
        said = Said("display", True, self.displays, frame.request, frame.flags, frame.payload, size, fds, whole)
        at = self._note(said)
        question = self._answered(frame.request, at)
        if question is not None:
            question.reply = said
            if not question.ours and self._inner is not None:
                self._inner.send(Header(frame.request, FLAG_REPLY, size).pack() + frame.payload)
        self.changed()

    def _answered(self, request: int, at: int) -> Question | None:
        """Return the question that a reply answers, and forget those before it that need none."""
        for place, question in enumerate(self._asked):
            if question.request == request:
                before = [one for one in self._asked[:place] if not one.optional]
                if any(one.ours for one in before):
                    self.unordered.append(at)
                self._asked = before + self._asked[place + 1 :]
                return question
        self.unasked.append(at)
        return None

    def _display_closed(self, why: str) -> None:
        self.display_ended = why
        self.display_ends.append(len(self.record))
        self.transcript.note(f"the front-end closed the GPU socket {why}".rstrip())
        self.device.drop_display()
        self.changed()

    # What checks do

    def ask(
        self,
        request: int,
        payload: Layout | bytes = b"",
        flags: int = 0,
        fds: Sequence[int] = (),
        optional: bool = False,
    ) -> Question:
        """Ask a question. The fds are closed. Raises LocalError without a GPU socket."""
        self._expect_display()
        question = Question(request, True, optional)
        self._say(question, flags, payload if isinstance(payload, bytes) else payload.pack(), fds)
        return question

    def tell(self, request: int, payload: Layout | bytes = b"", flags: int = 0, fds: Sequence[int] = ()) -> None:
        """Send a request that has no reply. The fds are closed. Raises LocalError without a GPU socket."""
        self._expect_display()
        self._say(None, flags, payload if isinstance(payload, bytes) else payload.pack(), fds, request)

    def raw(self, data: bytes, what: str, question: Question | None = None) -> None:
        """Send bytes as they are. what: for the transcript; question: that is complete with them."""
        self._expect_display()
        assert self._display is not None
        if question:
            self._asked.append(question)
        self.transcript.note(f"to the GPU socket: {what}")
        self._display.send(data)

    def close_display(self) -> None:
        """Close our end of the GPU socket."""
        self.transcript.note("our end of the GPU socket is closed")
        self._drop_display()
        self.device.drop_display()

    def _expect_display(self) -> None:
        if not self.display_live:
            raise LocalError("the front-end has closed the GPU socket")

    @property
    def unsent(self) -> int:
        """Bytes that the front-end did not read from the GPU socket yet."""
        return self._display.unsent if self._display else 0

    def release(self) -> None:
        """Let the device show its pictures again, if it could not: it begins anew on a socket of its own."""
        if not self.probing:
            return
        self.probing = False
        if self._inner is not None and self.display_live and self.ended is None:
            self._inner.close()
            for question in self._asked:
                question.ours = question.optional = True  # answers may come still; the device awaits them no more
            self.device.set_display(self._new_inner())

    def close(self) -> None:
        """Leave the front-end."""
        self._control.close()
        self._drop_display()
        close_all(self._backend.close())
        self.device.close()
