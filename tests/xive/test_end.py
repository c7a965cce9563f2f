"""From an END to a thread, step by step. Source: QEMU docs/specs/ppc-xive; the order of QEMU 7.2."""

import pytest

from tests.xive.ram_rig import ENDS, IGNORE, NVTS, OS, READY, USER_LEVEL, Rig

FOUND = "xive_presenter_notify found NVT 0x0/0x10 ring=0x10"
RAISED = "xive_tctx_notify target=0 ring=0x10 IBP=0x02 PIPR=0x06 CPPR=0xff NSR=0x80 raise !"


@pytest.fixture
def rig():
    made = Rig()
    made.nvt(0x10)
    return made


def test_no_end_is_told(rig):
    for blk, idx in ((0, ENDS), (1, 2), (15, 0xFFFFFF)):
        rig.router.end_notify(blk, idx, 0x55)
    assert rig.told() == ["XIVE: No END 0/4000", "XIVE: No END 1/2", "XIVE: No END f/ffffff"]


def test_an_invalid_end_is_traced_and_told_and_takes_nothing(rig):
    rig.end(2, "qnbeusf")
    rig.router.end_notify(0, 2, 0x7FFFFFFF)
    assert rig.told() == ["xive_router_end_notify END 0x00/0x0002 -> enqueue 0x7fffffff", "XIVE: END 0/2 is invalid"]
    assert rig.w1(2) == READY and rig.queue(1) == [0]


def test_an_end_without_a_queue_still_notifies(rig):
    rig.end(2, "vn")
    rig.dispatch(0)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == [FOUND, RAISED]
    assert rig.w1(2) == READY and rig.queue(1) == [0]


def test_priority_ff_masks_an_end_which_still_fills_its_queue(rig):
    rig.end(2, "vqbeu", w7=0x00FF0000, to=(0, 3, 1))
    rig.dispatch(0)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == []
    assert rig.queue(1) == [0x80000055]
    assert rig.w1(2) == 0x00400001  # ESn has not seen it
    assert rig.w4(0x10) == 0
    assert rig.ring() == "00 ff 00 ff ff 00 ff ff"


@pytest.mark.parametrize(("pq", "after", "forwarded"), [(0, 2, True), (1, 1, False), (2, 3, False), (3, 3, False)])
def test_esn_coalesces_notifications(rig, pq, after, forwarded):
    rig.end(2, "vq", w1=pq << 30 | 0x10000000 | READY)
    rig.dispatch(0)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == ([FOUND, RAISED] if forwarded else [])
    assert rig.w1(2) == after << 30 | 0x10000000 | 0x00400001


@pytest.mark.parametrize("pq", range(4))
def test_unconditional_notification_skips_esn(rig, pq):
    rig.end(2, "vn", w1=pq << 30)
    rig.dispatch(0)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == [FOUND, RAISED]
    assert rig.w1(2) == pq << 30


def test_bits_of_word_0_that_nobody_looks_at(rig):
    rig.end(2, "vn")
    rig.poke(0x20_0000 + 64, 0xA8F0FFFF)  # PRECL_ESC_CTL, reserved ones, SW0, HWDEP
    rig.dispatch(0)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == [FOUND, RAISED]


# The NVT


@pytest.mark.parametrize(
    ("w6", "line"),
    [
        (0x0000001F, "XIVE: NVT 0/1f is invalid"),
        (0xFF00001F, "XIVE: NVT 0/1f is invalid"),  # bits around block and index
        (0x00000400, "XIVE: no NVT 0/400"),
        (0x0007FFFF, "XIVE: no NVT 0/7ffff"),
        (0x00080010, "XIVE: no NVT 1/10"),
        (0x00780010, "XIVE: no NVT f/10"),
    ],
)
def test_an_end_without_a_valid_nvt_is_told_and_does_not_escalate(rig, w6, line):
    assert NVTS == 0x400
    rig.end(2, "vqbeu", w6=w6, to=(0, 3, 1))
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == [line]
    assert rig.w1(2) == 0x80400001  # ESn has been passed


def test_a_logical_server_is_refused_by_every_context(rig):
    rig.end(2, "vnb", w7=IGNORE | 0x00060000)
    rig.dispatch(0)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == ["XIVE: no support for LS NVT 0/10"] * 2
    assert rig.w4(0x10) == 0x0200  # nobody took it
    rig.presenter.enable(1, False)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == ["XIVE: no support for LS NVT 0/10"]


@pytest.mark.parametrize("w7", [0x00060000, 0x80060000, 0x00FF0000, 0xFFFFFFFF])
def test_a_user_level_event_is_looked_for_and_never_masked(w7):
    rig = Rig(undispatched=True)
    rig.nvt(0x10)
    rig.end(2, "v", w6=USER_LEVEL | 0x10, w7=w7)
    rig.dispatch(0)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == ["XIVE: NVT 0/10 is not dispatched"]
    assert rig.w1(2) == 0x80400000


def test_a_user_level_event_reaches_the_server_it_names(rig):
    rig.end(2, "vn", w6=USER_LEVEL | 0x10, w7=0x80000000 | 0x00060123)
    rig.dispatch(1)
    rig.presenter.set_w2(1, 0, 0x80060123)  # only a test can
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == ["xive_presenter_notify found NVT 0x0/0x10 ring=0x0"]
    assert rig.ring(1, 0) == "00 00 02 00 00 00 00 06"
    assert rig.outputs(1) == 0


def test_a_delivered_event_leaves_no_backlog_and_does_not_escalate(rig):
    rig.end(2, "vnbeu", to=(0, 3, 1))
    rig.dispatch(1)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == [FOUND, RAISED.replace("target=0", "target=1")]
    assert rig.w4(0x10) == 0


@pytest.mark.parametrize("priority", [8, 9, 100, 254])
def test_a_priority_without_a_bit_only_repeats_the_notify_test(rig, priority):
    rig.end(2, "vn", w7=priority << 16)
    rig.dispatch(0)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == [FOUND]
    assert rig.ring() == "00 ff 00 ff ff 00 ff ff"
    rig.set_ring("00 ff 05 ff ff 00 ff ff")
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == [FOUND, RAISED.replace("IBP=0x02 PIPR=0x06", "IBP=0x05 PIPR=0x05")]
    assert rig.ring(0, OS) == "80 ff 05 ff ff 00 ff 05"
