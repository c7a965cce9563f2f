"""A virtio-gpu device in this process: guest memory, both queues, a display that paints and counts.

Requests are packed here by hand, from the offsets of VIRTIO-1.2 5.7.6, not by the package's own structures.
"""

import struct
import uuid

from outboard.gpu.command_loop import BUSY, CONGESTED, IDLE, WAITING, control_loop, cursor_loop
from outboard.gpu.state import Gpu
from outboard.guest.memory import GuestMemory, Region
from outboard.virtio.driver_queue import DriverQueue, RingLayout
from outboard.virtio.split_queue import SplitQueue

RING, SCRATCH = 0x1000_0000, 0x2000_0000
LOW, HIGH, FAR = 0x4000_0000, 0x4020_0000, 0x1_0000_0000
HOLE = 0x4040_0000
HALF, FAR_SIZE = 0x20_0000, 0x100_0000
SCRATCH_SIZE = 0x80_000
RESPONSE = SCRATCH + 0x60_000
USER = 0x7F00_0000_0000
UUID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")

EDID, RESOURCE_UUID, RESOURCE_BLOB = 2, 4, 8
ALL = EDID | RESOURCE_UUID | RESOURCE_BLOB

OK, OK_INFO, OK_EDID, OK_UUID = 0x1100, 0x1101, 0x1104, 0x1105
UNSPEC, NO_MEMORY, BAD_SCANOUT, BAD_RESOURCE, BAD_PARAMETER = 0x1200, 0x1201, 0x1202, 0x1203, 0x1205


def req(code, layout="", *values, flags=0, fence=0, ctx=0, ring_idx=0):
    """Return a request: the 24 bytes of the header, then `values` packed by `layout`."""
    return struct.pack("<IIQIBxxx" + layout, code, flags, fence, ctx, ring_idx, *values)


def create(resource_id=1, fmt=2, width=8, height=6):
    return req(0x101, "IIII", resource_id, fmt, width, height)


def unref(resource_id=1):
    return req(0x102, "II", resource_id, 0)


def set_scanout(scanout_id=0, resource_id=1, rect=(0, 0, 8, 6)):
    return req(0x103, "IIIIII", *rect, scanout_id, resource_id)


def flush(resource_id=1, rect=(0, 0, 8, 6), **fence):
    return req(0x104, "IIIIII", *rect, resource_id, 0, **fence)


def transfer(resource_id=1, rect=(0, 0, 8, 6), offset=0):
    return req(0x105, "IIIIQII", *rect, offset, resource_id, 0)


def entries(ranges):
    return b"".join(struct.pack("<QII", addr, length, 0) for addr, length in ranges)


def attach(resource_id=1, ranges=((LOW, 192),), count=None):
    return req(0x106, "II", resource_id, len(ranges) if count is None else count) + entries(ranges)


def detach(resource_id=1):
    return req(0x107, "II", resource_id, 0)


def get_edid(scanout_id=0):
    return req(0x10A, "II", scanout_id, 0)


def assign_uuid(resource_id=1):
    return req(0x10B, "II", resource_id, 0)


def create_blob(resource_id=1, ranges=((LOW, 4096),), size=4096, mem=1, flags=0, count=None):
    head = req(0x10C, "IIIIQQ", resource_id, mem, flags, len(ranges) if count is None else count, 0, size)
    return head + entries(ranges)


def set_scanout_blob(scanout_id=0, resource_id=1, rect=(0, 0, 8, 6), width=8, height=6, fmt=2, stride=32, offset=0):
    planes = (stride, 0, 0, 0, offset, 0, 0, 0)
    return req(0x10D, "IIIIIIIIII8I", *rect, scanout_id, resource_id, width, height, fmt, 0, *planes)


def update_cursor(scanout_id=0, resource_id=1, x=0, y=0, hot_x=0, hot_y=0, code=0x300):
    return req(code, "IIIIIIII", scanout_id, x & 0xFFFFFFFF, y & 0xFFFFFFFF, 0, resource_id, hot_x, hot_y, 0)


def move_cursor(scanout_id=0, resource_id=1, x=0, y=0):
    return update_cursor(scanout_id, resource_id, x, y, code=0x301)


class Display:
    """Takes what the device shows: keeps a picture of each output, a list of events, and finds fault."""

    def __init__(self):
        self.congested = False
        self.events = []
        self.sizes = {}
        self.pictures = {}

    def take(self):
        """Return the events since the last call."""
        events, self.events = self.events, []
        return events

    def scanout(self, scanout_id, width, height):
        assert bool(width) == bool(height), "one side 0 alone is fatal to QEMU"
        assert max(width, height) <= 16384
        self.events.append(("scanout", scanout_id, width, height))
        self.sizes[scanout_id] = (width, height)
        self.pictures[scanout_id] = bytearray(4 * width * height)

    def update(self, scanout_id, surface, x, y, width, height):
        size = self.sizes.get(scanout_id, (0, 0))
        assert width > 0 < height
        assert x + width <= size[0] and y + height <= size[1], f"{x, y, width, height} outside {size}"
        self.events.append(("update", scanout_id, x, y, width, height))
        pixels = self.read(surface, x, y, width, height)
        for row in range(height):
            at = 4 * ((y + row) * size[0] + x)
            self.pictures[scanout_id][at : at + 4 * width] = pixels[4 * width * row : 4 * width * (row + 1)]

    @staticmethod
    def read(surface, x, y, width, height):
        """Read a rectangle both ways that a surface offers; they must agree."""
        room = memoryview(bytearray(b"\xee" * (4 * width * height + 32)))
        surface.gather(room, 16, x, y, width, height)
        assert room[:16] == room[-16:] == b"\xee" * 16
        tight = bytes(room[16:-16])
        whole = surface.contiguous(x, y, width, height)
        assert whole is None or bytes(whole) == tight
        return tight

    def cursor_update(self, scanout_id, x, y, hot_x, hot_y, image):
        self.events.append(("cursor", scanout_id, x, y, hot_x, hot_y, bytes(image)))

    def cursor_pos(self, scanout_id, x, y):
        self.events.append(("move", scanout_id, x, y))

    def cursor_pos_hide(self, scanout_id, x, y):
        self.events.append(("hide", scanout_id, x, y))


class Answers:
    """Knows the displays; `late` makes it answer nothing at once."""

    def __init__(self):
        self.late = False
        self.info = bytes(range(256)) + bytes(128)
        self.edid_of = []

    def display_info(self):
        return None if self.late else self.info

    def edid(self, scanout_id):
        self.edid_of.append(scanout_id)
        return None if self.late else struct.pack("<II", 128, 0) + bytes([scanout_id]) * 1024


class Device:
    """The device and its driver: `send` runs one command until the queue is dry."""

    def __init__(self, features=ALL, far_size=FAR_SIZE, **options):
        self.memory = GuestMemory()
        self.views = {}
        regions = [(RING, 0x4000), (SCRATCH, SCRATCH_SIZE), (LOW, HALF), (HIGH, HALF), (FAR, far_size)]
        for at, (addr, size) in enumerate(regions):
            self.add_memory(addr, size, USER + at * 0x1000_0000)
        self.display = Display()
        self.answers = Answers()
        self.gpu = Gpu(self.memory, self.answers, self.display, new_uuid=lambda: UUID, **options)
        self.gpu.features = features
        self.loops, self.drivers = [], []
        for index, make in enumerate((control_loop, cursor_loop)):
            layout = RingLayout.of(64)
            block = self.views[RING][0x2000 * index : 0x2000 * index + layout.end]
            queue = SplitQueue(self.memory)
            self.drivers.append(DriverQueue(block, layout))
            base = USER + 0x2000 * index
            assert queue.set_up(64, base + layout.desc, base + layout.avail, base + layout.used)
            queue.start(0)
            self.loops.append(make(self.gpu, queue))

    def add_memory(self, addr, size, user):
        self.views[addr] = memoryview(bytearray(size))
        self.memory.add(Region(addr, user, self.views[addr]))

    def fill(self, addr, data):
        """Write guest memory, over the border of LOW and HIGH too."""
        for start, view in self.views.items():
            first, last = max(addr, start), min(addr + len(data), start + len(view))
            if first < last:
                view[first - start : last - start] = data[first - addr : last - addr]

    def peek(self, addr, length):
        data = self.memory.read(addr, length)
        assert data is not None
        return data

    def offer(self, request, room=4096, queue=0, pieces=None):
        """Put a request on a queue; `pieces` are the lengths of its descriptors."""
        assert len(request) <= RESPONSE - SCRATCH
        self.fill(SCRATCH, request)
        readable, at = [], SCRATCH
        for length in pieces or [len(request)]:
            readable.append((at, length))
            at += length
        self.views[SCRATCH][RESPONSE - SCRATCH :] = b"\xee" * (SCRATCH + SCRATCH_SIZE - RESPONSE)
        self.drivers[queue].add(readable if request else [], [(RESPONSE, room)] if room or not request else [])
        self.drivers[queue].publish()

    def run(self, queue=0):
        """Let the device work until it is dry or waits; return (status, response) with response None if none came."""
        loop, driver = self.loops[queue], self.drivers[queue]
        while (status := loop.run(256)) == BUSY:
            pass
        assert status in (IDLE, WAITING, CONGESTED), loop.queue.broken
        self.gpu.catch_up()
        loop.queue.publish()
        used = driver.collect()
        if not used:
            return status, None
        ((_, written),) = used
        whole = bytes(self.views[SCRATCH][RESPONSE - SCRATCH :])
        assert whole[written:] == b"\xee" * (len(whole) - written), "bytes beyond the used length"
        return status, whole[:written]

    def send(self, request, room=4096, queue=0, pieces=None):
        """Execute one request; return the bytes of its response."""
        self.offer(request, room, queue, pieces)
        status, response = self.run(queue)
        assert response is not None, status
        return response

    def code(self, request, queue=0):
        """Execute one request; return its response code; an error or OK_NODATA is a bare header."""
        response = self.send(request, queue=queue)
        (code,) = struct.unpack_from("<I", response)
        if code == OK or code >= UNSPEC:
            assert len(response) == 24
        return code

    def do(self, *requests):
        """Execute requests that all must succeed."""
        for request in requests:
            assert self.code(request) == OK, request.hex()

    def state(self):
        """Return what a refused command must leave as it was."""
        gpu = self.gpu
        outputs = [(s.scanout_id, s.resource, s.x, s.y, s.width, s.height) for s in gpu.scanouts]
        resources = {
            number: (r.width, r.height, bytes(r.buffer), r.backing, r.blob_size, r.cost)
            for number, r in gpu.resources.items()
        }
        return outputs, resources, gpu.hostmem, gpu.stale
