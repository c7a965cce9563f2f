"""Split virtqueue, device side: take chains from the available ring, give them back on the used ring.

Source: VIRTIO-1.2 2.7 (split virtqueues), 2.7.5.3 (indirect descriptors), 2.7.7 and 2.7.10 (notification suppression).

The driver is hostile: every index, length and address is checked, each descriptor is read once into a private copy and
judged there. A ring that breaks the rules is `broken` until it is set up anew; it is never an exception.
Rings are little-endian and the host must be too.
"""

import sys
from array import array

import outboard.guest.atomics as atomics
import outboard.guest.copies as copies
from outboard.errors import LocalError
from outboard.guest.memory import GuestMemory, Region
from outboard.spec.virtio import AVAIL_NO_INTERRUPT, Desc, DescFlag, avail_size, used_size

NONE = -1
"""`pop`: the available ring is empty."""
BROKEN = -2
"""`pop`: the ring is broken; `broken` says why."""

MAX_SEGMENTS = 2048
"""Pieces of guest memory in one chain, at most."""

NEXT = int(DescFlag.NEXT)
WRITE = int(DescFlag.WRITE)
INDIRECT = int(DescFlag.INDIRECT)
DESC_SIZE = Desc.sizeof
NO_INTERRUPT = AVAIL_NO_INTERRUPT


class SplitQueue:
    """One virtqueue. After `pop`, the chain's memory is in segments 0 to `readable - 1` (device-readable) and
    `readable` to `segments - 1` (device-writable), `readable_bytes` and `writable_bytes` long."""

    def __init__(self, memory: GuestMemory) -> None:
        if sys.byteorder != "little":
            raise LocalError("split virtqueues are served on little-endian hosts only")
        self.memory = memory
        self.size = 0
        self.event_idx = False
        self.broken = "not set up"
        self.last_avail = 0
        self.used_idx = 0
        self.published = 0
        self.interrupt_next = True
        self.desc_region: Region | None = None
        self.seg_regions: list[Region | None] = [None] * MAX_SEGMENTS
        self.seg_offset = memoryview(array("Q", bytes(8 * MAX_SEGMENTS)))
        self.seg_length = memoryview(array("Q", bytes(8 * MAX_SEGMENTS)))
        self.segments = 0
        self.readable = 0
        self.readable_bytes = 0
        self.writable_bytes = 0
        descriptor = memoryview(bytearray(DESC_SIZE))
        self.descriptor = descriptor
        self.descriptor16 = descriptor.cast("H")
        self.descriptor32 = descriptor.cast("I")
        self.descriptor64 = descriptor.cast("Q")

    def set_up(self, size: int, desc_addr: int, avail_addr: int, used_addr: int) -> bool:
        """Find the three parts by their front-end addresses. False when one is not in memory or misaligned: broken."""
        parts = (
            (desc_addr, DESC_SIZE * size, 16),
            (avail_addr, avail_size(size), 2),
            (used_addr, used_size(size), 4),
        )
        views = []
        for addr, length, align in parts:
            view = self.memory.user_range(addr, length) if addr % align == 0 else None
            if view is None:
                self.fail(f"ring part at {addr:#x}, {length} bytes, alignment {align}, is not in memory")
                return False
            views.append(view)
        self.size = size
        self.desc_region = Region(0, 0, views[0])
        self.avail16 = views[1].cast("H")
        self.used16 = views[2].cast("H")
        self.used32 = views[2][: used_size(size) & ~3].cast("I")
        self.broken = ""
        return True

    def let_go(self) -> None:
        """Hold no guest memory any more; the queue is not set up."""
        self.fail("not set up")
        nothing = memoryview(bytearray(4))
        self.avail16 = self.used16 = nothing.cast("H")
        self.used32 = nothing.cast("I")
        self.desc_region = None
        self.seg_regions = [None] * MAX_SEGMENTS

    def start(self, last_avail: int) -> None:
        """Begin at this available index; the used index comes from the ring, as the driver left it."""
        self.last_avail = last_avail & 0xFFFF
        self.used_idx = self.published = self.used16[1]
        self.interrupt_next = True

    def fail(self, why: str) -> int:
        """Mark the ring broken; return BROKEN."""
        self.broken = why
        return BROKEN

    def pop(self) -> int:
        """Take the next chain and return its head index, or NONE, or BROKEN."""
        if self.broken:
            return BROKEN
        pending = (atomics.load_acquire(self.avail16, 1) - self.last_avail) & 0xFFFF
        if pending == 0:
            return NONE
        if pending > self.size:
            return self.fail(f"avail idx is {pending} ahead in a ring of {self.size}")
        head = self.avail16[2 + (self.last_avail & (self.size - 1))]
        if head >= self.size:
            return self.fail(f"head {head} in a ring of {self.size}")
        self.last_avail = (self.last_avail + 1) & 0xFFFF
        self.segments = self.readable = 0
        self.readable_bytes = self.writable_bytes = 0
        return head if self._walk(head) else BROKEN

    def rewind(self) -> None:
        """Give the chain popped last back unanswered; the next `pop` returns it again."""
        self.last_avail = (self.last_avail - 1) & 0xFFFF

    def _walk(self, head: int) -> bool:
        """Collect the segments of a chain; false when it is malformed."""
        table = self.desc_region
        limit = self.size
        index = head
        seen = 0
        while seen < limit:
            seen += 1
            copies.copy(self.descriptor, 0, table.bytes, index * DESC_SIZE, DESC_SIZE)  # type: ignore[union-attr]
            flags = self.descriptor16[6]
            if flags & INDIRECT:
                if table is not self.desc_region or flags & NEXT:
                    self.fail("indirect descriptor inside an indirect table, or with NEXT")
                    return False
                table = self._indirect(self.descriptor64[0], self.descriptor32[2])
                if table is None:
                    return False
                limit = int(table.size // DESC_SIZE)
                index = 0
                seen = 0
                continue
            if not self._collect(self.descriptor64[0], self.descriptor32[2], flags & WRITE):
                return False
            if not flags & NEXT:
                return True
            index = self.descriptor16[7]
            if index >= limit:
                self.fail(f"next {index} in a table of {limit}")
                return False
        self.fail(f"chain of more than {limit} descriptors, a loop")
        return False

    def _indirect(self, addr: int, length: int) -> Region | None:
        """Return an indirect table as a region of its own, or None when it is malformed."""
        if length == 0 or length % DESC_SIZE or length > DESC_SIZE * MAX_SEGMENTS:
            self.fail(f"indirect table of {length} bytes")
            return None
        region = self.memory.find(addr)
        if region is not None and length <= region.size - (addr - region.guest_addr):
            offset = addr - region.guest_addr
            return Region(0, 0, region.buffer[offset : offset + length])
        data = self.memory.read(addr, length)
        if data is None:
            self.fail(f"indirect table at {addr:#x} is not in memory")
            return None
        return Region(0, 0, memoryview(bytearray(data)))

    def _collect(self, addr: int, length: int, write: int) -> bool:
        """Add one descriptor's memory to the segments, split where regions meet."""
        if not write:
            if self.segments > self.readable:
                self.fail("readable descriptor behind a writable one")
                return False
            self.readable_bytes += length
        else:
            self.writable_bytes += length
        wraps = length and (addr + length - 1) & 0xFFFFFFFFFFFFFFFF < addr
        while length:
            region = self.memory.find(addr)
            if region is None or wraps or self.segments == len(self.seg_offset):
                self.fail(f"descriptor at {addr:#x}, {length} bytes: not in memory, or a chain in too many pieces")
                return False
            offset = addr - region.guest_addr
            step = min(length, region.size - offset)
            self.seg_regions[self.segments] = region
            self.seg_offset[self.segments] = offset
            self.seg_length[self.segments] = step
            self.segments += 1
            if not write:
                self.readable = self.segments
            addr = (addr + step) & 0xFFFFFFFFFFFFFFFF
            length -= step
        return True

    def read(self, start: int, into: memoryview, length: int) -> int:
        """Copy up to `length` bytes of the readable part, from byte `start` of it, to the front of `into`.

        Return how many there were. `into` is at least `length` long.
        """
        done = 0
        for at in range(self.readable):
            size = self.seg_length[at]
            if start >= size:
                start -= size
                continue
            step = min(size - start, length - done)
            region = self.seg_regions[at]
            copies.copy(into, done, region.bytes, self.seg_offset[at] + start, step)  # type: ignore[union-attr]
            done += step
            start = 0
            if done == length:
                break
        return done

    def write(self, data: memoryview, length: int) -> int:
        """Copy the first `length` bytes of `data` to the writable part; return how many fitted."""
        done = 0
        for at in range(self.readable, self.segments):
            step = min(self.seg_length[at], length - done)
            region = self.seg_regions[at]
            copies.copy(region.bytes, self.seg_offset[at], data, done, step)  # type: ignore[union-attr]
            done += step
            if done == length:
                break
        return done

    def add_used(self, head: int, written: int) -> None:
        """Put a chain on the used ring; the driver sees it at the next `publish`."""
        slot = 1 + 2 * (self.used_idx & (self.size - 1))
        self.used32[slot] = head
        self.used32[slot + 1] = written
        self.used_idx = (self.used_idx + 1) & 0xFFFF

    def publish(self) -> bool:
        """Show the driver what was added; true when it wants an interrupt for it."""
        old = self.published
        new = self.used_idx
        if new == old:
            return False
        atomics.store_release(self.used16, 1, new)
        self.published = new
        atomics.fence()
        if self.interrupt_next:
            self.interrupt_next = False
            return True
        if not self.event_idx:
            return not self.avail16[0] & NO_INTERRUPT
        used_event = self.avail16[2 + self.size]
        return ((new - used_event - 1) & 0xFFFF) < ((new - old) & 0xFFFF)

    def arm(self) -> bool:
        """Ask for a kick at the next available chain; true when there already is one, to be popped first."""
        if self.broken:
            return False
        if self.event_idx:
            atomics.store_release(self.used16, 2 + 4 * self.size, self.last_avail)
            atomics.fence()
        return atomics.load_acquire(self.avail16, 1) != self.last_avail
