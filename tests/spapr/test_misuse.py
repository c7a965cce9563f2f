"""What our own caller does wrong is a LocalError that says what is wrong, and changes nothing."""

import pytest

from outboard.errors import LocalError
from outboard.guest.memory import GuestMemory
from outboard.guest.ram import ram
from outboard.spapr import SpaprXive

BIG = (1 << 64, 1 << 100)


@pytest.fixture
def xive():
    """CPUs 0 and 2 of four; LISN 5 is claimed, and so are the usual ones."""
    machine = SpaprXive(2, max_cpus=4, vsmt=8)
    machine.plug(2)
    machine.unplug(1)
    machine.free(7)
    machine.cpu(0).set_cppr(0xFF)
    return machine


def refused(xive, says, action, *arguments, tells=(), **named):
    before, told = xive.snapshot(), []
    hook = lambda *event: told.append(event)  # noqa: E731
    xive.events.listen(hook)
    with pytest.raises(LocalError, match=says):
        action(*arguments, **named)
    xive.events.unlisten(hook)
    assert xive.snapshot() == before
    assert told == list(tells)


@pytest.mark.parametrize("index", [1, 3, 4, 8, -1, -2, *BIG])
def test_a_cpu_that_is_not_there(xive, index):
    refused(xive, f"no CPU {index}; there are 0", xive.cpu, index)
    refused(xive, f"no CPU {index}; ", xive.unplug, index)
    refused(xive, f"no CPU {index}; ", xive.hcall, index, 0x3D0, 0)
    assert not xive.is_plugged(index)
    assert xive.cpu_of(index * 8 + 1) is None
    assert xive.cpu_of(-8) is xive.cpu_of(8) is xive.cpu_of(4096) is xive.cpu_of(1) is None


@pytest.mark.parametrize("index", [0, 2, 4, -1, *BIG])
def test_a_cpu_that_cannot_be_plugged(xive, index):
    refused(xive, f"CPU {index} cannot be plugged; free: ", xive.plug, index)


def test_a_machine_that_is_full(xive):
    xive.plug(1)
    xive.plug(3)
    refused(xive, "CPU 1 cannot be plugged; free: none", xive.plug, 1)


def test_the_last_cpu_stays(xive):
    xive.unplug(0)
    refused(xive, "CPU 2 is the last one", xive.unplug, 2)


def test_a_cpu_that_left_does_nothing_more(xive):
    cpu = xive.cpu(2)
    xive.unplug(2)
    refused(xive, "CPU 2 is not plugged", cpu.load, 0, 8)
    refused(xive, "CPU 2 is not plugged", cpu.store, 0, 8, 0)
    refused(xive, "no CPU 2", cpu.hcall, "H_INT_RESET", 0)
    refused(xive, "CPU 2 is not plugged", cpu.trigger, 0)
    refused(xive, "CPU 2 is not plugged", cpu.ack)
    assert not cpu.irq()


@pytest.mark.parametrize("lisn", [0x2000, -1, 1 << 32, *BIG])
def test_a_number_that_does_not_exist(xive, lisn):
    calls = [xive.claim, xive.free, xive.is_claimed, xive.pulse, xive.cpu(0).trigger, xive.cpu(0).eoi]
    for call in calls:
        refused(xive, "LISN .* does not exist; there are 0 to 0x1fff", call, lisn)
    refused(xive, "does not exist", xive.set_irq, lisn, 1)
    refused(xive, "does not exist", xive.cpu(0).esb, lisn, 0)


@pytest.mark.parametrize("offset", [-1, -8, 0x10000, 0x20000, *BIG])
def test_an_offset_outside_of_the_page(xive, offset):
    refused(xive, "offset in a page is a whole number from 0 to 65535, not", xive.cpu(0).esb, 0, offset)


def test_a_number_that_is_free_or_is_not(xive):
    for lisn in (7, 0x1002, 0x1FFF):
        refused(xive, f"LISN {lisn:#x} is not claimed; a device cannot raise it", xive.pulse, lisn)
        refused(xive, "is not claimed", xive.set_irq, lisn, 0)
        xive.claim(lisn)
        for is_lsi in (0, 1):  # QEMU traces what it refuses
            tells = [("spapr_xive_claim_irq", (lisn, is_lsi))]
            refused(xive, f"IRQ {lisn} is not free", xive.claim, lisn, bool(is_lsi), tells=tells)
    assert not xive.source.is_lsi(7)
    xive.free(7)
    xive.free(7)  # nothing to free is no mistake of anybody's
    assert not xive.is_claimed(7)


@pytest.mark.parametrize("size", [0, -1, -8, 3, 5, 6, 7, 9, 16, 256, 1 << 31, 1 << 32, (1 << 32) + 8, *BIG])
def test_sizes_that_no_access_has(xive, size):
    for addr in (0, 0x6010000010000, 0x60302031A0010):
        refused(xive, "an access has 1, 2, 4 or 8 bytes", xive.cpu(0).load, addr, size)
        refused(xive, "an access has 1, 2, 4 or 8 bytes", xive.cpu(0).store, addr, size, 0)


@pytest.mark.parametrize("addr", [-1, -(1 << 63), *BIG])
def test_addresses_that_there_are_not(xive, addr):
    refused(xive, f"{addr} is no guest address", xive.cpu(0).load, addr, 8)
    refused(xive, f"{addr} is no guest address", xive.cpu(0).store, addr, 8, 0)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("addr", [0, 0x6010000000000, 0x60302031A0011])
def test_values_that_do_not_fit(xive, size, addr):
    for value in (1 << 8 * size, -1, 1 << 100):
        refused(xive, f"{value} does not fit {size} bytes", xive.cpu(0).store, addr, size, value)


def test_the_verbs_of_an_operating_system(xive):
    refused(xive, "256 does not fit 1 bytes", xive.cpu(0).set_cppr, 256)
    refused(xive, "-1 does not fit 1 bytes", xive.cpu(0).set_pending, -1)


@pytest.mark.parametrize("value", [-1, *BIG])
def test_registers_hold_64_bits(xive, value):
    says = "register holds 0 to 2"
    refused(xive, says, xive.cpu(0).hcall, value)
    refused(xive, says, xive.cpu(0).hcall, "H_INT_SYNC", value)
    refused(xive, says, xive.cpu(0).hcall, "H_INT_SYNC", 0, 1, 2, 3, 4, 5, value)
    refused(xive, says, xive.hcall, 0, 0x3CC, 0, value, problem_state=True)


def test_a_hypercall_by_a_name_that_there_is_not(xive):
    refused(xive, "no hypercall 'H_INT_SINK'; there are H_INT_GET_SOURCE_INFO, ", xive.cpu(0).hcall, "H_INT_SINK", 0)


@pytest.mark.parametrize("wrong", ["1", None, b"x", [], {}, 1.0, 1.5, float("nan")])
def test_what_is_no_whole_number_is_refused(xive, wrong):
    cpu = xive.cpu(0)
    calls = [xive.cpu, xive.plug, xive.unplug, xive.claim, xive.free, xive.pulse, cpu.trigger, cpu.eoi, cpu.set_cppr]
    for call in [*calls, cpu.set_pending]:
        refused(xive, ".", call, wrong)
    refused(xive, ".", xive.set_irq, wrong, 1)
    refused(xive, ".", cpu.esb, 0, wrong)
    refused(xive, ".", xive.restore, wrong)
    for words in ((wrong, 8), (0, wrong), (wrong, wrong)):
        refused(xive, "an access has|no guest address", cpu.load, *words)
        refused(xive, "an access has|no guest address", cpu.store, *words, 0)
    refused(xive, "does not fit", cpu.store, 0, 8, wrong)
    refused(xive, "register holds|no hypercall", cpu.hcall, wrong)
    refused(xive, "register holds", cpu.hcall, "H_INT_SYNC", 0, wrong)
    for name in ("cpus", "vsmt", "ram_size", "memory", "flavour", "host_byteorder"):
        if (name, wrong) != ("memory", None):
            with pytest.raises(LocalError):
                SpaprXive(**{name: wrong})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"cpus": 0}, "0 CPUs, max_cpus=0, vsmt=1: needs 1 <= cpus"),
        ({"cpus": -1}, "-1 CPUs, .* needs 1 <= cpus"),
        ({"cpus": 4097}, "4097 CPUs, .* max_cpus <= 4096"),
        ({"cpus": 2, "max_cpus": 1}, "2 CPUs, max_cpus=1, .* cpus <= max_cpus"),
        ({"max_cpus": 0}, "1 CPUs, max_cpus=0"),
        ({"vsmt": 0}, "vsmt=0: needs"),
        ({"vsmt": -1}, "vsmt=-1: needs"),
        ({"cpus": 513, "vsmt": 8}, r"513 CPUs, .* max_cpus \* vsmt <= 4096"),
        ({"cpus": 2, "vsmt": 1 << 70}, "vsmt=1180591620717411303424"),
        ({"host_byteorder": "middle"}, "'little' or 'big', not 'middle'"),
        ({"host_byteorder": None}, "not None"),
        ({"esb_shift": 14}, "Invalid ESB shift setting: 14"),
        ({"esb_shift": 0}, "Invalid ESB shift setting"),
        ({"esb_shift": 1 << 40}, "Invalid ESB shift setting"),
        ({"source_flags": 8}, "0 to 0x7, not 8"),
        ({"source_flags": -1}, "not -1"),
        ({"source_flags": 1 << 64}, "not 18446744073709551616"),
        ({"ram_size": 0}, "RAM size is a whole number from 4096 to .*, not 0"),
        ({"ram_size": -1}, "RAM size .* not -1"),
        ({"ram_size": 1 << 80}, "RAM size .* not 1208925819614629174706176"),
        ({"sources": [(0x2000, False)]}, "LISN 0x2000 does not exist"),
        ({"sources": [(-1, False)]}, "LISN -.*1 does not exist"),
        ({"sources": [(1, False), (1, True)]}, "IRQ 1 is not free"),
    ],
)
def test_machines_that_cannot_be(arguments, says):
    with pytest.raises(LocalError, match=says):
        SpaprXive(**arguments)


@pytest.mark.parametrize(
    "other",
    [
        {"cpus": 4},
        {"cpus": 3, "max_cpus": 4, "vsmt": 8, "esb_shift": 16},
        {"cpus": 2, "max_cpus": 4},
        {"cpus": 2, "max_cpus": 4, "vsmt": 4},
        {"cpus": 2, "max_cpus": 5, "vsmt": 8},
        {"cpus": 2, "max_cpus": 4, "vsmt": 8, "ram_size": 1 << 20},
        {"cpus": 2, "max_cpus": 4, "vsmt": 8, "memory": ram(256 << 20)},
    ],
)
def test_a_snapshot_of_another_machine(xive, other):
    foreign = SpaprXive(**other)
    says = "not a snapshot of a controller with such CPUs"
    refused(xive, says, xive.restore, foreign.snapshot())
    refused(foreign, says, foreign.restore, xive.snapshot())


def test_a_snapshot_of_a_machine_alike_is_as_good(xive):
    other = SpaprXive(4, max_cpus=4, vsmt=8, negotiated=False)
    xive.cpu(2).store(0x5000, 8, 0x1234)
    other.restore(xive.snapshot())
    assert other.snapshot() == xive.snapshot()
    assert (other.order, other.cpu(0).load(0x5000, 8), other.pic()) == ([0, 2], 0x1234, xive.pic())
    refused(other, "no CPU 1", other.cpu, 1)


def test_memory_may_be_nothing_at_all():
    xive = SpaprXive(memory=GuestMemory())
    assert xive.cpu(0).hcall("H_INT_SET_QUEUE_CONFIG", 1, 0, 6, 0, 12) == (-57,)
    assert xive.cpu(0).load(0, 8) == 0
    xive.cpu(0).store(0, 8, 1)
    assert xive.snapshot().pages == {}
