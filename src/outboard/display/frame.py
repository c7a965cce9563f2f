"""One picture of a screen, taken whole, with what came with it.

Pixels are 0xXXRRGGBB words, bytes B, G, R, X in memory, rows tight, as QEMU docs/interop/vhost-user-gpu sends them.
The numpy views copy nothing; numpy is in the extra `display`.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from outboard.errors import LocalError
from outboard.spec.virtio_gpu import CURSOR_SIZE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Rectangle = tuple[int, int, int, int]
"""x, y, width, height in pixels."""


def _numpy() -> Any:
    try:
        import numpy
    except ImportError as error:
        raise LocalError("numpy views need numpy; pip install 'outboard[display]'") from error
    return numpy


class Cursor(NamedTuple):
    """A screen's cursor: position of the image's corner (it may lie outside), hot spot in the image, visibility.

    image: 64 x 64 words 0xAARRGGBB, bytes B, G, R, A in memory; empty until the guest has set one.
    """

    x: int = 0
    y: int = 0
    hot_x: int = 0
    hot_y: int = 0
    visible: bool = False
    image: bytes = b""

    def __repr__(self) -> str:
        shown = "visible" if self.visible else "hidden"
        return f"<Cursor at {self.x},{self.y}, hot spot {self.hot_x},{self.hot_y}, {shown}, {len(self.image)} bytes>"


class Frame(NamedTuple):
    """What a screen showed at one moment, without the cursor, which is apart; `composed` joins them.

    pixels: 4 * width * height bytes. serial: rises with every change of the screen. time: of that change, in seconds of
    the monotonic clock. damage: rectangles that changed since the frame before (see who hands it out).
    """

    width: int
    height: int
    pixels: bytes
    serial: int
    time: float = 0.0
    damage: tuple[Rectangle, ...] = ()
    cursor: Cursor = Cursor()

    def __repr__(self) -> str:
        return f"<Frame {self.width}x{self.height}, serial {self.serial}, damage {self.damage}, {self.cursor}>"

    @property
    def words(self) -> "NDArray[np.uint32]":
        """The pixels as read-only words 0xXXRRGGBB, [y, x]."""
        view: NDArray[np.uint32] = _numpy().frombuffer(self.pixels, "<u4").reshape(self.height, self.width)
        return view

    @property
    def bgrx(self) -> "NDArray[np.uint8]":
        """The pixels as read-only bytes, [y, x, channel]: blue, green, red, and one that means nothing."""
        view: NDArray[np.uint8] = _numpy().frombuffer(self.pixels, "u1").reshape(self.height, self.width, 4)
        return view

    @property
    def rgb(self) -> "NDArray[np.uint8]":
        """The pixels as read-only bytes, [y, x, channel]: red, green, blue."""
        return self.bgrx[:, :, 2::-1]

    def composed(self, premultiplied: bool = True) -> "Frame":
        """Return the frame with the cursor drawn into it.

        premultiplied: whether the image's colours are multiplied by its alpha already, as Linux's cursor planes have
        it; the protocol does not say.
        """
        cursor = self.cursor
        left, top = max(0, cursor.x), max(0, cursor.y)
        right, bottom = min(self.width, cursor.x + CURSOR_SIZE), min(self.height, cursor.y + CURSOR_SIZE)
        if not cursor.visible or not cursor.image or left >= right or top >= bottom:
            return self
        np = _numpy()
        picture = self.bgrx.copy()
        image = np.frombuffer(cursor.image, "u1").reshape(CURSOR_SIZE, CURSOR_SIZE, 4).astype("u2")
        image = image[top - cursor.y : bottom - cursor.y, left - cursor.x : right - cursor.x]
        alpha = image[:, :, 3:]
        colour = image[:, :, :3] if premultiplied else (image[:, :, :3] * alpha + 127) // 255
        under = picture[top:bottom, left:right, :3]
        picture[top:bottom, left:right, :3] = np.minimum(255, colour + (under * (255 - alpha) + 127) // 255)
        return self._replace(pixels=picture.tobytes())
