"""Event queues: entries, the generation bit, sizes, writes that fail, queues over the tables.

Source: QEMU docs/specs/ppc-xive; the order of QEMU 7.2.
"""

import pytest

from outboard.guest.memory import Region
from tests.xive.ram_rig import ENDT, NVTT, QUEUE, READY, Rig

# QSIZE, the last index, its offset in bytes
GEOMETRY = [
    (0, 0x3FF, 0xFFC),
    (1, 0x7FF, 0x1FFC),
    (4, 0x3FFF, 0xFFFC),
    (9, 0x7FFFF, 0x1FFFFC),
    (12, 0x3FFFFF, 0xFFFFFC),
]


@pytest.fixture
def rig():
    made = Rig()
    made.nvt(0x10)
    return made


def test_entries_are_the_generation_and_31_bits_of_data(rig):
    rig.end(2, "vqn")
    for data in (0x10, 0x7FFFFFFF, 0, 0x12345678):
        rig.router.end_notify(0, 2, data)
    assert rig.queue(5) == [0x80000010, 0xFFFFFFFF, 0x80000000, 0x92345678, 0]
    assert rig.w1(2) == 0x00400004


def test_a_later_round_is_marked_by_the_other_generation(rig):
    rig.end(2, "vqn", w1=0)
    rig.router.end_notify(0, 2, 0x7FFFFFFF)
    assert rig.queue(2) == [0x7FFFFFFF, 0]
    assert rig.w1(2) == 1


@pytest.mark.parametrize(("qsize", "last", "offset"), GEOMETRY)
def test_the_generation_flips_behind_the_last_entry(rig, qsize, last, offset):
    rig.end(2, "vqn", qsize=qsize, w1=0xF0400000 | (last - 1))
    rig.router.end_notify(0, 2, 0x10)
    assert rig.w1(2) == 0xF0400000 | last
    rig.router.end_notify(0, 2, 0x11)
    assert rig.w1(2) == 0xF0000000
    rig.router.end_notify(0, 2, 0x12)
    assert rig.w1(2) == 0xF0000001
    assert rig.queue(2) == [0x12, 0]
    assert [rig.peek(QUEUE + offset + at) for at in (-8, -4, 0, 4)] == [0, 0x80000010, 0x80000011, 0]
    rig.end(2, "vqn", qsize=qsize, w1=last)
    rig.router.end_notify(0, 2, 0x13)
    assert rig.w1(2) == 0x00400000
    assert rig.peek(QUEUE + offset) == 0x13


def test_a_full_queue_is_overwritten(rig):
    rig.end(2, "vqn")
    for _ in range(1025):
        rig.router.end_notify(0, 2, 0x10)
    assert rig.w1(2) == 0x00000001
    assert rig.queue(1025) == [0x00000010, *[0x80000010] * 1023, 0]


@pytest.mark.parametrize(
    ("qsize", "w1", "after", "offset"),
    [
        (0, 0x00400400, 0x00400001, 0x1000),
        (0, 0x007FFFFF, 0x00000000, 0xFFFFFC),
        (15, 0x00400400, 0x00400401, 0x1000),
        # PAGE_OFF cannot count these queues through: it starts again, and the generation stays.
        (13, 0x003FFFFF, 0x00000000, 0xFFFFFC),
        (15, 0x007FFFFF, 0x00400000, 0xFFFFFC),
    ],
)
def test_an_index_that_does_not_fit_the_queue(rig, qsize, w1, after, offset):
    rig.end(2, "vqn", qsize=qsize, w1=w1)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.w1(2) == after
    assert rig.peek(QUEUE + offset) == (0x80000055 if w1 & 0x00400000 else 0x55)


def test_a_queue_may_lie_above_4_gib(rig):
    rig.memory.add(Region(0x0ABCDEF1_0000_0000, 1 << 40, memoryview(bytearray(0x1000))))
    rig.end(2, "vqn", queue=0xFABCDEF1_0000_0000, w1=0x00400001)  # bits 0 to 3 of word 2 are no part of it
    rig.router.end_notify(0, 2, 0x55)
    assert rig.memory.load(0x0ABCDEF1_0000_0004, 4) == 0x80000055


# Writes that fail


@pytest.mark.parametrize(
    ("queue", "w1", "line"),
    [
        (0x4000000, 0x00400000, "XIVE: failed to write END data @0x4000000"),
        (0x3FFF000, 0x00400400, "XIVE: failed to write END data @0x4000000"),
        (0x3FFFFFE, 0x00400000, "XIVE: failed to write END data @0x3fffffe"),
        (0x0FFFFFFF_FFFFFFFF, 0x00400002, "XIVE: failed to write END data @0x1000000000000007"),
        (0x4000000, 0x004003FF, "XIVE: failed to write END data @0x4000ffc"),
    ],
)
def test_a_failed_write_moves_nothing_and_notification_goes_on(rig, queue, w1, line):
    rig.end(2, "vq", queue=queue, w1=w1)
    rig.dispatch(0)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == [
        line,
        "xive_presenter_notify found NVT 0x0/0x10 ring=0x10",
        "xive_tctx_notify target=0 ring=0x10 IBP=0x02 PIPR=0x06 CPPR=0xff NSR=0x80 raise !",
    ]
    assert rig.w1(2) == 0x80000000 | w1
    assert rig.peek(0x3FFFFFC) == 0


def test_an_entry_over_the_border_of_two_regions_is_written_to_both(rig):
    more = bytearray(0x1000)
    rig.memory.add(Region(0x4000000, 1 << 40, memoryview(more)))
    rig.end(2, "vqn", queue=0x3FFFFFE)
    rig.router.end_notify(0, 2, 0x1234567)
    assert rig.told() == []
    assert rig.peek(0x3FFFFFE, 2) == 0x8123 and more[:3] == b"\x45\x67\0"


# Queues over the tables: what is written back is one word, what was read stays as it was read


def test_a_queue_over_its_own_end(rig):
    rig.end(2, "vqn", queue=ENDT + 64)
    before = [rig.peek(ENDT + 64 + 4 * at) for at in range(8)]
    rig.dispatch(0)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told()[0] == "xive_presenter_notify found NVT 0x0/0x10 ring=0x10"
    assert [rig.peek(ENDT + 64 + 4 * at) for at in range(8)] == [0x80000055, 0x00400001, *before[2:]]
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told()[0] == "xive_presenter_notify found NVT 0x0/0x10 ring=0x10"
    assert rig.queue(1) == [0]  # no queue any more


def test_a_queue_over_word_1_of_its_own_end(rig):
    rig.end(2, "vqn", queue=ENDT + 64, w1=0x00400001)
    rig.router.end_notify(0, 2, 0x7FFFFFFF)
    assert rig.w1(2) == 0x00400002


@pytest.mark.parametrize("page_off", range(2, 8))
def test_a_queue_over_the_words_that_are_still_needed(rig, page_off):
    rig.end(2, "vqne", queue=ENDT + 64, w1=READY | page_off, to=(0, 3, 0x77))
    rig.end(3, "v")
    rig.router.end_notify(0, 2, 0x7FFFFFFF)
    assert rig.told() == ["xive_router_end_escalate END 0x00/0x0002 -> escalate END 0x00/0x0003 data 0x00000077"]
    assert rig.peek(ENDT + 64 + 4 * page_off) == 0xFFFFFFFF
    assert rig.w1(2) == 0x20400001 + page_off


def test_a_queue_over_its_nvt_is_written_before_the_nvt_is_read(rig):
    rig.end(2, "vqnb", queue=NVTT + 64 * 0x10)
    rig.router.end_notify(0, 2, 0)
    assert rig.told() == []
    rig.poke(ENDT + 64 + 4, 0)
    rig.router.end_notify(0, 2, 0x7FFFFFFF)
    assert rig.told() == ["XIVE: NVT 0/10 is invalid"]
    rig.nvt(0x10)
    rig.poke(ENDT + 64 + 4, 4)
    rig.router.end_notify(0, 2, 0x12340056)
    assert rig.w4(0x10) == 0x12340256
