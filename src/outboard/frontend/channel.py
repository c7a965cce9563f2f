"""The front-end's end of the back-end channel, on its socket.

Source: QEMU docs/interop/vhost-user, "Back-end message types".
"""

import socket
from collections.abc import Callable

from outboard import trace
from outboard.errors import ProtocolError
from outboard.frontend.control import Observer
from outboard.host.events import close_all
from outboard.host.sockets import receive
from outboard.spec.vhost_user import MAX_FDS
from outboard.vhost_user.backend_channel import BackendChannel


class Channel:
    """The channel; owns its socket. A back-end that breaks its rules loses it, nothing else."""

    def __init__(self, ours: socket.socket, config_changed: Callable[[], object], observer: Observer | None) -> None:
        self._socket = ours
        watch = observer or (lambda *_: None)
        self._session = BackendChannel(config_changed, lambda *message: watch("channel", *message))

    def fileno(self) -> int:
        """Return the fd to poll."""
        return self._socket.fileno()

    def step(self) -> bool:
        """Serve what is there; false when the channel has ended, and is closed."""
        chunk = receive(self._socket, self._session.wanted, MAX_FDS)
        if chunk is None:
            return True
        data, fds = chunk
        try:
            answers = self._session.receive(data, fds)
            close_all(self._session.take_fds())
            if answers:
                self._socket.send(answers, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except (ProtocolError, OSError) as error:
            trace.emit("channel.lost", why=str(error))
            data = b""
        if not data:
            self.close()
        return bool(data)

    def close(self) -> None:
        """Close the socket and whatever fds came on it."""
        close_all(self._session.close())
        self._socket.close()
