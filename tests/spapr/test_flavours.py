"""Every difference between QEMU 7.2 and PAPR, on both; and that nothing else differs. Of 10.0: `test_qemu_10`."""

import random

import pytest

from outboard.spapr import FLAVOURS, PAPR, QEMU_7_2, QEMU_10_0, SpaprXive
from outboard.spapr.flavours import DIFFERENCES
from tests.spapr.machine import perform
from tests.spapr.operations import HOSTILE, Draws, operations

MSI, LSI = 0x1300, 0x1200
HV_PAGE = 0x6030203190000
ONES = (1 << 64) - 1
QUEUE = 0x100000
OF_PAPR = [row for row in DIFFERENCES if row.papr != row.qemu_7_2]
OF_10 = [row for row in DIFFERENCES if row.qemu_10_0 != row.qemu_7_2]


def machine(flavour=QEMU_7_2, order="little", **options):
    sources = [(0, False), (MSI, False), (LSI, True), (LSI + 1, True)]
    return SpaprXive(2, vsmt=8, sources=sources, flavour=flavour, host_byteorder=order, **options)


def ready(xive, lisn=MSI):
    """Route a source to target 8, and let an event of it be on its way; return CPU 0."""
    cpu = xive.cpu(0)
    assert cpu.hcall("H_INT_SET_QUEUE_CONFIG", 1, 8, 6, QUEUE, 12) == (0,)
    assert cpu.hcall("H_INT_SET_SOURCE_CONFIG", 2, lisn, 8, 6, 0x33) == (0,)
    cpu.esb(lisn, 0xC00)
    cpu.trigger(lisn)
    return cpu


def test_the_flavours():
    assert list(FLAVOURS) == ["qemu-7.2", "qemu-10.0", "papr"]
    assert len({row.name for row in DIFFERENCES}) == len(DIFFERENCES)
    for row in DIFFERENCES:
        assert len({row.qemu_7_2, row.qemu_10_0, row.papr}) == 2
        values = tuple(getattr(flavour, row.name) for flavour in FLAVOURS.values())
        assert values == (row.qemu_7_2, row.qemu_10_0, row.papr)
    assert all(f"test_{row.name}" in globals() for row in OF_PAPR), "each has a test"


@pytest.mark.parametrize("order", ["little", "big"])
def test_reset_resets(order):
    theirs, ours = machine(order=order), machine(PAPR, order)
    for xive in (theirs, ours):
        ready(xive).set_cppr(0xFF)
        xive.set_irq(LSI, 1)
    before, context = theirs.snapshot(), bytes(ours.presenter.tables()["rings"])
    assert theirs.cpu(0).hcall("H_INT_RESET", 0) == ours.cpu(0).hcall("H_INT_RESET", 0) == (0,)
    assert theirs.snapshot() == before
    fresh, now = machine(PAPR, order).snapshot().tables, ours.snapshot().tables
    assert [now[name] for name in ("eat", "endt", "lsi")] == [fresh[name] for name in ("eat", "endt", "lsi")]
    assert {at: byte for at, byte in enumerate(now["status"]) if byte != 1} == {LSI: 5}, "off; the input is still high"
    assert bytes(ours.presenter.tables()["rings"]) == context, "contexts are the vCPUs'"
    assert ours.negotiated
    changed = ours.snapshot()
    assert ours.cpu(0).hcall("H_INT_RESET", 1) == (-4,)
    assert ours.snapshot() == changed


def test_has_reporting_line():
    theirs, ours = machine().cpu(1), machine(PAPR).cpu(1)
    for words in ((0, 0x1000), (1, 0), (0, ONES)):
        assert theirs.hcall("H_INT_SET_OS_REPORTING_LINE", *words) == (-2,)
        assert theirs.hcall("H_INT_GET_OS_REPORTING_LINE", *words) == (-2,)
    assert ours.hcall("H_INT_GET_OS_REPORTING_LINE", 0, 8) == (0, ONES)
    before = ours.xive.snapshot()
    for words, code in (((1, 0x1000), -4), ((0, 0x1080), -55), ((0, ONES - 0xFF), -55), ((0, 1 << 28), -55)):
        assert ours.hcall("H_INT_SET_OS_REPORTING_LINE", *words) == (code,)
    assert ours.hcall("H_INT_GET_OS_REPORTING_LINE", 1, 8) == (-4,)
    assert ours.hcall("H_INT_GET_OS_REPORTING_LINE", 0, 1) == (-55,)
    assert ours.xive.snapshot() == before
    assert ours.hcall("H_INT_SET_OS_REPORTING_LINE", 0, 0x1100) == (0,)
    assert ours.xive.snapshot() != before
    assert ours.hcall("H_INT_GET_OS_REPORTING_LINE", 0, 8) == (0, 0x1100)
    assert ours.hcall("H_INT_GET_OS_REPORTING_LINE", 0, 0) == (0, ONES), "one for each vCPU"
    assert ours.hcall("H_INT_SET_OS_REPORTING_LINE", 0, 0) == (0,)
    assert ours.xive.snapshot() == before


def test_generation_from_lsb():
    for flavour, shows in ((QEMU_7_2, 0x4000000000000001), (PAPR, 0x3)):
        cpu = ready(machine(flavour))
        assert cpu.hcall("H_INT_GET_QUEUE_CONFIG", 0, 8, 6) == (0, 1, QUEUE, 12, 0)
        assert cpu.hcall("H_INT_GET_QUEUE_CONFIG", 1, 8, 6) == (0, shows, QUEUE, 12, 1)
        for _ in range(1023):
            cpu.store(0x6010000010800 + MSI * 0x20000, 8, 0)
        assert cpu.hcall("H_INT_GET_QUEUE_CONFIG", 1, 8, 6) == (0, 1, QUEUE, 12, 0)


def test_config_from_queue():
    for flavour, shows in ((QEMU_7_2, (0xFFFFFC00, 0)), (PAPR, (8, 5))):
        cpu = ready(machine(flavour))
        assert cpu.hcall("H_INT_GET_SOURCE_CONFIG", 0, MSI) == (0, 8, 6, 0x33)
        assert cpu.hcall("H_INT_SET_SOURCE_CONFIG", 0, MSI, 8, 5, 0) == (0,)
        assert cpu.hcall("H_INT_GET_SOURCE_CONFIG", 0, MSI) == (0, *shows, 0x33), "no queue there"
        assert cpu.hcall("H_INT_SET_SOURCE_CONFIG", 1, MSI, 8, 6, 0) == (0,)
        assert cpu.hcall("H_INT_GET_SOURCE_CONFIG", 0, MSI) == (0, 8, 0xFF, 0x33)


def test_eisn_starts_as_lisn():
    for flavour, shows in ((QEMU_7_2, (0xFFFFFC00, 0xFF, 0)), (PAPR, (0, 0xFF, MSI))):
        cpu = machine(flavour).cpu(0)
        assert cpu.hcall("H_INT_GET_SOURCE_CONFIG", 0, MSI) == (0, *shows)
        ready(cpu.xive)
        assert cpu.hcall("H_INT_SET_SOURCE_CONFIG", 0, MSI, 0, 0xFF, 9) == (0,)
        assert cpu.hcall("H_INT_GET_SOURCE_CONFIG", 0, MSI) == (0, *shows), "and is so again"
        cpu.xive.reset()
        assert cpu.xive.router.read_eas(MSI) == 0x8000000080000000 | shows[2]


@pytest.mark.parametrize(("target", "prio"), [(8, 0x106), ((1 << 32) + 8, 6), (1 << 63 | 8, 0x1_0000_0006)])
def test_cuts_arguments(target, prio):
    both = [machine(flavour) for flavour in (QEMU_7_2, PAPR)]
    bad_target = target != 8 and prio == 6
    for name, words, code in (
        ("H_INT_SET_QUEUE_CONFIG", (1, target, prio, QUEUE, 12), -55 if bad_target else -56),
        ("H_INT_GET_QUEUE_CONFIG", (1, target, prio), -55 if bad_target else -56),
        ("H_INT_GET_QUEUE_INFO", (0, target, prio), -55 if bad_target else -56),
        ("H_INT_SET_SOURCE_CONFIG", (2, MSI, target, prio, 5), -56 if bad_target else -57),
    ):
        assert both[0].cpu(0).hcall(name, *words)[0] == 0
        before = both[1].snapshot()
        assert both[1].cpu(0).hcall(name, *words) == (code,)
        assert both[1].snapshot() == before
    assert both[0].router.read_end(8 * 8 + 6).valid


@pytest.mark.parametrize(
    ("flavour", "order", "swapped"),
    [(QEMU_7_2, "little", True), (QEMU_7_2, "big", False), (PAPR, "little", False), (PAPR, "big", False)],
)
def test_leaks_host_order(flavour, order, swapped):
    cpu = ready(machine(flavour, order), LSI)
    for _ in range(2):
        assert cpu.hcall("H_INT_ESB", 0, LSI, 0x800, 0) == (0, 2 << 56 if swapped else 2)
        assert cpu.hcall("H_INT_ESB", 1, LSI, 0, 0x1234) == (0, ONES)
        assert cpu.hcall("H_INT_ESB", 0, LSI, 0xE00, 0) == (0, 3 << 56 if swapped else 3)
    assert cpu.load(HV_PAGE + 0x818, 4) == (0x00040080 if swapped else 0x80000400)
    assert cpu.load(HV_PAGE + 0x818, 8) == (0x00040000 if swapped else 0x00000400)
    written = []
    cpu.xive.events.listen(lambda event, values: written.append(cpu.xive.events.line(event, values)))
    cpu.hcall("H_INT_ESB", 1, LSI, 0xC00, 0x1122334455667788)
    data = 0x8877665544332211 if swapped else 0x1122334455667788
    assert [line for line in written if line.endswith(f"val={data:#x}") and "esb_write" in line]


def test_esb_reaches_neighbour():
    theirs, ours = (ready(machine(flavour), LSI) for flavour in (QEMU_7_2, PAPR))
    for cpu in (theirs, ours):
        cpu.esb(LSI + 1, 0xC00)
        assert cpu.hcall("H_INT_ESB", 0, LSI, 0x20001, 0) == (-56,)
        assert cpu.hcall("H_INT_ESB", 0, LSI, 4, 0) == (-1,)
        assert cpu.hcall("H_INT_ESB", 0, LSI, 0xFFF8, 0)[0] == 0
    before = ours.xive.snapshot()
    for offset in (0x10000, 0x10008, 0x1FFF8, 0x20000):
        assert theirs.hcall("H_INT_ESB", 1, LSI, offset, 0) == (0, ONES)
        assert ours.hcall("H_INT_ESB", 1, LSI, offset, 0) == (-56,)
    assert theirs.xive.source.pq(LSI + 1) == 3
    assert theirs.hcall("H_INT_ESB", 0, LSI, 0x20000, 0) == (0, 1 << 56)
    assert ours.xive.snapshot() == before
    single = machine(esb_shift=16).cpu(0)
    assert single.hcall("H_INT_ESB", 0, LSI, 0x10000, 0) == (0, 0), "with one page too, the next source's"
    assert machine(PAPR, esb_shift=16).cpu(0).hcall("H_INT_ESB", 0, LSI, 0x10000, 0) == (-56,)


def test_esb_for_any_source():
    theirs, ours = (ready(machine(flavour)) for flavour in (QEMU_7_2, PAPR))
    assert theirs.hcall("H_INT_ESB", 0, MSI, 0x800, 0) == (0, 2 << 56)
    assert ours.hcall("H_INT_ESB", 0, MSI, 0x800, 0) == (-55,)
    assert ours.hcall("H_INT_ESB", 2, MSI, 0x800, 0) == (-4,)
    assert ours.hcall("H_INT_ESB", 0, LSI, 0x800, 0) == (0, 1)


def test_pull_clears_first():
    for flavour, order, first in (
        (QEMU_7_2, "little", 0x23010000),
        (QEMU_7_2, "big", 0x00000123),
        (PAPR, "little", 0x80000123),
    ):
        cpu = machine(flavour, order).cpu(0)
        cpu.store(0x6030203180028, 4, 0x80000123)
        assert cpu.load(HV_PAGE + 0x828, 4) == first
        assert cpu.load(HV_PAGE + 0x828, 8) == (0x23010000 if flavour is QEMU_7_2 and order == "little" else 0x123)
        assert cpu.load(0x6030203180028, 4) == 0x123


@pytest.mark.parametrize("row", DIFFERENCES, ids=lambda row: row.name)
def test_each_row_is_a_switch_of_its_own(row):
    """With one row turned, a long sequence goes otherwise than QEMU 7.2's; with all rows back, it does not."""
    alone = QEMU_7_2._replace(**{row.name: not row.qemu_7_2})
    assert history(alone) != history(QEMU_7_2)


def test_all_rows_make_the_flavour():
    assert history(QEMU_10_0._replace(**{row.name: row.qemu_7_2 for row in OF_10})) == history(QEMU_7_2)
    assert history(PAPR._replace(**{other.name: other.qemu_7_2 for other in DIFFERENCES})) == history(QEMU_7_2)


def history(flavour):
    xive = SpaprXive(2, sources=[(0, False), (1, False), (MSI, False), (LSI, True)], flavour=flavour)
    extra = [
        ("negotiate", True),
        ("set_regions", True, False),
        ("claim", MSI, False),
        ("claim", LSI, True),
        ("hcall", 0, 0x3BC, 1, 0, 6),
        ("hcall", 0, 0x3B4, 0, 0, 0x106),
        ("hcall", 0, 0x3C4, 0, 0),
        ("hcall", 0, 0x3C8, 0, LSI, 0xE00, 0),
        ("hcall", 0, 0x3C8, 0, LSI, 0x800, 0),
        ("hcall", 0, 0x3C8, 0, LSI, 0x10000, 0),
        ("hcall", 0, 0x3C8, 0, MSI, 0x800, 0),
        ("hcall", 0, 0x3B8, 0, 0, 0, 0, 0),
        ("hcall", 0, 0x3AC, 0, MSI, 0, 0xFF, 0),
        ("hcall", 0, 0x3B0, 0, MSI),
        ("store", 0, 0x6030203180028, 4, 0x80000123),
        ("load", 0, HV_PAGE + 0x828, 4),
        ("store", 0, HV_PAGE + 0x10, 4, 0x4107FFFF),
        ("store", 0, HV_PAGE + 0x812, 1, 2),
        ("load", 0, HV_PAGE + 0x810, 2),
        ("store", 0, HV_PAGE + 0x10, 4, 0x8107FFFF),
        ("load", 0, HV_PAGE + 0x850, 2),
        ("store", 0, 0x6030203180028, 4, 0x80000400),
        ("load", 0, HV_PAGE + 0x818, 4),
        ("hcall", 0, 0x3B8, 1, 0, 6, QUEUE, 12),
        ("hcall", 0, 0x3AC, 0, MSI, 0, 6, 0x33),
        ("store", 0, 0x6010000010800 + MSI * 0x20000, 8, 0),
        ("store", 0, HV_PAGE + 0x24, 4, 0x11223344),
        ("store", 0, HV_PAGE + 0x38, 1, 0x80),
        ("load", 0, HV_PAGE + 0x838, 1),
        ("hcall", 0, 0x3D0, 0),
    ]
    listed = [*operations(Draws(random.Random(3), 2), 300, HOSTILE), *extra]
    return [perform(xive, *operation) for operation in listed], xive.snapshot().tables
