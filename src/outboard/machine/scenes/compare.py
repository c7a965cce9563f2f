"""Whether a screen shows what it must, and where it does not first."""

from typing import NamedTuple
from zlib import crc32

from outboard.display import Cursor
from outboard.machine.scenes.scene import Expected
from outboard.spec.virtio_gpu import BYTES_PER_PIXEL

CHANNELS = range(3)
"""Blue, green, red; the fourth byte of a pixel is never shown."""


class Difference(NamedTuple):
    """What is wrong with a screen. pixels: how many are; x, y: of the first, -1 when it is no pixel."""

    says: str
    pixels: int = 0
    x: int = -1
    y: int = -1


def same(one: bytes, other: bytes) -> bool:
    """Whether two pictures show the same."""
    if one == other:
        return True
    return len(one) == len(other) and all(one[at::BYTES_PER_PIXEL] == other[at::BYTES_PER_PIXEL] for at in CHANNELS)


def picture(expected: Expected, width: int, height: int, pixels: bytes) -> Difference | None:
    """Compare a screen's picture with what it must be; None when they are the same."""
    if (width, height) != expected[:2]:
        return Difference(f"expected a picture of {expected.width}x{expected.height}, got {width}x{height}")
    if same(expected.pixels, pixels):
        return None
    wrong = _wrong(expected, pixels)
    x, y = wrong[0]
    at = BYTES_PER_PIXEL * (y * width + x)
    colours = [int.from_bytes(data[at : at + 3], "little") for data in (expected.pixels, pixels)]
    says = "{} of {} pixels wrong, the first at {},{}: expected #{:06x}, got #{:06x}"
    return Difference(says.format(len(wrong), width * height, x, y, *colours), len(wrong), x, y)


def _wrong(expected: Expected, pixels: bytes) -> list[tuple[int, int]]:
    """Return x, y of all pixels that differ."""
    pitch, found = BYTES_PER_PIXEL * expected.width, []
    for y in range(expected.height):
        one, other = (data[y * pitch : (y + 1) * pitch] for data in (expected.pixels, pixels))
        if one != other:
            starts = range(0, pitch, BYTES_PER_PIXEL)
            found += [(at // BYTES_PER_PIXEL, y) for at in starts if one[at : at + 3] != other[at : at + 3]]
    return found


def pointer(expected: Cursor | None, got: Cursor) -> Difference | None:
    """Compare a screen's cursor with what it must be; an image of zeros is no cursor, as nobody sees it."""
    seen = got if got.visible and any(got.image) else None
    if expected == seen:
        return None
    return Difference(f"cursor: expected {_described(expected)}, got {_described(seen)}")


def _described(cursor: Cursor | None) -> str:
    if cursor is None:
        return "none"
    return f"one at {cursor.x},{cursor.y}, hot spot {cursor.hot_x},{cursor.hot_y}, image {crc32(cursor.image):08x}"
