"""Pictures of guest memory: what is in them, what they share, and how memory is brought back."""

import random

from outboard.guest.memory import GuestMemory, Region
from outboard.guest.pages import ZERO, PageLog

BASE = 0x10000
SHORT = 0x3010  # three pages and a piece


def logged(size=SHORT):
    region = Region(BASE, BASE, memoryview(bytearray(size)))
    mem = GuestMemory()
    mem.add(region)
    return mem, PageLog(region)


def page_of(size=0x1000, **octets):
    """Return a page's bytes; `at12=3` is byte 3 at 0x12."""
    made = bytearray(size)
    for at, value in octets.items():
        made[int(at[2:], 16)] = value
    return bytes(made)


def test_a_page_is_4_kib():
    assert len(ZERO) == 0x1000


def test_fresh_memory_has_an_empty_picture():
    _, log = logged()
    assert log.picture() == {}


def test_a_picture_has_the_pages_that_are_not_zero():
    mem, log = logged()
    mem.store(BASE + 0x1002, 1, 7)
    mem.store(BASE + 0x3000, 4, 0)
    assert log.picture() == {1: page_of(at2=7)}


def test_bytes_written_are_in_the_picture():
    mem, log = logged()
    mem.write(BASE + 0x0FFF, b"\1\2")
    assert log.picture() == {0: page_of(atFFF=1), 1: page_of(at0=2)}


def test_a_page_that_turns_zero_leaves_the_picture():
    mem, log = logged()
    mem.store(BASE + 0x1002, 1, 7)
    before = log.picture()
    mem.store(BASE + 0x1002, 1, 0)
    assert log.picture() == {}
    assert before == {1: page_of(at2=7)}


def test_the_last_page_may_be_short():
    mem, log = logged()
    mem.store(BASE + 0x300F, 1, 9)
    before = log.picture()
    assert before == {3: page_of(0x10, atF=9)}
    mem.store(BASE + 0x300F, 1, 0)
    assert log.picture() == {}
    log.restore(before)
    assert mem.load(BASE + 0x3008, 8) == 9
    log.restore({})
    assert mem.load(BASE + 0x3008, 8) == 0


def test_pictures_share_what_did_not_change():
    mem, log = logged()
    mem.store(BASE, 1, 1)
    mem.store(BASE + 0x1000, 1, 1)
    first = log.picture()
    assert log.picture() is first
    mem.store(BASE + 0x1000, 1, 2)
    second = log.picture()
    assert second is not first
    assert second[0] is first[0]
    assert (first[1][0], second[1][0]) == (1, 2)


def test_a_page_written_with_what_it_has_is_still_shared():
    mem, log = logged()
    mem.store(BASE, 1, 1)
    first = log.picture()
    mem.store(BASE, 1, 1)
    assert log.picture()[0] is first[0]


def test_memory_comes_back_as_it_was():
    mem, log = logged()
    mem.store(BASE + 0x0FFC, 8, 0x0102030405060708)
    first = log.picture()
    mem.store(BASE + 0x1000, 4, 0)
    mem.store(BASE + 0x2000, 4, 5)
    second = log.picture()
    log.restore(first)
    assert mem.load(BASE + 0x0FFC, 8) == 0x0102030405060708
    assert mem.load(BASE + 0x2000, 4) == 0
    assert log.picture() == first
    log.restore(second)
    assert (mem.load(BASE + 0x1000, 4), mem.load(BASE + 0x2000, 4)) == (0, 5)
    assert mem.load(BASE + 0x0FFC, 4) == 0x01020304


def test_writes_since_the_last_picture_are_undone():
    mem, log = logged()
    mem.store(BASE, 1, 1)
    before = log.picture()
    mem.store(BASE, 1, 2)
    mem.store(BASE + 0x1000, 1, 2)
    log.restore(before)
    assert (mem.load(BASE, 1), mem.load(BASE + 0x1000, 1)) == (1, 0)


def test_writes_after_a_restore_are_seen_and_do_not_touch_the_picture():
    mem, log = logged()
    mem.store(BASE, 1, 1)
    before = log.picture()
    mem.store(BASE, 1, 2)
    log.restore(before)
    mem.store(BASE, 1, 3)
    assert log.picture() == {0: page_of(at0=3)}
    assert before == {0: page_of(at0=1)}


def test_any_walk_can_be_undone_and_redone():
    rng = random.Random(3)
    mem, log = logged()
    seen = []
    for _ in range(60):
        for _ in range(rng.randrange(4)):
            size = rng.choice((1, 2, 4, 8))
            mem.store(BASE + rng.randrange(0, SHORT - size), size, rng.choice((0, rng.getrandbits(64))))
        seen.append((log.picture(), mem.read(BASE, SHORT)))
    for picture, octets in rng.sample(seen, 60):
        log.restore(picture)
        assert mem.read(BASE, SHORT) == octets
        assert log.picture() == picture
