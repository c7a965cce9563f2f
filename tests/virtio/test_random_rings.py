"""Random rings against an independent reading of VIRTIO-1.2 2.7.5."""

from hypothesis import given, settings
from hypothesis import strategies as st

from outboard.virtio.split_queue import BROKEN, NONE
from tests.virtio.oracle import Malformed, chain, written
from tests.virtio.rig import HIGH, HOLE, INDIRECT, LOW, NEXT, SIZE, TOP, WRITE, Rig

QUEUE = 8


ADDRESSES = st.one_of(
    st.sampled_from([LOW, HIGH, HOLE - 16, HIGH - 8, TOP, (1 << 64) - 16, (1 << 64) - 1, 0, HOLE]),
    st.builds(lambda base, off: base + off, st.sampled_from([LOW, HIGH, TOP]), st.integers(0, SIZE - 1)),
)
LENGTHS = st.one_of(st.integers(0, 64), st.sampled_from([16, 32, 48, 64, SIZE, 2 * SIZE, 0xFFFFFFFF, 0xFFFFFFF0]))
FLAGS = st.sampled_from([0, 0, NEXT, NEXT, NEXT, WRITE, WRITE | NEXT, WRITE | NEXT, INDIRECT, INDIRECT | NEXT, 0xFFFF])
ROWS = st.tuples(ADDRESSES, LENGTHS, FLAGS, st.integers(0, QUEUE + 1))


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(
    ring=st.lists(ROWS, min_size=QUEUE, max_size=QUEUE),
    tables=st.lists(st.lists(ROWS, min_size=1, max_size=4), max_size=3),
    heads=st.lists(st.integers(0, QUEUE), min_size=1, max_size=QUEUE),
    ahead=st.one_of(st.none(), st.integers(0, 0xFFFF)),
    data=st.data(),
)
def test_every_ring_is_read_as_the_document_reads_it(ring, tables, heads, ahead, data):
    rig = Rig(QUEUE)
    for start in (LOW, HIGH, TOP):
        rig.parts[start].view[:] = bytes(range(256)) * (SIZE // 256)
    for at, rows in enumerate(tables):
        place = data.draw(st.sampled_from([LOW, HIGH - 24, TOP]))
        rig.table(place, rows)
        ring[at] = (place, 16 * len(rows), INDIRECT, 0)
    for index, row in enumerate(ring):
        rig.driver.write_desc(index, *row)
    for head in heads:
        rig.driver.put_head(head)
    pending = len(heads) if ahead is None else ahead
    rig.driver.put_avail_idx(pending)
    if pending > QUEUE:
        assert rig.queue.pop() == BROKEN
        return
    slots = (heads + [0] * QUEUE)[:pending]
    for head in slots:
        before = {start: bytes(part.view) for start, part in rig.parts.items()}
        try:
            readable, writable = chain(rig, head)
        except Malformed:
            assert rig.queue.pop() == BROKEN, (head, ring)
            assert rig.queue.broken
            assert {start: bytes(part.view) for start, part in rig.parts.items()} == before
            break
        assert rig.queue.pop() == head, rig.queue.broken
        assert rig.readable() == readable
        assert rig.queue.writable_bytes == sum(length for _, length in writable)
        assert rig.queue.write(memoryview(bytearray(b"\xee" * 40)), 40) == min(40, rig.queue.writable_bytes)
        after = {start: bytes(part.view) for start, part in rig.parts.items()}
        assert after == written(before, writable, b"\xee" * 40)
        for start, part in rig.parts.items():  # the next chain is judged against memory as it was
            part.view[:] = before[start]
    else:
        assert rig.queue.pop() == NONE
    assert rig.intact()
