"""Numbers out of columns, and into them, in the machine's byte order. Plain form; `columns.pxd` holds the compiled one.

Callers check bounds: the compiled form does not.
"""


def u8(column: memoryview, at: int) -> int:
    """Return number `at` of a column of bytes."""
    return column[at]


def u16(column: memoryview, at: int) -> int:
    """Return number `at` of a column of 16-bit numbers."""
    return column[at]


def u64(column: memoryview, at: int) -> int:
    """Return number `at` of a column of 64-bit numbers."""
    return column[at]


def set_u64(column: memoryview, at: int, value: int) -> None:
    """Set number `at` of a column of 64-bit numbers."""
    column[at] = value
