"""A disk and the threads that serve it: where it may live, and how it leaves a thread that has ended or is held up."""

import contextlib

import pytest

import outboard.blk
from outboard.aio.iothread import IOThread, main_context
from outboard.block import edges
from outboard.block.drivers import Memory, Throttle
from outboard.block.graph import FILE, Node
from outboard.errors import LocalError
from outboard.machine.disk import attached, requests
from tests.backend.disk.conftest import PATIENCE, SIZE
from tests.backend.disk.test_life import eventually, fds


def not_there(how):
    """Return a thread that does not serve its context, and words for it."""
    thread = IOThread("gone")
    if how != "unborn":
        thread.start()
        thread.stop()
    return thread, {"unborn": "has no thread: start it first", "stopped": "was stopped"}[how]


@pytest.mark.parametrize("how", ["unborn", "stopped"])
def test_a_disk_is_served_and_moved_only_where_a_thread_serves(serve, drive, folder, image, iothread, how):
    thread, words = not_there(how)
    before = fds()
    for where in (thread, thread.context):
        with pytest.raises(LocalError, match=f"context gone: expected one that a thread serves.* {words}"):
            outboard.blk.serve(folder / "x.sock", image=image, iothread=where)
    assert fds() == before
    service = serve(image, iothread=iothread)
    disk = drive(service)
    for where in (thread, thread.context):
        with pytest.raises(LocalError, match=f"context gone: expected one that a thread serves.* {words}"):
            service.try_set_aio_context(where)
    with pytest.raises(LocalError, match="expected an IOThread or a context to live in, got 'fast'"):
        service.try_set_aio_context("fast")
    assert service.context is service.backend.node.ctx is service.drive.home.context is iothread.context
    assert len(disk.read(0, 4096)) == 4096 and not iothread.context.fds.external_disabled
    thread.stop()


def test_a_disk_moves_to_a_thread_by_its_name_or_its_context(serve, drive, image, iothread):
    service = serve(image, iothread=iothread)
    with IOThread("other") as other:
        service.try_set_aio_context(other)
        assert service.context is other.context and len(drive(service).read(0, 4096)) == 4096
        service.try_set_aio_context(iothread)


def ends(thread, how):
    if how == "stopped":
        thread.stop()
    else:
        thread.context.call_soon(lambda: 1 / 0)
        eventually(lambda: not thread.alive, "the thread has ended")


def throttled(thread):
    """A graph that holds requests back: one is done at once, others wait for seconds."""
    top = Node("throttle", Throttle(iops_total=1, iops_total_max=1), thread.context)
    edges.attach_child(top, Node("memory", Memory(SIZE), thread.context), FILE)
    return top


def begun(service):
    """Return how many requests the device has taken from its rings."""
    device = service.drive.device
    return device.in_flight + sum(loop.served for loop in device.loops)


@pytest.mark.parametrize("how", ["stopped", "failed"])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_a_disk_whose_thread_has_ended_is_closed(folder, image, how, busy):
    before = fds()
    _close_without_its_thread(folder, image, how, busy)
    with outboard.blk.serve(folder / "x.sock", image=image, iothread=main_context()):
        pass
    assert fds() == before


def _close_without_its_thread(folder, image, how, busy):
    thread = IOThread("gone").start()
    top = throttled(thread) if busy else image
    service = outboard.blk.serve(folder / "x.sock", image=top, iothread=thread)
    with attached(folder / "x.sock", timeout_s=PATIENCE) as disk:
        sent = [disk.submit(requests.write(4096 * at, b"sent" * 1024)) for at in range(8)]
        if busy:
            eventually(lambda: begun(service) == 8 and service.drive.device.in_flight, "requests are held back")
        else:
            disk.wait_all()
        ends(thread, how)
        service.close()
        service.close()
        assert disk.poll() == 0 and all(one.answer.ok for one in sent), "what was in flight is done first"
    if busy:
        edges.close(top)
    with contextlib.suppress(ZeroDivisionError):
        thread.stop()


def test_a_disk_can_be_saved_from_a_thread_that_has_ended(folder, image, iothread):
    thread = IOThread("gone").start()
    with outboard.blk.serve(folder / "x.sock", image=image, iothread=thread) as service:
        with attached(folder / "x.sock", timeout_s=PATIENCE) as disk:
            ends(thread, "failed")
            sent = disk.submit(requests.read(0, 4096))
            with pytest.raises(LocalError, match="its thread has ended"):
                service.backend.pread(0, 512)
            service.try_set_aio_context(iothread)
            assert disk.wait(sent).data == image.read_bytes()[:4096]
    with pytest.raises(LocalError, match="the disk was closed"):
        service.try_set_aio_context(iothread)
    with pytest.raises(ZeroDivisionError):
        thread.stop()


def test_a_thread_of_its_own_that_has_failed_is_told_when_the_disk_is_closed(folder, image):
    service = outboard.blk.serve(folder / "x.sock", image=image)
    ends(service._iothread, "failed")
    with pytest.raises(ZeroDivisionError):
        service.close()
    with outboard.blk.serve(folder / "x.sock", image=image):
        pass


@pytest.mark.parametrize("what", ["close", "leave"])
def test_nobody_waits_for_a_throttle_when_a_disk_ends(folder, iothread, heard, what):
    """Requests that would be held back for minutes are let out; the context is there for others again."""
    top = throttled(iothread)
    with outboard.blk.serve(folder / "x.sock", image=top, iothread=iothread) as service:
        with attached(folder / "x.sock", 1, 512, timeout_s=PATIENCE) as disk:
            sent = [disk.submit(requests.write(4096 * (at % 8), b"sent" * 1024), kick=False) for at in range(200)]
            disk.machine.kick(0)
            eventually(lambda: begun(service) == 200 and service.drive.device.in_flight, "requests are held back")
            if what == "close":
                service.close()
                assert disk.poll() == 0 and all(one.answer.ok for one in sent), "what was begun is done"
            else:
                disk.machine.lose()
                eventually(lambda: not service.connected, "the front-end has left")
                service.try_set_aio_context(main_context())
                service.try_set_aio_context(iothread)
    edges.close(top)
