"""Drivers that hold requests back, copy or multiply them; the mirror job."""

from outboard.aio.wait import wait_while
from outboard.block.drivers import CopyOnRead, Memory, Quorum
from outboard.block.graph import (
    BACKING,
    DATA,
    FILE,
    Node,
    attach_child,
    detach_child,
    drained_begin,
    drained_end,
    try_set_aio_context,
)
from outboard.block.mirror import BACKGROUND, WRITE_BLOCKING, Mirror
from tests.block.programs.parts import checks, guest, program, section, user
from tests.block.simulated import LENGTH, CheckedThrottle, Device, Disk, Rig


@program
def throttled(sim):
    """The second request waits a tenth of a second; a move does not wait for that."""
    rig = Rig(sim, top=CheckedThrottle(iops_total=10), way="half")
    device = Device(sim, rig.backend)
    guest(rig, device)
    rig.later(lambda: rig.backend.try_set_aio_context(rig.io1))
    return checks(rig, device)


@program
def throttled_and_left_alone(sim):
    """Requests are delayed, not held for ever."""
    rig = Rig(sim, top=CheckedThrottle(iops_write=10), way="half")
    device = Device(sim, rig.backend)
    guest(rig, device, count=4)
    return checks(rig, device)


@program
def copies(sim):
    """Three copies vote while they are moved and drained."""
    rig = Rig(sim, top=Quorum(2))
    (child,) = rig.top.children
    detach_child(child)
    disks = [Disk(sim, way) for way in ("half", "timer", "thread")]
    for number, disk in enumerate(disks):
        node = Node(f"copy{number}", disk, rig.io0)
        attach_child(rig.top, node, DATA)
        rig.nodes.append(node)
    device = Device(sim, rig.backend)
    guest(rig, device, count=1)
    first = rig.top.children[0].node
    rig.later(lambda: try_set_aio_context(first, rig.io1, {rig.backend.root}), *section(rig, first))

    def check():
        checks(rig, device)()
        assert disks[0].blocks == disks[1].blocks == disks[2].blocks

    return check


@program
def copy_on_read(sim):
    """Reads copy clusters while others write them; what was written stays."""
    rig = Rig(sim, top=CopyOnRead(), way="thread")
    (child,) = rig.top.children
    detach_child(child)
    overlay = Memory(LENGTH, cluster=4)
    node = Node("overlay", overlay, rig.io0)
    attach_child(node, rig.bottom, BACKING)
    attach_child(rig.top, node, FILE)
    rig.nodes.append(node)
    rig.disk.blocks[:] = b"backing!"
    got = []

    async def read():
        buffer = bytearray(4)
        await rig.backend.preadv(0, [buffer])
        got.append(bytes(buffer))

    async def write():
        await rig.backend.pwritev(1, [b"X"])

    for call in (read, write, read):
        user(rig, rig.backend, call)
    rig.later(lambda: rig.backend.try_set_aio_context(rig.io1))

    def check():
        rig.check()
        assert len(got) == 2 and set(got) <= {b"back", b"bXck"}, got
        assert overlay.data[:4] == b"bXck" and 0 in overlay.own

    return check


def mirror(sim, copy_mode, end):
    """Mirror a disk that a device writes, move it, then end the job while the device writes once more."""
    rig = Rig(sim, way="half")
    target = Disk(sim, "thread")
    node = Node("target", target, rig.io1)
    rig.nodes.append(node)
    rig.disk.blocks[:] = b"contents"
    device = Device(sim, rig.backend)
    jobs = []

    def start():
        jobs.append(Mirror("job0", rig.bottom, node, copy_mode=copy_mode, chunk_bytes=4))
        jobs[0].start()

    def finish():
        if end == "complete":
            wait_while(rig.main, lambda: jobs[0].status not in ("ready", "standby"))
        guest(rig, device, count=1)
        getattr(jobs[0], end)()

    rig.later(start, lambda: rig.backend.try_set_aio_context(rig.io1), finish)
    guest(rig, device)

    def check():
        checks(rig, device)()
        (job,) = jobs
        assert job.status == "concluded" and job.error is None and not job.children
        below = rig.top.children[0].node
        assert below is (node if end == "complete" else rig.bottom)
        assert below.driver.blocks[3:] == b"tents" and below.driver.blocks[:3] == bytes([1, 2, 3])

    return check


@program
def mirror_in_the_background(sim):
    return mirror(sim, BACKGROUND, "complete")


@program
def mirror_that_blocks_writes(sim):
    return mirror(sim, WRITE_BLOCKING, "complete")


@program
def mirror_that_is_cancelled(sim):
    return mirror(sim, WRITE_BLOCKING, "cancel")


class CheckedMirror(Mirror):
    """Notes what is left to copy when a section begins."""

    left = 0

    def pause(self):
        super().pause()
        self.left = len(self.chunks.dirty)


@program
def a_job_in_sections(sim):
    """A job stands still in a drained section of a node, and goes on after."""
    rig = Rig(sim, way="half")
    target = Disk(sim, "half")
    node = Node("target", target, rig.io0)
    rig.nodes.append(node)
    job = CheckedMirror("job0", rig.bottom, node, chunk_bytes=1)
    job.start()

    def begin():
        drained_begin(node)
        look()

    def look():
        assert not target.running and not job.active()
        assert len(job.chunks.dirty) == job.left, "a job has copied on in a drained section"

    def end():
        look()
        drained_end(node)
        job.cancel()

    rig.later(begin, look, end)

    def check():
        rig.check()
        assert job.status == "concluded"

    return check


@program
def a_job_that_ends_in_a_section(sim):
    """What ends in a drained section changes the graph after it."""
    rig = Rig(sim)
    node = Node("target", Disk(sim, "half"), rig.io0)
    rig.nodes.append(node)
    job = Mirror("job0", rig.bottom, node)
    job.start()
    device = Device(sim, rig.backend)
    guest(rig, device, count=1)
    found = []

    def look():
        found.append((rig.top.children[0].node, job.status == "concluded"))
        assert found[0] == found[-1], "the graph has changed in a drained section"

    def begin():
        drained_begin(rig.bottom)
        look()

    rig.later(job.cancel, begin, look, look, lambda: drained_end(rig.bottom))

    def check():
        checks(rig, device)()
        assert job.status == "concluded" and rig.top.children[0].node is rig.bottom

    return check
