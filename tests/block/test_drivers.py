"""Drivers that are no files: memory, null, copy-on-read, throttle, quorum."""

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outboard import trace
from outboard.aio import co_enter
from outboard.aio.simulator import Simulator
from outboard.block.backend import BlockBackend
from outboard.block.driver import Driver, failed
from outboard.block.drivers import CopyOnRead, Memory, NullCo, Quorum, Throttle
from outboard.block.graph import BACKING, DATA, FILE, Node, attach_child, drained
from outboard.errors import LocalError

pytestmark = pytest.mark.alike


def on(driver: Driver, *below: tuple[Driver, object]) -> BlockBackend:
    """A backend on a driver that uses others in roles."""
    top, backend = Node("top", driver), BlockBackend("disk0")
    for number, (other, role) in enumerate(below):
        attach_child(top, Node(f"below{number}", other), role)
    backend.insert(top)
    return backend


def fails(backend, coro) -> int:
    with pytest.raises(OSError) as failure:
        backend.run(coro)
    return failure.value.errno


class Broken(Memory):
    """Fails requests with an error while it has one. reads: how many came."""

    error = None
    reads = 0

    def _check(self):
        if self.error:
            raise failed(self.error)

    async def preadv(self, offset, buffers):
        self.reads += 1
        self._check()
        await super().preadv(offset, buffers)

    async def pwritev(self, offset, buffers):
        self._check()
        await super().pwritev(offset, buffers)

    async def flush(self):
        self._check()


# Null


def test_null_reads_zeros():
    backend = on(NullCo(4096))
    backend.pwrite(0, b"forgotten")
    assert backend.pread(0, 4096) == bytes(4096) and backend.length == 4096
    for coro in (backend.flush(), backend.pdiscard(0, 10), backend.pwrite_zeroes(0, 10), backend.truncate(10)):
        backend.run(coro)
    assert backend.length == 10


def test_null_takes_its_time():
    sim = Simulator()
    ends = []

    def start():
        backend = BlockBackend("disk0", sim.main)
        backend.insert(Node("null", NullCo(10, latency_ns=10_000_000), sim.main))

        async def read():
            await backend.preadv(0, [bytearray(1)])
            ends.append(round(sim.clock_ns / 1e6))

        co_enter(backend.home, read())

    in_simulation(sim, start)
    assert ends == [10]


# Memory over a backing node


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 9),
    st.lists(st.tuples(st.sampled_from(["read", "write", "zero", "keep"]), st.integers(0, 39), st.integers(0, 40))),
)
def test_an_overlay_is_as_if_all_were_one(cluster, calls):
    contents = bytes(range(1, 31))
    overlay, below = Memory(40, cluster=cluster), Memory(30)
    below.data[:] = contents
    backend = on(overlay, (below, BACKING))
    keeps = on(CopyOnRead())
    attach_child(keeps.node, backend.node, FILE)
    expected = bytearray(contents + bytes(10))
    for number, (call, offset, length) in enumerate(calls, 100):
        length = min(length, 40 - offset)
        match call:
            case "read":
                assert backend.pread(offset, length) == expected[offset : offset + length]
            case "keep":
                assert keeps.pread(offset, length) == expected[offset : offset + length]
                touched = range(offset // cluster, -(-(offset + length) // cluster)) if length else ()
                assert set(touched) <= overlay.own
            case "write":
                backend.pwrite(offset, bytes([number % 256]) * length)
                expected[offset : offset + length] = bytes([number % 256]) * length
            case "zero":
                backend.run(backend.pwrite_zeroes(offset, length))
                expected[offset : offset + length] = bytes(length)
    assert backend.pread(0, 40) == expected and below.data == contents


@pytest.mark.parametrize("lengths", [(20, 30), (3, 30), (30, 7, 30)])
def test_what_an_overlay_gains_is_zeros(lengths):
    below = Memory(30)
    below.data[:] = b"x" * 30
    backend = on(Memory(10, cluster=8), (below, BACKING))
    for length in lengths:
        backend.run(backend.truncate(length))
    kept = min(10, *lengths)
    assert backend.pread(0, lengths[-1]) == b"x" * kept + bytes(lengths[-1] - kept)


def test_copy_on_read_reads_the_backing_once():
    below = Broken(100)
    below.data[:] = b"y" * 100
    overlay, keeps = Node("overlay", Memory(100, cluster=10)), BlockBackend("disk0")
    attach_child(overlay, Node("below", below), BACKING)
    top = Node("top", CopyOnRead())
    attach_child(top, overlay, FILE)
    keeps.insert(top)
    assert [keeps.pread(25, 10), keeps.pread(20, 20)] == [b"y" * 10, b"y" * 20]
    assert below.reads == 1 and overlay.driver.own == {2, 3}
    below.error = errno.EIO
    assert keeps.pread(30, 10) == b"y" * 10
    assert fails(keeps, keeps.preadv(0, [bytearray(1)])) == errno.EIO


def test_copy_on_read_keeps_nothing_in_what_is_read_only():
    backend = on(CopyOnRead(), (Memory(10, read_only=True), FILE))
    assert backend.pread(0, 10) == bytes(10) and backend.read_only


@pytest.mark.parametrize(("size", "cluster"), [(-1, 1), (1, 0)])
def test_sizes_that_make_no_sense(size, cluster):
    with pytest.raises(LocalError, match="memory: expected a size from 0 and clusters from 1 byte on"):
        Memory(size, cluster=cluster)


# Throttle, by the clock of the simulator


def in_simulation(sim, call):
    sim.main = sim.context("main")
    sim.main.bh_schedule_oneshot(call)
    sim.run()


def times_ms(limits, *calls, drain_ms=None):
    """Make requests at once, (`read` or `write`, bytes); return when each has ended, in milliseconds."""
    sim = Simulator()
    ends = [0] * len(calls)

    def start():
        throttle, disk = Node("throttle", Throttle(**limits), sim.main), Node("disk", NullCo(), sim.main)
        attach_child(throttle, disk, FILE)
        backend = BlockBackend("disk0", sim.main)
        backend.insert(throttle)

        async def one(number, way, length):
            request = backend.preadv if way == "read" else backend.pwritev
            await request(0, [bytearray(length)])
            ends[number] = round(sim.clock_ns / 1e6)

        for number, (way, length) in enumerate(calls):
            co_enter(backend.home, one(number, way, length))
        if drain_ms is not None:
            sim.main.call_later(drain_ms / 1000, lambda: drained(throttle).__enter__())

    in_simulation(sim, start)
    return ends


READ, WRITE = ("read", 1), ("write", 1)


@pytest.mark.parametrize(
    ("limits", "calls", "expected"),
    [
        ({}, [READ] * 3, [0, 0, 0]),
        ({"iops_total": 10}, [READ, WRITE, READ, WRITE], [0, 0, 100, 200]),
        ({"iops_total": 10}, [READ] * 4, [0, 0, 100, 200]),
        ({"iops_read": 10}, [READ, WRITE] * 3, [0, 0, 0, 0, 100, 0]),
        ({"iops_write": 10}, [WRITE] * 3, [0, 0, 100]),
        ({"bps_total": 1000}, [("read", 500), ("read", 500), ("read", 1)], [0, 400, 900]),
        ({"bps_write": 1000}, [("read", 5000), ("write", 600), ("write", 1)], [0, 0, 500]),
        ({"iops_total": 10, "iops_total_max": 100}, [READ] * 103, [0] * 101 + [100, 200]),
        ({"iops_total": 100, "bps_total": 1000}, [("read", 600), ("read", 1), ("read", 1)], [0, 500, 501]),
    ],
)
def test_when_requests_are_let_through(limits, calls, expected):
    assert times_ms(limits, *calls) == expected


def test_a_drained_section_lets_all_through():
    assert times_ms({"iops_total": 1}, *[READ] * 5, drain_ms=30) == [0, 30, 30, 30, 30]


def test_other_requests_are_throttled_as_writes():
    sim, ends = Simulator(), []

    def start():
        throttle, disk = Node("throttle", Throttle(iops_write=10), sim.main), Node("disk", NullCo(), sim.main)
        attach_child(throttle, disk, FILE)
        backend = BlockBackend("disk0", sim.main)
        backend.insert(throttle)

        async def all_of_them():
            for coro in (
                backend.pwrite_zeroes(0, 9),
                backend.pdiscard(0, 9),
                backend.pwritev(0, [b"x"]),
                backend.flush(),
            ):
                await coro
                ends.append(round(sim.clock_ns / 1e6))

        co_enter(backend.home, all_of_them())

    in_simulation(sim, start)
    assert ends == [0, 0, 100, 100]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"iops": 1}, "throttle: expected limits of iops_total, .*, got iops"),
        ({"iops_total": -1}, "expected iops_total from 0 on"),
        ({"bps_read": 10, "bps_read_max": 5}, "bps_read_max not below it, got 10, 5"),
        ({"bps_read_max": -5}, "got 0, -5"),
    ],
)
def test_limits_that_make_no_sense(limits, words):
    with pytest.raises(LocalError, match=words):
        Throttle(**limits)


# Quorum


@pytest.fixture
def told():
    events = []

    def hook(event, fields):
        if event.startswith("quorum"):
            events.append((event, fields.get("node"), fields.get("error")))

    trace.listen(hook)
    yield events
    trace.unlisten(hook)


def quorum(threshold=2, copies=3, **options):
    disks = [Broken(100) for _ in range(copies)]
    return on(Quorum(threshold, **options), *((disk, DATA) for disk in disks)), disks


def test_copies_that_agree(told):
    backend, disks = quorum()
    backend.pwrite(10, b"agreed")
    assert all(disk.data[10:16] == b"agreed" for disk in disks) and backend.pread(10, 6) == b"agreed"
    backend.run(backend.pwrite_zeroes(11, 2))
    backend.run(backend.flush())
    backend.run(backend.pdiscard(0, 100))
    assert backend.pread(10, 6) == b"a\0\0eed" and told == [] and backend.length == 100


def test_one_that_says_something_else_is_outvoted(told):
    backend, disks = quorum()
    backend.pwrite(0, b"right")
    disks[1].data[:5] = b"wrong"
    assert backend.pread(0, 5) == b"right" and disks[1].data[:5] == b"wrong"
    assert told == [("quorum_report_bad", "below1", None)]


def test_what_is_outvoted_is_rewritten():
    backend, disks = quorum(rewrite_corrupted=True)
    backend.pwrite(0, b"right")
    disks[2].data[:5] = b"wrong"
    assert backend.pread(0, 5) == b"right"
    with drained(backend.node):
        assert disks[2].data[:5] == b"right"


def test_what_is_rewritten_does_not_undo_a_write():
    backend, disks = quorum(rewrite_corrupted=True)
    disks[0].data[:5] = b"wrong"

    async def both():
        await backend.preadv(0, [bytearray(5)])
        await backend.pwritev(0, [b"newer"])

    backend.run(both())
    with drained(backend.node):
        assert all(disk.data[:5] == b"newer" for disk in disks)


def test_no_majority(told):
    backend, disks = quorum()
    for number, disk in enumerate(disks):
        disk.data[0] = number
    assert fails(backend, backend.preadv(0, [bytearray(1)])) == errno.EIO
    assert told == [("quorum_failure", "top", None)]


@pytest.mark.parametrize("broken", [1, 2, 3])
def test_copies_that_fail(told, broken):
    backend, disks = quorum()
    for disk, number in zip(disks[:broken], (errno.ENOSPC, errno.EIO, errno.EIO), strict=False):
        disk.error = number
    calls = [backend.preadv(0, [bytearray(1)]), backend.pwritev(0, [b"x"]), backend.flush()]
    if broken == 1:
        for coro in calls:
            backend.run(coro)
        assert told == [("quorum_report_bad", "below0", "[Errno 28] No space left on device")] * 3
    else:
        assert [fails(backend, coro) for coro in calls] == [errno.ENOSPC if broken == 2 else errno.EIO] * 3
        assert told.count(("quorum_failure", "top", None)) == 3


def test_first_in_first_out(told):
    backend, disks = quorum(threshold=1, read_pattern="fifo")
    disks[1].data[:1] = b"x"
    assert backend.pread(0, 1) == b"\0" and disks[1].reads == 0
    disks[0].error = errno.EIO
    assert backend.pread(0, 1) == b"x" and disks[2].reads == 0
    for disk in disks:
        disk.error = errno.ENODEV
    assert fails(backend, backend.preadv(0, [bytearray(1)])) == errno.ENODEV
    assert [event[1] for event in told] == ["below0", "below0", "below1", "below2"]


def test_a_quorum_that_is_not_one():
    for threshold, pattern in ((0, "quorum"), (1, "any")):
        with pytest.raises(LocalError, match="quorum: expected a threshold from 1 on and a read pattern of"):
            Quorum(threshold, read_pattern=pattern)
    few = Node("few", Quorum(2))
    attach_child(few, Node("one", Memory(10)), DATA)
    with pytest.raises(OSError, match="Invalid argument"):
        few.driver.length()
    attach_child(few, Node("two", Memory(20)), DATA)
    with pytest.raises(OSError, match="Input/output"):
        few.driver.length()


def test_a_quorum_has_another_length():
    backend, disks = quorum()
    backend.run(backend.truncate(50))
    assert backend.length == 50 and {len(disk.data) for disk in disks} == {50}


def test_serialising_requests_hold_up_what_overlaps():
    """Of two that wait for each other's range, the one that holds nothing begins first."""
    from outboard.block.requests import Request

    one, two = Request(0, 10, True), Request(5, 15, False)
    assert two.conflicts(one) and one.conflicts(two) and not one.conflicts(one)
    two.held = True
    assert two.conflicts(one) and not one.conflicts(two)
    for apart in (Request(10, 20, True), Request(0, 0, False)):
        assert not apart.conflicts(Request(0, 10, True)), apart
