"""A load on a disk: requests of one kind and size, a number of them in flight, again and again.

Source: VIRTIO-1.2 5.2.6 (requests), 2.7 (the ring, which it drives itself once the chains are laid out).

The chains are laid out once; an answer makes its chain go out again with the next sector of a list. So the load costs
a fraction of what a back-end does for a request, and what it measures is the back-end. It behaves as a guest does: it
kicks when it is asked to, sleeps on the interrupt when nothing is back, and takes all that is back at once.
"""

import os
import select
from array import array
from collections.abc import Sequence
from time import perf_counter_ns

import outboard.guest.atomics as atomics
from outboard.errors import LocalError, ProtocolError, WaitTimeout
from outboard.frontend.ram import PAGE, GuestRam
from outboard.frontend.ring import Ring, take
from outboard.spec.virtio import AVAIL_NO_INTERRUPT, USED_NO_NOTIFY, Desc
from outboard.spec.virtio_blk import ReqHeader
from outboard.virtio.driver_queue import Table

NO_STATUS = 0xFF
_INTERRUPT = 0xFFFF ^ AVAIL_NO_INTERRUPT
TABLE_ROOM = 4 * Desc.sizeof
SAMPLES_MAX = 1 << 20
"""Latencies that are kept; of more requests the later ones are not."""
SILENCE_MS = 10_000
"""Nothing comes back for so long: the device is given up."""


class Load:
    """`depth` chains of one kind on one ring, which nobody else uses until `run` has returned for the last time.

    kind: `Type.IN` or `Type.OUT`; size: bytes of each; sectors: where they go, in this order, round and round.
    indirect: chains in indirect tables, as Linux lays them out, where INDIRECT_DESC was negotiated. The machine runs
    already; started anew, it needs a new load. Raises LocalError when ring or memory are too small.
    """

    def __init__(
        self, ram: GuestRam, ring: Ring, kind: int, size: int, depth: int, sectors: Sequence[int], indirect: bool = True
    ) -> None:
        if not 1 <= depth <= ring.layout.size or not sectors:
            raise LocalError(f"{depth} requests in flight, {len(sectors)} places: a ring of {ring.layout.size}")
        queue = ring.queue
        self.depth, self.size, self.writes = depth, size, bool(kind)
        self.queue = queue
        self.kick_fd, self.call_fd = ring.kick_fd, ring.call_fd
        self.ring_mask = queue.size - 1
        self.event_idx = queue.event_idx
        self.used_event, self.avail_event = 2 + queue.size, 2 + 4 * queue.size
        self.avail16, self.used16, self.used32 = queue.avail16, queue.used16, queue.used32
        self.sectors = array("Q", sectors)
        self.place = 0
        self.started = array("Q", bytes(8 * depth))
        self.latency_ns = array("I", bytes(4 * SAMPLES_MAX))
        self.samples = 0
        self.slot_of = array("i", [-1] * queue.size)
        self.poll = select.poll()
        self.poll.register(self.call_fd, select.POLLIN)
        self._lay_out(ram, kind, indirect)
        self.avail_idx, self.published, self.last_used = queue.avail_idx, queue.published, queue.last_used
        self.in_flight = self.sleeps = self.kicks = 0

    def _lay_out(self, ram: GuestRam, kind: int, indirect: bool) -> None:
        headers = ram.allocate(ReqHeader.sizeof * self.depth, PAGE)
        status = ram.allocate(self.depth, PAGE)
        tables = ram.allocate(TABLE_ROOM * self.depth, PAGE)
        data = ram.allocate(self.size * self.depth, PAGE)
        self.header64 = ram.view(headers, ReqHeader.sizeof * self.depth).cast("Q")
        self.status = ram.view(status, self.depth)
        self.data = ram.view(data, self.size * self.depth)
        heads = []
        for slot in range(self.depth):
            self.header64[2 * slot] = kind
            header = (headers + ReqHeader.sizeof * slot, ReqHeader.sizeof)
            body, end = (data + self.size * slot, self.size), (status + slot, 1)
            at = tables + TABLE_ROOM * slot
            table = Table(at, ram.view(at, TABLE_ROOM)) if indirect else None
            chain = ([header, body], [end]) if self.writes else ([header], [body, end])
            head = self.queue.reserve(*chain, table)
            heads.append(head)
            self.slot_of[head] = slot
        self.heads = array("H", heads)

    def run(self, duration_ns: int) -> tuple[int, int]:
        """Keep the device busy for so long, then let it finish; return how many requests and nanoseconds that took.

        Raises ProtocolError when the device returns a chain that it does not have, or a status that is not OK, and
        WaitTimeout when it falls silent.
        """
        self.samples = 0
        began = now = perf_counter_ns()
        done = 0
        for slot in range(self.depth):
            self.issue(slot, now)
        self.publish()
        while self.in_flight:
            if atomics.load_acquire(self.used16, 1) == self.last_used:
                self.sleep()
                continue
            now = perf_counter_ns()
            done += self.reap(now, now - began < duration_ns)
            self.publish()
        self._settle()
        return done, perf_counter_ns() - began

    def _settle(self) -> None:
        """Leave the ring to others as it is."""
        self.queue.avail_idx = self.queue.published = self.published
        self.queue.last_used = self.last_used

    def fill(self) -> None:
        """Issue all chains at once, for a burst: `publish` shows them to the device, `finish` takes them back.

        With EVENT_IDX there is one interrupt, for the last of them.
        """
        self.samples = 0
        now = perf_counter_ns()
        for slot in range(self.depth):
            self.issue(slot, now)
        self._want_interrupt(self.depth)

    def finish(self) -> None:
        """Sleep until all that was issued is back, and take it; raises what `run` does."""
        while self.in_flight:
            if self._back() < self.in_flight:
                self.sleep(self.in_flight)
            else:
                self.reap(perf_counter_ns(), False)
        self._settle()

    def issue(self, slot: int, now: int) -> None:
        """Make one chain available, at the next sector; `publish` shows it."""
        self.header64[2 * slot + 1] = self.sectors[self.place]
        self.place += 1
        if self.place == len(self.sectors):
            self.place = 0
        self.status[slot] = NO_STATUS
        self.started[slot] = now
        self.avail16[2 + (self.avail_idx & self.ring_mask)] = self.heads[slot]
        self.avail_idx = (self.avail_idx + 1) & 0xFFFF
        self.in_flight += 1

    def publish(self) -> None:
        """Show the device what was issued; kick it if it wants that."""
        old, new = self.published, self.avail_idx
        if old == new:
            return
        atomics.store_release(self.avail16, 1, new)
        self.published = new
        atomics.fence()
        if self.event_idx:
            wanted = ((new - self.used16[self.avail_event] - 1) & 0xFFFF) < ((new - old) & 0xFFFF)
        else:
            wanted = not self.used16[0] & USED_NO_NOTIFY
        if wanted:
            self.kicks += 1
            os.eventfd_write(self.kick_fd, 1)

    def reap(self, now: int, again: bool) -> int:
        """Take all that is back; again: issue each chain anew. Return how many."""
        new = atomics.load_acquire(self.used16, 1)
        count = (new - self.last_used) & 0xFFFF
        if count > self.in_flight:
            raise ProtocolError("used ring", f"at most {self.in_flight} elements", f"{count}")
        for _ in range(count):
            head = self.used32[1 + 2 * (self.last_used & self.ring_mask)]
            self.last_used = (self.last_used + 1) & 0xFFFF
            slot = self.slot_of[head] if head <= self.ring_mask else -1
            if slot < 0 or not self.started[slot]:
                raise ProtocolError("used ring", "a chain in flight", f"head {head}")
            if self.status[slot]:
                raise ProtocolError("status", "OK", f"{self.status[slot]}")
            if self.samples < SAMPLES_MAX:
                self.latency_ns[self.samples] = min(now - self.started[slot], 0xFFFF_FFFF)
                self.samples += 1
            self.started[slot] = 0
            self.in_flight -= 1
            if again:
                self.issue(slot, now)
        return count

    def _back(self) -> int:
        """Return how many chains the device has given back that were not taken yet."""
        return (atomics.load_acquire(self.used16, 1) - self.last_used) & 0xFFFF

    def _want_interrupt(self, count: int) -> None:
        """Ask for an interrupt when `count` chains are back; without EVENT_IDX, whenever some are."""
        if self.event_idx:
            self.avail16[self.used_event] = (self.last_used + count - 1) & 0xFFFF
        else:
            self.avail16[0] &= _INTERRUPT

    def sleep(self, count: int = 1) -> None:
        """Ask for an interrupt and sleep until it comes, unless `count` chains are back already."""
        self._want_interrupt(count)
        atomics.fence()
        if self._back() >= count:
            return
        self.sleeps += 1
        if not self.poll.poll(SILENCE_MS):
            raise WaitTimeout(f"no element on the used ring in {SILENCE_MS / 1000:g} s")
        take(self.call_fd)

    def percentiles(self, *percents: float) -> list[float]:
        """Return latencies of the last run in microseconds."""
        ordered = sorted(self.latency_ns[: self.samples])
        return [ordered[min(len(ordered) - 1, int(len(ordered) * one / 100))] / 1000 for one in percents]
