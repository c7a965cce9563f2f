"""The operations of an ICP, one row a case: the state before, what is done, the state after."""

import pytest

from tests.xics.rig import LSI, MSI, OTHER_MSI, Machine

pytestmark = pytest.mark.alike

IDLE = (0xFF000000, 0xFF, 0xFF, 0, 0)
IPI_SHOWN = (0xFF000002, 4, 4, 0, 1)
MSI_SHOWN = (0xFF001300, 5, 0xFF, 1, 1)
LSI_SHOWN = (0xFF001200, 5, 0xFF, 1, 1)


def after(before, operation, *arguments):
    machine = Machine()
    machine.put_icp(*before)
    machine.put_ics(MSI)
    machine.put_ics(LSI, status=3)
    result = getattr(machine.xics.icp, operation)(0, *arguments)
    return machine, result


def test_after_the_start_everything_is_masked():
    machine = Machine((0, 8))
    assert machine.icp(0) == machine.icp(1) == (0, 0xFF, 0xFF, 0, 0)


@pytest.mark.parametrize(
    ("before", "expected", "result"),
    [
        (IPI_SHOWN, (0x04000000, 0xFF, 4, 0, 0), 0xFF000002),
        (MSI_SHOWN, (0x05000000, 0xFF, 0xFF, 0, 0), 0xFF001300),
        (IDLE, IDLE, 0xFF000000),
        ((0x03000000, 0xFF, 0xFF, 0, 0), IDLE, 0x03000000),
        ((0x03000000, 0xFF, 0xFF, 0, 1), IDLE, 0x03000000),
    ],
    ids=["IPI", "MSI", "nothing", "nothing, CPPR becomes ff", "a line of the other controller's falls"],
)
def test_accept(before, expected, result):
    machine, got = after(before, "accept")
    assert (machine.icp(), got) == (expected, result)


@pytest.mark.parametrize(
    ("before", "cppr", "expected", "status"),
    [
        (MSI_SHOWN, 6, (0x06001300, 5, 0xFF, 1, 1), 0),
        (MSI_SHOWN, 5, (0x05000000, 0xFF, 0xFF, 0, 0), 4),
        (MSI_SHOWN, 0, (0x00000000, 0xFF, 0xFF, 0, 0), 4),
        (MSI_SHOWN, 0xFF, MSI_SHOWN, 0),
        (IPI_SHOWN, 5, (0x05000002, 4, 4, 0, 1), 0),
        (IPI_SHOWN, 4, (0x04000000, 0xFF, 4, 0, 0), 0),
        ((0x04000000, 0xFF, 4, 0, 0), 5, (0x05000002, 4, 4, 0, 1), 0),
        ((0x04000000, 0xFF, 4, 0, 0), 4, (0x04000000, 0xFF, 4, 0, 0), 0),
        ((0x05001300, 4, 3, 1, 1), 0xFF, (0xFF001300, 4, 3, 1, 1), 0),
    ],
    ids=[
        *("MSI stays", "MSI goes back at its own priority", "MSI goes back", "same"),
        *("IPI stays", "IPI is withdrawn", "IPI comes", "IPI does not come", "no resend while one is presented"),
    ],
)
def test_set_cppr(before, cppr, expected, status):
    machine, _ = after(before, "set_cppr", cppr)
    assert (machine.icp(), machine.ics(MSI)[3]) == (expected, status)


def test_an_lsi_that_goes_back_may_be_sent_again():
    machine, _ = after(LSI_SHOWN, "set_cppr", 5)
    assert (machine.icp(), machine.ics(LSI)[3]) == ((0x05000000, 0xFF, 0xFF, 0, 0), 1)
    machine.xics.icp.set_cppr(0, 6)
    assert (machine.icp(), machine.ics(LSI)[3]) == ((0x06001200, 5, 0xFF, 1, 1), 3)


@pytest.mark.parametrize(
    ("before", "mfrr", "expected", "status"),
    [
        (IDLE, 4, IPI_SHOWN, 0),
        (IDLE, 0xFF, IDLE, 0),
        ((0x04000000, 0xFF, 0xFF, 0, 0), 4, (0x04000000, 0xFF, 4, 0, 0), 0),
        (IPI_SHOWN, 0xFF, (0xFF000002, 4, 0xFF, 0, 1), 0),
        (IPI_SHOWN, 3, (0xFF000002, 3, 3, 0, 1), 0),
        (IPI_SHOWN, 5, (0xFF000002, 4, 5, 0, 1), 0),
        (MSI_SHOWN, 5, (0xFF001300, 5, 5, 1, 1), 0),
        (MSI_SHOWN, 4, IPI_SHOWN, 4),
    ],
    ids=[
        *("comes", "none", "as favoured as CPPR", "stays though it is taken back", "becomes more favoured"),
        *("stays as favoured", "MSI is as favoured", "MSI goes back"),
    ],
)
def test_set_mfrr(before, mfrr, expected, status):
    machine, _ = after(before, "set_mfrr", mfrr)
    assert (machine.icp(), machine.ics(MSI)[3]) == (expected, status)


@pytest.mark.parametrize(
    ("before", "priority", "expected", "rejected"),
    [
        (IDLE, 0xFE, (0xFF001301, 0xFE, 0xFF, 1, 1), []),
        (IDLE, 0xFF, IDLE, [OTHER_MSI]),
        ((0x05000000, 0xFF, 0xFF, 0, 0), 5, (0x05000000, 0xFF, 0xFF, 0, 0), [OTHER_MSI]),
        ((0x05000000, 0xFF, 0xFF, 0, 0), 4, (0x05001301, 4, 0xFF, 1, 1), []),
        (MSI_SHOWN, 5, MSI_SHOWN, [OTHER_MSI]),
        (MSI_SHOWN, 4, (0xFF001301, 4, 0xFF, 1, 1), [MSI]),
        (IPI_SHOWN, 3, (0xFF001301, 3, 4, 1, 1), []),
        (IPI_SHOWN, 4, IPI_SHOWN, [OTHER_MSI]),
    ],
    ids=[
        *("comes", "never is less favoured than ff", "as favoured as CPPR", "more favoured than CPPR"),
        *("as favoured as an MSI", "displaces an MSI", "displaces an IPI", "as favoured as an IPI"),
    ],
)
def test_deliver(before, priority, expected, rejected):
    machine = Machine()
    machine.put_icp(*before)
    machine.xics.icp.deliver(0, OTHER_MSI, priority)
    assert machine.icp() == expected
    assert [number for number in (MSI, OTHER_MSI) if machine.ics(number)[3] == 4] == rejected


def test_an_ipi_that_was_displaced_comes_back_at_the_eoi():
    machine = Machine()
    machine.put_icp(*IPI_SHOWN)
    machine.xics.icp.deliver(0, OTHER_MSI, 3)
    assert machine.xics.icp.accept(0) == 0xFF001301
    machine.xics.icp.eoi(0, 0xFF001301)
    assert machine.icp() == IPI_SHOWN


@pytest.mark.parametrize(
    ("before", "xirr", "expected", "status"),
    [
        ((0x05000000, 0xFF, 0xFF, 0, 0), 0xFF001200, (0xFF001200, 5, 0xFF, 1, 1), 3),
        ((0x05000000, 0xFF, 0xFF, 0, 0), 0x05001200, (0x05000000, 0xFF, 0xFF, 0, 0), 1),
        ((0x05000000, 0xFF, 0xFF, 0, 0), 0xFF000000, IDLE, 3),
        ((0x05000000, 0xFF, 0xFF, 0, 0), 0xFF000002, IDLE, 3),
        ((0x05000000, 0xFF, 0xFF, 0, 0), 0xFFFFFFFF, IDLE, 3),
        ((0x05000000, 0xFF, 4, 0, 0), 0x05000002, (0x05000002, 4, 4, 0, 1), 3),
        (MSI_SHOWN, 0x00001300, (0x00001300, 5, 0xFF, 1, 1), 3),
    ],
    ids=[
        *("LSI still high comes again", "and is rejected by CPPR", "nothing to end", "IPI", "no such source"),
        *("IPI still asked for", "CPPR is set whatever is presented, and nothing goes back"),
    ],
)
def test_eoi(before, xirr, expected, status):
    machine, _ = after(before, "eoi", xirr)
    assert (machine.icp(), machine.ics(LSI)[3]) == (expected, status)


def test_resend_takes_sources_in_the_order_of_their_numbers():
    machine = Machine()
    machine.put_ics(LSI, priority=6, status=1)
    machine.put_ics(MSI, priority=5, status=4)
    machine.put_ics(OTHER_MSI, priority=5, status=4)
    machine.put_icp(0x06000000)
    machine.xics.icp.set_cppr(0, 0xFF)
    assert machine.told == [
        "xics_icp_irq cpu 0 trying to deliver irq 0x1200 priority 0x6",
        "xics_icp_raise raising IRQ new XIRR=0xff001200 new pending priority=0x6",
        "xics_icp_irq cpu 0 trying to deliver irq 0x1300 priority 0x5",
        "xics_ics_reject reject irq 0x1200 [src 512]",
        "xics_icp_raise raising IRQ new XIRR=0xff001300 new pending priority=0x5",
        "xics_icp_irq cpu 0 trying to deliver irq 0x1301 priority 0x5",
        "xics_ics_reject reject irq 0x1301 [src 769]",
    ]
    assert [machine.ics(number)[3] for number in (LSI, MSI, OTHER_MSI)] == [1, 0, 4]


def test_resend_serves_all_servers_and_what_comes_to_wait_on_its_way():
    machine = Machine()
    machine.put_icp(0xFF001301, 6, owned=1, cpu=1)
    machine.put_icp(0x00000000)
    machine.put_ics(MSI, server=1, priority=5, status=4)
    machine.put_ics(OTHER_MSI, server=0, priority=6)
    machine.xics.icp.set_cppr(0, 0xFF)
    assert (machine.icp(0), machine.icp(1)) == ((0xFF001301, 6, 0xFF, 1, 1), (0xFF001300, 5, 0xFF, 1, 1))


def test_an_ipi_is_nobody_s_and_is_rejected_to_nobody():
    machine = Machine()
    machine.put_icp(*IPI_SHOWN)
    machine.xics.icp.set_mfrr(0, 3)
    machine.xics.icp.deliver(0, MSI, 2)
    machine.xics.icp.accept(0)
    machine.put_icp(*IPI_SHOWN)
    machine.xics.icp.set_cppr(0, 0)
    assert machine.told == [
        "xics_icp_check_ipi CPU 0 can take IPI mfrr=0x3",
        "xics_icp_irq cpu 0 trying to deliver irq 0x1300 priority 0x2",
        "xics_icp_raise raising IRQ new XIRR=0xff001300 new pending priority=0x2",
        "xics_icp_accept icp_accept: XIRR 0xff001300->0x2000000",
    ]


def test_a_reset_keeps_the_owner():
    machine, _ = after(MSI_SHOWN, "reset")
    assert machine.icp() == (0, 0xFF, 0xFF, 1, 0)
    machine.xics.icp.set_cppr(0, 1)
    machine.xics.icp.set_mfrr(0, 0)
    assert machine.icp() == (0x01000002, 0, 0, 0, 1)


def test_servers_are_ids_and_only_of_cpus_that_are_there():
    machine = Machine((0, 8, 16), cpus=2)
    assert [machine.xics.icp.find(server) for server in (0, 1, 8, 16, 24)] == [0, None, 1, None, None]
    machine.xics.plug(2)
    machine.xics.unplug(0)
    assert [machine.xics.icp.find(server) for server in (0, 8, 16)] == [None, 1, 2]


def test_a_cpu_that_comes_back_has_no_owner():
    machine = Machine()
    machine.put_icp(*MSI_SHOWN)
    machine.xics.unplug(0)
    assert machine.icp() == (0, 0xFF, 0xFF, 0, 0)
    machine.xics.plug(0)
    assert machine.icp() == (0, 0xFF, 0xFF, 0, 0)


def test_a_server_that_left_rejects():
    machine = Machine()
    machine.put_ics(MSI, server=1)
    machine.put_icp(0xFF000000, cpu=1)
    machine.xics.unplug(1)
    machine.xics.pulse(MSI)
    assert (machine.icp(1), machine.ics(MSI)[3]) == ((0, 0xFF, 0xFF, 0, 0), 4)
    machine.xics.plug(1)
    machine.xics.icp.set_cppr(1, 0xFF)
    assert (machine.icp(1), machine.ics(MSI)[3]) == (MSI_SHOWN, 0)
