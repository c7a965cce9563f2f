"""Screens of this process: each keeps the picture of one output as it was last shown.

Pixels are 0xXXRRGGBB words, bytes B, G, R, X in memory, rows tight, as QEMU docs/interop/vhost-user-gpu sends them.
"""

from typing import NamedTuple, Protocol

from outboard.spec.virtio_gpu import BYTES_PER_PIXEL

BLINK_MAX = 4 << 10
"""Bytes of a rectangle that may be a blinking cursor: 32 x 32 pixels."""
BLINKS = 16
"""Small rectangles that are remembered."""

Rectangle = tuple[int, int, int, int]


class Pixels(Protocol):
    """Where an update finds its pixels."""

    def gather(self, into: memoryview, start: int, x: int, y: int, width: int, rows: int) -> None:
        """Copy a rectangle as tight rows to byte `start` of `into`."""


class Picture(NamedTuple):
    """A copy of a screen: `pixels` holds 4 * width * height bytes. `serial` rises with every change of the screen."""

    width: int
    height: int
    pixels: bytes
    serial: int


class Cursor(NamedTuple):
    """A screen's cursor: position of the image's corner (it may lie outside), hot spot in the image, visibility.

    image: 64 x 64 words 0xAARRGGBB, bytes B, G, R, A in memory; empty until the guest has set one.
    """

    x: int
    y: int
    hot_x: int
    hot_y: int
    visible: bool
    image: bytes


class Screen:
    """One output. `active` is false before the guest sets it and after it disables it; the last picture stays.

    news: rises with every change that is more than a blink: a small rectangle that shows again what it showed before.
    """

    def __init__(self, scanout_id: int) -> None:
        self.scanout_id = scanout_id
        self.width = 0
        self.height = 0
        self.active = False
        self.serial = 0
        self.news = 0
        self._blinks: dict[Rectangle, tuple[bytes, ...]] = {}
        self.cursor_image = b""
        self.cursor_visible = False
        self.cursor_x = self.cursor_y = 0
        self.cursor_hot_x = self.cursor_hot_y = 0
        self.resize(0, 0)

    def resize(self, width: int, height: int) -> None:
        """Set the size, black; 0 x 0 only says that the output is off."""
        self.active = bool(width)
        self._blinks.clear()
        self.news += self.active
        if self.active or not self.serial:
            self.width, self.height = width, height
            self._pixels = memoryview(bytearray(BYTES_PER_PIXEL * width * height))

    def update(self, surface: Pixels, x: int, y: int, width: int, height: int) -> None:
        """Take a rectangle that lies inside the screen."""
        stride = BYTES_PER_PIXEL * self.width
        start = y * stride + BYTES_PER_PIXEL * x
        if width == self.width:
            surface.gather(self._pixels, start, x, y, width, height)
        else:
            for row in range(height):
                surface.gather(self._pixels, start + row * stride, x, y + row, width, 1)
        self.serial += 1
        if not self._blinked((x, y, width, height)):
            self.news += 1

    def _blinked(self, rectangle: Rectangle) -> bool:
        """Whether the rectangle drawn last is small and shows what it showed before, as a text cursor does for ever."""
        x, y, width, height = rectangle
        if BYTES_PER_PIXEL * width * height > BLINK_MAX:
            self._blinks.clear()
            return False
        stride = BYTES_PER_PIXEL * self.width
        starts = range(y * stride + BYTES_PER_PIXEL * x, (y + height) * stride, stride)
        now = b"".join(self._pixels[start : start + BYTES_PER_PIXEL * width] for start in starts)
        seen = self._blinks.pop(rectangle, ())
        if len(self._blinks) == BLINKS:
            del self._blinks[next(iter(self._blinks))]
        self._blinks[rectangle] = seen if now in seen else (*seen[-1:], now)
        return now in seen

    def cursor(self) -> Cursor:
        """Return the cursor as it was last set."""
        hot_x, hot_y = self.cursor_hot_x, self.cursor_hot_y
        return Cursor(self.cursor_x, self.cursor_y, hot_x, hot_y, self.cursor_visible, self.cursor_image)

    def picture(self) -> Picture:
        """Return a copy of the pixels, without the cursor."""
        return Picture(self.width, self.height, bytes(self._pixels), self.serial)


class Screens:
    """The screens of all outputs; takes what the device shows."""

    congested = False

    def __init__(self, count: int) -> None:
        self.screens = [Screen(i) for i in range(count)]

    def scanout(self, scanout_id: int, width: int, height: int) -> None:
        """Set the size of an output; 0 x 0 disables it."""
        self.screens[scanout_id].resize(width, height)

    def update(self, scanout_id: int, surface: Pixels, x: int, y: int, width: int, height: int) -> None:
        """Take a rectangle of an output."""
        self.screens[scanout_id].update(surface, x, y, width, height)

    def cursor_update(self, scanout_id: int, x: int, y: int, hot_x: int, hot_y: int, image: bytes) -> None:
        """Set the cursor's image, hot spot and position, and show it."""
        screen = self.screens[scanout_id]
        screen.cursor_image = image
        screen.cursor_hot_x, screen.cursor_hot_y = hot_x, hot_y
        self.cursor_pos(scanout_id, x, y)

    def cursor_pos(self, scanout_id: int, x: int, y: int) -> None:
        """Move the cursor and show it."""
        self._place(scanout_id, x, y, True)

    def cursor_pos_hide(self, scanout_id: int, x: int, y: int) -> None:
        """Move the cursor and hide it."""
        self._place(scanout_id, x, y, False)

    def _place(self, scanout_id: int, x: int, y: int, visible: bool) -> None:
        screen = self.screens[scanout_id]
        screen.cursor_x, screen.cursor_y = (v - (1 << 32) if v >> 31 else v for v in (x, y))
        screen.cursor_visible = visible
