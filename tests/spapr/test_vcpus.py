"""vCPUs that come and go, their ids, machine resets. Numbers are typed by hand."""

import pytest

from tests.spapr.rig import END_ESB, ESB, LSI, MSI, SUCCESS, TIMA, machine, route

FRESH = {"NSR": 0, "CPPR": 0, "IPB": 0, "LSMFB": 0xFF, "ACK_CNT": 0xFF, "INC": 0, "AGE": 0xFF, "PIPR": 0xFF, "W3": 0}
FUNCTION, P2, P3 = (-2,), (-55,), (-56,)


@pytest.mark.parametrize("vsmt", [1, 2, 4, 8])
def test_targets_are_vcpu_ids(vsmt):
    xive, _ = machine(3, vsmt=vsmt)
    assert [xive.cpu(index).vcpu_id for index in range(3)] == [0, vsmt, 2 * vsmt]
    for index in range(3):
        assert xive.cpu(index).ring()["W2"] == 0x80000400 + index * vsmt
        route(xive, index * vsmt)
        xive.cpu(index).set_cppr(0xFF)
        xive.pulse(MSI)
        assert [xive.cpu(at).irq() for at in range(3)] == [at == index for at in range(3)]
        assert xive.cpu(index).ack() == 0x8006
        end = xive.router.read_end(8 * vsmt * index + 6)
        assert end.words == (
            0xE0040000,
            0x00400001,
            0,
            0x100000 + 0x10000 * vsmt * index,
            0,
            0,
            0x400 + vsmt * index,
            6 << 16,
        )
        info = xive.cpu(0).hcall("H_INT_GET_QUEUE_INFO", 0, index * vsmt, 6)
        assert info == (0, END_ESB + (8 * vsmt * index + 6) * 0x20000, 16)
    for target in range(3 * vsmt + 1):
        there = target % vsmt == 0 and target < 3 * vsmt
        assert xive.cpu(0).hcall("H_INT_GET_QUEUE_INFO", 0, target, 0)[0] == (0 if there else -55)
        assert xive.cpu_of(target) == (target // vsmt if there else None)


def test_ends_are_there_for_every_server():
    xive, _ = machine(1, max_cpus=3, vsmt=8)
    assert len(xive.router.tables()["endt"]) == 3 * 8 * 8 * 32
    assert bytes(xive.router.tables()["endt"]) == bytes.fromhex("0000000050000000" + 24 * "00") * 192


def test_a_vcpu_comes_with_a_fresh_context():
    xive, told = machine(1, max_cpus=3, vsmt=8)
    assert xive.cpu(0).hcall("H_INT_GET_QUEUE_INFO", 0, 16, 6) == P2
    xive.plug(2)
    assert xive.cpu(2).ring() == FRESH | {"W2": 0x80000410}
    assert xive.cpu(0).hcall("H_INT_GET_QUEUE_INFO", 0, 16, 6)[0] == 0
    route(xive, 16)
    xive.pulse(MSI)
    assert (xive.cpu(2).ring()["IPB"], xive.cpu(2).irq()) == (2, False)
    xive.cpu(2).set_cppr(0xFF)
    xive.cpu(2).store(TIMA + 0x28, 4, 0x80000123)
    assert xive.cpu(2).irq()
    xive.unplug(2)
    xive.plug(2)
    assert xive.cpu(2).ring() == FRESH | {"W2": 0x80000410}
    assert not any(bytes(xive.presenter.tables()["rings"][2 * 64 + 0x20 : 2 * 64 + 0x30]))
    assert not xive.cpu(2).irq()
    assert not [line for line in told if "NVT" in line and "found" not in line]


def test_nobody_is_notified_for_a_vcpu_that_left():
    xive, told = machine(2, vsmt=8)
    route(xive, 8)
    xive.cpu(1).set_cppr(0xFF)
    xive.unplug(1)
    told.clear()
    xive.pulse(MSI)
    assert told == [
        "spapr_xive_set_irq lisn=0x1300 val=1",
        "XIVE: no NVT 0/408",
        "spapr_xive_set_irq lisn=0x1300 val=0",
    ]
    assert xive.memory.read(0x180000, 4) == bytes.fromhex("80000077"), "the queue goes on"
    assert xive.cpu(0).hcall("H_INT_SET_SOURCE_CONFIG", 2, MSI, 8, 6, 1) == P3
    assert xive.cpu(0).hcall("H_INT_SET_QUEUE_CONFIG", 1, 8, 6, 0, 0) == P2
    assert xive.cpu(0).hcall("H_INT_GET_SOURCE_CONFIG", 0, MSI) == (0, 8, 6, 0x77)
    told.clear()
    xive.cpu(0).store(TIMA + 0x10018, 4, 0x80000408)
    assert told[1:] == ["xive_tctx_tm_write @0x10018 sz=4 val=0x80000408", "XIVE: invalid NVT 0/408"]
    xive.plug(1)
    xive.cpu(1).set_cppr(0xFF)
    told.clear()
    xive.cpu(0).store(ESB + MSI * 0x20000 + 0x10800, 8, 0)
    assert "XIVE: already found a thread context NVT 0/408" in told, "both have its line"
    assert not xive.cpu(0).irq() and not xive.cpu(1).irq()


def test_the_order_is_the_one_of_plugging():
    xive, _ = machine(3, max_cpus=4)
    xive.unplug(0)
    xive.plug(3)
    xive.plug(0)
    assert xive.order == [1, 2, 3, 0]
    heads = [line[:9] for line in xive.pic().splitlines() if "QW" in line]
    assert heads == ["CPU[0001]", "CPU[0002]", "CPU[0003]", "CPU[0000]"]


def test_a_big_machine():
    xive, _ = machine(4096)
    assert len(xive.order) == 4096
    route(xive, 0xFFF, prio=0, by=4095)
    xive.cpu(4095).set_cppr(1)
    xive.pulse(MSI)
    assert [index for index in range(4096) if xive.cpu(index).irq()] == [4095]
    assert xive.cpu(0).hcall("H_INT_GET_QUEUE_INFO", 0, 0x1000, 0) == P2
    assert "CPU[0fff]:   OS    80   01  80    ff   ff  00  ff   00  800013ff" in xive.pic()
    before = xive.snapshot()
    xive.unplug(4095)
    xive.restore(before)
    assert xive.cpu(4095).ack() == 0x8000


def test_a_snapshot_brings_back_who_is_found():
    xive, _ = machine(2)
    route(xive, 1)
    xive.cpu(1).set_cppr(0xFF)
    before = xive.snapshot()
    assert xive.cpu(1).load(TIMA + 0x10818, 4) == 0x01040080
    xive.pulse(MSI)
    pulled = xive.snapshot()
    xive.restore(before)
    xive.pulse(MSI)
    assert xive.cpu(1).irq()
    xive.restore(pulled)
    xive.cpu(0).store(ESB + MSI * 0x20000 + 0x10800, 8, 0)
    assert not xive.cpu(1).irq() and xive.cpu(1).ring()["IPB"] == 0


def busy():
    """A machine in which everything is off its reset state."""
    xive, told = machine(2, max_cpus=3)
    route(xive, 0)
    route(xive, 1, LSI, 3)
    for cpu in (0, 1):
        xive.cpu(cpu).set_cppr(0xFF)
    xive.set_irq(LSI, 1)
    xive.pulse(MSI)
    xive.cpu(0).store(TIMA + 0x30, 4, 0x80FF00FF)
    xive.cpu(1).load(TIMA + 0x10818, 4)
    xive.free(0)
    xive.plug(2)
    xive.set_regions(esb_and_tima=True, end_esb=True)
    return xive, told


def test_a_machine_reset_brings_back_the_start():
    xive, told = busy()
    assert xive.cpu(0).irq() and xive.source.pq(LSI) == 2
    told.clear()
    xive.reset()
    assert not told
    new, _ = machine(2, max_cpus=3)
    new.free(0)
    new.reset()
    new.plug(2)
    assert xive.router.read_eas(0) == 0, "a number that is free forgets its route"
    assert xive.router.read_eas(MSI) == 0x8000000080000000
    assert xive.source.is_lsi(LSI)
    tables, start = xive.snapshot().tables, new.snapshot().tables
    assert tables == start
    assert set(tables["status"]) == {1}, "off, and no input is high"
    assert xive.order == [0, 1, 2]
    assert xive.snapshot().regions == (True, True, True), "the machine around it maps and unmaps"
    assert not xive.negotiated
    assert xive.cpu(0).hcall("H_INT_GET_SOURCE_INFO", 0, MSI) == FUNCTION
    assert xive.memory.read(0x100000, 4) == bytes.fromhex("80000077"), "memory is the guest's"


def test_h_int_reset_does_nothing():
    xive, told = busy()
    before = xive.snapshot()
    told.clear()
    assert xive.cpu(0).hcall("H_INT_RESET", 0) == SUCCESS
    assert xive.cpu(0).hcall("H_INT_RESET", 1) == (-4,)
    assert told == ["spapr_xive_reset flags=0x0", "spapr_xive_reset flags=0x1"]
    assert xive.snapshot() == before


def test_before_the_negotiation_pages_work_and_calls_do_not():
    xive, told = machine(1, negotiated=False)
    for opcode in range(0x3A8, 0x3D4, 4):
        assert xive.cpu(0).hcall(opcode, 0, MSI) == FUNCTION
    assert len(told) == 11, "every call is traced all the same"
    assert xive.cpu(0).esb(MSI, 0x800) == 1
    xive.negotiated = True
    assert xive.cpu(0).hcall("H_INT_SYNC", 0, MSI) == SUCCESS


def test_a_program_makes_no_hypercalls():
    xive, told = busy()
    told.clear()
    xive.cpu(0).problem_state = True
    before = xive.snapshot()
    for opcode in (*range(0x3A8, 0x3D4, 4), 0x3D4, 0, (1 << 64) - 1):
        assert xive.cpu(0).hcall(opcode, 0, MSI) == (-3,)
    assert not told
    assert xive.snapshot() == before
    assert xive.cpu(1).hcall("H_INT_SYNC", 0, MSI) == SUCCESS, "each has a state of its own"
