"""The pictures as numbers, computed by hand from kms.c's text."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.peers.patterns import Picture, cursor_image, picture, read_ppm, rectangles


def at(shown: Picture, x: int, y: int) -> str:
    """The pixel as RRGGBB."""
    place = 3 * (y * shown.width + x)
    return shown.rgb[place : place + 3].hex()


def test_patterns() -> None:
    gradient = picture("gradient", 300, 260)
    assert (at(gradient, 0, 0), at(gradient, 299, 3), at(gradient, 1, 258)) == ("000000", "2b0328", "010203")
    bars = picture("bars", 80, 2)
    assert (at(bars, 0, 0), at(bars, 10, 1), at(bars, 79, 1)) == ("ffffff", "ffff00", "000000")
    checker = picture("checker", 40, 40)
    assert (at(checker, 15, 15), at(checker, 16, 15), at(checker, 16, 16)) == ("000000", "ffffff", "000000")
    assert picture("102030", 2, 1).rgb.hex() == "102030102030"


def test_rectangles() -> None:
    shown = rectangles(2, 100, 90)
    # (i + 1) * 0x9e3779b1, the low 24 bits
    assert (at(shown, 0, 0), at(shown, 31, 23), at(shown, 32, 23)) == ("3779b1", "3779b1", "000000")
    assert (at(shown, 37, 53), at(shown, 68, 76)) == ("6ef362", "6ef362")


def test_cursor_image() -> None:
    words = [cursor_image()[i : i + 4].hex() for i in range(0, 4 * 64 * 64, 4)]
    middle = 32 * 64
    assert (words[middle + 32], words[middle + 13], words[middle + 12]) == ("ffffffff", "ffffffff", "000000ff")
    assert (words[middle + 8], words[middle + 1], words[middle], words[0]) == (
        "0000ff80",
        "0000ff80",
        "00000000",
        "00000000",
    )


def test_ppm(tmp_path: Path) -> None:
    file = tmp_path / "x.ppm"
    file.write_bytes(b"P6\n2 1\n255\n\n\x20\x0a\x01\x02\x03")
    assert read_ppm(file) == Picture(2, 1, b"\n\x20\x0a\x01\x02\x03")
    file.write_bytes(b"P5\n2 1\n255\nab")
    with pytest.raises(ValueError, match="expected a PPM"):
        read_ppm(file)


def test_difference() -> None:
    one = picture("000000", 4, 3)
    assert one.difference(one) is None
    assert one.difference(picture("000000", 4, 4)) == "sizes 4x3 and 4x4"
    assert one.difference(Picture(4, 3, bytes(20) + b"\1" + bytes(15))) == "pixel 2,1: 000000 and 000001"
