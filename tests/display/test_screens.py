"""Screens: pictures, and what counts as news."""

import pytest

from outboard.display import Frame, Screen, Screens

LETTER = (8, 16, 8, 16)
OTHER_LETTER = (16, 16, 8, 16)


class Plain:
    """A surface of one colour, given as a byte."""

    def __init__(self, byte):
        self.byte = byte

    def contiguous(self, x, y, width, rows):
        return None

    def gather(self, into, start, x, y, width, rows):
        into[start : start + 4 * width * rows] = bytes([self.byte]) * (4 * width * rows)


@pytest.fixture
def screen():
    screen = Screen(0)
    screen.resize(640, 480)
    return screen


def draw(screen, rectangle, *shades):
    """Draw a rectangle in one shade after the other; return how many times that was news."""
    before = screen.news
    for shade in shades:
        screen.update(Plain(shade), *rectangle)
    return screen.news - before


def test_a_blinking_cursor_is_news_until_it_repeats(screen):
    assert draw(screen, LETTER, 1, 0) == 2
    assert draw(screen, LETTER, *[1, 0] * 50) == 0
    assert screen.serial == 102


def test_a_spinner_is_always_news(screen):
    assert draw(screen, LETTER, *[1, 2, 3, 4] * 5) == 20


def test_text_is_news_where_nothing_was(screen):
    assert sum(draw(screen, (8 * x, 0, 8, 16), 1) for x in range(60)) == 60


def test_a_cursor_that_moves_is_news(screen):
    draw(screen, LETTER, *[1, 0] * 5)
    assert draw(screen, OTHER_LETTER, 1, 0) == 2
    assert draw(screen, OTHER_LETTER, 1, 0) == 0


@pytest.mark.parametrize("disturb", [(0, 0, 640, 480), (0, 0, 64, 64)])
def test_large_changes_are_news_however_often_they_repeat(screen, disturb):
    assert draw(screen, disturb, *[1, 0] * 5) == 10


def test_after_a_large_change_nothing_was_seen_before(screen):
    draw(screen, LETTER, *[1, 0] * 5)
    draw(screen, (0, 0, 640, 480), 7)
    assert draw(screen, LETTER, 1, 0) == 2


def test_a_new_size_is_news(screen):
    before = screen.news
    screen.resize(800, 600)
    assert screen.news == before + 1


def test_many_small_rectangles_cost_no_more_than_a_few(screen):
    for x in range(600):
        draw(screen, (x, 0, 1, 1), 1)
    assert len(screen._blinks) <= 16


def test_the_last_picture_stays_when_the_output_goes_off():
    screens = Screens(2)
    screens.scanout(1, 4, 2)
    screens.update(1, Plain(9), 0, 0, 4, 2)
    screens.scanout(1, 0, 0)
    screen = screens.screens[1]
    assert (screen.active, screen.frame()) == (False, Frame(4, 2, bytes([9]) * 32, 1, damage=((0, 0, 4, 2),)))


def test_the_cursor_is_signed_and_apart_from_the_picture():
    screens = Screens(1)
    screens.cursor_update(0, 5, 6, 1, 2, b"image")
    screens.cursor_pos(0, 2**32 - 10, 3)
    assert screens.screens[0].cursor == (-10, 3, 1, 2, True, b"image")
    screens.cursor_pos_hide(0, 0, 0)
    assert not screens.screens[0].cursor.visible
