"""Guest memory, word by word: the edges of regions, several regions, none; the log of written pages."""

import pytest

from outboard.guest.memory import GuestMemory, Region

TOP = 1 << 64
VALUE = 0x0123456789ABCDEF
SIZES = pytest.mark.parametrize("size", range(1, 9))


def memory(*places):
    """Return memory with a region of zeros at each place, (guest_addr, size)."""
    made = GuestMemory()
    for guest_addr, size in places:
        made.add(Region(guest_addr, guest_addr, memoryview(bytearray(size))))
    return made


def octets(mem):
    return [bytes(region.buffer) for region in mem.regions]


def cut(size):
    return VALUE & (1 << 8 * size) - 1


@SIZES
@pytest.mark.parametrize("addr", [0x1000, 0x1003, 0x1FF8])
def test_a_word_is_big_endian(addr, size):
    mem = memory((0x1000, 0x1000))
    assert mem.store(addr, size, VALUE) is True
    assert mem.read(addr, size) == cut(size).to_bytes(size, "big")
    assert mem.load(addr, size) == cut(size)
    assert sum(octets(mem)[0]) == sum(cut(size).to_bytes(size, "big"))


@SIZES
def test_the_first_and_the_last_word_of_a_region_are_memory(size):
    mem = memory((0x1000, 0x20))
    assert mem.store(0x1000, size, VALUE)
    assert mem.store(0x1020 - size, size, VALUE)
    word = cut(size).to_bytes(size, "big")
    assert octets(mem) == [word + bytes(0x20 - 2 * size) + word]


@SIZES
def test_a_word_that_leaves_memory_is_not_stored_at_all(size):
    mem = memory((0x1000, 0x20))
    for addr in (0xFFF if size > 1 else 0xFFE, 0x1021 - size, 0x1020, 0, TOP - size, TOP - 1):
        assert mem.store(addr, size, VALUE) is False
        assert mem.load(addr, size) == 0
    assert octets(mem) == [bytes(0x20)]


def test_what_is_there_of_a_word_that_leaves_memory_is_not_loaded():
    mem = memory((0x1000, 0x20))
    mem.store(0x1018, 8, VALUE)
    assert mem.load(0x1018, 8) == VALUE
    assert mem.load(0x1019, 8) == 0
    assert mem.load(0x101F, 1) == 0xEF


@pytest.mark.parametrize("size", range(2, 9))
def test_a_word_may_lie_in_two_regions(size):
    mem = memory((0x2000, 0x1000), (0x1000, 0x1000))
    for at in range(1, size):
        assert mem.store(0x2000 - at, size, VALUE) is True
        assert mem.load(0x2000 - at, size) == cut(size)
        assert mem.read(0x2000 - at, size) == cut(size).to_bytes(size, "big")


def test_a_word_may_lie_in_many_regions():
    mem = memory(*((0x1000 + at, 1) for at in range(8)))
    assert mem.store(0x1000, 8, VALUE)
    assert octets(mem) == [b"\x01", b"\x23", b"\x45", b"\x67", b"\x89", b"\xab", b"\xcd", b"\xef"]
    assert mem.load(0x1000, 8) == VALUE


def test_a_word_over_a_hole_is_not_stored_at_all():
    mem = memory((0x1000, 4), (0x1005, 3))
    assert mem.store(0x1000, 8, VALUE) is False
    assert octets(mem) == [bytes(4), bytes(3)]
    assert mem.load(0x1000, 8) == 0


@SIZES
def test_the_last_word_of_the_address_space_is_memory_and_none_wraps(size):
    mem = memory((TOP - 0x10, 0x10), (0, 0x10))
    assert mem.store(TOP - size, size, VALUE) is True
    assert mem.load(TOP - size, size) == cut(size)
    assert size == 1 or mem.store(TOP - size + 1, size, VALUE) is False
    assert octets(mem)[1] == bytes(0x10)


def test_without_memory_there_is_nothing():
    mem = GuestMemory()
    assert (mem.load(0, 8), mem.store(0, 8, VALUE)) == (0, False)


def test_a_region_that_went_is_not_written_any_more():
    mem = memory((0x1000, 0x10))
    gone = mem.regions[0]
    mem.store(0x1000, 4, 0x01020304)
    mem.remove(0x1000, 0x10, 0x1000)
    assert mem.store(0x1000, 4, 0xFFFFFFFF) is False
    assert mem.load(0x1000, 4) == 0
    assert bytes(gone.buffer)[:4] == b"\1\2\3\4"


def test_stores_are_noted_page_by_page():
    mem = memory((0x10000, 0x4010))
    written = mem.regions[0].track()
    assert bytes(written) == bytes(5)
    mem.load(0x10000, 8)
    mem.store(0x11000, 1, 0)
    assert bytes(written) == b"\0\1\0\0\0"
    mem.store(0x12FFC, 4, VALUE)
    assert bytes(written) == b"\0\1\1\0\0"
    mem.store(0x1400F, 1, VALUE)
    assert bytes(written) == b"\0\1\1\0\1"


@pytest.mark.parametrize("at", range(1, 8))
def test_a_word_over_two_pages_writes_both(at):
    mem = memory((0x10000, 0x3000))
    written = mem.regions[0].track()
    mem.store(0x12000 - at, 8, VALUE)
    assert bytes(written) == b"\0\1\1"


def test_a_word_over_two_regions_writes_both():
    mem = memory((0x10000, 0x1000), (0x11000, 0x2000))
    logs = [region.track() for region in mem.regions]
    mem.store(0x10FFE, 4, VALUE)
    assert [bytes(log) for log in logs] == [b"\1", b"\1\0"]


def test_a_store_that_is_refused_writes_no_page():
    mem = memory((0x10000, 0x1000))
    written = mem.regions[0].track()
    assert mem.store(0x10FFE, 4, VALUE) is False
    assert bytes(written) == b"\0"


def test_the_latest_log_is_the_one_that_is_kept():
    mem = memory((0x10000, 0x1000))
    first, second = mem.regions[0].track(), mem.regions[0].track()
    mem.store(0x10000, 1, 1)
    assert (bytes(first), bytes(second)) == (b"\0", b"\1")


def test_bytes_are_written_over_regions_and_their_pages_noted():
    mem = memory((0x10000, 0x3000), (0x13000, 0x2000))
    logs = [region.track() for region in mem.regions]
    assert mem.write(0x11FFE, bytes(range(1, 22))) is True
    assert mem.read(0x11FFC, 6) == bytes([0, 0, 1, 2, 3, 4])
    assert mem.write(0x12FFF, b"ab") is True
    assert mem.read(0x12FFF, 2) == b"ab"
    assert [bytes(log) for log in logs] == [b"\0\1\1", b"\1\0"]


def test_bytes_that_leave_memory_are_not_written_at_all():
    mem = memory((0x10000, 0x1000), (0x11001, 0xFFF))
    logs = [region.track() for region in mem.regions]
    for addr, length in ((0x10FFF, 2), (0x10FFF, 4), (0xFFFF, 2), (0x11FFF, 2), (0, 1), (TOP - 1, 2)):
        assert mem.write(addr, b"\1" * length) is False
    assert [bytes(log) for log in logs] == [b"\0", b"\0"]
    assert octets(mem) == [bytes(0x1000), bytes(0xFFF)]


@pytest.mark.parametrize(
    ("addr", "length", "pages"),
    [
        (0x10000, 0, b"\0\0\0\0"),
        (0x10000, 1, b"\1\0\0\0"),
        (0x10FFF, 1, b"\1\0\0\0"),
        (0x10FFF, 2, b"\1\1\0\0"),
        (0x11000, 0x1000, b"\0\1\0\0"),
        (0x10FFF, 0x1002, b"\1\1\1\0"),
        (0x13000, 0x10, b"\0\0\0\1"),
        (0x10000, 0x3010, b"\1\1\1\1"),
    ],
)
def test_every_page_of_a_written_range_is_noted(addr, length, pages):
    mem = memory((0x10000, 0x3010))
    written = mem.regions[0].track()
    assert mem.write(addr, bytes(length)) is True
    assert bytes(written) == pages


def test_nobody_has_to_keep_track():
    mem = memory((0x10000, 0x1000))
    assert mem.write(0x10000, b"abc") is True
    mem.regions[0].mark(0, 3)
    assert mem.load(0x10000, 4) == 0x61626300
