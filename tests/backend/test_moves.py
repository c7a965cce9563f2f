"""A back-end that moves from IOThread to IOThread while its guest draws; whom it refuses; how it ends."""

import gc
import os
import random
import select
import struct
import threading

import pytest

import outboard.gpu
from outboard import trace
from outboard.aio.context import AioContext
from outboard.aio.epoll import EpollWaiter
from outboard.aio.iothread import IOThread
from outboard.backend import displays
from outboard.errors import LocalError
from outboard.spec.vhost_user_gpu import Req as Display
from outboard.spec.virtio_gpu import Rect
from tests.backend.conftest import PATIENCE, Machine, Raw, eventually
from tests.backend.moving import Movers, iothreads, moving
from tests.backend.test_life import Hand, put
from tests.backend.test_orders import held
from tests.gpu.rig import OK_INFO, flush, req

pytestmark = pytest.mark.usefixtures("patient")

SIZE = (64, 48)
FULL = Rect(0, 0, *SIZE)
GET_DISPLAY_INFO = req(0x100)


@pytest.fixture
def there():
    """Three IOThreads that run."""
    with iothreads() as made:
        yield made


@pytest.fixture
def serve_in(there, folder):
    """`serve_in(**options)`: a back-end in the first of `there`."""
    services = []

    def start(**options):
        path = folder / f"gpu{random.randrange(1 << 30):x}.sock"
        services.append(outboard.gpu.serve(path, iothread=there[0], **options).__enter__())
        services[-1].path = path
        return services[-1]

    yield start
    for service in services:
        service.__exit__(None, None, None)


class Canvas:
    """One resource on output 0 of a machine, drawn anew again and again."""

    def __init__(self, machine):
        self.machine = machine
        machine.show(*SIZE)
        self.backing = machine.vmm.ram.contiguous(4 * SIZE[0] * SIZE[1])
        machine.driver.detach_backing(1)
        machine.driver.attach_backing(1, self.backing)

    def draw(self, seed):
        """Draw noise, and see that the display has exactly that."""
        picture = random.Random(seed).randbytes(4 * SIZE[0] * SIZE[1])
        self.backing.write(0, picture)
        self.machine.driver.transfer(1, FULL, 0)
        self.machine.driver.flush(1, FULL)
        self.machine.sees(picture)
        return picture


# While the guest draws


@pytest.mark.parametrize("threads", [1, 3])
def test_every_frame_is_exact_while_it_moves_thousands_of_times(folder, machine, threads):
    with moving(folder / "gpu.sock", threads) as service:
        made = machine(service, modes=(SIZE,))
        canvas = Canvas(made)
        canvas.draw("first")
        screen = service.screens[0]
        before, shown = screen.serial, made.display.counts[Display.UPDATE]
        frames = 0
        while frames < 300 or service.movers.count < 5000:
            picture = canvas.draw(frames)
            frames += 1
            assert screen.wait_for_frame(before + frames - 1, PATIENCE).pixels == picture
        assert screen.serial == before + frames
        assert made.display.counts[Display.UPDATE] == shown + frames, "no frame lost, none shown twice"


def test_no_kick_and_no_interrupt_is_lost(folder, machine):
    with moving(folder / "gpu.sock") as service:
        made = machine(service, modes=(SIZE,))
        kicks = 0
        while kicks < 1000 or service.movers.count < 1000:
            kicks += 1
            head, _ = put(made, flush(9, (0, 0, 1, 1)), 24)  # nothing but the kick tells of it
            assert made.vmm.wait_used(0) == [(head, 24)]


def test_a_message_may_move_between_any_two_of_its_bytes(there, serve_in, raw):
    service = serve_in()
    peer = raw(service)
    message = struct.pack("=IIIQ", 16, 1, 8, 0x8208) + struct.pack("=III", 1, 1, 0) + struct.pack("=III", 15, 1, 0)
    for at, byte in enumerate(message):
        peer.send(bytes([byte]))
        service.try_set_aio_context(there[at % 3].context)
    assert peer.answer()[:2] == (1, 5)
    assert peer.answer()[:2] == (15, 5)
    assert peer.alive()


def test_a_frame_that_is_half_sent_moves_on(there, serve_in, machine):
    service = serve_in()
    made = machine(service, modes=((1920, 1080),))
    picture = made.show(1920, 1080)
    made.sees(picture)
    made.display.stall()
    head, _ = put(made, flush(1, (0, 0, 1920, 1080)), 24)
    made.settle()
    assert not made.vmm.rings[0].queue.ready, "the frame fitted into the socket; the test has no point"
    for one in (there[1], there[2], there[1]):
        service.try_set_aio_context(one.context)
        made.settle()
    made.display.go_on()
    assert made.vmm.wait_used(0) == [(head, 24)]
    made.sees(picture)


def test_a_question_to_the_display_and_its_timer_move_along(there, serve_in, machine, monkeypatch):
    monkeypatch.setattr(displays, "PATIENCE_S", 0.3)
    service = serve_in()
    made = machine(service)
    hand = Hand(made)
    head, answer = put(made, GET_DISPLAY_INFO, 408)
    assert hand.asked() == Display.GET_DISPLAY_INFO
    service.try_set_aio_context(there[1].context)
    assert made.vmm.wait_used(0) == [(head, 408)], "the display never answers: the timer does"
    assert struct.unpack_from("<I", made.vmm.ram.view(answer, 4)) == (OK_INFO,)


def test_what_was_due_while_it_was_away_from_its_thread_is_done(there, serve_in, machine):
    service = serve_in()
    made = machine(service, modes=(SIZE,))
    canvas = Canvas(made)
    for seed in range(20):
        with held(service):
            heads = [put(made, flush(1, (0, 0, 1, 1)), 24)[0] for _ in range(8)]
            mover = threading.Thread(target=service.try_set_aio_context, args=(there[seed % 2 + 1].context,))
            mover.start()
        mover.join()
        done = []
        while len(done) < len(heads):
            done += made.vmm.wait_used(0)
        assert done == [(head, 24) for head in heads]
        canvas.draw(seed)


def test_front_ends_come_and_go_meanwhile(folder):
    with moving(folder / "gpu.sock", threads=2) as service:
        for number in range(20):
            made = Machine(service.path, modes=(SIZE,)).start()
            made.sees(made.show(*SIZE, seed=number))
            made.close()
        eventually(lambda: not service.connected, "the last one left")
        assert service.sessions == 20


def test_two_back_ends_pass_each_other(folder, there):
    with moving(folder / "one.sock", there=there) as one, moving(folder / "two.sock", there=there) as two:
        both = [Canvas(Machine(service.path, modes=(SIZE,)).start()) for service in (one, two)]
        for seed in range(50):
            for canvas in both:
                canvas.draw(seed)
        for canvas in both:
            canvas.machine.close()


def test_a_move_made_by_the_back_end_itself_waits_until_it_has_returned(there, serve_in, machine):
    service = serve_in()
    contexts = [one.context for one in there]
    threads = []

    def hook(event, fields):
        threads.append((threading.current_thread().name, service.context.name))
        service.try_set_aio_context(contexts[len(threads) % 3])

    trace.listen(hook)
    try:
        made = machine(service, modes=(SIZE,))
        for _ in range(5):
            with held(service):  # commands that are refused, which is traced, all in one callback
                heads = [put(made, flush(9, (0, 0, 1, 1)), 24)[0] for _ in range(3)]
            used = []
            while len(used) < len(heads):
                used += made.vmm.wait_used(0)
            made.settle()
    finally:
        trace.unlisten(hook)
    assert len(threads) > 15
    assert all(thread == context for thread, context in threads), "it is where it says"
    assert {thread for thread, _ in threads} == {"io0", "io1", "io2"}


def test_who_moves_it_at_once_again_lets_it_have_its_turn(there, serve_in, machine):
    service = serve_in()
    made = machine(service, modes=(SIZE,))

    def twice():
        here = service.context
        for one in there:
            if one.context is not here:
                service.try_set_aio_context(one.context)

    for _ in range(20):
        eventually(service._place._arrived.is_set, "the last move has arrived")
        executed = service._server.session.device.loops[0].executed
        with held(service):
            head, _ = put(made, flush(9, (0, 0, 1, 1)), 24)
            mover = threading.Thread(target=twice)
            mover.start()
            eventually(lambda: service.context.lock.wanted, "the mover waits")
        mover.join()
        assert service._server.session.device.loops[0].executed == executed + 1, "between the two moves"
        assert made.vmm.wait_used(0) == [(head, 24)]


# Refusals


def still_draws(made, service, ctx, number=7):
    assert service.context is ctx
    made.sees(made.show(*SIZE, seed=number, resource_id=number))


def test_it_moves_nowhere_where_no_thread_serves(there, serve_in, machine):
    service = serve_in()
    made = machine(service, modes=(SIZE,))
    stopped, unborn = IOThread("stopped").start(), IOThread("unborn")
    stopped.stop()
    with pytest.raises(LocalError, match=r"context stopped: expected one that a thread serves.* was stopped"):
        service.try_set_aio_context(stopped.context)
    with pytest.raises(LocalError, match=r"context unborn: expected one that a thread serves.* start it first"):
        service.try_set_aio_context(unborn.context)
    unborn.context.close()
    still_draws(made, service, there[0].context)


def test_it_is_not_served_where_no_thread_serves(folder):
    there = AioContext("nobody", EpollWaiter())
    with pytest.raises(LocalError, match="context nobody"):
        outboard.gpu.serve(folder / "gpu.sock", iothread=there)
    there.close()
    assert os.listdir(folder) == []


def test_a_back_end_with_a_loop_of_its_own_stays_there(there, serve, machine):
    service = serve()
    made = machine(service, modes=(SIZE,))
    with pytest.raises(LocalError, match=r"cannot move to context io1.*serve it with iothread="):
        service.try_set_aio_context(there[1].context)
    still_draws(made, service, None)


def test_a_callback_of_a_third_context_may_not_move_it(there, serve_in, machine):
    service = serve_in()
    made = machine(service, modes=(SIZE,))
    errors = []

    def move():
        try:
            service.try_set_aio_context(there[1].context)
        except LocalError as error:
            errors.append(str(error))

    there[2].context.call_threadsafe(move)
    eventually(lambda: errors, "the refusal")
    assert "context io2 cannot acquire context io0" in errors[0]
    still_draws(made, service, there[0].context)
    service.try_set_aio_context(there[1].context)
    still_draws(made, service, there[1].context, 8)


# The end


def test_nothing_is_left_of_it_in_any_context(there, folder):
    fds = [len(one.context.fds.table) for one in there]
    open_fds = []
    for _ in range(5):
        service = outboard.gpu.serve(folder / "gpu.sock", iothread=there[0])
        movers = Movers(service, [one.context for one in there])
        with pytest.raises(LocalError, match="the back-end has ended"), movers:
            made = Machine(folder / "gpu.sock", modes=(SIZE,)).start()
            made.sees(made.show(*SIZE))
            movers.more(20)
            service.close()  # while it moves, in the middle of a session
            movers.refused()
        made.close()
        assert os.listdir(folder) == []
        gc.collect()
        open_fds.append(len(os.listdir("/proc/self/fd")))
    assert [len(one.context.fds.table) for one in there] == fds
    assert len(set(open_fds)) == 1


def test_once_ends_it_where_it_is_then(there, serve_in):
    service = serve_in(once=True)
    peer = Raw(service.path)
    assert peer.alive()
    service.try_set_aio_context(there[1].context)
    assert not service.wait_ended(0)
    peer.close()
    assert service.wait_ended(PATIENCE)
    with pytest.raises(LocalError, match="the back-end has ended"):
        service.screens[0].wait_idle(timeout=PATIENCE)


def test_a_bug_costs_the_front_end_and_no_other_guest_of_the_thread(there, folder, raw):
    with pytest.raises(ZeroDivisionError), outboard.gpu.serve(folder / "a.sock", iothread=there[0]) as service:
        service.path = folder / "a.sock"
        peer = raw(service)
        assert peer.alive()
        service._server.loop.call_threadsafe(lambda: 1 // 0)
        assert peer.ended()
        assert raw(service).alive(), "the next one is served"
    assert there[0].alive
    assert there[0].failure is None


def test_it_can_be_saved_from_a_thread_that_was_stopped(folder, machine):
    first = IOThread("first").start()
    with IOThread("second") as second, outboard.gpu.serve(folder / "gpu.sock", iothread=first) as service:
        service.path = folder / "gpu.sock"
        made = machine(service, modes=(SIZE,))
        first.stop()
        service.try_set_aio_context(second.context)
        still_draws(made, service, second.context)


def test_it_ends_although_its_thread_was_stopped(folder):
    with IOThread("only") as only, outboard.gpu.serve(folder / "gpu.sock", iothread=only):
        made = Machine(folder / "gpu.sock", modes=(SIZE,)).start()
        made.sees(made.show(*SIZE))
        only.stop()
    made.close()
    assert os.listdir(folder) == []


def test_a_kick_that_is_an_epoll_is_refused(agreed):
    """Its owner could make it one that our other epolls refuse, just while the ring moves."""
    with select.epoll() as nested, open(os.eventfd(0), "wb") as kick:
        assert agreed.acked(12, struct.pack("=Q", 0), [nested.fileno()]) == 1
        assert agreed.acked(12, struct.pack("=Q", 0), [kick.fileno()]) == 0
