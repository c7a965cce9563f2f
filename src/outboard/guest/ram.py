"""RAM of our own, where no other process shares its memory with us."""

import mmap

from outboard.errors import LocalError
from outboard.guest.memory import GuestMemory, Region


def ram(size: int) -> GuestMemory:
    """Return guest memory of `size` bytes from address 0, all zero; pages that are never touched take no room.

    Raises LocalError when there is not so much.
    """
    try:
        buffer = memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    except (OSError, ValueError, OverflowError) as error:
        raise LocalError(f"no memory of {size} bytes: {error}") from None
    memory = GuestMemory()
    memory.add(Region(0, 0, buffer))
    return memory
