"""A small picture as text: each letter is an upper half block, its colour one pixel and its ground the one below.

Source: ECMA-48 8.3.117 (SGR); ISO/IEC 8613-6 13.1.8 (direct colours 38;2 and 48;2, indexed ones 38;5 and 48;5).
"""

import os
import sys
from collections.abc import Mapping
from enum import Enum
from typing import TextIO

HALF_BLOCK = "\u2580"
RESET = "\x1b[0m"
LEVELS = (0, 95, 135, 175, 215, 255)
"""Values of a channel in the cube of 6 x 6 x 6 indexed colours, from index 16 on; 24 greys follow from 232 on."""
FEWEST_COLUMNS, MOST_COLUMNS = 16, 100
FEWEST_ROWS, TEXT_ROWS = 4, 9
"""Rows of a picture at least, and rows that are left to the text around it."""
Colour = tuple[int, int, int]
"""Red, green, blue."""


class Depth(Enum):
    """How many colours a terminal has; the values are the parameters that choose one."""

    INDEXED = "5"
    DIRECT = "2"


def depth(stream: TextIO, environ: Mapping[str, str] = os.environ) -> Depth | None:
    """Return how a picture can be shown on a stream, None when it cannot: it is no terminal, or a plain one."""
    if environ.get("NO_COLOR") or environ.get("TERM", "dumb") == "dumb" or not stream.isatty():
        return None
    if "utf" not in (stream.encoding or "").lower():
        return None
    return Depth.DIRECT if environ.get("COLORTERM") in ("truecolor", "24bit") else Depth.INDEXED


def room(stream: TextIO) -> tuple[int, int]:
    """Return columns and rows of a terminal, 80 x 24 when it does not say."""
    try:
        columns, rows = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        columns = rows = 0
    return columns or 80, rows or 24


def fitted(width: int, height: int, columns: int, rows: int) -> tuple[int, int]:
    """Return the size, in pixels, in which a picture fits so many letters; each is one pixel wide and two high."""
    wide, high = min(width, columns), min(height, 2 * rows)
    if wide * height > high * width:
        return max(1, high * width // height), high
    return wide, max(1, wide * height // width)


def averaged(width: int, height: int, pixels: bytes, wide: int, high: int) -> list[list[Colour]]:
    """Return a picture made smaller: each pixel is the mean of the area it stands for.

    pixels: rows of B, G, R, X bytes. wide, high: at most width and height, at least 1.
    """
    view = memoryview(pixels)
    columns = [4 * width * at // wide // 4 * 4 for at in range(wide + 1)]
    result = []
    for row in range(high):
        top, bottom = height * row // high, height * (row + 1) // high
        sums = [[0, 0, 0] for _ in range(wide)]
        for line in (view[4 * width * y : 4 * width * (y + 1)] for y in range(top, bottom)):
            for at, total in enumerate(sums):
                area = line[columns[at] : columns[at + 1]]
                total[0] += sum(area[2::4])
                total[1] += sum(area[1::4])
                total[2] += sum(area[0::4])
        counts = [(columns[at + 1] - columns[at]) // 4 * (bottom - top) for at in range(wide)]
        result.append([_mean(total, count) for total, count in zip(sums, counts, strict=True)])
    return result


def _mean(total: list[int], count: int) -> Colour:
    red, green, blue = ((2 * one + count) // (2 * count) for one in total)
    return red, green, blue


def index(colour: Colour) -> int:
    """Return the indexed colour that is nearest: one of the cube, or a grey."""
    red, green, blue = (min(range(6), key=lambda at, one=one: abs(LEVELS[at] - one)) for one in colour)  # type: ignore[misc]
    grey = min(23, max(0, (sum(colour) // 3 - 3) // 10))
    cube = LEVELS[red], LEVELS[green], LEVELS[blue]
    return 232 + grey if _far((8 + 10 * grey,) * 3, colour) < _far(cube, colour) else 16 + 36 * red + 6 * green + blue


def _far(one: tuple[int, ...], other: Colour) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _parameters(colour: Colour, colours: Depth) -> str:
    values = colour if colours is Depth.DIRECT else (index(colour),)
    return ";".join((colours.value, *map(str, values)))


def text(width: int, height: int, pixels: bytes, columns: int, rows: int, colours: Depth) -> str:
    """Return a picture as lines of at most `columns` letters, at most `rows` of them, each ended by a line feed.

    pixels: rows of B, G, R, X bytes, 4 * width * height in all. An empty picture is no text.
    """
    if not width or not height or columns < 1 or rows < 1:
        return ""
    wide, high = fitted(width, height, columns, rows)
    picture = averaged(width, height, pixels, wide, high)
    return "".join(_line(picture[at], picture[at + 1 : at + 2], colours) for at in range(0, high, 2))


def _line(upper: list[Colour], lower: list[list[Colour]], colours: Depth) -> str:
    """Return one line; where there is no lower row, its ground stays the terminal's."""
    letters, before = [], ""
    for at, colour in enumerate(upper):
        ground = f";48;{_parameters(lower[0][at], colours)}" if lower else ""
        style = f"\x1b[38;{_parameters(colour, colours)}{ground}m"
        letters.append(HALF_BLOCK if style == before else style + HALF_BLOCK)
        before = style
    return "".join(letters) + RESET + "\n"


def show(width: int, height: int, pixels: bytes, stream: TextIO | None = None, share: int = 1) -> bool:
    """Write a picture to a terminal; false when the stream cannot show one.

    share: how many pictures the terminal has to hold, one below the other, with some lines of text.
    """
    stream = sys.stdout if stream is None else stream
    colours = depth(stream)
    columns, rows = room(stream)
    if colours is None or columns < FEWEST_COLUMNS:
        return False
    most = max(FEWEST_ROWS, (rows - TEXT_ROWS) // share)
    stream.write(text(width, height, pixels, min(columns, MOST_COLUMNS), most, colours))
    return True
