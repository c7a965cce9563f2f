"""Registers behind a base address: what is at which offset of it, and in which pieces it is reached.

Source: what QEMU 7.2's memory layer does with sizes that a device does not take.
"""

from typing import NamedTuple, Protocol


class Registers(Protocol):
    """What a device has at one place. Offsets count from its start; values are numbers in the device's byte order."""

    def load(self, offset: int, size: int, /) -> int:
        """Return what a driver reads."""

    def store(self, offset: int, size: int, value: int, /) -> None:
        """Take what a driver writes."""


class Place(NamedTuple):
    """Registers at `start` of a base address, `size` bytes long.

    order: of their bytes; sizes: of accesses that are let through, at least and at most; widest: what the device sees.
    """

    name: str
    start: int
    size: int
    registers: Registers
    order: str = "little"
    sizes: tuple[int, int] = (1, 8)
    widest: int = 4

    def load(self, offset: int, size: int) -> int:
        """Load at an offset from its start; return it as a big-endian CPU sees it."""
        step = min(size, self.widest)
        pieces = (self.registers.load(at, step) & (1 << 8 * step) - 1 for at in range(offset, offset + size, step))
        return int.from_bytes(b"".join(self._bytes(piece, step) for piece in pieces), "big")

    def _bytes(self, value: int, size: int) -> bytes:
        return value.to_bytes(size, "little" if self.order == "little" else "big")

    def store(self, offset: int, size: int, value: int) -> None:
        """Store at an offset from its start, as a big-endian CPU does."""
        step = min(size, self.widest)
        data = value.to_bytes(size, "big")
        for at in range(0, size, step):
            piece = int.from_bytes(data[at : at + step], "little" if self.order == "little" else "big")
            self.registers.store(offset + at, step, piece)
