"""A virtqueue of both sides over guest memory in this process, with guards around every region.

Memory: the ring at RING; HIGH and LOW are neighbours; a hole behind HIGH; TOP ends with the address space.
"""

import struct

from outboard.guest.memory import GuestMemory, Region
from outboard.virtio.driver_queue import DriverQueue, RingLayout, Table
from outboard.virtio.split_queue import SplitQueue

GUARD = 64
USER = 0x7F00_0000_0000
LOW, HIGH, HOLE = 0x10_0000, 0x10_4000, 0x10_8000
RING = 0x4000_0000
TOP = (1 << 64) - 0x4000
SIZE = 0x4000

NEXT, WRITE, INDIRECT = 1, 2, 4


class Guarded:
    """One region with GUARD bytes in front of it and behind it that nobody may touch."""

    def __init__(self, guest_addr: int, user_addr: int, size: int) -> None:
        self.whole = bytearray(b"\xa5" * (size + 2 * GUARD))
        self.view = memoryview(self.whole)[GUARD:-GUARD]
        self.view[:] = bytes(size)
        self.region = Region(guest_addr, user_addr, self.view)

    def intact(self) -> bool:
        """Whether the guards are as they were."""
        return self.whole[:GUARD] == self.whole[-GUARD:] == b"\xa5" * GUARD


class Rig:
    """Both sides of one queue. `driver` lays chains out, `queue` is the device's side under test."""

    def __init__(self, size: int = 16, event_idx: bool = False) -> None:
        layout = RingLayout.of(size)
        self.size = size
        self.layout = layout
        self.parts = {
            addr: Guarded(addr, USER + at * 0x100_0000, length)
            for at, (addr, length) in enumerate([(RING, max(layout.end, 16)), (LOW, SIZE), (HIGH, SIZE), (TOP, SIZE)])
        }
        self.memory = GuestMemory()
        for part in self.parts.values():
            self.memory.add(part.region)
        self.driver = DriverQueue(self.parts[RING].view, layout, event_idx)
        self.queue = SplitQueue(self.memory)
        self.queue.event_idx = event_idx
        self.begin()

    def begin(self, last_avail: int = 0) -> None:
        """Set the device's side up and start it."""
        layout = self.layout
        assert self.queue.set_up(self.size, USER + layout.desc, USER + layout.avail, USER + layout.used)
        self.queue.start(last_avail)

    def jump(self, index: int) -> None:
        """Let both sides stand at `index`, as after that many chains."""
        self.driver.avail16[1] = self.driver.used16[1] = index
        self.driver.avail_idx = self.driver.published = self.driver.last_used = index
        self.begin(index)

    def view(self, guest_addr: int, length: int) -> memoryview:
        """Return writable bytes of the guest's memory inside one region."""
        region = self.memory.find(guest_addr)
        offset = guest_addr - region.guest_addr
        return region.buffer[offset : offset + length]

    def fill(self, guest_addr: int, data: bytes) -> None:
        """Write guest memory, over the border of neighbours too."""
        for at, byte in enumerate(data):
            self.view(guest_addr + at, 1)[0] = byte

    def table(self, guest_addr: int, rows: list[tuple[int, int, int, int]]) -> Table:
        """Write an indirect table of (addr, len, flags, next) as it stands."""
        self.fill(guest_addr, b"".join(struct.pack("<QIHH", *row) for row in rows))
        return Table(guest_addr, memoryview(b""))

    def offer(self, *rows: tuple[int, int, int, int], head: int = 0) -> None:
        """Write descriptors from index 0 on and make `head` available."""
        for index, row in enumerate(rows):
            self.driver.write_desc(index, *row)
        self.driver.put_head(head)
        self.driver.publish()

    def readable(self) -> bytes:
        """Return the device-readable part of the chain popped last."""
        room = memoryview(bytearray(self.queue.readable_bytes + 8))
        done = self.queue.read(0, room, len(room))
        assert done == self.queue.readable_bytes
        assert bytes(room[done:]) == bytes(8)
        return bytes(room[:done])

    def intact(self) -> bool:
        """Whether no guard was touched."""
        return all(part.intact() for part in self.parts.values())
