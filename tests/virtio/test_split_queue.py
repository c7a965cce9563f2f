"""The device's side of a virtqueue: chains it takes, rings that break, what it writes, when it interrupts."""

import pytest

from outboard.guest.memory import GuestMemory, Region
from outboard.virtio.driver_queue import Table
from outboard.virtio.split_queue import BROKEN, MAX_SEGMENTS, NONE, SplitQueue
from tests.virtio.rig import HIGH, HOLE, INDIRECT, LOW, NEXT, RING, SIZE, TOP, USER, WRITE, Rig


@pytest.fixture
def rig():
    return Rig()


# Setting up


def test_a_queue_that_was_never_set_up_is_broken():
    queue = SplitQueue(GuestMemory())
    assert queue.pop() == BROKEN
    assert queue.publish() is False
    assert queue.arm() is False
    assert queue.broken == "not set up"


@pytest.mark.parametrize(
    ("part", "move"),
    [("desc", 8), ("desc", 1), ("avail", 1), ("used", 2), ("desc", -0x1000), ("avail", 0x10_0000), ("used", 1 << 40)],
)
def test_ring_parts_off_their_alignment_or_memory_are_refused(rig, part, move):
    places = {name: USER + getattr(rig.layout, name) for name in ("desc", "avail", "used")}
    places[part] += move
    queue = SplitQueue(rig.memory)
    assert queue.set_up(rig.size, places["desc"], places["avail"], places["used"]) is False
    assert "not in memory" in queue.broken
    assert queue.pop() == BROKEN


def test_a_ring_that_ends_one_byte_behind_its_region_is_refused(rig):
    queue = SplitQueue(rig.memory)
    region = rig.parts[RING].region
    assert not queue.set_up(16, USER, USER + rig.layout.avail, USER + region.size - (4 + 8 * 16 + 2) + 4)


def test_setting_up_mends_a_broken_ring(rig):
    rig.offer(head=16)
    assert rig.queue.pop() == BROKEN
    rig.driver.put_avail_idx(0)
    rig.begin()
    rig.offer((LOW, 4, 0, 0))
    assert rig.queue.pop() == 0


# Chains


def test_an_empty_ring_has_nothing(rig):
    assert rig.queue.pop() == NONE
    assert not rig.queue.broken


@pytest.mark.parametrize("size", [1, 2, 16, 1024])
def test_every_slot_of_a_ring_is_used_round_and_round(size):
    rig = Rig(size)
    for turn in range(3 * size):
        rig.fill(LOW, bytes([turn & 0xFF]))
        head = rig.driver.add([(LOW, 1)], [(HIGH, 2)][: size > 1])
        rig.driver.publish()
        assert rig.queue.pop() == head
        assert rig.readable() == bytes([turn & 0xFF])
        rig.queue.add_used(head, turn)
        rig.queue.publish()
        assert rig.driver.collect() == [(head, turn)]
    assert rig.queue.pop() == NONE
    assert rig.intact()


@pytest.mark.parametrize("size", [1, 16, 1024])
def test_a_full_ring_is_taken_in_order(size):
    rig = Rig(size)
    heads = [rig.driver.add([(LOW + at % SIZE, 1)]) for at in range(size)]
    rig.driver.publish()
    assert [rig.queue.pop() for _ in heads] == heads
    assert rig.queue.pop() == NONE


def test_chains_may_come_back_in_any_order(rig):
    heads = [rig.driver.add([(LOW, 1)]) for _ in range(4)]
    rig.driver.publish()
    assert [rig.queue.pop() for _ in heads] == heads
    back = [heads[2], heads[0], heads[3], heads[1]]
    for written, head in enumerate(back):
        rig.queue.add_used(head, written)
    rig.queue.publish()
    assert rig.driver.collect() == list(zip(back, range(4), strict=True))


@pytest.mark.parametrize("indirect", [False, True])
def test_readable_and_writable_parts_are_byte_streams(rig, indirect):
    rig.fill(LOW, b"abcdefgh")
    table = Table(LOW + 0x1000, rig.view(LOW + 0x1000, 0x100)) if indirect else None
    rig.driver.add([(LOW, 3), (LOW + 3, 0), (LOW + 3, 5)], [(HIGH, 2), (HIGH + 0x100, 0), (HIGH + 0x10, 3)], table)
    rig.driver.publish()
    assert rig.queue.pop() >= 0
    assert (rig.queue.readable_bytes, rig.queue.writable_bytes) == (8, 5)
    assert rig.readable() == b"abcdefgh"
    assert rig.queue.write(memoryview(bytearray(b"12345678")), 8) == 5
    assert bytes(rig.view(HIGH, 4)) == b"12\0\0"
    assert bytes(rig.view(HIGH + 0x10, 4)) == b"345\0"
    assert bytes(rig.view(HIGH + 0x100, 1)) == b"\0"


@pytest.mark.parametrize("start", range(10))
@pytest.mark.parametrize("length", [0, 1, 3, 8, 20])
def test_reading_starts_anywhere_and_stops_at_the_end(rig, start, length):
    rig.fill(LOW, b"abcdefgh")
    rig.driver.add([(LOW, 3), (LOW + 3, 1), (LOW + 4, 4)])
    rig.driver.publish()
    rig.queue.pop()
    into = memoryview(bytearray(b"." * 24))
    expected = b"abcdefgh"[start : start + length]
    assert rig.queue.read(start, into, length) == len(expected)
    assert bytes(into) == expected.ljust(24, b".")


@pytest.mark.parametrize("length", [0, 1, 2, 3, 5, 6, 9])
def test_writing_stops_at_the_end_of_the_data_or_of_the_room(rig, length):
    rig.fill(HIGH, b"." * 16)
    rig.driver.add([], [(HIGH, 2), (HIGH + 4, 4)])
    rig.driver.publish()
    rig.queue.pop()
    fits = min(length, 6)
    assert rig.queue.write(memoryview(bytearray(b"123456789")), length) == fits
    got = bytes(rig.view(HIGH, 2)) + bytes(rig.view(HIGH + 4, 4))
    assert got == b"123456"[:fits].ljust(6, b".")
    assert bytes(rig.view(HIGH + 2, 2)) == b".."


def test_a_buffer_may_span_neighbouring_regions(rig):
    rig.fill(HIGH - 4, b"abcdefgh")
    rig.offer((HIGH - 4, 8, NEXT, 1), (HIGH - 2, 4, WRITE, 0))
    assert rig.queue.pop() == 0
    assert (rig.queue.segments, rig.queue.readable) == (4, 2)
    assert rig.readable() == b"abcdefgh"
    assert rig.queue.write(memoryview(bytearray(b"WXYZ")), 4) == 4
    assert rig.memory.read(HIGH - 4, 8) == b"abWXYZgh"
    assert rig.intact()


def test_the_last_bytes_of_the_address_space_can_be_used(rig):
    rig.fill(TOP + SIZE - 4, b"last")
    rig.offer(((1 << 64) - 4, 4, 0, 0))
    assert rig.queue.pop() == 0
    assert rig.readable() == b"last"


@pytest.mark.parametrize(
    "row",
    [
        (HOLE - 2, 4, 0, 0),
        (HOLE, 1, 0, 0),
        (LOW - 1, 2, 0, 0),
        (0, 1, 0, 0),
        ((1 << 64) - 1, 2, 0, 0),
        ((1 << 64) - 4, 0xFFFFFFFF, 0, 0),
        (HOLE - 2, 4, WRITE, 0),
        (LOW, 0xFFFFFFFF, WRITE, 0),
    ],
)
def test_a_buffer_outside_memory_breaks_the_ring(rig, row):
    rig.offer(row)
    assert rig.queue.pop() == BROKEN
    assert "not in memory" in rig.queue.broken
    assert rig.intact()


def test_a_buffer_does_not_wrap_around_the_end_of_the_address_space(rig):
    rig.memory.add(type(rig.parts[LOW].region)(0, USER + 0x800_0000, memoryview(bytearray(SIZE))))
    rig.offer(((1 << 64) - 4, 8, 0, 0))
    assert rig.queue.pop() == BROKEN


def test_an_empty_buffer_needs_no_memory(rig):
    rig.offer((HOLE, 0, NEXT, 1), (LOW, 1, NEXT, 2), ((1 << 64) - 1, 0, WRITE, 0))
    assert rig.queue.pop() == 0
    assert (rig.queue.readable_bytes, rig.queue.writable_bytes, rig.queue.segments) == (1, 0, 1)


# Rings that break the rules


@pytest.mark.parametrize(
    ("rows", "head", "why"),
    [
        pytest.param([], 16, "head 16", id="head just out of range"),
        pytest.param([], 0xFFFF, "head 65535", id="head far out of range"),
        pytest.param([(LOW, 1, NEXT, 16)], 0, "next 16", id="next just out of range"),
        pytest.param([(LOW, 1, NEXT, 0xFFFF)], 0, "next 65535", id="next far out of range"),
        pytest.param([(LOW, 1, NEXT, 0)], 0, "loop", id="chain of one into itself"),
        pytest.param([(LOW, 1, NEXT, 1), (LOW, 1, NEXT, 0)], 0, "loop", id="loop of two"),
        pytest.param([(LOW, 0, NEXT, 1), (LOW, 0, NEXT, 0)], 0, "loop", id="loop of empty buffers"),
        pytest.param([(LOW, 1, WRITE | NEXT, 1), (LOW, 1, 0, 0)], 0, "readable", id="readable behind writable"),
        pytest.param([(LOW, 16, INDIRECT | NEXT, 1), (LOW, 1, 0, 0)], 0, "with NEXT", id="indirect with next"),
        pytest.param([(LOW, 0, INDIRECT, 0)], 0, "table of 0", id="indirect table of no bytes"),
        pytest.param([(LOW, 8, INDIRECT, 0)], 0, "table of 8", id="indirect table of half a descriptor"),
        pytest.param([(LOW, 17, INDIRECT, 0)], 0, "table of 17", id="indirect table of an odd length"),
        pytest.param([(LOW, 0xFFFFFFF0, INDIRECT, 0)], 0, "table of", id="indirect table of 4 GiB"),
        pytest.param([(HOLE, 16, INDIRECT, 0)], 0, "not in memory", id="indirect table in a hole"),
        pytest.param([(HOLE - 16, 32, INDIRECT, 0)], 0, "not in memory", id="indirect table half in a hole"),
        pytest.param([((1 << 64) - 16, 32, INDIRECT, 0)], 0, "not in memory", id="indirect table beyond the end"),
    ],
)
def test_a_malformed_chain_breaks_the_ring_for_good(rig, rows, head, why):
    rig.offer(*rows, head=head)
    assert rig.queue.pop() == BROKEN
    assert why in rig.queue.broken
    rig.driver.write_desc(0, LOW, 1, 0, 0)
    rig.driver.put_head(0)
    rig.driver.publish()
    assert rig.queue.pop() == BROKEN
    assert rig.queue.publish() is False
    assert rig.queue.arm() is False
    assert rig.driver.used_idx == 0
    assert rig.intact()


@pytest.mark.parametrize("ahead", [17, 18, 0x7FFF, 0x8000, 0xFFFF])
@pytest.mark.parametrize("index", [0, 65530])
def test_an_available_index_too_far_ahead_breaks_the_ring(rig, ahead, index):
    rig.jump(index)
    rig.driver.put_avail_idx(index + ahead)
    assert rig.queue.pop() == BROKEN
    assert f"{ahead} ahead" in rig.queue.broken


def test_an_available_index_that_is_just_full_is_right(rig):
    rig.offer((LOW, 1, 0, 0))
    rig.driver.put_avail_idx(16)
    assert [rig.queue.pop() for _ in range(17)] == [0] * 16 + [NONE]


def test_a_chain_as_long_as_the_ring_is_the_longest():
    rig = Rig(4)
    rows = [(LOW + at, 1, NEXT, at + 1) for at in range(3)]
    rig.fill(LOW, b"abcd")
    rig.offer(*rows, (LOW + 3, 1, 0, 0))
    assert rig.queue.pop() == 0
    assert rig.readable() == b"abcd"
    rig.offer(*rows, (LOW + 3, 1, NEXT, 3))
    assert rig.queue.pop() == BROKEN


@pytest.mark.parametrize("flags", [8, 0x8000, 0xFFF8])
def test_unknown_descriptor_flags_mean_nothing(rig, flags):
    rig.fill(LOW, b"x")
    rig.offer((LOW, 1, flags, 99))
    assert rig.queue.pop() == 0
    assert rig.readable() == b"x"


# Indirect tables


def test_a_table_may_be_longer_than_the_ring():
    rig = Rig(1)
    rows = [(LOW + at, 1, NEXT, at + 1) for at in range(63)]
    rig.table(HIGH, [*rows, (LOW + 63, 1, 0, 0)])
    rig.fill(LOW, bytes(range(64)))
    rig.offer((HIGH, 16 * 64, INDIRECT, 0))
    assert rig.queue.pop() == 0
    assert rig.readable() == bytes(range(64))


def test_a_table_is_walked_by_its_next_fields_from_entry_0(rig):
    rig.fill(LOW, b"abc")
    rig.table(HIGH, [(LOW, 1, NEXT, 2), (LOW, 99, 0, 0), (LOW + 1, 2, 0, 0)])
    rig.offer((HIGH, 48, INDIRECT, 0))
    assert rig.queue.pop() == 0
    assert rig.readable() == b"abc"


def test_a_table_may_span_neighbouring_regions(rig):
    rig.fill(LOW, b"abc")
    for shift in (8, 16, 24):
        rig.table(HIGH - shift, [(LOW, 1, NEXT, 1), (LOW + 1, 2, 0, 0)])
        rig.offer((HIGH - shift, 32, INDIRECT, 0))
        assert rig.queue.pop() == 0
        assert rig.readable() == b"abc"


def test_a_table_may_follow_direct_buffers(rig):
    rig.fill(LOW, b"abc")
    rig.table(HIGH, [(LOW + 1, 2, NEXT, 1), (HIGH + 0x100, 4, WRITE, 0)])
    rig.offer((LOW, 1, NEXT, 1), (HIGH, 32, INDIRECT, 0))
    assert rig.queue.pop() == 0
    assert rig.readable() == b"abc"
    assert rig.queue.writable_bytes == 4


def test_write_on_the_descriptor_of_a_table_means_nothing(rig):
    rig.fill(LOW, b"abc")
    rig.table(HIGH, [(LOW, 3, 0, 0)])
    rig.offer((HIGH, 16, INDIRECT | WRITE, 0))
    assert rig.queue.pop() == 0
    assert rig.readable() == b"abc"


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        pytest.param([(HIGH + 64, 16, INDIRECT, 0)], "inside", id="nested"),
        pytest.param([(HIGH + 64, 16, INDIRECT | NEXT, 0)], "inside", id="nested with next"),
        pytest.param([(LOW, 1, NEXT, 1), (LOW, 1, NEXT, 2)], "next 2", id="next behind the table"),
        pytest.param([(LOW, 1, NEXT, 1), (LOW, 1, NEXT, 0)], "loop", id="loop"),
        pytest.param([(LOW, 1, WRITE | NEXT, 1), (LOW, 1, 0, 0)], "readable", id="readable behind writable"),
        pytest.param([(HOLE, 1, 0, 0)], "not in memory", id="buffer in a hole"),
    ],
)
def test_a_malformed_table_breaks_the_ring(rig, rows, why):
    rig.table(HIGH, rows)
    rig.offer((HIGH, 16 * len(rows), INDIRECT, 0))
    assert rig.queue.pop() == BROKEN
    assert why in rig.queue.broken


def test_a_chain_in_too_many_pieces_breaks_the_ring_instead_of_the_device(rig):
    rows = [(LOW, 1, NEXT, at + 1) for at in range(1023)]
    rig.table(TOP, [*rows, (LOW, 1, 0, 0)])
    rig.offer((TOP, 16 * 1024, INDIRECT, 0))
    assert rig.queue.pop() == 0
    assert rig.queue.segments == 1024
    # Every buffer over the border of two regions is two pieces; one direct buffer in front is one too many.
    rows = [(HIGH - 1, 2, NEXT, at + 1) for at in range(1023)]
    rig.table(TOP, [*rows, (HIGH - 1, 2, 0, 0)])
    rig.offer((TOP, 16 * 1024, INDIRECT, 0))
    assert rig.queue.pop() == 0
    assert rig.queue.segments == MAX_SEGMENTS == 2048
    rig.offer((LOW, 1, NEXT, 1), (TOP, 16 * 1024, INDIRECT, 0))
    assert rig.queue.pop() == BROKEN
    assert "too many pieces" in rig.queue.broken


# Going back, indexes that wrap


def test_a_chain_given_back_comes_again(rig):
    rig.fill(LOW, b"abc")
    rig.offer((LOW, 3, 0, 0))
    assert rig.queue.pop() == 0
    rig.queue.rewind()
    assert rig.queue.last_avail == 0
    assert rig.queue.pop() == 0
    assert rig.readable() == b"abc"
    assert rig.queue.pop() == NONE


def test_a_chain_is_given_back_over_the_wrap_of_the_index(rig):
    rig.jump(0xFFFF)
    rig.offer((LOW, 1, 0, 0))
    assert rig.queue.pop() == 0
    assert rig.queue.last_avail == 0
    rig.queue.rewind()
    assert rig.queue.last_avail == 0xFFFF
    assert rig.queue.pop() == 0


@pytest.mark.parametrize("event_idx", [False, True])
@pytest.mark.parametrize("size", [1, 16, 1024])
def test_indexes_wrap_at_65536(size, event_idx):
    rig = Rig(size, event_idx)
    rig.jump(65530)
    for turn in range(12):
        head = rig.driver.add([(LOW, 1)])
        rig.driver.publish()
        assert rig.queue.pop() == head
        rig.queue.add_used(head, turn)
        rig.queue.publish()
        assert rig.driver.collect() == [(head, turn)]
    assert rig.driver.used_idx == rig.queue.last_avail == 6


def test_the_used_index_goes_on_from_the_ring(rig):
    rig.jump(0x1234)
    head = rig.driver.add([(LOW, 1)])
    rig.driver.publish()
    rig.queue.pop()
    rig.queue.add_used(head, 3)
    assert rig.driver.used_idx == 0x1234
    rig.queue.publish()
    assert rig.driver.used_idx == 0x1235
    assert rig.driver.collect() == [(head, 3)]


# Telling the driver


def complete(rig, count=1):
    """Let the device use `count` chains; return whether it wants to interrupt."""
    for _ in range(count):
        rig.offer((LOW, 1, 0, 0))
        assert rig.queue.pop() == 0
        rig.queue.add_used(0, 0)
    return rig.queue.publish()


@pytest.mark.parametrize("event_idx", [False, True])
def test_the_first_completion_always_interrupts(event_idx):
    rig = Rig(16, event_idx)
    rig.driver.refuse_interrupts()
    assert complete(rig) is True
    assert complete(rig) is False
    rig.begin(rig.queue.last_avail)
    assert complete(rig) is True


def test_nothing_new_never_interrupts(rig):
    assert rig.queue.publish() is False
    complete(rig)
    assert rig.queue.publish() is False


@pytest.mark.parametrize(("flags", "wanted"), [(0, True), (1, False), (2, True), (3, False)])
def test_without_event_idx_the_flag_decides(rig, flags, wanted):
    complete(rig)
    rig.driver.avail16[0] = flags
    rig.driver.avail16[2 + 16] = 0x5555
    assert complete(rig) is wanted


@pytest.mark.parametrize(
    ("start", "count", "event", "wanted"),
    [
        # One completion: only the event at the old index.
        (10, 1, 9, False),
        (10, 1, 10, True),
        (10, 1, 11, False),
        # Several at once: any event that was passed.
        (10, 4, 9, False),
        (10, 4, 10, True),
        (10, 4, 12, True),
        (10, 4, 13, True),
        (10, 4, 14, False),
        (10, 4, 0x8000, False),
        # Over the wrap of the index.
        (65535, 1, 65534, False),
        (65535, 1, 65535, True),
        (65535, 1, 0, False),
        (65534, 4, 65533, False),
        (65534, 4, 65534, True),
        (65534, 4, 65535, True),
        (65534, 4, 0, True),
        (65534, 4, 1, True),
        (65534, 4, 2, False),
        # A whole ring at once.
        (0, 16, 0, True),
        (0, 16, 15, True),
        (0, 16, 16, False),
    ],
)
@pytest.mark.parametrize("flags", [0, 1])
def test_with_event_idx_the_passed_event_decides_and_flags_mean_nothing(start, count, event, wanted, flags):
    rig = Rig(16, event_idx=True)
    rig.jump((start - 1) & 0xFFFF)
    complete(rig)
    rig.driver.avail16[0] = flags
    rig.driver.avail16[2 + 16] = event
    assert complete(rig, count) is wanted
    assert rig.driver.used_idx == (start + count) & 0xFFFF


@pytest.mark.parametrize("event_idx", [False, True])
@pytest.mark.parametrize("index", [0, 7, 65535])
def test_arming_asks_for_the_next_chain_and_sees_one_that_came_meanwhile(event_idx, index):
    rig = Rig(16, event_idx)
    rig.jump(index)
    assert rig.queue.arm() is False
    assert rig.driver.used16[2 + 4 * 16] == (index if event_idx else 0)
    rig.driver.add([(LOW, 1)])
    assert rig.driver.publish() is True
    assert rig.queue.arm() is True
    assert rig.queue.pop() >= 0
    assert rig.queue.arm() is False


def test_with_event_idx_the_driver_kicks_only_an_armed_queue():
    rig = Rig(16, event_idx=True)
    rig.queue.arm()
    kicks = []
    for _ in range(3):
        rig.driver.add([(LOW, 1)])
        kicks.append(rig.driver.publish())
    assert kicks == [True, False, False]


def test_the_used_ring_s_flags_are_left_alone(rig):
    complete(rig)
    rig.queue.arm()
    assert rig.driver.used16[0] == 0


def test_memory_may_change_while_a_chain_is_worked_on(rig):
    """What is still there is found where it is now, also as another region; what is gone ends the chain's bytes."""
    rig.fill(LOW, b"asked")
    rig.offer((LOW, 5, NEXT, 1), (TOP, 4, NEXT | WRITE, 2), (HIGH, 4, NEXT | WRITE, 3), (TOP + 4, 4, WRITE, 0))
    assert rig.queue.pop() == 0
    low, high, top = (rig.parts[addr].region for addr in (LOW, HIGH, TOP))
    moved = bytearray(SIZE)
    rig.memory.replace([Region(LOW, low.user_addr, memoryview(moved)), rig.parts[RING].region, top])
    moved[:5] = b"moved"
    into = memoryview(bytearray(8))
    assert (rig.queue.read(0, into, 5), bytes(into[:5])) == (5, b"moved")
    assert rig.queue.write(memoryview(b"answered..."), 11) == 4
    assert bytes(top.buffer[:8]) == b"answ" + bytes(4)
    assert not any(high.buffer)
    rig.memory.clear()
    assert rig.queue.read(0, into, 5) == 0
    assert rig.queue.write(memoryview(b"answered"), 8) == 0
    assert rig.intact()


def test_a_segment_that_lies_in_two_regions_now_is_gone(rig):
    rig.offer((LOW, 32, WRITE, 0))
    assert rig.queue.pop() == 0
    rig.memory.remove(LOW, SIZE, rig.parts[LOW].region.user_addr)
    for at in range(2):
        rig.memory.add(Region(LOW + 16 * at, USER + 0x900_0000 + 16 * at, memoryview(bytearray(16))))
    assert rig.queue.write(memoryview(bytes(32)), 32) == 0
