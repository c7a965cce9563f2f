"""The device's config space as its guest sees it; events and the number of outputs are the front-end's.

Source: VIRTIO-1.2 5.7.4; QEMU docs/interop/vhost-user, GET_CONFIG and SET_CONFIG.
"""

import os
from dataclasses import replace

from outboard.errors import LocalError
from outboard.frontend.ring import eventfd, take
from outboard.spec.virtio_gpu import EVENT_DISPLAY, Config


class ConfigSpace:
    """The events that a guest has not cleared, and the config interrupt: `fd` is its eventfd, owned."""

    def __init__(self) -> None:
        self.fd = eventfd()
        self._events_read = 0

    def seen(self, device: Config, outputs: int) -> Config:
        """Return what the guest reads where the back-end's own config space is `device`."""
        return replace(device, events_read=self._events_read, events_clear=0, num_scanouts=outputs)

    def write(self, offset: int, data: bytes) -> bytes:
        """Let the guest write: bits of events_clear clear those of events_read. Return all bytes, for the back-end.

        Raises LocalError for a write that leaves the config space.
        """
        if offset < 0 or offset + len(data) > Config.sizeof:
            raise LocalError(f"config write of {len(data)} bytes at {offset}, the space has {Config.sizeof}")
        written = bytearray(Config(events_read=self._events_read).pack())
        written[offset : offset + len(data)] = data
        self._events_read &= ~Config.unpack(written).events_clear
        return bytes(written)

    def display_changed(self) -> None:
        """Tell the guest that the displays changed."""
        self._events_read |= EVENT_DISPLAY
        self.interrupt()

    def interrupt(self) -> None:
        """Raise the config interrupt."""
        os.eventfd_write(self.fd, 1)

    def interrupted(self) -> bool:
        """Whether the interrupt was raised since the last call."""
        return bool(take(self.fd))

    def close(self) -> None:
        """Close the eventfd."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
