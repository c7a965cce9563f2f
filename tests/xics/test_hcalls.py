"""The hypercalls of XICS: arguments, results, what is refused and in which order."""

import pytest

from outboard.xics import Xics
from tests.xics.rig import LSI, MSI, Machine

pytestmark = pytest.mark.alike

EOI, CPPR, IPI, IPOLL, XIRR, XIRR_X = CALLS = (0x64, 0x68, 0x6C, 0x70, 0x74, 0x2FC)
HIGH = 0xABCD_0000_0000_0000


def test_an_ipi_from_one_cpu_to_another():
    machine = Machine((0, 8))
    assert machine.hcall(CPPR, 0xFF, cpu=1) == (0,)
    assert machine.hcall(IPI, 8, 4, cpu=0) == (0,)
    assert machine.xics.irq(1) and not machine.xics.irq(0)
    assert machine.hcall(IPOLL, 8, cpu=0) == (0, 0xFF000002, 4)
    assert machine.hcall(XIRR, cpu=1) == (0, 0xFF000002)
    assert not machine.xics.irq(1)
    assert machine.hcall(IPOLL, 8) == (0, 0x04000000, 4)
    assert machine.hcall(IPI, 8, 0xFF, cpu=1) == (0,)
    assert machine.hcall(EOI, 0xFF000002, cpu=1) == (0,)
    assert machine.icp(1) == (0xFF000000, 0xFF, 0xFF, 0, 0)
    assert machine.told == [
        "xics_icp_check_ipi CPU 1 can take IPI mfrr=0x4",
        "xics_icp_accept icp_accept: XIRR 0xff000002->0x4000000",
        "xics_icp_eoi icp_eoi: server 1 given XIRR 0xff000002 new XIRR 0xff000000",
    ]


def test_an_accept_may_tell_the_time():
    machine = Machine(ticks=lambda: 0x1234_5678_9ABC)
    machine.put_icp(0xFF000002, 4, 4)
    assert machine.hcall(XIRR_X) == (0, 0xFF000002, 0x1234_5678_9ABC)
    assert machine.hcall(XIRR_X) == (0, 0x04000000, 0x1234_5678_9ABC)
    assert Machine().hcall(XIRR_X) == (0, 0, 0)


@pytest.mark.parametrize("high", [0, HIGH, 0x1_0000_0000])
def test_arguments_are_cut(high):
    machine = Machine()
    assert machine.hcall(CPPR, high | 0x7700 | 0xFF) == (0,)
    assert machine.icp()[0] == 0xFF000000
    assert machine.hcall(IPI, high | 1, high | 0x105) == (0,)
    assert machine.icp(1)[2] == 5
    assert machine.hcall(IPOLL, high | 1) == (0, 0, 5)
    assert machine.hcall(EOI, high | 0x05000002) == (0,)
    assert machine.icp()[0] == 0x05000000


@pytest.mark.parametrize("server", [1, 2, 7, 9, 16, 0x80000000, 0xFFFFFFFF, (1 << 64) - 1])
def test_a_server_that_there_is_not(server):
    machine = Machine((0, 8, 16), cpus=2)
    before = machine.xics.snapshot()
    assert machine.hcall(IPI, server, 4) == (-4,)
    assert machine.hcall(IPOLL, server) == (-4,)
    assert machine.xics.snapshot() == before and machine.told == []


def test_arguments_left_out_are_0_and_more_are_ignored():
    machine = Machine()
    assert machine.hcall(CPPR, 0xFF, 1, 2, 3) == (0,)
    assert machine.hcall(IPI) == (0,)
    assert machine.icp() == (0xFF000002, 0, 0, 0, 1)


@pytest.mark.parametrize("opcode", CALLS)
def test_a_program_is_refused(opcode):
    machine = Machine()
    machine.put_icp(0xFF000002, 4, 4)
    machine.xive_negotiated = True
    before = machine.xics.snapshot()
    assert machine.hcall(opcode, 0, 3, problem_state=True) == (-3,)
    assert machine.xics.snapshot() == before and machine.told == []


@pytest.mark.parametrize("opcode", [*CALLS, 0x60, 0x78])
def test_a_machine_without_xics_has_no_such_calls(opcode):
    machine = Machine()
    machine.xics = None
    machine.xive_negotiated = True
    assert machine.hcall(opcode, 0, 0) == (-2,)
    assert machine.told == [f"Unimplemented SPAPR hcall 0x{opcode:016x}"]


def test_an_opcode_that_there_is_not():
    machine = Machine()
    assert [machine.hcall(opcode) for opcode in (0x60, 0x65, 0x78, 0x3A8, 0xF000, (1 << 64) - 1)] == [(-2,)] * 6


@pytest.mark.parametrize(("opcode", "handler"), [(EOI, "h_eoi"), (CPPR, "h_cppr"), (IPI, "h_ipi"), (IPOLL, "h_ipoll")])
@pytest.mark.parametrize("server", [0, 99])
def test_refused_when_xive_was_negotiated(opcode, handler, server):
    machine = Machine()
    machine.put_icp(0xFF000002, 4, 4)
    machine.xive_negotiated = True
    before = machine.xics.snapshot()
    assert machine.hcall(opcode, server, 3) == (-1,)
    assert machine.xics.snapshot() == before
    assert machine.told == [f"pseries: {handler} must only be called for emulated XICS"]


@pytest.mark.parametrize(("opcode", "handler"), [(XIRR, "h_xirr"), (XIRR_X, "h_xirr_x")])
def test_an_accept_is_refused_after_it_was_made(opcode, handler):
    machine = Machine()
    machine.put_icp(0xFF000002, 4, 4)
    machine.xive_negotiated = True
    assert machine.hcall(opcode) == (-1,)
    assert machine.icp() == (0x04000000, 0xFF, 4, 0, 0)
    assert machine.told == [
        "xics_icp_accept icp_accept: XIRR 0xff000002->0x4000000",
        f"pseries: {handler} must only be called for emulated XICS",
    ]


def test_a_device_of_each_kind_and_its_handler():
    machine = Machine()
    machine.hcall(CPPR, 0xFF)
    for number in (MSI, LSI):
        assert machine.rtas(0x200A, number, 0, 5)[0] == 0
    machine.xics.set_irq(LSI, 1)
    machine.xics.pulse(MSI)
    assert machine.hcall(XIRR) == (0, 0xFF001200)
    assert machine.hcall(EOI, 0xFF001200) == (0,)
    assert machine.hcall(XIRR) == (0, 0xFF001200), "still up, and before the other"
    machine.xics.set_irq(LSI, 0)
    assert machine.hcall(EOI, 0xFF001200) == (0,)
    assert machine.hcall(XIRR) == (0, 0xFF001300)
    assert machine.hcall(EOI, 0xFF001300) == (0,)
    assert machine.icp() == (0xFF000000, 0xFF, 0xFF, 0, 0)


def test_the_line_is_shared_with_the_other_controller():
    lines = memoryview(bytearray(b"\2\3"))
    machine = Machine(lines=lines)
    assert bytes(lines) == b"\2\2", "plugged, their lines fall; the other bit is not ours"
    lines[1] = 3
    assert not machine.xics.irq(0) and machine.xics.irq(1)
    machine.hcall(CPPR, 0xFF)
    machine.hcall(IPI, 0, 5)
    assert bytes(lines) == b"\3\3"
    machine.hcall(XIRR)
    machine.hcall(XIRR, cpu=1)
    assert bytes(lines) == b"\2\2"
    assert "lines" not in machine.xics.tables() and "lines" in Xics((0,)).tables()


def test_the_bit_of_the_line_is_xive_s():
    from outboard.xics import icp
    from outboard.xive import presenter

    assert icp.EXTERNAL == presenter.EXTERNAL == 1
