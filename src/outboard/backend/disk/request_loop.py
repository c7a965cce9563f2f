"""The requests of one virtqueue: pop and judge a batch of them, answer each when it is done.

Source: VIRTIO-1.2 5.2.6, 2.7. Data is not copied: a request's row points into guest memory. How header, data and status
are cut into descriptors is the driver's choice.

A wrong request is answered with its status; a chain without a byte for the status cannot be answered and breaks the
ring, as do more chains in flight than the ring has descriptors.
"""

import outboard.guest.atomics as atomics
from outboard import trace
from outboard.backend.disk.batch import SINGLE_PIECES, Batch, Slow
from outboard.blk.disk import Disk
from outboard.blk.requests import HEADER_SIZE, IN, IOERR, OK, OUT, judge
from outboard.spec.virtio_blk import ID_BYTES, SECTOR_BITS, Type
from outboard.virtio.tracked_queue import TrackedQueue

IDLE = 0
"""`fill`: the ring is empty."""
BUSY = 1
"""`fill`: the batch is full, and there may be more."""
BROKEN = 2
"""`fill`: the ring is broken; `queue.broken` says why. What the batch has is to be carried out all the same."""

GET_ID = int(Type.GET_ID)
SPARE_MAX = 64
RANGES_BYTES_MAX = 1 << 12
_SECTOR_BITS = SECTOR_BITS


class RequestLoop:
    """One queue's requests. in_flight: popped and not answered; served: answered so far.

    direct: reads and writes become rows of the batch's transfers, `base` bytes further in the file; else they are for
    the block graph like all others.
    """

    def __init__(self, disk: Disk, queue: TrackedQueue) -> None:
        self.disk = disk
        self.queue = queue
        self.direct = True
        self.base = 0
        self.in_flight = 0
        self.served = 0
        header = memoryview(bytearray(HEADER_SIZE))
        self.header = header
        self.words = header.cast("I")
        self.longs = header.cast("Q")
        self._batch = Batch()
        self._spare: list[Batch] = []

    def suspend(self) -> None:
        """The ring stops; the device has waited for what was in flight."""
        assert not self.in_flight

    def aim(self, direct: bool, base: int) -> None:
        """Say where reads and writes go from now on."""
        self.direct = direct
        self.base = base

    def pending(self) -> bool:
        """Whether there is something to pop."""
        queue = self.queue
        if queue.broken:
            return False
        return bool(queue.again) or atomics.load_acquire(queue.avail16, 1) != queue.last_avail

    def batch(self) -> Batch:
        """Return the queue's batch, empty; it has nothing left to do when the next one is asked for."""
        self._batch.clear()
        return self._batch

    def split(self, batch: Batch, row: int) -> Batch:
        """Return a batch of its own for a row that takes longer; `give_back` when it is answered."""
        pieces = batch.transfers.pieces[row]
        if pieces > SINGLE_PIECES:
            one = Batch(1, pieces)
        else:
            one = self._spare.pop() if self._spare else Batch(1, SINGLE_PIECES)
        batch.split(row, one)
        return one

    def give_back(self, one: Batch) -> None:
        """Take a batch of one row back that is answered; a few are kept."""
        one.clear()
        if one.room == SINGLE_PIECES and len(self._spare) < SPARE_MAX:
            self._spare.append(one)

    def fill(self, batch: Batch) -> int:
        """Pop requests into a batch until it is full, or there are no more; return why it ended."""
        queue = self.queue
        while not batch.is_full():
            head = queue.pop()
            if head < 0:
                return BROKEN if queue.broken else IDLE
            if not queue.writable_bytes:
                queue.fail(f"chain {head}: a request without a byte for its status")
                return BROKEN
            if self.in_flight >= queue.size:
                queue.fail(f"more than {queue.size} chains in flight")
                return BROKEN
            self._begin(batch, head)
        return BUSY

    def _begin(self, batch: Batch, head: int) -> None:
        """Make a row of the chain popped last; a request that needs no time is answered."""
        queue = self.queue
        last = queue.segments - 1
        row = batch.transfers.add()
        batch.heads[row] = head
        batch.written[row] = queue.writable_bytes & 0xFFFFFFFF
        batch.moves[row] = batch.far[row] = batch.done[row] = 0
        batch.status_regions[row] = queue.seg_regions[last]
        batch.status_offsets[row] = queue.seg_offset[last] + queue.seg_length[last] - 1
        self.in_flight += 1
        if queue.read(0, self.header, HEADER_SIZE) < HEADER_SIZE:
            self.answer(batch, row, IOERR)
            return
        kind = self.words[0]
        readable = queue.readable_bytes - HEADER_SIZE
        writable = queue.writable_bytes - 1
        status = judge(self.disk, kind, self.longs[1], readable, writable)
        if status != OK:
            trace.emit("blk.refused", type=kind, sector=self.longs[1], status=status)
            self.answer(batch, row, status)
        elif kind == GET_ID:
            queue.write(self._serial(), min(ID_BYTES, writable))
            self.answer(batch, row, OK)
        elif kind > OUT or not self.direct:
            self._slow(batch, row, kind)
        elif kind == IN:
            self._point(batch, row, False, queue.readable, queue.segments, 0, writable)
        else:
            self._point(batch, row, True, 0, queue.readable, HEADER_SIZE, readable)

    def _serial(self) -> memoryview:
        return memoryview(bytearray(self.disk.serial))

    def _point(self, batch: Batch, row: int, write: bool, at: int, end: int, skip: int, total: int) -> None:
        """Let a row transfer `total` bytes of the chain's segments from `at` on, behind the first `skip` bytes."""
        queue = self.queue
        transfers = batch.transfers
        transfers.aim(write, self.base + (self.longs[1] << _SECTOR_BITS))
        batch.bytes += total
        while total and at < end:
            size = queue.seg_length[at]
            if skip >= size:
                skip -= size
            else:
                step = min(size - skip, total)
                region = queue.seg_regions[at]
                transfers.point(region.bytes, queue.seg_offset[at] + skip, step)  # type: ignore[union-attr]
                total -= step
                skip = 0
            at += 1
        if transfers.left[row]:
            batch.moves[row] = 1
        else:
            self.answer(batch, row, OK)

    def _slow(self, batch: Batch, row: int, kind: int) -> None:
        """Leave a row to the block graph."""
        queue = self.queue
        data = b""
        buffers: list[memoryview] = []
        if kind == IN:
            buffers = self._views(queue.readable, queue.segments, 0, queue.writable_bytes - 1)
        elif kind == OUT:
            buffers = self._views(0, queue.readable, HEADER_SIZE, queue.readable_bytes - HEADER_SIZE)
        else:
            data = self._data()
        batch.slow.append(Slow(self.split(batch, row), kind, self.longs[1] << _SECTOR_BITS, buffers, data))

    def _data(self) -> bytes:
        """Return what follows the header, as much as any request but a write may have, and one byte more."""
        data = memoryview(bytearray(HEADER_SIZE + RANGES_BYTES_MAX))
        length = self.queue.read(0, data, len(data))
        return bytes(data[HEADER_SIZE:length])

    def _views(self, at: int, end: int, skip: int, total: int) -> list[memoryview]:
        """Return segments `at` to `end - 1` as views, without the first `skip` bytes and what is behind `total`."""
        queue = self.queue
        views = []
        for segment in range(at, end):
            region = queue.seg_regions[segment]
            start = queue.seg_offset[segment] + min(skip, queue.seg_length[segment])
            step = min(queue.seg_offset[segment] + queue.seg_length[segment] - start, total)
            skip -= min(skip, queue.seg_length[segment])
            total -= step
            if step:
                views.append(region.buffer[start : start + step])  # type: ignore[union-attr]
        return views

    def answer(self, batch: Batch, row: int, status: int) -> None:
        """Complete a request; the driver sees it when the ring is published."""
        assert not batch.done[row]
        region = batch.status_regions[row]
        region.bytes[batch.status_offsets[row]] = status  # type: ignore[union-attr]
        batch.status_regions[row] = None
        batch.done[row] = 1
        self.in_flight -= 1
        self.served += 1
        self.queue.add_used(batch.heads[row], batch.written[row])
