"""CPUs: what they load and store, which hypercalls there are, how they start and stop each other."""

import pytest

from outboard.errors import LocalError
from outboard.machine.pseries import PseriesMachine
from tests.machine.pseries.rig import (
    MINUS_1,
    MINUS_3,
    QUERY_CPU,
    START_CPU,
    STOP_SELF,
    UNTOUCHED,
    Log,
    negotiate,
    rtas,
)

SMALL = 16 << 20


@pytest.fixture
def machine():
    return PseriesMachine(cpus=3, vsmt=8, ram_size=SMALL)


def test_ids(machine):
    assert [(cpu.index, cpu.vcpu_id) for cpu in machine.cpus] == [(0, 0), (1, 8), (2, 16)]


def test_one_cpu_starts_another(machine):
    first = machine.cpus[0]
    assert [machine.is_stopped(index) for index in range(3)] == [False, True, True]
    assert rtas(first, QUERY_CPU, (8,), 2) == (0, 0)
    assert rtas(first, START_CPU, (8, 0x100000, 5)) == (0,)
    assert rtas(first, QUERY_CPU, (8,), 2) == (0, 2)
    assert machine.take_starts() == ((1, 0x100000, 5),)
    assert machine.take_starts() == ()
    assert rtas(first, START_CPU, (8, 0x100000, 5)) == (MINUS_1,), "it runs"
    second = machine.cpus[1]
    assert rtas(second, QUERY_CPU, (0,), 2) == (0, 2)
    second.memory.write(0x5000, (STOP_SELF).to_bytes(4, "big") + bytes(8))
    assert second.hcall("H_RTAS", 0x5000) == (0,)
    assert machine.is_stopped(1)
    with pytest.raises(LocalError, match="CPU 1 does nothing: it is stopped"):
        second.load(0, 4)


@pytest.mark.parametrize(("token", "results"), [(START_CPU, 1), (QUERY_CPU, 2)])
def test_wrong_calls(machine, token, results):
    cpu = machine.cpus[0]
    rest = (UNTOUCHED,) * (results - 1)
    count = {START_CPU: 3, QUERY_CPU: 1}[token]
    for arguments in ((1,) * count, (4,) * count, (0xFFFFFFFF,) * count, (0,) * (count + 1), ()):
        assert rtas(cpu, token, arguments, results) == (MINUS_3, *rest)
    assert rtas(cpu, token, (0,) * count, results + 1) == (MINUS_3, *rest, UNTOUCHED)
    assert rtas(cpu, START_CPU, (0, 0, 0)) == (MINUS_1,)


def test_calls_that_there_are_not(machine):
    cpu, log = machine.cpus[0], Log(machine)
    assert cpu.hcall(0xFFFC) == (-2,)
    assert cpu.hcall(0) == (-2,)
    assert log.take() == [
        "Unimplemented SPAPR hcall 0x000000000000fffc",
        "Unimplemented SPAPR hcall 0x0000000000000000",
    ]
    cpu.memory.write(0x5000, (0x2999).to_bytes(4, "big") + bytes(4) + (1).to_bytes(4, "big") + b"\xee" * 4)
    assert cpu.hcall("H_RTAS", 0x5000) == (-4,)
    assert cpu.memory.read(0x500C, 4) == b"\xff\xff\xff\xfd"
    cpu.problem_state = True
    assert cpu.hcall("H_RTAS", 0x5000) == cpu.hcall(0xFFFC) == cpu.hcall("H_INT_RESET", 0) == (-3,)


@pytest.mark.parametrize(("mode", "xive", "xics"), [("xics", -2, 0), ("xive", -2, -2), ("dual", -2, 0)])
def test_calls_of_controllers(mode, xive, xics):
    cpu = PseriesMachine(ic_mode=mode).cpus[0]
    assert cpu.hcall("H_INT_GET_SOURCE_INFO", 0, 0)[0] == xive, "nothing was negotiated"
    assert cpu.hcall("H_XIRR")[0] == xics


def test_negotiation_and_the_pages_that_come(machine):
    cpu = machine.cpus[0]
    before = machine.device_tree()
    assert negotiate(cpu) == 0
    assert cpu.hcall("H_INT_GET_SOURCE_INFO", 0, 0x1000)[0] == 0
    assert machine.device_tree() is not before
    assert machine.device_tree().find("interrupt-controller@60302031b0000")
    assert cpu.hcall("H_XIRR") == (-1,)
    assert negotiate(cpu, xive=False) == 0
    assert machine.device_tree().find("interrupt-controller")


def test_only_one_cpu_negotiates(machine):
    cpu = machine.cpus[0]
    assert rtas(cpu, START_CPU, (8, 0, 0)) == (0,)
    assert negotiate(cpu) == -9005


def test_a_negotiation_that_ends_the_machine():
    machine = PseriesMachine(ic_mode="xive")
    cpu = machine.cpus[0]
    assert negotiate(cpu, xive=False) == -1
    assert machine.ended.message.startswith("Guest requested unavailable interrupt mode (XICS)")
    for operation in (lambda: cpu.load(0, 1), lambda: cpu.store(0, 1, 1), lambda: cpu.hcall(0)):
        with pytest.raises(LocalError, match="the machine has ended: Guest requested unavailable"):
            operation()
    machine.start_cpu(0, 0, 0)
    assert machine.is_stopped(0), "nobody starts a machine that has ended but by a reset"
    assert machine.snapshot().ended is machine.ended
    machine.reset()
    assert negotiate(cpu) == 0


# Loads and stores


@pytest.mark.parametrize("mode", ["xics", "dual"])
def test_memory(mode):
    machine = PseriesMachine(ic_mode=mode, ram_size=SMALL)
    cpu, log = machine.cpus[0], Log(machine)
    cpu.store(0x1000, 8, 0x1122334455667788)
    assert cpu.memory.read(0x1000, 8) == bytes.fromhex("1122334455667788")
    assert [cpu.load(0x1003, size) for size in (1, 2, 4, 8)] == [0x44, 0x4455, 0x44556677, 0x4455667788000000]
    assert not log.take()
    cpu.store(SMALL, 4, 1)
    assert cpu.load(SMALL, 4) == 0
    assert log.take() == [
        "Invalid write at addr 0x1000000, size 4, region '(null)', reason: rejected",
        "Invalid read at addr 0x1000000, size 4, region '(null)', reason: rejected",
    ]
    cpu.store(SMALL - 2, 4, 0xAABBCCDD)
    assert cpu.load(SMALL - 2, 2) == 0xAABB
    assert cpu.load(SMALL - 2, 4) == 0xAABB0000
    assert cpu.load(2**64 - 8, 8) == 0


@pytest.mark.parametrize(
    "wrong",
    [(0, 3), (0, 16), (-1, 4), (2**64, 4), (0, True + 2), ("0", 4), (0, 0), (0, 4.0), (0, 2**40 + 4), (2**80, 8)],
)
def test_what_no_cpu_can_do(machine, wrong):
    cpu = machine.cpus[0]
    with pytest.raises(LocalError):
        cpu.load(*wrong)
    with pytest.raises(LocalError):
        cpu.store(*wrong, 0)


def test_what_no_register_holds(machine):
    cpu = machine.cpus[0]
    for wrong in ((0, 1, 256), (0, 4, -1), (0, 8, 2**64)):
        with pytest.raises(LocalError, match="does not fit"):
            cpu.store(*wrong)
    for call in ((0x3A8, -1), (2**64,), (0x3A8, 0, 2**64)):
        with pytest.raises(LocalError):
            cpu.hcall(*call)
    with pytest.raises(LocalError, match="no hypercall 'H_JOIN'; there are H_INT_GET_SOURCE_INFO, "):
        cpu.hcall("H_JOIN")
