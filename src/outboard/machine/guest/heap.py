"""Guest memory as drivers use it: handed out piece by piece, and looked at as it stands."""

from outboard.errors import LocalError
from outboard.guest.memory import GuestMemory
from outboard.machine.cpu import Memory

START = 0x0200_0000
"""Below lies what is not ours: vectors, firmware, whatever the machine put there to run programs at all."""
PAGE = 4096


class Heap:
    """The guest's RAM from `start` to `end`; nothing is given back, as a machine is thrown away whole.

    memory: of the machine. Raises LocalError when there is no RAM behind `start`.
    """

    def __init__(self, memory: Memory, end: int, start: int = START) -> None:
        if end <= start:
            raise LocalError(f"a guest needs more than {start >> 20} MiB of RAM, this machine has {end >> 20}")
        self.memory = memory
        self.end = end
        self._next = start

    def allocate(self, size: int, align: int = PAGE) -> int:
        """Return the guest address of `size` bytes, zeroed. align: a power of two. Raises LocalError when RAM ends."""
        addr = (self._next + align - 1) & -align
        if size < 0 or addr + size > self.end:
            raise LocalError(f"no room for {size} bytes of guest memory")
        self._next = addr + size
        self.memory.write(addr, bytes(size))
        return addr

    def view(self, guest_addr: int, length: int) -> memoryview:
        """Return guest memory, writable, as it stands. Raises LocalError when it is not inside one region of RAM."""
        memory = self.memory
        if not isinstance(memory, GuestMemory):
            return _mapped(memory, guest_addr, length)
        pieces = memory.extents(guest_addr, length)
        if pieces is None or len(pieces) > 1:
            raise LocalError(f"{length} bytes at {guest_addr:#x} are not inside one region of RAM")
        if not pieces:
            return memoryview(b"")
        region, offset, step = pieces[0]
        return region.buffer[offset : offset + step]


def _mapped(memory: Memory, guest_addr: int, length: int) -> memoryview:
    """Return a part of memory that is mapped as a whole, from address 0 on."""
    view = getattr(memory, "view", None)
    if not isinstance(view, memoryview):
        raise LocalError("this machine's memory is not mapped here; devices with rings need it to be")
    if not 0 <= guest_addr <= guest_addr + length <= len(view):
        raise LocalError(f"{length} bytes at {guest_addr:#x} are not RAM")
    return view[guest_addr : guest_addr + length]
