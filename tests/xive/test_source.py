"""The source controller: what it is made with, its inputs, its state. `test_esb_pages` has its pages."""

import pytest

from outboard.errors import LocalError
from outboard.xive.events import Events
from outboard.xive.source import Notifier, Source, ended, triggered
from tests.xive.rig import Rig

MSI, LSI = 5, 13


@pytest.mark.parametrize("nr_irqs", [0, -1])
def test_a_controller_without_sources_is_refused(nr_irqs):
    with pytest.raises(LocalError) as error:
        Source(Notifier(), nr_irqs, Events())
    assert str(error.value) == "Number of interrupt needs to be greater than 0"


@pytest.mark.parametrize("shift", [0, 11, 14, 15, 18, -1])
def test_a_page_setting_that_does_not_exist_is_refused(shift):
    with pytest.raises(LocalError) as error:
        Source(Notifier(), 1, Events(), shift)
    assert str(error.value) == f"Invalid ESB shift setting: {shift}; it is one of 12, 13, 16, 17"


def test_a_controller_has_two_64_kib_pages_a_source_when_nothing_is_said():
    source = Source(Notifier(), 0x2000, Events())
    assert (source.nr_irqs, source.shift, source.flags, source.size) == (0x2000, 17, 0, 0x40000000)


@pytest.mark.parametrize(("shift", "size"), [(12, 0x3000), (13, 0x6000), (16, 0x30000), (17, 0x60000)])
def test_the_region_has_room_for_every_source(shift, size):
    assert Source(Notifier(), 3, Events(), shift).size == size


def test_sources_are_off_at_first():
    source = Source(Notifier(), 9, Events())
    tables = source.tables()
    assert bytes(tables["status"]) == b"\1" * 9
    assert bytes(tables["lsi"]) == b"\0\0"
    assert [source.pq(srcno) for srcno in range(9)] == [1] * 9
    assert not any(source.is_lsi(srcno) for srcno in range(9))


def test_lsis_are_one_bit_a_source():
    source = Source(Notifier(), 17, Events())
    for srcno in (0, 7, 9, 16):
        source.make_lsi(srcno)
    assert bytes(source.tables()["lsi"]) == b"\x81\x02\x01"
    assert [srcno for srcno in range(17) if source.is_lsi(srcno)] == [0, 7, 9, 16]


def test_a_reset_turns_sources_off_and_leaves_lsis():
    rig = Rig()
    for srcno, status in ((0, 0), (1, 2), (2, 3), (LSI, 6)):
        rig.put(srcno, status)
    rig.source.reset()
    assert bytes(rig.source.tables()["status"]) == b"\1" * 16
    assert bytes(rig.source.tables()["lsi"]) == b"\x00\xf0"
    assert (rig.take(), rig.listener.take()) == ([], [])


def test_tables_are_the_state_itself():
    source = Source(Notifier(), 2, Events())
    tables = source.tables()
    tables["status"][1] = 2
    assert source.pq(1) == 2
    source.set_pq(0, 3)
    assert tables["status"][0] == 3
    source.reset()
    assert bytes(tables["status"]) == b"\1\1"


@pytest.mark.parametrize(("pq", "next_pq"), [(0b00, 0b10), (0b10, 0b11), (0b11, 0b11), (0b01, 0b01)])
def test_a_trigger_moves_pq(pq, next_pq):
    assert triggered(pq) == next_pq


@pytest.mark.parametrize(("pq", "next_pq"), [(0b00, 0b00), (0b10, 0b00), (0b11, 0b10), (0b01, 0b01)])
def test_an_end_of_interrupt_moves_pq(pq, next_pq):
    assert ended(pq) == next_pq


@pytest.mark.parametrize("srcno", [MSI, LSI])
def test_setting_pq_returns_the_old_and_forwards_nothing(srcno):
    rig = Rig()
    levels = (0, 4) if srcno == LSI else (0,)
    for status in (level | pq for level in levels for pq in range(4)):
        for pq in range(4):
            rig.put(srcno, status)
            assert rig.source.set_pq(srcno, pq) == status & 3
            assert rig.status(srcno) == status & 4 | pq
            assert rig.source.pq(srcno) == pq
            assert rig.take() == []


# Status before: status after, whether forwarded.
RAISED_FROM_LOW = {0: (6, True), 1: (5, False), 2: (6, False), 3: (7, False)}
RAISED = RAISED_FROM_LOW | {4: (6, True), 5: (5, False), 6: (6, False), 7: (7, False)}
LOWERED = {0: 0, 1: 1, 2: 2, 3: 3, 4: 0, 5: 1, 6: 2, 7: 3}
PULSED = {0: (2, True), 1: (1, False), 2: (3, False), 3: (3, False)}


@pytest.mark.parametrize("flags", [0, 2, 4, 6])
def test_an_input_that_goes_high_or_stays_high(flags):
    rig = Rig(flags=flags)
    for before, (after, forwards) in RAISED.items():
        rig.put(LSI, before)
        rig.source.set_irq(LSI, True)
        assert rig.listener.lines == ["forward 0xd"] * forwards
        assert rig.take() == [(LSI, True)] * forwards
        assert rig.status(LSI) == after


@pytest.mark.parametrize("flags", [0, 2, 4, 6])
def test_an_input_that_goes_low_or_stays_low(flags):
    rig = Rig(flags=flags)
    for before, after in LOWERED.items():
        rig.put(LSI, before)
        rig.source.set_irq(LSI, False)
        assert rig.listener.lines == []
        assert rig.take() == []
        assert rig.status(LSI) == after


def test_a_pulse_triggers_an_msi_when_it_rises():
    rig = Rig()
    for before, (after, forwards) in PULSED.items():
        rig.put(MSI, before)
        rig.source.set_irq(MSI, True)
        assert rig.status(MSI) == after
        rig.source.set_irq(MSI, False)
        assert rig.status(MSI) == after
        assert rig.listener.lines == ["forward 0x5"] * forwards
        assert rig.take() == [(MSI, True)] * forwards


def test_a_pulse_is_forwarded_unchecked_where_the_router_checks():
    rig = Rig(flags=4)
    for before in range(4):
        rig.put(MSI, before)
        rig.source.set_irq(MSI, True)
        rig.source.set_irq(MSI, False)
        assert rig.take() == [(MSI, False)]
        assert rig.status(MSI) == before


def test_an_lsi_raised_while_off_is_delivered_by_the_next_end_of_interrupt():
    rig = Rig()
    rig.put(LSI, 1)
    rig.source.set_irq(LSI, True)
    assert rig.source.load(0x1A0000 + 0x10C00) == 1
    assert (rig.status(LSI), rig.recorder.forwarded) == (4, [])
    assert rig.source.load(0x1A0000 + 0x10000) == 1
    assert (rig.status(LSI), rig.take()) == (6, [(LSI, True)])


def test_an_lsi_that_stays_high_comes_again_until_it_falls():
    rig = Rig()
    rig.put(LSI, 0)
    rig.source.set_irq(LSI, True)
    assert [rig.source.load(0x1B0000) for _ in range(3)] == [1, 1, 1]
    rig.source.set_irq(LSI, False)
    assert [rig.source.load(0x1B0000) for _ in range(2)] == [0, 0]
    assert (rig.status(LSI), rig.take()) == (0, [(LSI, True)] * 4)


@pytest.mark.parametrize("flags", [0, 4])
def test_trigger_and_eoi_say_what_is_to_be_forwarded_and_forward_nothing(flags):
    rig = Rig(flags=flags)
    rig.put(MSI, 0)
    assert [rig.source.trigger(MSI) for _ in range(3)] == ([True] * 3 if flags else [True, False, False])
    assert [rig.source.eoi(MSI) for _ in range(3)] == ([False] * 3 if flags else [True, False, False])
    assert rig.listener.take() == ["XIVE: invalid EOI for IRQ 5"] * (3 if flags else 0)
    assert rig.recorder.forwarded == []


def test_what_is_forwarded_says_whether_pq_was_checked():
    rig = Rig(flags=4)
    for srcno in (0, MSI, LSI, 15):
        rig.source.forward(srcno)
    assert rig.take() == [(0, False), (MSI, False), (LSI, True), (15, True)]


def test_nothing_is_said_to_nobody():
    rig = Rig()
    rig.events.unlisten(rig.listener)
    rig.source.load(0)
    rig.source.load(0x10000)
    rig.source.store(0x10400, 0)
    rig.source.store(0, 0)
    assert rig.listener.lines == []


def test_the_flags_may_be_changed():
    rig = Rig()
    rig.put(MSI, 3)
    rig.source.store(0xB0400, 0)
    assert rig.status(MSI) == 3
    rig.source.flags = 2
    rig.source.store(0xB0400, 0)
    assert (rig.status(MSI), rig.take()) == (2, [(MSI, True)])
