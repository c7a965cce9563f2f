"""What the device asks of its surroundings: somewhere to show pictures, and somebody who knows the displays.

Both are implemented outside this room: by the session of the GPU socket, and by screens in this process.
"""

from typing import Protocol


class Surface(Protocol):
    """The pixels of one output, tight or not, read where they lie."""

    def contiguous(self, x: int, y: int, width: int, rows: int) -> memoryview | None:
        """Return a rectangle's bytes without a copy, valid until the next command, or None."""

    def gather(self, into: memoryview, start: int, x: int, y: int, width: int, rows: int) -> None:
        """Copy a rectangle as tight rows to byte `start` of `into`."""


class Output(Protocol):
    """Takes what the guest shows. Coordinates are relative to the scanout and lie inside it."""

    @property
    def congested(self) -> bool:
        """True while no further command may run: what was shown last has not left yet."""

    def scanout(self, scanout_id: int, width: int, height: int) -> None:
        """Set the size of an output; 0 x 0 disables it. The picture is black until the next `update`."""

    def update(self, scanout_id: int, surface: Surface, x: int, y: int, width: int, height: int) -> None:
        """Show a rectangle of `surface`; it is not empty."""

    def cursor_update(self, scanout_id: int, x: int, y: int, hot_x: int, hot_y: int, image: bytes) -> None:
        """Set the cursor's 64 x 64 image and hot spot, move it and show it."""

    def cursor_pos(self, scanout_id: int, x: int, y: int) -> None:
        """Move the cursor and show it."""

    def cursor_pos_hide(self, scanout_id: int, x: int, y: int) -> None:
        """Move the cursor and hide it."""


class Displays(Protocol):
    """Knows what displays there are. None: the answer comes later, to `CommandLoop.answer`."""

    def display_info(self) -> bytes | None:
        """Return struct virtio_gpu_resp_display_info without its header."""

    def edid(self, scanout_id: int) -> bytes | None:
        """Return struct virtio_gpu_resp_edid without its header."""
