"""MSI and MSI-X: numbers by RTAS, messages by DMA, masks. Numbers are typed by hand, as a real QEMU 7.2 gave them."""

import pytest

from outboard.machine.pseries import PseriesMachine
from outboard.machine.pseries.config import Bar, Identity
from outboard.machine.pseries.pci_device import PciDevice
from tests.machine.pseries.rig import (
    BUID,
    MINUS_1,
    MINUS_3,
    QUERY_LISN,
    UNTOUCHED,
    Log,
    address,
    change_msi,
    config,
    level,
    load_le,
    place,
    read,
    rtas,
    signalled,
    store_le,
    write,
)

pytestmark = pytest.mark.alike

NOTHING = (UNTOUCHED,) * 3


class Table(PciDevice):
    """A device with a table of three messages, and no more."""

    def __init__(self):
        super().__init__("table", Identity(0x1234, 0x5678, 0, 0), {}, msix=(3, Bar(0, 4096)))


@pytest.fixture
def machine():
    return PseriesMachine(ic_mode="xics", devices=["edu", Table(), "edu"])


@pytest.fixture
def cpu(machine):
    return machine.cpus[0]


def lisn(cpu, slot, vector, offset=0):
    return rtas(cpu, QUERY_LISN, (address(slot, offset), *BUID, vector), 3)


# Numbers


def test_numbers_of_a_device_with_one_message(cpu):
    assert lisn(cpu, 1, 0) == (MINUS_1, UNTOUCHED, UNTOUCHED)
    assert change_msi(cpu, 1, 1, 0) == (MINUS_1, *NOTHING)
    assert change_msi(cpu, 1, 1, 2) == (0, 1, 8, 1), "how many there would be"
    assert lisn(cpu, 1, 0) == (MINUS_1, UNTOUCHED, UNTOUCHED), "and none was given"
    assert change_msi(cpu, 1, 1, 1) == (0, 1, 8, 1)
    assert lisn(cpu, 1, 0) == (0, 0x1300, 1)
    assert change_msi(cpu, 1, 3, 1) == (0, 1, 8, 1)
    assert lisn(cpu, 1, 0) == (0, 0x1301, 1), "the new one is taken before the old one is freed"
    assert config(cpu, 1)[0x40:0x50] == bytes.fromhex("05008000 00000000 00040000 01130000")
    assert (lisn(cpu, 1, 1), lisn(cpu, 1, 0, 4)) == ((MINUS_1, UNTOUCHED, UNTOUCHED),) * 2
    assert change_msi(cpu, 1, 1, 0) == (0, 0, UNTOUCHED, UNTOUCHED)
    assert config(cpu, 1)[0x40:0x50] == bytes.fromhex("05008000") + bytes(12)


def test_a_driver_that_allows_more_messages_than_there_are(cpu):
    write(cpu, 1, 0x42, 2, 0x20)
    assert change_msi(cpu, 1, 1, 3) == (0, 3, 8, 1), "believed"
    write(cpu, 1, 0x42, 2, 0x71)
    assert read(cpu, 1, 0x42, 2) == 0x81
    assert change_msi(cpu, 1, 1, 3) == (0, 1, 8, 1)


@pytest.mark.parametrize(("slot", "function"), [(1, 4), (1, 0), (1, 2), (2, 3), (9, 1)])
def test_wrong_functions(cpu, slot, function):
    assert change_msi(cpu, slot, function, 1) == (MINUS_3, *NOTHING)


def test_numbers_of_a_table(cpu):
    assert change_msi(cpu, 1, 1, 1)[0] == 0
    assert change_msi(cpu, 2, 1, 1) == (0, 1, 8, 2)
    assert lisn(cpu, 2, 0) == (0, 0x1302, 1), "of a table, even"
    assert change_msi(cpu, 2, 4, 3) == (0, 3, 8, 2)
    assert [lisn(cpu, 2, vector)[1] for vector in range(3)] == [0x1304, 0x1305, 0x1306]
    at = place(cpu, 2, 0)
    assert [load_le(cpu, at + offset, 4) for offset in range(0, 32, 4)] == [0, 0x400, 0x1304, 0, 0, 0x400, 0x1305, 0]
    assert change_msi(cpu, 2, 4, 3, results=3) == (0, 3, 8)
    assert rtas(cpu, 0x2019, (address(2), 0, 0, 1, 1, 1), 4) == (MINUS_3, *NOTHING)


def test_numbers_run_out(cpu):
    for low in range(0xD00):
        assert rtas(cpu, 0x2019, (address(1) | low >> 8 << 24 | low & 0xFF, *BUID, 1, 1, 0), 4)[0] == 0
    assert rtas(cpu, 0x2019, (address(1) | 0xF << 28, *BUID, 1, 1, 0), 4) == (MINUS_1, *NOTHING)


# Messages


def test_a_message_is_a_write_into_the_window(machine, cpu):
    assert change_msi(cpu, 1, 1, 1)[0] == 0
    at = place(cpu, 1, 0)
    write(cpu, 1, 0x42, 2, 1)
    cpu.store(at + 0x60, 4, 1)
    assert signalled(machine, 0x1300)
    assert not level(machine, 0x1201), "its pin"
    cpu.store(at + 0x60, 4, 2)
    assert signalled(machine, 0x1300), "each time"
    write(cpu, 1, 4, 2, 2)
    cpu.store(at + 0x60, 4, 4)
    assert not signalled(machine, 0x1300), "it is no master any more"


def test_a_message_goes_where_the_guest_says(machine, cpu):
    log = Log(machine)
    at = place(cpu, 1, 0)
    write(cpu, 1, 0x42, 2, 1)
    for target, data in ((0, 0x1300), (0x1000, 0x1300), (0x400_0000_1000, 0x1300), (2**64 - 4, 0x1300)):
        write(cpu, 1, 0x44, 4, target & 0xFFFFFFFF)
        write(cpu, 1, 0x48, 4, target >> 32)
        write(cpu, 1, 0x4C, 2, data)
        cpu.store(at + 0x60, 4, 1)
        assert not signalled(machine, 0x1300)
        assert log.take()[-1] == f"Invalid write at addr 0x{target & ~3:X}, size 4, region '(null)', reason: rejected"
    cpu.hcall("H_PUT_TCE", 0x80000000, 0x1000, 0x20003)
    write(cpu, 1, 0x44, 4, 0x1010)
    write(cpu, 1, 0x48, 4, 0)
    cpu.store(at + 0x60, 4, 1)
    assert cpu.memory.read(0x20010, 4) == b"\x00\x13\0\0", "memory that is mapped for devices"


@pytest.mark.parametrize("mode", ["xive", "dual"])
def test_a_message_that_nobody_claimed(mode):
    machine = PseriesMachine(ic_mode=mode, devices=["edu"])
    cpu, log = machine.cpus[0], Log(machine)
    at = place(cpu, 1, 0)
    write(cpu, 1, 0x42, 2, 1)
    write(cpu, 1, 0x48, 4, 0x400)
    for number in (0x1FFF, 0x2000, 0xFFFF):
        write(cpu, 1, 0x4C, 2, number)
        cpu.store(at + 0x60, 4, 1)
        told = log.take()
        taken = mode == "dual" and number == 0x1FFF  # by XICS, which is active
        assert taken or told[-1] == f"a message with LISN {number:#x}, which is not claimed"


def test_masks_of_a_table(machine, cpu):
    device = machine.device(2)
    change_msi(cpu, 2, 4, 3)
    at, control = place(cpu, 2, 0), 0x42
    device.notify_msix(0)
    assert not signalled(machine, 0x1300)
    assert cpu.load(at + 0x800, 8) == 1 << 56, "it is off, so the message is kept back"
    write(cpu, 2, control, 2, 0x8000)
    assert signalled(machine, 0x1300)
    assert cpu.load(at + 0x800, 8) == 0
    write(cpu, 2, control, 2, 0xC000)
    device.notify_msix(2)
    store_le(cpu, at + 2 * 16 + 12, 4, 1)
    write(cpu, 2, control, 2, 0x8000)
    assert not signalled(machine, 0x1302), "masked twice, once is left"
    store_le(cpu, at + 2 * 16 + 12, 4, 0)
    assert signalled(machine, 0x1302)
    for vector in (3, 0xFFFF):
        device.notify_msix(vector)
    assert read(cpu, 2, control, 2) == 0x8002


def test_a_table_takes_words_and_long_words(cpu):
    at = place(cpu, 2, 0)
    cpu.store(at, 8, 0x1122334455667788)
    assert (cpu.load(at, 8), cpu.load(at, 4), cpu.load(at + 4, 4)) == (0x1122334455667788, 0x11223344, 0x55667788)
    assert (cpu.load(at + 1, 1), cpu.load(at, 2), cpu.load(at + 0x30, 4)) == (0, 0, 0)
    cpu.store(at + 0x800, 8, 0xFF)
    assert cpu.load(at + 0x800, 8) == 0, "pending bits are the device's"
    assert cpu.load(at + 12, 4) == 0x01000000, "masked at the start"


# Pins


def test_a_pin(machine, cpu):
    at = place(cpu, 1, 0)
    cpu.store(at + 0x60, 4, 1)
    assert level(machine, 0x1201)
    assert read(cpu, 1, 6, 2) == 0x0018
    write(cpu, 1, 4, 2, 0x406)
    assert not level(machine, 0x1201)
    assert read(cpu, 1, 6, 2) == 0x0018, "the device still wants it"
    write(cpu, 1, 4, 2, 6)
    assert level(machine, 0x1201)
    cpu.store(at + 0x64, 4, 1)
    assert not level(machine, 0x1201)
    assert read(cpu, 1, 6, 2) == 0x0010


def test_devices_share_pins():
    machine = PseriesMachine(ic_mode="xics", devices=[(1, "edu"), (5, "edu"), (6, "edu")])
    cpu = machine.cpus[0]
    one, five, six = (place(cpu, slot, slot << 20) for slot in (1, 5, 6))
    for at in (one, five):
        cpu.store(at + 0x60, 4, 1)
    cpu.store(one + 0x64, 4, 1)
    assert level(machine, 0x1201), "the other one still raises it"
    cpu.store(five + 0x64, 4, 1)
    assert not level(machine, 0x1201)
    cpu.store(six + 0x60, 4, 1)
    assert level(machine, 0x1202)


def test_messages_silence_the_pin(machine, cpu):
    cpu.store(place(cpu, 1, 0) + 0x60, 4, 1)
    write(cpu, 1, 0x42, 2, 1)
    assert not level(machine, 0x1201)
