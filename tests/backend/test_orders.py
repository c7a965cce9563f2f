"""What comes in an unlucky order: mid-frame changes, late answers, rings that stop or break while others go on."""

import contextlib
import os
import select
import struct
import threading

import pytest

from outboard.backend import displays
from outboard.errors import LocalError
from outboard.frontend.display_reader import DisplayReader
from outboard.frontend.ram import Span
from outboard.frontend.ring import take
from outboard.frontend.vmm import PROTOCOL_FEATURES, Vmm
from outboard.machine.gpu_driver import GpuDriver
from outboard.spec.vhost_user import ProtocolFeature
from outboard.spec.vhost_user_gpu import Req as Display
from outboard.spec.virtio_gpu import Rect
from tests.backend.conftest import PATIENCE, eventually
from tests.backend.test_life import Hand, info_of, log, put
from tests.gpu.rig import OK, OK_EDID, OK_INFO, create, flush, get_edid, req

pytestmark = pytest.mark.usefixtures("patient")

SIZE = (1920, 1080)
WHOLE = (0, 0, *SIZE)
SPANS = (Span(0, 2 << 20), Span(0x1_0000_0000, 24 << 20), Span(0x2_0000_0000, 1 << 20))
SPARE = 2
"""The region of SPANS that nothing lies in."""


@contextlib.contextmanager
def held(service):
    """Hold the back-end's loop, so that all that is sent meanwhile comes in one batch."""
    entered, left = threading.Event(), threading.Event()

    def hold():
        entered.set()
        left.wait(PATIENCE)

    service._server.loop.call_threadsafe(hold)
    assert entered.wait(PATIENCE)
    try:
        yield
    finally:
        left.set()


@pytest.fixture
def give_up(monkeypatch):
    """`give_up(service)`: the back-end soon gives up the next question to the display, and no question after that."""

    def soon(service):
        monkeypatch.setattr(displays, "IMPATIENCE_S", PATIENCE)
        service._server.session.device.displays._patience_s = 0.05

    return soon


@pytest.fixture
def waits(monkeypatch):
    """The timeouts of all turns of loops made from now on, the last being that of the wait under way."""
    timeouts = []
    real = select.epoll

    class Counted:
        def __init__(self):
            self._epoll = real()

        def __getattr__(self, name):
            return getattr(self._epoll, name)

        def poll(self, timeout=None):
            timeouts.append(timeout)
            return self._epoll.poll(timeout)

    monkeypatch.setattr(select, "epoll", Counted)
    return timeouts


# A ring that breaks


def test_a_chain_before_a_malformed_one_is_answered_and_the_broken_ring_is_quiet(waits, serve, machine):
    service = serve()
    made = machine(service)
    made.show()
    ring = made.vmm.rings[0]
    assert take(ring.err_fd) == 0
    with held(service):
        head, answer = put(made, create(7), 24)
        ring.queue.put_head(5000)
        made.vmm.kick()
    assert made.vmm.wait_used(0) == [(head, 24)]
    assert bytes(made.vmm.ram.view(answer, 4)) == struct.pack("<I", OK)
    made.settle()
    eventually(lambda: waits[-1] is None, "the loop waits without end")
    turns = len(waits)
    for _ in range(5):
        made.settle()
    eventually(lambda: waits[-1] is None, "the loop waits without end")
    assert len(waits) - turns <= 10, "a turn for each message, and no others"
    assert take(ring.err_fd) == 1
    assert made.driver.move_cursor(0, 0, 1, 1, room=24).type == OK


# Changes while a frame is half sent


def half_sent(machine, service, **options):
    """A machine whose display has stopped reading inside a frame; return it, the picture, and the flush's head."""
    made = machine(service, modes=(SIZE,), spans=SPANS, **options)
    picture = made.show(*SIZE)
    made.sees(picture)
    made.display.stall()
    head, _ = put(made, flush(1, WHOLE), 24)
    made.settle()
    assert not made.vmm.rings[0].queue.ready, "the frame fitted into the socket; the test has no point"
    return made, picture, head


def memory_added(vmm):
    vmm.ram.grow(Span(0x3_0000_0000, 1 << 20))
    vmm.send_memory()


def memory_removed(vmm):
    vmm.forget_memory(vmm.ram.description(SPARE))


@pytest.mark.parametrize("change", [Vmm.send_memory, memory_added, memory_removed])
def test_memory_that_changes_inside_a_frame_loses_nothing(service, machine, change):
    made, picture, head = half_sent(machine, service, mem_slots=change is not Vmm.send_memory)
    made.display.outputs[0].pixels[:] = bytes(len(picture))
    change(made.vmm)
    made.settle()
    made.display.go_on()
    assert made.vmm.wait_used(0) == [(head, 24)]
    made.sees(picture)
    assert made.code(req(0x100)) == OK_INFO


def no_display(made):
    made.vmm.tell(made.vmm.session.gpu_set_socket(None))


def no_socket(made):
    reading, writing = os.pipe()
    with pytest.raises(LocalError, match="refused"):
        made.vmm.tell(made.vmm.session.gpu_set_socket(reading))
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("change", [no_display, no_socket])
def test_a_guest_whose_display_is_taken_away_inside_a_frame_is_answered(service, machine, change):
    made, picture, head = half_sent(machine, service, ack_all=True)
    change(made)
    assert made.vmm.wait_used(0) == [(head, 24)]
    assert made.code(flush(1, WHOLE)) == OK
    assert made.code(req(0x100)) == OK_INFO
    made.new_display(DisplayReader(modes=(SIZE,)))
    made.sees(picture)


def test_a_ring_that_stops_while_a_display_is_told_of_outputs_loses_no_scanout(service, machine):
    made = machine(service)
    picture = made.show(*SIZE)
    second = made.show(64, 64, seed=2, resource_id=2, output=1)
    fresh = DisplayReader(modes=(SIZE, (64, 64)))
    fresh.stall()
    made.new_display(fresh)
    made.settle()  # output 0's picture does not fit into the socket: output 1 is still to be told of
    made.vmm.control.ask(made.vmm.session.get_vring_base(1), PATIENCE)
    head, _ = put(made, flush(2, (0, 0, 64, 64)), 24)
    fresh.go_on()
    assert made.vmm.wait_used(0) == [(head, 24)]
    made.sees(second, output=1)
    made.sees(picture)
    told = [(name, payload.scanout_id) for name, payload in log(fresh)]
    for output in (0, 1):
        assert told.index(("SCANOUT", output)) < told.index(("UPDATE", output))


# Late answers


QUESTIONS = pytest.mark.parametrize("question", [req(0x100), get_edid(0)], ids=["info", "edid"])


@QUESTIONS
def test_a_late_answer_is_dropped_and_the_display_stays(service, machine, give_up, heard, question):
    made = machine(service)
    picture = made.show()
    made.driver.get_display_info()
    give_up(service)
    made.display.stall()
    assert made.code(question) in (OK_INFO, OK_EDID)
    made.display.go_on()
    info = struct.unpack_from("<IIIII", info_of(made.driver.get_display_info()))
    assert info == (0, 0, 320, 200, 1), "the display's own answer, not the fallback"
    made.driver.flush(1, Rect(0, 0, 320, 200))
    made.sees(picture)
    assert not made.display.eof
    assert [event for event, _ in heard if event.startswith("display")] == ["display.silent"]


def test_a_very_late_answer_serves_the_next_question_and_the_next_one_is_dropped(service, machine, give_up, heard):
    made = machine(service)
    display = Hand(made)
    made.settle()
    give_up(service)
    widths = []
    for answers in ((), (640, 800), (1152,)):
        head, answer = put(made, req(0x100))
        assert display.asked() == 3
        for width in answers:
            display.info(width)
        assert made.vmm.wait_used(0) == [(head, 408)]
        widths.append(struct.unpack_from("<I", made.vmm.ram.view(answer + 32, 4))[0])
        made.settle()
    assert widths == [1024, 640, 1152]
    assert [event for event, _ in heard if event.startswith("display")] == ["display.silent"]
    display.socket.close()


@QUESTIONS
def test_features_that_come_late_are_known(service, machine, give_up, heard, question):
    blob = bytes(range(256))
    made = machine(service, display=DisplayReader(modes=((320, 200),), edid=blob))
    picture = made.show()
    made.vmm.stop()
    made.display.stall()
    made.vmm.resume()
    heard.clear()
    give_up(service)
    assert made.code(question) in (OK_INFO, OK_EDID)
    head, answer = put(made, get_edid(0), 1056)
    made.settle()
    made.display.go_on()
    assert made.vmm.wait_used(0) == [(head, 1056)]
    assert bytes(made.vmm.ram.view(answer + 32, 256)) == blob
    made.sees(picture)
    assert info_of(made.driver.get_display_info())[8:16] == struct.pack("<II", 320, 200)
    assert made.display.counts[Display.GET_DISPLAY_INFO] == 1, "what was given up before it was sent is never asked"
    assert service._server.session.device.sender.features == 3
    assert [event for event, _ in heard if event.startswith("display")] == ["display.silent"]


# Resets


@pytest.mark.parametrize("one_by_one", [True, False])
def test_zeroed_rings_are_a_reset_whether_enabled_one_by_one_or_together(service, machine, one_by_one):
    made = machine(service, protocol_features=PROTOCOL_FEATURES & ~ProtocolFeature.RESET_DEVICE)
    made.sees(made.show())
    made.driver.move_cursor(0, 1, 5, 5)
    vmm = made.vmm
    vmm.stop()
    vmm._before_run()
    for ring in vmm.rings:
        ring.clear(True)
    for index, ring in enumerate(vmm.rings):
        vmm._place(index, ring)
        if one_by_one:
            vmm.tell(vmm.session.set_vring_enable(index, True))
    for index in range(2):
        vmm.replace_call_fd(index)
        vmm.tell(vmm.session.set_vring_enable(index, True))
    made.driver = GpuDriver(vmm)
    made.settle()
    assert not service.screens[0].active
    assert made.code(create(1)) == OK
    made.sees(made.show(seed=2, resource_id=2))
