"""The peer: the real QEMU's pseries machine, whose guest makes interrupt cycles in a loop of its own.

Document: Power ISA 3.0 (encodings). The guest is the mailbox program of the tests; the loop is put beside it.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.xive.cycles import ACK, CPPR, EISN, EXCEPTION, QUEUE, QUEUE_SHIFT, Run, pages
from outboard.qemu import Qemu, QemuCommand
from outboard.qemu.find import find_qemu
from outboard.spec.papr import XIVE_HCALLS
from tests.qemu import xive_guest

LOOP_AT = 0x8000
LOOP = (
    0x7C6903A6,  # mtctr r3
    0xF9240000,  # std r9, 0(r4): trigger
    0xA1450000,  # lhz r10, 0(r5): acknowledge
    0x81660000,  # lwz r11, 0(r6): queue
    0xE9870000,  # ld r12, 0(r7): EOI
    0x99280000,  # stb r9, 0(r8): CPPR
    0x4200FFEC,  # bdnz, five instructions back
    0x4E800020,  # blr
)
SET_PQ_00 = 0xC00
LOOK_S = 0.002
HCALLS = {row.name: row.opcode for row in XIVE_HCALLS}


@contextmanager
def by_guest(folder: Path) -> Iterator[Run]:
    """Run QEMU 7.2; repeat the cycle in its guest, whose last answers are checked. Raises QemuError without one."""
    emulator = find_qemu("ppc64", (7, 2), (7, 3))
    words = ("-M", "ic-mode=xive", *xive_guest.words(folder))
    with Qemu(QemuCommand(emulator, memory_mib=256, qtest=True, extra=words)) as vm:
        guest = xive_guest.Guest(vm)
        trigger, management = pages(0)
        assert guest.negotiate() == 0
        assert guest.hcall(HCALLS["H_INT_SET_QUEUE_CONFIG"], 1, 0, 6, QUEUE, QUEUE_SHIFT)[0] == 0
        assert guest.hcall(HCALLS["H_INT_SET_SOURCE_CONFIG"], 2, 0, 0, 6, EISN)[0] == 0
        guest.store(CPPR, 1, 0xFF)
        guest.load(management + SET_PQ_00, 8)
        vm.qtest.write(LOOP_AT, struct.pack(f">{len(LOOP)}I", *LOOP))

        def run(count: int) -> int:
            vm.qmp.command("cont")
            said = guest.call(LOOP_AT, count, trigger, ACK, QUEUE, management, CPPR, 0xFF, every_s=LOOK_S)
            assert said[7] == EXCEPTION and said[8] & 0x7FFFFFFF == EISN and said[9] == 0
            vm.qmp.command("stop")  # its guest would look into its mailbox without end, and heat the other core
            return count

        run(1)
        yield run
