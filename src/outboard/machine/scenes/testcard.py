"""A test card: what is shifted, cut, scaled, or has its colours swapped shows at a glance."""

from outboard.machine.card.buffers import Rectangle
from outboard.machine.scenes.canvas import Canvas, text_size
from outboard.machine.scenes.scene import Head, Scene

GROUND, GRID, WHITE, BLACK = 0x303840, 0x606870, 0xFFFFFF, 0x000000
BARS = (0xFFFFFF, 0xFFFF00, 0x00FFFF, 0x00FF00, 0xFF00FF, 0xFF0000, 0x0000FF, 0x000000)
CORNERS = (0xFF0000, 0x00FF00, 0x0000FF, 0xFFFF00)
"""Of the outermost pixels: left top, right top, left bottom, right bottom."""
SWEEP = 8
"""Pixels that the bar at the foot moves a step."""


class TestCard(Scene):
    """Colour bars, grid, circles, edges of one pixel, the size and the number of the output; a bar sweeps below."""

    __test__ = False  # to pytest, a class that begins with Test
    name = "test-card"
    summary = "bars, grid, circles, edges; a bar sweeps and counts"

    def draw(self, head: Head) -> None:
        """See `Scene.draw`."""
        canvas = head.canvas
        width, height = canvas.width, canvas.height
        _grid(canvas)
        _bars(canvas, width // 8, height // 4, width - 2 * (width // 8), height // 4)
        _ramp(canvas, width // 8, height // 2, width - 2 * (width // 8), height // 12)
        side = min(width, height)
        canvas.ring(width // 2, height // 2, side * 9 // 20, WHITE, max(1, side // 200))
        for x in (side // 8, width - 1 - side // 8):
            for y in (side // 8, height - 1 - side // 8):
                canvas.ring(x, y, side // 10, WHITE)
        _label(canvas, f"{width}x{height}", height * 5 // 8)
        _label(canvas, f"OUTPUT {head.id}", height * 5 // 8 + 10 * _scale(width))
        _dots(canvas, width // 8, height * 5 // 8, side // 10)
        _edges(canvas)
        self._sweep(canvas)

    def advance(self, head: Head) -> list[Rectangle]:
        """See `Scene.advance`."""
        return [self._sweep(head.canvas)]

    def _sweep(self, canvas: Canvas) -> Rectangle:
        """Draw the bar at the foot and the number of the step on it; return where."""
        x, y, width, height = where = foot(canvas)
        place = SWEEP * self.frames % max(1, width)
        canvas.fill(x, y, width, height, BLACK)
        canvas.fill(x, y, place, height, 0x205080)
        canvas.fill(x + place, y, 1, height, WHITE)
        scale = height // 9
        if scale:
            canvas.text(x + 2 * scale, y + scale, f"{self.frames:06}", WHITE, scale)
        return canvas.inside(*where)


def foot(canvas: Canvas) -> Rectangle:
    """Return where the bar sweeps."""
    width, height = canvas.width, canvas.height
    left = min(8, width // 4)
    return left, height - max(1, height // 8), width - 2 * left, max(1, height // 14)


def _scale(width: int) -> int:
    return max(1, width // 160)


def _grid(canvas: Canvas) -> None:
    width, height = canvas.width, canvas.height
    step = max(8, min(width, height) // 12)
    canvas.fill(0, 0, width, height, GROUND)
    for x in range(width // 2 % step, width, step):
        canvas.fill(x, 0, 1, height, GRID)
    for y in range(height // 2 % step, height, step):
        canvas.fill(0, y, width, 1, GRID)


def _bars(canvas: Canvas, x: int, y: int, width: int, height: int) -> None:
    for at, rgb in enumerate(BARS):
        left, right = (x + width * edge // len(BARS) for edge in (at, at + 1))
        canvas.fill(left, y, right - left, height, rgb)


def _ramp(canvas: Canvas, x: int, y: int, width: int, height: int) -> None:
    """Draw each channel's 256 values, from dark to bright, one below the other."""
    for at, channel in enumerate((0x010000, 0x000100, 0x000001)):
        top, bottom = (y + height * edge // 3 for edge in (at, at + 1))
        row = b"".join((channel * (255 * column // max(1, width - 1))).to_bytes(4, "little") for column in range(width))
        canvas.rows(x, top, bottom - top, row)


def _label(canvas: Canvas, text: str, y: int) -> None:
    scale = _scale(canvas.width)
    width, height = text_size(text, scale)
    x = (canvas.width - width) // 2
    canvas.fill(x - 2 * scale, y - scale, width + 4 * scale, height + 2 * scale, BLACK)
    canvas.text(x, y, text, WHITE, scale)


def _dots(canvas: Canvas, x: int, y: int, side: int) -> None:
    """Draw a chessboard of single pixels, and beside it stripes of single pixels, which scaling makes grey."""
    for row in range(side):
        canvas.fill(x, y + row, side, 1, BLACK)
        for column in range(row % 2, side, 2):
            canvas.fill(x + column, y + row, 1, 1, WHITE)
    for column in range(side):
        canvas.fill(canvas.width - x - side + column, y, 1, side, WHITE if column % 2 else BLACK)


def _edges(canvas: Canvas) -> None:
    """Draw the outermost pixels: a white edge, a black one inside it, and four coloured corners."""
    right, bottom = canvas.width - 1, canvas.height - 1
    canvas.frame(0, 0, canvas.width, canvas.height, WHITE)
    canvas.frame(1, 1, canvas.width - 2, canvas.height - 2, BLACK)
    for rgb, (x, y) in zip(CORNERS, ((0, 0), (right, 0), (0, bottom), (right, bottom)), strict=True):
        canvas.fill(x, y, 1, 1, rgb)
