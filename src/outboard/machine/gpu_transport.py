"""How a virtio-gpu driver reaches its device: rings, guest memory, features and the config space.

A `Vmm` is reached in one way, here; a PCI device of a guest that takes interrupts in another
(`machine.guest.virtio_gpu`).
"""

from typing import Protocol

from outboard.frontend.ram import PAGE
from outboard.frontend.vmm import Vmm
from outboard.spec.virtio_gpu import Config
from outboard.virtio.driver_queue import DriverQueue


class Transport(Protocol):
    """How a driver reaches a device that runs."""

    @property
    def features(self) -> int:
        """The virtio features that were negotiated."""

    def queue(self, index: int) -> DriverQueue:
        """Return a virtqueue, to add chains to."""

    def kick(self, index: int = 0) -> None:
        """Publish what was added to a queue, and notify the device if it wants that."""

    def wait_used(self, index: int = 0, timeout_s: float | None = None, count: int = 1) -> list[tuple[int, int]]:
        """Return (head, bytes written) of chains that were used, at least one. count: how many are awaited in all.

        Raises WaitTimeout, and ProtocolError when the device breaks the ring.
        """

    def config(self) -> Config:
        """Return the config space."""

    def write_config(self, offset: int, data: bytes) -> None:
        """Write bytes of the config space."""

    def allocate(self, size: int, align: int = PAGE) -> int:
        """Return the guest address of memory of the guest's own. Raises LocalError when there is none left."""

    def view(self, guest_addr: int, length: int) -> memoryview:
        """Return guest memory, writable. Raises LocalError when it does not lie inside one region."""


class VmmTransport:
    """A `Vmm` as `Transport`."""

    def __init__(self, vmm: Vmm) -> None:
        self.vmm = vmm
        self.kick, self.wait_used = vmm.kick, vmm.wait_used
        self.config, self.write_config = vmm.config, vmm.write_config
        self.allocate, self.view = vmm.ram.allocate, vmm.ram.view

    @property
    def features(self) -> int:
        """See `Transport.features`."""
        return self.vmm.session.features

    def queue(self, index: int) -> DriverQueue:
        """See `Transport.queue`."""
        return self.vmm.rings[index].queue
