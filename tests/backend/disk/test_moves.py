"""A disk moved between contexts while its driver works: nothing is lost, nothing is done twice, nothing runs in two."""

import random
import threading

import pytest

from outboard.aio.iothread import IOThread, main_context
from outboard.block import edges
from outboard.block.backend import BlockBackend
from outboard.block.drivers.memory import Memory
from outboard.block.drivers.throttle import Throttle
from outboard.block.node import Node
from outboard.block.roles import FILE
from outboard.errors import LocalError
from outboard.machine.disk import requests
from tests.backend.disk.conftest import PATIENCE, SIZE, bytes_of


class Writer(threading.Thread):
    """A driver that writes blocks and reads them back until it is told to end; `wrong` is what did not fit."""

    def __init__(self, disk, model, depth=16):
        super().__init__(daemon=True)
        self.disk, self.model, self.depth = disk, model, depth
        self.turns = 0
        self.wrong = None
        self.stop = threading.Event()
        self.went = threading.Event()

    def run(self):
        try:
            while not self.stop.is_set():
                self.turn()
                self.turns += 1
                self.went.set()
        except BaseException as error:
            self.wrong = error

    def turn(self):
        rng = random.Random(self.turns)
        places = rng.sample(range(SIZE // 4096), self.depth)
        for at, place in enumerate(places):
            self.model[4096 * place : 4096 * (place + 1)] = new = rng.randbytes(4096)
            self.disk.submit(requests.write(4096 * place, new), at % len(self.disk.machine.rings))
        self.disk.flush()
        self.disk.wait_all()
        for place in places:
            assert self.disk.read(4096 * place, 4096) == self.model[4096 * place : 4096 * (place + 1)], (
                self.turns,
                place,
            )


@pytest.fixture
def threads():
    with IOThread("one") as one, IOThread("two") as two:
        yield one, two


@pytest.mark.parametrize("writeback", [True, False])
def test_two_hundred_moves_under_load(served, drive, threads, writeback):
    """Without writeback every write is done by a worker thread."""
    service, data = served
    model = bytearray(data)
    disk = drive(service, queues=4)
    disk.set_writeback(writeback)
    writer = Writer(disk, model)
    writer.start()
    home = service.context
    for number in range(200):
        service.try_set_aio_context(threads[number % 2].context)
        if number % 20 == 0:
            writer.went.clear()
            assert writer.went.wait(PATIENCE) or writer.wrong
        assert writer.wrong is None
    writer.stop.set()
    writer.join(PATIENCE)
    assert writer.wrong is None
    assert not writer.is_alive()
    assert bytes_of(service) == model
    service.try_set_aio_context(home)
    assert service.sessions == 1


def test_all_of_it_lives_where_it_was_moved_to(served, drive, threads):
    service, data = served
    disk, home = drive(service), service.context
    for thread in threads:
        service.try_set_aio_context(thread.context)
        assert service.context is thread.context
        assert service.backend.node.ctx is thread.context
        assert service.drive.home.context is thread.context
        assert disk.read(0, 4096) == data[:4096]
    service.try_set_aio_context(home)


def test_the_main_thread_can_serve_a_disk(serve, image, drive):
    service = serve(image, iothread=main_context())
    failed = []

    def use():
        try:
            assert drive(service).read(0, 4096) == image.read_bytes()[:4096]
        except BaseException as error:
            failed.append(error)
        main_context().notify()

    user = threading.Thread(target=use)
    user.start()
    while user.is_alive():
        main_context().poll(True, 50_000_000)
    user.join()
    assert failed == []


def test_a_user_that_refuses_keeps_it_where_it_is(serve, image, drive, iothread, threads):
    service = serve(image, iothread=iothread)
    disk = drive(service)
    other = BlockBackend("other", iothread.context)
    other.insert(service.backend.node)
    other.attach_dev("a device that stays")
    with pytest.raises(LocalError, match="Cannot change iothread of active block backend"):
        service.try_set_aio_context(threads[0].context)
    assert service.context is iothread.context
    assert len(disk.read(0, 4096)) == 4096
    other.detach_dev()
    other.close()
    service.try_set_aio_context(threads[0].context)
    assert len(disk.read(0, 4096)) == 4096
    service.try_set_aio_context(iothread.context)


def test_a_drained_disk_does_nothing_and_then_all_of_it(served, drive):
    service, data = served
    disk = drive(service)
    backend = service.backend
    with backend.ctx:
        backend.quiesce()
    waiting = [disk.submit(requests.read(4096 * at, 4096)) for at in range(8)]
    writes = [disk.submit(requests.write(4096 * at, b"n" * 4096)) for at in range(8, 16)]
    with pytest.raises(Exception, match="no element on the used ring"):
        disk.machine.wait_used(0, 0.05)
    assert service.drive.device.in_flight == 0
    with backend.ctx:
        backend.unquiesce()
    disk.wait_all()
    assert [one.answer.data for one in waiting] == [data[4096 * at : 4096 * (at + 1)] for at in range(8)]
    assert all(one.answer.ok for one in writes)


def test_a_front_end_may_stop_while_requests_are_held_back(serve, drive, iothread):
    """GET_VRING_BASE waits for what a slow disk has, and the disk goes on meanwhile."""
    below = Node("memory", Memory(SIZE), iothread.context)
    top = Node("throttle", Throttle(iops_total=50), iothread.context)
    edges.attach_child(top, below, FILE)
    service = serve(top, iothread=iothread)
    disk = drive(service)
    sent = [disk.submit(requests.write(4096 * at, bytes([at]) * 4096), kick=False) for at in range(20)]
    disk.machine.kick(0)
    base = disk.machine.stop()[0]
    assert base == disk.machine.rings[0].queue.used_idx, "all that was popped is used"
    disk.machine.resume()
    disk.wait_all()
    assert all(one.answer.ok for one in sent)
    assert bytes_of(service)[: 20 * 4096] == b"".join(bytes([at]) * 4096 for at in range(20))
    service.close()
    edges.close(top)
