"""From a source's event to a thread, step by step. Source: QEMU docs/specs/ppc-xive; the order of QEMU 7.2."""

import pytest

from outboard.xive.events import Events
from outboard.xive.presenter import Presenter
from outboard.xive.router import Router
from tests.xive.ram_rig import QUEUE, READY, Rig

FOUND = "xive_presenter_notify found NVT 0x0/0x10 ring=0x10"
RAISED = "xive_tctx_notify target=0 ring=0x10 IBP=0x02 PIPR=0x06 CPPR=0xff NSR=0x80 raise !"


@pytest.fixture
def rig():
    made = Rig()
    made.nvt(0x10)
    made.eas(5, 0x8000000200000055)  # END 0/2, data 0x55
    return made


# The source's event


@pytest.mark.parametrize(
    ("lisn", "line"),
    [
        (0x100, "XIVE: Unknown LISN 100"),
        (0x0FFFFFFF, "XIVE: Unknown LISN fffffff"),
        (0x10000005, "XIVE: Unknown LISN 10000005"),
        (0xFFFFFFFF, "XIVE: Unknown LISN ffffffff"),
        (0x6, "XIVE: invalid LISN 6"),
        (0xFF, "XIVE: invalid LISN ff"),
    ],
)
@pytest.mark.parametrize("pq_checked", [True, False])
def test_a_source_without_a_valid_eas_is_told(rig, lisn, line, pq_checked):
    rig.source.tables()["status"][:] = bytes(0x80)
    rig.router.notify(lisn, pq_checked)
    # Without a source of that number in the controller its state buffer is off.
    assert rig.told() == ([line] if pq_checked or lisn != 0xFF else [])


def test_an_eas_is_valid_by_its_first_bit_alone(rig):
    rig.eas(5, 0x7FFFFFFFFFFFFFFF)
    rig.router.notify(5, True)
    assert rig.told() == ["XIVE: invalid LISN 5"]


def test_a_masked_event_is_lost_in_silence(rig):
    rig.end(2, "vqn")
    rig.eas(5, 0x8000000280000055)
    rig.router.notify(5, True)
    assert rig.told() == []
    assert rig.w1(2) == READY and rig.queue(1) == [0]


@pytest.mark.parametrize(
    ("eas", "line"),
    [
        (0x8000000300000055, "XIVE: END 0/3 is invalid"),
        (0xF000000300000055, "XIVE: END 0/3 is invalid"),  # bits 1 to 3 mean nothing
        (0x81000003_00000055, "XIVE: No END 1/3"),
        (0x8F000003_00000055, "XIVE: No END f/3"),
        (0x80FFFFFF_00000055, "XIVE: No END 0/ffffff"),
        (0x8FFFFFFF_7FFFFFFF, "XIVE: No END f/ffffff"),
        (0x80004000_00000055, "XIVE: No END 0/4000"),
    ],
)
def test_an_eas_names_block_and_index_of_an_end(rig, eas, line):
    rig.eas(5, eas)
    rig.router.notify(5, True)
    assert rig.told()[-1] == line


@pytest.mark.parametrize(("data", "entry"), [(0, 0x80000000), (0x55, 0x80000055), (0x7FFFFFFF, 0xFFFFFFFF)])
def test_an_eas_gives_the_data_of_the_queue_entry(rig, data, entry):
    rig.end(2, "vqn")
    rig.eas(5, 0x8000000200000000 | data)
    rig.router.notify(5, True)
    assert rig.queue(2) == [entry, 0]


# PQ bits that the controller keeps

TRIGGER = [(0, 2, True), (1, 1, False), (2, 3, False), (3, 3, False)]


@pytest.mark.parametrize(("pq", "after", "forwarded"), TRIGGER)
def test_an_unchecked_event_is_checked_here(rig, pq, after, forwarded):
    rig.end(2, "vqn")
    rig.source.set_pq(5, pq)
    rig.router.notify(5, False)
    assert rig.source.pq(5) == after
    assert rig.queue(1) == [0x80000055 if forwarded else 0]


@pytest.mark.parametrize("pq", range(4))
def test_a_checked_event_is_not_checked_again(rig, pq):
    rig.end(2, "vqn")
    rig.source.set_pq(5, pq)
    rig.router.notify(5, True)
    assert rig.source.pq(5) == pq
    assert rig.queue(1) == [0x80000055]


@pytest.mark.parametrize(
    ("eas", "line"), [(0, "XIVE: invalid LISN 5"), (0x8000000280000055, None)], ids=["invalid", "masked"]
)
def test_pq_moves_before_validity_and_mask_are_looked_at(rig, eas, line):
    rig.eas(5, eas)
    rig.source.set_pq(5, 0)
    rig.router.notify(5, False)
    assert rig.source.pq(5) == 2
    assert rig.told() == ([line] if line else [])
    rig.router.notify(5, False)
    assert rig.source.pq(5) == 3
    assert rig.told() == []


def test_pq_stays_when_there_is_no_eas(rig):
    rig.router.set_table(0, 0x10_0000, 5)
    rig.source.set_pq(5, 0)
    rig.router.notify(5, False)
    assert rig.source.pq(5) == 0
    assert rig.told() == ["XIVE: Unknown LISN 5"]


def test_a_source_that_does_not_check_leaves_it_to_the_router():
    rig = Rig(flags=0x4)
    rig.end(2, "vqn")
    rig.nvt(0x10)
    rig.eas(5, 0x8000000200000055)
    rig.source.set_pq(5, 0)
    rig.source.store(5 << 17, 0)
    rig.source.store(5 << 17, 0)
    assert rig.source.pq(5) == 3
    assert rig.queue(2) == [0x80000055, 0]


def test_without_a_source_controller_unchecked_events_stop(rig):
    rig.end(2, "vqn")
    rig.router.source = None
    rig.router.notify(5, False)
    assert rig.told() == [] and rig.queue(1) == [0]


def test_a_router_without_storage_has_nothing():
    events, lines = Events(), []
    events.listen(lambda event, values: lines.append(events.line(event, values)))
    router = Router(Presenter([0], events), Rig().memory, events)
    router.notify(1, False)
    router.end_notify(0, 1, 2)
    assert router.resend(0, 3) == -1
    assert lines == ["XIVE: Unknown LISN 1", "XIVE: No END 0/1", "XIVE: invalid NVT 0/3"]


# All the way


def test_an_event_goes_all_the_way_to_a_thread(rig):
    rig.end(2, "vqn")
    rig.dispatch(0)
    rig.router.notify(5, True)
    assert rig.told() == [FOUND, RAISED]
    assert rig.queue(2) == [0x80000055, 0]
    assert rig.w1(2) == 0x00400001
    assert rig.ring() == "80 ff 02 ff ff 00 ff 06"
    assert rig.outputs() == 1 and rig.outputs(1) == 0


def test_nobody_listens_and_nothing_differs(rig):
    quiet = Rig()
    quiet.events.unlisten(quiet.events.hooks[0])
    for one in (rig, quiet):
        one.nvt(0x10)
        one.eas(6, 0x8000000300000066)
        one.end(2, "vqb", w1=0x00400000)
        one.end(3, "vqbeu", queue=QUEUE + 0x1000, w6=0x11, to=(0, 2, 0x77))
        one.nvt(0x11)
        one.eas(5, 0x8000000200000055)
        one.dispatch(0)
        for lisn in (5, 6, 7, 0x200, 5, 6):
            one.router.notify(lisn, True)
    assert rig.ram[: QUEUE + 0x2000] == quiet.ram[: QUEUE + 0x2000]
    assert rig.presenter.tables()["rings"] == quiet.presenter.tables()["rings"]
