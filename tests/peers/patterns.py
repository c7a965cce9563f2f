"""The pictures that guest/kms.c draws, computed here, and QEMU's screendumps to compare them with.

A picture is a width, a height and RGB bytes, row by row from the top.
Documents: kms.c; PPM is netpbm's ppm(5), type P6.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

BARS = (0xFFFFFF, 0xFFFF00, 0x00FFFF, 0x00FF00, 0xFF00FF, 0xFF0000, 0x0000FF, 0x000000)
ROWS_REPEAT_AFTER = {"bars": 1, "gradient": 256, "checker": 32}


@dataclass(frozen=True)
class Picture:
    """`rgb` has 3 bytes a pixel and no padding."""

    width: int
    height: int
    rgb: bytes

    def __repr__(self) -> str:
        """Size and first pixel; a test's report shall not have megabytes."""
        return f"Picture({self.width}x{self.height}, {self.rgb[:3].hex()}…)"

    def difference(self, other: Picture) -> str | None:
        """Where two pictures differ first, None when they are equal."""
        if (self.width, self.height) != (other.width, other.height):
            return f"sizes {self.width}x{self.height} and {other.width}x{other.height}"
        if self.rgb == other.rgb:
            return None
        byte = next(i for i, (a, b) in enumerate(zip(self.rgb, other.rgb, strict=True)) if a != b) // 3 * 3
        y, x = divmod(byte // 3, self.width)
        return f"pixel {x},{y}: {self.rgb[byte : byte + 3].hex()} and {other.rgb[byte : byte + 3].hex()}"


def pixel(pattern: str, x: int, y: int, width: int) -> int:
    """0xRRGGBB of one pixel of a pattern, or of the colour that `pattern` names."""
    if pattern == "bars":
        return BARS[x * 8 // width]
    if pattern == "gradient":
        return (x & 255) << 16 | (y & 255) << 8 | ((x ^ y) & 255)
    if pattern == "checker":
        return 0xFFFFFF if (x // 16 + y // 16) & 1 else 0
    return int(pattern, 16)


def picture(pattern: str, width: int, height: int) -> Picture:
    """What `kms set CONNECTOR WIDTHxHEIGHT PATTERN` shows."""
    count = min(height, ROWS_REPEAT_AFTER.get(pattern, 1))
    rows = [b"".join(pixel(pattern, x, y, width).to_bytes(3) for x in range(width)) for y in range(count)]
    return Picture(width, height, b"".join(rows[y % count] for y in range(height)))


def rectangles(count: int, width: int, height: int) -> Picture:
    """What `kms rects COUNT` shows in a mode of that size."""
    rgb = bytearray(3 * width * height)
    for i in range(count):
        left, top = i * 37 % (width - 32), i * 53 % (height - 24)
        row = (((i + 1) * 0x9E37_79B1) & 0xFFFFFF).to_bytes(3) * 32
        for y in range(top, top + 24):
            start = 3 * (y * width + left)
            rgb[start : start + len(row)] = row
    return Picture(width, height, bytes(rgb))


def cursor_image() -> bytes:
    """The image of `kms cursor`, 64x64 words 0xAARRGGBB, bytes B, G, R, A in memory."""
    squares = [(x - 32) ** 2 + (y - 32) ** 2 for y in range(64) for x in range(64)]
    words = (
        0xFFFF_FFFF if r < 20**2 else 0xFF00_0000 if r < 24**2 else 0x80FF_0000 if r < 32**2 else 0 for r in squares
    )
    return b"".join(word.to_bytes(4, "little") for word in words)


def read_ppm(path: Path) -> Picture:
    """A screendump with `format="ppm"`. Raises ValueError when it is not a P6 file of 8 bits."""
    data = path.read_bytes()
    fields = data.split(maxsplit=4)
    if fields[0] != b"P6" or fields[3] != b"255":
        raise ValueError(f"{path}: expected a PPM `P6 WIDTH HEIGHT 255`, got {data[:20]!r}")
    width, height = int(fields[1]), int(fields[2])
    return Picture(width, height, data[len(data) - 3 * width * height :])
