"""The back-end's own channel: what a device tells its front-end without being asked.

Source: QEMU docs/interop/vhost-user, "Back-end message types", SET_BACKEND_REQ_FD. No answers are asked for: who waits
for one while its front-end waits for it waits for ever.
"""

from outboard.host import sockets
from outboard.spec.vhost_user import VERSION, BackendReq, Header


class BackendChannel:
    """The socket that SET_BACKEND_REQ_FD brought; owned. A message that it does not take at once is dropped."""

    def __init__(self, fd: int) -> None:
        self._sock = sockets.adopt(fd)

    def config_changed(self) -> bool:
        """Tell that the config space has changed; false when the front-end does not listen."""
        try:
            message = Header(BackendReq.CONFIG_CHANGE_MSG, VERSION, 0).pack()
            return bool(sockets.send(self._sock, [memoryview(message)], []))
        except OSError:
            return False

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()
