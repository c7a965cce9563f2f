"""Guest memory that is given back: a guest's RAM is finite, and its pictures come and go."""

from bisect import insort
from typing import Protocol

from outboard.errors import LocalError
from outboard.frontend.ram import PAGE


class Memory(Protocol):
    """Guest memory that is handed out and never taken back: a driver's, or `GuestRam`."""

    def allocate(self, size: int, align: int = PAGE) -> int:
        """Return the guest address of unused bytes. Raises LocalError when there are none left."""

    def view(self, guest_addr: int, length: int) -> memoryview:
        """Return guest memory, writable. Raises LocalError when it does not lie inside one region."""


class Pool:
    """Pieces of guest memory in whole pages: the first free one that is large enough, or new memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._free: list[tuple[int, int]] = []  # guest address and length, by address, none touching the next

    def take(self, size: int) -> int:
        """Return the guest address of `size` bytes. Raises LocalError when neither the pool nor the guest has them."""
        size = _pages(size)
        for at, (guest_addr, length) in enumerate(self._free):
            if length >= size:
                self._free[at : at + 1] = [(guest_addr + size, length - size)] if length > size else []
                return guest_addr
        return self._memory.allocate(size, PAGE)

    def give_back(self, guest_addr: int, size: int) -> None:
        """Take back what `take` returned for `size`."""
        insort(self._free, (guest_addr, _pages(size)))
        joined: list[tuple[int, int]] = []
        for piece in self._free:
            if joined and sum(joined[-1]) == piece[0] and self._in_one_piece(joined[-1][0], joined[-1][1] + piece[1]):
                joined[-1] = joined[-1][0], joined[-1][1] + piece[1]
            else:
                joined.append(piece)
        self._free = joined

    def _in_one_piece(self, guest_addr: int, length: int) -> bool:
        """Whether these bytes are one region's; two regions may touch."""
        try:
            self._memory.view(guest_addr, length)
        except LocalError:
            return False
        return True


def _pages(size: int) -> int:
    return (size + PAGE - 1) & -PAGE
