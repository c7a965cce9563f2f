"""Split virtqueue, device side: take chains from the available ring, give them back on the used ring.

Source: VIRTIO-1.2 2.7 (split virtqueues), 2.7.5.3 (indirect descriptors), 2.7.7 and 2.7.10 (notification suppression).

The driver is hostile: every index, length and address is checked, each descriptor is read once into a private copy and
judged there. A ring that breaks the rules is `broken` until it is set up anew; it is never an exception.
Rings are little-endian and the host must be too.

Compiled, `take`, `fetch` and `give` are C functions that do not need the interpreter's lock. `pop`, `read` and
`add_used` are for everybody else; `read` and `write` also find their way when memory has changed since `pop`.
"""

import sys
from array import array

import outboard.guest.atomics as atomics
import outboard.guest.copies as copies
import outboard.guest.places as places
from outboard.errors import LocalError
from outboard.guest.memory import GuestMemory, Region
from outboard.spec.virtio import AVAIL_NO_INTERRUPT, Desc, DescFlag, avail_size, used_size
from outboard.virtio.faults import (
    AHEAD,
    DATA_OUT,
    HEAD,
    LOOP,
    NESTED,
    NEXT_OUT,
    ORDER,
    SOUND,
    TABLE_LENGTH,
    TABLE_OUT,
    TOLD,
    WORDS,
)

NONE = -1
"""`pop`: the available ring is empty."""
BROKEN = -2
"""`pop`: the ring is broken; `broken` says why."""

MAX_SEGMENTS = 2048
"""Pieces of guest memory in one chain, at most."""

_NONE, _BROKEN, _MAX_SEGMENTS = NONE, BROKEN, MAX_SEGMENTS
_GONE = 0xFFFF_FFFF
_MASK64 = 0xFFFF_FFFF_FFFF_FFFF
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
        self.last_avail = 0
        self.used_idx = 0
        self.published = 0
        self.interrupt_next = True
        self.generation = 0
        self.seg_addr = memoryview(array("Q", bytes(8 * _MAX_SEGMENTS)))
        self.seg_rows = memoryview(array("I", bytes(4 * _MAX_SEGMENTS)))
        self.seg_offset = memoryview(array("Q", bytes(8 * _MAX_SEGMENTS)))
        self.seg_length = memoryview(array("Q", bytes(8 * _MAX_SEGMENTS)))
        self.segments = 0
        self.readable = 0
        self.readable_bytes = 0
        self.writable_bytes = 0
        descriptor = memoryview(bytearray(DESC_SIZE))
        self.descriptor = descriptor
        self.descriptor16 = descriptor.cast("H")
        self.descriptor32 = descriptor.cast("I")
        self.descriptor64 = descriptor.cast("Q")
        SplitQueue.let_go(self)

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
        self.desc = views[0]
        self.avail16 = views[1].cast("H")
        self.used16 = views[2].cast("H")
        self.used32 = views[2][: used_size(size) & ~3].cast("I")
        self.fault = SOUND
        return True

    def let_go(self) -> None:
        """Hold no guest memory any more; the queue is not set up."""
        self.fail("not set up")
        nothing = memoryview(bytearray(DESC_SIZE))
        self.avail16 = self.used16 = nothing.cast("H")
        self.used32 = nothing.cast("I")
        self.desc = nothing

    def start(self, last_avail: int) -> None:
        """Begin at this available index; the used index comes from the ring, as the driver left it."""
        self.last_avail = last_avail & 0xFFFF
        self.used_idx = self.published = self.used16[1]
        self.interrupt_next = True

    @property
    def broken(self) -> str:
        """Why the ring is broken; empty while it is not."""
        if self.fault in (SOUND, TOLD):
            return self._told if self.fault else ""
        return WORDS[self.fault].format(self._number, self._limit)

    def fail(self, why: str) -> int:
        """Mark the ring broken; return BROKEN."""
        self._told = why
        return self.blame(TOLD, 0, 0)

    def blame(self, fault: int, number: int, limit: int) -> int:
        """Mark the ring broken, for a reason of `outboard.virtio.faults` and its numbers; return BROKEN."""
        self.fault = fault
        self._number = number
        self._limit = limit
        return _BROKEN

    def pop(self) -> int:
        """Take the next chain and return its head index, or NONE, or BROKEN."""
        return self.take()

    def take(self) -> int:
        """See `pop`."""
        if self.fault:
            return _BROKEN
        pending = (atomics.load_acquire(self.avail16, 1) - self.last_avail) & 0xFFFF
        if pending == 0:
            return _NONE
        if pending > self.size:
            return self.blame(AHEAD, pending, self.size)
        head = self.avail16[2 + (self.last_avail & (self.size - 1))]
        if head >= self.size:
            return self.blame(HEAD, head, self.size)
        self.last_avail = (self.last_avail + 1) & 0xFFFF
        return head if self.gather(head) else _BROKEN

    def rewind(self) -> None:
        """Give the chain popped last back unanswered; the next `pop` returns it again."""
        self.last_avail = (self.last_avail - 1) & 0xFFFF

    def gather(self, head: int) -> bool:
        """Collect the segments of a chain; false when it is malformed."""
        self.generation = self.memory.generation
        self.segments = self.readable = 0
        self.readable_bytes = self.writable_bytes = 0
        return self._walk(head)

    def _walk(self, head: int) -> bool:
        limit = self.size
        index = head
        table = 0
        indirect = False
        seen = 0
        while seen < limit:
            seen += 1
            if not self._load(indirect, table, index):
                return False
            flags = self.descriptor16[6]
            if flags & INDIRECT:
                table = self.descriptor64[0]
                if indirect or flags & NEXT:
                    self.blame(NESTED, 0, 0)
                    return False
                if not self._is_table(table, self.descriptor32[2]):
                    return False
                limit = int(self.descriptor32[2] // DESC_SIZE)
                indirect = True
                index = 0
                seen = 0
                continue
            if not self._collect(self.descriptor64[0], self.descriptor32[2], flags & WRITE):
                return False
            if not flags & NEXT:
                return True
            index = self.descriptor16[7]
            if index >= limit:
                self.blame(NEXT_OUT, index, limit)
                return False
        self.blame(LOOP, limit, 0)
        return False

    def _load(self, indirect: bool, table: int, index: int) -> bool:
        """Copy a descriptor of the ring's table, or of an indirect one, to where it is judged."""
        if not indirect:
            copies.copy(self.descriptor, 0, self.desc, index * DESC_SIZE, DESC_SIZE)
        elif not self.memory.fetch(table + index * DESC_SIZE, self.descriptor, DESC_SIZE):
            self.blame(TABLE_OUT, table, 0)
            return False
        return True

    def _is_table(self, addr: int, length: int) -> bool:
        """Whether an indirect table is well-formed and in memory."""
        if length == 0 or length % DESC_SIZE or length > DESC_SIZE * _MAX_SEGMENTS:
            self.blame(TABLE_LENGTH, length, 0)
            return False
        if not self.memory.holds(addr, length):
            self.blame(TABLE_OUT, addr, 0)
            return False
        return True

    def _collect(self, addr: int, length: int, write: int) -> bool:
        """Add one descriptor's memory to the segments, split where regions meet."""
        if not write:
            if self.segments > self.readable:
                self.blame(ORDER, 0, 0)
                return False
            self.readable_bytes += length
        else:
            self.writable_bytes += length
        wraps = length and (addr + length - 1) & _MASK64 < addr
        while length:
            row = -1 if wraps else self.memory.row(addr)
            if row < 0 or self.segments == _MAX_SEGMENTS:
                self.blame(DATA_OUT, addr, length)
                return False
            offset = self.memory.offset(row, addr)
            step = min(length, self.memory.room(row, offset))
            self.seg_addr[self.segments] = addr
            self.seg_rows[self.segments] = row
            self.seg_offset[self.segments] = offset
            self.seg_length[self.segments] = step
            self.segments += 1
            if not write:
                self.readable = self.segments
            addr = (addr + step) & _MASK64
            length -= step
        return True

    def read(self, start: int, into: memoryview, length: int) -> int:
        """Copy up to `length` bytes of the readable part, from byte `start` of it, to the front of `into`.

        Return how many there were, up to the first that is gone. `into` is at least `length` long.
        """
        self._find_again()
        return self.fetch(start, into, length)

    def _find_again(self) -> None:
        """Find the chain's segments where they are now, when memory has changed since `pop`; some may be gone."""
        if self.generation == self.memory.generation:
            return
        self.generation = self.memory.generation
        for at in range(self.segments):
            row = self.memory.row(self.seg_addr[at])
            offset = self.memory.offset(row, self.seg_addr[at]) if row >= 0 else 0
            there = row >= 0 and self.memory.room(row, offset) >= self.seg_length[at]
            self.seg_rows[at] = row if there else _GONE
            self.seg_offset[at] = offset

    def fetch(self, start: int, into: memoryview, length: int) -> int:
        """As `read`, for memory that has not changed since `pop`."""
        done = 0
        for at in range(self.readable):
            size = self.seg_length[at]
            if start >= size:
                start -= size
                continue
            if self.seg_rows[at] == _GONE:
                break
            step = min(size - start, length - done)
            places.fetch(self.memory.hosts, self.seg_rows[at], self.seg_offset[at] + start, into, done, step)
            done += step
            start = 0
            if done == length:
                break
        return done

    def write(self, data: memoryview, length: int) -> int:
        """Copy the first `length` bytes of `data` to the writable part; return how many fitted.

        Where memory has changed since `pop`, bytes go where their addresses are now, up to the first that is gone.
        """
        self._find_again()
        done = 0
        for at in range(self.readable, self.segments):
            step = min(self.seg_length[at], length - done)
            if self.seg_rows[at] == _GONE:
                break
            region: Region = self.memory.regions[self.seg_rows[at]]
            copies.copy(region.bytes, self.seg_offset[at], data, done, step)
            done += step
            if done == length:
                break
        return done

    def add_used(self, head: int, written: int) -> None:
        """Put a chain on the used ring; the driver sees it at the next `publish`."""
        self.give(head, written)

    def give(self, head: int, written: int) -> None:
        """See `add_used`."""
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
        if self.fault:
            return False
        if self.event_idx:
            atomics.store_release(self.used16, 2 + 4 * self.size, self.last_avail)
            atomics.fence()
        return atomics.load_acquire(self.avail16, 1) != self.last_avail
