"""Random rings against an independent reading of VIRTIO-1.2 2.7.5: what is a chain, what is malformed."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from outboard.virtio.split_queue import BROKEN, NONE
from tests.virtio.rig import HIGH, HOLE, INDIRECT, LOW, NEXT, SIZE, TOP, WRITE, Rig

QUEUE = 8


class Malformed(Exception):
    """The chain breaks a rule."""


def bytes_at(rig, addr, length):
    """Return guest bytes one by one, or raise; wraps nowhere."""
    out = bytearray()
    while length:
        for start, part in rig.parts.items():
            if start <= addr < start + len(part.view):
                step = min(length, start + len(part.view) - addr)
                out += part.view[addr - start : addr - start + step]
                addr += step
                length -= step
                break
        else:
            raise Malformed("not memory")
    return bytes(out)


def chain(rig, head):
    """Return the readable bytes and the writable ranges of a chain, or raise Malformed."""
    if head >= QUEUE:
        raise Malformed("head")
    table, limit, index, seen = None, QUEUE, head, 0
    readable, writable = bytearray(), []
    while True:
        seen += 1
        if seen > limit:
            raise Malformed("loop")
        row = table[16 * index : 16 * index + 16] if table else rig.driver.desc[16 * index : 16 * index + 16]
        addr, length, flags, after = struct.unpack("<QIHH", row)
        if flags & INDIRECT:
            if table or flags & NEXT or length == 0 or length % 16 or length > 16 * 2048:
                raise Malformed("indirect")
            table, limit, index, seen = bytes_at(rig, addr, length), length // 16, 0, 0
            continue
        if flags & WRITE:
            if length:
                bytes_at(rig, addr, length)
                writable.append((addr, length))
        else:
            if writable:
                raise Malformed("readable behind writable")
            readable += bytes_at(rig, addr, length)
        if not flags & NEXT:
            return bytes(readable), writable
        if after >= limit:
            raise Malformed("next")
        index = after


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


def written(before, writable, text):
    """Return memory with `text` poured into the writable ranges, in their order."""
    after = {start: bytearray(part) for start, part in before.items()}
    for addr, length in writable:
        step, text = text[:length], text[length:]
        for at, byte in enumerate(step):
            start = max(start for start in after if start <= addr + at)
            after[start][addr + at - start] = byte
    return {start: bytes(part) for start, part in after.items()}
