"""Random virtqueues: a device that takes chains from a hostile driver never raises, never touches other memory."""

import struct

import pytest

from outboard.virtio.split_queue import BROKEN, NONE
from tests.virtio.oracle import Malformed, chain, written
from tests.virtio.rig import HIGH, HOLE, INDIRECT, LOW, NEXT, RING, SIZE, TOP, WRITE, Rig

FLAGS = [0, NEXT, NEXT, NEXT, NEXT, WRITE, WRITE | NEXT, WRITE | NEXT, INDIRECT, INDIRECT, INDIRECT | NEXT, 7, 0xFFFF]
WILD = [0, 1, HOLE, HOLE - 8, LOW - 1, (1 << 64) - 1, (1 << 64) - 16, 1 << 63, RING + SIZE]
LENGTHS = [0, 1, 15, 16, 17, 24, 32, 48, 64, 160, SIZE, 2 * SIZE, 16 * 2048, 16 * 2049, 1 << 31, 0xFFFFFFF0, 0xFFFFFFFF]
BLOCK = bytes(range(256)) * (SIZE // 256)


def any_row(rng, rig, limit):
    """Return a descriptor that is right more often than not."""
    if rng.random() < 0.9:
        addr = rng.choice([LOW, LOW, HIGH, HIGH - 40, TOP, RING]) + rng.randrange(0x200)
    else:
        addr = rng.choice(WILD)
    length = rng.randrange(80) if rng.random() < 0.85 else rng.choice(LENGTHS)
    after = rng.randrange(limit) if rng.random() < 0.95 else rng.choice([limit, limit + 1, 0xFFFF])
    return addr, length, rng.choice(FLAGS), after


def tidy_chain(rng, rig):
    """Lay a chain out as drivers do, readable before writable, and return its head."""
    count = rng.randint(1, min(rig.size, 6))
    order = rng.sample(range(rig.size), count)
    turn = rng.randint(0, count)
    for at, index in enumerate(order):
        flags = (WRITE if at >= turn else 0) | (NEXT if at + 1 < count else 0)
        place = rng.choice([LOW, HIGH, HIGH - 40, TOP]) + rng.randrange(0x400)
        rig.driver.write_desc(index, place, rng.randrange(64), flags, order[at + 1] if at + 1 < count else 0)
    return order[0]


def fill(rng, rig):
    """Write the ring, its tables and the available indexes; return the heads in their slots."""
    for index in range(rig.size):
        rig.driver.write_desc(index, *any_row(rng, rig, rig.size))
    for _ in range(rng.randrange(4)):
        rows = [any_row(rng, rig, rng.randint(1, 6)) for _ in range(rng.randint(1, 5))]
        place = rng.choice([LOW, LOW + 8, HIGH - 24, TOP, HIGH + 0x300])
        rig.table(place, rows)
        length = 16 * len(rows) if rng.random() < 0.8 else rng.choice(LENGTHS)
        rig.driver.write_desc(rng.randrange(rig.size), place, length, INDIRECT, 0)
    heads = []
    for _ in range(rng.randint(1, rig.size)):
        heads.append(tidy_chain(rng, rig) if rng.random() < 0.3 else rng.randrange(rig.size + (rng.random() < 0.05)))
    return heads


def one(rng):
    size = rng.choice([1, 2, 4, 8, 8, 64])
    rig = Rig(size, event_idx=rng.random() < 0.5)
    start = rng.choice([0, 1, 65535, 65530, rng.randrange(65536)])
    for base in (LOW, HIGH, TOP):
        rig.parts[base].view[:] = BLOCK
    rig.jump(start)
    heads = fill(rng, rig)
    slots = {}
    for head in heads:
        slots[rig.driver.avail_idx % size] = head
        rig.driver.put_head(head)
    pending = len(heads) if rng.random() < 0.9 else rng.randrange(65536)
    rig.driver.put_avail_idx(start + pending)
    rig.driver.avail16[0] = rng.randrange(4)
    rig.driver.avail16[2 + size] = rng.choice([start, start - 1 & 0xFFFF, rng.randrange(65536)])
    if pending > size:
        assert rig.queue.pop() == BROKEN
    else:
        take(rng, rig, start, pending)
    assert rig.intact()
    recover(rig)


def take(rng, rig, start, pending):
    """Take all chains; every one must be what the document says, and change what it may."""
    used = 0
    for turn in range(pending):
        memory = {base: bytes(part.view) for base, part in rig.parts.items()}
        head = rig.driver.avail16[2 + (start + turn) % rig.size]
        try:
            readable, writable = chain(rig, head)
        except Malformed:
            assert rig.queue.pop() == BROKEN
            assert rig.queue.broken
            assert {base: bytes(part.view) for base, part in rig.parts.items()} == memory
            assert rig.queue.pop() == BROKEN
            return
        if rng.random() < 0.1:
            assert rig.queue.pop() == head
            rig.queue.rewind()
        assert rig.queue.pop() == head, rig.queue.broken
        assert rig.readable() == readable
        room = sum(length for _, length in writable)
        assert rig.queue.writable_bytes == room
        text = rng.randbytes(rng.choice([0, 24, 80, 408]))
        assert rig.queue.write(memoryview(bytearray(text)), len(text)) == min(len(text), room)
        after = {base: bytes(part.view) for base, part in rig.parts.items()}
        assert after == written(memory, writable, text)
        for base, part in rig.parts.items():  # whatever was written over the ring is taken back, for the next chain
            part.view[:] = memory[base]
        rig.queue.add_used(head, min(len(text), room))
        used += 1
        if rng.random() < 0.5:
            rig.queue.publish()
            assert rig.driver.used_idx == (start + used) & 0xFFFF
            slot = 4 + 8 * ((start + used - 1) % rig.size)
            at = rig.layout.used + slot
            assert struct.unpack_from("<II", rig.parts[RING].view, at) == (head, min(len(text), room))
    assert rig.queue.pop() == NONE
    assert rig.queue.arm() is False


def recover(rig):
    """After all that, the same queue set up anew serves a good chain."""
    rig.parts[RING].view[:] = bytes(len(rig.parts[RING].view))
    rig.driver.__init__(rig.parts[RING].view, rig.layout, rig.queue.event_idx)
    rig.begin()
    rig.fill(LOW, b"well")
    head = rig.driver.add([(LOW, 4)])
    rig.driver.publish()
    assert rig.queue.pop() == head
    assert rig.readable() == b"well"
    rig.queue.add_used(head, 0)
    assert rig.queue.publish() is True
    assert rig.driver.collect() == [(head, 0)]


@pytest.mark.timeout(0)
def test_chains(campaign):
    campaign.run("chains", one)
