"""A control socket and bare bytes on it: what no session would say, and answers as they come.

Source: QEMU docs/interop/vhost-user, "Message Specification".
"""

import fcntl
import socket
import struct
import termios
import time
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from outboard.conformance.check import Failed, NotApplicable
from outboard.conformance.transcript import Transcript
from outboard.spec.vhost_user import FLAG_NEED_REPLY, VERSION, Header, ProtocolFeature, Req

TAKEN_S = 1.0
"""How long a piece may lie in the socket before the next one follows: who peeks waits for the whole."""
REPLY = 5
ASKED = VERSION | FLAG_NEED_REPLY


class Answer(NamedTuple):
    """One message of the back-end."""

    request: int
    flags: int
    payload: bytes

    @property
    def u64(self) -> int:
        """Its payload as one number. Raises Failed when it is not one."""
        if len(self.payload) != 8:
            raise Failed(f"8 bytes in the reply to {name(self.request)}", f"{len(self.payload)}")
        return int(struct.unpack("=Q", self.payload)[0])


def name(request: int) -> str:
    """Return a request's name, or its number."""
    return Req(request).name if request in list(Req) else f"request {request}"


class BareControl:
    """A connected control socket, owned. timeout_s: for every reply."""

    def __init__(self, sock: socket.socket, transcript: Transcript, timeout_s: float) -> None:
        self.socket = sock
        self.timeout_s = timeout_s
        self._transcript = transcript
        sock.settimeout(timeout_s)

    # Out

    def message(
        self, request: int, payload: bytes = b"", flags: int = VERSION, fds: Sequence[int] = (), size: int | None = None
    ) -> None:
        """Send a message in one piece. size: what the header says, the payload's by default."""
        self.pieces([Header(request, flags, len(payload) if size is None else size).pack() + payload], fds)

    def pieces(self, parts: Sequence[bytes], fds: Sequence[int] = ()) -> None:
        """Send bytes piece by piece, each when the one before was taken; fds go with the first."""
        head = self._note(b"".join(parts), len(fds))
        for at, part in enumerate(parts):
            if at:
                self._until_taken()
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds and not at else []
            try:
                self.socket.sendmsg([part], ancillary, socket.MSG_NOSIGNAL)
            except (BrokenPipeError, ConnectionResetError) as error:
                raise Failed(f"a back-end that reads {name(head.request)}", "a closed connection") from error

    def _note(self, data: bytes, fds: int) -> Header:
        """Note every message in the transcript; return the first one's header."""
        first = Header.unpack_from(data.ljust(Header.sizeof, b"\0"))
        while len(data) >= Header.sizeof:
            head = Header.unpack_from(data)
            payload = data[Header.sizeof : Header.sizeof + head.size]
            self._transcript.message("control", True, head.request, head.flags, payload, head.size, fds)
            data, fds = data[Header.sizeof + head.size :], 0
        return first

    def _until_taken(self) -> None:
        end = time.monotonic() + TAKEN_S
        while time.monotonic() < end:
            waiting = array("i", [0])
            fcntl.ioctl(self.socket, termios.TIOCOUTQ, waiting)
            if not waiting[0]:
                return
            time.sleep(0.001)

    # In

    def receive(self, length: int, what: str) -> bytes:
        """Read exactly `length` bytes; fewer at the end of the stream. Raises Failed when they do not come in time."""
        data = b""
        while len(data) < length:
            try:
                more = self.socket.recv(length - len(data))
            except TimeoutError as error:
                got = f"{len(data)} bytes of {length}" if data else "nothing"
                raise Failed(what, f"{got} in {self.timeout_s:g} s") from error
            except ConnectionResetError:
                more = b""
            if not more:
                break
            data += more
        return data

    def coming(self, what: str) -> bool:
        """Wait for something to read; false at the end of the connection. Raises Failed when neither comes."""
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except TimeoutError as error:
            raise Failed(what, f"nothing in {self.timeout_s:g} s") from error
        except ConnectionResetError:
            return False

    def answer(self, request: int) -> Answer:
        """Read one message, whatever it is. Raises Failed when none comes."""
        what = f"a reply to {name(request)}"
        head = self.receive(Header.sizeof, what)
        if len(head) < Header.sizeof:
            raise Failed(what, f"the end of the connection after {len(head)} bytes")
        header = Header.unpack(head)
        if header.size > 1 << 16:
            raise Failed(what, f"a header that announces {header.size} bytes")
        payload = self.receive(header.size, f"{header.size} bytes of payload")
        self._transcript.message("control", False, header.request, header.flags, payload, header.size, 0)
        if len(payload) < header.size:
            raise Failed(f"{header.size} bytes of payload", f"the end of the connection after {len(payload)}")
        return Answer(header.request, header.flags, payload)

    # Both

    def ask(self, request: int, payload: bytes = b"", flags: int = VERSION, fds: Sequence[int] = ()) -> Answer:
        """Send a message and read its reply. Raises Failed when it is a reply to something else."""
        self.message(request, payload, flags, fds)
        return self.answered(request)

    def answered(self, request: int) -> Answer:
        """Read the reply to a request. Raises Failed when it is a reply to something else."""
        answer = self.answer(request)
        if answer.request != request:
            raise Failed(f"a reply to {name(request)}", f"one to {name(answer.request)}")
        return answer

    def acked(self, request: int, payload: bytes = b"", fds: Sequence[int] = ()) -> int:
        """Send a message that asks for an acknowledgement; return it."""
        return self.ask(request, payload, ASKED, fds).u64

    def refused(self, request: int, payload: bytes = b"", fds: Sequence[int] = ()) -> None:
        """Send what cannot be carried out. Raises Failed unless a failure is acknowledged and the connection lives."""
        value = self.acked(request, payload, fds)
        if not value:
            raise Failed(f"a failure (not 0) as acknowledgement of {name(request)}", "0, success")
        self.alive()

    def accepted(self, request: int, payload: bytes = b"", fds: Sequence[int] = ()) -> None:
        """Send what has to be carried out. Raises Failed unless success is acknowledged."""
        value = self.acked(request, payload, fds)
        if value:
            raise Failed(f"0, success, as acknowledgement of {name(request)}", f"{value:#x}")

    def alive(self) -> None:
        """Raise Failed unless the back-end still answers, and in step."""
        self.ask(Req.GET_FEATURES)

    def negotiate(self, wanted: int = ProtocolFeature.REPLY_ACK) -> int:
        """Acknowledge what is offered; return the mask. Raises NotApplicable without `wanted`."""
        offered = self.ask(Req.GET_PROTOCOL_FEATURES).u64
        if wanted & ~offered:
            lacking = ProtocolFeature(wanted & ~offered & sum(ProtocolFeature))
            raise NotApplicable(f"the back-end does not offer {lacking.name}")
        agreed = offered & sum(ProtocolFeature) & ~ProtocolFeature.BACKEND_REQ
        self.message(Req.SET_PROTOCOL_FEATURES, struct.pack("=Q", agreed))
        return agreed

    def ended(self, timeout_s: float) -> bool:
        """Whether the back-end ends the connection in time, whatever it says before that."""
        self.socket.settimeout(timeout_s)
        try:
            while self.socket.recv(4096):
                pass
        except TimeoutError:
            return False
        except ConnectionResetError:
            pass
        finally:
            self.socket.settimeout(self.timeout_s)
        return True

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()
