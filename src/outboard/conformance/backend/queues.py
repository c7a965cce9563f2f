"""Virtqueues: chains of every form, notifications, indexes that wrap, and rings that cannot be.

Source: VIRTIO-1.2 2.7 (split virtqueues).
"""

import os
import struct
from collections.abc import Callable, Sequence

from outboard.conformance.backend.bench import Bench
from outboard.conformance.backend.machine import Machine
from outboard.conformance.check import MUST, ROBUSTNESS, SHOULD, VHOST_USER, VIRTIO, Checks, NotApplicable, expect
from outboard.frontend.vmm import FEATURES
from outboard.spec.vhost_user_gpu import Req as GpuReq
from outboard.spec.virtio import Desc, Feature
from outboard.spec.virtio_gpu import Cmd, CtrlHdr
from outboard.virtio.driver_queue import INDIRECT, NEXT, WRITE, DriverQueue

checks = Checks()
COMMAND = CtrlHdr(Cmd.GET_DISPLAY_INFO).pack()
SMALL = 4
"""Descriptors of a ring that is shorter than the indirect table it holds."""
PLAIN = FEATURES & ~(Feature.EVENT_IDX | Feature.INDIRECT_DESC)


def with_feature(bench: Bench, feature: Feature, **options: object) -> Machine:
    """Return a machine with a ring feature agreed. Raises NotApplicable."""
    machine = bench.machine(start=False, **options)
    if not machine.vmm.session.features_offered & feature:
        raise NotApplicable(f"the back-end does not offer {feature.name}")
    machine.start()
    return machine


# Chains


@checks.check("queue.chain.pieces", VIRTIO, "2.7.4", MUST)
def chain_pieces(bench: Bench) -> None:
    """Requests and responses may be cut into descriptors anywhere: no framing is assumed."""
    machine = bench.machine(piece=7, features=PLAIN)
    machine.sees(32, 32, machine.show(32, 32))


@checks.check("queue.chain.single_bytes", VIRTIO, "2.7.4", MUST)
def chain_single_bytes(bench: Bench) -> None:
    """A request of 32 descriptors of a byte and less is put together."""
    machine = bench.machine(features=PLAIN)
    ram, ring = machine.vmm.ram, machine.vmm.rings[0]
    places = [ram.allocate(1, 1) for _ in COMMAND]
    for place, value in zip(places, COMMAND, strict=True):
        ram.view(place, 1)[0] = value
    ring.queue.add([(place, 1) for place in places], [(ram.allocate(512), 512)])
    ring.kick()
    ((_, written),) = machine.used()
    expect(written == 408, "408 bytes of display info", written)


@checks.check("queue.chain.zero_length", VIRTIO, "2.7.5", ROBUSTNESS)
def chain_zero_length(bench: Bench) -> None:
    """Descriptors of length 0 are passed over."""
    machine = bench.machine(features=PLAIN)
    ram, ring = machine.vmm.ram, machine.vmm.rings[0]
    at, room = ram.allocate(24), ram.allocate(512)
    ram.view(at, 24)[:] = COMMAND
    ring.queue.add(
        [(at, 0), (at, 10), (at, 0), (at + 10, 14), (at, 0)], [(room, 0), (room, 24), (room, 0), (room, 488)]
    )
    ring.kick()
    ((_, written),) = machine.used()
    expect(written == 408, "408 bytes of display info", written)


@checks.check("queue.chain.full", VIRTIO, "2.7.5", MUST)
def chain_full(bench: Bench) -> None:
    """A chain that takes every descriptor of its queue is executed."""
    machine = bench.machine(features=PLAIN, queue_sizes=(16, 16))
    ram, ring = machine.vmm.ram, machine.vmm.rings[0]
    at, room = ram.allocate(24), ram.allocate(512)
    ram.view(at, 24)[:] = COMMAND
    pieces = [(at + 2 * part, 2) for part in range(12)]
    ring.queue.add(pieces, [(room + 128 * part, 128) for part in range(4)])
    ring.kick()
    ((_, written),) = machine.used()
    expect(written == 408, "408 bytes of display info", written)


@checks.check("queue.indirect.all", VIRTIO, "2.7.5.3", MUST)
def indirect_all(bench: Bench) -> None:
    """Commands in indirect tables, as Linux sends all of them, are executed."""
    machine = with_feature(bench, Feature.INDIRECT_DESC, indirect=True)
    machine.sees(32, 32, machine.show(32, 32))


@checks.check("queue.indirect.long", VIRTIO, "2.7.5.3", MUST)
def indirect_long(bench: Bench) -> None:
    """Requests and responses cut into pieces in an indirect table are put together."""
    machine = with_feature(bench, Feature.INDIRECT_DESC, indirect=True, piece=3)
    machine.sees(32, 32, machine.show(32, 32))


@checks.check("queue.indirect.longer_than_ring", VIRTIO, "2.7.5.3", SHOULD)
def indirect_longer_than_ring(bench: Bench) -> None:
    """An indirect table may have more descriptors than its queue, as Linux makes them."""
    machine = bench.machine(queue_sizes=(SMALL, SMALL), indirect=True, piece=4)
    if not machine.vmm.session.features & Feature.INDIRECT_DESC:
        raise NotApplicable("the back-end does not offer INDIRECT_DESC")
    machine.works()


@checks.check("queue.many", VIRTIO, "2.7.13", MUST)
def many(bench: Bench) -> None:
    """Twenty commands with one kick are all executed, in order."""
    machine = bench.machine()
    ring = machine.vmm.rings[0]
    ram = machine.vmm.ram
    for at in range(20):
        place = ram.allocate(40)
        request = CtrlHdr(Cmd.RESOURCE_CREATE_2D).pack() + struct.pack("<4I", at + 1, 2, 4, 4)
        ram.view(place, 40)[:] = request
        ring.queue.add([(place, 40)], [(ram.allocate(24), 24)])
    ring.kick()
    machine.until(lambda: ring.queue.used_idx == 20, "20 used elements")
    expect(all(written == 24 for _, written in ring.queue.collect()), "24 bytes in each", "something else")


@checks.check("queue.out_of_wait", VIRTIO, "2.7.13", SHOULD)
def cursor_while_waiting(bench: Bench) -> None:
    """The cursor queue is served while a command of the control queue waits for the display."""
    machine = bench.machine()
    machine.create(64, 64)
    mark = machine.settle()
    del machine.watch.answers[GpuReq.GET_DISPLAY_INFO]
    machine.put(COMMAND)
    machine.message(GpuReq.GET_DISPLAY_INFO, mark)
    machine.driver.move_cursor(0, 1, 1, 2)


# Notifications


@checks.check("queue.wrap", VIRTIO, "2.7.6", MUST)
def wrap(bench: Bench) -> None:
    """Indexes run on from 65535 to 0."""
    machine = bench.machine(start=False)
    vmm, ring = machine.vmm, machine.vmm.rings[0]
    start = 65530

    def from_there() -> None:
        ring.base = start
        ring.queue.put_avail_idx(start)
        ring.queue.used16[1] = ring.queue.last_used = start
        ring.queue.used16[-1] = start  # avail_event, as a device leaves it that has got this far

    vmm.at_start = from_there
    machine.start()
    for _ in range(6):
        machine.works()
    expect(vmm.stop()[0] == 6, "index 6 after 12 commands from 65530 on", ring.base)


# Rings that cannot be

Descriptor = tuple[int, int, int, int]
"""Address relative to good memory, or absolute from 1 << 39 on; length, flags, next."""
Harm = Callable[[Machine, DriverQueue], None]


def _broken(check_id: str, says: str, harm: Harm, features: int = PLAIN, error: bool = False) -> None:
    """A check that a malformed ring does not end the back-end. error: and one that its error eventfd is signalled."""

    def harmed(bench: Bench) -> Machine:
        machine = bench.machine(features=features)
        machine.works()
        harm(machine, machine.vmm.rings[0].queue)
        kick(machine)
        for _ in range(2):
            machine.vmm.read_config()
        return machine

    def lives(bench: Bench) -> None:
        harmed(bench)

    def told(bench: Bench) -> None:
        machine = harmed(bench)
        machine.until(lambda: machine.vmm.broken(0), "the ring's error eventfd, signalled")

    checks.add(f"queue.broken.{check_id}", VIRTIO, "2.7", ROBUSTNESS, f"{says} does not end the back-end.", lives)
    if error:
        checks.add(f"queue.error.{check_id}", VHOST_USER, "VHOST_USER_SET_VRING_ERR", SHOULD,
                   f"{says} is told by the ring's error eventfd.", told)  # fmt: skip


def kick(machine: Machine) -> None:
    """Kick the control queue, whether the device asks for it or not."""
    os.eventfd_write(machine.vmm.rings[0].kick_fd, 1)


def _offer(queue: DriverQueue, head: int) -> None:
    queue.put_head(head)
    queue.put_avail_idx(queue.avail_idx)


def _chain(*descriptors: Descriptor) -> Harm:
    """A harm: descriptors 0, 1, ..., offered from 0 on."""

    def harm(machine: Machine, queue: DriverQueue) -> None:
        good = machine.vmm.ram.allocate(4096)
        machine.vmm.ram.view(good, 24)[:] = COMMAND
        for at, (addr, length, flags, after) in enumerate(descriptors):
            queue.write_desc(at, addr if addr >= 1 << 39 else good + addr, length, flags, after)
        _offer(queue, 0)

    return harm


def _table(entries: Sequence[Descriptor], length: int | None = None) -> Harm:
    """A harm: an indirect table of such descriptors. length: what its descriptor says, in bytes."""

    def harm(machine: Machine, queue: DriverQueue) -> None:
        ram = machine.vmm.ram
        table, good = ram.allocate(4096), ram.allocate(4096)
        ram.view(good, 24)[:] = COMMAND
        for at, (addr, size, flag, after) in enumerate(entries):
            ram.view(table + Desc.sizeof * at, Desc.sizeof)[:] = Desc(good + addr, size, flag, after).pack()
        queue.write_desc(0, table, Desc.sizeof * len(entries) if length is None else length, INDIRECT, 0)
        _offer(queue, 0)

    return harm


NOWHERE = 1 << 40
_broken("head", "A head beyond the queue's size", lambda _, queue: _offer(queue, 0xFFFF), error=True)
_broken("too_many", "An available index more than a queue's size ahead",
        lambda _, queue: queue.put_avail_idx(queue.avail_idx + queue.size + 1), error=True)  # fmt: skip
_broken("loop", "A chain that loops", _chain((0, 24, NEXT, 1), (0, 24, NEXT, 0)), error=True)
_broken("self_loop", "A descriptor whose successor is itself", _chain((0, 24, NEXT, 0)))
_broken("next", "A successor beyond the queue's size", _chain((0, 24, NEXT, 0x8000)))
_broken("address", "A descriptor outside the guest's memory", _chain((NOWHERE, 24, NEXT, 1), (64, 64, WRITE, 0)),
        error=True)  # fmt: skip
_broken(
    "length", "A descriptor that reaches over the end of memory", _chain((0, 0xFFFF_FFFF, NEXT, 1), (64, 64, WRITE, 0))
)
_broken("order", "A readable descriptor behind a writable one",
        _chain((64, 64, WRITE | NEXT, 1), (0, 24, 0, 0)))  # fmt: skip
BOTH = PLAIN | Feature.INDIRECT_DESC
_broken("table_length", "An indirect table whose length is no multiple of 16", _table([(0, 24, 0, 0)], 24), BOTH)
_broken("table_empty", "An indirect table of no bytes", _table([], 0), BOTH)
_broken("table_next", "A successor beyond the indirect table", _table([(0, 24, NEXT, 5)]), BOTH)
_broken("table_loop", "An indirect table that loops", _table([(0, 24, NEXT, 0)]), BOTH)
_broken("table_nested", "An indirect table in an indirect table", _table([(0, 16, INDIRECT, 0)]), BOTH)
_broken("table_huge", "An indirect table of 4 GiB", _table([(0, 24, 0, 0)], 0xFFFF_FFF0), BOTH)


@checks.check("queue.broken.cursor_alone", VIRTIO, "2.7", ROBUSTNESS)
def cursor_alone(bench: Bench) -> None:
    """A malformed cursor queue does not stop the control queue."""
    machine = bench.machine()
    ring = machine.vmm.rings[1]
    _offer(ring.queue, 0xFFFF)
    os.eventfd_write(ring.kick_fd, 1)
    machine.vmm.read_config()
    machine.works()


@checks.check("queue.broken.reset", VIRTIO, "2.4", SHOULD)
def broken_reset(bench: Bench) -> None:
    """After a reset a queue that was malformed works again."""
    machine = bench.machine()
    _offer(machine.vmm.rings[0].queue, 0xFFFF)
    kick(machine)
    machine.vmm.read_config()
    machine.vmm.reset()
    machine.start()
    machine.works()
