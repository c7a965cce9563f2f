"""A driver of a virtio block device: one request at a time, or many in flight on several queues.

Source: VIRTIO-1.2 5.2 (block device), 5.2.5 (initialization), 5.2.6 (device operation).

Modelled: every request of a device that is not zoned, any number of queues, indirect tables, scattered data. Not
modelled: zones, secure erase by a call of its own (`submit` sends any request).
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from outboard.errors import LocalError, ProtocolError
from outboard.frontend import front_end
from outboard.frontend.front_end import FrontEnd
from outboard.frontend.ram import PAGE
from outboard.machine.card.memory import Pool
from outboard.machine.disk import requests
from outboard.machine.disk.requests import Answer, Range, Refused, Request
from outboard.spec.virtio import Desc
from outboard.spec.virtio import Feature as RingFeature
from outboard.spec.virtio_blk import SECTOR, Config, Feature, ReqHeader, Status
from outboard.virtio.driver_queue import Extent, Table

FEATURES = (
    front_end.FEATURES
    | Feature.SIZE_MAX
    | Feature.SEG_MAX
    | Feature.RO
    | Feature.BLK_SIZE
    | Feature.FLUSH
    | Feature.TOPOLOGY
    | Feature.CONFIG_WCE
    | Feature.MQ
    | Feature.DISCARD
    | Feature.WRITE_ZEROES
)
"""Features that are acknowledged when offered, by default."""
CONFIG_BYTES = Config.offsetof("max_secure_erase_sectors")
"""Of the config space, all that a device without secure erase must have."""
NO_STATUS = 0xFF
"""What stands in the place of the status until the device writes it."""
_STATUS, _TABLE = ReqHeader.sizeof, 64
"""Where a request's page has the status byte and the indirect table; the header is first."""
MAX_PIECES = (PAGE - _TABLE) // Desc.sizeof - 2


@dataclass(eq=False)
class Pending:
    """A request in flight. answer: None until it is back."""

    request: Request
    queue: int
    page: int
    """Guest address of its header, status and table."""
    data: int
    answer: Answer | None = None


class Disk:
    """A disk that is driven from here. Use: `probe`, then `read`, `write`, …; or `submit` and `wait`.

    machine: a `FrontEnd` that runs, with FEATURES or fewer; every ring of it is a request queue. indirect: put chains
    into indirect tables, if that was negotiated. piece: bytes of a descriptor of data, at most; 0: as the device says.

    What the device refuses is a value for `submit`, `wait` and `ask`; `read` and its like raise `Refused`, a LocalError
    that names the request and the status. What the device must not do raises ProtocolError; silence, WaitTimeout.
    """

    def __init__(self, machine: FrontEnd, *, indirect: bool = True, piece: int = 0) -> None:
        self.machine = machine
        self.config = Config()
        self.piece = piece
        self.indirect = indirect and bool(machine.session.features & RingFeature.INDIRECT_DESC)
        self._pool = Pool(machine.ram)
        self._pending: list[dict[int, Pending]] = [{} for _ in machine.rings]
        """By the head of the chain, a dict each queue."""

    # What it is

    def probe(self) -> Config:
        """Read the config space and return it. Raises ProtocolError for one that cannot be."""
        data = self.machine.read_config(0, CONFIG_BYTES)
        if len(data) != CONFIG_BYTES:
            raise ProtocolError("GET_CONFIG", f"{CONFIG_BYTES} bytes", f"{len(data)}")
        self.config = Config.unpack(data + bytes(Config.sizeof - CONFIG_BYTES))
        size = self.block_size
        if size < SECTOR or size & (size - 1):
            raise ProtocolError("config.blk_size", f"a power of two from {SECTOR} on", f"{size}")
        if self.has(Feature.MQ) and self.config.num_queues < len(self.machine.rings):
            raise ProtocolError("config.num_queues", f"at least {len(self.machine.rings)}", f"{self.config.num_queues}")
        return self.config

    def has(self, feature: Feature) -> bool:
        """Whether a feature was negotiated."""
        return bool(self.machine.session.features & feature)

    @property
    def size(self) -> int:
        """The disk's size in bytes."""
        return self.config.capacity * SECTOR

    @property
    def block_size(self) -> int:
        """Bytes of a logical block."""
        return self.config.blk_size if self.has(Feature.BLK_SIZE) else SECTOR

    @property
    def read_only(self) -> bool:
        """Whether the device says that it cannot be written."""
        return self.has(Feature.RO)

    def set_writeback(self, on: bool) -> None:
        """Write config.writeback: whether writes may be cached. Raises LocalError where CONFIG_WCE is missing."""
        if not self.has(Feature.CONFIG_WCE):
            raise LocalError("the device cannot change its cache: CONFIG_WCE was not negotiated")
        self.machine.write_config(Config.offsetof("writeback"), bytes((on,)))

    # One at a time

    def ask(self, request: Request, queue: int = 0) -> Answer:
        """Send a request and wait for its answer."""
        return self.wait(self.submit(request, queue))

    def _ok(self, request: Request, queue: int) -> bytes:
        answer = self.ask(request, queue)
        if not answer.ok:
            raise Refused(request, answer.status)
        return answer.data

    def read(self, offset: int, length: int, queue: int = 0) -> bytes:
        """Return bytes of the disk; offset and length are whole sectors."""
        return self._ok(requests.read(offset, length), queue)

    def write(self, offset: int, data: bytes | memoryview, queue: int = 0) -> None:
        """Write whole sectors."""
        self._ok(requests.write(offset, data), queue)

    def flush(self, queue: int = 0) -> None:
        """Make what was written last."""
        self._ok(requests.flush(), queue)

    def discard(self, ranges: Iterable[Range], queue: int = 0) -> None:
        """Give up ranges (offset, length) in bytes."""
        self._ok(requests.discard(ranges), queue)

    def write_zeroes(self, ranges: Iterable[Range], unmap: bool = False, queue: int = 0) -> None:
        """Make ranges (offset, length) in bytes zero. unmap: they may be given up."""
        self._ok(requests.write_zeroes(ranges, unmap), queue)

    def get_id(self, queue: int = 0) -> str:
        """Return the device's ID string."""
        return self._ok(requests.get_id(), queue).partition(b"\0")[0].decode("ascii", "replace")

    # Many

    def submit(self, request: Request, queue: int = 0, *, kick: bool = True) -> Pending:
        """Put a request on a queue; waits for room when the queue is full. kick: tell the device now.

        Raises LocalError for a request that no chain of this device can hold, and for a queue that it does not have.
        """
        if not 0 <= queue < len(self._pending):
            raise LocalError(f"queue {queue}: this driver uses queues 0 to {len(self._pending) - 1}")
        page = self._pool.take(PAGE)
        size = len(request.out) + request.room
        data = self._pool.take(size) if size else 0
        pending = Pending(request, queue, page, data)
        try:
            readable, writable = self._lay_out(pending)
            head = self._add(queue, readable, writable, page)
        except BaseException:
            self._give_back(pending)
            raise
        self._pending[queue][head] = pending
        if kick:
            self.machine.kick(queue)
        return pending

    def _lay_out(self, pending: Pending) -> tuple[list[Extent], list[Extent]]:
        """Write what the device reads; return the extents of both parts of the chain."""
        ram, request, page = self.machine.ram, pending.request, pending.page
        ram.view(page, ReqHeader.sizeof)[:] = request.header
        ram.view(page + _STATUS, 1)[0] = NO_STATUS
        if request.out:
            ram.view(pending.data, len(request.out))[:] = request.out
        out = self._pieces(pending.data, len(request.out))
        room = self._pieces(pending.data + len(request.out), request.room)
        limit = min(MAX_PIECES, self.config.seg_max or 1) if self.has(Feature.SEG_MAX) else MAX_PIECES
        if len(out) + len(room) > limit:
            raise LocalError(f"a request of {len(out) + len(room)} pieces, the device takes {limit}")
        return [(page, ReqHeader.sizeof), *out], [*room, (page + _STATUS, 1)]

    def _pieces(self, guest_addr: int, length: int) -> list[Extent]:
        largest = self.config.size_max if self.has(Feature.SIZE_MAX) else 0
        step = min(filter(None, (self.piece, largest)), default=length) or 1
        return [(guest_addr + at, min(step, length - at)) for at in range(0, length, step)]

    def _add(self, queue: int, readable: Sequence[Extent], writable: Sequence[Extent], page: int) -> int:
        ring = self.machine.rings[queue].queue
        table = Table(page + _TABLE, self.machine.ram.view(page + _TABLE, PAGE - _TABLE)) if self.indirect else None
        need = 1 if table else len(readable) + len(writable)
        if need > ring.size:
            raise LocalError(f"a chain of {need} descriptors does not fit a ring of {ring.size}")
        while ring.free < need:
            self.machine.kick(queue)
            self._collect(queue, self.machine.wait_used(queue))
        return ring.add(readable, writable, table)

    def wait(self, pending: Pending) -> Answer:
        """Wait for one request's answer and return it; others of its queue are finished meanwhile."""
        if pending.answer is None and pending not in self._pending[pending.queue].values():
            raise LocalError("this request is not in flight")
        self.machine.kick(pending.queue)
        while pending.answer is None:
            self._collect(pending.queue, self.machine.wait_used(pending.queue))
        return pending.answer

    def wait_all(self, queues: Iterable[int] | None = None) -> None:
        """Wait until nothing is in flight on these queues, on any by default."""
        every = range(len(self._pending)) if queues is None else queues
        for queue in every:
            self.machine.kick(queue)
            while self._pending[queue]:
                self._collect(queue, self.machine.wait_used(queue, count=len(self._pending[queue])))

    def poll(self) -> int:
        """Finish what is back on any queue; return how many are still in flight."""
        for queue, ring in enumerate(self.machine.rings):
            self._collect(queue, ring.queue.collect())
        return self.in_flight

    @property
    def in_flight(self) -> int:
        """How many requests are not back, on all queues."""
        return sum(map(len, self._pending))

    def _collect(self, queue: int, used: Iterable[tuple[int, int]]) -> None:
        for head, written in used:
            pending = self._pending[queue].pop(head)
            request, ram = pending.request, self.machine.ram
            status = ram.view(pending.page + _STATUS, 1)[0]
            data = bytes(ram.view(pending.data + len(request.out), request.room)) if request.room else b""
            self._give_back(pending)
            if status == NO_STATUS:
                raise ProtocolError(f"request of type {request.type}", "a status byte", "none")
            if written > request.room + 1:
                raise ProtocolError("used element", f"at most {request.room + 1} bytes", f"{written}")
            pending.answer = Answer(status, data if status == Status.OK else b"", written)

    def _give_back(self, pending: Pending) -> None:
        self._pool.give_back(pending.page, PAGE)
        if pending.data:
            self._pool.give_back(pending.data, len(pending.request.out) + pending.request.room)


@contextmanager
def attached(
    path: str | os.PathLike[str],
    queues: int = 1,
    queue_size: int = 128,
    *,
    features: int = FEATURES,
    indirect: bool = True,
    piece: int = 0,
    **options: Any,
) -> Iterator[Disk]:
    """Yield the disk behind a back-end's socket, probed, and let go of it in the end. options: see `FrontEnd`.

    Raises LocalError for less than one queue.
    """
    if queues < 1:
        raise LocalError(f"a disk is driven by 1 queue or more, got {queues}")
    with FrontEnd(queue_sizes=(queue_size,) * queues, features=features, **options) as machine:
        machine.connect(path)
        machine.negotiate()
        machine.start()
        disk = Disk(machine, indirect=indirect, piece=piece)
        disk.probe()
        yield disk
