"""The smallest guest of a pseries machine: it does one instruction after the other, as it finds them in a mailbox.

Documents: Power ISA 3.0 (encodings); LoPAPR, "ibm,client-architecture-support" (option vectors), "RTAS".
The program is entered at 0x100 in 32-bit mode; addresses of the controller need 64.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path

from outboard.qemu import Qemu

ENTRY, MAILBOX, ARGUMENTS, VECTORS, TREE, TREE_SIZE = 0x100, 0x4000, 0x5000, 0x6000, 0x100000, 0x40000
H_RTAS, H_CAS = 0xF000, 0xF002
TIMEOUT = 20

LWZ, STW, LD, STD, LI = 32, 36, 58, 62, 14
REGISTERS = range(3, 13)
FIRST = 0x10
"""Offset in the mailbox of R3; the others follow. The address of the instruction to do is at offset 0."""


def _d(opcode: int, rt: int, ra: int, offset: int) -> int:
    return opcode << 26 | rt << 21 | ra << 16 | offset & 0xFFFF


RETURN = 0x4E800020
LOADS = {size: _d(opcode, 3, 4, 0) for size, opcode in {1: 34, 2: 40, 4: LWZ, 8: LD}.items()}
STORES = {size: _d(opcode, 5, 4, 0) for size, opcode in {1: 38, 2: 44, 4: STW, 8: STD}.items()}
SC_1 = 0x44000022
DOES = [SC_1, *LOADS.values(), *STORES.values()]

START = [
    _d(LI, 31, 0, MAILBOX),
    0x7C8000A6,  # mfmsr r4
    _d(LI, 5, 0, 1),
    0x78A5F806,  # sldi r5, r5, 63: MSR[SF]
    0x7C842B78,  # or r4, r4, r5
    0x7C800164,  # mtmsrd r4
    0x4C00012C,  # isync
]
LOOP = [
    _d(LWZ, 4, 31, 0),
    0x2C040000,  # cmpwi r4, 0
    0x4182FFF8,  # beq to the start of the loop
    0x7C0004AC,  # sync
    0x7C8903A6,  # mtctr r4
    *(_d(LD, register, 31, FIRST + 8 * at) for at, register in enumerate(REGISTERS)),
    0x4E800421,  # bctrl
    *(_d(STD, register, 31, FIRST + 8 * at) for at, register in enumerate(REGISTERS)),
    0x7C0004AC,
    _d(LI, 4, 0, 0),
    _d(STW, 4, 31, 0),
]


def image() -> bytes:
    """The firmware."""
    loop = [*LOOP, 0x48000000 | -4 * len(LOOP) & 0x3FFFFFC]
    words = [*START, *loop, *(word for what in DOES for word in (what, RETURN))]
    return bytes(ENTRY) + struct.pack(f">{len(words)}I", *words)


def words(folder: Path) -> tuple[str, str]:
    """The command line's words that give it to QEMU."""
    path = folder / "guest.bin"
    path.write_bytes(image())
    return "-bios", str(path)


class Guest:
    """CPU 0 of a machine that runs the program."""

    def __init__(self, vm: Qemu) -> None:
        self.vm = vm

    def do(self, what: int, *registers: int) -> list[int]:
        """One of `DOES`, with R3 and up; the registers afterwards."""
        return self.call(ENTRY + 4 * (len(START) + len(LOOP) + 1 + 2 * DOES.index(what)), *registers)

    def call(self, at: int, *registers: int, every_s: float = 0) -> list[int]:
        """The code at an address, up to its return, with R3 and up; the registers afterwards.

        every_s: time between looks whether it is done; each look keeps the guest from its devices for a moment.
        """
        memory = self.vm.qtest
        values = [*registers, *(0,) * (len(REGISTERS) - len(registers))]
        memory.write(MAILBOX + FIRST, struct.pack(f">{len(values)}Q", *values))
        memory.write(MAILBOX, struct.pack(">I", at))
        deadline = time.monotonic() + TIMEOUT
        while memory.read(MAILBOX, 4) != bytes(4):
            assert time.monotonic() < deadline, "the guest does not answer"
            time.sleep(every_s)
        return list(struct.unpack(f">{len(values)}Q", memory.read(MAILBOX + FIRST, 8 * len(values))))

    def load(self, addr: int, size: int) -> int:
        return self.do(LOADS[size], 0, addr)[0]

    def store(self, addr: int, size: int, value: int) -> None:
        self.do(STORES[size], 0, addr, value)

    def hcall(self, opcode: int, *arguments: int) -> tuple[int, ...]:
        """R3, signed, then R4 and up."""
        r3, *rest = self.do(SC_1, opcode, *arguments)
        return r3 - (r3 >> 63 << 64), *rest

    def rtas(self, token: int, arguments: tuple[int, ...], results: int) -> tuple[int, ...]:
        """A call with cells of 32 bits."""
        cells = (token, len(arguments), results, *arguments)
        self.vm.qtest.write(ARGUMENTS, struct.pack(f">{len(cells)}I", *cells) + b"\xee" * 4 * results)
        assert self.hcall(H_RTAS, ARGUMENTS)[0] == 0
        return struct.unpack(f">{results}I", self.vm.qtest.read(ARGUMENTS + 4 * len(cells), 4 * results))

    def negotiate(self) -> int:
        """Ask for XIVE exploitation (option vector 5, byte 23) and a radix MMU (byte 24), as any POWER9; the status."""
        pvrs = struct.pack(">6I", 0xFFFF0000, 0x004E0000, 0xFFFFFFFF, 0x0F000005, 0, 0xFFFFFFFF)
        vector_5 = bytearray(24)
        vector_5[22] = vector_5[23] = 0x40
        vectors = b"".join(bytes([len(vector) - 1]) + vector for vector in (*[bytes(1)] * 4, bytes(vector_5)))
        self.vm.qtest.write(VECTORS, pvrs + bytes([4]) + vectors)
        return self.hcall(H_CAS, VECTORS, TREE, TREE_SIZE)[0]
