"""Where regions of guest memory lie in this process. Plain form; `places.pxd` holds the compiled one.

A table of places is a list of views here; compiled, it is a column of addresses, which code may use that does not hold
the interpreter's lock, and which keeps no memory alive. Callers check bounds.
"""


def table(buffers: list[memoryview]) -> list[memoryview]:
    """Return the places of some writable buffers of bytes, one row each."""
    return buffers


def fetch(places: list[memoryview], row: int, offset: int, into: memoryview, at: int, length: int) -> None:
    """Copy `length` bytes from byte `offset` of a row on to byte `at` of `into`."""
    into[at : at + length] = places[row][offset : offset + length]
