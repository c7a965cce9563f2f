"""The driver's side of a virtqueue: what it refuses, what it counts."""

import pytest

from outboard.errors import LocalError, ProtocolError
from outboard.virtio.driver_queue import DriverQueue, RingLayout, Table
from tests.virtio.rig import LOW, Rig


@pytest.mark.parametrize(
    ("size", "avail", "used", "end"), [(1, 16, 24, 38), (16, 256, 296, 430), (64, 1024, 1160, 1678)]
)
def test_the_parts_lie_where_their_alignment_allows(size, avail, used, end):
    assert RingLayout.of(size) == (size, 0, avail, used, end)


@pytest.mark.parametrize(("size", "room"), [(16, 429), (3, 4096)])
def test_a_ring_that_cannot_be_is_refused(size, room):
    with pytest.raises(LocalError):
        DriverQueue(memoryview(bytearray(room)), RingLayout.of(size))


def test_descriptors_run_out_and_come_back():
    rig = Rig(4)
    rig.driver.add([(LOW, 1)] * 4)
    with pytest.raises(LocalError, match="0 descriptors are free"):
        rig.driver.add([(LOW, 1)])
    rig.driver.publish()
    rig.queue.add_used(rig.queue.pop(), 0)
    rig.queue.publish()
    rig.driver.collect()
    rig.driver.add([(LOW, 1)] * 4)


def test_an_empty_chain_is_refused():
    with pytest.raises(LocalError):
        Rig().driver.add([])


def test_a_reserved_chain_is_offered_again_and_again_but_not_twice_at_once():
    rig = Rig()
    head = rig.driver.reserve([(LOW, 1)])
    for turn in range(40):
        rig.driver.offer([head])
        with pytest.raises(LocalError, match="in flight"):
            rig.driver.offer([head])
        rig.driver.publish()
        assert rig.queue.pop() == head
        rig.queue.add_used(head, turn)
        rig.queue.publish()
        assert rig.driver.collect() == [(head, turn)]


@pytest.mark.parametrize("heads", [[5], [0, 0]])
def test_a_device_that_returns_what_it_does_not_have_is_found_out(heads):
    rig = Rig()
    assert rig.driver.add([(LOW, 1)]) == 0
    for head in heads:
        rig.queue.add_used(head, 0)
    rig.queue.publish()
    with pytest.raises(ProtocolError, match="used ring"):
        rig.driver.collect()


def test_a_table_too_small_is_refused():
    with pytest.raises(LocalError, match="do not fit"):
        Table(LOW, memoryview(bytearray(31))).fill([(LOW, 1, 0), (LOW, 1, 0)])


@pytest.mark.parametrize("event_idx", [False, True])
def test_interrupts_are_asked_for_and_refused(event_idx):
    rig = Rig(16, event_idx)
    wanted = []
    for ask in (True, True, False, True, False, False):
        if ask:
            assert rig.driver.want_interrupt() is False
        else:
            rig.driver.refuse_interrupts()
        head = rig.driver.add([(LOW, 1)])
        rig.driver.publish()
        rig.queue.add_used(rig.queue.pop(), 0)
        wanted.append(rig.queue.publish())
        assert rig.driver.want_interrupt() is True
        assert rig.driver.collect() == [(head, 0)]
    assert wanted == [True, True, False, True, False, False]
