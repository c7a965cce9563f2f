"""The operations of an ICS, one row a case; and claims, which the machine makes."""

import pytest

from outboard.errors import LocalError
from tests.xics.rig import FREE, LSI, MSI, Machine

pytestmark = pytest.mark.alike

ASSERTED, SENT, REJECTED, MASKED_PENDING = 1, 2, 4, 8
OPEN, CLOSED = 0xFF000000, 0x00000000


def case(number, status, priority, cppr):
    machine = Machine()
    machine.put_icp(cppr)
    machine.put_ics(number, priority=priority, status=status)
    return machine


def test_after_the_start_everything_is_masked():
    machine = Machine()
    assert [machine.ics(number) for number in (MSI, LSI, FREE)] == [(0, 0xFF, 0xFF, 0, flags) for flags in (2, 1, 0)]


@pytest.mark.parametrize(
    ("number", "priority", "status", "level", "expected", "xirr"),
    [
        (MSI, 5, 0, 1, 0, 0xFF001300),
        (MSI, 5, 0, 0, 0, OPEN),
        (MSI, 5, REJECTED, 1, REJECTED, 0xFF001300),
        (MSI, 0xFF, 0, 1, MASKED_PENDING, OPEN),
        (MSI, 0xFF, 0, 0, 0, OPEN),
        (MSI, 0xFF, REJECTED, 1, REJECTED | MASKED_PENDING, OPEN),
        (LSI, 5, 0, 1, ASSERTED | SENT, 0xFF001200),
        (LSI, 5, ASSERTED | SENT, 1, ASSERTED | SENT, OPEN),
        (LSI, 5, ASSERTED | SENT, 0, SENT, OPEN),
        (LSI, 5, SENT, 1, ASSERTED | SENT, OPEN),
        (LSI, 5, ASSERTED, 0, 0, OPEN),
        (LSI, 0xFF, 0, 1, ASSERTED, OPEN),
        (LSI, 0xFF, ASSERTED, 0, 0, OPEN),
        (FREE, 5, 0, 1, 0, 0xFF001400),
        (FREE, 0xFF, 0, 1, MASKED_PENDING, OPEN),
    ],
)
def test_lines(number, priority, status, level, expected, xirr):
    machine = case(number, status, priority, OPEN)
    machine.xics.set_irq(number, level)
    assert (machine.ics(number)[3], machine.icp()[0]) == (expected, xirr)


@pytest.mark.parametrize(
    ("number", "status", "expected"),
    [(MSI, 0, REJECTED), (LSI, ASSERTED | SENT, ASSERTED), (LSI, SENT, 0), (FREE, 0, 0)],
)
def test_reject(number, status, expected):
    machine = case(number, status, 5, OPEN)
    machine.xics.ics.reject(number)
    assert machine.ics(number)[3] == expected


def test_an_event_that_finds_its_server_closed_waits():
    machine = case(MSI, 0, 5, CLOSED)
    machine.xics.pulse(MSI)
    machine.put_ics(LSI)
    machine.xics.set_irq(LSI, 1)
    assert [machine.ics(number)[3] for number in (MSI, LSI)] == [REJECTED, ASSERTED]


@pytest.mark.parametrize(
    ("number", "priority", "status", "expected", "xirr"),
    [
        (MSI, 5, 0, 0, OPEN),
        (MSI, 5, REJECTED, 0, 0xFF001300),
        (MSI, 0xFF, REJECTED, 0, OPEN),
        (MSI, 5, MASKED_PENDING, MASKED_PENDING, OPEN),
        (LSI, 5, ASSERTED, ASSERTED | SENT, 0xFF001200),
        (LSI, 5, ASSERTED | SENT, ASSERTED | SENT, OPEN),
        (LSI, 5, SENT, SENT, OPEN),
        (LSI, 0xFF, ASSERTED, ASSERTED, OPEN),
    ],
    ids=[
        *("idle", "waits", "waits, masked: the event is lost", "masked pending is not for resend"),
        *("level", "level, sent", "sent, low by now", "level, masked"),
    ],
)
def test_resend(number, priority, status, expected, xirr):
    machine = case(number, status, priority, OPEN)
    machine.xics.ics.resend()
    assert (machine.ics(number)[3], machine.icp()[0]) == (expected, xirr)


@pytest.mark.parametrize(
    ("number", "status", "priority", "expected", "xirr"),
    [
        (MSI, 0, 5, 0, OPEN),
        (MSI, MASKED_PENDING, 5, 0, 0xFF001300),
        (MSI, MASKED_PENDING, 0xFF, MASKED_PENDING, OPEN),
        (MSI, REJECTED, 5, REJECTED, OPEN),
        (FREE, MASKED_PENDING, 5, 0, 0xFF001400),
        (LSI, ASSERTED, 5, ASSERTED | SENT, 0xFF001200),
        (LSI, ASSERTED | SENT, 5, ASSERTED | SENT, OPEN),
        (LSI, ASSERTED, 0xFF, ASSERTED, OPEN),
        (LSI, 0, 5, 0, OPEN),
    ],
)
def test_write_xive(number, status, priority, expected, xirr):
    machine = case(number, status, 0xFF, OPEN)
    machine.xics.ics.write_xive(number, 0, priority, saved=7)
    assert machine.ics(number)[:4] == (0, priority, 7, expected)
    assert machine.icp()[0] == xirr


def test_an_event_goes_to_the_server_of_its_source():
    machine = Machine((0, 4))
    machine.put_icp(OPEN, cpu=1)
    machine.put_ics(MSI, server=4)
    machine.xics.pulse(MSI)
    assert (machine.icp(0)[0], machine.icp(1)[0]) == (CLOSED, 0xFF001300)


@pytest.mark.parametrize(("number", "expected"), [(MSI, 6), (LSI, 1)])
def test_eoi(number, expected):
    status = REJECTED | SENT if number == MSI else ASSERTED | SENT
    machine = case(number, status, 5, OPEN)
    machine.xics.ics.eoi(number)
    assert machine.ics(number)[3] == expected


def test_a_claim_leaves_the_route():
    machine = Machine()
    machine.put_ics(FREE, server=1, priority=4, saved=3)
    machine.xics.claim(FREE)
    machine.xics.claim(FREE + 1, is_lsi=True)
    assert (machine.ics(FREE), machine.ics(FREE + 1)) == ((1, 4, 3, 0, 2), (0, 0xFF, 0xFF, 0, 1))
    assert [machine.xics.is_claimed(number) for number in (FREE, FREE + 1, FREE + 2)] == [True, True, False]


def test_what_is_not_free_cannot_be_claimed():
    machine = Machine()
    for number in (MSI, LSI):
        before = machine.ics(number)
        with pytest.raises(LocalError, match=f"^IRQ {number} is not free$"):
            machine.xics.claim(number)
        assert machine.ics(number) == before


def test_a_number_freed_and_claimed_again_is_not_masked():
    machine = case(MSI, REJECTED | MASKED_PENDING, 5, OPEN)
    machine.xics.free(MSI)
    assert machine.ics(MSI) == (0, 0, 0, 0, 0)
    machine.xics.claim(MSI)
    machine.xics.pulse(MSI)
    assert machine.icp() == (0xFF001300, 0, 0xFF, 1, 1)


def test_a_number_freed_while_it_is_presented_loses_its_event_when_it_goes_back():
    machine = case(MSI, 0, 5, OPEN)
    machine.xics.pulse(MSI)
    machine.xics.free(MSI)
    machine.xics.icp.set_cppr(0, 0)
    assert (machine.icp(), machine.ics(MSI)) == ((0, 0xFF, 0xFF, 0, 0), (0, 0, 0, 0, 0))


def test_a_reset_keeps_claims_only():
    machine = Machine()
    for number in (MSI, LSI, FREE):
        machine.put_ics(number, server=1, priority=4, saved=3, status=15)
    machine.put_icp(0xFF001300, 4, 3, 1)
    machine.xics.reset()
    assert [machine.ics(number) for number in (MSI, LSI, FREE)] == [(0, 0xFF, 0xFF, 0, flags) for flags in (2, 1, 0)]
    assert machine.icp() == (0, 0xFF, 0xFF, 1, 0)


def test_trace_lines_of_sources():
    machine = Machine((0, 4))
    machine.xics.set_irq(LSI, 1)
    machine.xics.pulse(MSI)
    machine.xics.ics.write_xive(MSI, 4, 5, 5)
    machine.xics.icp.eoi(1, 0x00001200)
    assert machine.told == [
        "xics_ics_set_irq_lsi set_irq_lsi: srcno 512 [irq 0x1200]",
        "xics_ics_set_irq_msi set_irq_msi: srcno 768 [irq 0x1300]",
        "xics_masked_pending set_irq_msi: masked pending",
        "xics_ics_set_irq_msi set_irq_msi: srcno 768 [irq 0x1300]",
        "xics_ics_write_xive ics_write_xive: irq 0x1300 [src 768] server 0x4 prio 0x5",
        "xics_icp_irq cpu 4 trying to deliver irq 0x1300 priority 0x5",
        "xics_ics_reject reject irq 0x1300 [src 768]",
        "xics_icp_eoi icp_eoi: server 1 given XIRR 0x1200 new XIRR 0x0",
        "xics_ics_eoi ics_eoi: irq 0x1200",
        "xics_icp_irq cpu 4 trying to deliver irq 0x1300 priority 0x5",
        "xics_ics_reject reject irq 0x1300 [src 768]",
    ]
