"""Dumb buffers: pictures in guest memory that a 2D resource takes its pixels from."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from outboard.errors import LocalError
from outboard.spec.virtio_gpu import BYTES_PER_PIXEL

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

Rectangle = tuple[int, int, int, int]
"""x, y, width, height in pixels."""


class DumbBuffer:
    """A picture in guest memory and its resource, made by `Card.dumb`.

    width, height: in pixels; pitch: bytes a row; format: how a pixel's bytes lie, see `spec.virtio_gpu.Format`.
    memory: all 4 * width * height bytes, writable. What is written there is seen when `Card.damage` says so, as with
    DRM_IOCTL_MODE_DIRTYFB. After `destroy` the memory belongs to others; do not keep views of it.
    """

    def __init__(
        self,
        resource_id: int,
        width: int,
        height: int,
        pixel_format: int,
        guest_addr: int,
        memory: memoryview,
        destroy: "Callable[[DumbBuffer], None]",
    ) -> None:
        self.resource_id = resource_id
        self.width = width
        self.height = height
        self.pitch = BYTES_PER_PIXEL * width
        self.format = pixel_format
        self.guest_addr = guest_addr
        self._memory: memoryview | None = memory
        self._destroy = destroy

    @property
    def memory(self) -> memoryview:
        """The pixels' bytes, row by row. Raises LocalError when the buffer is destroyed."""
        if self._memory is None:
            raise LocalError(f"the buffer of resource {self.resource_id} is destroyed")
        return self._memory

    @property
    def pixels(self) -> "NDArray[numpy.uint8]":
        """The pixels as an array of height x width x 4 bytes, in the order of the format. Needs numpy."""
        import numpy

        return numpy.frombuffer(self.memory, numpy.uint8).reshape(self.height, self.width, BYTES_PER_PIXEL)

    @property
    def words(self) -> "NDArray[numpy.uint32]":
        """The pixels as an array of height x width little-endian words: 0xXXRRGGBB in B8G8R8X8. Needs numpy."""
        import numpy

        return numpy.frombuffer(self.memory, "<u4").reshape(self.height, self.width)

    def offset(self, x: int, y: int) -> int:
        """Return where in `memory` a pixel lies."""
        return y * self.pitch + BYTES_PER_PIXEL * x

    def cut(self, x: int, y: int, width: int, height: int) -> bytes:
        """Return a copy of a rectangle that lies inside, as tight rows."""
        if width == self.width:
            return bytes(self.memory[self.offset(0, y) : self.offset(0, y + height)])
        starts = range(self.offset(x, y), self.offset(x, y + height), self.pitch)
        return b"".join(self.memory[start : start + BYTES_PER_PIXEL * width] for start in starts)

    def check(self, rectangle: Rectangle) -> None:
        """Raise LocalError unless a rectangle lies inside."""
        x, y, width, height = rectangle
        if min(rectangle) < 0 or x + width > self.width or y + height > self.height:
            raise LocalError(
                f"rectangle {width}x{height} at {x},{y} is not inside the buffer of {self.width}x{self.height}"
            )

    @property
    def alive(self) -> bool:
        """Whether the buffer is not destroyed."""
        return self._memory is not None

    def destroy(self) -> None:
        """Turn off the outputs that show it, destroy the resource, and give the memory back; safe to call twice."""
        if self._memory is not None:
            self._destroy(self)
            self._memory = None
