"""The device's state: resources, scanouts and cursors, as plain tables.

Source: VIRTIO-1.2 5.7.6 (device operation).
"""

import uuid
from collections.abc import Callable

import outboard.gpu.pixels as pixels
import outboard.guest.copies as copies
from outboard.gpu.backing import Backing
from outboard.gpu.output import Displays, Output
from outboard.guest.memory import GuestMemory
from outboard.spec.virtio_gpu import BYTES_PER_PIXEL, MAX_SCANOUTS

MAX_HOSTMEM = 256 << 20
"""Bytes of pixels and tables that a guest may make the device hold, unless told otherwise."""

AS_IS = pixels.AS_IS

RESOURCE_COST = 1024
"""Bytes that a resource costs besides its pixels, so that a guest cannot have millions of tiny ones for nothing."""


class Resource:
    """One resource. A 2D resource holds `pixels`, tight rows of B, G, R, X; a blob has its backing only."""

    def __init__(self, resource_id: int, width: int, height: int, order: tuple[int, int, int, int]) -> None:
        self.resource_id = resource_id
        self.width = width
        self.height = height
        self.stride = BYTES_PER_PIXEL * width
        self.order = order
        self.blob_size = 0
        self.buffer = memoryview(bytearray(self.stride * height))
        self.pixels = self.buffer
        self.backing: Backing | None = None
        self.uuid = b""
        self.cost = RESOURCE_COST + self.stride * height
        self.due_row = self.due_end = 0

    def transfer(self, at: int, x: int, y: int, width: int, height: int) -> None:
        """Begin to copy a rectangle from byte `at` of the backing; `catch_up` does the work. All has been checked."""
        self.due_at = at
        self.due_x = x
        self.due_width = width
        self.due_row = y
        self.due_end = y + height

    def catch_up(self, end: int) -> None:
        """Copy what a transfer left to do above row `end`; pixels that the backing does not have stay as they are."""
        rows = min(end, self.due_end) - self.due_row
        if rows <= 0 or self.backing is None:
            return
        stride = self.stride
        start = self.due_row * stride + BYTES_PER_PIXEL * self.due_x
        have = self.backing.total - self.due_at
        if have >= (rows - 1) * stride + BYTES_PER_PIXEL * self.due_width:
            self._copy(self.due_at, start, self.due_width, rows)
        else:
            for row in range(rows):
                if have < BYTES_PER_PIXEL:
                    break
                width = min(self.due_width, have // BYTES_PER_PIXEL)
                self._copy(self.due_at + row * stride, start + row * stride, width, 1)
                have -= stride
        self.due_at += rows * stride
        self.due_row += rows

    def _copy(self, at: int, start: int, width: int, rows: int) -> None:
        """Copy pixels that the backing has at byte `at` to byte `start` of ours, and bring them into order."""
        assert self.backing is not None
        self.backing.read_rows(at, self.stride, self.pixels, start, self.stride, BYTES_PER_PIXEL * width, rows)
        if self.order is not AS_IS:
            pixels.reorder_rows(self.pixels, start, self.stride, width, rows, self.order)


class Scanout:
    """One output: what part of which resource it shows. `width` 0: it shows nothing.

    offset, stride: of the framebuffer in its resource, in bytes; x, y: of the shown rectangle in that framebuffer.
    """

    def __init__(self, scanout_id: int) -> None:
        self.scanout_id = scanout_id
        self.disable()

    def disable(self) -> None:
        """Show nothing."""
        self.resource: Resource | None = None
        self.x = self.y = self.width = self.height = 0
        self.offset = 0
        self.stride = 0
        self.order = AS_IS

    def contiguous(self, x: int, y: int, width: int, rows: int) -> memoryview | None:
        """Return the bytes of a rectangle of the output where they lie, or None when they are not all in one piece."""
        resource = self.resource
        if resource is None or resource.blob_size or width * BYTES_PER_PIXEL != self.stride:
            return None
        resource.catch_up(self.y + y + rows)
        start = (self.y + y) * self.stride
        return resource.buffer[start : start + rows * self.stride]

    def gather(self, into: memoryview, start: int, x: int, y: int, width: int, rows: int) -> None:
        """Copy a rectangle of the output, tight rows of B, G, R, X, to byte `start` of `into`.

        The rectangle lies inside the output and `into` has room for it: the caller has checked both.
        """
        resource = self.resource
        if resource is None:
            return
        row_bytes = BYTES_PER_PIXEL * width
        at = self.offset + (self.y + y) * self.stride + BYTES_PER_PIXEL * (self.x + x)
        if not resource.blob_size:
            resource.catch_up(self.y + y + rows)
            copies.copy_rows(into, start, row_bytes, resource.pixels, at, self.stride, row_bytes, rows)
        elif resource.backing is not None:
            resource.backing.read_rows(at, self.stride, into, start, row_bytes, row_bytes, rows)
            if self.order is not AS_IS:
                pixels.reorder_rows(into, start, row_bytes, width, rows, self.order)


class Cursor:
    """The cursor of one output; `image` is 64 x 64 words 0xAARRGGBB, empty until the guest sets one."""

    def __init__(self) -> None:
        self.image = b""
        self.hot_x = self.hot_y = 0
        self.x = self.y = 0
        self.visible = False


class Gpu:
    """All state of one virtio-gpu device.

    pending: a 2D resource whose transfer is not done yet, or None: see `resources.transfer_to_host_2d`.
    stale: bit i is set while output i has a new framebuffer of which nothing was shown yet.
    hostmem: bytes that resources and backings take of `max_hostmem`.
    work: bytes touched since it was last set to 0, or what takes as long, so that a loop can turn to others in time.
    """

    def __init__(
        self,
        memory: GuestMemory,
        displays: Displays,
        output: Output,
        *,
        num_scanouts: int = MAX_SCANOUTS,
        max_hostmem: int = MAX_HOSTMEM,
        new_uuid: Callable[[], uuid.UUID] = uuid.uuid4,
    ) -> None:
        self.memory = memory
        self.displays = displays
        self.output = output
        self.num_scanouts = num_scanouts
        self.max_hostmem = max_hostmem
        self.new_uuid = new_uuid
        self.features = 0
        self.work = 0
        self.reset()

    def reset(self) -> None:
        """Forget everything that the guest made, as a device reset does."""
        self.resources: dict[int, Resource] = {}
        self.scanouts = [Scanout(i) for i in range(self.num_scanouts)]
        self.cursors = [Cursor() for _ in range(self.num_scanouts)]
        self.stale = 0
        self.hostmem = 0
        self.pending: Resource | None = None

    def catch_up(self) -> None:
        """Finish the transfer that is pending, if there is one."""
        if self.pending is not None:
            self.pending.catch_up(self.pending.height)
            self.pending = None
