"""Events of the platform: logs as a real QEMU 7.2 wrote them, with their dates; who is interrupted; order."""

import pytest

from outboard.errors import LocalError
from outboard.machine.pseries import PseriesMachine
from outboard.spec.event_log import HotplugAction, HotplugType
from tests.machine.pseries.rig import (
    CHECK_EXCEPTION,
    EVENT_SCAN,
    MINUS_3,
    Log,
    negotiate,
    rtas,
    signalled,
)

pytestmark = pytest.mark.alike

EPOW_LISN, HOTPLUG_LISN = 0x1000, 0x1001
EPOW, HOTPLUG = 0x40000000, 0x10000000
BUFFER = 0x8000
POWER_DOWN = bytes.fromhex(
    "06340040 0000006c 86008e00 00000000 00000000 49424d00"
    "50480030 00000000 20261123 08434200 00000000 00000000 48000003 00000000 00000000 00000000 00000000 00000000"
    "55480018 00000000 a00000d0 00000000 00000000 00000000"
    "45500014 02000000 03010100 00000000 00000000"
)
EDU_PLUGGED = bytes.fromhex(
    "063460e5 0000006c 86008e00 00000000 00000000 49424d00"
    "50480030 00000000 20261123 08530500 00000000 00000000 48000003 00000000 00000000 00000000 00000000 00000000"
    "55480018 00000000 80000000 00000000 00000000 00000000"
    "48500014 01000000 05010200 40000000 00000000"
)


def make(time=0x08434200, **options):
    return PseriesMachine(ic_mode="xics", now=lambda: (0x20261123, time), **options)


def fetch(cpu, mask, length=2048, arguments=6):
    return rtas(cpu, CHECK_EXCEPTION, (0x500, 0, mask, 0, BUFFER, length, 0)[:arguments])


def test_power_goes():
    machine = make()
    cpu = machine.cpus[0]
    machine.platform_events.power_down()
    assert signalled(machine, EPOW_LISN)
    assert fetch(cpu, HOTPLUG) == (1,)
    assert fetch(cpu, EPOW, length=20) == (0,)
    assert cpu.memory.read(BUFFER, 128) == POWER_DOWN + bytes(12), "all of it, whatever the length"
    assert fetch(cpu, 0xFFFFFFFF) == (1,)
    machine.platform_events.power_down()
    assert fetch(cpu, 0xFFFFFFFF, arguments=7) == (0,)
    assert cpu.memory.read(BUFFER + 64, 4) == b"\0\0\0\1", "the log's number"


def test_something_is_plugged():
    machine = make(0x08530500)
    cpu = machine.cpus[0]
    machine.platform_events.hotplug(HotplugType.PCI, HotplugAction.ADD, 0x40000000)
    assert signalled(machine, EPOW_LISN) and not signalled(machine, HOTPLUG_LISN)
    assert (fetch(cpu, HOTPLUG), fetch(cpu, EPOW)) == ((1,), (0,))
    assert cpu.memory.read(BUFFER, 116) == EDU_PLUGGED


def test_a_guest_that_negotiated_a_source_for_it():
    machine = make()
    cpu = machine.cpus[0]
    assert negotiate(cpu, xive=False) == 0
    machine.cas.agreed = machine.cas.agreed._replace(negotiated=bytes(5) + b"\4")
    machine.platform_events.hotplug(HotplugType.CPU, HotplugAction.REMOVE, 0x10000001)
    assert signalled(machine, HOTPLUG_LISN) and not signalled(machine, EPOW_LISN)
    assert (fetch(cpu, EPOW), fetch(cpu, HOTPLUG)) == ((1,), (0,))
    assert cpu.memory.read(BUFFER + 96, 20).hex(" ", 4) == "48500014 01000000 01020200 10000001 00000000"


def test_who_is_left_is_reminded_of():
    machine = make()
    cpu = machine.cpus[0]
    machine.platform_events.power_down()
    machine.platform_events.hotplug(HotplugType.PCI, HotplugAction.ADD, 1)
    assert signalled(machine, EPOW_LISN)
    assert rtas(cpu, EVENT_SCAN, (0xFFFFFFFF, 0, BUFFER, 0)) == (1,)
    assert signalled(machine, EPOW_LISN)
    assert fetch(cpu, EPOW) == (0,)
    assert cpu.memory.read(BUFFER + 3, 1) == b"\x40", "in order"
    assert signalled(machine, EPOW_LISN)
    assert fetch(cpu, EPOW) == (0,)
    assert not signalled(machine, EPOW_LISN)


@pytest.mark.parametrize(
    ("token", "count", "results"), [(CHECK_EXCEPTION, 5, 1), (CHECK_EXCEPTION, 8, 1), (EVENT_SCAN, 3, 1)]
)
def test_wrong_calls(token, count, results):
    cpu = make().cpus[0]
    assert rtas(cpu, token, (0xFFFFFFFF,) * count, results) == (MINUS_3,)
    assert rtas(cpu, token, (0xFFFFFFFF,) * (4 if token == EVENT_SCAN else 6), 2)[0] == MINUS_3


def test_a_buffer_where_no_memory_is():
    machine = make(ram_size=16 << 20)
    cpu, log = machine.cpus[0], Log(machine)
    machine.platform_events.power_down()
    assert rtas(cpu, CHECK_EXCEPTION, (0, 0, EPOW, 0, (16 << 20) - 8, 2048)) == (0,)
    assert "Invalid write at addr 0xFFFFF8, size 116, region '(null)', reason: rejected" in log.take()
    machine.platform_events.power_down()
    machine.reset()
    assert fetch(cpu, EPOW) == (1,)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (("a", 1, 5), r"HotplugType is one of CPU \(1\), .* not 'a'"),
        ((99, 1, 5), "HotplugType is one of .* not 99"),
        ((1.0, 1, 5), "HotplugType is one of .* not 1.0"),
        ((None, 1, 5), "HotplugType is one of"),
        (([], 1, 5), "HotplugType is one of"),
        ((1, 3, 5), r"HotplugAction is one of ADD \(1\), REMOVE \(2\), not 3"),
        ((1, 1, "x"), "the index of a connector is a whole number from 0 to 4294967295, not 'x'"),
        ((1, 1, -1), "the index of a connector"),
        ((1, 1, 1 << 32), "the index of a connector"),
    ],
)
def test_what_is_no_hotplug_is_refused(event, words):
    machine = PseriesMachine(ic_mode="xics")
    before = machine.snapshot()
    with pytest.raises(LocalError, match=words):
        machine.platform_events.hotplug(*event)
    assert machine.snapshot() == before
