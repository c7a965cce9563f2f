"""Hundreds of front-ends, good and bad: no fd and no memory stays behind."""

import gc
import os
import random
import socket
import struct
from pathlib import Path

import pytest

from outboard.frontend.ram import Span
from tests.backend.conftest import Machine, Raw, eventually
from tests.gpu.rig import flush, req

pytestmark = pytest.mark.usefixtures("patient")

SESSIONS = 200


def fds():
    """Return the open fds of this process and what they are."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            pass
    return found


def resident():
    """Return the resident memory of this process in KiB."""
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0])


def mapped():
    """Return the bytes of guest memory that are mapped in this process."""
    total = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "memfd:guest-ram" in line:
            start, end = line.split()[0].split("-")
            total += int(end, 16) - int(start, 16)
    return total


def good(service, rng):
    """A machine that draws and leaves."""
    made = Machine(service.path, modes=((64, 64),)).start()
    made.sees(made.show(64, 64, seed=rng.random()))
    made.close()


def restarted(service, rng):
    """A machine that stops, resumes, resets, changes displays and memory."""
    made = Machine(service.path, modes=((64, 64),), mem_slots=rng.random() < 0.5).start()
    made.show(64, 64)
    made.vmm.stop()
    made.vmm.resume()
    made.new_display()
    made.vmm.reset()
    made.vmm.start()
    made.code(req(0x100))
    made.close()


def stalled(service, rng):
    """A machine whose display does not read, gone in the middle of a frame."""
    made = Machine(service.path, modes=((512, 512),)).start()
    made.sees(made.show(512, 512))
    made.display.stall()
    ram, queue = made.vmm.ram, made.vmm.rings[0].queue
    place = ram.allocate(4096)
    for at in range(4):
        ram.view(place + 64 * at, 48)[:] = flush(1, (0, 0, 512, 512))
        queue.add([(place + 64 * at, 48)], [(ram.allocate(64), 24)])
    made.vmm.kick()
    made.settle()
    made.close()


def rude(service, rng):
    """Messages cut anywhere, with fds that are never taken."""
    peer = Raw(service.path)
    left, right = socket.socketpair()
    event = os.eventfd(0)
    numbers = [5, 12, 13, 14, 21, 33, 37, 38, 1000]
    for _ in range(rng.randrange(6)):
        number = rng.choice(numbers)
        fd = rng.choice([left.fileno(), event])
        data = struct.pack("=III", number, 9, 8) + bytes(8)
        try:
            peer.send(data[: rng.randint(1, 20)], [fd] * rng.randrange(9))
        except OSError:
            break
    peer.close()
    left.close()
    right.close()
    os.close(event)


def test_nothing_stays_behind(service):
    rng = random.Random(1)
    kinds = [good, restarted, stalled, rude, rude]
    for kind in kinds * 4:  # caches, pools and threads come to their size
        kind(service, rng)
    eventually(lambda: service.sessions == 4 * len(kinds) and not service.connected, "all were served and left")
    gc.collect()
    before, memory = fds(), resident()
    for at in range(SESSIONS):
        kinds[at % len(kinds)](service, rng)
        if at % 10 == 9:
            gc.collect()  # what waits for the collector waits longer, and takes more room, the more a process holds
    sessions = SESSIONS + 4 * len(kinds)
    eventually(lambda: service.sessions == sessions and not service.connected, "all were served and left")
    after = fds()
    assert sorted(after.values()) == sorted(before.values())
    gc.collect()
    assert resident() - memory < 16 << 10, "KiB more than before"


def test_guest_memory_is_let_go_when_the_front_end_leaves(service):
    gc.collect()
    gc.disable()  # a device's cycles may wait for the collector, the guest's memory may not
    try:
        before = mapped()  # by what ran before in this process
        made = Machine(service.path).start()
        made.show()
        own = sum(region.size for region in made.vmm.ram.regions)
        assert mapped() == before + 2 * own, "the machine's mappings and the back-end's"
        made.vmm.control.socket.shutdown(socket.SHUT_RDWR)
        eventually(lambda: not service.connected, "the front-end left")
        eventually(lambda: mapped() == before + own, "the back-end's mappings are gone")
        made.close()
    finally:
        gc.enable()


def test_memory_that_is_taken_away_is_let_go(service, machine):
    made = machine(service)
    made.show()
    before = mapped()
    ram = made.vmm.ram
    more = [ram.grow(Span(0x2_0000_0000 + (turn << 28), 1 << 20)) for turn in range(5)]
    for _ in range(3):
        made.vmm.send_memory()
        made.settle()
        assert mapped() == before + 2 * (5 << 20)
        for at in more:
            made.vmm.forget_memory(ram.description(at))
    eventually(lambda: mapped() == before + (5 << 20), "only the machine's own mappings are left")
