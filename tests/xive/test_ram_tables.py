"""Tables in guest memory: where entries lie, what counts as none, what is written back."""

import time

import pytest

from outboard.guest.memory import GuestMemory, Region
from outboard.xive.events import Events
from outboard.xive.presenter import Presenter
from outboard.xive.ram_tables import EAT, ENDT, NVTT, RamRouter
from outboard.xive.router import End

BASE, SIZE = 0x8000, 0x4000


class Tables:
    """A router over one small region, with hostile neighbours of its tables' entries."""

    def __init__(self, block=0, guest_addr=BASE, size=SIZE):
        self.cells = bytearray(b"\xee" * size)
        self.memory = GuestMemory()
        self.memory.add(Region(guest_addr, 0, memoryview(self.cells)))
        events = Events()
        self.router = RamRouter(Presenter([0], events), self.memory, events, block)

    def get(self, table, blk, idx):
        if table == EAT:
            return self.router.get_eas(blk, idx)
        return self.router.get_end(blk, idx, End()) if table == ENDT else self.router.get_nvt(blk, idx)

    def put(self, table, blk, idx, word):
        (self.router.write_end_w1 if table == ENDT else self.router.write_nvt_w4)(blk, idx, word)


@pytest.fixture
def tables():
    return Tables()


def words(end):
    return [end.w0, end.w1, end.w2, end.w3, end.w4, end.w5, end.w6, end.w7]


def test_tables_have_the_numbers_of_their_descriptors():
    assert (EAT, ENDT, NVTT) == (0, 2, 3)


def test_an_entry_is_read_big_endian(tables):
    tables.cells[0x1008:0x1010] = bytes.fromhex("0123456789abcdef")
    tables.router.set_table(EAT, 0x9000, 2)
    assert tables.router.get_eas(0, 1)
    assert tables.router.eas == 0x0123456789ABCDEF
    tables.cells[0x1040:0x1060] = bytes(range(0x80, 0xA0))
    tables.router.set_table(ENDT, 0x9000, 3)
    end = End()
    assert tables.router.get_end(0, 2, end)
    assert words(end) == [
        *(0x80818283, 0x84858687, 0x88898A8B, 0x8C8D8E8F),
        *(0x90919293, 0x94959697, 0x98999A9B, 0x9C9D9E9F),
    ]
    tables.cells[0x1040:0x1080] = bytes(range(0x40, 0x80))
    tables.router.set_table(NVTT, 0x9000, 2)
    assert tables.router.get_nvt(0, 1)
    assert (tables.router.nvt_w0, tables.router.nvt_w4) == (0x40414243, 0x50515253)


def test_one_word_is_written_back(tables):
    tables.router.set_table(ENDT, 0x9000, 4)
    tables.router.set_table(NVTT, 0xA000, 4)
    before = bytes(tables.cells)
    tables.router.write_end_w1(0, 3, 0x01234567)
    tables.router.write_nvt_w4(0, 3, 0x89ABCDEF)
    assert tables.cells[0x1064:0x1068] == bytes.fromhex("01234567")
    assert tables.cells[0x20D0:0x20D4] == bytes.fromhex("89abcdef")
    tables.cells[0x1064:0x1068] = tables.cells[0x20D0:0x20D4] = b"\xee" * 4
    assert tables.cells == before


def test_what_is_written_back_is_noted_as_written(tables):
    written = tables.memory.regions[0].track()
    tables.router.set_table(ENDT, 0x9FE0, 1)
    tables.router.write_end_w1(0, 0, 0)
    assert written == b"\0\1\0\0"


SIZES = [(EAT, 8), (ENDT, 32), (NVTT, 64)]


@pytest.mark.parametrize(("table", "size"), SIZES)
def test_a_table_ends_with_its_last_entry(tables, table, size):
    tables.router.set_table(table, 0x9000, 5)
    there = [idx for idx in (0, 1, 4, 5, 6, 0x7FFFF, 0xFFFFFFF, 0xFFFFFFFF) if tables.get(table, 0, idx)]
    assert there == [0, 1, 4]
    assert [tables.router.entry(table, 0, idx) for idx in (0, 4, 5)] == [0x9000, 0x9000 + 4 * size, 0]


@pytest.mark.parametrize(("table", "size"), SIZES)
def test_there_is_no_table_at_first_none_at_address_0_and_none_without_entries(table, size):
    tables = Tables(guest_addr=0)
    for addr, entries in ((None, None), (0, 0x100), (0x1000, 0)):
        if addr is not None:
            tables.router.set_table(table, addr, entries)
        assert not any(tables.get(table, 0, idx) for idx in (0, 1, 0xFF))
    tables.router.set_table(table, size, 2)
    assert tables.get(table, 0, 0)


@pytest.mark.parametrize(("table", "size"), SIZES)
@pytest.mark.parametrize("own", [0, 1, 15])
def test_another_block_has_no_entries(table, size, own):
    tables = Tables(own)
    tables.router.set_table(table, 0x9000, 5)
    assert [blk for blk in (*range(17), 0xFFFFFFF) if tables.get(table, blk, 1)] == [own]


@pytest.mark.parametrize(("table", "size"), SIZES)
def test_an_entry_must_be_memory_whole(tables, table, size):
    tables.router.set_table(table, BASE + SIZE - size, 2)
    assert tables.get(table, 0, 0) and not tables.get(table, 0, 1)
    for addr in (BASE + SIZE - size + 1, BASE + SIZE - 1, BASE + SIZE, BASE - 1, BASE - size + 4, 0x1000, 1 << 60):
        tables.router.set_table(table, addr, 1)
        assert not tables.get(table, 0, 0)


@pytest.mark.parametrize(("table", "size"), SIZES)
def test_a_table_does_not_wrap_around_the_address_space(table, size):
    tables = Tables(guest_addr=0)
    top = bytearray(0x1000)
    tables.memory.add(Region(0xFFFFFFFFFFFFF000, 1 << 40, memoryview(top)))
    tables.router.set_table(table, 0xFFFFFFFFFFFFF000, 0x10000000)
    last = 0x1000 // size - 1
    there = [tables.get(table, 0, idx) for idx in (0, last, last + 1, last + 2, 0xFFFFFFF)]
    assert there == [True, True, False, False, False]


@pytest.mark.parametrize("table", [ENDT, NVTT])
def test_writing_back_where_nothing_is_writes_nothing(tables, table):
    before = bytes(tables.cells)
    for addr, blk, idx in ((0, 0, 0), (0x9000, 1, 0), (0x9000, 0, 5), (0x1000, 0, 0), (BASE + SIZE, 0, 0)):
        tables.router.set_table(table, addr, 5)
        tables.put(table, blk, idx, 0)
    assert tables.cells == before


def test_memory_that_goes_away_takes_its_tables_along(tables):
    tables.router.set_table(ENDT, 0x9000, 5)
    assert tables.get(ENDT, 0, 0)
    tables.memory.clear()
    assert not tables.get(ENDT, 0, 0)
    tables.put(ENDT, 0, 0, 0)


def test_a_machine_finds_entries_its_own_way(tables):
    class Indirect(RamRouter):
        """Table ENDT of block 7 in two pages, the second one first; a hole for index 3."""

        def entry(self, table, blk, idx):
            if (table, blk) != (ENDT, 7) or idx > 4 or idx == 3:
                return 0
            return (0xA000, 0x9000)[idx & 1] + 32 * (idx >> 1)

    router, end = Indirect(tables.router.presenter, tables.memory, tables.router.events), End()
    tables.cells[0x2020:0x2040] = bytes(range(32))
    assert [idx for idx in range(6) if router.get_end(7, idx, end)] == [0, 1, 2, 4]
    assert router.get_end(7, 2, end) and end.w7 == 0x1C1D1E1F
    assert not router.get_end(0, 0, end) and not router.get_nvt(7, 0) and not router.get_eas(7, 0)
    router.write_end_w1(7, 1, 0)
    router.write_end_w1(7, 3, 0)
    assert tables.cells[0x1004:0x1008] == bytes(4) and tables.cells[0:8] == b"\xee" * 8


def test_large_tables_cost_what_small_ones_do():
    times = {}
    for entries in (0x10, 0x10000000):
        tables = Tables()
        tables.router.set_table(ENDT, 0x9000, entries)
        end = End()
        spans = []
        for _ in range(20):
            start = time.perf_counter()
            for _ in range(200):
                tables.router.get_end(0, 0xF, end)
            spans.append(time.perf_counter() - start)
        times[entries] = min(spans)
    assert times[0x10000000] < 3 * times[0x10]
