"""A queue whose process dies at any moment: the next one does what was not done, in order, and nothing twice.

Cells of a region by the document: features u64, version u16, desc_num u16, last_batch_head u16, used_idx u16; then 16
bytes a descriptor: inflight u8, 5 bytes, next u16, counter u64.
"""

import random
import struct

import pytest

from outboard.guest.memory import GuestMemory
from outboard.virtio.split_queue import BROKEN, NONE
from outboard.virtio.tracked_queue import TrackedQueue
from tests.virtio.rig import LOW, USER, Rig


class Tracked(Rig):
    """A rig whose device side can be replaced; `region` outlives it."""

    def __init__(self, size=8, event_idx=False, **options):
        self.bytes = bytearray(16 + 16 * size)
        self.region = memoryview(self.bytes)
        super().__init__(size, event_idx, **options)

    def begin(self, last_avail=0):
        self.queue = TrackedQueue(self.memory)
        self.queue.event_idx = self.driver.event_idx
        self.queue.track(self.region)
        layout = self.layout
        assert self.queue.set_up(self.size, USER + layout.desc, USER + layout.avail, USER + layout.used)
        self.queue.start(last_avail)

    def replace(self):
        """Let the process die and another begin where the front-end thinks it should: at the used index."""
        self.begin(self.driver.used16[1])

    def header(self):
        return struct.unpack_from("<QHHHH", self.bytes)

    def state(self, head):
        inflight, after, counter = struct.unpack_from("<B5xHQ", self.bytes, 16 + 16 * head)
        return inflight, after, counter

    def inflight(self):
        return [head for head in range(self.size) if self.state(head)[0]]

    def add(self, count=1):
        heads = [self.driver.add([(LOW, 16)]) for _ in range(count)]
        self.driver.publish()
        return heads

    def popped(self):
        heads = []
        while (head := self.queue.pop()) >= 0:
            heads.append(head)
        return heads


def test_a_fresh_region_is_made_ready():
    rig = Tracked()
    assert rig.header() == (0, 1, 8, 0, 0)
    assert rig.inflight() == []
    assert rig.queue.pop() == NONE


def test_the_steps_of_the_document():
    rig = Tracked()
    first, second = rig.add(2)
    assert rig.queue.pop() == first
    assert (rig.state(first)[0], rig.state(first)[2]) == (1, 0)
    assert rig.inflight() == [first]
    assert rig.queue.pop() == second
    assert (rig.state(second)[0], rig.state(second)[2]) == (1, 1)
    rig.queue.add_used(second, 1)
    assert rig.header()[3] == second
    rig.queue.add_used(first, 1)
    assert rig.header()[3] == first
    assert rig.state(first)[1] == second
    assert sorted(rig.inflight()) == sorted([first, second]), "in flight until the driver can see them"
    assert rig.header()[4] == 0
    rig.queue.publish()
    assert rig.inflight() == []
    assert rig.header()[4] == 2


def test_what_was_popped_and_not_used_is_popped_again_in_its_order():
    rig = Tracked()
    heads = rig.add(5)
    assert rig.popped() == heads
    rig.queue.add_used(heads[3], 1)
    rig.queue.add_used(heads[0], 1)
    rig.queue.publish()
    rig.driver.collect()
    rig.replace()
    assert rig.queue.again == [heads[4], heads[2], heads[1]]
    new = rig.add(2)
    assert rig.popped() == [heads[1], heads[2], heads[4], *new]
    assert rig.readable() == bytes(16)


def test_what_was_not_popped_is_popped_once():
    rig = Tracked()
    heads = rig.add(3)
    assert rig.queue.pop() == heads[0]
    rig.replace()
    assert rig.popped() == heads


def test_the_last_batch_is_crossed_out_when_its_process_had_no_time():
    rig = Tracked()
    heads = rig.add(4)
    rig.popped()
    before = bytes(rig.bytes)
    for head in heads[:3]:
        rig.queue.add_used(head, 1)
    in_between = bytes(rig.bytes)
    rig.queue.publish()
    rig.bytes[:] = in_between  # the used index is out, the region was not settled
    rig.replace()
    assert rig.queue.again == [heads[3]]
    assert rig.header()[4] == 3
    assert before != in_between


def test_a_batch_that_the_driver_has_not_seen_is_done_again():
    rig = Tracked()
    heads = rig.add(3)
    rig.popped()
    rig.queue.add_used(heads[0], 1)
    rig.replace()
    assert rig.popped() == heads
    for head in heads:
        rig.queue.add_used(head, 1)
    rig.queue.publish()
    assert rig.driver.collect() == [(head, 1) for head in heads]


def test_counters_go_on_behind_those_of_the_predecessor():
    rig = Tracked()
    heads = rig.add(2)
    rig.popped()
    rig.replace()
    new = rig.add()
    assert rig.popped() == [*heads, *new]
    rig.replace()
    assert rig.popped() == [*heads, *new]


@pytest.mark.parametrize("start", [0, 0xFFFE])
def test_a_process_that_dies_anywhere_loses_nothing_and_does_nothing_twice(start):
    """Die between any two stores: the region is put back to what it was before some of them."""
    for seed in range(60):
        rng = random.Random(seed)
        rig = Tracked(8)
        rig.driver.avail16[1] = rig.driver.used16[1] = start
        rig.driver.avail_idx = rig.driver.published = rig.driver.last_used = start
        rig.bytes[:] = bytes(len(rig.bytes))
        rig.begin(start)
        offered, done, in_hand = [], [], []
        for _ in range(60):
            match rng.randrange(6):
                case 0 | 1 if len(rig.driver.in_flight) < 8:
                    offered += rig.add()
                case 2 if (head := rig.queue.pop()) >= 0:
                    in_hand.append(head)
                case 3 if in_hand:
                    rig.queue.add_used(in_hand.pop(rng.randrange(len(in_hand))), 1)
                case 4:
                    settled = bytes(rig.bytes)
                    rig.queue.publish()
                    if rng.randrange(3) == 0:
                        rig.bytes[:] = settled
                        rig.replace()
                        in_hand = []
                    done += [head for head, _ in rig.driver.collect()]
                case 5 if rng.randrange(4) == 0:
                    rig.replace()
                    in_hand = []
        rig.replace()
        for head in rig.popped():
            rig.queue.add_used(head, 1)
        rig.queue.publish()
        done += [head for head, _ in rig.driver.collect()]
        assert sorted(done) == sorted(offered), seed
        assert not rig.driver.in_flight, seed


def test_without_a_region_it_is_a_split_queue():
    rig = Tracked()
    rig.queue.track(None)
    rig.queue.start(0)
    before = bytes(rig.bytes)
    heads = rig.add(2)
    assert rig.popped() == heads
    rig.queue.add_used(heads[0], 1)
    rig.queue.publish()
    assert bytes(rig.bytes) == before


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ((0, 2, 8, 0, 0), "version 2"),
        ((1, 1, 8, 0, 0), "features 0x1"),
    ],
)
def test_a_region_of_another_kind_breaks_the_ring(header, why):
    rig = Tracked()
    rig.bytes[:16] = struct.pack("<QHHHH", *header)
    rig.replace()
    assert why in rig.queue.broken
    assert rig.queue.pop() == BROKEN


def test_a_region_for_a_smaller_queue_breaks_the_ring():
    rig = Tracked(8)
    rig.region = memoryview(bytearray(16 + 16 * 4))
    rig.replace()
    assert rig.queue.broken == "inflight region for 4 descriptors, the ring has 8"


def test_a_region_that_somebody_scribbled_on_does_no_harm():
    for seed in range(300):
        rng = random.Random(seed)
        rig = Tracked(8)
        rig.add(3)
        rig.bytes[8:] = rng.randbytes(len(rig.bytes) - 8)
        rig.bytes[8:10] = b"\1\0"
        rig.replace()
        for _ in range(40):
            if (head := rig.queue.pop()) < 0:
                break
            rig.queue.add_used(head, 1)
        rig.queue.publish()
        assert rig.intact()


def test_letting_go_leaves_the_region_alone():
    rig = Tracked()
    rig.add(2)
    rig.popped()
    before = bytes(rig.bytes)
    rig.queue.let_go()
    assert rig.queue.pop() == BROKEN
    assert bytes(rig.bytes) == before
    rig.region.release()


def test_a_queue_that_was_never_set_up_is_broken():
    assert TrackedQueue(GuestMemory()).pop() == BROKEN
