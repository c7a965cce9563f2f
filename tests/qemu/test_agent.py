"""The agent's image is what its source makes; what it does, and how it tells of what it should not meet."""

from __future__ import annotations

import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest

from outboard.errors import LocalError
from outboard.qemu import QemuBinary, QemuError
from outboard.qemu.agent import IMAGE, IRQ_AFTER, IRQ_BEFORE, MACHINE_CHECK, SECONDARY, Do, Mailbox, Operation
from outboard.qemu.agent.mailbox import AT_ONCE, CELLS, MAILBOX, RING, SLOT, SLOTS
from outboard.qemu.live import FREE_RAM, LiveMachine
from outboard.qemu.live_cpu import hcall, load, store
from tests.qemu.conftest import missing

pytestmark = pytest.mark.alike

SOURCE = IMAGE.with_name("agent.S")
TOOLS = "powerpc64-linux-gnu-"
ESB, TIMA_OS = 0x6010000000000, 0x60302031A0000


@pytest.fixture(scope="module")
def assembled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The object file of the agent's source."""
    if not shutil.which(f"{TOOLS}as"):
        missing("powerpc64-linux-gnu-as; apt-get install binutils-powerpc64-linux-gnu")
    made = tmp_path_factory.mktemp("agent") / "agent.o"
    subprocess.run([f"{TOOLS}as", "-a64", "-mpower9", "-mbig", "-o", made, SOURCE], check=True)
    return made


def test_the_image_is_made_of_the_source(assembled: Path) -> None:
    made = assembled.with_suffix(".bin")
    subprocess.run([f"{TOOLS}objcopy", "-O", "binary", "-j", ".text", assembled, made], check=True)
    assert made.read_bytes() == IMAGE.read_bytes(), f"assemble it again: {TOOLS}as, {TOOLS}objcopy -O binary -j .text"
    relocations = subprocess.run([f"{TOOLS}objdump", "-r", assembled], check=True, capture_output=True, text=True)
    assert "R_PPC" not in relocations.stdout, "it is loaded as it is"


def test_both_ends_have_one_layout(assembled: Path) -> None:
    listed = subprocess.run([f"{TOOLS}nm", assembled], check=True, capture_output=True, text=True).stdout
    symbols = {line.split()[2]: int(line.split()[0], 16) for line in listed.splitlines()}
    here = {"MAILBOX": MAILBOX, "RING": RING, "OPS": len(Do), "secondary": SECONDARY}
    here |= {"HEAD": 0, "DONE": 8, "READY": 16, "TREE": 24, "FAULT": 32}
    here |= {"IN": 0x10, "OUT": 0x60, "SLOT_SHIFT": SLOT.bit_length() - 1, "SLOT_BITS": SLOTS.bit_length() - 1}
    assert {name: symbols[name] for name in here} == here
    assert CELLS >= symbols["OUT"] + 80
    assert IMAGE.stat().st_size < MAILBOX


@pytest.fixture(scope="module")
def machine(qemu_7_ppc: QemuBinary) -> LiveMachine:
    with LiveMachine(qemu_7_ppc, 4, ic_mode="xive", vsmt=2, timeout=20) as made:
        assert made.cas() == 0
        yield made


def test_loads_and_stores_of_every_size(machine: LiveMachine) -> None:
    value = 0x0123456789ABCDEF
    for cpu in range(4):
        at = FREE_RAM + 0x100 * cpu
        operations = [store(cpu, at, 8, value), *(load(cpu, at + 8 - size, size) for size in (1, 2, 4, 8))]
        operations += [store(cpu, at + 16 + 8 * size, size, value & ((1 << 8 * size) - 1)) for size in (1, 2, 4, 8)]
        found = [result.registers[0] for result in machine.batch(operations)]
        assert found[1:5] == [0xEF, 0xCDEF, 0x89ABCDEF, value]
        there = machine.memory.read(at, 96)
        assert there is not None
        assert [there[16 + 8 * size :][:8].hex() for size in (1, 2, 4)] == [
            "ef00000000000000",
            "cdef000000000000",
            "89abcdef00000000",
        ]


def test_all_registers_of_a_hypercall(machine: LiveMachine) -> None:
    arguments = tuple(0x1111111111111111 * number for number in range(1, 10))
    [result] = machine.batch([hcall(3, 0x3D4, *arguments)])
    assert result.registers == ((1 << 64) - 2, *arguments)


def test_every_cpu_in_one_order(machine: LiveMachine) -> None:
    """Each adds its mark to what the last one wrote: one operation that comes early or late is seen."""
    order = [number * 7919 % 13 % 4 for number in range(3 * SLOTS + 17)]
    operations: list[Operation] = []
    for number, cpu in enumerate(order):
        operations += [load(cpu, FREE_RAM, 8), store(cpu, FREE_RAM, 8, number << 8 | cpu)]
    results = machine.batch(operations)
    read = [result.registers[0] for result in results[2::2]]
    assert read == [number << 8 | cpu for number, cpu in enumerate(order)][:-1]


def test_an_interrupt_is_seen_where_it_is(machine: LiveMachine) -> None:
    cpus = machine.cpus
    cpus[0].hcall("H_INT_SET_QUEUE_CONFIG", 1, 2, 6, FREE_RAM, 16)
    cpus[0].hcall("H_INT_SET_SOURCE_CONFIG", 2, 0, 2, 6, 0x10)
    cpus[3].load(ESB + 0x10C00, 8)
    cpus[1].store(TIMA_OS + 0x11, 1, 0xFF)
    nothing = [Operation(Do.NOTHING, cpu) for cpu in range(4)]
    results = machine.batch([*nothing, store(2, ESB, 8, 0), *nothing, load(1, TIMA_OS + 0x810, 2), *nothing])
    flags = [result.flags for result in results]
    both = IRQ_BEFORE | IRQ_AFTER
    assert flags == [0, 0, 0, 0, 0, 0, both, 0, 0, IRQ_BEFORE, 0, 0, 0, 0]
    assert results[9].registers[0] == 0x8006


def test_whole_interrupts_in_a_loop(machine: LiveMachine) -> None:
    cpu = machine.cpus[0]
    cpu.hcall("H_INT_SET_QUEUE_CONFIG", 1, 0, 6, FREE_RAM, 12)
    cpu.hcall("H_INT_SET_SOURCE_CONFIG", 2, 1, 0, 6, 0x11)
    cpu.load(ESB + 0x30C00, 8)
    cpu.store(TIMA_OS + 0x11, 1, 0xFF)
    words = (3000, ESB + 0x20000, TIMA_OS, FREE_RAM, 0xFFF, ESB + 0x30000)
    assert machine.batch([Operation(Do.CYCLES, 0, words)])[0].registers[0] == 3000
    assert machine.memory.read(FREE_RAM, 8) == struct.pack(">II", 0x80000011, 0x80000011), "the third lap's"
    without_queue = (10, ESB + 0x20000, TIMA_OS, FREE_RAM + 0x10000, 0xFFF, ESB + 0x30000)
    machine.memory.write(FREE_RAM + 0x10000, bytes(0x1000))
    assert machine.batch([Operation(Do.CYCLES, 0, without_queue)])[0].registers[0] == 0


def test_an_operation_that_there_is_not_does_nothing(machine: LiveMachine) -> None:
    results = machine.batch([Operation(len(Do), 0, (FREE_RAM, 1)), Operation(0xFFFFFFFF, 1), load(0, FREE_RAM, 1)])
    assert [result.flags for result in results] == [0, 0, 0]


@pytest.mark.parametrize("wrong", [Operation(Do.LOAD_1, 0, (1 << 64,)), Operation(Do.LOAD_1, 0, (-1,))])
def test_what_no_register_holds(machine: LiveMachine, wrong: Operation) -> None:
    with pytest.raises(LocalError, match="no register holds"):
        machine.batch([wrong])
    assert machine.batch([load(0, FREE_RAM, 1)])


def test_no_more_than_the_ring_has_room_for(machine: LiveMachine) -> None:
    with pytest.raises(LocalError, match="have room"):
        machine.mailbox.post([Operation(Do.NOTHING, 0)] * (AT_ONCE + 1))
    with pytest.raises(LocalError, match="100 bytes of cells"):
        machine.batch([Operation(Do.HCALL, 0, (0xF000, 0), bytes(100))])


def test_where_nothing_is(qemu_10_ppc: QemuBinary) -> None:
    """A machine check is an answer, and the CPU goes on."""
    with LiveMachine(qemu_10_ppc, 2, ic_mode="xive", timeout=20) as made:
        nowhere = [one for cpu in (0, 1) for one in (load(cpu, 0x20000000, 4), store(cpu, 0x20000000, 4, 1))]
        results = made.batch([*nowhere, *nowhere, load(1, FREE_RAM, 8)])
        assert [result.flags for result in results] == [MACHINE_CHECK] * 8 + [0]
        assert all(result.registers[0] == 0 for result in results[::2])


def test_an_interrupt_that_nobody_expects(qemu_7_ppc: QemuBinary) -> None:
    """The guest writes over the agent; the next thing that a waiting CPU does is no instruction."""
    pause = bytes.fromhex("7ffffb78")  # or r31, r31, r31
    at = IMAGE.read_bytes().index(pause)
    with LiveMachine(qemu_7_ppc, 1, timeout=20) as made:
        made.batch([store(0, at, 4, 0)])
        with pytest.raises(QemuError, match=f"CPU 0 took interrupt 0x700 at {at:#x}"):
            for _ in range(200):  # an operation that is there at once is done with no waiting in between
                made.batch([load(0, FREE_RAM, 8)])
                time.sleep(0.02)


def test_a_mailbox_without_anybody() -> None:
    memory = memoryview(bytearray(RING + SLOT * SLOTS))
    asked: list[int] = []
    mailbox = Mailbox(memory, lambda: asked.append(1), timeout=0.05)
    with pytest.raises(QemuError, match=r"the agent does not start: QEMU runs, but its CPUs did nothing for 0.05 s"):
        mailbox.wait_ready()
    assert asked
