"""What a guest or a front-end may take, that is memory, time, fds and pages under our reads; and what it leaves."""

import contextlib
import gc
import os
import socket
import struct
import tempfile
import tracemalloc

import pytest

from outboard import core
from outboard.backend import control
from outboard.backend import device as gpu_device
from outboard.errors import ProtocolError
from outboard.gpu import resources
from outboard.machine.gpu_driver import GpuDriver
from outboard.spec.vhost_user import MemoryRegion, Req
from outboard.spec.virtio_gpu import Format, Rect
from tests.backend.conftest import Machine, Raw, eventually
from tests.backend.test_leaks import mapped
from tests.backend.test_life import put
from tests.backend.test_orders import held
from tests.gpu.rig import NO_MEMORY, OK, Device, attach, create, flush, req, transfer

ENTRIES = 16384
"""As many backing entries as a command may have."""


def scattered(start):
    """Return ENTRIES ranges of one byte, no two of them neighbours."""
    return [(start + 2 * at, 1) for at in range(ENTRIES)]


def test_backings_count_against_the_limit(serve, machine):
    limit = 32 << 20
    service = serve(max_hostmem=limit)
    made = machine(service)
    request = attach(1, scattered(made.vmm.ram.allocate(2 * ENTRIES)))
    gpu = service._server.session.device.gpu
    codes = []
    while len(codes) < 255 and NO_MEMORY not in codes:
        number = len(codes) + 1
        assert made.code(create(number, width=1, height=1)) == OK
        codes.append(made.code(request[:24] + struct.pack("<I", number) + request[28:]))
    assert codes[-1] == NO_MEMORY
    assert limit - (4 << 20) < gpu.hostmem <= limit
    assert len(codes) < limit // (100 * ENTRIES), "an entry costs a hundred bytes at least"
    made.driver.unref(1)
    assert made.code(request[:24] + struct.pack("<I", len(codes)) + request[28:]) == OK


def test_a_backing_is_charged_at_least_what_it_holds():
    device = Device()
    device.do(create(1, width=1, height=1))
    request = attach(1, scattered(0x4000_0000))
    before = device.gpu.hostmem
    tracemalloc.start()
    try:
        device.offer(request)
        held_before = tracemalloc.get_traced_memory()[0]
        device.run()
        gc.collect()
        holds = tracemalloc.get_traced_memory()[0] - held_before
    finally:
        tracemalloc.stop()
    assert device.gpu.resources[1].backing.count == ENTRIES
    assert holds - (64 << 10) <= device.gpu.hostmem - before == resources.ENTRY_COST * ENTRIES + 24 * ENTRIES


def test_large_flushes_give_the_control_socket_its_turn(serve, machine, monkeypatch):
    service = serve()
    made = machine(service, queue_sizes=(256, 16))
    side = 2896  # a picture as large as the work of one turn
    made.driver.create_2d(1, 2, side, side)
    assert made.code(req(0x103, "IIIIII", 0, 0, side, side, 0, 1)) == OK
    made.vmm.tell(made.vmm.session.gpu_set_socket(None))
    assert made.code(flush(1, (0, 0, side, side))) == OK
    executed = []

    def counting(device, *args):
        executed.append(device.rings[0].commands.executed)
        return control.get_config(device, *args)

    monkeypatch.setitem(gpu_device.SERVED, Req.GET_CONFIG, counting)
    made.settle()
    with held(service):
        for _ in range(50):
            put(made, flush(1, (0, 0, side, side)), 24)
        made.vmm.control.send(made.vmm.session.get_config(0, 16))
    made.settle()
    assert executed[1] - executed[0] <= 8, "flushes before GET_CONFIG was answered"


def test_guest_memory_is_let_go_when_the_front_end_leaves_inside_a_frame(service):
    gc.collect()
    gc.disable()  # a device's cycles may wait for the collector, the guest's memory may not
    try:
        before = mapped()
        made = Machine(service.path, modes=((1920, 1080),)).start()
        own = sum(region.size for region in made.vmm.ram.regions)
        made.sees(made.show(1920, 1080))
        made.display.stall()
        put(made, transfer(1, (0, 0, 1920, 1080)), 24)
        put(made, flush(1, (0, 0, 1920, 1080)), 24)
        made.settle()
        assert mapped() - before == 2 * own, "the machine's mappings and the back-end's"
        made.vmm.control.socket.shutdown(socket.SHUT_RDWR)
        eventually(lambda: not service.connected, "the front-end left")
        eventually(lambda: mapped() - before == own, "the back-end's mappings are gone")
        made.close()
    finally:
        gc.enable()


@pytest.mark.skipif(core() == "plain", reason="plain Python cannot survive a file that is truncated under it")
def test_a_file_truncated_by_one_front_end_ends_that_one_and_no_other(serve, machine, heard):
    one, other = serve(), serve()
    bad, good = machine(one), machine(other)
    good.show()
    where, size = 0x9000_0000_0000, 1 << 20
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        bad.vmm.tell(bad.vmm.session.add_mem_reg(MemoryRegion(where, size, 0x7F90_0000_0000, 0), file.fileno()))
        assert bad.code(create(1, width=64, height=64)) == OK
        assert bad.code(attach(1, [(where, 64 * 64 * 4)])) == OK
        file.truncate(0)
        with pytest.raises(ProtocolError):
            for _ in range(2):  # it is noticed at the next look at the rings
                bad.driver.command(transfer(1, (0, 0, 64, 64)))
    eventually(lambda: not one.connected, "the front-end that truncated its file is sent away")
    assert good.code(flush(1, (0, 0, 320, 200))) == OK
    good.settle()
    ends = [fields["why"] for event, fields in heard if event == "session.ended"]
    assert len(ends) == 1 and ends[0].startswith("memory: ")
    assert other.connected


def opened(name):
    """Return the open fds of this process for what has this name."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"/proc/self/fd/{fd}") == name:
                found.add(int(fd))
    return found


@pytest.mark.parametrize("head", [0, 12])
def test_fds_without_end_are_refused_and_closed(service, machine, heard, head):
    """`head`: bytes of the message that come before, and no fds with them."""
    reading, writing = os.pipe()
    name = os.readlink(f"/proc/self/fd/{reading}")
    peer = Raw(service.path)
    message = struct.pack("=III", Req.SET_MEM_TABLE, 1, 264) + bytes(264)
    if head:
        peer.send(message[:head])
    for at in range(head, head + 8):
        try:
            peer.send(message[at : at + 1], [reading] * 8)
        except BrokenPipeError:
            break
    assert peer.ended()
    peer.close()
    eventually(lambda: opened(name) == {reading, writing}, "no copy of the fd stays")
    eventually(lambda: heard[-1][0] == "session.ended" and "fds" in heard[-1][1]["why"], "it is said why")
    made = machine(service)
    made.sees(made.show())
    os.close(reading)
    os.close(writing)


def test_pixels_that_a_short_backing_does_not_have_stay(service, machine):
    made = machine(service)
    pixel = bytes([1, 2, 3, 4])
    backing, row = made.vmm.ram.contiguous(16 * 16 * 4), made.vmm.ram.contiguous(16 * 4)
    backing.write(0, pixel * 256)
    row.write(0, bytes([5, 6, 7, 8]) * 16)
    made.driver.create_2d(1, Format.R8G8B8A8, 16, 16)
    made.driver.set_scanout(0, 1, Rect(0, 0, 16, 16))
    for memory in (backing, row):
        made.driver.attach_backing(1, memory)
        assert made.code(transfer(1, (0, 0, 16, 16))) == OK
        made.driver.flush(1, Rect(0, 0, 16, 16))
        made.driver.detach_backing(1)
    shown = service.screens[0].frame().pixels
    assert (shown[0:3], shown[64:67]) == (bytes([7, 6, 5]), bytes([3, 2, 1]))


def test_a_screen_is_off_after_a_reset_and_after_its_guest(service, machine):
    made = machine(service)
    screen = service.screens[0]
    for leave in (made.vmm.reset, made.close):
        made.show()
        assert screen.active
        leave()
        eventually(lambda: not screen.active, "the screen is off")
        if leave == made.vmm.reset:
            assert service.connected
            made.vmm.start()
            made.driver = GpuDriver(made.vmm)
