"""The inflight area: memory in which a back-end notes the requests that it has, so that the next one finds them.

Source: QEMU docs/interop/vhost-user, "Inflight I/O tracking", GET_INFLIGHT_FD, SET_INFLIGHT_FD.

The front-end keeps the area and does not look inside: a back-end makes it, writes it, and reads what another left.
"""

import os
from dataclasses import dataclass

from outboard.errors import LocalError, ProtocolError
from outboard.host.events import close_all
from outboard.spec.vhost_user import Inflight
from outboard.vhost_user.frontend import Reply


@dataclass
class InflightArea:
    """The area as the back-end described it, and its fd, owned until `close`."""

    description: Inflight
    fd: int

    @classmethod
    def of(cls, reply: Reply) -> "InflightArea":
        """Take the answer of GET_INFLIGHT_FD, and its fd. Raises ProtocolError unless one fd came with it."""
        assert isinstance(reply.payload, Inflight), reply
        if len(reply.fds) != 1:
            close_all(list(reply.fds))
            raise ProtocolError("GET_INFLIGHT_FD", "1 fd", f"{len(reply.fds)}")
        return cls(reply.payload, reply.fds[0])

    def read(self) -> bytes:
        """Return all bytes of the area. Raises LocalError when its file is shorter than the back-end said."""
        size, offset = self.description.mmap_size, self.description.mmap_offset
        there = os.fstat(self.fd).st_size
        if offset + size > there:
            raise LocalError(f"the inflight area ends at {offset + size}, its file at {there}")
        return os.pread(self.fd, size, offset)

    def close(self) -> None:
        """Close the fd; safe to call twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
