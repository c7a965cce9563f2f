"""The mirror job: states, both copy modes, errors, moves, on real contexts."""

import errno

import pytest

from outboard import trace
from outboard.aio import IOThread, main_context
from outboard.aio.wait import wait_while
from outboard.block.backend import BlockBackend
from outboard.block.driver import failed
from outboard.block.drivers import Memory, NullCo
from outboard.block.graph import Node, drained, try_set_aio_context
from outboard.block.jobs import STATES, Job
from outboard.block.mirror import BACKGROUND, WRITE_BLOCKING, Mirror
from outboard.errors import LocalError

pytestmark = pytest.mark.alike

SIZE = 10_000
MODES = pytest.mark.parametrize("mode", [BACKGROUND, WRITE_BLOCKING])


class Flaky(Memory):
    error = None

    async def preadv(self, offset, buffers):
        if self.error:
            raise failed(self.error)
        await super().preadv(offset, buffers)

    async def pwritev(self, offset, buffers):
        if self.error:
            raise failed(self.error)
        await super().pwritev(offset, buffers)


class Pair:
    """A disk in use and a node to mirror it to."""

    def __init__(self, ctx=None, length=SIZE):
        ctx = ctx or main_context()
        self.source, self.target = Node("source", Flaky(SIZE), ctx), Node("target", Flaky(length))
        self.source.driver.data[:] = bytes(number % 251 for number in range(SIZE))
        self.backend = BlockBackend("disk0", ctx)
        self.backend.insert(self.source)

    def start(self, mode=BACKGROUND) -> Mirror:
        job = Mirror("job0", self.source, self.target, copy_mode=mode, chunk_bytes=1024)
        job.start()
        return job


@pytest.fixture
def pair():
    return Pair()


def until(job, *states):
    wait_while(main_context(), lambda: job.status not in states)
    assert job.status in states


@MODES
def test_the_disk_goes_on_at_the_target(pair, mode):
    job = pair.start(mode)
    assert pair.backend.node is job.top and pair.backend.length == SIZE
    pair.backend.pwrite(1000, b"early")
    until(job, "ready")
    pair.backend.pwrite(2000, b"late")
    pair.backend.run(pair.backend.pwrite_zeroes(3000, 500))
    pair.backend.run(pair.backend.pdiscard(5000, 500))
    job.complete()
    job.wait()
    assert job.status == "concluded" and pair.backend.node is pair.target and pair.source.parents == []
    assert pair.source.driver.data == pair.target.driver.data
    assert pair.backend.pread(1000, 5) == b"early" and pair.backend.pread(2000, 4) == b"late"
    pair.backend.pwrite(0, b"new")
    assert pair.source.driver.data[:3] != b"new"


@MODES
@pytest.mark.parametrize("when", ["created", "running", "ready", "standby"])
def test_a_cancelled_job_leaves_the_disk_where_it_was(pair, mode, when):
    job = Mirror("job0", pair.source, pair.target, copy_mode=mode)
    if when != "created":
        job.start()
    if when in ("ready", "standby"):
        until(job, "ready")
    if when == "standby":
        job.pause()
        job.wake()
        until(job, "standby")
    job.cancel()
    if when == "standby":
        job.resume()
    job.wait()
    assert job.status == "concluded" and pair.backend.node is pair.source and pair.target.parents == []
    assert pair.source.parents == [pair.backend.root]
    pair.backend.pwrite(0, b"goes on")
    assert pair.backend.pread(0, 7) == b"goes on"


@MODES
def test_it_moves_with_the_disk(mode):
    with IOThread("io0") as one, IOThread("io1") as two:
        pair = Pair(one.context)
        job = pair.start(mode)
        assert pair.target.ctx is job.ctx is one.context, "the target comes to the source"
        for number in range(60):
            pair.backend.pwrite(number * 100, b"number %d" % number)
            pair.backend.try_set_aio_context((one.context, two.context, main_context())[number % 3])
            assert pair.target.ctx is job.ctx is pair.source.ctx is pair.backend.ctx
        until(job, "ready")
        job.complete()
        job.wait()
        assert pair.source.driver.data == pair.target.driver.data and pair.backend.node is pair.target
        pair.backend.try_set_aio_context(main_context())


def test_a_section_stops_it(pair):
    job = pair.start()
    with drained(pair.target):
        left = list(job.chunks.dirty)
        assert job.pause_count and not job.active()
        for _ in range(5):
            main_context().poll(False)
        assert list(job.chunks.dirty) == left
    until(job, "ready")
    job.cancel()
    job.wait()


@pytest.mark.parametrize("side", ["source", "target"])
def test_an_error_of_a_copy_ends_it(pair, side):
    getattr(pair, side).driver.error = errno.ENOSPC
    job = pair.start()
    with pytest.raises(OSError) as failure:
        job.wait()
    assert failure.value.errno == errno.ENOSPC and job.status == "concluded"
    assert pair.backend.node is pair.source and pair.target.parents == []


def test_an_error_of_the_target_is_not_the_users(pair):
    job = pair.start(WRITE_BLOCKING)
    until(job, "ready")
    pair.target.driver.error = errno.EIO
    pair.backend.pwrite(0, b"kept")
    with pytest.raises(OSError, match="Input/output"):
        job.wait()
    assert pair.backend.node is pair.source and pair.backend.pread(0, 4) == b"kept"


def test_an_error_of_the_source_is_the_users(pair):
    job = pair.start(WRITE_BLOCKING)
    until(job, "ready")
    pair.source.driver.error = errno.EIO
    with pytest.raises(OSError, match="Input/output"):
        pair.backend.pwrite(0, b"lost")
    pair.source.driver.error = None
    job.complete()
    job.wait()
    assert pair.source.driver.data == pair.target.driver.data


def test_verbs_have_their_states(pair):
    job = Mirror("job0", pair.source, pair.target)
    with pytest.raises(LocalError, match=r"^Job 'job0' in state 'created' cannot accept command verb 'complete'$"):
        job.complete()
    job.start()
    with pytest.raises(LocalError, match="cannot accept command verb 'start'"):
        job.start()
    until(job, "ready")
    job.complete()
    job.wait()
    for verb in (job.start, job.complete, job.cancel):
        with pytest.raises(LocalError, match="in state 'concluded' cannot accept"):
            verb()


def test_states_are_told(pair):
    told = []

    def hook(event, fields):
        if event in ("job_status_change", "block_job_ready"):
            told.append(fields.get("status", event))

    trace.listen(hook)
    try:
        job = pair.start()
        until(job, "ready")
        with drained(pair.source):
            pass
        job.pause()
        job.wake()
        until(job, "standby")
        job.resume()
        until(job, "ready")
        job.cancel()
        job.wait()
    finally:
        trace.unlisten(hook)
    assert told == ["running", "ready", "block_job_ready", "standby", "ready", "aborting", "concluded"]
    assert all(after in STATES for states in STATES.values() for after in states)


def test_targets_that_do_not_fit():
    for length, driver in ((SIZE - 1, None), (SIZE, Memory(SIZE, read_only=True))):
        pair = Pair(length=length)
        target = Node("other", driver) if driver else pair.target
        with pytest.raises(LocalError, match=f"mirror: expected a target that can be written and has {SIZE} bytes"):
            Mirror("job0", pair.source, target)
        assert pair.backend.node is pair.source
    with pytest.raises(LocalError, match="expected copy mode background or write-blocking, got 'fast'"):
        Mirror("job0", pair.source, pair.source, copy_mode="fast")


def test_a_target_that_must_stay_elsewhere():
    with IOThread("io0") as one, IOThread("io1") as two:
        pair = Pair(one.context)
        pair.backend.attach_dev("ide0")
        try_set_aio_context(pair.target, two.context)
        other = BlockBackend("disk1", two.context)
        other.insert(pair.target)
        other.attach_dev("ide1")
        with pytest.raises(LocalError, match="'disk1', in use by ide1"):
            Mirror("job0", pair.source, pair.target)
        assert pair.backend.node is pair.source and pair.source.parents == [pair.backend.root]
        assert pair.source.ctx is one.context and pair.target.ctx is two.context
        pair.backend.allow_aio_context_change = True
        job = Mirror("job0", pair.source, pair.target)
        assert pair.source.ctx is pair.backend.ctx is job.ctx is two.context, "then the source comes"
        job.cancel()


def test_a_job_names_itself_when_it_is_asked():
    class Idle(Job):
        kind = "idle"

    job = Idle("job7", main_context())
    node = Node("node", NullCo())
    job.add(node)
    assert "idle job 'job7'" in repr(node.parents[0]) and repr(job) == "<idle job 'job7': created>"
