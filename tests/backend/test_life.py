"""Stop and resume, reset, displays that come, go, stall and stay silent, front-ends that die."""

import os
import signal
import socket
import struct
import subprocess
import sys

import pytest

from outboard.backend import displays
from outboard.display import Cursor
from outboard.frontend.display_reader import DisplayReader
from outboard.frontend.vmm import PROTOCOL_FEATURES
from outboard.machine.gpu_driver import GpuDriver
from outboard.spec.vhost_user import ProtocolFeature, Req
from outboard.spec.vhost_user_gpu import Req as Display
from outboard.spec.virtio_gpu import Format, Rect
from tests.backend.conftest import PATIENCE, Machine, Raw, eventually
from tests.gpu.rig import BAD_RESOURCE, OK, OK_EDID, OK_INFO, flush, get_edid, req

pytestmark = pytest.mark.usefixtures("patient")

FULL = Rect(0, 0, 320, 200)
WITHOUT_RESET = PROTOCOL_FEATURES & ~ProtocolFeature.RESET_DEVICE
FALLBACK = struct.pack("<IIIIII", 0, 0, 1024, 768, 1, 0) + bytes(15 * 24)


def log(display):
    """Return the messages seen since the last call, without questions: (name, payload)."""
    entries = [(entry.req, entry.payload) for entry in display.log]
    display.log.clear()
    asked = (Display.GET_PROTOCOL_FEATURES, Display.SET_PROTOCOL_FEATURES, Display.GET_DISPLAY_INFO, Display.GET_EDID)
    return [(number.name, payload) for number, payload in entries if number not in asked]


def put(machine, request, room=408, queue=0):
    """Make a request available without waiting for its answer; return (head, address of the answer)."""
    ram = machine.vmm.ram
    place, answer = ram.allocate(max(64, len(request))), ram.allocate(max(64, room))
    ram.view(place, len(request))[:] = request
    ram.view(answer, room)[:] = bytes(room)
    head = machine.vmm.rings[queue].queue.add([(place, len(request))], [(answer, room)] if room else [])
    machine.vmm.kick(queue)
    return head, answer


def cursor(machine, resource_id=5, output=0, x=10, y=20):
    """Make a 64 x 64 resource the cursor; return its bytes."""
    image = os.urandom(64 * 64 * 4)
    backing = machine.vmm.ram.contiguous(len(image))
    backing.write(0, image)
    machine.driver.create_2d(resource_id, Format.B8G8R8A8, 64, 64)
    machine.driver.attach_backing(resource_id, backing)
    machine.driver.transfer(resource_id, Rect(0, 0, 64, 64), 0)
    machine.driver.update_cursor(output, resource_id, x, y, 3, 4)
    return image


# Resume and reset


@pytest.mark.parametrize("protocol_features", [PROTOCOL_FEATURES, WITHOUT_RESET])
def test_resume_keeps_everything_and_tells_the_new_display(service, machine, protocol_features):
    made = machine(service, protocol_features=protocol_features)
    picture = made.show()
    image = cursor(made)
    made.sees(picture)
    made.display.wait_until(lambda: made.display.outputs[0].cursor.image == image, "the cursor", PATIENCE)
    for _ in range(3):
        assert made.vmm.stop() == [ring.queue.avail_idx for ring in made.vmm.rings]
        made.display.outputs[0].pixels[:] = bytes(len(picture))
        made.display.outputs[0].cursor = Cursor()
        log(made.display)
        made.vmm.resume()
        made.sees(picture)
        made.display.wait_until(lambda: made.display.outputs[0].cursor.image == image, "the cursor", PATIENCE)
        assert [name for name, _ in log(made.display)] == ["SCANOUT", "UPDATE", "CURSOR_UPDATE"]
        assert made.code(flush(1, (0, 0, 320, 200))) == OK


def test_a_hidden_cursor_is_announced_hidden(service, machine):
    made = machine(service)
    cursor(made)
    made.driver.move_cursor(0, 0, 7, 8)
    made.new_display()
    made.display.wait_until(lambda: made.display.counts[Display.CURSOR_POS_HIDE], "hidden", PATIENCE)
    assert not made.display.outputs[0].cursor.visible
    assert (made.display.outputs[0].cursor.x, made.display.outputs[0].cursor.y) == (7, 8)


@pytest.mark.parametrize("protocol_features", [PROTOCOL_FEATURES, WITHOUT_RESET])
def test_reset_forgets_everything_and_tells_the_new_display_nothing(service, machine, protocol_features):
    made = machine(service, protocol_features=protocol_features)
    for turn in range(3):
        made.sees(made.show(seed=turn))
        cursor(made)
        made.vmm.reset()
        log(made.display)
        made.vmm.start()
        made.driver = GpuDriver(made.vmm)
        assert made.code(flush(1, (0, 0, 320, 200))) == BAD_RESOURCE
        assert log(made.display) == []


def test_a_reset_before_the_first_start_is_a_reset_of_nothing(service, machine):
    made = machine(service, begin=False)
    made.vmm.negotiate()
    made.vmm.tell(made.vmm.session.get(Req.RESET_DEVICE))
    made.vmm.tell(made.vmm.session.get(Req.RESET_DEVICE))
    made.vmm.start()
    made.driver = GpuDriver(made.vmm)
    made.sees(made.show())


def test_a_resume_whose_index_has_come_round_to_0_is_no_reset(service, machine):
    made = machine(service, protocol_features=WITHOUT_RESET, begin=False)
    made.vmm.negotiate()
    # As after 65536 - 6 commands: both indexes stand there, and the used ring has been written before.
    for ring in made.vmm.rings:
        ring.clear(True)
    queue = made.vmm.rings[0].queue
    queue.put_avail_idx(65530)
    queue.used16[1] = queue.last_used = 65530
    made.vmm.rings[0].base = 65530
    made.vmm.resume()
    made.driver = GpuDriver(made.vmm)
    picture = made.show()  # CREATE, ATTACH, TRANSFER, SET_SCANOUT, FLUSH
    made.driver.flush(1, FULL)
    made.sees(picture)
    assert made.vmm.stop() == [0, 0]
    made.vmm.resume()
    made.sees(picture)
    assert made.code(flush(1, (0, 0, 320, 200))) == OK


def test_used_rings_that_were_zeroed_are_a_reset(service, machine):
    made = machine(service, protocol_features=WITHOUT_RESET)
    made.sees(made.show())
    made.vmm.stop()
    for ring in made.vmm.rings:
        ring.clear(True)
    made.vmm.resume()
    assert made.code(flush(1, (0, 0, 320, 200))) == BAD_RESOURCE


def test_nothing_is_written_after_a_ring_was_stopped(service, machine):
    made = machine(service)
    made.show()
    made.vmm.stop()
    before = [bytes(ring._block) for ring in made.vmm.rings]
    head, answer = put(made, req(0x100))
    blocks = [bytes(ring._block) for ring in made.vmm.rings]
    made.settle()
    assert [bytes(ring._block) for ring in made.vmm.rings] == blocks != before
    made.vmm.resume()
    assert made.vmm.wait_used(0) == [(head, 408)]
    assert bytes(made.vmm.ram.view(answer, 4)) == struct.pack("<I", OK_INFO)


def stop_rings(machine):
    """Stop both rings and leave the display as it is."""
    vmm = machine.vmm
    for index in range(2):
        vmm.tell(vmm.session.set_vring_enable(index, False))
    for index, ring in enumerate(vmm.rings):
        ring.base = vmm.control.ask(vmm.session.get_vring_base(index), PATIENCE).num


def start_rings(machine):
    """Start both rings where they were, on the same display."""
    vmm = machine.vmm
    for index, ring in enumerate(vmm.rings):
        vmm._place(index, ring)
        vmm.tell(vmm.session.set_vring_enable(index, True))
    machine.settle()


def test_a_command_that_waits_when_the_ring_stops_is_asked_again(service, machine):
    made = machine(service)
    made.driver.get_display_info()
    made.display.stall()
    head, answer = put(made, req(0x100))
    made.settle()
    assert not made.vmm.rings[0].queue.ready
    stop_rings(made)
    assert made.vmm.rings[0].base == made.vmm.rings[0].queue.avail_idx - 1
    assert not made.vmm.rings[0].queue.ready
    made.display.detach()
    made.display.go_on()
    made.vmm.resume()
    assert made.vmm.wait_used(0) == [(head, 408)]
    assert bytes(made.vmm.ram.view(answer, 4)) == struct.pack("<I", OK_INFO)


class Hand:
    """A display that a test answers for by hand."""

    def __init__(self, machine):
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(PATIENCE)
        with theirs:
            machine.vmm.tell(machine.vmm.session.gpu_set_socket(theirs.fileno()))
        assert self.asked() == 1
        self.answer(1, struct.pack("=Q", 3))
        assert self.socket.recv(20) == struct.pack("=IIIQ", 2, 0, 8, 3)

    def asked(self):
        """Read one question; return its number."""
        number, _, size = struct.unpack("=III", self.socket.recv(12, socket.MSG_WAITALL))
        if size:
            self.socket.recv(size, socket.MSG_WAITALL)
        return number

    def answer(self, number, payload):
        self.socket.sendall(struct.pack("=III", number, 4, len(payload)) + payload)

    def info(self, width):
        """Answer GET_DISPLAY_INFO."""
        self.answer(3, struct.pack("<IIQII", OK_INFO, 0, 0, 0, 0) + struct.pack("<IIIIII", 0, 0, width, 9, 1, 0) * 16)

    def edid(self):
        """Answer GET_EDID."""
        self.answer(11, struct.pack("<IIQIIII", OK_EDID, 0, 0, 0, 0, 128, 0) + b"edid" * 256)


def test_answers_go_to_the_command_that_asked_for_them(service, machine):
    """Stopped and started on the same display, with a question open: its answer comes when another command waits."""
    made = machine(service)
    display = Hand(made)
    info, info_at = put(made, req(0x100))
    assert display.asked() == 3
    stop_rings(made)
    edid, edid_at = put(made, get_edid(0), 1056)
    start_rings(made)
    display.info(640)
    assert display.asked() in (3, 11)
    made.settle()  # the first command is answered and the second waits for its own answer
    display.info(800)
    assert display.asked() == 11
    made.settle()
    display.edid()
    used = []
    while len(used) < 2:
        used += made.vmm.wait_used(0)
    assert used == [(info, 408), (edid, 1056)]
    assert struct.unpack_from("<I", made.vmm.ram.view(info_at, 408)) == (OK_INFO,)
    assert struct.unpack_from("<I", made.vmm.ram.view(edid_at, 1056)) == (OK_EDID,)
    assert bytes(made.vmm.ram.view(edid_at + 32, 1024)) == b"edid" * 256
    display.socket.close()


# Displays


def test_another_display_is_told_everything_at_once(service, machine):
    made = machine(service)
    picture, image = made.show(), cursor(made)
    made.driver.set_scanout(3, 1, Rect(10, 10, 50, 40))
    for _ in range(3):
        made.new_display(DisplayReader(modes=((320, 200),)))
        made.sees(picture)
        made.display.wait_until(lambda: made.display.outputs[3].painted >= 2000, "the second output", PATIENCE)
        made.display.wait_until(lambda: made.display.outputs[0].cursor.image == image, "the cursor", PATIENCE)
        assert [name for name, _ in log(made.display)] == ["SCANOUT", "UPDATE", "CURSOR_UPDATE", "SCANOUT", "UPDATE"]
        assert made.display.outputs[0].cursor.x == 10
        assert made.display.violations == []


def test_the_old_display_s_socket_is_closed(service, machine):
    made = machine(service)
    made.show()
    ours, theirs = socket.socketpair()
    with theirs:
        made.vmm.tell(made.vmm.session.gpu_set_socket(theirs.fileno()))
    made.new_display()
    ours.settimeout(PATIENCE)
    while ours.recv(1 << 20):
        pass
    ours.close()
    made.driver.flush(1, FULL)


def info_of(response):
    return response[24:]


def test_without_a_display_the_guest_gets_a_fallback(service, machine):
    made = machine(service)
    made.vmm.tell(made.vmm.session.gpu_set_socket(None))
    assert info_of(made.driver.get_display_info()) == FALLBACK
    response = made.driver.get_edid(0)
    assert struct.unpack_from("<II", response, 24) == (128, 0)
    assert sum(response[32 : 32 + 128]) % 256 == 0
    assert made.code(get_edid(15), room=1056) == OK_EDID
    made.show()
    made.vmm.stop()
    made.vmm.resume()
    assert info_of(made.driver.get_display_info()) != FALLBACK


def test_a_display_that_leaves_takes_nothing_with_it(service, machine, heard):
    made = machine(service)
    picture = made.show()
    made.display.detach()
    eventually(lambda: any(event == "display.lost" for event, _ in heard), "the display's end is noticed")
    for _ in range(3):
        made.driver.flush(1, FULL)
    assert info_of(made.driver.get_display_info()) == FALLBACK
    made.new_display()
    made.sees(picture)


def test_a_display_that_leaves_while_it_is_asked(service, machine):
    made = machine(service)
    made.driver.get_display_info()
    made.display.stall()
    head, answer = put(made, req(0x100))
    made.settle()
    made.display.detach()
    assert made.vmm.wait_used(0) == [(head, 408)]
    assert bytes(made.vmm.ram.view(answer + 24, 384)) == FALLBACK


@pytest.mark.parametrize("request_", [req(0x100), get_edid(0)])
def test_a_display_that_never_answers_is_not_waited_for_for_ever(service, machine, monkeypatch, heard, request_):
    monkeypatch.setattr(displays, "PATIENCE_S", 0.05)
    made = machine(service)
    made.driver.get_display_info()
    picture = made.show()
    made.display.stall()
    response = made.driver.command(request_)
    assert [event for event, _ in heard if event.startswith("display")] == ["display.silent"]
    if response.type == OK_INFO:
        assert info_of(response.data) == FALLBACK
    else:
        assert response.type == OK_EDID
        assert struct.unpack_from("<II", response.data, 24) == (128, 0)
    made.driver.flush(1, FULL)
    made.new_display(DisplayReader(modes=((320, 200),)))
    made.sees(picture)


def test_a_display_that_never_negotiates_is_not_waited_for_for_ever(service, machine, monkeypatch):
    monkeypatch.setattr(displays, "PATIENCE_S", 0.05)
    made = machine(service, begin=False)
    made.display.stall()
    made.start()
    for request in (req(0x100), get_edid(0), req(0x100), get_edid(1)):
        assert made.code(request) in (OK_INFO, OK_EDID)
    assert made.show()


@pytest.mark.parametrize("features", [0, 1, 2, 3])
def test_edid_is_the_display_s_only_when_it_offers_one(service, machine, features):
    blob = bytes(range(256))
    made = machine(service, display=DisplayReader(modes=((800, 600),), features=features, edid=blob))
    made.driver.get_display_info()
    response = made.driver.get_edid(0)
    asked = made.display.counts[Display.GET_EDID]
    if features & 1:
        assert (asked, struct.unpack_from("<I", response, 24)) == (1, (256,))
        assert response[32:] == blob + bytes(768)
    else:
        assert (asked, struct.unpack_from("<I", response, 24)) == (0, (128,))
        timing = response[32 + 54 :]
        assert (timing[2] | (timing[4] & 0xF0) << 4, timing[5] | (timing[7] & 0xF0) << 4) == (800, 600)
    assert made.display.violations == []


def test_edid_asked_before_the_display_has_negotiated(service, machine):
    blob = bytes(reversed(range(128)))
    made = machine(service, display=DisplayReader(modes=((800, 600),), edid=blob), begin=False)
    made.display.stall()
    made.start()
    head, answer = put(made, get_edid(0), 1056)
    made.settle()
    made.display.go_on()
    assert made.vmm.wait_used(0) == [(head, 1056)]
    assert bytes(made.vmm.ram.view(answer + 32, 128)) == blob


def test_wanted_sizes_need_no_display(serve, machine):
    made = machine(serve(sizes=[(640, 480), (800, 600)]))
    info = info_of(made.driver.get_display_info())
    assert info[:48] == struct.pack("<12I", 0, 0, 640, 480, 1, 0, 0, 0, 800, 600, 1, 0)
    assert info[48:] == bytes(14 * 24)
    assert made.display.counts[Display.GET_DISPLAY_INFO] == made.display.counts[Display.GET_EDID] == 0
    assert made.vmm.device_config().num_scanouts == 2
    timing = made.driver.get_edid(1)[32 + 54 :]
    assert (timing[2] | (timing[4] & 0xF0) << 4, timing[5] | (timing[7] & 0xF0) << 4) == (800, 600)


WRONG = [
    pytest.param(struct.pack("=III", 1, 4, 8) + bytes(8), id="answer to nothing"),
    pytest.param(struct.pack("=III", 3, 4, 407), id="wrong size"),
    pytest.param(struct.pack("=III", 3, 0, 408), id="no reply flag"),
    pytest.param(b"\xff" * 4096, id="noise"),
]


@pytest.mark.parametrize("noise", WRONG)
def test_a_display_that_breaks_the_protocol_is_dropped_and_the_guest_goes_on(service, machine, heard, noise):
    made = machine(service)
    picture = made.show()
    ours, theirs = socket.socketpair()
    with theirs:
        made.vmm.tell(made.vmm.session.gpu_set_socket(theirs.fileno()))
    ours.settimeout(PATIENCE)
    assert ours.recv(12) == struct.pack("=III", 1, 0, 0)
    ours.sendall(struct.pack("=IIIQ", 1, 4, 8, 0))
    made.settle()
    ours.sendall(noise)
    eventually(lambda: any(event == "display.lost" for event, _ in heard), "the display is dropped")
    ours.close()
    assert info_of(made.driver.get_display_info()) == FALLBACK
    made.driver.flush(1, FULL)
    made.new_display()
    made.sees(picture)


# The deadlock: a display that does not read while the control socket waits for an answer


def test_config_reads_are_answered_while_a_frame_waits_for_the_display(service, machine):
    made = machine(service, modes=((1920, 1080),))
    picture = bytearray(made.show(1920, 1080))
    made.sees(bytes(picture))
    backing = made.vmm.ram.contiguous(len(picture))
    picture[:] = os.urandom(len(picture))
    backing.write(0, picture)
    made.driver.detach_backing(1)
    made.driver.attach_backing(1, backing)
    made.display.stall()
    full = Rect(0, 0, 1920, 1080)
    made.driver.transfer(1, full, 0)
    head, _ = put(made, flush(1, (0, 0, 1920, 1080)), 24)
    for _ in range(50):
        assert len(made.vmm.read_config()) == 16  # fails after PATIENCE when it is not answered
    assert not made.vmm.rings[0].queue.ready, "8 MB fitted into the socket; the test has no point"
    made.display.go_on()
    assert made.vmm.wait_used(0) == [(head, 24)]
    made.sees(bytes(picture))


def test_a_frame_that_waits_is_finished_when_the_device_stops(service, machine):
    made = machine(service, modes=((1920, 1080),))
    picture = made.show(1920, 1080)
    made.sees(picture)
    vmm = made.vmm
    made.display.stall()
    head, _ = put(made, flush(1, (0, 0, 1920, 1080)), 24)
    sender = service._server.session.device.sender
    eventually(lambda: not sender.outbox.empty, "the frame has begun")
    # The back-end must stop at once, although the display took nothing; what it began must stay in step.
    stop_rings(made)
    assert vmm.rings[0].queue.collect() == [(head, 24)], "the answer came before the ring's stop"
    made.display.go_on()
    vmm.resume()
    made.sees(picture)
    assert made.display.violations == []


def test_a_stalled_display_can_be_replaced(service, machine):
    made = machine(service, modes=((1920, 1080),))
    picture = made.show(1920, 1080)
    made.sees(picture)
    made.display.stall()
    head, _ = put(made, flush(1, (0, 0, 1920, 1080)), 24)
    made.settle()
    made.new_display(DisplayReader(modes=((1920, 1080),)))
    assert made.vmm.wait_used(0) == [(head, 24)]
    made.sees(picture)


# Front-ends that die

FRONT_END = """
import os, sys, time
from tests.backend.conftest import Machine
from tests.gpu.rig import flush
made = Machine(sys.argv[1], modes=((1920, 1080),)).start()
made.show(1920, 1080)
made.display.stall()
ram, queue = made.vmm.ram, made.vmm.rings[0].queue
place = ram.allocate(64)
ram.view(place, 48)[:] = flush(1, (0, 0, 1920, 1080))
queue.add([(place, 48)], [(ram.allocate(64), 24)])
made.vmm.kick()
made.settle()
print("ready", flush=True)
time.sleep(60)
"""


def test_a_front_end_killed_in_the_middle_of_a_frame_makes_room_for_the_next(service, machine):
    argv = [sys.executable, "-c", FRONT_END, str(service.path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    made = machine(service)
    made.sees(made.show())
    assert service.sessions == 2


@pytest.mark.parametrize("cut", [1, 11, 12, 13, 19])
def test_a_front_end_gone_in_the_middle_of_a_message_makes_room_for_the_next(service, machine, heard, cut):
    peer = Raw(service.path)
    event = os.eventfd(0)
    peer.send(struct.pack("=IIIQ", 13, 1, 8, 0)[:cut], [event])
    os.close(event)
    peer.close()
    made = machine(service)
    made.sees(made.show())
    assert ("session.ended", {"why": "inside a message"}) in heard


def test_pictures_of_one_guest_are_not_shown_to_the_next(service, machine):
    first = Machine(service.path).start()
    first.sees(first.show())
    first.close()
    made = machine(service)
    assert made.code(flush(1, (0, 0, 320, 200))) == BAD_RESOURCE
    assert log(made.display) == []
    assert made.display.outputs[0].updates == 0
