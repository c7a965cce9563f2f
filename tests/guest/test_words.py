"""Big-endian words in byte buffers."""

import pytest

import outboard.guest.words as words

OCTETS = bytes.fromhex("0123456789abcdef fedcba9876543210")
BUFFERS = pytest.mark.parametrize(
    "form", [bytearray, lambda octets: memoryview(bytearray(octets))], ids=["own", "view"]
)


@BUFFERS
def test_words_are_loaded_most_significant_byte_first(form):
    cells = form(OCTETS)
    assert words.load_be32(cells, 0) == 0x01234567
    assert words.load_be32(cells, 1) == 0x23456789
    assert words.load_be32(cells, 12) == 0x76543210
    assert words.load_be64(cells, 0) == 0x0123456789ABCDEF
    assert words.load_be64(cells, 8) == 0xFEDCBA9876543210
    assert words.load_be64(cells, 3) == 0x6789ABCDEFFEDCBA


@BUFFERS
def test_words_are_stored_most_significant_byte_first(form):
    cells = form(bytes(16))
    words.store_be32(cells, 1, 0x01234567)
    words.store_be64(cells, 8, 0x89ABCDEF01234567)
    assert bytes(cells) == bytes.fromhex("00 01234567 000000 89abcdef01234567")


@pytest.mark.parametrize(
    ("size", "first", "last"),
    [
        (1, 0x01, 0x10),
        (2, 0x0123, 0x3210),
        (3, 0x012345, 0x543210),
        (4, 0x01234567, 0x76543210),
        (5, 0x0123456789, 0x9876543210),
        (6, 0x0123456789AB, 0xBA9876543210),
        (7, 0x0123456789ABCD, 0xDCBA9876543210),
        (8, 0x0123456789ABCDEF, 0xFEDCBA9876543210),
    ],
)
@BUFFERS
def test_words_of_any_size_reach_both_ends(form, size, first, last):
    cells = form(OCTETS)
    assert words.load_be(cells, 0, size) == first
    assert words.load_be(cells, 16 - size, size) == last
    words.store_be(cells, 0, size, last)
    words.store_be(cells, 16 - size, size, first)
    assert bytes(cells) == OCTETS[16 - size :] + OCTETS[size : 16 - size] + OCTETS[:size]


def test_values_are_cut_to_their_word():
    cells = bytearray(24)
    words.store_be32(cells, 0, 0x1_0000_0002)
    words.store_be64(cells, 8, 0x1_0000_0000_0000_0003)
    words.store_be(cells, 16, 1, 0x1FF)
    words.store_be(cells, 18, 3, 0xAA_123456)
    assert bytes(cells) == bytes.fromhex("00000002 00000000 0000000000000003 ff 00 123456 000000")


@pytest.mark.parametrize(
    ("value", "size", "swapped"),
    [
        (0x80, 1, 0x80),
        (0x1234, 2, 0x3412),
        (0x80000400, 4, 0x00040080),
        (0x80000123, 4, 0x23010080),
        (0x0123456789ABCDEF, 8, 0xEFCDAB8967452301),
        (1, 8, 0x0100000000000000),
    ],
)
def test_bytes_are_reversed(value, size, swapped):
    assert words.swap(value, size) == swapped
    assert words.swap(swapped, size) == value
