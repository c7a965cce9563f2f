"""Pictures of a controller: what goes back with them."""

from dataclasses import replace

import pytest

from outboard.errors import LocalError
from outboard.spapr import PAPR, SpaprXive

PULL = 0x60302_0319_0818
PUSH = 0x60302_0319_0018


@pytest.fixture
def xive():
    made = SpaprXive(2)
    cpu = made.cpu(1)
    assert cpu.hcall("H_INT_SET_QUEUE_CONFIG", 1, 1, 6, 0x100000, 12) == (0,)
    assert cpu.hcall("H_INT_SET_SOURCE_CONFIG", 2, 1, 1, 6, 0x10) == (0,)
    cpu.set_cppr(0xFF)
    cpu.esb(1, 0xC00)
    return made


def test_a_context_that_was_pulled_is_found_again(xive):
    before = xive.snapshot()
    assert xive.cpu(1).load(PULL, 4) == 0x01040080
    pulled = xive.snapshot()
    xive.restore(before)
    xive.cpu(0).trigger(1)
    assert xive.cpu(1).irq()
    xive.restore(pulled)
    xive.cpu(0).trigger(1)
    assert not xive.cpu(1).irq()
    assert xive.memory.load(0x100000, 4) == 0x80000010


def test_a_context_that_moved_moves_back(xive):
    before = xive.snapshot()
    xive.cpu(1).load(PULL, 4)
    xive.cpu(0).store(PUSH, 4, 0x80000401)
    xive.restore(before)
    xive.cpu(0).trigger(1)
    assert (xive.cpu(0).irq(), xive.cpu(1).irq()) == (False, True)


def test_switches_go_back_too(xive):
    before = xive.snapshot()
    xive.cpu(1).problem_state = True
    xive.set_regions(esb_and_tima=False, end_esb=True)
    xive.negotiated = False
    after = xive.snapshot()
    assert after != before and after.digest() != before.digest()
    xive.restore(before)
    assert xive.snapshot() == before
    assert xive.cpu(1).hcall("H_INT_SYNC", 0, 1) == (0,)
    xive.restore(after)
    assert xive.cpu(1).hcall("H_INT_SYNC", 0, 1) == (-3,)


def test_ram_goes_back_with_its_pages(xive):
    before = xive.snapshot()
    assert xive.memory.write(0x1FFE, b"abcd")
    xive.cpu(0).store(0x3000, 8, 1)
    assert sorted(xive.snapshot().pages) == [1, 2, 3]
    xive.restore(before)
    assert xive.memory.read(0x1FFE, 4) == bytes(4) and xive.snapshot() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda shot: None,
        lambda shot: replace(shot, shape=SpaprXive(3).snapshot().shape),
        lambda shot: replace(shot, shape=SpaprXive(2, flavour=PAPR).snapshot().shape),
        lambda shot: replace(shot, tables=shot.tables | {"eat": b""}),
        lambda shot: replace(shot, tables={name: shot.tables[name] for name in ("status", "lsi")}),
        lambda shot: replace(shot, order=(0, 7)),
        lambda shot: replace(shot, order=(0,)),
        lambda shot: replace(shot, reporting_lines=()),
        lambda shot: replace(shot, problem_states=b"\0"),
    ],
)
def test_a_picture_that_does_not_fit_changes_nothing(xive, change):
    shot = xive.snapshot()
    xive.cpu(0).trigger(1)
    now = xive.snapshot()
    with pytest.raises(LocalError, match="snapshot"):
        xive.restore(change(shot))
    assert xive.snapshot() == now


def test_the_digest_is_the_same_everywhere():
    assert SpaprXive(1).snapshot().digest() == "bef636c2eaf5456c9ea0da0233cbd3a6"
