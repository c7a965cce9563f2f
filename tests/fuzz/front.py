"""A front-end without threads: guest memory, rings, and the messages of a start, packed by hand and sent as one likes.

It drives the back-end's loop itself, so that a case ends when nothing is left to do.
"""

import mmap
import os
import socket
import struct
from array import array

from outboard.backend.device import Device, Options
from outboard.backend.server import Session
from outboard.host.loop import Loop

GUEST, USER, SIZE = 0x4000_0000, 0x7F00_0000_0000, 1 << 18
RINGS = (0x0000, 0x4000)
QUEUE = 16
REQUESTS, ANSWERS = 0x10000, 0x20000
FEATURES = 0x1_7000_000E
PROTOCOL = 0xA209


def u64(value):
    return struct.pack("=Q", value)


def message(request, payload=b"", flags=1):
    """Return the bytes of one message."""
    return struct.pack("=III", request, flags, len(payload)) + payload


class Front:
    """The machine in front of the back-end; it lives through any number of sessions."""

    def __init__(self):
        self.memfd = os.memfd_create("fuzz-ram")
        os.ftruncate(self.memfd, SIZE)
        self.ram = memoryview(mmap.mmap(self.memfd, SIZE))
        self.events = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(6)]  # kick, call, err of both rings
        self.loop = Loop()
        self.session = None
        self.control = self.display = None

    def close(self):
        self.loop.close()
        for fd in (self.memfd, *self.events):
            os.close(fd)

    # Sessions

    def connect(self):
        """Begin a session with a device of its own."""
        self.control, theirs = socket.socketpair()
        self.control.setblocking(False)
        theirs.setblocking(False)
        device = Device(self.loop, Options(max_hostmem=1 << 20))
        self.session = Session(self.loop, theirs, device, lambda: None)
        return self.session

    def disconnect(self):
        """End the session as a front-end that dies does."""
        self.control.close()
        self.drop_display()
        self.run()
        assert self.session.closed
        self.session = None

    def drop_display(self):
        if self.display is not None:
            self.display.close()
            self.display = None

    def run(self, rounds=12):
        """Let the back-end do what there is to do."""
        for _ in range(rounds):
            self.loop.run_once(0)

    def send(self, data, fds=()):
        """Send bytes on the control socket; false when the back-end has hung up."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        try:
            self.control.sendmsg([data], ancillary)
        except (BrokenPipeError, ConnectionResetError):
            return False
        except BlockingIOError:
            pass  # so much unread: its loss
        return True

    def receive(self):
        """Return all bytes that came back on the control socket."""
        return drain(self.control)

    # A usual start

    def new_display(self):
        """Return the message that hands a GPU socket over, and the fd to close behind it."""
        self.drop_display()
        self.display, theirs = socket.socketpair()
        self.display.setblocking(False)
        return theirs

    def start(self, mem_slots=False):
        """Return the messages of a whole start, in QEMU's order: (request, payload, fds)."""
        kick0, call0, err0, kick1, call1, err1 = self.events
        region = struct.pack("=QQQQ", GUEST, SIZE, USER, 0)
        memory = (37, bytes(8) + region) if mem_slots else (5, struct.pack("=II", 1, 0) + region)
        rings = []
        for index, base in enumerate(RINGS):
            user = USER + base
            rings += [
                (8, struct.pack("=II", index, QUEUE), []),
                (10, struct.pack("=II", index, 0), []),
                (9, struct.pack("=IIQQQQ", index, 0, user, user + 0x1000, user + 0x2000, 0), []),
                (12, u64(index), [(kick0, kick1)[index]]),
            ]
        return [
            (1, b"", []),
            (15, b"", []),
            (16, u64(PROTOCOL), []),
            (17, b"", []),
            (36, b"", []),
            (3, b"", []),
            (1, b"", []),
            (13, u64(0), [call0]),
            (14, u64(0), [err0]),
            (13, u64(1), [call1]),
            (14, u64(1), [err1]),
            (24, struct.pack("=III", 0, 16, 0) + bytes(16), []),
            (33, b"", ["display"]),
            (2, u64(FEATURES), []),
            (*memory, [self.memfd]),
            *rings,
            (18, struct.pack("=II", 0, 1), []),
            (18, struct.pack("=II", 1, 1), []),
            (24, struct.pack("=III", 0, 16, 0) + bytes(16), []),
            (18, struct.pack("=II", 0, 0), []),
            (18, struct.pack("=II", 1, 0), []),
            (11, struct.pack("=II", 0, 0), []),
            (11, struct.pack("=II", 1, 0), []),
            (34, b"", []),
        ]

    RUNNING = -5
    """How many messages from the end on the device is stopped."""

    def put(self, request, room, index=0):
        """Put a command on a ring at the guest's next index; return the address of its answer in `ram`."""
        base = RINGS[index]
        avail = self.ram[base + 0x2000 : base + 0x2000 + 64].cast("H")
        slot = avail[1] % QUEUE
        place, answer = REQUESTS + 0x800 * slot + 0x8000 * index, ANSWERS + 0x800 * slot + 0x8000 * index
        self.ram[place : place + len(request)] = request
        self.ram[answer : answer + 0x800] = bytes(0x800)
        struct.pack_into("<QIHH", self.ram, base + 32 * (slot % 8), GUEST + place, len(request), 1, 2 * (slot % 8) + 1)
        struct.pack_into("<QIHH", self.ram, base + 32 * (slot % 8) + 16, GUEST + answer, room, 2, 0)
        avail[2 + slot] = 2 * (slot % 8)
        avail[1] = (avail[1] + 1) & 0xFFFF
        os.eventfd_write(self.events[3 * index], 1)
        return answer

    def used(self, index=0):
        """Return the used index of a ring."""
        return self.ram[RINGS[index] + 0x1000 : RINGS[index] + 0x1004].cast("H")[1]

    def zero(self):
        """Make guest memory and eventfds new."""
        self.ram[:] = bytes(SIZE)
        for fd in self.events:
            try:
                os.eventfd_read(fd)
            except BlockingIOError:
                pass

    def go(self, mem_slots=False, until=RUNNING):
        """Say a start rightly, up to the running device."""
        for request, payload, fds in self.start(mem_slots)[:until]:
            theirs = self.new_display() if fds == ["display"] else None
            given = [theirs.fileno()] if theirs else fds
            assert self.send(message(request, payload), given)
            if theirs:
                theirs.close()
            self.run(2)

    def check(self):
        """A fresh session on the same loop must work: start, draw, answer."""
        self.zero()
        self.connect()
        self.go()
        replies = self.receive()
        assert replies[:20] == message(1, u64(FEATURES), 5), replies.hex()
        draw = [
            struct.pack("<IIQIIIIII", 0x101, 0, 0, 0, 0, 1, 2, 4, 2),
            struct.pack("<IIQIIIIQII", 0x106, 0, 0, 0, 0, 1, 1, GUEST + 0x30000, 32, 0),
            struct.pack("<IIQIIIIIIII", 0x103, 0, 0, 0, 0, 0, 0, 4, 2, 0, 1),
            struct.pack("<IIQIIIIIIQII", 0x105, 0, 0, 0, 0, 0, 0, 4, 2, 0, 1, 0),
            struct.pack("<IIQIIIIIIII", 0x104, 0, 0, 0, 0, 0, 0, 4, 2, 1, 0),
        ]
        self.ram[0x30000 : 0x30000 + 32] = bytes(range(32))
        for request in draw:
            answer = self.put(request, 24)
            self.run()
            assert bytes(self.ram[answer : answer + 24]) == struct.pack("<IIQII", 0x1100, 0, 0, 0, 0)
        assert self.used() == len(draw)
        shown = drain(self.display)
        assert shown.endswith(message(8, struct.pack("=IIIII", 0, 0, 0, 4, 2) + bytes(range(32)), 0))
        self.disconnect()


def drain(sock):
    """Return all bytes that wait on a socket."""
    data = b""
    try:
        while more := sock.recv(1 << 20):
            data += more
    except (BlockingIOError, ConnectionResetError):
        pass
    return data


def resident():
    """Return the resident memory of this process in KiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE // 1024
