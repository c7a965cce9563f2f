"""What devices reach of memory, the calls that map it, and edu, which copies. Numbers are typed by hand."""

import pytest

from outboard.machine.pseries import PseriesMachine
from tests.machine.pseries.rig import Log, level, place, read, write

pytestmark = pytest.mark.alike

LIOBN, PARAMETER = 0x80000000, -4


@pytest.fixture
def machine():
    return PseriesMachine(ic_mode="xics", devices=["edu"])


@pytest.fixture
def cpu(machine):
    return machine.cpus[0]


def test_one_entry(cpu):
    assert cpu.hcall("H_GET_TCE", LIOBN, 0x1000) == (0, 0)
    assert cpu.hcall(0x20, LIOBN, 0x1FFF, 0x20003) == (0,)
    assert cpu.hcall(0x1C, LIOBN, 0x1000) == (0, 0x20003)
    assert cpu.hcall("H_GET_TCE", LIOBN, 0x2000) == (0, 0)
    assert cpu.hcall("H_PUT_TCE", LIOBN, 0x3FFFF000, 1) == (0,)


@pytest.mark.parametrize("liobn", [0, LIOBN + 1, LIOBN | 1 << 32, 2**64 - 1])
def test_a_table_that_there_is_not(cpu, liobn):
    for call in ("H_GET_TCE", "H_PUT_TCE", "H_STUFF_TCE", "H_PUT_TCE_INDIRECT"):
        assert cpu.hcall(call, liobn, 0, 0, 0) == (PARAMETER,)


def test_the_table_ends(machine, cpu):
    log = Log(machine)
    assert cpu.hcall("H_PUT_TCE", LIOBN, 0x40000000, 1) == (PARAMETER,)
    assert cpu.hcall("H_GET_TCE", LIOBN, 2**64 - 1) == (PARAMETER,)
    assert log.take() == [
        "put_tce_emu: spapr_vio_put_tce on out-of-bounds IOBA 0x0000000040000000",
        "get_tce_emu: spapr_iommu_get_tce on out-of-bounds IOBA 0xfffffffffffff000",
    ]
    assert cpu.hcall("H_STUFF_TCE", LIOBN, 0x3FFFF000, 0x7003, 2) == (PARAMETER,)
    assert cpu.hcall("H_GET_TCE", LIOBN, 0x3FFFF000) == (0, 0x7003), "what is in front of the end is done"
    assert cpu.hcall("H_STUFF_TCE", LIOBN, 0, 0, 2**64 - 1) == (PARAMETER,)


def test_many_entries(cpu):
    assert cpu.hcall("H_STUFF_TCE", LIOBN, 0x2000, 0x30003, 2) == (0,)
    assert [cpu.hcall("H_GET_TCE", LIOBN, at)[1] for at in (0x2000, 0x3000, 0x4000)] == [0x30003, 0x30003, 0]
    cpu.memory.write(0x7000, b"".join(value.to_bytes(8, "big") for value in (0x11003, 0x12003, 0x13003)))
    assert cpu.hcall("H_PUT_TCE_INDIRECT", LIOBN, 0x5000, 0x7000, 2) == (0,)
    assert [cpu.hcall("H_GET_TCE", LIOBN, at)[1] for at in (0x5000, 0x6000, 0x7000)] == [0x11003, 0x12003, 0]
    assert cpu.hcall("H_PUT_TCE_INDIRECT", LIOBN, 0x5000, 0x7008, 2) == (PARAMETER,)
    assert cpu.hcall("H_PUT_TCE_INDIRECT", LIOBN, 0x5000, 0x7000, 513) == (PARAMETER,)


# edu

SOURCE, DESTINATION, COUNT, COMMAND, STATUS = 0x80, 0x88, 0x90, 0x98, 0x24


def copy(cpu, at, source, destination, count, command):
    for register, value in ((SOURCE, source), (DESTINATION, destination), (COUNT, count), (COMMAND, command)):
        cpu.store(at + register, 8, value)


def test_a_device_copies_as_far_as_memory_is_mapped(machine, cpu):
    at = place(cpu, 1, 0)
    cpu.memory.write(0x20FF0, bytes(range(32)))
    cpu.hcall("H_PUT_TCE", LIOBN, 0x1000, 0x20001)
    cpu.hcall("H_PUT_TCE", LIOBN, 0x2000, 0x21002)
    copy(cpu, at, 0x1FF0, 0x40000, 32, 1)
    assert cpu.load(at + COMMAND, 8) == 0
    cpu.hcall("H_PUT_TCE", LIOBN, 0x5000, 0x30002)
    copy(cpu, at, 0x40000, 0x5000, 32, 7)
    assert cpu.memory.read(0x30000, 32) == bytes(range(16)) + bytes(16), "the second page may be written only"
    assert (cpu.load(at + COMMAND, 8), cpu.load(at + STATUS, 4)) == (6, 0x100)
    assert level(machine, 0x1201)
    cpu.store(at + 0x64, 4, 0x100)
    copy(cpu, at, 0x40000, 0x1000, 16, 3)
    assert cpu.memory.read(0x20000, 16) == bytes(16), "a page that may be read only"


def test_a_device_that_is_no_master(cpu):
    at = place(cpu, 1, 0, command=2)
    cpu.memory.write(0x20000, b"\1" * 8)
    cpu.hcall("H_PUT_TCE", LIOBN, 0x1000, 0x20003)
    copy(cpu, at, 0x1000, 0x40000, 8, 1)
    copy(cpu, at, 0x40100, 0x1000, 8, 3)
    assert cpu.memory.read(0x20000, 8) == b"\1" * 8
    write(cpu, 1, 4, 2, 6)
    copy(cpu, at, 0x40000, 0x1000, 8, 3)
    assert cpu.memory.read(0x20000, 8) == bytes(8)


@pytest.mark.parametrize(
    ("source", "destination", "count"),
    [(0, 0x3FFFF, 1), (0, 0x40FFF, 2), (0, 0, 0x1000), (0, 2**64 - 1, 2), (0, 0x40000, 2**64 - 1)],
)
def test_a_copy_that_leaves_the_buffer(machine, cpu, source, destination, count):
    log, at = Log(machine), place(cpu, 1, 0)
    copy(cpu, at, source, destination, count, 1)
    assert f"EDU: DMA of 0x{destination:x}, {count} bytes, is out of bounds" in log.take()
    assert cpu.load(at + COMMAND, 8) == 0


def test_addresses_are_clamped(machine, cpu):
    log, at = Log(machine), place(cpu, 1, 0)
    copy(cpu, at, 0xF_0000_1000, 0x40000, 4, 1)
    assert log.take()[0] == "EDU: clamping DMA 0x0000000f00001000 to 0x0000000000001000!"


def test_registers_of_edu(machine, cpu):
    at = place(cpu, 1, 0)
    cpu.store(at + 4, 4, 0x12345678)
    assert cpu.load(at + 4, 4) == 0xEDCBA987
    for number, expected in ((0, 1), (1, 1), (5, 120), (12, 479001600), (13, 1932053504), (33, 0x80000000), (34, 0)):
        cpu.store(at + 8, 4, number)
        assert cpu.load(at + 8, 4) == expected
    cpu.store(at + 8, 4, 0xFFFFFFFF)
    assert (cpu.load(at + 8, 4), cpu.load(at + 0x20, 4)) == (0, 0)
    cpu.store(at + 0x20, 4, 0xFFFFFFFF)
    assert cpu.load(at + 0x20, 4) == 0x80
    cpu.store(at + 8, 4, 3)
    assert cpu.load(at + STATUS, 4) == 1 and level(machine, 0x1201)
    cpu.store(at + 0x64, 4, 0xFFFFFFFF)
    assert cpu.load(at + STATUS, 4) == 0 and not level(machine, 0x1201)
    assert (cpu.load(at + 0x10, 4), cpu.load(at + 0x84, 4)) == (0xFFFFFFFF, 0xFFFFFFFF), "there is nothing"
    cpu.store(at + 0x80, 8, 0x1122334455667788)
    assert (cpu.load(at + 0x80, 8), cpu.load(at + 0x80, 4)) == (0x1122334455667788, 0x55667788)
    cpu.store(at + 0x80, 4, 0x99AABBCC)
    assert cpu.load(at + 0x80, 8) == 0x99AABBCC
    assert read(cpu, 1, 6, 2) == 0x0010
