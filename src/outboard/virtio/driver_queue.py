"""Split virtqueue, driver side: lay chains out, make them available, collect what was used.

Source: VIRTIO-1.2 2.7 (split virtqueues), 2.7.5.3 (indirect descriptors), 2.7.7 and 2.7.10 (notification suppression),
2.7.13 and 2.7.14 (supplying and receiving buffers).

Modelled: any descriptor layout, malformed ones by the raw access. Not modelled: packed virtqueues, in-order use.
Rings are little-endian and the host must be too.
"""

import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import outboard.guest.atomics as atomics
from outboard.errors import LocalError, ProtocolError
from outboard.spec.virtio import (
    AVAIL_NO_INTERRUPT,
    USED_NO_NOTIFY,
    AvailHeader,
    Desc,
    DescFlag,
    UsedElem,
    UsedHeader,
    avail_size,
    used_size,
)

Extent = tuple[int, int]
"""Guest address and length in bytes of one buffer."""

NEXT = int(DescFlag.NEXT)
WRITE = int(DescFlag.WRITE)
INDIRECT = int(DescFlag.INDIRECT)
_DESC = struct.Struct("<" + Desc.codes)
_ELEM_CELLS = UsedElem.sizeof // 4
_RING = AvailHeader.sizeof // 2
"""First u16 of the available ring's entries."""
_USED_ELEMS = UsedHeader.sizeof // 4
"""First u32 of the used ring's elements."""


class RingLayout(NamedTuple):
    """Where the three parts of a ring of `size` descriptors lie in a block of `end` bytes; offsets in bytes."""

    size: int
    desc: int
    avail: int
    used: int
    end: int

    @classmethod
    def of(cls, size: int) -> "RingLayout":
        """Lay the parts out one behind the other, aligned as 2.7 asks, in a block that is aligned to 16 bytes."""
        avail = Desc.sizeof * size
        used = (avail + avail_size(size) + 3) & ~3
        return cls(size, 0, avail, used, used + used_size(size))


class DriverQueue:
    """One virtqueue over `block`, writable guest memory of `layout.end` bytes that is zeroed here.

    `add` takes descriptors for one use, `reserve` for ever: a reserved chain is offered again and again without being
    laid out again. Nothing is visible to the device before `publish`.

    event_idx: whether EVENT_IDX was negotiated.
    """

    def __init__(self, block: memoryview, layout: RingLayout, event_idx: bool = False) -> None:
        if sys.byteorder != "little":
            raise LocalError("split virtqueues are driven on little-endian hosts only")
        if len(block) < layout.end or layout.size & (layout.size - 1):
            raise LocalError(f"a ring of {layout.size} descriptors does not fit {len(block)} bytes")
        self.size = layout.size
        self.event_idx = event_idx
        self.desc = block[layout.desc : layout.desc + Desc.sizeof * layout.size]
        self.avail16 = block[layout.avail : layout.avail + avail_size(layout.size)].cast("H")
        used = block[layout.used : layout.used + used_size(layout.size)]
        self.used16 = used.cast("H")
        self.used32 = used[: used_size(layout.size) & ~3].cast("I")
        block[: layout.end] = bytes(layout.end)
        self.avail_idx = 0
        self.published = 0
        self.last_used = 0
        self.in_flight: set[int] = set()
        self._free = list(range(layout.size - 1, -1, -1))
        self._once: dict[int, list[int]] = {}

    # Chains

    @property
    def free(self) -> int:
        """How many descriptors are free."""
        return len(self._free)

    def reserve(self, readable: Sequence[Extent], writable: Sequence[Extent] = (), table: "Table | None" = None) -> int:
        """Lay a chain out and return its head, to be offered any number of times. It is never freed.

        table: room for an indirect table; the chain takes one descriptor of the ring then.
        Raises LocalError when descriptors run out or the chain is empty.
        """
        return self._lay_out(readable, writable, table)[0]

    def add(self, readable: Sequence[Extent], writable: Sequence[Extent] = (), table: "Table | None" = None) -> int:
        """Lay a chain out and offer it once; its descriptors are free again when it was collected. Return its head."""
        chain = self._lay_out(readable, writable, table)
        self._once[chain[0]] = chain
        self.offer((chain[0],))
        return chain[0]

    def _lay_out(self, readable: Sequence[Extent], writable: Sequence[Extent], table: "Table | None") -> list[int]:
        buffers = [(addr, length, 0) for addr, length in readable]
        buffers += [(addr, length, WRITE) for addr, length in writable]
        count = 1 if table else len(buffers)
        if not buffers or count > len(self._free):
            raise LocalError(f"{len(buffers)} buffers, {len(self._free)} descriptors are free")
        chain = [self._free.pop() for _ in range(count)]
        if table:
            table.fill(buffers)
            self.write_desc(chain[0], table.guest_addr, Desc.sizeof * len(buffers), INDIRECT, 0)
            return chain
        for at, (addr, length, flags) in enumerate(buffers):
            last = at + 1 == count
            self.write_desc(chain[at], addr, length, flags if last else flags | NEXT, 0 if last else chain[at + 1])
        return chain

    def offer(self, heads: Iterable[int]) -> None:
        """Put chains into the available ring; `publish` shows them to the device."""
        mask = self.size - 1
        for head in heads:
            if head in self.in_flight:
                raise LocalError(f"chain {head} is in flight")
            self.in_flight.add(head)
            self.avail16[_RING + (self.avail_idx & mask)] = head
            self.avail_idx = (self.avail_idx + 1) & 0xFFFF

    def offer_all(self, heads: "array[int]") -> None:
        """Offer many chains at the cost of few: `heads` (u16) are not in flight, as the caller knows."""
        slot = self.avail_idx & (self.size - 1)
        first = min(len(heads), self.size - slot)
        with memoryview(heads) as view:
            self.avail16[_RING + slot : _RING + slot + first] = view[:first]
            self.avail16[_RING : _RING + len(heads) - first] = view[first:]
        self.in_flight.update(heads)
        self.avail_idx = (self.avail_idx + len(heads)) & 0xFFFF

    def publish(self) -> bool:
        """Show the device what was offered; true when it wants a kick for it."""
        old, new = self.published, self.avail_idx
        if old == new:
            return False
        atomics.store_release(self.avail16, 1, new)
        self.published = new
        atomics.fence()
        if not self.event_idx:
            return not self.used16[0] & USED_NO_NOTIFY
        avail_event = self.used16[_RING + 4 * self.size]
        return ((new - avail_event - 1) & 0xFFFF) < ((new - old) & 0xFFFF)

    # What came back

    @property
    def used_idx(self) -> int:
        """The device's index in the used ring."""
        return atomics.load_acquire(self.used16, 1)

    @property
    def ready(self) -> bool:
        """Whether `collect` would return something."""
        return self.used_idx != self.last_used

    def collect(self) -> list[tuple[int, int]]:
        """Return (head, bytes written) of the chains used since the last call.

        Raises ProtocolError when the device returns a chain that it does not have.
        """
        new = self.used_idx
        count = (new - self.last_used) & 0xFFFF
        if count == 0:
            return []
        if count > len(self.in_flight):
            raise ProtocolError("used ring", f"at most {len(self.in_flight)} elements", f"{count}")
        slot = self.last_used & (self.size - 1)
        first = min(count, self.size - slot)
        cells = self._elements(slot, first) + self._elements(0, count - first)
        self.last_used = new
        for head in cells[::2]:
            self._retire(head)
        return list(zip(cells[::2], cells[1::2], strict=True))

    def _elements(self, slot: int, count: int) -> list[int]:
        start = _USED_ELEMS + _ELEM_CELLS * slot
        return self.used32[start : start + _ELEM_CELLS * count].tolist()

    def _retire(self, head: int) -> None:
        if head not in self.in_flight:
            raise ProtocolError("used ring", "a chain in flight", f"head {head}")
        self.in_flight.discard(head)
        if self._once:
            self._free += reversed(self._once.pop(head, ()))

    def want_interrupt(self, count: int = 1) -> bool:
        """Ask for an interrupt when `count` more chains are used; true when one already is, so that none may come.

        Without EVENT_IDX the device interrupts for every one.
        """
        if self.event_idx:
            self.avail16[_RING + self.size] = (self.last_used + count - 1) & 0xFFFF
        else:
            self.avail16[0] &= ~AVAIL_NO_INTERRUPT
        atomics.fence()
        return self.ready

    def refuse_interrupts(self) -> None:
        """Ask for no interrupt: by the flag, or by an event index that lies as far away as it can."""
        if self.event_idx:
            self.avail16[_RING + self.size] = (self.last_used - 1) & 0xFFFF
        else:
            self.avail16[0] |= AVAIL_NO_INTERRUPT

    # Raw access, for tests and fuzzers

    def write_desc(self, index: int, addr: int, length: int, flags: int, next_index: int) -> None:
        """Write one descriptor as it stands; nothing is checked but that the values fit their fields."""
        _DESC.pack_into(self.desc, Desc.sizeof * index, addr, length, flags, next_index)

    def read_desc(self, index: int) -> Desc:
        """Return one descriptor."""
        return Desc.unpack_from(self.desc, Desc.sizeof * index)

    def put_head(self, head: int) -> None:
        """Put any number into the next available slot; it is not counted as in flight."""
        self.avail16[_RING + (self.avail_idx & (self.size - 1))] = head
        self.avail_idx = (self.avail_idx + 1) & 0xFFFF

    def put_avail_idx(self, value: int) -> None:
        """Store any available index at once; this queue goes on from there."""
        self.avail_idx = self.published = value & 0xFFFF
        atomics.store_release(self.avail16, 1, self.published)


class Table(NamedTuple):
    """Room for one indirect table in guest memory: its address, and the bytes there."""

    guest_addr: int
    view: memoryview

    def fill(self, buffers: Sequence[tuple[int, int, int]]) -> None:
        """Write a table of (address, length, flags); raises LocalError when it does not fit."""
        if Desc.sizeof * len(buffers) > len(self.view):
            raise LocalError(f"{len(buffers)} buffers do not fit a table of {len(self.view)} bytes")
        for at, (addr, length, flags) in enumerate(buffers):
            last = at + 1 == len(buffers)
            chained = (flags, 0) if last else (flags | NEXT, at + 1)
            _DESC.pack_into(self.view, Desc.sizeof * at, addr, length, *chained)
