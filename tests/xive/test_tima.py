"""What the operations of the TIMA do to registers, step by step, with their trace.

`test_tima_contexts` has contexts that come and go, `test_tima_access` what each view may do.
"""

import pytest

from tests.xive.tima_rig import HV, HW, OS, USER, TimaRig

RING_OS, RING_POOL, RING_PHYS = 0x10, 0x20, 0x30
ALL_ONES = 0xFFFFFFFFFFFFFFFF


@pytest.fixture
def rig():
    return TimaRig()


def test_contexts_start_with_nothing_pending_and_all_masked(rig):
    assert rig.ring(0x00) == "00 00 00 00 00 00 00 00  00000000 00000000"
    assert rig.ring(RING_OS) == "00 00 00 ff ff 00 ff ff  00000000 00000000"
    assert rig.ring(RING_POOL) == "00 00 00 00 00 00 00 00  00000000 00000000"
    assert rig.ring(RING_PHYS) == "00 00 00 00 00 00 00 ff  00000000 00000000"
    assert rig.outputs() == 0


def test_an_event_from_pending_to_accepted(rig):
    rig.store(OS | 0x011, 1, 0xFF)
    rig.told()
    rig.store(OS | 0x812, 1, 6)
    assert rig.told() == [
        "xive_tctx_tm_write @0x20812 sz=1 val=0x6",
        "xive_tctx_notify target=1 ring=0x10 IBP=0x02 PIPR=0x06 CPPR=0xff NSR=0x80 raise !",
    ]
    assert (rig.ring(RING_OS)[:23], rig.outputs()) == ("80 ff 02 ff ff 00 ff 06", 1)
    assert rig.load(OS | 0x810, 2) == 0x8006
    assert rig.told() == [
        "xive_tctx_accept target=1 ring=0x10 IBP=0x00 PIPR=0xff CPPR=0x06 NSR=0x00 ACK",
        "xive_tctx_tm_read @0x20810 sz=2 val=0x8006",
    ]
    assert (rig.ring(RING_OS)[:23], rig.outputs()) == ("00 06 00 ff ff 00 ff ff", 0)
    rig.store(OS | 0x011, 1, 0xFF)
    assert rig.told() == [
        "xive_tctx_tm_write @0x20011 sz=1 val=0xff",
        "xive_tctx_set_cppr target=1 ring=0x10 IBP=0x00 PIPR=0xff new CPPR=0xff NSR=0x00",
    ]
    assert rig.ring(RING_OS)[:23] == "00 ff 00 ff ff 00 ff ff"


def test_priorities_against_cppr(rig):
    rig.store(OS | 0x011, 1, 5)
    rig.store(OS | 0x812, 1, 5)
    assert (rig.ring(RING_OS)[:23], rig.outputs()) == ("00 05 04 ff ff 00 ff 05", 0)
    rig.store(OS | 0x812, 1, 4)
    assert (rig.ring(RING_OS)[:23], rig.outputs()) == ("80 05 0c ff ff 00 ff 04", 1)
    rig.store(OS | 0x011, 1, 0)
    assert (rig.ring(RING_OS)[:23], rig.outputs()) == ("80 00 0c ff ff 00 ff 04", 1)
    assert (rig.load(OS | 0x810, 2), rig.outputs()) == (0x8004, 0)
    assert rig.ring(RING_OS)[:23] == "00 04 04 ff ff 00 ff 05"
    assert (rig.load(OS | 0x810, 2), rig.outputs()) == (0x0004, 0)
    assert rig.ring(RING_OS)[:23] == "00 04 04 ff ff 00 ff 05"
    rig.store(OS | 0x011, 1, 0xFF)
    assert (rig.ring(RING_OS)[:23], rig.outputs()) == ("80 ff 04 ff ff 00 ff 05", 1)


# A store of CPPR: what is stored, what CPPR becomes.
CLAMPED = [(value, value) for value in range(8)] + [(8, 0xFF), (9, 0xFF), (0x7F, 0xFF), (0xFE, 0xFF), (0xFF, 0xFF)]


@pytest.mark.parametrize(("value", "cppr"), CLAMPED)
def test_cppr_is_a_priority_or_0xff(rig, value, cppr):
    rig.store(OS | 0x011, 1, value)
    rig.store(HV | 0x031, 1, value)
    assert (rig.context()[0x11], rig.context()[0x31]) == (cppr, cppr)
    assert rig.told() == [
        f"xive_tctx_tm_write @0x20011 sz=1 val={value:#x}",
        f"xive_tctx_set_cppr target=1 ring=0x10 IBP=0x00 PIPR=0xff new CPPR={value:#04x} NSR=0x00",
        f"xive_tctx_tm_write @0x10031 sz=1 val={value:#x}",
        f"xive_tctx_set_cppr target=1 ring=0x30 IBP=0x00 PIPR=0xff new CPPR={value:#04x} NSR=0x00",
    ]


@pytest.mark.parametrize(
    ("priority", "ipb", "pipr"),
    [
        *((0, "80", "00"), (1, "40", "01"), (2, "20", "02"), (3, "10", "03"), (4, "08", "04"), (5, "04", "05")),
        *((6, "02", "06"), (7, "01", "07"), (8, "00", "ff"), (0x80, "00", "ff"), (0xFF, "00", "ff")),
    ],
)
def test_what_is_set_pending(rig, priority, ipb, pipr):
    rig.store(OS | 0x812, 1, priority)
    assert (rig.ring(RING_OS)[:23], rig.outputs()) == (f"00 00 {ipb} ff ff 00 ff {pipr}", 0)


def test_setting_nothing_pending_tells_again_what_is(rig):
    rig.put_ring(RING_OS, "00 ff 04 ff ff 00 ff ff")
    rig.store(OS | 0x812, 1, 9)
    assert (rig.ring(RING_OS)[:23], rig.outputs()) == ("80 ff 04 ff ff 00 ff 05", 1)


def test_an_accept_without_exception_only_lowers_the_line(rig):
    rig.put_ring(RING_OS, "80 05 0c ff ff 00 ff 04")
    rig.store(OS | 0x011, 1, 7)
    rig.put_ring(RING_OS, "00")
    assert rig.outputs() == 1
    rig.told()
    assert (rig.load(OS | 0x810, 2), rig.outputs()) == (0x0007, 0)
    assert rig.ring(RING_OS)[:23] == "00 07 0c ff ff 00 ff 04"
    assert rig.told() == ["xive_tctx_tm_read @0x20810 sz=2 val=0x7"]


def test_an_accept_leaves_what_is_not_the_exception(rig):
    rig.put_ring(RING_OS, "bf 00 02 11 22 33 44 06")
    assert rig.load(OS | 0x810, 2) == 0xBF06
    assert rig.ring(RING_OS)[:23] == "3f 06 00 11 22 33 44 ff"
    assert rig.load(OS | 0x810, 2) == 0x3F06


@pytest.mark.parametrize(("nsr", "kept"), [(0x80, "00"), (0x40, "00"), (0xC0, "00"), (0xFF, "3f")])
def test_the_hypervisor_accepts_any_exception_of_its_ring(rig, nsr, kept):
    rig.put_ring(RING_PHYS, f"{nsr:02x} ff 21 00 00 00 00 02")
    assert rig.load(HV | 0x830, 2) == nsr << 8 | 0x02
    assert rig.ring(RING_PHYS)[:23] == f"{kept} 02 01 00 00 00 00 07"
    assert rig.told() == [
        f"xive_tctx_accept target=1 ring=0x30 IBP=0x01 PIPR=0x07 CPPR=0x02 NSR=0x{kept} ACK",
        f"xive_tctx_tm_read @0x10830 sz=2 val={nsr << 8 | 0x02:#x}",
    ]


def test_the_rings_have_a_line_each(rig):
    rig.put_ring(RING_OS, "00 00 80 ff ff 00 ff 00")
    rig.put_ring(RING_PHYS, "00 00 40 00 00 00 00 01")
    rig.store(OS | 0x011, 1, 3)
    assert rig.outputs() == 1
    rig.store(HV | 0x031, 1, 3)
    assert rig.outputs() == 3
    assert (rig.context()[0x10], rig.context()[0x30]) == (0x80, 0x80)
    assert (rig.load(OS | 0x810, 2), rig.outputs()) == (0x8000, 2)
    assert (rig.load(HV | 0x830, 2), rig.outputs()) == (0x8001, 0)
    assert [rig.outputs(thread) for thread in range(3)] == [0, 0, 0]


def test_a_priority_that_pipr_does_not_have_is_accepted_as_it_stands(rig):
    rig.put_ring(RING_OS, "80 00 00 ff ff 00 ff ff")
    assert rig.load(OS | 0x810, 2) == 0x80FF
    assert rig.ring(RING_OS)[:23] == "00 ff 00 ff ff 00 ff ff"


@pytest.mark.parametrize("value", [0x80, 0x00, 0x7F, 0xFF])
def test_the_first_byte_of_phys_word_2(rig, value):
    rig.put_ring(0x38, "55 66 77 88")
    rig.store(HV | 0x038, 1, value)
    assert rig.load(HV | 0x038, 1) == value
    assert rig.ring(RING_PHYS) == f"00 00 00 00 00 00 00 ff  {value:02x}667788 00000000"
    assert rig.told() == [
        f"xive_tctx_tm_write @0x10038 sz=1 val={value:#x}",
        f"xive_tctx_tm_read @0x10038 sz=1 val={value:#x}",
    ]


def test_raw_stores_change_registers_and_nothing_else(rig):
    rig.put_ring(RING_OS, "00 00 04 ff ff 00 ff 05")
    rig.store(OS | 0x010, 4, 0xAABBCCDD)
    assert (rig.ring(RING_OS)[:23], rig.outputs()) == ("00 bb 04 ff ff 00 ff 05", 0)
    rig.store(HV | 0x010, 8, 0x8001020304050607)
    assert (rig.ring(RING_OS)[:23], rig.outputs()) == ("80 01 02 03 04 05 ff 05", 0)
    assert rig.told() == [
        "xive_tctx_tm_write @0x20010 sz=4 val=0xaabbccdd",
        "xive_tctx_tm_write @0x10010 sz=8 val=0x8001020304050607",
    ]


def test_raw_loads_give_what_the_view_may_see(rig):
    rig.put_ring(RING_OS, "80 ff 04 11 22 33 44 05 80 00 04 00 12 34 56 78")
    rig.put_ring(RING_POOL, "01 02 03 04 05 06 07 08 80 00 01 23")
    assert rig.load(OS | 0x010, 8) == 0x80FF041122330005
    assert rig.load(OS | 0x018, 8) == ALL_ONES
    assert rig.load(HV | 0x018, 8) == 0x8000040000000000
    assert rig.load(HV | 0x020, 4) == 0x00000304
    assert rig.load(HV | 0x028, 4) == 0x00000123
    assert rig.load(HW | 0x028, 4) == 0x80000123
    assert rig.load(USER | 0x000, 4) == ALL_ONES
    assert rig.told() == [
        "xive_tctx_tm_read @0x20010 sz=8 val=0x80ff041122330005",
        "XIVE: invalid read access at TIMA @20018",
        "xive_tctx_tm_read @0x20018 sz=8 val=0xffffffffffffffff",
        "xive_tctx_tm_read @0x10018 sz=8 val=0x8000040000000000",
        "xive_tctx_tm_read @0x10020 sz=4 val=0x304",
        "xive_tctx_tm_read @0x10028 sz=4 val=0x123",
        "xive_tctx_tm_read @0x28 sz=4 val=0x80000123",
        "XIVE: invalid read access at TIMA @30000",
        "xive_tctx_tm_read @0x30000 sz=4 val=0xffffffffffffffff",
    ]


@pytest.mark.parametrize("offset", [0x800, 0x808, 0x80C, 0xC08, 0xC10, 0xC20, 0xC30, 0x810, 0xFF8])
def test_operations_that_there_are_not(rig, offset):
    before = rig.context()
    for view in (HW, HV, OS, USER):
        assert rig.load(view | offset, 4) == ALL_ONES
        assert rig.told() == [f"XIVE: invalid read access to TIMA@{view | offset:x}"]
        rig.store(view | offset, 4, 0x11223344)
        assert rig.told() == [
            f"xive_tctx_tm_write @{view | offset:#x} sz=4 val=0x11223344",
            f"XIVE: invalid write access at TIMA @{view | offset:x}",
        ]
    assert rig.context() == before


def test_contexts_are_of_the_thread_that_accesses(rig):
    for thread in range(3):
        rig.store(OS | 0x011, 1, 4 + thread, thread)
        rig.store(OS | 0x812, 1, 2 + thread, thread)
    assert [rig.context(thread)[0x11:0x13].hex(" ") for thread in range(3)] == ["04 20", "05 10", "06 08"]
    rig.told()
    assert [rig.load(OS | 0x810, 2, thread) for thread in (2, 0)] == [0x8004, 0x8002]
    assert [line.split()[1] for line in rig.told() if "accept" in line] == ["target=2", "target=0"]
    assert [rig.outputs(thread) for thread in range(3)] == [0, 1, 0]
