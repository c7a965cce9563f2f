"""The vhost-user-blk back-end for one front-end: rings, memory and the image, in one context.

Source: QEMU docs/interop/vhost-user; VIRTIO-1.2 5.2.

What the page cache has is read, and writes are made, in the context's thread: a batch of requests in one go. What would
wait for the disk, or is large, is done by worker threads; all else by the block graph. A request is popped only between
`begin_io` and `end_io` of the backend, so a drained disk has none.
"""

import os
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial

import outboard.backend.disk.unlocked as unlocked
from outboard import trace
from outboard.aio.coroutine import co_enter
from outboard.aio.home import Home
from outboard.aio.wait import wait_while
from outboard.backend import control
from outboard.backend.channel import BackendChannel
from outboard.backend.disk import inflight
from outboard.backend.disk.batch import Batch, Slow
from outboard.backend.disk.request_loop import BROKEN, BUSY, ODD, RequestLoop
from outboard.backend.disk.slow import carry_out
from outboard.backend.rings import Ring
from outboard.backend.served import Answer, Serve
from outboard.blk.disk import Disk
from outboard.blk.requests import IOERR, OK
from outboard.block.backend import BlockBackend
from outboard.block.drains import drained
from outboard.block.workers import WORKERS
from outboard.errors import LocalError, ProtocolError
from outboard.guest.memory import GuestMemory
from outboard.host import mapping
from outboard.host.dmabuf import is_memory
from outboard.host.transfers import AGAIN, UNTOLD
from outboard.host.vectored import DSYNC, NOWAIT
from outboard.spec import virtio
from outboard.spec.vhost_user import F_PROTOCOL_FEATURES, Inflight, ProtocolFeature, Req
from outboard.vhost_user.backend import BackendSession, Request
from outboard.virtio.tracked_queue import TrackedQueue

ROUNDS = 16
FEATURES = F_PROTOCOL_FEATURES | virtio.Feature.VERSION_1 | virtio.Feature.INDIRECT_DESC | virtio.Feature.EVENT_IDX
PROTOCOL_FEATURES = (
    ProtocolFeature.MQ
    | ProtocolFeature.REPLY_ACK
    | ProtocolFeature.BACKEND_REQ
    | ProtocolFeature.CONFIG
    | ProtocolFeature.INFLIGHT_SHMFD
    | ProtocolFeature.RESET_DEVICE
    | ProtocolFeature.CONFIGURE_MEM_SLOTS
)


def get_inflight_fd(device: "DiskDevice", session: BackendSession, request: Request, payload: Inflight) -> Answer:
    """GET_INFLIGHT_FD: a new area."""
    area, fd = inflight.make(payload, len(device.rings), device.queue_size_max)
    return Answer(area, fds=[fd])


def set_inflight_fd(device: "DiskDevice", session: BackendSession, request: Request, payload: Inflight) -> None:
    """SET_INFLIGHT_FD: the area, perhaps a predecessor's; rings that start from now on use it."""
    device.regions = inflight.take(payload, request.frame.fds[0], len(device.rings), device.queue_size_max)


def set_backend_req_fd(device: "DiskDevice", session: BackendSession, request: Request, payload: None) -> None:
    """SET_BACKEND_REQ_FD: the channel on which the front-end hears of new sizes."""
    device.set_channel(request.frame.take_fd())


SERVED: dict[int, Serve] = control.COMMON | {
    Req.GET_INFLIGHT_FD: get_inflight_fd,
    Req.SET_INFLIGHT_FD: set_inflight_fd,
    Req.SET_BACKEND_REQ_FD: set_backend_req_fd,
}


class DiskDevice:
    """One virtio-blk device and its rings. Driven by `outboard.backend.control` and by its home, the backend's.

    regions: of the inflight area, one a queue. memory_lost: called when the front-end has truncated the guest's memory.
    """

    def __init__(self, loop: Home, backend: BlockBackend, disk: Disk) -> None:
        self.loop = loop
        self.backend = backend
        self.disk = disk
        self.offered = int(FEATURES | disk.offered)
        self.protocol_features = PROTOCOL_FEATURES
        self.requests: Mapping[int, Serve] = SERVED
        self.memory_lost: Callable[[], None] = lambda: None
        self.memory = GuestMemory()
        self.regions: list[memoryview] = []
        self.queue_size_max = disk.options.queue_size
        self.loops = [RequestLoop(disk, TrackedQueue(self.memory)) for _ in range(disk.options.num_queues)]
        self.rings = [Ring(i, loop, one, self.pump, self.queue_size_max) for i, one in enumerate(self.loops)]
        self._channel: BackendChannel | None = None
        self._fd = -1
        self._read_flags = self._write_flags = NOWAIT
        self._finished: deque[tuple[RequestLoop, Batch]] = deque()
        self._admitted = False
        self._quieting = 0
        self._lost_pages = mapping.lost_pages()

    @property
    def in_flight(self) -> int:
        """Requests that were popped and not answered."""
        return sum(loop.in_flight for loop in self.loops)

    # Features, config space, memory, life

    def set_features(self, features: int) -> None:
        """SET_FEATURES: take what is the device's own."""
        self.disk.set_features(features)

    def config(self) -> bytes:
        """Return the config space."""
        return self.disk.config().pack()

    def set_config(self, offset: int, data: bytes) -> None:
        """SET_CONFIG: the driver may set the cache's mode. Raises ProtocolError for anything else."""
        if not self.disk.write_config(offset, data):
            raise ProtocolError("SET_CONFIG", "0 or 1 in `writeback`", f"{data.hex(' ')} at {offset}")

    def set_channel(self, fd: int | None) -> None:
        """Take the channel's socket over. Raises ProtocolError."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if fd is not None:
            try:
                self._channel = BackendChannel(fd)
            except LocalError as error:
                os.close(fd)
                raise ProtocolError("SET_BACKEND_REQ_FD", "a UNIX stream socket", str(error)) from error

    def tell_config_changed(self) -> bool:
        """Tell the front-end that there is another config space; false when it does not listen."""
        return self._channel is not None and self._channel.config_changed()

    def ask_reset(self) -> None:
        """RESET_DEVICE: the driver starts anew."""
        self.regions = []
        self.disk.reset()

    def wake(self) -> None:
        """Bring up rings that became live, and look at them once, kick or no kick."""
        for ring in self.rings:
            if ring.live and ring.dirty:
                self._quiet(self.loops[ring.index])
                self.loops[ring.index].queue.track(self.regions[ring.index] if ring.index < len(self.regions) else None)
                ring.set_up()
        self.pump()

    def stop(self, ring: Ring) -> int:
        """GET_VRING_BASE: wait for what is in flight on a ring, stop it; return its next available index.

        What a predecessor had and this one did not come to stays noted in the inflight area.
        """
        self._quiet(self.loops[ring.index])
        base = ring.stop()
        self.loop.call_soon(self.pump)
        return base

    def _quiet(self, *loops: RequestLoop) -> None:
        """Wait until nothing of these queues is in flight; nothing else is begun meanwhile.

        In a drained section: what the graph holds back, a throttle say, is let out. The context is not to be had
        meanwhile, so whoever moves or closes the disk would wait too.
        """
        if not any(loop.in_flight for loop in loops):
            return
        self._quieting += 1
        try:
            with drained(*filter(None, (self.backend.node,))):
                wait_while(self.loop.context, lambda: any(loop.in_flight for loop in loops))
        finally:
            self._quieting -= 1

    def close(self) -> None:
        """Stop everything and give all fds and memory back."""
        self._quiet(*self.loops)
        self.set_channel(None)
        for ring in self.rings:
            ring.close()
            ring.queue.let_go()
        self.regions = []
        self.memory.clear()

    # Running

    def pump(self) -> None:
        """Carry out what the rings hold and tell the driver; come back when there is more.

        Kicks are asked for only when a round found nothing to do: a driver that keeps up is served without any.
        """
        if self._quieting:
            return
        live = [ring for ring in self.rings if ring.live]
        for _ in range(ROUNDS):
            if mapping.lost_pages() != self._lost_pages and self._lost():
                self.memory_lost()
                return
            self._collect()
            busy = progress = False
            for ring in live:
                busy |= self._run(ring)
                progress |= ring.publish()
            if not busy and not progress and not self._arm(live):
                return
        self.loop.call_soon(self.pump)

    def _lost(self) -> bool:
        """Whether the pages lost since the last look are this guest's; other front-ends lose theirs too."""
        self._lost_pages = mapping.lost_pages()
        return any(mapping.is_lost(region.buffer) for region in self.memory.regions)

    def _arm(self, rings: list[Ring]) -> bool:
        """Ask for kicks on all rings; true when one has something already, and may begin it."""
        more = False
        for ring in rings:
            more |= ring.queue.arm()
        return more and not self.backend.quiesce_counter

    def _run(self, ring: Ring) -> bool:
        """Carry out a batch of one ring's requests; true when there may be more."""
        loop = self.loops[ring.index]
        if not loop.pending() or not self._admit():
            return False
        batch = loop.batch()
        self._aim(loop)
        status = self._take(loop, batch)
        if status == BROKEN:
            ring.report_broken()
        if batch.bytes:
            self._carry(ring, loop, batch)
        for slow in batch.slow:
            co_enter(self.loop, self._carry_out(loop, slow))
        self._release()
        return status == BUSY

    def _take(self, loop: RequestLoop, batch: Batch) -> int:
        """Fill a batch, and begin with what is to be read and written here; return what `RequestLoop.pop` does.

        The interpreter's lock is let go at most once for what is popped: getting it back may take long.
        """
        if loop.fd >= 0:
            status = unlocked.turn(loop, batch)
            if status != ODD:
                return status
            loop.odd(batch)
        while (status := loop.pop(batch)) == ODD:
            loop.odd(batch)
        if batch.bytes:
            unlocked.begin(loop, batch)
        return status

    def _admit(self) -> bool:
        """Be counted by the backend as long as anything is in flight; false when the disk is being drained."""
        if self._admitted:
            return not self.backend.quiesce_counter
        self._admitted = self.backend.begin_io()
        return self._admitted

    def _release(self) -> None:
        """Be counted no more when nothing is in flight."""
        if self._admitted and not self._busy():
            self._admitted = False
            self.backend.end_io()

    def _busy(self) -> bool:
        """Whether anything was popped and not answered."""
        for loop in self.loops:
            if loop.in_flight:
                return True
        return False

    # Reads and writes of the file

    def _aim(self, loop: RequestLoop) -> None:
        """Tell a queue where the image is now: a file that may be read and written directly, or in the block graph."""
        direct = self.backend.direct
        fd = -1 if direct is None else direct.fd
        if fd != self._fd:
            self._fd = fd
            self._read_flags = self._write_flags = 0 if fd < 0 or is_memory(fd) else NOWAIT
        base = 0 if direct is None else direct.offset
        loop.aim(fd, base, self._read_flags, self._write_flags, self.disk.stable)

    def _carry(self, ring: Ring, loop: RequestLoop, batch: Batch) -> None:
        """Carry out what `turn` has left: some rows by worker threads, the rest here; tell the driver in between."""
        count = batch.transfers.count
        if batch.carried == 0:  # `begin` left all of it, since some is for worker threads
            for row in range(count):
                if batch.far[row]:
                    self._leave(loop, batch, row)
        start = 0
        while True:
            if batch.stopped:
                self._look_after(loop, batch, start)
            while batch.carried < count and batch.far[batch.carried]:
                batch.carried += 1
            start = batch.carried
            if start == count:
                return
            ring.publish()
            unlocked.carry(loop, batch, batch.near_end(start))

    def _look_after(self, loop: RequestLoop, batch: Batch, start: int) -> None:
        """Answer rows from `start` on that did not end well, or let them be run again where they may wait.

        Writes go to the page cache: they are made here where the file cannot tell whether they would block.
        """
        transfers = batch.transfers
        for row in range(start, batch.carried):
            if not batch.moves[row] or batch.done[row]:
                continue
            error = transfers.errors[row]
            if error == UNTOLD and transfers.writes[row]:
                self._write_flags = 0
                self._aim(loop)
                unlocked.run(transfers, loop.fd, row, 0, 0)
                error = transfers.errors[row]
            if error == AGAIN or error == UNTOLD:
                self._leave(loop, batch, row)
            else:
                self._answer(loop, batch, row, error)

    def _answer(self, loop: RequestLoop, batch: Batch, row: int, error: int) -> None:
        if error:
            trace.emit("blk.failed", type=batch.transfers.writes[row], error=os.strerror(error))
        loop.answer(batch, row, IOERR if error else OK)

    def _leave(self, loop: RequestLoop, batch: Batch, row: int) -> None:
        """Leave a row to a worker thread."""
        one = loop.split(batch, row)
        WORKERS.submit(partial(self._work, loop, one, loop.fd, DSYNC if self.disk.stable else 0))

    def _work(self, loop: RequestLoop, one: Batch, fd: int, write_flags: int) -> None:
        """In a worker thread: carry a row out, however long it takes."""
        unlocked.run(one.transfers, fd, 0, 0, write_flags)
        self._finished.append((loop, one))
        self.loop.call_threadsafe(self._collect)

    def _collect(self) -> None:
        """Answer what worker threads have done, all that there is."""
        if self._finished:
            while self._finished:
                loop, one = self._finished.popleft()
                self._answer(loop, one, 0, one.transfers.errors[0])
                loop.give_back(one)
            self._publish()

    # Requests of the block graph

    async def _carry_out(self, loop: RequestLoop, slow: Slow) -> None:
        node = self.backend.node
        status = IOERR if node is None else await carry_out(node, self.disk, slow)
        loop.answer(slow.batch, 0, status)
        loop.give_back(slow.batch)
        self._publish()

    def _publish(self) -> None:
        """Tell the driver what was done outside of `pump`."""
        for ring in self.rings:
            ring.publish()
        self._release()
