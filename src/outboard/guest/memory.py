"""Guest-physical memory as a front-end hands it over: regions, each known by two addresses.

Source: QEMU docs/interop/vhost-user, "Memory region description"; VIRTIO-1.2 2.7.

Modelled: several regions with holes, lookups by guest-physical and by front-end ("user") address, ranges that span
regions. Not modelled: an IOMMU, dirty page logs.
"""

from array import array

import outboard.guest.places as places
import outboard.guest.words as words
from outboard.errors import ProtocolError

ADDRESS_END = 1 << 64
PAGE_SIZE = 1 << 12
_PAGE_SHIFT, _PAGE_MASK, _PAGE_SIZE = 12, PAGE_SIZE - 1, PAGE_SIZE
_MASK64 = ADDRESS_END - 1


class Region:
    """One region: `size` bytes at `guest_addr`, for the front-end at `user_addr`.

    buffer: writable memoryview of unsigned bytes, `size` long; the region keeps it, and with it the mapping, alive.
    """

    def __init__(self, guest_addr: int, user_addr: int, buffer: memoryview) -> None:
        self.guest_addr = guest_addr
        self.user_addr = user_addr
        self.size = len(buffer)
        self.buffer = buffer
        self.bytes = buffer
        self.written: bytearray | None = None

    def track(self) -> bytearray:
        """Note from now on which pages are written through `GuestMemory`: their bytes of what is returned become 1."""
        written = bytearray((self.size + PAGE_SIZE - 1) // PAGE_SIZE)
        self.written = written
        return written

    def mark(self, offset: int, length: int) -> None:
        """Note that `length` bytes at `offset` were written, if that is kept track of."""
        if self.written is not None and length:
            for page in range(offset >> _PAGE_SHIFT, ((offset + length - 1) >> _PAGE_SHIFT) + 1):
                self.written[page] = 1


class GuestMemory:
    """The regions that a guest has now. `generation` rises with every change, so that translations can be cached.

    What `row`, `holds` and `fetch` need of the regions is in columns too, so that, compiled, they do without the
    interpreter's lock. hosts: where the regions lie, for `outboard.guest.places`; good until the next change.
    """

    def __init__(self) -> None:
        self.regions: list[Region] = []
        self.generation = 0
        self._changed()

    def add(self, region: Region) -> None:
        """Add a region. Raises ProtocolError when it is empty, wraps, or overlaps another; nothing is added then."""
        for start, name in ((region.guest_addr, "guest_addr"), (region.user_addr, "user_addr")):
            if region.size == 0 or start + region.size > ADDRESS_END:
                raise ProtocolError(f"memory region {name}", "a range within 64 bits", f"{start:#x}+{region.size:#x}")
        for other in self.regions:
            if self._overlap(region.guest_addr, other.guest_addr, region.size, other.size):
                raise ProtocolError("memory region", "guest ranges apart", f"two at {other.guest_addr:#x}")
        self.regions.append(region)
        self._changed()

    @staticmethod
    def _overlap(a: int, b: int, a_size: int, b_size: int) -> bool:
        return a < b + b_size and b < a + a_size

    def remove(self, guest_addr: int, size: int, user_addr: int) -> None:
        """Remove the region that has exactly these values. Raises ProtocolError when there is none."""
        for at, region in enumerate(self.regions):
            if (region.guest_addr, region.size, region.user_addr) == (guest_addr, size, user_addr):
                del self.regions[at]
                self._changed()
                return
        raise ProtocolError("REM_MEM_REG", "a region that was added", f"{guest_addr:#x}+{size:#x}")

    def replace(self, regions: list[Region]) -> None:
        """Take `regions` in place of all there were. Raises ProtocolError as `add`; the old ones stay then."""
        fresh = GuestMemory()
        for region in regions:
            fresh.add(region)
        self.regions = fresh.regions
        self._changed()

    def clear(self) -> None:
        """Forget all regions."""
        self.regions = []
        self._changed()

    def _changed(self) -> None:
        starts = memoryview(array("Q", [region.guest_addr for region in self.regions] or [0]))
        sizes = memoryview(array("Q", [region.size for region in self.regions] or [0]))
        self.hosts = places.table([region.buffer for region in self.regions])
        self._starts, self._sizes = starts, sizes
        self._last_row = 0
        self.last: Region | None = None
        self.generation += 1

    def find(self, guest_addr: int) -> Region | None:
        """Return the region that holds the byte at `guest_addr`, or None."""
        region = self.last
        if region is not None and region.guest_addr <= guest_addr and guest_addr - region.guest_addr < region.size:
            return region
        row = self.row(guest_addr)
        if row < 0:
            return None
        region = self.regions[row]
        self.last = region
        return region

    def row(self, guest_addr: int) -> int:
        """Return the place in `regions` of the one that holds the byte at `guest_addr`, or -1."""
        at = self._last_row
        if self._starts[at] <= guest_addr and guest_addr - self._starts[at] < self._sizes[at]:
            return at
        for at in range(len(self._starts)):
            if self._starts[at] <= guest_addr and guest_addr - self._starts[at] < self._sizes[at]:
                self._last_row = at
                return at
        return -1

    def offset(self, row: int, guest_addr: int) -> int:
        """Return how far into a region an address of it is."""
        return guest_addr - self._starts[row]

    def room(self, row: int, offset: int) -> int:
        """Return how many bytes of a region there are from `offset` on."""
        return self._sizes[row] - offset

    def holds(self, guest_addr: int, length: int) -> bool:
        """Whether all of a guest range, which is not empty, is memory."""
        if (guest_addr + length - 1) & _MASK64 < guest_addr:
            return False
        while length:
            row = self.row(guest_addr)
            if row < 0:
                return False
            step = min(length, self.room(row, self.offset(row, guest_addr)))
            guest_addr = (guest_addr + step) & _MASK64
            length -= step
        return True

    def fetch(self, guest_addr: int, into: memoryview, length: int) -> bool:
        """Copy a guest range that is not empty to the front of `into`, which has room for it.

        False when a part is not memory; what is in front of that part may have been copied then.
        """
        if (guest_addr + length - 1) & _MASK64 < guest_addr:
            return False
        done = 0
        while done < length:
            row = self.row(guest_addr + done)
            if row < 0:
                return False
            offset = self.offset(row, guest_addr + done)
            step = min(length - done, self.room(row, offset))
            places.fetch(self.hosts, row, offset, into, done, step)
            done += step
        return True

    def extents(self, guest_addr: int, length: int) -> list[tuple[Region, int, int]] | None:
        """Return (region, offset, bytes) pieces that make up a guest range, or None when a part is not memory."""
        pieces = []
        while length:
            region = self.find(guest_addr) if guest_addr < ADDRESS_END else None
            if region is None:
                return None
            offset = guest_addr - region.guest_addr
            step = min(length, region.size - offset)
            pieces.append((region, offset, step))
            guest_addr += step
            length -= step
        return pieces

    def user_range(self, user_addr: int, length: int) -> memoryview | None:
        """Return the bytes of a front-end range, or None when it is not inside one region."""
        for region in self.regions:
            if region.user_addr <= user_addr:
                offset = user_addr - region.user_addr
                if offset + length <= region.size:
                    return region.buffer[offset : offset + length]
        return None

    def read(self, guest_addr: int, length: int) -> bytes | None:
        """Return a copy of a guest range, or None when a part is not memory."""
        pieces = self.extents(guest_addr, length)
        if pieces is None:
            return None
        return b"".join(bytes(region.buffer[offset : offset + step]) for region, offset, step in pieces)

    def load(self, guest_addr: int, size: int) -> int:
        """Return the big-endian word of `size` bytes, 1 to 8, at `guest_addr`, or 0 when a part is not memory."""
        region = self.last
        if region is None or guest_addr < region.guest_addr or guest_addr - region.guest_addr >= region.size:
            region = self.find(guest_addr)
        if region is None or region.size - (guest_addr - region.guest_addr) < size:
            return int.from_bytes(self.read(guest_addr, size) or b"", "big")
        return words.load_be(region.bytes, guest_addr - region.guest_addr, size)

    def store(self, guest_addr: int, size: int, value: int) -> bool:
        """Set the big-endian word of `size` bytes, 1 to 8, at `guest_addr`; false when a part is not memory."""
        region = self.last
        if region is None or guest_addr < region.guest_addr or guest_addr - region.guest_addr >= region.size:
            region = self.find(guest_addr)
        if region is None or region.size - (guest_addr - region.guest_addr) < size:
            return self._store_pieces(guest_addr, size, value)
        offset = guest_addr - region.guest_addr
        words.store_be(region.bytes, offset, size, value)
        if region.written is not None:
            region.written[offset >> _PAGE_SHIFT] = 1
            if offset & _PAGE_MASK > _PAGE_SIZE - size:
                region.written[(offset >> _PAGE_SHIFT) + 1] = 1
        return True

    def write(self, guest_addr: int, data: bytes) -> bool:
        """Copy `data` to a guest range; false, and nothing is copied, when a part is not memory."""
        pieces = self.extents(guest_addr, len(data))
        if pieces is None:
            return False
        at = 0
        for region, offset, step in pieces:
            region.buffer[offset : offset + step] = data[at : at + step]
            region.mark(offset, step)
            at += step
        return True

    def _store_pieces(self, guest_addr: int, size: int, value: int) -> bool:
        if not self.holds(guest_addr, size):
            return False
        for at in range(size):
            self.store(guest_addr + at, 1, value >> 8 * (size - 1 - at) & 0xFF)
        return True
