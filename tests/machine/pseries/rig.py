"""What the tests of the pseries machine share: RTAS calls by hand, devices at places by hand. Numbers are typed."""

import struct

CELLS = 0x5000
BUID = (0x08000000, 0x20000000)
H_RTAS, H_CAS = 0xF000, 0xF002
READ, WRITE, QUERY_LISN, CHANGE_MSI = 0x2016, 0x2017, 0x2018, 0x2019
QUERY_CPU, START_CPU, STOP_SELF = 0x2005, 0x2006, 0x2007
CHECK_EXCEPTION, EVENT_SCAN = 0x200E, 0x200F
UNTOUCHED = 0xEEEEEEEE
BUS, WINDOW = 0x80000000, 0x2000_8000_0000
"""Where the window of 32 bits is on the bus, and where CPUs see it."""
MINUS_1, MINUS_3 = 0xFFFFFFFF, 0xFFFFFFFD


def rtas(cpu, token, arguments=(), results=1):
    """Make an RTAS call whose R3 is 0; the cells of its results."""
    cells = (token, len(arguments), results, *arguments)
    cpu.memory.write(CELLS, struct.pack(f">{len(cells)}I", *cells) + b"\xee" * 4 * results)
    assert cpu.hcall(H_RTAS, CELLS) == (0,)
    return struct.unpack(f">{results}I", cpu.memory.read(CELLS + 4 * len(cells), 4 * results))


def address(slot, offset=0):
    return slot << 11 | (offset & 0xF00) << 20 | offset & 0xFF


def read(cpu, slot, offset, size):
    """A register of configuration space."""
    status, value = rtas(cpu, READ, (address(slot, offset), *BUID, size), 2)
    assert status == 0
    return value


def write(cpu, slot, offset, size, value):
    assert rtas(cpu, WRITE, (address(slot, offset), *BUID, size, value)) == (0,)


def config(cpu, slot):
    """All of configuration space."""
    return b"".join(read(cpu, slot, at, 4).to_bytes(4, "little") for at in range(0, 256, 4))


def change_msi(cpu, slot, function, count, results=4):
    return rtas(cpu, CHANGE_MSI, (address(slot), *BUID, function, count, 7), results)


def place(cpu, slot, offset, register=0x10, command=6):
    """Put a base address at an offset of the window of 32 bits; where CPUs see it."""
    write(cpu, slot, register, 4, BUS + offset)
    write(cpu, slot, 4, 2, command)
    return WINDOW + offset


def load_le(cpu, addr, size):
    return int.from_bytes(cpu.load(addr, size).to_bytes(size, "big"), "little")


def store_le(cpu, addr, size, value):
    cpu.store(addr, size, int.from_bytes(value.to_bytes(size, "little"), "big"))


def negotiate(cpu, xive=True):
    """Ask for an interrupt mode as any POWER9 does; R3."""
    pvrs = struct.pack(">6I", 0xFFFF0000, 0x004E0000, 0xFFFFFFFF, 0x0F000005, 0, 0xFFFFFFFF)
    vector_5 = bytearray(24)
    vector_5[22], vector_5[23] = 0x40 * xive, 0x40
    vectors = b"".join(bytes([len(vector) - 1]) + vector for vector in (*[bytes(1)] * 4, bytes(vector_5)))
    cpu.memory.write(0x6000, pvrs + bytes([4]) + vectors)
    return cpu.hcall(H_CAS, 0x6000, 0x100000, 0x40000)[0]


class Log:
    """What a machine tells, by name of the event."""

    def __init__(self, machine):
        self.lines = []
        self.machine = machine
        machine.events.listen(lambda event, values: self.lines.append(machine.events.line(event, values)))

    def take(self):
        lines, self.lines = self.lines, []
        return lines


def signalled(machine, lisn):
    """Whether a message with this LISN has come to XICS, where it waits since it is masked; it is forgotten."""
    status = machine.irq.xics.tables()["status"]
    had = bool(status[lisn - 0x1000] & 8)
    status[lisn - 0x1000] = 0
    return had


def level(machine, lisn):
    """Whether the input of a line is up, at XICS."""
    return bool(machine.irq.xics.tables()["status"][lisn - 0x1000] & 1)
