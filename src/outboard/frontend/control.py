"""The front-end's end of the control socket: one request out, its reply in.

Source: QEMU docs/interop/vhost-user, "Communication".
"""

import os
import select
import socket
import time
from array import array
from collections.abc import Callable

from outboard.errors import LocalError, ProtocolError, WaitTimeout
from outboard.host.sockets import receive
from outboard.spec.vhost_user import MAX_FDS, Header
from outboard.vhost_user.frontend import REPLY_FLAGS, Frontend, Message, Reply

Observer = Callable[[str, bool, int, int, bytes, int, int], object]
"""Called with the socket's name, whether to the back-end, request, flags, payload without pixels, its size, fds."""


class Control:
    """A connected control socket, owned, with the session on it.

    wait: called with (fd, end) to wait until `fd` is readable or the monotonic clock shows `end`; returns whether it
    is. It serves the display meanwhile, since a back-end may wait for that before it answers.
    """

    def __init__(
        self,
        sock: socket.socket,
        session: Frontend,
        wait: Callable[[int, float], bool],
        observer: Observer | None = None,
    ) -> None:
        sock.setblocking(True)
        self.socket = sock
        self.session = session
        self._wait = wait
        self._observer = observer

    def ask(self, message: Message, timeout_s: float) -> Reply:
        """Send a request that has a reply; return it. Raises WaitTimeout, ProtocolError."""
        replies = self._exchange(message, timeout_s)
        assert replies, "the request has no reply"
        return replies[-1]

    def tell(self, message: Message, timeout_s: float) -> None:
        """Send a request; wait for its acknowledgement if it asks for one. Raises LocalError when that is a refusal."""
        for reply in self._exchange(message, timeout_s):
            if reply.value:
                raise LocalError(f"the back-end refused {reply.req.name}: {reply.value}")

    def _exchange(self, message: Message, timeout_s: float) -> list[Reply]:
        self.send(message)
        replies: list[Reply] = []
        end = time.monotonic() + timeout_s
        while self.session.replies_due:
            if not self._wait(self.socket.fileno(), end):
                raise WaitTimeout(f"no reply on the control socket in {timeout_s} s")
            replies += self._receive()
        return replies

    def send(self, message: Message) -> None:
        """Send by one `sendmsg`, also what the session did not compose. Raises ProtocolError when nobody listens."""
        self._observe(True, message.data, len(message.fds))
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", message.fds))] if message.fds else []
        try:
            sent = self.socket.sendmsg([message.data], ancillary, socket.MSG_NOSIGNAL)
            if sent < len(message.data):
                self.socket.sendall(message.data[sent:])
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ProtocolError("control socket", "a back-end", "a closed connection") from error

    def _receive(self) -> list[Reply]:
        chunk = receive(self.socket, self.session.wanted, MAX_FDS)
        if chunk is None:
            return []
        data, fds = chunk
        if not data:
            raise ProtocolError("control socket", "a reply", "end of file")
        came = len(fds)
        replies = self.session.receive(data, fds)
        for reply in replies:
            body = (reply.payload.pack() if reply.payload else b"") + reply.tail
            self._observe(False, Header(reply.req, REPLY_FLAGS, len(body)).pack() + body, came)
        return replies

    def _observe(self, to_backend: bool, data: bytes, fds: int) -> None:
        if self._observer is not None and len(data) >= Header.sizeof:
            header = Header.unpack_from(data)
            payload = data[Header.sizeof :]
            self._observer("control", to_backend, header.request, header.flags, payload, header.size, fds)

    @property
    def gone(self) -> bool:
        """Whether the back-end has closed its end."""
        poll = select.poll()
        poll.register(self.socket, 0)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Close the socket and whatever fds came with replies."""
        for fd in self.session.close():
            os.close(fd)
        self.socket.close()
