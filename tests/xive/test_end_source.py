"""The END ESB pages: every offset of both pages, what is written back, what is refused.

Source: QEMU docs/specs/ppc-xive, "XiveENDSource"; QEMU 7.2.
"""

import pytest

from outboard.errors import LocalError
from outboard.xive.end_source import EndSource
from tests.xive.ram_rig import ENDT, QUEUE, Rig

ALL_ONES = 0xFFFFFFFFFFFFFFFF
EOI = {0: (0, 0), 1: (0, 1), 2: (0, 0), 3: (1, 2)}
"""Value of an EOI load and the pair after it."""


@pytest.fixture
def rig():
    made = Rig()
    made.nvt(0x10)
    return made


def watch(rig):
    """Return the w1 values that are written back from now on."""
    written = []

    class Watched(type(rig.router)):
        def write_end_w1(self, blk, idx, w1):
            written.append((blk, idx, w1))
            super().write_end_w1(blk, idx, w1)

    tables = (0x10_0000, 0x100), (ENDT, 0x4000), (0x40_0000, 0x400)
    router = Watched(rig.presenter, rig.memory, rig.events, rig.router.block_id, *tables)
    return written, router


def expected(offset, pq):
    """Return the value of a load and the pair after it."""
    if offset < 0x800:
        return EOI[pq]
    return (pq, pq if offset < 0xC00 else (offset - 0xC00) // 0x100)


@pytest.mark.parametrize("shift", [12, 16])
@pytest.mark.parametrize("odd", [0, 1])
@pytest.mark.parametrize("pq", range(4))
def test_every_offset_of_both_pages(rig, shift, odd, pq):
    written, router = watch(rig)
    ends = EndSource(router, rig.events, 0x100, shift)
    other = 0x8F400123 if odd else 0x2F400123  # the rest of word 1 stays, the other pair too
    at, keep = (28, 0xCF400123 & other) if odd else (30, 0x3F400123 & other)
    for offset in range(0, 0x1000, 8):
        rig.end(3, "vqn", w1=keep | pq << at)
        value, after = expected(offset, pq)
        addr = (3 << (shift + 1)) + (odd << shift) + offset
        assert ends.load(addr) == value
        assert rig.w1(3) == keep | after << at
        assert written == ([(0, 3, keep | after << at)] if after != pq else [])
        assert rig.told() == [f"xive_end_source_read END 0x0/0x3 @0x{addr:x}"]
        written.clear()
    assert rig.queue(1) == [0] and rig.ring() == "00 00 00 ff ff 00 ff ff"


@pytest.mark.parametrize("page", [0, 0x10000])
@pytest.mark.parametrize("repeat", range(0, 0x10000, 0x1000))
def test_in_a_64_kib_page_the_pattern_repeats(rig, page, repeat):
    rig.end(3, "v", w1=0xB0000000)  # ESn 10, ESe 11
    assert rig.ends.load(0x60000 + page + repeat + 0x800) == (3 if page else 2)
    assert rig.ends.load(0x60000 + page + repeat + 0xC00) == (3 if page else 2)
    assert rig.w1(3) == (0x80000000 if page else 0x30000000)


def test_an_eoi_of_a_queued_pair_sends_nothing_again(rig):
    rig.end(3, "vqeu", w1=0xF0400000, to=(0, 4, 1))
    rig.end(4, "vqn")
    rig.dispatch(0)
    assert [rig.ends.load(0x60000), rig.ends.load(0x70000)] == [1, 1]
    assert rig.w1(3) == 0xA0400000
    assert rig.told() == ["xive_end_source_read END 0x0/0x3 @0x60000", "xive_end_source_read END 0x0/0x3 @0x70000"]
    assert rig.queue(1) == [0] and rig.outputs() == 0


def test_an_eoi_lets_the_next_event_notify(rig):
    rig.end(3, "vq")
    rig.dispatch(0)
    rig.router.end_notify(0, 3, 0x55)
    rig.router.end_notify(0, 3, 0x56)
    assert rig.presenter.accept(0, 0x10) == 0x8006
    assert rig.ends.load(0x60000) == 1
    assert rig.ends.load(0x60000) == 0
    rig.router.end_notify(0, 3, 0x57)
    assert rig.ring().startswith("80 06") is False  # priority 6 is not more favoured than CPPR 6
    assert rig.ring() == "00 06 02 ff ff 00 ff 06"
    assert rig.queue(4) == [0x80000055, 0x80000056, 0x80000057, 0]


@pytest.mark.parametrize("offset", [0, 0x400, 0x800, 0xC00, 0xF00, 0x10000, 0x10C00])
def test_an_end_that_is_not_there_gives_all_ones(rig, offset):
    rig.end(3, "qnbeusf", w1=0xF0000000)
    assert rig.ends.load(0x60000 + offset) == ALL_ONES
    assert rig.told() == [f"xive_end_source_read END 0x0/0x3 @0x{0x60000 + offset:x}", "XIVE: END 0/3 is invalid"]
    assert rig.w1(3) == 0xF0000000
    addr = 0x4000 * 0x20000 + offset
    assert rig.ends.load(addr) == ALL_ONES
    assert rig.told() == [f"xive_end_source_read END 0x0/0x4000 @0x{addr:x}", "XIVE: No END 0/4000"]


def test_the_block_is_the_routers_own():
    rig = Rig(block=5)
    rig.end(3, "v", w1=0x40000000)
    assert rig.ends.load(0x60C00) == 1
    assert rig.w1(3) == 0
    assert rig.ends.load(0x80800) == ALL_ONES
    assert rig.told() == [
        "xive_end_source_read END 0x5/0x3 @0x60c00",
        "xive_end_source_read END 0x5/0x4 @0x80800",
        "XIVE: END 5/4 is invalid",
    ]


@pytest.mark.parametrize("addr", [0, 0x60000, 0x60400, 0x60C00, 0x70F00, 0x8000_0000])
def test_stores_are_refused(rig, addr):
    rig.end(3, "v", w1=0x50000000)
    rig.ends.store(addr, ALL_ONES)
    assert rig.told() == [f"XIVE: invalid ESB write addr 0x{addr:x}"]
    assert rig.w1(3) == 0x50000000


@pytest.mark.parametrize(("shift", "size"), [(12, 0x200000), (16, 0x2000000)])
def test_each_end_has_two_pages(rig, shift, size):
    assert EndSource(rig.router, rig.events, 0x100, shift).size == size


@pytest.mark.parametrize("shift", [0, 11, 13, 15, 17, 21])
def test_other_page_sizes_are_refused(rig, shift):
    with pytest.raises(LocalError, match="Invalid ESB shift setting"):
        EndSource(rig.router, rig.events, 0x100, shift)


def test_the_pages_work_when_nobody_listens(rig):
    rig.events.unlisten(rig.events.hooks[0])
    rig.end(3, "v", w1=0xC0000000)
    assert rig.ends.load(0x60000) == 1
    assert rig.ends.load(0x80000) == ALL_ONES
    rig.ends.store(0x60000, 0)
    assert rig.w1(3) == 0x80000000 and rig.peek(QUEUE) == 0
