"""The virtio transport in front of a device that only notes: layout as a real QEMU 7.2 has it, typed by hand."""

import pytest

from outboard.machine.pseries import PseriesMachine
from outboard.machine.pseries.virtio_pci import Interrupts, VirtioPci
from tests.machine.pseries.rig import (
    Log,
    change_msi,
    config,
    level,
    load_le,
    place,
    read,
    signalled,
    store_le,
    write,
)

pytestmark = pytest.mark.alike

CONFIG = bytes.fromhex(
    "f41a5010 00001000 01008003 00000000" + "00000000" * 4 + "0c000000" + "00000000" * 2 + "f41a0011"
    "00000000 98000000 00000000 00010000"
    "09001001 04000000 00000000 00100000"
    "09401003 04000000 00100000 00100000"
    "09501004 04000000 00200000 00100000"
    "09601402 04000000 00300000 00100000 04000000"
    "09701405 00000000 00000000 00000000 00000000"
    "11840200 01000000 01080000" + "00000000" * 23
)
VERSION_1 = 1 << 32
FEATURES = VERSION_1 | 0x30000002
NONE = 0xFFFF


class Note:
    """A device that notes what it is asked for."""

    failure = ""
    features = FEATURES

    def __init__(self):
        self.calls = []
        self.told = Interrupts()
        self.config = bytearray(range(16))

    def start(self, features, queues):
        self.calls.append(("start", features, [(queue.size, queue.enabled, queue.desc) for queue in queues]))

    def stop(self):
        self.calls.append("stop")

    def reset(self):
        self.calls.append("reset")

    def notify(self, queue):
        self.calls.append(queue)
        self.told = Interrupts((queue,))

    def read_config(self):
        return bytes(self.config)

    def write_config(self, offset, data):
        self.config[offset : offset + len(data)] = data

    def interrupts(self):
        told, self.told = self.told, Interrupts()
        return told


class Rig:
    def __init__(self):
        self.note = Note()
        device = VirtioPci("note", 16, 0x0380, self.note, (64, 16))
        self.machine = PseriesMachine(ic_mode="xics", devices=[device])
        self.cpu = self.machine.cpus[0]
        self.table = place(self.cpu, 1, 0, register=0x14)
        self.at = place(self.cpu, 1, 0x100000, register=0x20)

    def get(self, offset, size):
        return load_le(self.cpu, self.at + offset, size)

    def set(self, offset, size, value):
        store_le(self.cpu, self.at + offset, size, value)

    def calls(self):
        calls, self.note.calls = self.note.calls, []
        return calls

    def accept(self, features=FEATURES):
        for status in (0, 1, 3):
            self.set(20, 1, status)
        for word in range(2):
            self.set(8, 4, word)
            self.set(12, 4, features >> 32 * word & 0xFFFFFFFF)
        self.set(20, 1, 11)
        return self.get(20, 1)

    def run(self):
        assert self.accept() == 11
        for queue in range(2):
            self.set(22, 2, queue)
            self.set(32, 4, 0x10000 * queue)
            self.set(28, 2, 1)
        self.set(20, 1, 15)


@pytest.fixture
def rig():
    return Rig()


def test_configuration_space():
    rig = Rig()
    rig.machine.reset()
    assert config(rig.cpu, 1) == CONFIG


def test_features(rig):
    assert [(rig.set(0, 4, word), rig.get(4, 4))[1] for word in (0, 1, 2)] == [0x30000002, 1, 0]
    assert rig.accept() == 11
    assert rig.accept(VERSION_1) == 11
    assert rig.accept(0x30000002) == 3, "no VERSION_1"
    assert rig.accept(FEATURES | 4) == 3, "not offered"
    rig.set(8, 4, 0)
    assert rig.get(12, 4) == 0x30000006
    rig.set(8, 4, 7)
    rig.set(12, 4, 1)
    assert rig.get(12, 4) == 0


def test_vectors(rig):
    rig.set(16, 2, 1)
    assert rig.get(16, 2) == 1
    for wrong in (3, 0x7FFF):
        rig.set(16, 2, wrong)
        assert rig.get(16, 2) == NONE
    rig.set(26, 2, 2)
    assert rig.get(26, 2) == 2
    rig.set(26, 2, 9)
    assert rig.get(26, 2) == NONE


def test_queues(rig):
    assert rig.get(18, 2) == 2
    assert (rig.get(24, 2), rig.get(30, 2)) == (64, 0)
    rig.set(22, 2, 1)
    assert (rig.get(24, 2), rig.get(30, 2)) == (16, 1)
    rig.set(22, 2, 2)
    assert (rig.get(22, 2), rig.get(24, 2)) == (2, 0)
    assert (rig.get(26, 2), rig.get(28, 2), rig.get(30, 2)) == (NONE, 0, 2), "one that there is not"
    for register, value in ((24, 16), (26, 1), (28, 1)):
        rig.set(register, 2, value)
    assert (rig.get(24, 2), rig.get(26, 2), rig.get(28, 2)) == (0, 1, 1)
    rig.set(22, 2, 5000)
    assert rig.get(22, 2) == 2
    rig.set(22, 2, 0)
    for size, kept in ((32, 32), (33, 33), (0, 33), (2048, 33)):
        rig.set(24, 2, size)
        assert rig.get(24, 2) == kept
    rig.set(32, 4, 0x10000)
    rig.set(36, 4, 1)
    assert (rig.get(32, 4), rig.get(36, 4), rig.get(32, 8)) == (0x10000, 1, 0x100010000)
    rig.set(40, 8, 0x1234567800)
    assert rig.get(40, 8) == 0x1234567800
    rig.set(28, 2, 1)
    rig.set(28, 2, 0)
    assert rig.get(28, 2) == 1
    rig.set(20, 1, 0)
    assert (rig.get(24, 2), rig.get(32, 8), rig.get(28, 2)) == (64, 0, 0)


def test_accesses_off_a_field_find_nothing(rig):
    assert [rig.get(at, 1) for at in (16, 17, 18, 19)] == [0xFF, 0, 2, 0]
    assert rig.get(16, 4) == NONE
    rig.set(20, 4, 1)
    assert rig.get(20, 1) == 1


def test_a_device_starts_and_stops(rig):
    rig.run()
    assert rig.calls() == ["reset", ("start", FEATURES, [(64, True, 0), (16, True, 0x10000)])]
    rig.set(20, 1, 15)
    assert rig.calls() == []
    write(rig.cpu, 1, 4, 2, 2)
    assert (rig.calls(), rig.get(20, 1)) == (["stop"], 11)
    write(rig.cpu, 1, 4, 2, 6)
    rig.set(20, 1, 15)
    assert rig.calls()[0][0] == "start"
    rig.set(20, 1, 11)
    assert rig.calls() == ["stop"]


def test_notifications(rig):
    rig.set(0x3000, 2, 0)
    rig.run()
    rig.calls()
    rig.set(0x3000, 2, 0)
    rig.set(0x3004, 4, 77)
    rig.set(0x3008, 2, 2)
    rig.set(0x3FFC, 2, 0)
    assert rig.calls() == [0, 1]
    assert rig.get(0x3000, 4) == 0


def test_an_interrupt_by_pin(rig):
    rig.run()
    rig.set(0x3000, 2, 0)
    assert level(rig.machine, 0x1201)
    assert rig.get(0x1000, 1) == 1
    assert not level(rig.machine, 0x1201)
    assert rig.get(0x1000, 1) == 0, "it was read"
    rig.note.told = Interrupts(config=True)
    assert rig.machine.poll()
    assert (rig.get(0x1000, 1), rig.get(21, 1)) == (3, 1)
    assert not rig.machine.poll()


def test_what_is_told_before_the_device_runs_interrupts_nobody(rig):
    """A back-end signals queues as it is given their eventfds; what is told while it is stopped counts still."""
    rig.note.told = Interrupts((0,))
    assert not rig.machine.poll()
    assert not level(rig.machine, 0x1201) and rig.get(0x1000, 1) == 0
    rig.run()
    rig.note.told = Interrupts((1,))
    rig.set(20, 1, 11)
    assert level(rig.machine, 0x1201) and rig.get(0x1000, 1) == 1


def test_interrupts_by_message(rig):
    change_msi(rig.cpu, 1, 4, 3)
    write(rig.cpu, 1, 0x9A, 2, 0x8000)
    rig.run()
    rig.set(22, 2, 1)
    rig.set(26, 2, 2)
    rig.set(16, 2, 0)
    rig.set(0x3000, 2, 0)
    assert not any(signalled(rig.machine, lisn) for lisn in (0x1300, 0x1301, 0x1302)), "queue 0 has no vector"
    rig.set(0x3004, 2, 1)
    assert signalled(rig.machine, 0x1302)
    rig.note.told = Interrupts(config=True)
    rig.machine.poll()
    assert signalled(rig.machine, 0x1300)
    assert not level(rig.machine, 0x1201)


def test_the_configuration_of_the_device(rig):
    assert [rig.get(0x2000 + at, 4) for at in (0, 12, 16)] == [0x03020100, 0x0F0E0D0C, 0xFFFFFFFF]
    assert rig.get(0x2000, 8) == 0x0706050403020100
    rig.set(0x2004, 4, 0xAABBCCDD)
    rig.set(0x2010, 4, 1)
    assert rig.get(0x2005, 1) == 0xCC


def test_a_failure_asks_for_a_reset(rig):
    rig.run()
    rig.note.failure = "it broke"
    rig.machine.poll()
    assert (rig.get(20, 1), rig.get(0x1000, 1)) == (15 | 64, 3)
    rig.set(20, 1, 15)
    assert rig.get(20, 1) == 15 | 64, "a driver does not take it away"
    rig.note.failure = ""
    rig.set(20, 1, 0)
    assert rig.get(20, 1) == 0


def test_the_window_in_configuration_space(rig):
    def show(offset, length):
        write(rig.cpu, 1, 0x8C, 4, offset)
        write(rig.cpu, 1, 0x90, 4, length)
        return read(rig.cpu, 1, 0x94, 4)

    assert show(18, 2) == 2
    assert show(0x2004, 4) == 0x07060504
    write(rig.cpu, 1, 0x94, 4, 0x11223344)
    assert rig.get(0x2004, 4) == 0x11223344
    kept = read(rig.cpu, 1, 0x94, 4)
    for offset, length in ((0, 3), (0, 0), (0x4000, 4), (0xFFFFFFFF, 4), (0xFFE, 4)):
        assert show(offset, length) == kept


def test_outside_of_the_structures(rig):
    log = Log(rig.machine)
    assert load_le(rig.cpu, rig.table + 0x40, 4) == 0
    assert log.take() == ["Invalid read at addr 0x200080000040, size 4, region '(null)', reason: rejected"]
