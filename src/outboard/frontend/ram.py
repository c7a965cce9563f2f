"""Guest memory of a VMM in miniature: one memfd, any number of regions, and allocators over them.

Source: QEMU docs/interop/vhost-user, "Memory region description".

Modelled: regions with holes between them, all of the same file, as QEMU lays its RAM out. Not modelled: freeing what
was allocated; a machine is thrown away as a whole.
"""

import mmap
import os
import random
from collections.abc import Sequence
from typing import NamedTuple

from outboard.errors import LocalError
from outboard.guest.memory import GuestMemory, Region
from outboard.spec.vhost_user import MemoryRegion
from outboard.virtio.driver_queue import Extent

PAGE = 4096
USER_BASE = 0x7F00_0000_0000
"""Where the regions pretend to lie in the front-end; unlike any guest address, so that mixing the two shows."""


class Span(NamedTuple):
    """One region to be: guest address and size in bytes, both multiples of a page."""

    guest_addr: int
    size: int


class Backing(NamedTuple):
    """Guest memory that holds one image: (guest address, length) pieces, in the order of the image's bytes."""

    memory: "GuestRam"
    entries: tuple[Extent, ...]

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write bytes of the image, from byte `offset` of it. Raises LocalError when they do not fit."""
        rest = memoryview(data).cast("B")
        for guest_addr, length in self.entries:
            step = max(0, min(length - offset, len(rest)))
            if step:
                self.memory.view(guest_addr + offset, step)[:] = rest[:step]
                rest = rest[step:]
            offset = max(0, offset - length)
            if not rest:
                return
        raise LocalError(f"{len(rest)} bytes beyond the backing")

    def read(self) -> bytes:
        """Return all bytes of the image."""
        return b"".join(self.memory.view(addr, length) for addr, length in self.entries)


class GuestRam:
    """The guest's memory. `fd` is the memfd behind all regions; region i starts at `mmap_offset(i)` of it.

    gap: unused bytes of the file in front of every region, so that offsets are not 0 and neighbours in the guest are
    none in the file.
    """

    def __init__(self, spans: Sequence[Span] = (Span(0x4000_0000, 64 << 20),), gap: int = 0) -> None:
        self.spans = list(spans)
        self.gap = gap
        self.fd = os.memfd_create("guest-ram", os.MFD_CLOEXEC)
        self.regions: list[Region] = []
        self.memory = GuestMemory()
        self._offsets: list[int] = []
        self._next: list[int] = []
        self._end = 0
        for span in spans:
            self.grow(span)

    def grow(self, span: Span) -> int:
        """Add a region to the guest's memory and return its index. Raises LocalError off page boundaries."""
        if span.guest_addr % PAGE or span.size % PAGE or not span.size:
            raise LocalError(f"region {span} is not made of pages")
        offset = self._end + self.gap
        self._end = offset + span.size
        os.ftruncate(self.fd, self._end)
        mapping = memoryview(mmap.mmap(self.fd, span.size, offset=offset))
        region = Region(span.guest_addr, USER_BASE + offset, mapping)
        self.memory.add(region)
        self.regions.append(region)
        self._offsets.append(offset)
        self._next.append(span.guest_addr)
        return len(self.regions) - 1

    def descriptions(self) -> list[MemoryRegion]:
        """Return the regions as the control socket describes them."""
        return [self.description(at) for at in range(len(self.regions))]

    def description(self, at: int) -> MemoryRegion:
        """Return region `at` as the control socket describes it."""
        region = self.regions[at]
        return MemoryRegion(region.guest_addr, region.size, region.user_addr, self._offsets[at])

    def user_addr(self, guest_addr: int) -> int:
        """Return the front-end address of a guest address. Raises LocalError outside the memory."""
        region = self._find(guest_addr)
        return region.user_addr + guest_addr - region.guest_addr

    def view(self, guest_addr: int, length: int) -> memoryview:
        """Return writable guest memory inside one region. Raises LocalError otherwise."""
        region = self._find(guest_addr)
        offset = guest_addr - region.guest_addr
        if offset + length > region.size:
            raise LocalError(f"{length} bytes at {guest_addr:#x} leave their region")
        return region.buffer[offset : offset + length]

    def _find(self, guest_addr: int) -> Region:
        region = self.memory.find(guest_addr)
        if region is None:
            raise LocalError(f"no memory at {guest_addr:#x}")
        return region

    def allocate(self, size: int, align: int = 64, region: int | None = None) -> int:
        """Return the guest address of `size` unused bytes inside one region, of any region by default.

        align: a power of two. Raises LocalError when there is no room.
        """
        for at in range(len(self.regions)) if region is None else (region,):
            start = (self._next[at] + align - 1) & -align
            if start + size <= self.regions[at].guest_addr + self.regions[at].size:
                self._next[at] = start + size
                return start
        raise LocalError(f"no room for {size} bytes of guest memory")

    def contiguous(self, size: int) -> Backing:
        """Return a backing in one piece."""
        return Backing(self, ((self.allocate(size, PAGE), size),))

    def scattered(self, size: int, seed: int = 1) -> Backing:
        """Return a backing of single pages in shuffled order; the last piece is shorter when `size` asks for it."""
        pages = -(-size // PAGE)
        start = self.allocate(pages * PAGE, PAGE)
        order = list(range(pages))
        random.Random(seed).shuffle(order)
        entries = [(start + PAGE * page, PAGE) for page in order]
        entries[-1] = (entries[-1][0], size - PAGE * (pages - 1))
        return Backing(self, tuple(entries))

    def close(self) -> None:
        """Close the memfd; the mappings go with the last view of them."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
