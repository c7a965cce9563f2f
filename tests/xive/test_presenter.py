"""The search for a thread and the rings of the one that is found. Source: QEMU docs/specs/ppc-xive; QEMU 7.2."""

import pytest

from outboard.errors import LocalError
from outboard.xive.events import Events
from outboard.xive.presenter import NOWHERE, SEVERAL, Presenter
from tests.xive.ram_rig import OS, PHYS, POOL, Rig

USER = 0x00
DUPLICATE = "XIVE: already found a thread context NVT 0/81"
NOT_DISPATCHED = "XIVE: NVT 0/81 is not dispatched"


@pytest.fixture
def rig():
    return Rig(threads=3, undispatched=True)


def present(rig, nvt_idx=0x81, priority=6, nvt_blk=0, user=False, server=0):
    return rig.presenter.present(user, nvt_blk, nvt_idx, False, priority, server)


# Who is found


def test_of_one_threads_rings_phys_comes_before_pool_and_pool_before_os(rig):
    for ring, w2 in ((OS, 0x80000081), (POOL, 0x80000081), (PHYS, 0x80000000)):
        rig.presenter.set_w2(1, ring, w2)  # thread 1 has hardware CAM line 0x81
    found = []
    for ring in (PHYS, POOL, OS):
        assert present(rig)
        found += [line for line in rig.told() if "found" in line]
        rig.presenter.set_w2(1, ring, 0x00000081)
    assert found == [
        "xive_presenter_notify found NVT 0x0/0x81 ring=0x30",
        "xive_presenter_notify found NVT 0x0/0x81 ring=0x20",
        "xive_presenter_notify found NVT 0x0/0x81 ring=0x10",
    ]
    assert not present(rig)
    assert rig.told() == [NOT_DISPATCHED]


@pytest.mark.parametrize("order", [(OS, PHYS), (PHYS, OS), (POOL, OS), (OS, POOL), (PHYS, POOL), (POOL, PHYS)])
def test_the_order_in_which_rings_became_valid_does_not_matter(rig, order):
    for ring in order:
        rig.presenter.set_w2(1, ring, 0x80000081)
    assert present(rig)
    assert rig.told()[0] == f"xive_presenter_notify found NVT 0x0/0x81 ring=0x{max(order):x}"


@pytest.mark.parametrize("w2", [0x80000000, 0x83000001, 0xFFFFFFFF])
def test_the_hardware_ring_needs_its_valid_bit_and_no_more(rig, w2):
    rig.presenter.set_w2(2, PHYS, w2)
    assert present(rig, 0x82)
    rig.presenter.set_w2(2, PHYS, w2 & 0x7FFFFFFF)
    assert not present(rig, 0x82)


@pytest.mark.parametrize(("pir", "nvt"), [(0, 0x80), (0x7F, 0xFF), (0x80, 0x80), (0x181, 0x81), (0xFFFFFFFF, 0xFF)])
def test_the_hardware_cam_line_has_seven_bits_of_the_pir(pir, nvt):
    presenter = Presenter([pir], Events())
    presenter.enable(0, True)
    presenter.set_w2(0, PHYS, 0x80000000)
    assert [idx for idx in range(0x200) if presenter.match(False, 0, idx, 0) != NOWHERE] == [nvt]


@pytest.mark.parametrize("ring", [OS, POOL])
@pytest.mark.parametrize(
    ("w2", "blk", "idx"),
    [
        (0x80000000, 0, 0),
        (0xFF000010, 0, 0x10),  # bits 1 to 7 are no part of the CAM line
        (0x8007FFFF, 0, 0x7FFFF),
        (0x80080010, 1, 0x10),
        (0x807FFFFF, 15, 0x7FFFF),
    ],
)
def test_a_cam_line_is_block_and_index(rig, ring, w2, blk, idx):
    rig.presenter.set_w2(1, ring, w2)
    assert rig.presenter.match(False, blk, idx, 0) == 64 + ring
    assert rig.presenter.match(False, blk ^ 1, idx, 0) == NOWHERE
    assert rig.presenter.match(False, blk, idx ^ 1, 0) == NOWHERE


def test_a_cam_line_of_24_bits_has_no_nvt(rig):
    rig.presenter.set_w2(1, OS, 0x80800010)
    assert rig.presenter.match(False, 0, 0x10, 0) == NOWHERE


@pytest.mark.parametrize("rings", [(OS, OS), (OS, POOL), (POOL, OS), (PHYS, OS), (POOL, PHYS)])
def test_two_threads_with_one_cam_line_get_nothing(rig, rings):
    # Thread 1 has the hardware CAM line; for the other one there is a third thread.
    first, second = (1, 2) if rings[0] == PHYS else (2, 1)
    for thread, ring in zip((first, second), rings, strict=True):
        rig.presenter.set_w2(thread, ring, 0x80000081)
        rig.set_ring("00 ff 00 ff ff 00 ff ff", thread, ring)
    assert rig.presenter.match(False, 0, 0x81, 0) == SEVERAL
    rig.told()
    assert not present(rig)
    assert rig.told() == [DUPLICATE]
    for thread, ring in zip((first, second), rings, strict=True):
        assert rig.ring(thread, ring) == "00 ff 00 ff ff 00 ff ff"
        assert rig.outputs(thread) == 0


def test_three_of_them_are_told_once(rig):
    for thread in range(3):
        rig.presenter.set_w2(thread, OS, 0x80000081)
        rig.presenter.set_w2(thread, POOL, 0x80000081)
    assert not present(rig)
    assert rig.told() == [DUPLICATE]


def test_a_thread_that_is_not_enabled_is_not_looked_at(rig):
    for thread in (0, 1):
        rig.presenter.set_w2(thread, OS, 0x80000081)
    rig.presenter.enable(0, False)
    assert rig.presenter.match(False, 0, 0x81, 0) == 64 + OS
    rig.presenter.enable(1, False)
    assert not present(rig)
    assert rig.told() == [NOT_DISPATCHED]
    rig.presenter.enable(0, True)
    assert rig.presenter.match(False, 0, 0x81, 0) == OS


def test_threads_start_disabled_and_reset():
    presenter = Presenter([0, 1], Events())
    fresh = "00" * 16 + "000000ffff00ffff" + "00" * 8 + "00" * 16 + "00000000000000ff" + "00" * 8
    assert bytes(presenter.tables()["rings"]).hex() == fresh * 2
    assert bytes(presenter.tables()["lines"]) == bytes(presenter.tables()["enabled"]) == bytes(2)


@pytest.mark.parametrize("pirs", [[], [-1], [1 << 32]])
def test_threads_need_a_pir(pirs):
    with pytest.raises(LocalError, match="PIR"):
        Presenter(pirs, Events())


# User-level events


@pytest.mark.parametrize(
    ("user_w2", "os_w2", "found"),
    [
        (0x80000123, 0x80000081, True),
        (0x00000123, 0x80000081, False),
        (0x80000123, 0x00000081, False),
        (0x80000123, 0x80000082, False),
        (0x81000123, 0x80000081, False),  # all 31 bits of the server count
    ],
)
def test_a_user_level_event_needs_both_rings(rig, user_w2, os_w2, found):
    rig.presenter.set_w2(1, USER, user_w2)
    rig.presenter.set_w2(1, OS, os_w2)
    assert present(rig, user=True, server=0x123) is found
    assert rig.told() == ["xive_presenter_notify found NVT 0x0/0x81 ring=0x0" if found else NOT_DISPATCHED]


def test_a_user_level_event_looks_at_no_other_ring(rig):
    rig.presenter.set_w2(1, USER, 0x80000000)
    rig.presenter.set_w2(1, POOL, 0x80000081)
    rig.presenter.set_w2(1, PHYS, 0x80000081)
    assert not present(rig, user=True)


def test_servers_tell_threads_of_one_nvt_apart(rig):
    for thread, server in ((0, 5), (1, 6), (2, 6)):
        rig.presenter.set_w2(thread, USER, 0x80000000 | server)
        rig.presenter.set_w2(thread, OS, 0x80000081)
    assert rig.presenter.match(True, 0, 0x81, 5) == 0
    assert rig.presenter.match(True, 0, 0x81, 6) == SEVERAL
    assert rig.presenter.match(True, 0, 0x81, 7) == NOWHERE
    assert rig.presenter.match(False, 0, 0x81, 5) == SEVERAL


def test_a_user_level_event_ignores_no_logical_server(rig):
    assert not rig.presenter.present(True, 0, 0x81, True, 6, 0)
    assert rig.told() == [NOT_DISPATCHED]
    assert not rig.presenter.present(False, 0, 0x81, True, 6, 0)
    assert rig.told() == [*["XIVE: no support for LS NVT 0/81"] * 3, NOT_DISPATCHED]
