"""The smallest driver of a virtio-gpu-pci, on a CPU: three messages, two queues, a picture. Numbers are typed."""

import struct

from tests.machine.pseries.rig import change_msi, load_le, place, store_le, write

VERSION_1 = 1 << 32
RINGS, REQUEST, RESPONSE, PIXELS = 0x200000, 0x300000, 0x310000, 0x400000
AVAIL, USED = 0x1000, 0x2000
CREATE_2D, SET_SCANOUT, FLUSH, TRANSFER, ATTACH, DISPLAY_INFO = 0x101, 0x103, 0x104, 0x105, 0x106, 0x100
OK_NODATA, OK_DISPLAY_INFO = 0x1100, 0x1101
BGRX = 2


class Driver:
    """The device in a slot. vectors: how many messages it is given; without, it has its pin."""

    def __init__(self, cpu, slot=1, vectors=3):
        self.cpu = cpu
        self.slot = slot
        self.lisns = range(0)
        if vectors:
            assert change_msi(cpu, slot, 4, vectors)[:2] == (0, vectors)
            self.lisns = range(0x1300, 0x1300 + vectors)
            write(cpu, slot, 0x9A, 2, 0x8000)
        place(cpu, slot, 0, register=0x14)
        self.at = place(cpu, slot, 0x100000, register=0x20)
        self.offered = 0

    def get(self, offset, size):
        return load_le(self.cpu, self.at + offset, size)

    def set(self, offset, size, value):
        store_le(self.cpu, self.at + offset, size, value)

    def start(self, rings=RINGS, size=16, features=VERSION_1):
        """Set the device up; its status."""
        for status in (0, 1, 3):
            self.set(20, 1, status)
        for word in range(2):
            self.set(0, 4, word)
            self.offered |= self.get(4, 4) << 32 * word
            self.set(8, 4, word)
            self.set(12, 4, features >> 32 * word & 0xFFFFFFFF)
        self.set(20, 1, 11)
        self.set(16, 2, 0)
        self.index = 0
        for queue in range(2):
            base = rings + 0x4000 * queue
            self.cpu.memory.write(base, bytes(0x4000))
            self.set(22, 2, queue)
            self.set(24, 2, size)
            self.set(26, 2, queue + 1)
            for register, offset in ((32, 0), (40, AVAIL), (48, USED)):
                self.set(register, 8, base + offset)
            self.set(28, 2, 1)
        self.size = size
        self.set(20, 1, 15)
        return self.get(20, 1)

    def offer(self, data, room=24):
        """Put a command on the control queue and kick."""
        memory = self.cpu.memory
        memory.write(REQUEST, data)
        memory.write(RESPONSE, bytes(room))
        memory.write(RINGS, struct.pack("<QIHHQIHH", REQUEST, len(data), 1, 1, RESPONSE, room, 2, 0))
        memory.write(RINGS + AVAIL + 4 + 2 * (self.index % self.size), bytes(2))
        self.index = self.index + 1 & 0xFFFF
        memory.write(RINGS + AVAIL + 2, struct.pack("<H", self.index))
        self.set(0x3000, 2, 0)

    def used(self):
        return struct.unpack("<H", self.cpu.memory.read(RINGS + USED + 2, 2))[0]

    def command(self, number, body=b"", room=24):
        """Have a command done; its response, of the type that is expected of it."""
        self.offer(struct.pack("<IIQIB3x", number, 0, 0, 0, 0) + body, room)
        assert self.used() == self.index, "the machine has waited for the back-end"
        return self.cpu.memory.read(RESPONSE, room)

    def ok(self, number, body):
        assert self.command(number, body)[:4] == struct.pack("<I", OK_NODATA)

    def sizes(self):
        """Sizes of the displays that are on."""
        answer = self.command(DISPLAY_INFO, room=24 + 16 * 24)
        assert answer[:4] == struct.pack("<I", OK_DISPLAY_INFO)
        modes = [struct.unpack_from("<IIIIII", answer, 24 + 24 * at) for at in range(16)]
        return [(width, height) for _, _, width, height, on, _ in modes if on]

    def show(self, pixels, width, height):
        """Show a picture of 4 bytes a pixel."""
        rect = struct.pack("<IIII", 0, 0, width, height)
        self.cpu.memory.write(PIXELS, pixels)
        self.ok(CREATE_2D, struct.pack("<IIII", 1, BGRX, width, height))
        self.ok(ATTACH, struct.pack("<IIQII", 1, 1, PIXELS, len(pixels), 0))
        self.ok(SET_SCANOUT, rect + struct.pack("<II", 0, 1))
        self.ok(TRANSFER, rect + struct.pack("<QII", 0, 1, 0))
        self.ok(FLUSH, rect + struct.pack("<II", 1, 0))
