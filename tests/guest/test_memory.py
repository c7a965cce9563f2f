"""Guest memory: regions, lookups, holes, the ends of the address space."""

import pytest

from outboard.errors import ProtocolError
from outboard.guest.memory import GuestMemory, Region

TOP = 1 << 64
USER = 0x7F00_0000_0000


def region(guest_addr, size, user_addr=None, fill=0):
    data = bytearray([fill]) * size
    return Region(guest_addr, USER + guest_addr if user_addr is None else user_addr, memoryview(data))


def memory(*regions):
    made = GuestMemory()
    for one in regions:
        made.add(one)
    return made


def test_a_byte_is_found_from_the_first_to_the_last_of_its_region():
    low, high = region(0x1000, 0x1000), region(0x3000, 0x1000)
    mem = memory(low, high)
    found = {addr: mem.find(addr) for addr in (0, 0xFFF, 0x1000, 0x1FFF, 0x2000, 0x2FFF, 0x3000, 0x3FFF, 0x4000)}
    assert [addr for addr, where in found.items() if where is low] == [0x1000, 0x1FFF]
    assert [addr for addr, where in found.items() if where is high] == [0x3000, 0x3FFF]
    assert [addr for addr, where in found.items() if where is None] == [0, 0xFFF, 0x2000, 0x2FFF, 0x4000]


def test_the_last_byte_of_the_address_space_is_memory_like_any_other():
    top = region(TOP - 0x1000, 0x1000, USER)
    mem = memory(top)
    assert mem.find(TOP - 1) is top
    assert mem.read(TOP - 4, 4) == bytes(4)
    assert mem.read(TOP - 4, 5) is None
    assert mem.read(0, 1) is None


def test_a_range_does_not_wrap_around_the_end_of_the_address_space():
    mem = memory(region(TOP - 0x1000, 0x1000, USER), region(0, 0x1000, USER + 0x1000))
    assert mem.read(TOP - 4, 8) is None
    assert mem.extents(TOP - 1, 2) is None


@pytest.mark.parametrize(
    ("guest_addr", "user_addr", "size"),
    [
        (TOP - 0x1000, USER, 0x1001),
        (0, TOP - 0x1000, 0x1001),
        (0, USER, 0),
        (0x1800, USER, 0x1000),
        (0x1000, USER, 0x1000),
        (0x0800, USER, 0x0801),
        (0x0000, USER, 0x8000),
        (0x1001, USER, 1),
    ],
)
def test_regions_that_wrap_overlap_or_are_empty_are_refused(guest_addr, user_addr, size):
    mem = memory(region(0x1000, 0x1000))
    before = mem.generation
    with pytest.raises(ProtocolError):
        mem.add(region(guest_addr, size, user_addr))
    assert (len(mem.regions), mem.generation) == (1, before)


def test_neighbours_are_no_overlap():
    mem = memory(region(0x1000, 0x1000), region(0x2000, 0x1000), region(0, 0x1000))
    assert len(mem.regions) == 3


def test_a_range_over_neighbours_comes_in_pieces_whatever_their_order_of_arrival():
    high, low = region(0x2000, 0x1000, fill=2), region(0x1000, 0x1000, fill=1)
    mem = memory(high, low)
    assert mem.extents(0x1FFE, 5) == [(low, 0xFFE, 2), (high, 0, 3)]
    assert mem.read(0x1FFE, 5) == b"\1\1\2\2\2"


@pytest.mark.parametrize(("addr", "length"), [(0xFFF, 2), (0x1FFF, 2), (0x2000, 1), (0x0, 1), (0x1800, 0x1800)])
def test_a_range_with_a_hole_is_no_memory(addr, length):
    mem = memory(region(0x1000, 0x1000), region(0x2800, 0x1000))
    assert mem.extents(addr, length) is None
    assert mem.read(addr, length) is None


def test_an_empty_range_has_no_pieces_anywhere():
    assert memory().extents(12345, 0) == []
    assert memory().read(12345, 0) == b""


def test_user_addresses_are_another_space():
    mem = memory(region(0x1000, 0x1000, USER), region(0x2000, 0x1000, USER + 0x10000))
    assert len(mem.user_range(USER + 0x10, 0xFF0)) == 0xFF0
    assert mem.user_range(USER + 0x10, 0xFF1) is None
    assert mem.user_range(USER - 1, 1) is None
    assert mem.user_range(0x1000, 1) is None
    mem.user_range(USER + 0x10000, 1)[0] = 7
    assert mem.read(0x2000, 1) == b"\7"


def test_removal_takes_exactly_the_named_region():
    mem = memory(region(0x1000, 0x1000), region(0x2000, 0x1000))
    for wrong in [
        (0x1000, 0x1000, USER),
        (0x1000, 0x800, USER + 0x1000),
        (0x1800, 0x1000, USER + 0x1000),
    ]:
        with pytest.raises(ProtocolError):
            mem.remove(*wrong)
    assert mem.find(0x1000) is not None
    mem.remove(0x1000, 0x1000, USER + 0x1000)
    assert mem.find(0x1000) is None
    assert mem.find(0x2000) is not None


def test_a_table_replaces_all_or_nothing():
    mem = memory(region(0x1000, 0x1000))
    with pytest.raises(ProtocolError):
        mem.replace([region(0x5000, 0x1000), region(0x5800, 0x1000)])
    assert mem.find(0x1000) is not None
    assert mem.find(0x5000) is None
    mem.replace([region(0x5000, 0x1000)])
    assert mem.find(0x1000) is None
    assert mem.find(0x5000) is not None
    mem.clear()
    assert mem.find(0x5000) is None


def test_every_change_raises_the_generation():
    mem = GuestMemory()
    seen = [mem.generation]
    for change in (
        lambda: mem.add(region(0x1000, 0x1000)),
        lambda: mem.add(region(0x2000, 0x1000)),
        lambda: mem.remove(0x1000, 0x1000, USER + 0x1000),
        lambda: mem.replace([region(0, 0x1000)]),
        mem.clear,
    ):
        change()
        seen.append(mem.generation)
    assert seen == sorted(set(seen))


@pytest.mark.parametrize(
    "mem", [memory(), memory(region(0x1000, 0x1000), region(0x3000, 0x1000), region(0x2000, 0x800))]
)
def test_a_row_is_the_place_of_what_is_found(mem):
    for addr in (0, 0xFFF, 0x1000, 0x27FF, 0x2800, 0x3000, 0x1FFF, 0x3FFF, 0x4000, TOP - 1):
        row, found = mem.row(addr), mem.find(addr)
        assert found is (mem.regions[row] if row >= 0 else None)
        assert row < 0 or mem.offset(row, addr) + mem.room(row, mem.offset(row, addr)) == mem.regions[row].size


@pytest.mark.parametrize(
    ("addr", "length", "all_there"),
    [
        (0x1000, 1, True),
        (0x1000, 0x1800, True),
        (0x1FFE, 4, True),
        (0x27FF, 1, True),
        (0x27FF, 2, False),
        (0x0FFF, 2, False),
        (0x1000, 0x2001, False),
        (TOP - 0x1000, 0x1000, True),
        (TOP - 4, 5, False),
        (TOP - 4, 8, False),
        (0, 1, True),
    ],
)
def test_a_range_is_fetched_from_all_its_regions_or_not_at_all(addr, length, all_there):
    regions = [
        region(0x1000, 0x1000),
        region(0x2000, 0x800),
        region(TOP - 0x1000, 0x1000, USER),
        region(0, 8, USER * 2),
    ]
    mem = memory(*regions)
    for one in regions:
        one.buffer[:] = bytes((one.guest_addr + at) % 251 for at in range(one.size))
    assert mem.holds(addr, length) is all_there
    into = memoryview(bytearray(length + 8))
    assert mem.fetch(addr, into, length) is all_there
    if all_there:
        assert bytes(into) == bytes((addr + at) % 251 for at in range(length)) + bytes(8)
    assert not any(into[length:])


def test_rows_are_those_of_now():
    first, second = region(0x1000, 0x1000, fill=1), region(0x3000, 0x1000, fill=2)
    mem = memory(first, second)
    assert mem.row(0x3000) == 1
    mem.remove(0x1000, 0x1000, first.user_addr)
    assert (mem.row(0x3000), mem.row(0x1000)) == (0, -1)
    into = memoryview(bytearray(1))
    assert mem.fetch(0x3FFF, into, 1) and into[0] == 2
    mem.clear()
    assert mem.row(0x3000) == -1 and not mem.holds(0x3000, 1)
