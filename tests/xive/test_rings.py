"""The registers of a ring: pending priorities, exceptions, output lines. Source: QEMU docs/specs/ppc-xive; QEMU 7.2."""

import pytest

from tests.xive.ram_rig import OS, PHYS, POOL, Rig


@pytest.fixture
def rig():
    made = Rig()
    made.presenter.set_w2(0, OS, 0x80000010)
    return made


def event(rig, priority, nvt_idx=0x10):
    assert rig.presenter.present(False, 0, nvt_idx, False, priority, 0)


def test_the_os_ring_by_numbers(rig):
    presenter = rig.presenter
    seen = [(None, rig.ring(), rig.outputs())]
    for act in (
        lambda: presenter.set_cppr(0, OS, 0xFF),
        lambda: event(rig, 6),
        lambda: presenter.accept(0, OS),
        lambda: presenter.set_cppr(0, OS, 5),
        lambda: event(rig, 5),
        lambda: event(rig, 4),
        lambda: presenter.set_cppr(0, OS, 0),
        lambda: presenter.accept(0, OS),
        lambda: presenter.accept(0, OS),
        lambda: presenter.set_cppr(0, OS, 0xFF),
    ):
        value = act() or None
        seen.append((value, rig.ring(), rig.outputs()))
    assert seen == [
        (None, "00 00 00 ff ff 00 ff ff", 0),
        (None, "00 ff 00 ff ff 00 ff ff", 0),
        (None, "80 ff 02 ff ff 00 ff 06", 1),
        (0x8006, "00 06 00 ff ff 00 ff ff", 0),
        (None, "00 05 00 ff ff 00 ff ff", 0),
        (None, "00 05 04 ff ff 00 ff 05", 0),
        (None, "80 05 0c ff ff 00 ff 04", 1),
        (None, "80 00 0c ff ff 00 ff 04", 1),
        (0x8004, "00 04 04 ff ff 00 ff 05", 0),
        (0x0004, "00 04 04 ff ff 00 ff 05", 0),
        (None, "80 ff 04 ff ff 00 ff 05", 1),
    ]
    assert rig.told() == [
        "xive_tctx_set_cppr target=0 ring=0x10 IBP=0x00 PIPR=0xff new CPPR=0xff NSR=0x00",
        "xive_presenter_notify found NVT 0x0/0x10 ring=0x10",
        "xive_tctx_notify target=0 ring=0x10 IBP=0x02 PIPR=0x06 CPPR=0xff NSR=0x80 raise !",
        "xive_tctx_accept target=0 ring=0x10 IBP=0x00 PIPR=0xff CPPR=0x06 NSR=0x00 ACK",
        "xive_tctx_set_cppr target=0 ring=0x10 IBP=0x00 PIPR=0xff new CPPR=0x05 NSR=0x00",
        "xive_presenter_notify found NVT 0x0/0x10 ring=0x10",
        "xive_presenter_notify found NVT 0x0/0x10 ring=0x10",
        "xive_tctx_notify target=0 ring=0x10 IBP=0x0c PIPR=0x04 CPPR=0x05 NSR=0x80 raise !",
        "xive_tctx_set_cppr target=0 ring=0x10 IBP=0x0c PIPR=0x04 new CPPR=0x00 NSR=0x80",
        "xive_tctx_accept target=0 ring=0x10 IBP=0x04 PIPR=0x05 CPPR=0x04 NSR=0x00 ACK",
        "xive_tctx_set_cppr target=0 ring=0x10 IBP=0x04 PIPR=0x05 new CPPR=0xff NSR=0x00",
        "xive_tctx_notify target=0 ring=0x10 IBP=0x04 PIPR=0x05 CPPR=0xff NSR=0x80 raise !",
    ]


IPB = [(0, "80"), (1, "40"), (2, "20"), (3, "10"), (4, "08"), (5, "04"), (6, "02"), (7, "01")]


@pytest.mark.parametrize(("priority", "bit"), IPB)
def test_every_priority_has_its_bit(rig, priority, bit):
    rig.presenter.set_cppr(0, OS, 0xFF)
    event(rig, priority)
    assert rig.ring() == f"80 ff {bit} ff ff 00 ff 0{priority}"
    assert rig.presenter.accept(0, OS) == 0x8000 | priority
    assert rig.ring() == f"00 0{priority} 00 ff ff 00 ff ff"


def test_pending_priorities_are_taken_in_their_order(rig):
    for priority in (3, 7, 0, 5):
        event(rig, priority)
    assert rig.ring() == "00 00 95 ff ff 00 ff 00"
    taken = []
    for _ in range(5):
        rig.presenter.set_cppr(0, OS, 0xFF)
        taken.append(rig.presenter.accept(0, OS))
    assert taken == [0x8000, 0x8003, 0x8005, 0x8007, 0x00FF]


@pytest.mark.parametrize(("cppr", "kept"), [(0, "00"), (7, "07"), (8, "ff"), (0x80, "ff"), (0xFE, "ff"), (0xFF, "ff")])
def test_a_cppr_that_is_no_priority_masks_nothing(rig, cppr, kept):
    rig.presenter.set_cppr(0, OS, cppr)
    assert rig.ring()[3:5] == kept
    assert rig.told() == [
        f"xive_tctx_set_cppr target=0 ring=0x10 IBP=0x00 PIPR=0xff new CPPR=0x{cppr:02x} NSR=0x00",
    ]


@pytest.mark.parametrize(("pending", "ipb"), [(0, "80"), (7, "01"), (8, "00"), (0xFF, "00")])
def test_a_thread_may_set_priorities_pending_itself(rig, pending, ipb):
    rig.presenter.set_pending(0, OS, pending)
    assert rig.ring()[6:8] == ipb


def test_accept_takes_a_priority_that_is_none(rig):
    rig.set_ring("ff 03 00 ff ff 00 ff ff")
    assert rig.presenter.accept(0, OS) == 0xFFFF
    assert rig.ring() == "7f ff 00 ff ff 00 ff ff"


def test_an_exception_that_is_pending_is_left_when_nothing_is_more_favoured(rig):
    rig.set_ring("80 05 00 ff ff 00 ff ff")
    event(rig, 6)
    assert rig.ring() == "80 05 02 ff ff 00 ff 06"
    assert rig.outputs() == 0


# The other rings


def test_the_phys_ring_raises_the_hypervisor_line(rig):
    rig.presenter.set_w2(1, PHYS, 0x80000000)
    rig.presenter.set_cppr(1, PHYS, 0xFF)
    rig.told()
    event(rig, 6, 0x81)
    assert rig.told() == [
        "xive_presenter_notify found NVT 0x0/0x81 ring=0x30",
        "xive_tctx_notify target=1 ring=0x30 IBP=0x02 PIPR=0x06 CPPR=0xff NSR=0x80 raise !",
    ]
    assert rig.ring(1, PHYS) == "80 ff 02 00 00 00 00 06"
    assert rig.outputs(1) == 2 and rig.outputs(0) == 0
    assert rig.presenter.accept(1, PHYS) == 0x8006
    assert rig.told() == ["xive_tctx_accept target=1 ring=0x30 IBP=0x00 PIPR=0xff CPPR=0x06 NSR=0x00 ACK"]
    assert rig.ring(1, PHYS) == "00 06 00 00 00 00 00 ff"
    assert rig.outputs(1) == 0


@pytest.mark.parametrize("he", [0x40, 0x80, 0xC0])
def test_the_whole_field_of_the_phys_ring_is_accepted(rig, he):
    rig.set_ring(f"{he | 0x3F:02x} ff 03 00 00 00 00 06", 0, PHYS)
    assert rig.presenter.accept(0, PHYS) == (he | 0x3F) << 8 | 0x06
    assert rig.ring(0, PHYS) == "3f 06 01 00 00 00 00 07"


def test_the_os_ring_has_one_exception_bit(rig):
    rig.set_ring("40 ff 02 ff ff 00 ff 06")
    assert rig.presenter.accept(0, OS) == 0x40FF
    assert rig.ring() == "40 ff 02 ff ff 00 ff 06"
    assert rig.told() == []


def test_the_lines_of_a_thread_are_apart(rig):
    for ring in (OS, PHYS):
        rig.presenter.set_pending(0, ring, 4)
        rig.presenter.set_cppr(0, ring, 0xFF)
    assert rig.outputs() == 3
    rig.presenter.accept(0, OS)
    assert rig.outputs() == 2
    rig.presenter.set_cppr(0, OS, 0)
    rig.presenter.accept(0, PHYS)
    assert rig.outputs() == 0


def test_the_pool_ring_only_records(rig):
    rig.presenter.set_w2(0, POOL, 0x80000020)
    event(rig, 6, 0x20)
    assert rig.told() == ["xive_presenter_notify found NVT 0x0/0x20 ring=0x20"]
    assert rig.ring(0, POOL) == "00 00 02 00 00 00 00 06"
    assert rig.outputs() == 0


def test_a_reset_lowers_the_lines_and_forgets_the_cam_lines(rig):
    rig.presenter.set_cppr(0, OS, 0xFF)
    event(rig, 6)
    assert rig.outputs() == 1
    rig.presenter.reset(0)
    assert rig.outputs() == 0
    assert rig.ring() == "00 00 00 ff ff 00 ff ff"
    assert not rig.presenter.present(False, 0, 0x10, False, 6, 0)
