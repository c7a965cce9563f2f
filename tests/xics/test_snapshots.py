"""Pictures of a XICS, and what our own caller does wrong."""

from dataclasses import replace

import pytest

from outboard.errors import LocalError
from outboard.xics import Xics
from tests.xics.rig import LSI, MSI, Machine

pytestmark = pytest.mark.alike


@pytest.fixture
def xics():
    """CPUs 0 and 2 of three; an MSI is presented, a level waits."""
    xics = Machine((0, 8, 16)).xics
    xics.unplug(1)
    for number in (MSI, LSI):
        xics.ics.write_xive(number, 16, 5, 5)
    xics.icp.set_cppr(2, 0xFF)
    xics.pulse(MSI)
    xics.set_irq(LSI, 1)
    return xics


def test_everything_goes_back(xics):
    before, shows = xics.snapshot(), xics.pic()
    xics.plug(1)
    xics.reset()
    xics.free(MSI)
    xics.claim(0x1400)
    after = xics.snapshot()
    assert after != before and after.digest() != before.digest() and hash(after) != hash(before)
    xics.restore(before)
    assert (xics.snapshot(), hash(xics.snapshot()), xics.pic(), xics.irq(2)) == (before, hash(before), shows, True)
    assert xics.order == [0, 2] and xics.icp.find(8) is None
    xics.restore(after)
    assert (xics.snapshot(), xics.order) == (after, [0, 2, 1])


@pytest.mark.parametrize("table", ["xirr", "pending", "mfrr", "owned", "plugged", "lines"])
def test_every_table_of_the_icps_is_in_the_picture(xics, table):
    assert len(xics.snapshot().tables[table]) == (12 if table == "xirr" else 3)


@pytest.mark.parametrize("table", ["server", "priority", "saved", "status", "flags"])
def test_every_table_of_the_ics_is_in_the_picture(xics, table):
    assert len(xics.snapshot().tables[table]) == (0x4000 if table == "server" else 0x1000)


def test_lines_of_another_s_are_not_in_the_picture():
    lines = bytearray(1)
    xics = Xics((0,), lines=lines)
    before = xics.snapshot()
    lines[0] = 1
    assert xics.snapshot() == before
    xics.restore(before)
    assert xics.irq(0) and xics.icp.lines is lines


@pytest.mark.parametrize(
    "change",
    [
        lambda shot: None,
        lambda shot: Xics((0, 8)).snapshot(),
        lambda shot: Xics((0, 8, 24)).snapshot(),
        lambda shot: Xics((0, 8, 16), 0x1000, 0x400).snapshot(),
        lambda shot: Xics((0, 8, 16), lines=bytearray(3)).snapshot(),
        lambda shot: replace(shot, tables=shot.tables | {"status": b""}),
        lambda shot: replace(shot, tables=shot.tables | {"more": b""}),
        lambda shot: replace(shot, tables={"xirr": shot.tables["xirr"]}),
        lambda shot: replace(shot, order=(0,)),
        lambda shot: replace(shot, order=(0, 2, 2)),
        lambda shot: replace(shot, order=(0, 1, 2)),
        lambda shot: replace(shot, tables=shot.tables | {"xirr": b"\2\0\0\0" * 3}),
        lambda shot: replace(shot, tables=shot.tables | {"xirr": b"\0\x20\0\xff" * 3}),
    ],
)
def test_a_picture_that_does_not_fit_changes_nothing(xics, change):
    before = xics.snapshot()
    shot = change(before)
    xics.free(LSI)
    now = xics.snapshot()
    with pytest.raises(LocalError, match="snapshot"):
        xics.restore(shot)
    assert xics.snapshot() == now


def refused(xics, says, action, *arguments):
    before = xics.snapshot()
    with pytest.raises(LocalError, match=says):
        action(*arguments)
    assert xics.snapshot() == before


@pytest.mark.parametrize("number", [0, 2, 0xFFF, 0x2000, -1, 1 << 70, None, "1", 4096.0, b""])
def test_a_number_that_there_is_not(xics, number):
    for call in (xics.claim, xics.free, xics.is_claimed, xics.pulse):
        refused(xics, "XICS has no LISN .*; it has 0x1000 to 0x1fff", call, number)
    refused(xics, "XICS has no LISN", xics.set_irq, number, 1)


@pytest.mark.parametrize("cpu", [1, 3, -1, 1 << 70, None, "0", 0.0])
def test_a_cpu_that_is_not_there(xics, cpu):
    refused(xics, "no CPU .*; there are 0, 2 of 3", xics.unplug, cpu)
    assert not xics.is_plugged(cpu)
    if cpu != 1:
        refused(xics, "no CPU .*; there are 0, 2 of 3", xics.irq, cpu)


@pytest.mark.parametrize("cpu", [0, 2, 3, -1, None])
def test_a_cpu_that_cannot_be_plugged(xics, cpu):
    refused(xics, "cannot be plugged; there are 0, 2 of 3", xics.plug, cpu)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        *[((ids,), {}) for ids in ((), (0, 0), (-1,), (1 << 32,), ("0",), (None,))],
        *[(((0,), first, count), {}) for first, count in ((2, 8), (0, 8), (-5, 8), (3, 0), (3, -1), (0xFFFFFF, 2))],
        *[(((0,), first, count), {}) for first, count in (("3", 1), (3, None), (3.0, 1))],
        *[(((0, 1),), {"lines": lines}) for lines in (bytearray(1), bytearray(3), b"\0\0", [0, 0])],
        *[(((0, 1),), {"cpus": cpus}) for cpus in (3, -1, "1", 1.0)],
    ],
)
def test_controllers_that_cannot_be(arguments, options):
    with pytest.raises(LocalError):
        Xics(*arguments, **options)


def test_the_greatest_number_of_all():
    xics = Xics((0xFFFFFFFF,), 0xFFFFFF, 1)
    xics.icp.set_cppr(0, 0xFF)
    xics.ics.write_xive(0xFFFFFF, 0xFFFFFFFF, 5, 5)
    xics.pulse(0xFFFFFF)
    assert xics.icp.accept(0) == 0xFFFFFFFF


def test_the_digest_is_the_same_everywhere():
    assert Xics((0, 8), 0x1000, 0x10).snapshot().digest() == "efb63f6ebdf15d515206c40b470638e4"
