"""Where a front-end's session on the GPU socket puts what a back-end shows.

Source: QEMU docs/interop/vhost-user-gpu.
"""

from typing import Protocol

from outboard.spec.vhost_user_gpu import DmabufScanout


class Sink(Protocol):
    """Takes what a back-end shows. Outputs exist, and rectangles touch a live scanout, but may reach over its edges."""

    def scanout(self, scanout_id: int, width: int, height: int) -> None:
        """Set the size of an output; 0 x 0 disables it."""

    def keep(self, pixels: int) -> None:
        """Forget last pictures, of outputs that have another size now, until they have at most `pixels` pixels."""

    def room(self, scanout_id: int, x: int, y: int, width: int, height: int) -> memoryview | None:
        """Return 4 * width * height writable bytes for a rectangle, or None to have its pixels thrown away."""

    def paint(self, scanout_id: int, x: int, y: int, width: int, height: int, pixels: memoryview | None) -> None:
        """Take a rectangle, tight rows; what `room` returned, or bytes that are valid during the call."""

    def cursor_update(self, scanout_id: int, x: int, y: int, hot_x: int, hot_y: int, image: bytes) -> None:
        """Set the cursor's image, hot spot and position, and show it."""

    def cursor_pos(self, scanout_id: int, x: int, y: int) -> None:
        """Move the cursor and show it."""

    def cursor_pos_hide(self, scanout_id: int, x: int, y: int) -> None:
        """Move the cursor and hide it."""

    def dmabuf_scanout(self, scanout: DmabufScanout, modifier: int, fd: int | None) -> None:
        """Show a shared buffer, or none. The fd is the sink's once this returns.

        Raises LocalError when the buffer cannot be read; the output is off then.
        """

    def dmabuf_update(self, scanout_id: int, x: int, y: int, width: int, height: int) -> bool:
        """Take a rectangle of the shared buffer; false when the back-end has to wait for `release`."""
