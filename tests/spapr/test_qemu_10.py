"""Where QEMU 10.0's controller is another one than 7.2's: each difference on both, side by side, typed by hand.

`tests/qemu/test_diff.py` does the same to the real ones.
"""

import pytest

from outboard.spapr import QEMU_7_2, QEMU_10_0, SpaprXive
from outboard.spapr.flavours import DIFFERENCES

HW, HV, OS = 0x6030203180000, 0x6030203190000, 0x60302031A0000
ESB, END_ESB = 0x6010000000000, 0x6010040000000
RING_OS, RING_POOL, RING_PHYS = 0x10, 0x20, 0x30
ONES = (1 << 64) - 1
ROWS = [row for row in DIFFERENCES if row.qemu_10_0 != row.qemu_7_2]


@pytest.fixture
def cpus():
    """CPU 0 of a machine of 7.2, and that of one of 10.0."""
    return tuple(SpaprXive(2, sources=[(0, False), (1, False)], flavour=each).cpu(0) for each in (QEMU_7_2, QEMU_10_0))


def both(cpus, *operations):
    """Do loads (address, size) and stores (address, size, value) on both; return what the last one answered."""
    answers = ()
    for addr, size, *value in operations:
        answers = tuple(cpu.store(addr, size, *value) if value else cpu.load(addr, size) for cpu in cpus)
    return answers


def rings(cpus, ring, count=8):
    """Return the first bytes of a ring: NSR CPPR IPB LSMFB ACK INC AGE PIPR, then word 2."""
    return tuple(bytes(cpu.presenter.tables()["rings"][ring : ring + count]).hex(" ") for cpu in cpus)


def lines(cpus):
    """Return the output lines: 1 external, 2 hypervisor."""
    return tuple(cpu.presenter.tables()["lines"][0] for cpu in cpus)


def test_every_row_has_a_test_and_the_rest_is_as_in_7_2():
    assert [row.name for row in ROWS] == [row.name for row in DIFFERENCES[10:]] and len(ROWS) == 9
    assert all(f"test_{row.name}" in globals() for row in ROWS)
    assert all((row.qemu_7_2, row.qemu_10_0, row.papr) == (False, True, False) for row in ROWS)
    assert QEMU_10_0._replace(name="qemu-7.2", **{row.name: False for row in ROWS}) == QEMU_7_2


def test_pipr_follows_cppr(cpus):
    assert both(cpus, (OS + 0x11, 1, 0xFF), (OS + 0x812, 1, 6), (OS + 0x812, 1, 5), (OS + 0x810, 2)) == (0x8005, 0x8005)
    assert rings(cpus, RING_OS) == ("00 05 02 ff ff 00 ff 06", "00 05 02 ff ff 00 ff 05"), "what was taken, or is left"
    both(cpus, (OS + 0x11, 1, 6))
    assert rings(cpus, RING_OS) == ("00 06 02 ff ff 00 ff 06", "00 06 02 ff ff 00 ff 06")
    both(cpus, (HV + 0x10, 4, 0x000012FF))  # the hypervisor makes priorities 3 and 6 pending, without a word to anybody
    assert rings(cpus, RING_OS) == ("00 00 12 ff ff 00 ff 06", "00 00 12 ff ff 00 ff 06")
    both(cpus, (OS + 0x11, 1, 6))
    assert rings(cpus, RING_OS) == ("00 06 12 ff ff 00 ff 06", "80 06 12 ff ff 00 ff 03")
    assert lines(cpus) == (0, 1)


@pytest.mark.parametrize(("valid", "pipr", "nsr"), [(1, "05", "40"), (0, "07", "80")], ids=["valid", "pulled"])
def test_pipr_of_phys_follows_pool(cpus, valid, pipr, nsr):
    both(cpus, (HW + 0x28, 4, valid << 31 | 0x123), (HV + 0x20, 4, 0x00000400), (HV + 0x30, 4, 0x00000100))
    both(cpus, (HV + 0x31, 1, 0xFF))
    assert rings(cpus, RING_PHYS) == ("00 ff 01 00 00 00 00 ff", f"{nsr} ff 01 00 00 00 00 {pipr}")
    assert lines(cpus) == (0, 2)


def test_nsr_as_a_whole(cpus):
    both(cpus, (OS + 0x11, 1, 0xFF), (HV + 0x10, 4, 0x40FF00FF), (OS + 0x812, 1, 4))
    assert rings(cpus, RING_OS) == ("c0 ff 08 ff ff 00 ff 04", "80 ff 08 ff ff 00 ff 04")
    both(cpus, (HV + 0x10, 4, 0xC0FF08FF))
    assert both(cpus, (OS + 0x810, 2)) == (0xC004, 0xC004)
    assert rings(cpus, RING_OS) == ("40 04 00 ff ff 00 ff ff", "00 04 00 ff ff 00 ff 04")


def test_group_level_in_nsr(cpus):
    both(cpus, (OS + 0x11, 1, 0xFF), (OS + 0x812, 1, 4), (HV + 0x10, 4, 0x81FF08FF))
    assert both(cpus, (OS + 0x810, 2)) == (0x8104, 0x8104)
    assert rings(cpus, RING_OS) == ("01 04 00 ff ff 00 ff ff", "00 04 08 ff ff 00 ff 04"), "IPB stays"
    both(cpus, (HV + 0x10, 4, 0x40FF08FF))
    assert both(cpus, (OS + 0x810, 2)) == (0x40FF, 0x4004), "no exception of the OS ring; anything"
    assert rings(cpus, RING_OS) == ("40 ff 08 ff ff 00 ff ff", "00 04 00 ff ff 00 ff 04"), "no group; its bit goes"
    both(cpus, (HV + 0x31, 1, 0xFF), (HV + 0x30, 4, 0x01FF0000))
    assert both(cpus, (HV + 0x830, 2)) == (0x01FF, 0x01FF)
    assert rings(cpus, RING_PHYS) == ("01 ff 00 00 00 00 00 ff", "00 ff 00 00 00 00 00 ff")


def test_pool_is_presented(cpus):
    for cpu in cpus:
        assert cpu.hcall("H_INT_SET_QUEUE_CONFIG", 1, 1, 6, 0x100000, 12) == (0,)
        assert cpu.hcall("H_INT_SET_SOURCE_CONFIG", 2, 0, 1, 6, 0x33) == (0,)
        cpu.esb(0, 0xC00)
        cpu.xive.cpu(1).load(HV + 0x818, 4)
    both(cpus, (HV + 0x31, 1, 0xFF), (HW + 0x28, 4, 0x80000401), (ESB, 8, 0))  # CPU 0's pool is vCPU 1 now
    assert rings(cpus, RING_POOL, 12) == ("00 00 02 00 00 00 00 06 80 00 04 01", "00 00 02 00 00 00 00 00 80 00 04 01")
    assert rings(cpus, RING_PHYS) == ("00 ff 00 00 00 00 00 ff", "40 ff 00 00 00 00 00 06")
    assert lines(cpus) == (0, 2)
    assert both(cpus, (HV + 0x830, 2)) == (0x00FF, 0x4006)
    assert rings(cpus, RING_POOL) == ("00 00 02 00 00 00 00 06", "00 00 00 00 00 00 00 00")
    assert rings(cpus, RING_PHYS) == ("00 ff 00 00 00 00 00 ff", "00 06 00 00 00 00 00 06")
    assert lines(cpus) == (0, 0)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_esb_of_any_size(cpus, size):
    ones = (1 << 8 * size) - 1
    assert both(cpus, (ESB + 0x10D00, 8), (ESB + 0x10800, size)) == (0, 1)
    assert both(cpus, (ESB + 0x10C00, 8), (ESB + 0x10E00, size), (ESB + 0x10800, 8)) == (0, 2)
    assert both(cpus, (ESB + 0x10C00, 8), (ESB, size, 0), (ESB + 0x10800, 8)) == (0, 2)
    assert both(cpus, (ESB, size)) == (0, ones)
    assert both(cpus, (ESB + 0x10C00, 8), (ESB + 0x10F00, size, 0), (ESB + 0x10800, 8)) == (0, 3)
    for cpu in cpus:
        assert cpu.hcall("H_INT_SET_QUEUE_CONFIG", 1, 0, 6, 0x100000, 12) == (0,)
        cpu.xive.set_regions(esb_and_tima=True, end_esb=True)
    assert both(cpus, (END_ESB + 6 * 0x20000 + 0x10F00, 8), (END_ESB + 6 * 0x20000 + 0x10800, size)) == (0, 3)
    faults = [cpu.hcall("H_INT_ESB", 0, 0, 0x804, 0) for cpu in cpus]
    assert faults[0] == (-1,) and faults[1][0] == 0, "it is made of two accesses of 4 bytes"


def test_unaligned_in_pieces(cpus):
    """In 7.2 a load is merged of two aligned ones, whose effects show twice, and a store is made of bytes."""
    both(cpus, (OS + 0x11, 1, 0xFF), (OS + 0x812, 1, 4))
    assert both(cpus, (OS + 0x14, 8)) == (0xFF000004FFFFFFFF, 0xFF000004FFFFFFFF)
    assert both(cpus, (OS + 0x0F, 4)) == (0xFF80FF08, 0xFFFFFFFF), "bytes of a ring cannot be loaded"
    both(cpus, (HV + 0x14, 8, 0x1122334455667788))
    assert rings(cpus, RING_OS, 12) == (
        "80 ff 08 ff ff 00 ff 04 80 00 04 00",
        "80 ff 08 ff 11 22 ff 04 55 66 77 88",
    )
    assert both(cpus, (0x100001, 8, 0x1122334455667788), (0x100001, 8)) == (0x1122334455667788,) * 2
    assert both(cpus, (HW - 4, 8)) == (0xFFFFFFFF, 0), "7.2 takes what there is, 10.0 gives up where nothing is"
    assert both(cpus, (HW - 1, 4)) == (0x00FFFFFF, 0)
    both(cpus, (ESB + 0x10C00, 8))
    assert both(cpus, (ESB + 0x10FFB, 8)) == (0, 0x0000000003010000), "1 and 4 bytes, and 1, 1, 1 of the next page"
    end = 256 << 20
    assert both(cpus, (end - 1, 1, 0x5A), (end - 1, 2), (end - 1, 1)) == (0x5A, 0x5A)
    assert both(cpus, (end - 1, 2)) == (0x5A00, 0)
    assert both(cpus, (end - 2, 4, 0x12345678), (end - 2, 2)) == (0x1234, 0x1234)


def test_tima_repeats(cpus):
    for repeat in range(16):
        at = 0x40 * repeat
        seen = cpus if repeat == 0 else cpus[1:]
        both(cpus, (OS + 0x11, 1, 0xFF), (OS + at + 0x11, 1, 7))
        assert [cpu.load(OS + 0x10, 4) >> 16 & 0xFF for cpu in cpus] == [7 if cpu in seen else 0xFF for cpu in cpus]
        both(cpus, (OS + at + 0x812, 1, 5))
        assert lines(cpus) == tuple(1 if cpu in seen else 0 for cpu in cpus)
        assert both(cpus, (OS + at + 0x810, 2)) == tuple(0x8005 if cpu in seen else 0xFFFF for cpu in cpus)
    assert both(cpus, (OS + 0xC10, 2)) == (0xFFFF, 0xFFFF), "bit 10 is looked at"
    assert both(cpus, (OS + 0x411, 1, 3), (OS + 0x10, 4)) == (0x00FF00FF, 0x000500FF)


def test_pulls_phys(cpus):
    both(cpus, (HV + 0x31, 1, 0xFF), (HV + 0x38, 1, 0x83), (HV + 0x30, 4, 0x80FF0000))
    for cpu in cpus:
        cpu.presenter.tables()["lines"][0] = 2
    assert both(cpus, (OS + 0x838, 1)) == (0xFF, 0xFF), "not for an OS"
    assert both(cpus, (HV + 0x838, 2)) == (0xFFFF, 0xFFFF), "not by another size"
    assert both(cpus, (HV + 0x838, 1)) == (0xFF, 0x03)
    assert rings(cpus, RING_PHYS, 9) == ("80 ff 00 00 00 00 00 ff 83", "80 ff 00 00 00 00 00 ff 03")
    assert lines(cpus) == (2, 0)
    assert cpus[1].presenter.match(False, 0, 0x80, 0) == -1 != cpus[0].presenter.match(False, 0, 0x80, 0)


@pytest.mark.parametrize("page", [HW, HV])
def test_pool_has_inc_and_age(cpus, page):
    assert both(cpus, (page + 0x24, 4, 0x11223344), (page + 0x24, 4)) == (ONES >> 32, 0x00223300)
    assert rings(cpus, RING_POOL) == ("00 00 00 00 00 00 00 00", "00 00 00 00 00 22 33 00")
    assert both(cpus, (OS + 0x24, 4)) == (ONES >> 32, ONES >> 32)
