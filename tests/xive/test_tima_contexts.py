"""Contexts that are pushed to threads and pulled from them, through the TIMA, with their trace."""

import pytest

from tests.xive.tima_rig import HV, HW, OS, TimaRig

RING_OS, RING_POOL = 0x10, 0x20
SWAPS = pytest.mark.parametrize("swaps", [False, True], ids=["as in a register", "reversed"])


@pytest.fixture
def rig():
    return TimaRig()


def test_options_are_those_of_a_big_endian_host_when_nothing_is_said(rig):
    assert (rig.tima.swaps, rig.tima.pull_clears_first) == (False, True)


@SWAPS
@pytest.mark.parametrize("size", [4, 8])
def test_pulling_the_os_context(swaps, size):
    rig = TimaRig(swaps=swaps)
    rig.put_ring(RING_OS, "00 ff 04 ff ff 00 ff 05 80 00 04 00 12 34 56 78")
    rig.store(OS | 0x812, 1, 9)
    assert rig.outputs() == 1
    rig.told()
    value = 0x00040080 if swaps else 0x80000400
    assert rig.load(HV | 0x818, size) == value
    assert rig.told() == [f"xive_tctx_tm_read @0x10818 sz={size} val={value:#x}"]
    assert (rig.ring(RING_OS), rig.outputs()) == ("80 ff 04 ff ff 00 ff 05  00000400 12345678", 0)
    value = 0x00040000 if swaps else 0x00000400
    assert rig.load(HW | 0x818, size) == value
    assert rig.told() == [
        "XIVE: pulling invalid NVT 0/400 !?",
        f"xive_tctx_tm_read @0x818 sz={size} val={value:#x}",
    ]


def test_what_is_pulled_names_its_nvt(rig):
    rig.put_ring(0x18, "7f 9f ff fe")
    rig.load(HV | 0x818, 4)
    assert rig.told()[0] == "XIVE: pulling invalid NVT 3/7fffe !?"


@SWAPS
@pytest.mark.parametrize(("pull_clears", "value"), [(True, 0x00000123), (False, 0x80000123)])
def test_pulling_the_pool_context(swaps, pull_clears, value):
    rig = TimaRig(swaps=swaps, pull_clears_first=pull_clears)
    expected = {0x00000123: 0x23010000, 0x80000123: 0x23010080}[value] if swaps else value
    for size in (4, 8):
        rig.put_ring(RING_POOL, "00 00 10 07 00 00 00 03 80 00 01 23 00 00 00 00")
        assert rig.load(HV | 0x828, size) == expected
        assert rig.ring(RING_POOL) == "00 00 10 07 00 00 00 03  00000123 00000000"
        assert rig.told() == [f"xive_tctx_tm_read @0x10828 sz={size} val={expected:#x}"]
    assert rig.load(HV | 0x828, 4) == (0x23010000 if swaps else 0x00000123)
    assert rig.told() == [f"xive_tctx_tm_read @0x10828 sz=4 val={0x23010000 if swaps else 0x123:#x}"]


def test_pushing_a_context_takes_what_waits_in_its_nvt(rig):
    rig.router.w4[0, 0x400] = 0x12348456
    rig.put_ring(RING_OS, "00 ff 02 ff ff 00 ff 06")
    rig.store(HV | 0x018, 4, 0x80000400)
    assert rig.router.written == [(0, 0x400, 0x12340056)]
    assert (rig.ring(RING_OS), rig.outputs()) == ("80 ff 86 ff ff 00 ff 00  80000400 00000000", 1)
    assert rig.told() == [
        "xive_tctx_tm_write @0x10018 sz=4 val=0x80000400",
        "xive_tctx_notify target=1 ring=0x10 IBP=0x86 PIPR=0x00 CPPR=0xff NSR=0x80 raise !",
    ]


def test_pushing_a_context_tells_again_what_was_pending_when_it_was_pulled(rig):
    rig.router.w4[0, 0x400] = 0x12340056
    rig.put_ring(RING_OS, "80 ff 04 ff ff 00 ff 05 80 00 04 00")
    rig.load(HV | 0x818, 4)
    assert rig.outputs() == 0
    rig.store(HV | 0x018, 4, 0x80000400)
    assert (rig.ring(RING_OS)[:23], rig.outputs()) == ("80 ff 04 ff ff 00 ff 05", 1)
    assert rig.router.written == []


def test_pushing_a_context_without_nvt_leaves_its_word(rig):
    rig.put_ring(RING_OS, "00 ff 04 ff ff 00 ff ff")
    rig.store(HV | 0x018, 4, 0xFFFFFFFE)
    assert rig.told() == [
        "xive_tctx_tm_write @0x10018 sz=4 val=0xfffffffe",
        "XIVE: invalid NVT f/7fffe",
    ]
    assert (rig.ring(RING_OS), rig.outputs()) == ("00 ff 04 ff ff 00 ff ff  fffffffe 00000000", 0)


def test_pushing_an_invalid_context_asks_no_nvt(rig):
    rig.router.w4[0, 0x400] = 0x0000FF00
    rig.put_ring(RING_OS, "00 ff 04 ff ff 00 ff ff")
    rig.store(HW | 0x018, 4, 0x7F000400)
    assert rig.told() == ["xive_tctx_tm_write @0x18 sz=4 val=0x7f000400"]
    assert (rig.ring(RING_OS), rig.outputs()) == ("00 ff 04 ff ff 00 ff ff  7f000400 00000000", 0)
    assert rig.router.w4 == {(0, 0x400): 0x0000FF00}


def test_eight_bytes_are_no_push(rig):
    rig.router.w4[0, 0x400] = 0x0000FF00
    rig.put_ring(RING_OS, "00 ff 04 ff ff 00 ff ff")
    rig.store(HV | 0x018, 8, 0x80000400_11223344)
    assert (rig.ring(RING_OS), rig.outputs()) == ("00 ff 04 ff ff 00 ff ff  80000400 00000000", 0)
    assert rig.router.w4 == {(0, 0x400): 0x0000FF00}


@pytest.mark.parametrize(
    "make_valid",
    [
        lambda rig: rig.store(HV | 0x018, 8, 0x80000400_00000000),
        lambda rig: rig.store(HV | 0x018, 4, 0x80000400),
        lambda rig: rig.tima.push_os(1, 0x80000400),
        lambda rig: rig.store(HW | 0x028, 4, 0x80000400),
        lambda rig: rig.put_ring(0x18, "80 00 04 00"),
    ],
    ids=["raw", "push", "push by name", "pool", "state"],
)
def test_the_search_sees_at_once_who_came_and_who_went(rig, make_valid):
    assert rig.presenter.match(False, 0, 0x400, 0) == -1
    make_valid(rig)
    assert rig.presenter.match(False, 0, 0x400, 0) in (64 + 0x10, 64 + 0x20)
    rig.load(HV | 0x818, 4)
    rig.load(HV | 0x828, 4)
    assert rig.presenter.match(False, 0, 0x400, 0) == -1


def test_the_search_sees_the_hypervisor_s_thread(rig):
    assert rig.presenter.match(False, 0, 0x85, 0) == -1
    rig.store(HV | 0x038, 1, 0x80)
    assert rig.presenter.match(False, 0, 0x85, 0) == 64 + 0x30
    rig.store(HV | 0x038, 1, 0x7F)
    assert rig.presenter.match(False, 0, 0x85, 0) == -1
