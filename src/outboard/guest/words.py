"""Big-endian words in byte buffers. Plain form; `words.pxd` holds the compiled one.

Callers check bounds: the compiled form does not. Offsets are in bytes; a value is cut to the width of its word.
"""

from struct import Struct

_BE32 = Struct(">I")
_BE64 = Struct(">Q")


def load_be32(cells: bytearray | memoryview, offset: int) -> int:
    """Return the 32-bit word at `offset`."""
    value: int = _BE32.unpack_from(cells, offset)[0]
    return value


def store_be32(cells: bytearray | memoryview, offset: int, value: int) -> None:
    """Set the 32-bit word at `offset`."""
    _BE32.pack_into(cells, offset, value & 0xFFFFFFFF)


def load_be64(cells: bytearray | memoryview, offset: int) -> int:
    """Return the 64-bit word at `offset`."""
    value: int = _BE64.unpack_from(cells, offset)[0]
    return value


def store_be64(cells: bytearray | memoryview, offset: int, value: int) -> None:
    """Set the 64-bit word at `offset`."""
    _BE64.pack_into(cells, offset, value & 0xFFFFFFFF_FFFFFFFF)


def load_be(cells: bytearray | memoryview, offset: int, size: int) -> int:
    """Return the word of `size` bytes, 1 to 8, at `offset`."""
    return int.from_bytes(cells[offset : offset + size], "big")


def store_be(cells: bytearray | memoryview, offset: int, size: int, value: int) -> None:
    """Set the word of `size` bytes, 1 to 8, at `offset`."""
    cells[offset : offset + size] = (value & ((1 << (8 * size)) - 1)).to_bytes(size, "big")


def swap(value: int, size: int) -> int:
    """Return `value`, a word of `size` bytes, with its bytes reversed."""
    return int.from_bytes(value.to_bytes(size, "big"), "little")
