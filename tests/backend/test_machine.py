"""A machine in front of the back-end: pictures through every kind of ring and memory, and what happens in between."""

import os
import random
import struct

import pytest

from outboard.errors import LocalError, ProtocolError
from outboard.frontend.display_reader import DisplayReader
from outboard.frontend.ram import Span
from outboard.frontend.vmm import FEATURES
from outboard.machine.gpu_driver import GpuDriver
from outboard.spec.vhost_user import ProtocolFeature, Req
from outboard.spec.virtio import Feature
from outboard.spec.virtio_gpu import Format, MemEntry, Rect, ResourceAttachBacking, ResourceFlush, TransferToHost2D
from tests.backend.conftest import eventually
from tests.gpu.rig import OK, UNSPEC, flush, req, transfer

pytestmark = pytest.mark.usefixtures("patient")

MINIMUM = ProtocolFeature.CONFIG


@pytest.mark.parametrize("mem_slots", [False, True])
@pytest.mark.parametrize("ack_all", [False, True])
@pytest.mark.parametrize("sizes", [(64, 16), (256, 16), (1024, 1024), (1, 1)])
def test_a_frame_arrives_in_both_memory_styles(service, machine, mem_slots, ack_all, sizes):
    if sizes == (1, 1):
        made = machine(service, queue_sizes=sizes, mem_slots=mem_slots, ack_all=ack_all, begin=False)
        made.vmm.negotiate()
        made.vmm.start()
        made.driver = GpuDriver(made.vmm, indirect=True)
    else:
        made = machine(service, queue_sizes=sizes, mem_slots=mem_slots, ack_all=ack_all)
    made.sees(made.show())


@pytest.mark.parametrize("features", [FEATURES, FEATURES & ~Feature.EVENT_IDX, FEATURES & ~Feature.INDIRECT_DESC])
@pytest.mark.parametrize("protocol_features", [MINIMUM, MINIMUM | ProtocolFeature.MQ])
def test_a_front_end_that_knows_little_is_served(service, machine, features, protocol_features):
    made = machine(service, features=features, protocol_features=protocol_features)
    made.sees(made.show())
    made.vmm.stop()
    made.vmm.resume()
    made.sees(made.show(seed=2, resource_id=2))


def test_bits_that_were_not_offered_are_tolerated(service, machine):
    made = machine(service, begin=False)
    made.vmm.negotiate()
    made.vmm.session.features_offered |= Feature.RING_RESET | Feature.NOTIFY_ON_EMPTY
    made.vmm._features |= Feature.RING_RESET | Feature.NOTIFY_ON_EMPTY
    made.vmm.start()
    made.driver = GpuDriver(made.vmm)
    made.sees(made.show())


@pytest.mark.parametrize("indirect", [False, True])
@pytest.mark.parametrize("piece", [0, 1, 7, 24])
def test_requests_and_answers_may_be_scattered(service, machine, indirect, piece):
    made = machine(service, queue_sizes=(256, 16))
    made.driver = GpuDriver(made.vmm, indirect=indirect, piece=piece)
    made.sees(made.show())
    assert len(made.driver.get_display_info()) == 408


def test_a_backing_over_two_regions_that_are_neighbours_only_in_the_guest(service, machine):
    spans = (Span(0, 2 << 20), Span(0x1000_0000, 1 << 20), Span(0x1010_0000, 1 << 20))
    made = machine(service, spans=spans)
    picture = random.Random(3).randbytes(320 * 200 * 4)
    first = 100_000
    made.vmm.ram.view(0x1010_0000 - first, first)[:] = picture[:first]
    made.vmm.ram.view(0x1010_0000, len(picture) - first)[:] = picture[first:]
    made.driver.create_2d(1, Format.B8G8R8X8, 320, 200)
    entry = MemEntry(0x1010_0000 - first, len(picture)).pack()
    made.driver.ok(ResourceAttachBacking(resource_id=1, nr_entries=1), entry)
    full = Rect(0, 0, 320, 200)
    made.driver.transfer(1, full, 0)
    made.driver.set_scanout(0, 1, full)
    made.driver.flush(1, full)
    made.sees(picture)


def test_eight_regions_in_one_table(service, machine):
    spans = tuple(Span(at << 28, 1 << 20) for at in range(8))
    made = machine(service, spans=spans, mem_slots=False)
    made.sees(made.show(width=64, height=64))


def test_memory_added_while_frames_run_is_memory_at_once(service, machine):
    made = machine(service)
    picture = made.show()
    for turn in range(3):
        at = made.vmm.ram.grow(Span(0x2_0000_0000 + (turn << 28), 1 << 20))
        made.vmm.send_memory()
        place = made.vmm.ram.allocate(len(picture), region=at)
        made.vmm.ram.view(place, len(picture))[:] = picture
        request = ResourceAttachBacking(resource_id=10 + turn, nr_entries=1)
        made.driver.create_2d(10 + turn, Format.B8G8R8X8, 320, 200)
        made.driver.ok(request, MemEntry(place, len(picture)).pack())
        made.driver.transfer(10 + turn, Rect(0, 0, 320, 200), 0)
        made.driver.set_scanout(0, 10 + turn, Rect(0, 0, 320, 200))
        made.sees(picture)
        made.vmm.forget_memory(made.vmm.ram.description(at))
        assert made.code(transfer(10 + turn, (0, 0, 320, 200))) == UNSPEC
        assert made.code(flush(10 + turn, (0, 0, 320, 200))) == OK
        made.sees(picture)


def test_a_ring_whose_memory_goes_away_is_broken_and_comes_back(service, machine):
    made = machine(service)
    picture = made.show()
    ring_region = made.vmm.ram.description(0)
    made.vmm.forget_memory(ring_region)
    eventually(lambda: made.vmm.broken(0), "the error eventfd")
    made.vmm.send_memory()
    made.driver.flush(1, Rect(0, 0, 320, 200))
    made.sees(picture)


def test_answers_are_not_lost_when_memory_changes_before_the_driver_saw_them(service, machine):
    """A stalled display holds the used ring back; a region that comes meanwhile must not make it forget."""
    made = machine(service, modes=((1024, 1024),))
    made.sees(made.show(1024, 1024, resource_id=2))
    made.display.stall()
    queue, ram = made.vmm.rings[0].queue, made.vmm.ram
    places = []
    for _ in range(4):  # a picture each: too much for the socket, so that their answers wait
        request = flush(2, (0, 0, 1024, 1024))
        place, room = ram.allocate(64), ram.allocate(64)
        ram.view(place, len(request))[:] = request
        places.append((queue.add([(place, len(request))], [(room, 24)]), room))
    made.vmm.kick()
    made.settle()
    assert not queue.ready, "the frames fitted into the socket; the test has no point"
    made.vmm.ram.grow(Span(0x2_0000_0000, 1 << 20))
    made.vmm.send_memory()
    made.settle()
    made.display.go_on()
    used = []
    while len(used) < 4:
        used += made.vmm.wait_used(0)
    assert sorted(used) == sorted((head, 24) for head, _ in places)
    assert all(bytes(ram.view(room, 4)) == struct.pack("<I", OK) for _, room in places)
    assert made.code(req(0x100)) == 0x1101


def test_a_kick_that_came_before_the_ring_was_enabled_is_not_lost(service, machine):
    made = machine(service)
    for enabled_last in (0, 1):
        made.vmm.tell(made.vmm.session.set_vring_enable(0, False))
        made.settle()
        request = req(0x100)
        place, room = made.vmm.ram.allocate(64), made.vmm.ram.allocate(408)
        made.vmm.ram.view(place, 24)[:] = request
        head = made.vmm.rings[0].queue.add([(place, 24)], [(room, 408)])
        made.vmm.kick()
        made.settle()
        assert not made.vmm.rings[0].queue.ready, "a ring that is disabled is not processed"
        made.vmm.tell(made.vmm.session.set_vring_enable(0, True))
        assert made.vmm.wait_used(0) == [(head, 408)], enabled_last


def test_a_reset_device_has_its_rings_disabled(service, machine):
    made = machine(service, ack_all=True)
    vmm, session = made.vmm, made.vmm.session
    vmm.tell(session.get(Req.RESET_DEVICE))  # while the rings run
    for ring in vmm.rings:
        ring.clear(True)
    vmm.send_memory()
    for index, ring in enumerate(vmm.rings):
        vmm._place(index, ring)
    place, room = vmm.ram.allocate(64), vmm.ram.allocate(408)
    vmm.ram.view(place, 24)[:] = req(0x100)
    head = vmm.rings[0].queue.add([(place, 24)], [(room, 408)])
    vmm.kick()
    made.settle()
    assert not vmm.rings[0].queue.ready, "nobody enabled the ring"
    for index in (0, 1):
        vmm.tell(session.set_vring_enable(index, True))
    assert vmm.wait_used(0) == [(head, 408)]


def test_without_protocol_features_rings_run_once_they_are_started(service, machine):
    """Bit 30 not acknowledged: SET_FEATURES enables the rings, and nobody sends SET_VRING_ENABLE."""
    made = machine(service, begin=False)
    vmm, session = made.vmm, made.vmm.session
    vmm.negotiate()
    for ring in vmm.rings:
        ring.clear(True)
    made.new_display()
    vmm.tell(session.set_features(int(Feature.VERSION_1 | Feature.INDIRECT_DESC | Feature.EVENT_IDX)))
    session.features = int(Feature.VERSION_1 | Feature.INDIRECT_DESC | Feature.EVENT_IDX)
    vmm.send_memory()
    for index, ring in enumerate(vmm.rings):
        vmm._place(index, ring)
    made.driver = GpuDriver(vmm)
    made.sees(made.show())


def test_call_fds_come_and_go(service, machine):
    made = machine(service, ack_all=True)
    session = made.vmm.session
    request = flush(1, (0, 0, 320, 200))
    made.show()
    place, room = made.vmm.ram.allocate(64), made.vmm.ram.allocate(64)
    made.vmm.ram.view(place, len(request))[:] = request
    queue = made.vmm.rings[0].queue
    for _ in range(3):
        made.vmm.tell(session.set_vring_fd(Req.SET_VRING_CALL, 0, None))
        made.vmm.interrupts(0)
        queue.add([(place, len(request))], [(room, 24)])
        queue.want_interrupt()
        made.vmm.kick()
        eventually(lambda: queue.ready, "the used element")
        made.settle()
        assert made.vmm.interrupts(0) == 0
        queue.collect()
        made.vmm.replace_call_fd(0)
        made.settle()
        assert made.vmm.interrupts(0) >= 1, "what was used without a call fd is signalled on the next one"


def test_interrupts_are_suppressed_as_the_driver_asks(service, machine):
    made = machine(service, features=FEATURES & ~Feature.EVENT_IDX)
    made.show()
    queue = made.vmm.rings[0].queue
    place, room = made.vmm.ram.allocate(64), made.vmm.ram.allocate(64)
    request = flush(1, (0, 0, 320, 200))
    made.vmm.ram.view(place, len(request))[:] = request
    made.settle()
    made.vmm.interrupts(0)
    queue.refuse_interrupts()
    for _ in range(5):
        queue.add([(place, len(request))], [(room, 24)])
        made.vmm.kick()
        eventually(lambda: queue.ready, "the used element")
        queue.collect()
    made.settle()
    assert made.vmm.interrupts(0) == 0


MALFORMED = [
    ("head", [], 0xFFFF),
    ("next", [(0x1000, 16, 1, 999)], 0),
    ("loop", [(0x1000, 16, 1, 0)], 0),
    ("memory", [(0x7000_0000, 16, 0, 0)], 0),
    ("order", [(0x1000, 16, 3, 1), (0x1000, 16, 0, 0)], 0),
    ("table", [(0x1000, 17, 4, 0)], 0),
]


@pytest.mark.parametrize(("rows", "head"), [row[1:] for row in MALFORMED], ids=[row[0] for row in MALFORMED])
def test_a_malformed_ring_stops_alone_and_a_reset_mends_it(service, machine, rows, head, heard):
    made = machine(service)
    made.show()
    queue = made.vmm.rings[0].queue
    for index, row in enumerate(rows):
        queue.write_desc(index, *row)
    queue.put_head(head)
    made.vmm.kick()
    eventually(lambda: made.vmm.broken(0), "the error eventfd")
    assert [fields["index"] for event, fields in heard if event == "ring.broken"] == [0]
    assert not made.vmm.broken(1)
    assert made.driver.move_cursor(0, 1, 5, 5, room=24).type == OK, "the other queue goes on"
    assert len(made.vmm.read_config()) == 16
    made.vmm.reset()
    made.vmm.start()
    made.driver = GpuDriver(made.vmm)
    made.sees(made.show(seed=2))


def test_an_available_index_too_far_ahead_breaks_the_ring(service, machine):
    made = machine(service)
    made.vmm.rings[1].queue.put_avail_idx(17)
    os.eventfd_write(made.vmm.rings[1].kick_fd, 1)
    eventually(lambda: made.vmm.broken(1), "the error eventfd")
    made.sees(made.show())


def test_a_front_end_that_lacks_what_qemu_needs_is_told(service, machine):
    made = machine(service, begin=False)
    made.vmm.negotiate()
    with pytest.raises(LocalError, match="refused SET_MEM_TABLE"):
        made.vmm.tell(made.vmm.session.set_mem_table([], []))
    made.vmm.start()


# Many commands at once


def test_a_ring_full_of_commands_is_answered_in_order(service, machine):
    made = machine(service, queue_sizes=(256, 16))
    made.show()
    queue, ram = made.vmm.rings[0].queue, made.vmm.ram
    heads, rooms = [], []
    for at in range(128):
        request = flush(1, (0, 0, 1 + at, 1)) if at % 3 else req(0x777)
        place, room = ram.allocate(64), ram.allocate(64)
        ram.view(place, len(request))[:] = request
        heads.append(queue.add([(place, len(request))], [(room, 24)]))
        rooms.append((room, OK if at % 3 else UNSPEC))
    made.vmm.kick()
    used = []
    while len(used) < 128:
        used += made.vmm.wait_used(0)
    assert used == [(head, 24) for head in heads]
    assert all(bytes(ram.view(room, 4)) == struct.pack("<I", code) for room, code in rooms)


def test_random_rectangles_make_the_same_picture_as_they_should(service, machine):
    made = machine(service, modes=((640, 480),))
    picture = bytearray(made.show(640, 480))
    made.sees(bytes(picture))
    rng = random.Random(4)
    backing = made.vmm.ram.scattered(640 * 480 * 4, seed=9)
    backing.write(0, picture)
    made.driver.detach_backing(1)
    made.driver.attach_backing(1, backing)
    for _ in range(60):
        x, y = rng.randrange(640), rng.randrange(480)
        w, h = rng.randint(1, 640 - x), rng.randint(1, 480 - y)
        for row in range(y, y + h):
            at = 4 * (640 * row + x)
            picture[at : at + 4 * w] = bytes(rng.getrandbits(8) for _ in range(4)) * w
            backing.write(at, picture[at : at + 4 * w])
        rect = Rect(x, y, w, h)
        made.driver.ok(TransferToHost2D(r=rect, offset=4 * (640 * y + x), resource_id=1))
        made.driver.ok(ResourceFlush(r=rect, resource_id=1))
    made.sees(bytes(picture))


def test_the_control_socket_s_end_is_noticed(service, machine):
    made = machine(service)
    made.show()
    service.close()
    with pytest.raises((ProtocolError, LocalError)):
        made.vmm.read_config()


def test_the_guest_is_told_its_sizes_by_the_front_end(service, machine):
    made = machine(service, modes=((800, 600), (0, 0), (1024, 768)))
    info = made.driver.get_display_info()
    outputs = [struct.unpack_from("<IIIIII", info, 24 + 24 * at) for at in range(16)]
    assert outputs[:3] == [(0, 0, 800, 600, 1, 0), (0, 0, 0, 0, 0, 0), (0, 0, 1024, 768, 1, 0)]
    assert outputs[3:] == [(0,) * 6] * 13


def test_a_threaded_display_serves_itself(service, machine):
    made = machine(service, display=DisplayReader(modes=((320, 200),), threaded=True))
    made.sees(made.show())
