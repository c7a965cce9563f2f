"""The words of an END, taken from its table. Plain form; `end_words.pxd` holds the compiled one.

Callers check bounds: the compiled form does not.
"""

from typing import TYPE_CHECKING

import outboard.guest.words as words

if TYPE_CHECKING:
    from outboard.xive.router import End


def read_end(end: "End", cells: bytearray | memoryview, offset: int) -> None:
    """Read the 32 bytes at `offset` of a table."""
    end.w0 = words.load_be32(cells, offset)
    end.w1 = words.load_be32(cells, offset + 4)
    end.w2 = words.load_be32(cells, offset + 8)
    end.w3 = words.load_be32(cells, offset + 12)
    end.w4 = words.load_be32(cells, offset + 16)
    end.w5 = words.load_be32(cells, offset + 20)
    end.w6 = words.load_be32(cells, offset + 24)
    end.w7 = words.load_be32(cells, offset + 28)
