"""What an NVT keeps for a virtual processor that no thread runs, and how it gets it when it is dispatched.

Source: QEMU docs/specs/ppc-xive; the order of QEMU 7.2.
"""

import pytest

from tests.xive.ram_rig import USER_LEVEL, Rig

PUSH = "xive_tctx_tm_write @0x10018 sz=4 val=0x80000010"


@pytest.fixture
def rig():
    made = Rig()
    made.nvt(0x10)
    made.end(2, "vnb")
    return made


def push(rig, w2=0x80000010):
    rig.tima.store(0, 0x10018, 4, w2)


@pytest.mark.parametrize(
    ("priority", "w4"),
    [(0, 0x8000), (1, 0x4000), (2, 0x2000), (3, 0x1000), (4, 0x0800), (5, 0x0400), (6, 0x0200), (7, 0x0100)],
)
def test_the_backlog_has_a_bit_for_each_priority(rig, priority, w4):
    rig.end(2, "vnb", w7=priority << 16)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.w4(0x10) == w4
    assert rig.told() == []


def test_the_backlog_gathers_and_the_rest_of_its_word_stays(rig):
    rig.nvt(0x10, w4=0xFFFF01FF)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.w4(0x10) == 0xFFFF03FF
    assert rig.peek(0x40_0000 + 64 * 0x10) == 0x80000000


@pytest.mark.parametrize("priority", [8, 100, 254])
def test_priorities_without_a_bit_leave_no_backlog(rig, priority):
    rig.end(2, "vnb", w7=priority << 16)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.w4(0x10) == 0


def test_without_the_flag_nothing_is_kept(rig):
    rig.end(2, "vn")
    rig.router.end_notify(0, 2, 0x55)
    assert rig.w4(0x10) == 0


@pytest.mark.parametrize("undispatched", [False, True])
def test_user_level_events_have_no_backlog(undispatched):
    rig = Rig(undispatched=undispatched)
    rig.nvt(0x10)
    rig.end(2, "vnbeu", w6=USER_LEVEL | 0x10, to=(0, 3, 1))
    rig.router.end_notify(0, 2, 0x55)
    said = ["XIVE: NVT 0/10 is not dispatched"] if undispatched else []
    assert rig.told() == [*said, "XIVE: END 0/2 invalid config: F1 & backlog"]
    assert rig.w4(0x10) == 0


# Push


def test_a_push_takes_the_backlog_and_raises_the_line(rig):
    rig.nvt(0x10, w4=0xFFFF00FF)
    rig.router.end_notify(0, 2, 0x55)
    rig.dispatch(0, w2=0)
    push(rig)
    assert rig.told() == [
        PUSH,
        "xive_tctx_notify target=0 ring=0x10 IBP=0x02 PIPR=0x06 CPPR=0xff NSR=0x80 raise !",
    ]
    assert rig.w4(0x10) == 0xFFFF00FF
    assert rig.ring() == "80 ff 02 ff ff 00 ff 06"
    assert rig.outputs() == 1
    assert rig.presenter.w2(0, 0x10) == 0x80000010


def test_a_push_adds_to_what_is_pending(rig):
    rig.nvt(0x10, w4=0x8100)
    rig.set_ring("00 00 04 ff ff 00 ff 05")
    push(rig)
    assert rig.told() == [PUSH]  # 0 is not more favoured than CPPR 0
    assert rig.w4(0x10) == 0
    assert rig.ring() == "00 00 85 ff ff 00 ff 00"
    assert rig.outputs() == 0


def test_a_push_without_a_backlog_repeats_the_notify_test(rig):
    rig.set_ring("80 ff 04 ff ff 00 ff 05")
    push(rig)
    assert rig.told() == [PUSH, "xive_tctx_notify target=0 ring=0x10 IBP=0x04 PIPR=0x05 CPPR=0xff NSR=0x80 raise !"]
    assert rig.outputs() == 1


def test_a_push_of_a_context_that_is_not_valid_takes_nothing(rig):
    rig.nvt(0x10, w4=0x8100)
    rig.set_ring("00 ff 04 ff ff 00 ff 05")
    push(rig, 0x00000010)
    assert rig.told() == ["xive_tctx_tm_write @0x10018 sz=4 val=0x10"]
    assert rig.w4(0x10) == 0x8100
    assert rig.ring() == "00 ff 04 ff ff 00 ff 05"


@pytest.mark.parametrize(
    ("w2", "line"),
    [
        (0x80000400, "XIVE: invalid NVT 0/400"),
        (0x80080010, "XIVE: invalid NVT 1/10"),
        (0xFFFFFFFF, "XIVE: invalid NVT f/7ffff"),
    ],
)
def test_a_push_of_an_unknown_nvt_is_told_and_stays_pushed(rig, w2, line):
    rig.set_ring("00 ff 04 ff ff 00 ff 05")
    push(rig, w2)
    assert rig.told() == [f"xive_tctx_tm_write @0x10018 sz=4 val=0x{w2:x}", line]
    assert rig.presenter.w2(0, 0x10) == w2
    assert rig.ring() == "00 ff 04 ff ff 00 ff 05"
    assert rig.outputs() == 0


def test_a_push_does_not_ask_whether_its_nvt_is_valid(rig):
    rig.nvt(0x10, w0=0, w4=0x0200)
    push(rig)
    assert rig.told() == [PUSH]
    assert rig.ring()[:8] == "00 00 02" and rig.w4(0x10) == 0


def test_resend_answers_with_the_backlog(rig):
    rig.nvt(0x10, w4=0x12348156)
    assert rig.router.resend(0, 0x10) == 0x81
    assert rig.router.resend(0, 0x10) == 0
    assert rig.router.resend(0, 0x400) == -1
    assert rig.w4(0x10) == 0x12340056


def test_pulled_notified_and_pushed_again_an_event_arrives(rig):
    rig.dispatch(0)
    rig.tima.load(0, 0x10818, 4)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.w4(0x10) == 0x0200 and rig.outputs() == 0
    push(rig)
    assert rig.outputs() == 1
    assert rig.tima.load(0, 0x10810, 2) == 0x8006
