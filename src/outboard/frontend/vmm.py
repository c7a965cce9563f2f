"""A virtual machine monitor in miniature: a machine with a display, in front of a GPU back-end.

Source: QEMU docs/interop/vhost-user-gpu; what all devices have in common is `front_end`'s.

Modelled: the GPU socket, a new one at every start, display events. Not modelled: see `front_end`.
"""

import socket
from collections.abc import Sequence

from outboard.errors import LocalError
from outboard.frontend import front_end
from outboard.frontend.config_space import ConfigSpace
from outboard.frontend.control import Observer
from outboard.frontend.display_reader import DisplayReader, check_mode
from outboard.frontend.front_end import FrontEnd
from outboard.frontend.ram import GuestRam
from outboard.spec.vhost_user import ProtocolFeature
from outboard.spec.virtio_gpu import Config
from outboard.spec.virtio_gpu import Feature as GpuFeature

FEATURES = front_end.FEATURES | GpuFeature.EDID
"""Virtio features that are acknowledged when offered, by default."""
PROTOCOL_FEATURES = (
    ProtocolFeature.MQ
    | ProtocolFeature.REPLY_ACK
    | ProtocolFeature.CONFIG
    | ProtocolFeature.RESET_DEVICE
    | ProtocolFeature.CONFIGURE_MEM_SLOTS
    | ProtocolFeature.BACKEND_REQ
)


class Vmm(FrontEnd):
    """A machine with one GPU. Use: `connect`, `negotiate`, `start`; then queues by `rings`, or a driver on top.

    display: what the GPU's outputs are shown on, owned; it is served whenever the machine waits. queue_sizes: of the
    control and the cursor queue. The rest: see `FrontEnd`.
    """

    def __init__(
        self,
        display: DisplayReader,
        ram: GuestRam | None = None,
        queue_sizes: Sequence[int] = (64, 16),
        *,
        features: int = FEATURES,
        protocol_features: int = PROTOCOL_FEATURES,
        mem_slots: bool = True,
        ack_all: bool = False,
        timeout_s: float = 5.0,
        observer: Observer | None = None,
    ) -> None:
        super().__init__(
            ram,
            queue_sizes,
            features=features,
            protocol_features=protocol_features,
            mem_slots=mem_slots,
            ack_all=ack_all,
            timeout_s=timeout_s,
            observer=observer,
        )
        self.display = display
        self.config_space = ConfigSpace()

    @property
    def display(self) -> DisplayReader:
        """What the GPU's outputs are shown on; another one is given a GPU socket by the caller."""
        return self._display

    @display.setter
    def display(self, display: DisplayReader) -> None:
        self._display = self._served = display

    # The config space

    def read_config(self, offset: int = 0, length: int = Config.sizeof) -> bytes:
        """Return bytes of the config space; empty when the back-end refuses."""
        return super().read_config(offset, length)

    def device_config(self) -> Config:
        """Return the whole config space as the back-end has it. Raises ProtocolError when it refuses."""
        return Config.unpack(self.read_config())

    def config(self) -> Config:
        """Return the config space as the guest sees it: events and number of outputs are the front-end's."""
        return self.config_space.seen(self.device_config(), len(self.display.modes))

    def write_config(self, offset: int, data: bytes) -> None:
        """Write the config space as the guest does: bits of events_clear clear those of events_read.

        The back-end is told, as by QEMU. Raises LocalError for a write that leaves the config space.
        """
        super().write_config(0, self.config_space.write(offset, data))

    def resize(self, scanout_id: int, width: int, height: int) -> None:
        """Change the size that an output's display wants, 0 x 0 unplugs it; the guest is interrupted and asks again.

        Raises LocalError for an output that does not exist, or a size that none can have.
        """
        if not 0 <= scanout_id < len(self.display.modes):
            raise LocalError(f"output {scanout_id}: this display has {len(self.display.modes)}")
        check_mode(width, height)
        self.display.modes[scanout_id] = (width, height)
        self.config_space.display_changed()

    def _config_changed(self) -> None:
        self.config_space.interrupt()

    # The display

    def _before_run(self) -> None:
        """Hand one end of a new GPU socket over, blocking as it is; the display serves the other before that."""
        ours, theirs = socket.socketpair()
        self.display.attach(ours)
        with theirs:
            self.tell(self.session.gpu_set_socket(theirs.fileno()))

    def stop(self) -> list[int]:
        """Stop the device: the display goes first, as in QEMU. Return the rings' next available indexes."""
        self.display.detach()
        return super().stop()

    def close(self) -> None:
        """Close everything: first the control socket, as when a VMM exits."""
        self._hang_up()
        self.config_space.close()
        self.display.close()
        super().close()
