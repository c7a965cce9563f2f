"""A device under fire: rings and guest memory laid out by hand, a display that judges what it is sent.

Nothing here uses the driver's side of the package, so that both cannot be wrong in the same way.
"""

import os
import random
import socket
import struct

from outboard.backend.device import OFFERED, Device, Options
from outboard.guest.memory import Region
from outboard.host.loop import Loop
from outboard.spec.vhost_user import VringAddr

CASES = int(os.environ.get("OUTBOARD_FUZZ_CASES", "24000"))
SEED = os.environ.get("OUTBOARD_FUZZ_SEED", "1")
CHUNKS = 4

SIZE = 64
DESC, AVAIL, USED = 0, 16 * SIZE, 16 * SIZE + 512
RING_BYTES = 4096
RINGS_GUEST, RINGS_USER = 0x8000_0000, 0x7E00_0000_0000
LOW, HIGH = 0x4000_0000, 0x4000_0000 + (1 << 16)  # two neighbours
LOW_BYTES, HIGH_BYTES = 1 << 16, 1 << 15
TOP = (1 << 64) - 8192
LIMIT = 8 << 20
GET_EDID = struct.pack("<IIQII", 0x10A, 0, 0, 0, 0) + bytes(8)


def chunks(share):
    """Return (first, last) of the cases of one chunk each; share: of all cases."""
    each = int(CASES * share) // CHUNKS
    return [(at * each, (at + 1) * each) for at in range(CHUNKS)]


def dice(target, case):
    """Return the case's own random numbers: `OUTBOARD_FUZZ_SEED` and the case's number replay it."""
    return random.Random(f"{SEED}:{target}:{case}")


class Display:
    """The front-end's end of the GPU socket. Its verdict on the stream is an AssertionError."""

    def __init__(self):
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self._data = bytearray()
        self._sizes: dict[int, tuple[int, int]] = {}

    def read(self):
        """Take what is there and answer questions; return false when nothing was."""
        try:
            data = self.ours.recv(1 << 20)
        except (BlockingIOError, ConnectionResetError):
            return False  # nothing yet, or closed on us
        self._data += data
        while len(self._data) >= 12:
            number, _, size = struct.unpack_from("=III", self._data)
            assert 1 <= number <= 12 and size <= 20 + 4 * 16384 * 16384
            if len(self._data) < 12 + size:
                break
            self._judge(number, bytes(self._data[12 : 12 + size]))
            del self._data[: 12 + size]
        return bool(data)

    def _judge(self, number, body):
        if number == 1:
            self.ours.send(struct.pack("=IIIQ", 1, 4, 8, 0))
        elif number == 3:
            self.ours.send(struct.pack("=III", 3, 4, 408) + struct.pack("<I", 0x1101) + bytes(404))
        elif number == 7:
            scanout, width, height = struct.unpack("=III", body)
            assert scanout < 16 and bool(width) == bool(height) and max(width, height) <= 16384
            self._sizes[scanout] = (width, height)
        elif number == 8:
            scanout, x, y, width, height = struct.unpack_from("=IIIII", body)
            shown = self._sizes.get(scanout, (0, 0))
            assert width and height and x + width <= shown[0] and y + height <= shown[1], (x, y, width, height, shown)
            assert len(body) == 20 + 4 * width * height
        elif number == 6:
            assert len(body) == 16404

    def close(self):
        self.ours.close()


class Guest:
    """One device with its two rings running, in memory of `bytearray`s; `memory` is guest address: bytes."""

    def __init__(self):
        self.loop = Loop()
        self.device = Device(self.loop, Options((), LIMIT))
        self.memory = {LOW: bytearray(LOW_BYTES), HIGH: bytearray(HIGH_BYTES), TOP: bytearray(8192)}
        self.rings = bytearray(2 * RING_BYTES)
        users = ((RINGS_GUEST, RINGS_USER, self.rings),)
        users += tuple(
            (addr, 0x7F00_0000_0000 + at * (1 << 32), data) for at, (addr, data) in enumerate(self.memory.items())
        )
        self.device.memory.replace([Region(addr, user, memoryview(data)) for addr, user, data in users])
        self.device.set_features(OFFERED)
        self.heads = [0, 0]
        self.display = Display()
        self.device.set_display(self.display.theirs.detach())
        self.start()

    def show_on(self, display):
        """Give the device another display."""
        self.display.close()
        self.display = display
        self.device.set_display(display.theirs.detach())
        self.settle()

    def start(self):
        """Reset the device and start both rings from zero."""
        self.device.ask_reset()
        self.rings[:] = bytes(len(self.rings))
        self.heads = [0, 0]
        for ring in self.device.rings:
            user = RINGS_USER + RING_BYTES * ring.index
            ring.set_num(SIZE)
            ring.set_base(0)
            ring.set_addr(VringAddr(ring.index, 0, user + DESC, user + USED, user + AVAIL))
            ring.set_kick(os.eventfd(0, os.EFD_NONBLOCK))
            ring.enabled = True
        self.device.wake()
        self.settle()

    def settle(self):
        """Run until nothing is left to do."""
        for _ in range(10_000):
            self.loop.run_once(0)
            if not self.display.read() and not self.loop._soon:
                return
        raise AssertionError("the device never comes to rest")

    def desc(self, ring, index, addr, length, flags, following):
        struct.pack_into("<QIHH", self.rings, RING_BYTES * ring + DESC + 16 * index, addr, length, flags, following)

    def offer(self, ring, head):
        """Put a head on the available ring; it is seen at the next `kick`."""
        base = RING_BYTES * ring + AVAIL
        struct.pack_into("<H", self.rings, base + 4 + 2 * (self.heads[ring] % SIZE), head & 0xFFFF)
        self.heads[ring] = (self.heads[ring] + 1) & 0xFFFF

    def kick(self, ring):
        struct.pack_into("<H", self.rings, RING_BYTES * ring + AVAIL + 2, self.heads[ring])
        self.device.pump()
        self.settle()

    def used(self, ring):
        """Return the used index."""
        return struct.unpack_from("<H", self.rings, RING_BYTES * ring + USED + 2)[0]

    def command(self, ring, request, room=1100):
        """Send one request in two descriptors; return the response's bytes."""
        self.memory[LOW][:room] = bytes(room)
        self.memory[HIGH][: len(request)] = request
        self.desc(ring, 0, HIGH, len(request), 1, 1)
        self.desc(ring, 1, LOW, room, 2, 0)
        before = self.used(ring)
        self.offer(ring, 0)
        self.kick(ring)
        assert self.used(ring) == (before + 1) & 0xFFFF, "a command was not answered"
        slot = RING_BYTES * ring + USED + 4 + 8 * (before % SIZE)
        head, length = struct.unpack_from("<II", self.rings, slot)
        assert head == 0 and length <= room
        return bytes(self.memory[LOW][:length])

    def check_alive(self):
        """Start anew; the next good command is answered."""
        self.start()
        response = self.command(0, GET_EDID)
        assert struct.unpack_from("<I", response)[0] == 0x1104 and len(response) == 1056

    def close(self):
        self.device.close()
        self.loop.close()
        self.display.close()
