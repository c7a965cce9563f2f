"""A resource's backing: a list of guest memory ranges that is read as one stream of bytes.

Source: VIRTIO-1.2 5.7.6.8, RESOURCE_ATTACH_BACKING and TRANSFER_TO_HOST_2D.

Neighbouring ranges are joined and the rest indexed once, at attach: finding a row costs a binary search, never a walk
over the list. Ranges are resolved again when the guest's memory map changes, so no stale mapping is ever read.
"""

from array import array

import outboard.guest.copies as copies
from outboard.guest.memory import GuestMemory, Region


class Backing:
    """`total` bytes of guest memory, which count as `cost` bytes of ours.

    Extent i begins at `starts[i]` of the stream, in `regions[i]` at `offsets[i]`.
    """

    def __init__(self, entries: list[tuple[int, int]]) -> None:
        """entries: (guest-physical address, bytes) in stream order. Call `resolve` before reading."""
        self.entries = entries
        self.total = sum(length for _, length in entries)
        self.generation = -1
        self.count = 0
        self.cost = 0

    def resolve(self, memory: GuestMemory) -> bool:
        """Find the ranges in the guest's memory as it is now; false when a part is not memory."""
        if self.generation == memory.generation:
            return True
        extents: list[tuple[Region, int, int]] = []
        for addr, length in self.entries:
            pieces = memory.extents(addr, length)
            if pieces is None:
                return False
            for region, offset, step in pieces:
                if extents and extents[-1][0] is region and extents[-1][1] + extents[-1][2] == offset:
                    offset, step = extents[-1][1], extents.pop()[2] + step
                extents.append((region, offset, step))
        self._index(extents)
        self.generation = memory.generation
        return True

    def _index(self, extents: list[tuple[Region, int, int]]) -> None:
        starts = array("Q", [0])
        for _, _, step in extents:
            starts.append(starts[-1] + step)
        self.count = len(extents)
        self.regions = [region for region, _, _ in extents]
        self.starts = memoryview(starts)
        self.offsets = memoryview(array("Q", [offset for _, offset, _ in extents]) or array("Q", [0]))

    def _find(self, at: int) -> int:
        """Return the extent that holds byte `at` of the stream, which is below `total`."""
        low = 0
        high = self.count
        while high - low > 1:
            middle = (low + high) >> 1
            if self.starts[middle] <= at:
                low = middle
            else:
                high = middle
        return low

    def read_rows(
        self, at: int, step: int, into: memoryview, start: int, stride: int, row_bytes: int, rows: int
    ) -> None:
        """Copy a rectangle out of the stream: row i is the `row_bytes` at `at + i * step`.

        into: writable bytes; start, stride: bytes, checked by the caller. Bytes beyond `total` are left as they were.
        """
        if step == row_bytes and stride == row_bytes:
            row_bytes, rows = row_bytes * rows, 1
        if self.count == 1 and at + step * (rows - 1) + row_bytes <= self.total:
            region = self.regions[0]
            copies.copy_rows(into, start, stride, region.bytes, self.offsets[0] + at, step, row_bytes, rows)
            return
        extent = -1
        for _ in range(rows):
            if at >= self.total:
                return
            if extent < 0 or at >= self.starts[extent + 1]:
                extent = self._find(at)
            if at + row_bytes <= self.starts[extent + 1]:
                offset = self.offsets[extent] + at - self.starts[extent]
                region = self.regions[extent]
                copies.copy(into, start, region.bytes, offset, row_bytes)
            else:
                self._read_across(extent, at, into, start, row_bytes)
            at += step
            start += stride

    def _read_across(self, extent: int, at: int, into: memoryview, start: int, length: int) -> None:
        """Copy bytes that lie in several extents, the first of which is given."""
        while length and extent < self.count:
            step = min(length, self.starts[extent + 1] - at)
            region = self.regions[extent]
            offset = self.offsets[extent] + at - self.starts[extent]
            after = min(extent + 1, self.count - 1)
            ahead = self.regions[after]
            copies.copy_ahead(into, start, region.bytes, offset, step, ahead.bytes, self.offsets[after])
            at += step
            start += step
            length -= step
            extent += 1
