"""The declaration of structures: bytes, sizes, offsets, refusals."""

import struct
from typing import Annotated

import pytest

from outboard.errors import ProtocolError
from outboard.layout import Array, Bytes, Layout, Scalar, i32, says, u8, u16, u32, u64


class Point(Layout):
    """struct point."""

    x: i32 = 0
    y: u32 = 0


class Everything(Layout):
    """One field of each kind."""

    a: u8 = 0
    b: u16 = 0
    c: u32 = says("a remark", default=5)
    d: u64 = 0
    e: i32 = 0
    tag: Annotated[bytes, Bytes(3)] = b"\0\0\0"
    point: Point = Point()
    points: Annotated[tuple[Point, ...], Array(Point, 2)] = (Point(), Point())
    words: Annotated[tuple[int, ...], Array(Scalar("H"), 3)] = (0, 0, 0)


class Native(Layout, byte_order="="):
    """In host byte order."""

    word: u32 = 0


EVERYTHING = Everything(
    0x01, 0x0302, 0x07060504, 0x0F0E0D0C0B0A0908, -2, b"abc", Point(-1, 2), (Point(3, 4), Point(5, 6)), (7, 8, 9)
)
OCTETS = bytes.fromhex(
    "01 0203 04050607 08090a0b0c0d0e0f feffffff 616263 ffffffff 02000000"
    "03000000 04000000 05000000 06000000 0700 0800 0900"
)


def test_every_kind_of_field_has_its_bytes():
    assert EVERYTHING.pack() == OCTETS
    assert Everything.unpack(OCTETS) == EVERYTHING
    assert Everything.sizeof == len(OCTETS) == 52


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_any_buffer_is_unpacked(form):
    assert Everything.unpack(form(OCTETS)) == EVERYTHING
    assert Everything.unpack_from(form(b"??" + OCTETS + b"!"), 2) == EVERYTHING


def test_truncated_and_too_long_are_refused_at_every_length():
    for length in range(len(OCTETS)):
        with pytest.raises(ProtocolError, match=f"Everything: expected 52 bytes, got {length}"):
            Everything.unpack(OCTETS[:length])
        with pytest.raises(ProtocolError):
            Everything.unpack_from(OCTETS[:length])
    with pytest.raises(ProtocolError):
        Everything.unpack(OCTETS + b"\0")


@pytest.mark.parametrize("offset", [-1, 1, 53, 1 << 70])
def test_an_offset_that_leaves_too_little_is_refused(offset):
    with pytest.raises(ProtocolError):
        Everything.unpack_from(OCTETS, offset)


@pytest.mark.parametrize(
    ("path", "offset"),
    [("a", 0), ("b", 1), ("c", 3), ("d", 7), ("e", 15), ("tag", 19), ("point.y", 26), ("points", 30), ("words", 46)],
)
def test_offsets_have_no_padding(path, offset):
    assert Everything.offsetof(path) == offset


def test_an_unknown_field_has_no_offset():
    with pytest.raises(KeyError, match="Everything has no field 'z'"):
        Everything.offsetof("z")
    with pytest.raises(KeyError, match="Point has no field 'z'"):
        Everything.offsetof("point.z")


def test_rows_are_the_fields_in_order():
    rows = list(Everything.rows())
    assert [(row.offset, row.size, row.name) for row in rows[:4]] == [
        (0, 1, "a"),
        (1, 2, "b"),
        (3, 4, "c"),
        (7, 8, "d"),
    ]
    assert rows[-1].offset + rows[-1].size == Everything.sizeof
    assert [row.says for row in rows if row.says] == ["a remark"]


def test_defaults_are_the_declared_ones():
    assert Everything().pack() == bytes(3) + b"\5\0\0\0" + bytes(45)


@pytest.mark.parametrize("field", [{"x": 1 << 31}, {"x": -(1 << 31) - 1}, {"y": -1}, {"y": 1 << 32}])
def test_values_that_do_not_fit_are_refused(field):
    with pytest.raises(struct.error):
        Point(**field).pack()


def test_byte_strings_too_long_are_refused_and_not_cut():
    with pytest.raises(struct.error, match="4 bytes in a field of 3"):
        Everything(tag=b"long").pack()


def test_byte_order_is_the_class_s():
    assert Native(1).pack() == struct.pack("=I", 1)
    assert Point(1, 0).pack() == b"\1\0\0\0\0\0\0\0"


def test_structures_are_values():
    assert Point(1, 2) == Point(1, 2) != Point(2, 1)
    assert len({Point(1, 2), Point(1, 2), Point(2, 1)}) == 2
    with pytest.raises(AttributeError):
        Point().x = 1
