"""Screens: pictures, what changed of them, and what counts as news."""

import random

import pytest

from outboard.display import Frame, Screen, Screens
from outboard.errors import LocalError
from outboard.spec.vhost_user_gpu import DmabufScanout

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


# A stream: room, paint


def word(x, y, salt=0):
    """Return a pixel that tells where it belongs."""
    return bytes((x, y, salt, 0))


def block(width, height, salt=1):
    """Return the pixels of a rectangle, each with its place in the rectangle."""
    return b"".join(word(x, y, salt) for y in range(height) for x in range(width))


def paint(screen, x, y, width, height, salt=1):
    """Paint as the stream does: into room, then at once."""
    room = screen.room(x, y, width, height)
    room[:] = block(width, height, salt)
    screen.paint(x, y, width, height, room)


def picture(width, height, *drawn):
    """Return what a screen shows after rectangles (x, y, width, height, salt), drawn pixel by pixel."""
    made = {}
    for x, y, wide, high, salt in drawn:
        made |= {(x + i, y + j): word(i, j, salt) for i in range(wide) for j in range(high)}
    return b"".join(made.get((x, y), bytes(4)) for y in range(height) for x in range(width))


RECTANGLES = [
    (0, 0, 8, 6),
    (0, 0, 8, 1),
    (0, 5, 8, 1),
    (0, 2, 8, 3),
    (0, 0, 1, 6),
    (7, 0, 1, 6),
    (7, 5, 1, 1),
    (0, 0, 1, 1),
    (3, 2, 4, 3),
]
OVER = [(0, 4, 8, 5), (0, 0, 9, 5), (5, 0, 8, 6), (7, 5, 3, 3), (3, 2, 7, 1), (0, 5, 16, 1), (1, 0, 7, 6)]


@pytest.mark.parametrize("rectangle", RECTANGLES + OVER)
@pytest.mark.parametrize("by_room", [True, False])
def test_rectangles_land_where_they_belong(rectangle, by_room):
    x, y, width, height = rectangle
    screen = Screen(0)
    screen.resize(8, 6)
    paint(screen, 0, 0, 8, 6, 9)
    if by_room:
        paint(screen, *rectangle)
    else:
        screen.paint(*rectangle, memoryview(block(width, height)))
    assert bytes(screen.pixels) == picture(8, 6, (0, 0, 8, 6, 9), (*rectangle, 1))
    assert screen.damage(1) == ((x, y, min(width, 8 - x), min(height, 6 - y)),)
    assert screen.serial == screen.updates == 2


def test_half_a_frame_is_never_visible(screen):
    screen.resize(8, 6)
    paint(screen, 0, 0, 8, 6, 1)
    before = bytes(screen.pixels)
    for rectangle in RECTANGLES:
        room = screen.room(*rectangle)
        room[: len(room) // 2] = b"\xee" * (len(room) // 2)
        assert bytes(screen.pixels) == before
    assert screen.serial == 1


def test_a_frame_that_was_broken_off_leaves_nothing_in_the_next(screen):
    screen.resize(8, 6)
    screen.room(0, 0, 8, 6)[:100] = b"\xee" * 100
    paint(screen, 1, 1, 2, 2)
    assert bytes(screen.pixels) == picture(8, 6, (1, 1, 2, 2, 1))
    paint(screen, 0, 0, 8, 6, 2)
    paint(screen, 1, 1, 2, 2, 3)
    assert bytes(screen.pixels) == picture(8, 6, (0, 0, 8, 6, 2), (1, 1, 2, 2, 3))


def test_rectangles_follow_whole_frames_on_the_newest(screen):
    screen.resize(8, 6)
    for salt in range(5):
        paint(screen, 0, 0, 8, 6, salt)
        paint(screen, 2, 2, 3, 1, salt + 50)
        assert bytes(screen.pixels) == picture(8, 6, (0, 0, 8, 6, salt), (2, 2, 3, 1, salt + 50))


def test_a_scanout_alone_changes_nothing_that_is_seen():
    screen = Screen(0)
    screen.resize(8, 6)
    assert (screen.width, screen.height, screen.serial, bytes(screen.pixels)) == (0, 0, 0, b"")
    paint(screen, 0, 0, 8, 6)
    frame = screen.frame()
    for size in ((4, 3), (8, 6), (0, 0)):
        screen.resize(*size)
        assert screen.frame() == frame
    screen.resize(4, 3)
    paint(screen, 1, 1, 2, 1, 5)
    assert (screen.width, screen.height) == (4, 3)
    assert bytes(screen.pixels) == picture(4, 3, (1, 1, 2, 1, 5)), "the same size again is black again, too"


def test_the_first_rectangle_on_a_new_surface_damages_all_of_it():
    screen = Screen(0)
    screen.resize(8, 6)
    paint(screen, 1, 1, 2, 2)
    assert screen.frame().damage == screen.damage(0) == ((0, 0, 8, 6),)
    paint(screen, 1, 1, 2, 2)
    assert screen.damage(1) == ((1, 1, 2, 2),)
    screen.resize(8, 6)
    paint(screen, 5, 5, 1, 1)
    assert screen.damage(2) == ((0, 0, 8, 6),)
    assert screen.damage(0) == ((0, 0, 8, 6),)
    assert screen.painted == 9, "counted is what came"


def test_damage_is_remembered_for_a_while(screen):
    screen.resize(1000, 2)
    for x in range(600):
        paint(screen, x, 0, 1, 1)
    whole = ((0, 0, 1000, 2),)
    assert screen.damage(600) == screen.damage(700) == ()
    assert screen.damage(599) == ((599, 0, 1, 1),)
    assert screen.damage(598) == ((598, 0, 1, 1), (599, 0, 1, 1))
    assert len(screen.damage(88)) == 512 and screen.damage(88)[0] == (88, 0, 1, 1)
    assert screen.damage(87) == screen.damage(0) == whole
    assert screen.frame(after=598).damage == ((598, 0, 1, 1), (599, 0, 1, 1))
    assert screen.frame().damage == ((599, 0, 1, 1),)


def test_damage_covers_every_pixel_that_changed():
    rng = random.Random(3)
    screen = Screen(0)
    screen.resize(40, 30)
    seen = [(0, bytes(0), (0, 0))]
    for _ in range(1200):
        if rng.random() < 0.01:
            screen.resize(rng.randint(20, 40), rng.randint(20, 30))
        x, y = rng.randrange(20), rng.randrange(20)
        paint(screen, x, y, rng.randint(1, 12), rng.randint(1, 12), rng.randrange(256))
        seen = [*seen[-20:], (screen.serial, bytes(screen.pixels), (screen.width, screen.height))]
        serial, before, size = rng.choice(seen)
        covered = set()
        for left, top, width, height in screen.damage(serial):
            assert 0 <= left < left + width <= screen.width and 0 <= top < top + height <= screen.height
            covered |= {(i, j) for i in range(left, left + width) for j in range(top, top + height)}
        if size != (screen.width, screen.height):
            assert len(covered) == screen.width * screen.height
            continue
        for at in range(0, len(before), 4):
            if before[at : at + 4] != screen.pixels[at : at + 4]:
                assert (at // 4 % screen.width, at // 4 // screen.width) in covered


def test_time_is_that_of_the_last_change():
    clock = iter(range(1, 10))
    screen = Screen(0, lambda: next(clock))
    screen.resize(8, 6)
    assert screen.frame().time == 0
    paint(screen, 0, 0, 8, 6)
    paint(screen, 0, 0, 1, 1)
    assert screen.frame().time == 2


def test_a_frame_is_a_copy(screen):
    screen.resize(8, 6)
    paint(screen, 0, 0, 8, 6, 1)
    frame = screen.frame()
    paint(screen, 0, 0, 8, 6, 2)
    assert frame.pixels == block(8, 6, 1)
    assert (frame.width, frame.height, frame.serial) == (8, 6, 1)


# What is kept


def held(screens):
    """Return the bytes that screens keep of pixels."""
    return sum(
        len(buffer)
        for screen in screens.screens
        for buffer in (screen._pixels, screen._fresh or b"", screen._spare or b"", screen._scratch)
    )


def test_pictures_left_over_are_forgotten_when_there_is_no_room():
    screens = Screens(4)
    for at, (width, height) in enumerate([(10, 10), (5, 5), (20, 5), (3, 3)]):
        screens.scanout(at, width, height)
        paint(screens.screens[at], 0, 0, width, height)
        if at < 3:
            screens.scanout(at, 0, 0)
    screens.keep(300)
    assert [screen.width for screen in screens.screens] == [10, 5, 20, 3]
    screens.keep(130)
    assert [screen.width for screen in screens.screens] == [10, 5, 0, 3], "the largest first, the later of two"
    screens.keep(0)
    assert [screen.width for screen in screens.screens] == [0, 0, 0, 3], "never one that is shown"
    assert screens.screens[0].frame().pixels == b""
    screens.scanout(0, 4, 4)
    paint(screens.screens[0], 0, 0, 2, 2)
    assert bytes(screens.screens[0].pixels) == picture(4, 4, (0, 0, 2, 2, 1))


def test_twelve_bytes_a_pixel_are_all_that_is_kept():
    rng = random.Random(4)
    screens, limit = Screens(16), 5000
    sizes = [(0, 0)] * 16
    for _ in range(2000):
        at = rng.randrange(16)
        size = rng.choice([(0, 0), (rng.randint(1, 70), rng.randint(1, 70))])
        if sum(w * h for i, (w, h) in enumerate(sizes) if i != at) + size[0] * size[1] <= limit:
            sizes[at] = size
            screens.scanout(at, *size)
            screens.keep(limit - sum(w * h for w, h in sizes))
        for at, (width, height) in enumerate(sizes):
            if width and rng.random() < 0.5:
                paint(screens.screens[at], 0, 0, width, height)
                screens.screens[at].room(0, 0, width, max(1, height - 1))
        assert held(screens) <= 12 * limit


# Shared buffers


class Shared:
    """A buffer of another process that can break."""

    def __init__(self, salt=1, broken_at=None):
        self.salt, self.broken_at, self.closed = salt, broken_at, 0

    def gather(self, into, start, x, y, width, rows):
        for row in range(rows):
            if self.broken_at == y + row:
                raise LocalError("it broke")
            line = b"".join(word(x + i, y + row, self.salt) for i in range(width))
            into[start + row * len(line) : start + (row + 1) * len(line)] = line

    def close(self):
        self.closed += 1


def sharing(*buffers):
    """Return screens that are given these buffers in turn, or are refused by None."""
    rest = iter(buffers)

    def take(scanout, modifier, fd):
        buffer = next(rest)
        if buffer is None:
            raise LocalError("it is tiled")
        return buffer

    return Screens(2, importer=take)


BUFFER = DmabufScanout(0, 0, 0, 8, 6, 8, 6, 32)


def test_a_shared_buffer_is_shown_at_its_first_update():
    screens = sharing(Shared(7))
    screens.dmabuf_scanout(BUFFER, 0, 5)
    screen = screens.screens[0]
    assert (screen.active, screen.announced, screen.width, screen.serial) == (True, (8, 6), 0, 0)
    assert screens.dmabuf_update(0, 2, 1, 3, 2)
    assert bytes(screen.pixels) == picture_of(8, 6, 7, (2, 1, 3, 2))
    assert screens.dmabuf_update(0, 0, 0, 8, 6)
    assert bytes(screen.pixels) == picture_of(8, 6, 7, (0, 0, 8, 6))


def picture_of(width, height, salt, rectangle):
    """Return a screen on which a rectangle of a buffer is shown, whose pixels tell their place in the buffer."""
    left, top, wide, high = rectangle
    return b"".join(
        word(x, y, salt) if left <= x < left + wide and top <= y < top + high else bytes(4)
        for y in range(height)
        for x in range(width)
    )


@pytest.mark.parametrize("rectangle", [(8, 0, 1, 1), (0, 6, 1, 1), (0, 0, 0, 5), (2**32 - 1, 0, 2**32 - 1, 1)])
def test_an_update_of_nothing_is_no_change(rectangle):
    screens = sharing(Shared(7))
    screens.dmabuf_scanout(BUFFER, 0, 5)
    assert screens.dmabuf_update(0, *rectangle)
    assert screens.screens[0].serial == 0


def test_an_update_over_the_edge_is_cut():
    screens = sharing(Shared(7))
    screens.dmabuf_scanout(BUFFER, 0, 5)
    screens.dmabuf_update(0, 6, 4, 2**32 - 1, 2**32 - 1)
    assert bytes(screens.screens[0].pixels) == picture_of(8, 6, 7, (6, 4, 2, 2))


@pytest.mark.parametrize("rectangle", [(0, 0, 8, 6), (1, 0, 3, 6)])
def test_a_buffer_that_breaks_amid_a_read_shows_none_of_it(rectangle):
    good, bad = Shared(7), Shared(8, broken_at=4)
    screens = sharing(good, bad)
    screens.dmabuf_scanout(BUFFER, 0, 5)
    screens.dmabuf_update(0, 0, 0, 8, 6)
    screens.dmabuf_scanout(BUFFER, 0, 6)
    frame = screens.screens[0].frame()
    assert screens.dmabuf_update(0, *rectangle), "the back-end is answered all the same"
    assert screens.screens[0].frame() == frame
    assert screens.screens[0].refused == "it broke"
    assert screens.dmabuf_update(0, 0, 0, 8, 3)
    assert screens.screens[0].refused == ""
    assert bytes(screens.screens[0].pixels) == picture_of(8, 6, 8, (0, 0, 8, 3))


@pytest.mark.parametrize("how", ["off", "another", "scanout", "refused", "close"])
def test_a_shared_buffer_is_given_back_once(how):
    first, second = Shared(1), Shared(2)
    screens = sharing(first, None if how == "refused" else second)
    screens.dmabuf_scanout(BUFFER, 0, 5)
    screens.dmabuf_update(0, 0, 0, 8, 6)
    frame = screens.screens[0].frame()
    if how == "off":
        screens.dmabuf_scanout(BUFFER, 0, None)
    elif how == "another":
        screens.dmabuf_scanout(BUFFER, 0, 6)
    elif how == "scanout":
        screens.scanout(0, 4, 4)
    elif how == "refused":
        with pytest.raises(LocalError, match="tiled"):
            screens.dmabuf_scanout(BUFFER, 0, 6)
        assert screens.screens[0].refused == "it is tiled"
        assert not screens.screens[0].active
    else:
        screens.close()
    assert first.closed == 1
    assert screens.screens[0].frame() == frame
    screens.scanout(0, 4, 4)
    assert screens.screens[0].refused == ""
    screens.close()
    assert (first.closed, second.closed) == (1, how == "another")


def test_without_an_importer_every_buffer_is_refused():
    screens = Screens(1)
    with pytest.raises(LocalError, match="not read here"):
        screens.dmabuf_scanout(BUFFER, 0, 5)
