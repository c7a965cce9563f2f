"""Drawing into bytes, row by row, with nothing but slices. Everything is cut to the canvas.

Colours are 0xRRGGBB; pixels are B, G, R, X bytes, X being 0, as VIRTIO's format B8G8R8X8.
"""

from collections.abc import Iterator
from math import isqrt

from outboard.machine.card.buffers import Rectangle
from outboard.machine.scenes.font import ADVANCE, HEIGHT, glyph
from outboard.spec.virtio_gpu import BYTES_PER_PIXEL


def pixel(rgb: int) -> bytes:
    """Return the bytes of one 0xRRGGBB pixel."""
    return rgb.to_bytes(BYTES_PER_PIXEL, "little")


class Canvas:
    """A picture of width x height pixels in `memory`, rows tight, drawn into."""

    def __init__(self, memory: memoryview | bytearray, width: int, height: int) -> None:
        self.memory = memory
        self.width = width
        self.height = height
        self._pitch = BYTES_PER_PIXEL * width

    def fill(self, x: int, y: int, width: int, height: int, rgb: int) -> None:
        """Fill a rectangle."""
        left, _, across, _ = self.inside(x, y, width, height)
        if across:
            row = pixel(rgb) * across
            for start in self._starts(left, y, height):
                self.memory[start : start + len(row)] = row

    def inside(self, x: int, y: int, width: int, height: int) -> Rectangle:
        """Return the part of a rectangle that lies inside, which may be empty."""
        left, top = max(0, x), max(0, y)
        return left, top, max(0, min(self.width, x + width) - left), max(0, min(self.height, y + height) - top)

    def rows(self, x: int, y: int, height: int, row: bytes) -> None:
        """Put the same row of pixels, B, G, R, X bytes, at x on `height` rows from y on; it must fit the width."""
        for start in self._starts(x, y, height):
            self.memory[start : start + len(row)] = row

    def copy(self, source: bytes | bytearray | memoryview, x: int, y: int, width: int, height: int) -> None:
        """Copy a rectangle that lies inside from a picture of the same size to the same place."""
        size = BYTES_PER_PIXEL * width
        for start in self._starts(x, y, height):
            self.memory[start : start + size] = source[start : start + size]

    def _starts(self, x: int, y: int, height: int) -> Iterator[int]:
        """Yield where in the memory column x of each row that there is lies."""
        first, last = max(0, y), min(self.height, y + height)
        return iter(range(first * self._pitch + BYTES_PER_PIXEL * x, last * self._pitch, self._pitch))

    def frame(self, x: int, y: int, width: int, height: int, rgb: int, thickness: int = 1) -> None:
        """Draw the edge of a rectangle, inside it."""
        self.fill(x, y, width, thickness, rgb)
        self.fill(x, y + height - thickness, width, thickness, rgb)
        self.fill(x, y, thickness, height, rgb)
        self.fill(x + width - thickness, y, thickness, height, rgb)

    def ring(self, x: int, y: int, radius: int, rgb: int, thickness: int = 1) -> None:
        """Draw a circle around x, y."""
        inner = radius - thickness
        for dy in range(-radius, radius + 1):
            half = isqrt(radius * radius - dy * dy)
            hole = isqrt(inner * inner - dy * dy) if abs(dy) <= inner else -1
            self.fill(x - half, y + dy, half - hole, 1, rgb)
            self.fill(x + hole + 1, y + dy, half - hole, 1, rgb)

    def text(self, x: int, y: int, text: str, rgb: int, scale: int = 1) -> None:
        """Write a line, its left top corner at x, y; a dot is `scale` pixels wide and high."""
        for at, letter in enumerate(text):
            left = x + ADVANCE * scale * at
            for row, dots in enumerate(glyph(letter)):
                for column, dot in enumerate(dots):
                    if dot == "#":
                        self.fill(left + scale * column, y + scale * row, scale, scale, rgb)


def text_size(text: str, scale: int = 1) -> tuple[int, int]:
    """Return the pixels that a line takes."""
    return (ADVANCE * len(text) - 1) * scale, HEIGHT * scale
