"""The mirror job: states, both copy modes, errors, moves, on real contexts."""

import errno

import pytest

from outboard import trace
from outboard.aio import IOThread, co_run, main_context
from outboard.aio.wait import wait_while
from outboard.block import requests
from outboard.block.backend import BlockBackend
from outboard.block.driver import failed
from outboard.block.drivers import File, Memory, NullCo, Raw
from outboard.block.gate import Gate
from outboard.block.graph import FILE, Node, attach_child, close, drained, try_set_aio_context
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


@MODES
def test_a_disk_keeps_its_length_while_it_is_mirrored(pair, mode):
    job = pair.start(mode)
    until(job, "ready")
    for node in (pair.source, pair.target, job.top):
        with pytest.raises(OSError, match="keeps its length for mirror job 'job0'") as failure:
            main_run(requests.truncate(node, 2 * SIZE))
        assert failure.value.errno == errno.EBUSY
    with pytest.raises(LocalError, match="cannot resize block device 'disk0': mirror job 'job0' needs node 'source'"):
        pair.backend.resize(2 * SIZE)
    assert pair.backend.length == len(pair.target.driver.data) == SIZE and not pair.backend.quiesce_counter
    job.complete()
    job.wait()
    pair.backend.resize(2 * SIZE)
    assert pair.backend.length == len(pair.target.driver.data) == 2 * SIZE


def main_run(coro):
    return co_run(main_context(), coro)


def test_a_source_that_grows_all_the_same_ends_the_mirror(pair, tmp_path):
    """By a write past its end, which no backend lets through."""
    path = tmp_path / "image"
    path.write_bytes(bytes(SIZE // 512 * 512))
    source, target = Node("file", File(path)), Node("copy", Memory(SIZE // 512 * 512))
    job = Mirror("job0", source, target)
    job.start()
    until(job, "ready")
    main_run(requests.pwritev(source, SIZE, [b"past the end"]))
    with pytest.raises(OSError, match="'file' has another length, its mirror has not"):
        job.wait()
    assert job.status == "concluded" and source.parents == target.parents == []
    close(source)


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_bug_of_a_driver_ends_the_job_and_not_its_thread(side):
    with IOThread("io0") as thread:
        pair = Pair(thread.context)

        def broken(*_):
            raise ValueError("a bug of the driver")

        driver = getattr(pair, side).driver
        driver.preadv = driver.pwritev = broken
        job = pair.start()
        with pytest.raises(ValueError, match="a bug of the driver"):
            job.wait()
        assert job.status == "concluded" and thread.alive
        assert pair.backend.node is pair.source and pair.target.parents == []
        pair.backend.close()


def test_a_bug_of_a_job_ends_it_and_not_its_thread():
    class Broken(Job):
        async def work(self):
            raise ValueError("a bug of the job")

    with IOThread("io0") as thread:
        job = Broken("job0", thread.context)
        job.start()
        with pytest.raises(ValueError, match="a bug of the job"):
            job.wait()
        assert job.status == "concluded" and thread.alive


def test_a_job_whose_thread_has_ended_is_not_waited_for():
    thread = IOThread("io0").start()
    pair = Pair(thread.context)
    job = pair.start()
    until(job, "ready")
    thread.stop()
    with pytest.raises(LocalError, match="cannot end: the thread of context io0 has"):
        job.wait()


class Counts(Memory):
    """Counts flushes, and bytes that were written since the last one."""

    flushes = 0
    unsafe = 0
    broken = False

    async def pwritev(self, offset, buffers):
        await super().pwritev(offset, buffers)
        self.unsafe += sum(map(len, buffers))

    async def flush(self):
        if self.broken:
            raise failed(errno.EIO)
        self.flushes += 1
        self.unsafe = 0


def counting(mode):
    """A mirror that is ready, of a source and to a target that count."""
    source, target = Node("source", Counts(SIZE)), Node("target", Counts(SIZE))
    backend = BlockBackend("disk0")
    backend.insert(source)
    job = Mirror("job0", source, target, copy_mode=mode)
    job.start()
    until(job, "ready")
    return backend, job


@MODES
def test_what_was_copied_lasts_before_the_disk_goes_on_there(mode):
    backend, job = counting(mode)
    target = job.target.driver
    assert not target.unsafe, "who is told that it is ready may rely on the copy"
    backend.pwrite(0, b"last")
    job.complete()
    job.wait()
    assert backend.node.driver is target and target.data[:4] == b"last" and not target.unsafe


@MODES
def test_a_flush_goes_where_the_writes_go(mode):
    backend, job = counting(mode)
    source, target = job.source.driver, job.target.driver
    before = target.flushes
    backend.pwrite(0, b"data")
    backend.run(backend.flush())
    assert source.flushes == 1 and not source.unsafe
    assert target.flushes == before + (mode == WRITE_BLOCKING)
    job.cancel()
    job.wait()


def test_a_target_that_cannot_be_flushed_is_not_gone_to():
    backend, job = counting(BACKGROUND)
    job.target.driver.broken = True
    backend.pwrite(0, b"kept")
    job.complete()
    with pytest.raises(OSError, match="Input/output"):
        job.wait()
    assert backend.node is job.source and backend.pread(0, 4) == b"kept" and not job.target.parents


def test_a_flush_of_the_target_that_fails_is_not_the_users():
    backend, job = counting(WRITE_BLOCKING)
    job.target.driver.broken = True
    backend.run(backend.flush())
    with pytest.raises(OSError, match="Input/output"):
        job.wait()
    assert backend.node is job.source


class Held(Memory):
    """Writes wait until they are let go."""

    def __init__(self, length):
        super().__init__(length)
        self.gate, self.waiting = Gate(), 0

    async def pwritev(self, offset, buffers):
        self.waiting += 1
        await self.gate.wait()
        await super().pwritev(offset, buffers)


def test_a_job_that_was_cancelled_lets_its_copies_end_before_anything_is_drained():
    """Its end waits in a drained section; until all is copied the disk goes on."""
    source, target = Node("source", Memory(SIZE)), Node("target", Held(SIZE))
    job = Mirror("job0", source, target, chunk_bytes=1024)
    job.start()
    wait_while(main_context(), lambda: not target.driver.waiting)
    assert job.copies
    job.cancel()
    found = []

    def look(turns):
        found.append((source.quiesce_counter, target.quiesce_counter))
        if turns:
            main_context().bh_schedule_oneshot(lambda: look(turns - 1))
        else:
            target.driver.gate.open()

    look(10)
    job.wait()
    assert job.status == "concluded" and set(found) == {(0, 0)}


def test_mirrors_that_make_no_sense(pair):
    above = Node("above", Raw())
    attach_child(above, pair.source, FILE)
    for target in (pair.source, above):
        with pytest.raises(LocalError, match=f"expected a target apart from the source; node '{target.name}'"):
            Mirror("job0", pair.source, target)
    with pytest.raises(LocalError, match="expected chunks of 1 byte or more, got 0"):
        Mirror("job0", pair.source, pair.target, chunk_bytes=0)
    assert pair.backend.node is pair.source and pair.target.parents == []
