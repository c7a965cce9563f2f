"""A split virtqueue that notes in shared memory which chains it has, so that nothing is lost when its process dies.

Source: QEMU docs/interop/vhost-user, "Inflight I/O tracking": DescStateSplit, QueueRegionSplit, the steps of a split
virtqueue. The front-end keeps the memory and hands it to the next back-end.

A chain is noted when it is popped, before anybody sees it, and crossed out when the driver sees it on the used ring.
Whoever died in between is succeeded by a queue that pops the noted chains first, in their order. The region was
written by another process: what it says is checked, and at worst a chain that is not on the ring makes it broken.
"""

from array import array

import outboard.guest.atomics as atomics
from outboard import trace
from outboard.guest.memory import GuestMemory
from outboard.spec.vhost_user import INFLIGHT_VERSION, DescStateSplit, QueueRegionSplit
from outboard.virtio.split_queue import BROKEN, SplitQueue

_STATE = DescStateSplit.sizeof
_STATES = QueueRegionSplit.sizeof
_INFLIGHT = _STATES + DescStateSplit.offsetof("inflight")
_INFLIGHT16 = _INFLIGHT // 2
"""With a byte of padding: what is ordered is stored in 16 bits."""
_NEXT = (_STATES + DescStateSplit.offsetof("next")) // 2
_COUNTER = (_STATES + DescStateSplit.offsetof("counter")) // 8
_STATE16 = _STATE // 2
_STATE64 = _STATE // 8
_LAST_BATCH_HEAD = QueueRegionSplit.offsetof("last_batch_head") // 2
_USED_IDX = QueueRegionSplit.offsetof("used_idx") // 2
_MASK64 = 0xFFFF_FFFF_FFFF_FFFF


class TrackedQueue(SplitQueue):
    """A SplitQueue with an optional region (`track`). waiting: how many `again` has."""

    def __init__(self, memory: GuestMemory) -> None:
        super().__init__(memory)
        self._counter = 0
        self._room = 0
        self._region: memoryview | None = None
        self._tracks = False
        self.track(None)

    def track(self, region: memoryview | None) -> None:
        """Note chains in `region`, a QueueRegionSplit and its states, from the next `start` on; None: nowhere.

        The region is aligned to 8 bytes and has room for a whole number of states.
        """
        cells = memoryview(bytearray(_STATES)) if region is None else region
        self._cells8 = cells
        self._cells16 = cells.cast("H")
        self._cells64 = cells.cast("Q")
        self._room = (len(cells) - _STATES) // _STATE
        self._region = region
        self._tracks = False
        self._heads = memoryview(array("H", bytes(2 * self._room or 2)))
        self._added = memoryview(array("H", bytes(2 * self._room or 2)))
        self._is_added = memoryview(bytearray(self._room or 1))
        self.waiting = self._count = 0

    @property
    def again(self) -> list[int]:
        """The heads taken over from a predecessor that were not popped yet, the next one last."""
        return list(self._heads[: self.waiting])

    def let_go(self) -> None:
        """Hold no guest memory any more, nor the region."""
        self.track(None)
        super().let_go()

    def start(self, last_avail: int) -> None:
        """Begin. Chains that the region has in flight come first, whatever `last_avail` says of them."""
        super().start(last_avail)
        self._forget_batch()
        self.waiting = 0
        self._tracks = self._region is not None and self._adopt(self._region)
        if self.waiting:
            self.last_avail = (self.used_idx + self.waiting) & 0xFFFF
            trace.emit("ring.resubmitted", count=self.waiting, heads=self.again[::-1])

    def _adopt(self, region: memoryview) -> bool:
        """Read the region as a predecessor left it, or make it; false when it is none that can be used: broken."""
        head = QueueRegionSplit.unpack_from(region)
        if self.size > self._room:
            self.fail(f"inflight region for {self._room} descriptors, the ring has {self.size}")
        elif head.version > INFLIGHT_VERSION or head.features:
            self.fail(f"inflight region of version {head.version} with features {head.features:#x}")
        elif head.version == 0:
            self._counter = 0
            region[:] = bytes(len(region))
            fresh = QueueRegionSplit(version=INFLIGHT_VERSION, desc_num=self._room, used_idx=self.used_idx)
            region[:_STATES] = fresh.pack()
        else:
            self._settle_last_batch(head)
            self._take_over()
        return not self.broken

    def _settle_last_batch(self, head: QueueRegionSplit) -> None:
        """Cross out what the driver saw on the used ring when the predecessor had no time left to do it."""
        at = head.last_batch_head
        for _ in range(min((self.used_idx - head.used_idx) & 0xFFFF, self.size)):
            if at >= self.size:
                break
            self._cells8[_INFLIGHT + _STATE * at] = 0
            at = self._cells16[_NEXT + _STATE16 * at]
        self._cells16[_USED_IDX] = self.used_idx

    def _take_over(self) -> None:
        """Find the chains in flight, in the order in which they were fetched."""
        heads = [head for head in range(self.size) if self._cells8[_INFLIGHT + _STATE * head]]
        heads.sort(key=lambda head: self._cells64[_COUNTER + _STATE64 * head], reverse=True)
        self._counter = self._cells64[_COUNTER + _STATE64 * heads[0]] + 1 & _MASK64 if heads else 0
        self.waiting = len(heads)
        for at, head in enumerate(heads):
            self._heads[at] = head

    def take(self) -> int:
        """Take the next chain, the predecessor's first, and note it; see `SplitQueue.pop`."""
        if self.waiting:
            return self._take_again()
        head = SplitQueue.take(self)
        if head >= 0 and self._tracks:
            self._cells64[_COUNTER + _STATE64 * head] = self._counter
            self._counter = (self._counter + 1) & _MASK64
            atomics.store_release(self._cells16, _INFLIGHT16 + _STATE16 * head, 1)
        return head

    def _take_again(self) -> int:
        if self.fault:
            return BROKEN
        self.waiting -= 1
        head = self._heads[self.waiting]
        return head if self.gather(head) else BROKEN

    def give(self, head: int, written: int) -> None:
        """See `SplitQueue.add_used`; the batch grows by it."""
        SplitQueue.give(self, head, written)
        if self._tracks:
            self._cells16[_NEXT + _STATE16 * head] = self._cells16[_LAST_BATCH_HEAD]
            atomics.store_release(self._cells16, _LAST_BATCH_HEAD, head)
            if not self._is_added[head]:
                self._is_added[head] = 1
                self._added[self._count] = head
                self._count += 1

    def publish(self) -> bool:
        """See `SplitQueue.publish`; what the driver sees now is crossed out."""
        wanted = SplitQueue.publish(self)
        if self._count:
            for at in range(self._count):
                self._cells8[_INFLIGHT + _STATE * self._added[at]] = 0
            self._forget_batch()
            atomics.store_release(self._cells16, _USED_IDX, self.published)
        return wanted

    def _forget_batch(self) -> None:
        for at in range(self._count):
            self._is_added[self._added[at]] = 0
        self._count = 0
