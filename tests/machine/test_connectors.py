"""Sizes out of EDIDs: real ones, damaged ones, random ones. The bytes are typed by hand from VESA's tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outboard.display.edid import edid as make_edid
from outboard.machine.card.connectors import HEADER, sizes

pytestmark = pytest.mark.alike

HEAD = "00ffffffffffff00 3e94 0100 00000000 00 24 01 04 a5 34 20 78 06 ee91a3544c99260f5054"
NO_BITS = "000000"
UNUSED = "0101" * 8
FULL_HD = "02 3a 80 18 71 38 2d 40 58 2c 45 00 08 22 21 00 00 18"
NAME = "00 00 00 fc 00 6f7574626f6172640a2020202020"


def block(*parts, end="00"):
    """Return a block of 128 bytes with a checksum that fits."""
    body = bytes.fromhex("".join(parts)).ljust(126, b"\0") + bytes.fromhex(end)
    assert len(body) == 127
    return body + bytes((-sum(body) & 0xFF,))


def base(bits=NO_BITS, standard=UNUSED, descriptors=FULL_HD, end="00"):
    return block(HEAD, bits, standard, descriptors, end=end)


def test_a_detailed_timing_names_its_size():
    assert sizes(base()) == [(1920, 1080)]


def test_a_descriptor_without_a_pixel_clock_is_no_timing():
    assert sizes(base(descriptors=NAME)) == []


@pytest.mark.parametrize(
    ("bits", "size"),
    [
        ("200000", (640, 480)),
        ("040000", (640, 480)),
        ("010000", (800, 600)),
        ("020000", (800, 600)),
        ("800000", (720, 400)),
        ("008000", (800, 600)),
        ("002000", (832, 624)),
        ("000800", (1024, 768)),
        ("001000", (1024, 768)),
        ("000100", (1280, 1024)),
        ("000080", (1152, 870)),
    ],
)
def test_an_established_timing_is_one_bit(bits, size):
    assert sizes(base(bits, descriptors=NAME)) == [size]


@pytest.mark.parametrize(
    ("pair", "size"), [("8100", (1280, 800)), ("6140", (1024, 768)), ("8180", (1280, 1024)), ("d1c0", (1920, 1080))]
)
def test_a_standard_timing_is_two_bytes(pair, size):
    assert sizes(base(standard=pair + "0101" * 7, descriptors=NAME)) == [size]


def test_six_more_standard_timings_fit_a_descriptor():
    more = "00 00 00 fa 00 8100 8180 a9c0 b300 d1c0 0101 0a"
    assert sizes(base(descriptors=more)) == [(1280, 800), (1280, 1024), (1600, 900), (1680, 1050), (1920, 1080)]


def test_an_extension_adds_detailed_timings():
    extension = block("02 03 04 00", FULL_HD)
    assert sizes(base(descriptors=NAME, end="01") + extension) == [(1920, 1080)]
    assert sizes(base(descriptors=NAME, end="00") + extension) == []
    assert sizes(base(descriptors=NAME, end="01")) == []


def test_what_is_damaged_names_nothing():
    good = base()
    for at in range(128):
        broken = bytearray(good)
        broken[at] ^= 1
        assert sizes(bytes(broken)) == []
    assert sizes(good[:127]) == sizes(b"") == []


@pytest.mark.parametrize("size", [(1280, 800), (64, 64), (4095, 2160), (1, 1)])
def test_our_own_are_read(size):
    assert sizes(make_edid(*size))[0] == size


@given(st.binary(max_size=400))
def test_random_bytes_raise_nothing(data):
    body = (HEADER + data)[:127].ljust(127, b"\0")
    for edid in (data, body + bytes((-sum(body) & 0xFF,)) + data):
        assert all(width > 0 and height > 0 for width, height in sizes(edid))
