"""Balls that bounce before a title, drawn with plain byte slices: many small rectangles of damage."""

from dataclasses import dataclass

from outboard.errors import LocalError
from outboard.machine.card.buffers import Rectangle
from outboard.machine.scenes.canvas import pixel
from outboard.machine.scenes.scene import Head, Scene

TITLE = "outboard"
GLYPHS = {
    "o": ("     ", "     ", " ### ", "#   #", "#   #", "#   #", " ### "),
    "u": ("     ", "     ", "#   #", "#   #", "#   #", "#  ##", " ## #"),
    "t": (" #   ", " #   ", "#### ", " #   ", " #   ", " #  #", "  ## "),
    "b": ("#    ", "#    ", "#### ", "#   #", "#   #", "#   #", "#### "),
    "a": ("     ", "     ", " ### ", "    #", " ####", "#   #", " ####"),
    "r": ("     ", "     ", "# ## ", "##  #", "#    ", "#    ", "#    "),
    "d": ("    #", "    #", " ####", "#   #", "#   #", "#   #", " ####"),
}
BARS = (0xC0C0C0, 0xC0C000, 0x00C0C0, 0x00C000, 0xC000C0, 0xC00000, 0x0000C0)
BALLS = (0xFF5533, 0xFFCC33, 0x33DD77, 0x3399FF, 0xDD66FF)
SMALLEST = 64
"""Least width, and least height, of a picture: the title has room, and balls can move."""
STEPS = ((5, 3), (-4, 5), (7, -4), (-6, -5), (3, 7))


def background(width: int, height: int) -> bytearray:
    """Return a picture: a dark gradient, colour bars at the foot, the title in the middle. Both sides: `SMALLEST`."""
    picture = bytearray()
    foot = height - height // 8
    bars = b"".join(pixel(BARS[x * len(BARS) // width]) for x in range(width))
    for y in range(height):
        shade = 16 + 64 * y // height
        picture += bars if y >= foot else pixel(shade // 3 << 16 | shade // 2 << 8 | shade + 16) * width
    scale = max(1, min(width // (len(TITLE) * 6 + 6), height // 14))
    left = (width - len(TITLE) * 6 * scale) // 2
    for at, letter in enumerate(TITLE):
        _glyph(picture, width, left + at * 6 * scale, (height - 7 * scale) // 2, scale, GLYPHS[letter])
    return picture


def _glyph(picture: bytearray, width: int, left: int, top: int, scale: int, rows: tuple[str, ...]) -> None:
    for y in range(7 * scale):
        for x, dot in enumerate(rows[y // scale]):
            if dot == "#":
                start = 4 * ((top + y) * width + left + x * scale)
                picture[start : start + 4 * scale] = pixel(0xF0F0F0) * scale


@dataclass
class Ball:
    """A filled circle: `x`, `y` of its square's corner, `dx`, `dy` pixels a frame; `half[row]` half its width there."""

    x: int
    y: int
    dx: int
    dy: int
    rgb: int
    half: tuple[int, ...]

    @property
    def side(self) -> int:
        """Pixels of the square around it."""
        return len(self.half)

    def move(self, width: int, height: int) -> None:
        """Go one step, and bounce off the edges."""
        if not 0 <= self.x + self.dx <= width - self.side:
            self.dx = -self.dx
        if not 0 <= self.y + self.dy <= height - self.side:
            self.dy = -self.dy
        self.x += self.dx
        self.y += self.dy


def ball(number: int, width: int, height: int, side: int) -> Ball:
    """Return one of the scene's balls, at its place of start."""
    radius = side / 2
    half = tuple(int((radius**2 - (row + 0.5 - radius) ** 2) ** 0.5) for row in range(side))
    dx, dy = STEPS[number % len(STEPS)]
    place = (number + 1) / (len(BALLS) + 1)
    return Ball(int(place * (width - side)), int(place * (height - side)), dx, dy, BALLS[number % len(BALLS)], half)


class Animation:
    """The picture and what moves on it. `framebuffer`: 4 * width * height writable bytes, drawn into."""

    def __init__(self, framebuffer: memoryview, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._framebuffer = framebuffer
        self._background = background(width, height)
        side = min(width, height) // 8
        self._balls = [ball(number, width, height, side) for number in range(len(BALLS))]
        framebuffer[:] = self._background

    def step(self) -> list[Rectangle]:
        """Draw the next frame; return the rectangles that changed."""
        damage: list[Rectangle] = []
        for one in self._balls:
            self._erase(one)
            old_x, old_y = one.x, one.y
            one.move(self.width, self.height)
            left, top = min(old_x, one.x), min(old_y, one.y)
            damage.append((left, top, one.side + abs(one.x - old_x), one.side + abs(one.y - old_y)))
        for one in self._balls:
            self._draw(one)
        return damage

    def _erase(self, one: Ball) -> None:
        for row in range(one.side):
            start = 4 * ((one.y + row) * self.width + one.x)
            end = start + 4 * one.side
            self._framebuffer[start:end] = self._background[start:end]

    def _draw(self, one: Ball) -> None:
        centre = one.x + one.side // 2
        colour = pixel(one.rgb)
        for row, half in enumerate(one.half):
            start = 4 * ((one.y + row) * self.width + centre - half)
            self._framebuffer[start : start + 8 * half] = colour * (2 * half)


class Balls(Scene):
    """Balls that bounce on every output."""

    name = "balls"
    summary = "bouncing balls, many small rectangles of damage"

    def __init__(self, file: str = "") -> None:
        super().__init__(file)
        self._animations: dict[int, Animation] = {}

    def draw(self, head: Head) -> None:
        """See `Scene.draw`."""
        width, height = head.buffer.width, head.buffer.height
        if min(width, height) < SMALLEST:
            raise LocalError(f"scene balls needs {SMALLEST}x{SMALLEST} pixels, output {head.id} has {width}x{height}")
        self._animations[head.id] = Animation(head.buffer.memory, width, height)

    def advance(self, head: Head) -> list[Rectangle]:
        """See `Scene.advance`."""
        return self._animations[head.id].step()
