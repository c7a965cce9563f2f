"""Guest memory that is taken and given back in any order: nothing is handed out twice, and all of it comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outboard.errors import LocalError
from outboard.frontend.ram import GuestRam, Span
from outboard.machine.card.memory import Pool

pytestmark = pytest.mark.alike

PAGE = 4096
PAGES = 16
SPANS = (Span(0, PAGES * PAGE), Span(PAGES * PAGE, PAGES * PAGE), Span(1 << 32, PAGES * PAGE))
"""Two regions that touch, and one apart."""


class Memory:
    """The part of a driver that a pool needs."""

    def __init__(self):
        self.ram = GuestRam(SPANS)
        self.allocate = self.ram.allocate
        self.view = self.ram.view


def taken(pool, size):
    try:
        return pool.take(size)
    except LocalError:
        return None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1 << 16)), max_size=60))
def test_pieces_never_overlap_and_all_come_back(steps):
    memory = Memory()
    pool, held = Pool(memory), []
    for give, number in steps:
        if give and held:
            pool.give_back(*held.pop(number % len(held)))
        elif (start := taken(pool, number + 1)) is not None:
            memory.view(start, number + 1)
            assert start % PAGE == 0
            pages = range(start // PAGE, -(-(start + number + 1) // PAGE))
            for other, size in held:
                assert pages.stop <= other // PAGE or -(-(other + size) // PAGE) <= pages.start
            held.append((start, number + 1))
    for piece in held:
        pool.give_back(*piece)
    pages = {taken(pool, PAGE) for _ in range(PAGES * len(SPANS))}
    assert None not in pages and len(pages) == PAGES * len(SPANS)
    memory.ram.close()


def test_what_was_given_back_is_joined():
    memory = Memory()
    pool = Pool(memory)
    pages = [pool.take(PAGE) for _ in range(3 * PAGES)]
    assert taken(pool, 1) is None
    for page in pages[::2] + pages[1::2]:
        pool.give_back(page, PAGE)
    assert taken(pool, PAGES * PAGE + 1) is None  # regions that touch are two all the same
    assert sorted(pool.take(PAGES * PAGE) for _ in SPANS) == [span.guest_addr for span in SPANS]
    memory.ram.close()
