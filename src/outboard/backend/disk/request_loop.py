"""The requests of one virtqueue: pop and judge a batch of them, answer each when it is done.

Source: VIRTIO-1.2 5.2.6, 2.7. Data is not copied: a request's row points into guest memory. How header, data and status
are cut into descriptors is the driver's choice.

Compiled, `turn`, `begin` and `carry` do not need the interpreter's lock, so that disks in different IOThreads are
served at the same time: what needs Python objects is left to `odd`, to the device and to the block graph.

A wrong request is answered with its status; a chain without a byte for the status cannot be answered and breaks the
ring, as do more chains in flight than the ring has descriptors.
"""

import outboard.guest.atomics as atomics
import outboard.host.vectored as vectored
from outboard import trace
from outboard.backend.disk.batch import SINGLE_PIECES, Batch, Slow
from outboard.blk.disk import Disk
from outboard.blk.requests import HEADER_SIZE, IN, IOERR, OK, OUT, judge, judge_transfer
from outboard.spec.virtio_blk import ID_BYTES, SECTOR_BITS, Type
from outboard.virtio.faults import CROWDED, NO_STATUS
from outboard.virtio.tracked_queue import TrackedQueue

IDLE = 0
"""`pop`: the ring is empty."""
BUSY = 1
"""`pop`: the batch is full, and there may be more."""
BROKEN = 2
"""`pop`: the ring is broken; `queue.broken` says why. What the batch has is to be carried out all the same."""
ODD = 3
"""`pop`: the row begun last is for `odd`; then it goes on."""

GET_ID = int(Type.GET_ID)
SPARE_MAX = 64
RANGES_BYTES_MAX = 1 << 12
_IDLE, _BUSY, _BROKEN, _ODD = IDLE, BUSY, BROKEN, ODD
_SECTOR_BITS = SECTOR_BITS
_MASK32 = 0xFFFF_FFFF


class RequestLoop:
    """One queue's requests. in_flight: popped and not answered; served: answered so far.

    fd: the file, -1: reads and writes are for the block graph like all others.
    """

    def __init__(self, disk: Disk, queue: TrackedQueue) -> None:
        self.disk = disk
        self.queue = queue
        self.fd = -1
        self._base = 0
        self._read_flags = self._write_flags = 0
        self._stable = False
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

    def aim(self, fd: int, base: int, read_flags: int, write_flags: int, stable: bool) -> None:
        """Say where reads and writes go from now on: to a file, from byte `base` on; or to the block graph, -1.

        stable: a write is on the medium before it is answered.
        """
        self.fd = fd
        self._base = base
        self._read_flags = read_flags
        self._write_flags = write_flags
        self._stable = stable

    def pending(self) -> bool:
        """Whether there is something to pop."""
        queue = self.queue
        if queue.fault:
            return False
        return queue.waiting > 0 or atomics.load_acquire(queue.avail16, 1) != queue.last_avail

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
        one.pinned = list(self.queue.memory.regions)
        return one

    def give_back(self, one: Batch) -> None:
        """Take a batch of one row back that is answered; a few are kept."""
        one.clear()
        if one.room == SINGLE_PIECES and len(self._spare) < SPARE_MAX:
            self._spare.append(one)

    def turn(self, batch: Batch) -> int:
        """`pop`, and `begin` unless there is an odd row; return what `pop` does."""
        status = self.pop(batch)
        if status != _ODD:
            self.begin(batch)
        return status

    def begin(self, batch: Batch) -> None:
        """Carry the first rows of a batch out, up to `batch.carried`, unless some of it is for other threads."""
        if batch.bytes and not batch.sort_out(self._stable):
            self.carry(batch, batch.near_end(0))

    def pop(self, batch: Batch) -> int:
        """Pop requests into a batch until it is full, or there are no more; return why that ended."""
        while not batch.is_full():
            head = self.queue.take()
            if head < 0:
                return _BROKEN if self.queue.fault else _IDLE
            if not self.queue.writable_bytes:
                self.queue.blame(NO_STATUS, head, 0)
                return _BROKEN
            if self.in_flight >= self.queue.size:
                self.queue.blame(CROWDED, self.queue.size, 0)
                return _BROKEN
            if not self._begin(batch, head):
                return _ODD
        return _BUSY

    def _begin(self, batch: Batch, head: int) -> bool:
        """Make a row of the chain popped last; false when it is for `odd`."""
        row = batch.transfers.add()
        batch.heads[row] = head
        batch.written[row] = self.queue.writable_bytes & _MASK32
        batch.moves[row] = batch.far[row] = batch.done[row] = 0
        last = self.queue.segments - 1
        status_at = self.queue.seg_offset[last] + self.queue.seg_length[last] - 1
        vectored.point(batch.statuses, row, self.queue.memory.hosts, self.queue.seg_rows[last], status_at, 1)
        self.in_flight += 1
        if self.queue.fetch(0, self.header, HEADER_SIZE) < HEADER_SIZE:
            self.answer(batch, row, IOERR)
            return True
        kind = self.words[0]
        if kind > OUT or self.fd < 0:
            return False
        write = kind == OUT
        length = self.queue.readable_bytes - HEADER_SIZE if write else self.queue.writable_bytes - 1
        if judge_transfer(self.disk, write, self.longs[1], length) != OK:
            return False
        if write:
            self._point(batch, row, True, 0, self.queue.readable, HEADER_SIZE, length)
        else:
            self._point(batch, row, False, self.queue.readable, self.queue.segments, 0, length)
        return True

    def odd(self, batch: Batch) -> None:
        """Take on the row begun last: refuse it, answer it at once, or leave it to the block graph."""
        queue = self.queue
        row = batch.transfers.count - 1
        kind = self.words[0]
        writable = queue.writable_bytes - 1
        status = judge(self.disk, kind, self.longs[1], queue.readable_bytes - HEADER_SIZE, writable)
        if status != OK:
            trace.emit("blk.refused", type=kind, sector=self.longs[1], status=status)
            self.answer(batch, row, status)
        elif kind == GET_ID:
            queue.write(self._serial(), min(ID_BYTES, writable))
            self.answer(batch, row, OK)
        else:
            self._slow(batch, row, kind)

    def carry(self, batch: Batch, end: int) -> None:
        """Carry the rows up to `end` out and answer those that are done; `batch.stopped` is how many are not."""
        row = batch.carried
        batch.transfers.run(self.fd, row, end, self._read_flags, self._write_flags)
        batch.carried = end
        batch.stopped = 0
        for at in range(row, end):
            if batch.moves[at]:
                if batch.transfers.errors[at]:
                    batch.stopped += 1
                else:
                    self.answer(batch, at, OK)

    def _serial(self) -> memoryview:
        return memoryview(bytearray(self.disk.serial))

    def _point(self, batch: Batch, row: int, write: bool, at: int, end: int, skip: int, total: int) -> None:
        """Let a row transfer `total` bytes of the chain's segments from `at` on, behind the first `skip` bytes."""
        batch.transfers.aim(write, self._base + (self.longs[1] << _SECTOR_BITS))
        batch.bytes += total
        while total and at < end:
            size = self.queue.seg_length[at]
            if skip >= size:
                skip -= size
            else:
                step = min(size - skip, total)
                start = self.queue.seg_offset[at] + skip
                batch.transfers.point(self.queue.memory.hosts, self.queue.seg_rows[at], start, step)
                total -= step
                skip = 0
            at += 1
        if batch.transfers.left[row]:
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
            region = queue.memory.regions[queue.seg_rows[segment]]
            start = queue.seg_offset[segment] + min(skip, queue.seg_length[segment])
            step = min(queue.seg_offset[segment] + queue.seg_length[segment] - start, total)
            skip -= min(skip, queue.seg_length[segment])
            total -= step
            if step:
                views.append(region.buffer[start : start + step])
        return views

    def answer(self, batch: Batch, row: int, status: int) -> None:
        """Complete a request; the driver sees it when the ring is published."""
        assert not batch.done[row]
        vectored.set_byte(batch.statuses, row, status)
        batch.done[row] = 1
        self.in_flight -= 1
        self.served += 1
        self.queue.give(batch.heads[row], batch.written[row])
