"""A disk that is served: its image, and what outlives the front-ends that come and go."""

from functools import partial

from outboard import trace
from outboard.aio.home import Home
from outboard.backend.disk.device import DiskDevice
from outboard.blk.disk import Disk, Options
from outboard.block.backend import BlockBackend, DevOps
from outboard.errors import LocalError
from outboard.spec.virtio_blk import SECTOR_BITS


class Drive(DevOps):
    """The device of a BlockBackend. device: of the front-end that is connected, or of the last one; None at first.

    Raises LocalError for an image that cannot be a disk.
    """

    def __init__(self, backend: BlockBackend, options: Options) -> None:
        options.check()
        try:
            length = backend.length
        except OSError as error:
            raise LocalError(f"image: expected one that has a length, got {error.strerror}; see its nodes") from None
        if not length or length % options.logical_block_size:
            raise LocalError(f"image: expected whole blocks of {options.logical_block_size} bytes, got {length} bytes")
        if backend.read_only and not options.read_only:
            raise LocalError("the image is read-only: serve it with read_only, --read-only")
        self.backend = backend
        self.disk = Disk(options, length >> SECTOR_BITS)
        self.device: DiskDevice | None = None
        backend.allow_aio_context_change = True
        backend.attach_dev(self, self)

    def __str__(self) -> str:
        return "a vhost-user-blk device"

    @property
    def home(self) -> Home:
        """Where the disk lives: what serves it moves with its graph."""
        return self.backend.home

    @property
    def block_size(self) -> int:
        """Bytes of a logical block."""
        return self.disk.options.logical_block_size

    def make_device(self) -> DiskDevice:
        """Make the device of a new front-end."""
        self.device = DiskDevice(self.home, self.backend, self.disk)
        return self.device

    # What the graph tells, in any thread

    def drained_end(self) -> None:
        """See `DevOps`: rings were left as they are."""
        if self.device is not None:
            self.home.call_threadsafe(self.device.pump)

    def resize(self) -> None:
        """See `DevOps`. The next request is judged by the new size, whether the front-end has heard of it or not."""
        capacity = self.backend.length >> SECTOR_BITS
        if capacity != self.disk.capacity:
            self.disk.capacity = capacity
            self.home.call_threadsafe(partial(self._tell, capacity))

    def _tell(self, capacity: int) -> None:
        told = self.device is not None and self.device.tell_config_changed()
        trace.emit("blk.resized", capacity=capacity, told=told)

    def close(self) -> None:
        """Leave the backend."""
        self.backend.detach_dev()
