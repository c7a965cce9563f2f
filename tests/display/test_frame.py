"""Frames: what their views say of the pixels, and the cursor drawn into them."""

import random

import pytest

from outboard.display import Cursor, Frame

np = pytest.importorskip("numpy")

CLEAR = (0, 0, 0, 0)
HIDDEN = Cursor()


def image(*points: tuple[int, int, tuple[int, int, int, int]]) -> bytes:
    """Return a cursor's image: points (x, y, (blue, green, red, alpha)) on nothing."""
    made = bytearray(64 * 64 * 4)
    for x, y, colour in points:
        made[4 * (64 * y + x) : 4 * (64 * y + x) + 4] = bytes(colour)
    return bytes(made)


def frame(width: int, height: int, cursor: Cursor = HIDDEN, seed: int = 1) -> Frame:
    return Frame(width, height, random.Random(seed).randbytes(4 * width * height), 7, 1.5, ((0, 0, 1, 1),), cursor)


def pixel(pixels: bytes, width: int, x: int, y: int) -> tuple[int, ...]:
    return tuple(pixels[4 * (y * width + x) : 4 * (y * width + x) + 4])


def blended(colour, under, premultiplied):
    """Return one pixel under another, in exact numbers, rounded at the end of each step as a byte is."""
    *channels, alpha = colour
    over = [c if premultiplied else (2 * c * alpha + 255) // 510 for c in channels]
    rest = [(2 * u * (255 - alpha) + 255) // 510 for u in under[:3]]
    return [min(255, a + b) for a, b in zip(over, rest, strict=True)]


def test_the_views_name_the_channels():
    one = Frame(2, 1, bytes([1, 2, 3, 4, 5, 6, 7, 8]), 1)
    assert one.words.tolist() == [[0x04030201, 0x08070605]]
    assert one.bgrx.tolist() == [[[1, 2, 3, 4], [5, 6, 7, 8]]]
    assert one.rgb.tolist() == [[[3, 2, 1], [7, 6, 5]]]


def test_the_views_are_row_by_row_and_read_only():
    one = frame(3, 5)
    assert one.words.shape == (5, 3)
    assert one.rgb.shape == (5, 3, 3)
    assert one.bgrx[4, 2].tolist() == list(one.pixels[-4:])
    for view in (one.words, one.bgrx, one.rgb):
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0] = 0


def test_a_frame_of_nothing_has_views():
    one = Frame(0, 0, b"", 0)
    assert one.words.shape == (0, 0)
    assert one.composed() is one


@pytest.mark.parametrize(
    "cursor",
    [
        Cursor(),
        Cursor(1, 1, 0, 0, False, image((0, 0, (255, 255, 255, 255)))),
        Cursor(1, 1, 0, 0, True, b""),
        Cursor(-64, 0, 0, 0, True, image((63, 0, (255, 255, 255, 255)))),
        Cursor(0, -64, 0, 0, True, image((0, 63, (255, 255, 255, 255)))),
        Cursor(10, 0, 0, 0, True, image((0, 0, (255, 255, 255, 255)))),
        Cursor(0, 8, 0, 0, True, image((0, 0, (255, 255, 255, 255)))),
        Cursor(2**31 - 1, -(2**31), 0, 0, True, image((0, 0, (255, 255, 255, 255)))),
    ],
)
def test_a_cursor_that_is_not_there_changes_nothing(cursor):
    one = frame(10, 8, cursor)
    assert one.composed().pixels == one.pixels


@pytest.mark.parametrize("x", [-63, -10, -1, 0, 5, 57, 60, 119])
@pytest.mark.parametrize("y", [-63, -1, 0, 20, 36, 37, 99])
@pytest.mark.parametrize("premultiplied", [True, False])
def test_the_cursor_is_drawn_at_every_edge(x, y, premultiplied):
    pointer = random.Random(2).randbytes(64 * 64 * 4)
    one = frame(120, 100, Cursor(x, y, 9, 9, True, pointer))
    composed = one.composed(premultiplied)
    changed = 0
    for row in range(100):
        for column in range(0, 120, 7):
            under = pixel(one.pixels, 120, column, row)
            now = pixel(composed.pixels, 120, column, row)
            if 0 <= column - x < 64 and 0 <= row - y < 64:
                over = pixel(pointer, 64, column - x, row - y)
                assert list(now[:3]) == blended(over, under, premultiplied)
                assert now[3] == under[3]
                changed += 1
            else:
                assert now == under
    assert changed


def test_the_hot_spot_does_not_move_the_image():
    white = image((0, 0, (255, 255, 255, 255)))
    one = frame(10, 8, Cursor(3, 4, 30, 31, True, white)).composed()
    assert pixel(one.pixels, 10, 3, 4)[:3] == (255, 255, 255)


def test_alpha_says_how_much_is_seen_through():
    grey = bytes([100, 100, 100, 0]) * 4
    dots = image((0, 0, (200, 10, 0, 255)), (1, 0, (50, 0, 0, 128)), (0, 1, CLEAR), (1, 1, (255, 255, 255, 0)))
    one = Frame(2, 2, grey, 1, cursor=Cursor(0, 0, 0, 0, True, dots))
    assert one.composed().bgrx[:, :, :3].tolist() == [
        [[200, 10, 0], [100, 50, 50]],
        [[100, 100, 100], [255, 255, 255]],  # nothing is premultiplied by 0 and white: it adds up, and saturates
    ]
    assert one.composed(premultiplied=False).bgrx[:, :, :3].tolist() == [
        [[200, 10, 0], [75, 50, 50]],
        [[100, 100, 100], [100, 100, 100]],
    ]


def test_a_composed_frame_is_the_same_but_for_its_pixels():
    one = frame(10, 8, Cursor(3, 4, 0, 0, True, image((0, 0, (255, 255, 255, 255)))))
    before = bytes(one.pixels)
    composed = one.composed()
    assert composed.pixels != before == one.pixels
    assert composed._replace(pixels=before) == one


def test_a_frame_is_printed_without_its_pixels():
    cursor = Cursor(5, 6, 1, 2, True, bytes(16384))
    assert repr(Frame(64, 48, bytes(12288), 3, 0.5, ((0, 0, 1, 2),), cursor)) == (
        "<Frame 64x48, serial 3, damage ((0, 0, 1, 2),), <Cursor at 5,6, hot spot 1,2, visible, 16384 bytes>>"
    )
