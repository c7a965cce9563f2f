"""Configuration space by RTAS: bytes as a real QEMU 7.2 has them, what is writable, wrong calls. Numbers are typed."""

import pytest

from outboard.machine.pseries import PseriesMachine
from tests.machine.pseries.rig import (
    BUID,
    MINUS_1,
    READ,
    UNTOUCHED,
    WRITE,
    address,
    config,
    load_le,
    place,
    read,
    rtas,
    write,
)

pytestmark = pytest.mark.alike

EDU = bytes.fromhex(
    "3412e811 00001000 1000ff00 00000000"
    + "00000000" * 7
    + "f41a0011 00000000 40000000 00000000 00010000 05008000"
    + "00000000" * 47
)
EDU_WRITABLE = bytes.fromhex(
    "00000000 07050000 00000000 ff000000 0000f0ff" + "00000000" * 10 + "ff000000 00000100 fcffffff" + "ff" * 184
)


@pytest.fixture
def cpu():
    return PseriesMachine(devices=["edu", (4, "edu")]).cpus[0]


def test_what_a_device_says(cpu):
    assert config(cpu, 1) == EDU
    assert config(cpu, 4) == EDU


def test_what_a_driver_may_write(cpu):
    found = bytearray()
    for at in range(0, 256, 4):
        write(cpu, 1, at, 4, 0xFFFFFFFF)
        ones = read(cpu, 1, at, 4)
        write(cpu, 1, at, 4, 0)
        found += (ones ^ read(cpu, 1, at, 4)).to_bytes(4, "little")
    assert bytes(found) == EDU_WRITABLE
    assert config(cpu, 4) == EDU, "the other device"


def test_sizes(cpu):
    assert [read(cpu, 1, 0, size) for size in (1, 2, 4)] == [0x34, 0x1234, 0x11E81234]
    write(cpu, 1, 0x50, 4, 0x44332211)
    write(cpu, 1, 0x51, 1, 0xAAAAAAAA)
    write(cpu, 1, 0x52, 2, 0xBBBBCCCC)
    assert read(cpu, 1, 0x50, 4) == 0xCCCCAA11


@pytest.mark.parametrize(
    ("where", "size"),
    [
        (address(9), 4),  # nobody is there
        (address(0), 4),
        (address(1, 1), 2),
        (address(1, 2), 4),
        (address(1), 3),
        (address(1), 0),
        (address(1, 0x100), 4),  # behind 256 bytes
        (address(1) | 1 << 16, 4),  # another bus
        (address(1) | 1 << 8, 4),  # another function
    ],
)
def test_no_such_register(cpu, where, size):
    assert rtas(cpu, READ, (where, *BUID, size), 2) == (MINUS_1, UNTOUCHED)
    assert rtas(cpu, WRITE, (where, *BUID, size, 0), 1) == (MINUS_1,)


def test_wrong_calls(cpu):
    assert rtas(cpu, READ, (address(1), *BUID), 2) == (MINUS_1, UNTOUCHED)
    assert rtas(cpu, READ, (address(1), *BUID, 4), 1) == (MINUS_1,)
    assert rtas(cpu, READ, (address(1), 0x08000000, 0x20000001, 4), 2) == (MINUS_1, UNTOUCHED)
    assert rtas(cpu, WRITE, (address(1), *BUID, 4), 1) == (MINUS_1,)
    assert rtas(cpu, 0x2014, (address(1), 4), 2) == (MINUS_1, UNTOUCHED), "no bridge has BUID 0"
    assert rtas(cpu, 0x2015, (address(1), 4, 0), 1) == (MINUS_1,)
    assert rtas(cpu, 0x2014, (address(1),), 2) == (MINUS_1, UNTOUCHED)


# Base addresses

ID = 0x010000ED


def test_a_base_address_is_sized_and_placed(cpu):
    write(cpu, 1, 0x10, 4, 0xFFFFFFFF)
    assert read(cpu, 1, 0x10, 4) == 0xFFF00000
    at = place(cpu, 1, 0x700000)
    assert cpu.load(at, 4) == ID
    write(cpu, 1, 4, 2, 4)
    assert cpu.load(at, 4) == 0, "memory is off"
    write(cpu, 1, 4, 2, 6)
    assert cpu.load(at, 4) == ID
    assert cpu.load(place(cpu, 1, 0x900000), 4) == ID
    assert cpu.load(at, 4) == 0, "it has moved"


def test_a_base_address_outside_of_the_window_is_nowhere(cpu):
    at = place(cpu, 1, 0)
    assert cpu.load(at, 4) == ID
    write(cpu, 1, 0x10, 4, 0x70000000)
    assert cpu.load(at, 4) == 0
    write(cpu, 1, 0x10, 4, 0xFFF00000)
    assert cpu.load(0x2000_8000_0000 + 0x7FF00000, 4) == 0, "its last byte would be the last of all"


def test_of_places_that_overlap_the_last_moved_wins(cpu):
    at = place(cpu, 1, 0x100000)
    assert place(cpu, 4, 0x100000) == at
    cpu.store(at + 4, 4, 1)
    write(cpu, 1, 0x10, 4, 0x80100000)  # where it is: no move
    cpu.store(at + 4, 4, 2)
    moved = place(cpu, 4, 0x500000)
    assert cpu.load(moved + 4, 4) == 0xFFFFFFFD
    assert cpu.load(at + 4, 4) == 0


def test_windows_without_a_device(cpu):
    for addr in (0x2000_0000_0000, 0x2000_8000_0000, 0x2000_FFFF_FFF8, 0x2100_0000_0000, 0x21FF_FFFF_FFF8):
        cpu.store(addr, 8, 0xFFFF)
        assert cpu.load(addr, 8) == 0
    assert load_le(cpu, 0x2000_8000_0001, 4) == 0


def test_sizes_that_a_device_does_not_take(cpu):
    at = place(cpu, 1, 0x100000)
    assert cpu.load(at, 8) == 0xFFFF_FFFF_FFFF_FFFF
    assert (cpu.load(at, 2), cpu.load(at + 1, 1)) == (0, 0)
    assert cpu.load(at + 2, 4) == 0x00ED0000, "two aligned loads, merged"
    cpu.store(at + 6, 4, 0xFFFFFFFF)
    assert cpu.load(at + 4, 4) == 0, "bytes, which it does not take"
