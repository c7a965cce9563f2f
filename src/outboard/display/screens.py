"""Screens of this process: each keeps the picture of one output as it was last shown.

Pixels come from a surface of ours (`update`), from a stream (`room` and `paint`), or from a shared buffer
(`dmabuf_scanout`). As in QEMU nothing changes with SCANOUT alone: a new size, black, appears with the first rectangle.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from outboard.display.frame import Cursor, Frame, Rectangle
from outboard.errors import LocalError
from outboard.spec.vhost_user_gpu import DmabufScanout
from outboard.spec.virtio_gpu import BYTES_PER_PIXEL

BLINK_MAX = 4 << 10
"""Bytes of a rectangle that may be a blinking cursor: 32 x 32 pixels."""
BLINKS = 16
"""Small rectangles that are remembered."""
BANDS = 64
"""Pieces of a frame in any order that are kept apart; those in order count as one."""
DAMAGE_KEPT = 512
"""Rectangles whose place is remembered; who missed more of them has to look at everything."""


class Pixels(Protocol):
    """Where an update finds its pixels."""

    def gather(self, into: memoryview, start: int, x: int, y: int, width: int, rows: int) -> None:
        """Copy a rectangle as tight rows to byte `start` of `into`."""


class Buffer(Pixels, Protocol):
    """A buffer that another process shares, its visible rectangle at 0, 0. `gather` raises LocalError."""

    def close(self) -> None:
        """Give the buffer back."""


Import = Callable[[DmabufScanout, int, int], Buffer]
"""Takes a DMABUF_SCANOUT, its modifier and its fd, owned once it returns; raises LocalError with a reason."""


def refuse(scanout: DmabufScanout, modifier: int, fd: int) -> Buffer:
    """Import nothing."""
    raise LocalError("shared buffers are not read here")


class Screen:
    """One output. `active` is false before the guest sets it and after it disables it; the last picture stays.

    width, height: of what is shown. announced: the size of the scanout. serial: number of the last change. time: when
    it was. news: rises with every change that is more than a blink: a small rectangle that shows again what it showed
    before. updates, painted: rectangles and pixels that came so far. refused: why a shared buffer is not shown.
    held: whether who draws into a shared buffer has to wait after each rectangle.
    """

    def __init__(self, scanout_id: int, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.scanout_id = scanout_id
        self.width = self.height = 0
        self.announced = (0, 0)
        self.serial = self.news = 0
        self.updates = self.painted = 0
        self.time = 0.0
        self.cursor = Cursor()
        self.dmabuf: DmabufScanout | None = None
        self.modifier = 0
        self.refused = ""
        self.held = False
        self._clock = clock
        self._buffer: Buffer | None = None
        self._pixels = memoryview(bytearray())
        self._fresh: memoryview | None = None
        self._spare: memoryview | None = None
        self._bands: list[tuple[int, int]] = []
        self._room = self._scratch = memoryview(bytearray())
        self._damage: deque[tuple[int, Rectangle]] = deque(maxlen=DAMAGE_KEPT)
        self._blinks: dict[Rectangle, tuple[bytes, ...]] = {}

    @property
    def active(self) -> bool:
        """Whether the guest has the output enabled."""
        return bool(self.announced[0])

    @property
    def pixels(self) -> memoryview:
        """What is shown, as it is now: 4 * width * height bytes that change under the reader."""
        self._settle()
        return self._pixels

    # Size

    def resize(self, width: int, height: int) -> None:
        """Set the size, black from the next rectangle on; 0 x 0 only says that the output is off."""
        self._forget_buffer()
        self._settle()
        self.announced = (width, height)
        self.refused = ""
        self._blinks.clear()
        self._spare = self._fresh = None
        self._room = self._scratch = memoryview(bytearray())
        if width:
            self.news += 1
            self._fresh = memoryview(bytearray(BYTES_PER_PIXEL * width * height))

    @property
    def left_over(self) -> int:
        """Pixels of a picture that is shown still, but is not drawn any more: the scanout has another size, or none."""
        return 0 if self.active and self._fresh is None else self.width * self.height

    def forget(self) -> None:
        """Show nothing until the next rectangle."""
        self.width = self.height = 0
        self._pixels = memoryview(bytearray())
        self._bands.clear()
        self._damage.clear()

    def _surface(self) -> memoryview:
        """Return the pixels to draw into: those of the announced size."""
        if self._fresh is not None:
            self._renew()
        if self._bands:
            self._settle()
        return self._pixels

    def _renew(self) -> None:
        """Show the announced size, if that was not done yet."""
        if self._fresh is not None:
            self._pixels, self._fresh = self._fresh, None
            self.width, self.height = self.announced
            self._damage.clear()

    # Pixels

    def update(self, surface: Pixels, x: int, y: int, width: int, height: int) -> None:
        """Take a rectangle that lies inside the screen from a surface."""
        pixels = self._surface()
        stride = BYTES_PER_PIXEL * self.width
        start = y * stride + BYTES_PER_PIXEL * x
        if width == self.width:
            surface.gather(pixels, start, x, y, width, height)
        else:
            for row in range(height):
                surface.gather(pixels, start + row * stride, x, y + row, width, 1)
        self._changed((x, y, width, height))

    def room(self, x: int, y: int, width: int, height: int) -> memoryview:
        """Return room for a rectangle's tight rows, to be given to `paint` when it is full.

        Bands, as wide as the screen, have theirs in the spare pixels; when those are complete they are shown instead,
        and nothing was copied.
        """
        size, stride = BYTES_PER_PIXEL * width * height, BYTES_PER_PIXEL * self.announced[0]
        if width == self.announced[0] and x == 0 and y + height <= self.announced[1]:
            if len(self._bands) == BANDS or any(top < y + height and y < end for top, end in self._bands):
                self._settle()
            self._spare = self._spare or memoryview(bytearray(stride * self.announced[1]))
            self._room = self._spare[y * stride : y * stride + size]
            return self._room
        if size > stride * self.announced[1]:
            return memoryview(bytearray(size))  # More than the screen: seldom, and not kept.
        if len(self._scratch) < size:
            self._scratch = memoryview(bytearray(size))
        return self._scratch[:size]

    def paint(self, x: int, y: int, width: int, height: int, pixels: memoryview) -> None:
        """Take a rectangle, tight rows, that touches the screen; what reaches over its edges is cut off."""
        if pixels is self._room:
            self._renew()
            self._take_band(y, y + height)
        else:
            self._blit(self._surface(), x, y, width, height, pixels)
        right, bottom = min(x + width, self.width), min(y + height, self.height)
        self._changed((x, y, right - x, bottom - y))

    def _take_band(self, top: int, end: int) -> None:
        """Note rows that came into the spare pixels, and show those once they are complete."""
        if self._bands and self._bands[-1][1] == top:
            top = self._bands.pop()[0]
        self._bands.append((top, end))
        if end - top == self.height:
            assert self._spare is not None
            self._pixels, self._spare = self._spare, self._pixels
            self._bands.clear()

    def _settle(self) -> None:
        """Copy the bands to the others that are shown: somebody looks, or draws."""
        stride = BYTES_PER_PIXEL * self.width
        for top, end in tuple(self._bands):
            assert self._spare is not None
            self._pixels[top * stride : end * stride] = self._spare[top * stride : end * stride]
        self._bands.clear()

    def _blit(self, into: memoryview, x: int, y: int, width: int, height: int, pixels: memoryview) -> None:
        """Copy what lies inside the screen."""
        columns, rows = min(width, self.width - x), min(height, self.height - y)
        stride = BYTES_PER_PIXEL * self.width
        to = y * stride + BYTES_PER_PIXEL * x
        if columns == width == self.width:
            into[to : to + rows * stride] = pixels[: rows * stride]
            return
        size, step = BYTES_PER_PIXEL * columns, BYTES_PER_PIXEL * width
        for at in range(0, rows * step, step):
            into[to : to + size] = pixels[at : at + size]
            to += stride

    def _changed(self, rectangle: Rectangle) -> None:
        self.serial += 1
        self.updates += 1
        self.painted += rectangle[2] * rectangle[3]
        self.time = self._clock()
        # The first rectangle on a new surface brings the black around it.
        self._damage.append((self.serial, rectangle if self._damage else (0, 0, self.width, self.height)))
        if not self._blinked(rectangle):
            self.news += 1

    def _blinked(self, rectangle: Rectangle) -> bool:
        """Whether the rectangle drawn last is small and shows what it showed before, as a text cursor does for ever."""
        x, y, width, height = rectangle
        if BYTES_PER_PIXEL * width * height > BLINK_MAX:
            self._blinks.clear()
            return False
        stride = BYTES_PER_PIXEL * self.width
        starts = range(y * stride + BYTES_PER_PIXEL * x, (y + height) * stride, stride)
        pixels = self.pixels
        now = b"".join(pixels[start : start + BYTES_PER_PIXEL * width] for start in starts)
        seen = self._blinks.pop(rectangle, ())
        if len(self._blinks) == BLINKS:
            del self._blinks[next(iter(self._blinks))]
        self._blinks[rectangle] = seen if now in seen else (*seen[-1:], now)
        return now in seen

    def damage(self, after: int) -> tuple[Rectangle, ...]:
        """Return the rectangles that changed since serial `after`: all of the screen when that is too long ago."""
        if after >= self.serial:
            return ()
        if self._damage and self._damage[0][0] <= after + 1:
            return tuple(rectangle for serial, rectangle in self._damage if serial > after)
        return ((0, 0, self.width, self.height),)

    def frame(self, after: int | None = None) -> Frame:
        """Return a copy of what is shown. damage: since serial `after`, by default of the last change."""
        damage = self.damage(max(0, self.serial - 1) if after is None else after)
        return Frame(self.width, self.height, bytes(self.pixels), self.serial, self.time, damage, self.cursor)

    # Shared buffers

    def share(self, scanout: DmabufScanout, modifier: int, buffer: Buffer | None, why: str = "") -> None:
        """Show a shared buffer from the next `update_shared` on, or none, for the reason `why`."""
        size = (scanout.width or scanout.fd_width, scanout.height or scanout.fd_height) if buffer else (0, 0)
        self.resize(*size)
        self._buffer, self.refused, self.modifier = buffer, why, modifier
        self.dmabuf = scanout if buffer else None

    def update_shared(self, x: int, y: int, width: int, height: int) -> None:
        """Read a rectangle of the shared buffer, as far as it lies inside the screen: all of it, or LocalError."""
        columns, rows = min(width, self.announced[0] - x), min(height, self.announced[1] - y)
        if self._buffer is not None and columns > 0 and rows > 0:
            room = self.room(x, y, columns, rows)
            self._buffer.gather(room, 0, x, y, columns, rows)
            self.paint(x, y, columns, rows, room)
            self.refused = ""

    def _forget_buffer(self) -> None:
        buffer, self._buffer, self.dmabuf = self._buffer, None, None
        if buffer is not None:
            buffer.close()

    def close(self) -> None:
        """Give the shared buffer back; the picture stays."""
        self._forget_buffer()


class Screens:
    """The screens of all outputs; takes what a device shows (`gpu.output.Output`), or what a back-end sends.

    clock: seconds, for the time of each change. importer: makes a shared buffer readable.
    """

    congested = False

    def __init__(self, count: int, clock: Callable[[], float] = lambda: 0.0, importer: Import = refuse) -> None:
        self.screens = [Screen(i, clock) for i in range(count)]
        self._import = importer

    def scanout(self, scanout_id: int, width: int, height: int) -> None:
        """Set the size of an output; 0 x 0 disables it."""
        self.screens[scanout_id].resize(width, height)

    def keep(self, pixels: int) -> None:
        """Forget pictures that are left over, the largest first, until they have at most `pixels` pixels."""
        left_over = [screen for screen in self.screens if screen.left_over]
        for screen in sorted(left_over, key=lambda screen: screen.left_over):
            pixels -= screen.left_over
            if pixels < 0:
                screen.forget()

    def update(self, scanout_id: int, surface: Pixels, x: int, y: int, width: int, height: int) -> None:
        """Take a rectangle of an output from a surface."""
        self.screens[scanout_id].update(surface, x, y, width, height)

    def room(self, scanout_id: int, x: int, y: int, width: int, height: int) -> memoryview | None:
        """Return room for a rectangle of an output, tight rows."""
        return self.screens[scanout_id].room(x, y, width, height)

    def paint(self, scanout_id: int, x: int, y: int, width: int, height: int, pixels: memoryview | None) -> None:
        """Take a rectangle of an output, tight rows."""
        if pixels is not None:
            self.screens[scanout_id].paint(x, y, width, height, pixels)

    def dmabuf_scanout(self, scanout: DmabufScanout, modifier: int, fd: int | None) -> None:
        """Show a shared buffer on an output, or switch it off. Raises LocalError when the buffer cannot be read."""
        screen = self.screens[scanout.scanout_id]
        if fd is None:
            screen.share(scanout, modifier, None)
            return
        try:
            buffer = self._import(scanout, modifier, fd)
        except LocalError as error:
            screen.share(scanout, modifier, None, str(error))
            raise
        screen.share(scanout, modifier, buffer)

    def dmabuf_update(self, scanout_id: int, x: int, y: int, width: int, height: int) -> bool:
        """Read a rectangle of an output's shared buffer; false: it is `held`, the back-end waits."""
        screen = self.screens[scanout_id]
        try:
            screen.update_shared(x, y, width, height)
        except LocalError as error:
            screen.refused = str(error)
        return not screen.held

    def cursor_update(self, scanout_id: int, x: int, y: int, hot_x: int, hot_y: int, image: bytes) -> None:
        """Set the cursor's image, hot spot and position, and show it."""
        screen = self.screens[scanout_id]
        screen.cursor = screen.cursor._replace(hot_x=hot_x, hot_y=hot_y, image=image)
        self._place(scanout_id, x, y, True)

    def cursor_pos(self, scanout_id: int, x: int, y: int) -> None:
        """Move the cursor and show it."""
        self._place(scanout_id, x, y, True)

    def cursor_pos_hide(self, scanout_id: int, x: int, y: int) -> None:
        """Move the cursor and hide it."""
        self._place(scanout_id, x, y, False)

    def _place(self, scanout_id: int, x: int, y: int, visible: bool) -> None:
        screen = self.screens[scanout_id]
        x, y = (v - (1 << 32) if v >> 31 else v for v in (x, y))
        screen.cursor = screen.cursor._replace(x=x, y=y, visible=visible)

    def begin(self) -> None:
        """Somebody draws from now on."""

    def end(self) -> None:
        """Nobody draws any more."""

    def close(self) -> None:
        """Give all shared buffers back; the pictures stay."""
        for screen in self.screens:
            screen.close()
