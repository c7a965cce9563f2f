"""What a device is to whoever serves it: its features, memory and rings, and the requests that it knows.

Source: QEMU docs/interop/vhost-user. `control` says what the requests do that all devices have, `server` who calls.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from outboard.backend.rings import Ring
from outboard.guest.memory import GuestMemory
from outboard.layout import Layout
from outboard.spec.vhost_user import ProtocolFeature
from outboard.vhost_user.backend import BackendSession, Request


class Answer(NamedTuple):
    """A reply of the request's own: a structure and bytes behind it, or nothing at all.

    fds: sent along; the session closes them then.
    """

    payload: Layout | None
    tail: bytes = b""
    fds: Sequence[int] = ()


Serve = Callable[[Any, BackendSession, Request, Any], Answer | None]
"""What a request does: (device, session, request, payload) to the payload of the request's own reply, or None.

It raises ProtocolError when the request cannot be carried out, and has changed nothing then.
"""


class VhostDevice(Protocol):
    """One device, made for one front-end; all calls come in the thread of the loop that it was made for."""

    @property
    def offered(self) -> int:
        """Virtio feature bits."""

    @property
    def protocol_features(self) -> ProtocolFeature:
        """Protocol features that are offered."""

    @property
    def requests(self) -> Mapping[int, Serve]:
        """What is served, by request id: `control.COMMON`, and rows of the device's own."""

    @property
    def memory(self) -> GuestMemory:
        """The guest's memory, as the front-end shares it."""

    @property
    def rings(self) -> Sequence[Ring]:
        """All rings that there are, by index."""

    memory_lost: Callable[[], None]
    """To be called when the front-end has truncated the guest's memory: the session ends."""

    def set_features(self, features: int) -> None:
        """SET_FEATURES, before the rings know. Raises ProtocolError for what the device cannot do without."""

    def config(self) -> bytes:
        """Return the whole config space."""

    def set_config(self, offset: int, data: bytes) -> None:
        """SET_CONFIG, as the front-end sent it. Raises ProtocolError."""

    def wake(self) -> None:
        """Bring up rings that became live, and look at them once, kick or no kick."""

    def stop(self, ring: Ring) -> int:
        """GET_VRING_BASE: finish or give back what is in execution, stop the ring; return its next available index."""

    def ask_reset(self) -> None:
        """RESET_DEVICE: forget what the guest made; the rings are stopped and disabled."""

    def close(self) -> None:
        """Stop everything and give all fds and memory back."""
