"""Checks that name a fault which others only suffer from: misread messages, and what a patient driver never notices.

Source: QEMU docs/interop/vhost-user, VHOST_USER_SET_VRING_ADDR, "Ring states"; VIRTIO-1.2 2.7.5.3, 2.7.7, 5.7.6.8.
"""

import time
from collections.abc import Callable

from outboard.conformance.bench import Bench
from outboard.conformance.check import (
    MUST,
    SHOULD,
    VHOST_USER,
    VIRTIO,
    Checks,
    Failed,
    NotApplicable,
    expect,
)
from outboard.conformance.machine import Machine
from outboard.errors import OutboardError
from outboard.frontend.ram import GuestRam
from outboard.frontend.ring import take
from outboard.spec.vhost_user import Header, Req, VringAddr
from outboard.spec.virtio import Feature
from outboard.spec.virtio_gpu import Cmd, CtrlHdr, Rect
from outboard.vhost_user.frontend import Message

checks = Checks()
RING_REQUESTS = frozenset(
    {
        Req.SET_VRING_NUM,
        Req.SET_VRING_ADDR,
        Req.SET_VRING_BASE,
        Req.SET_VRING_KICK,
        Req.SET_VRING_CALL,
        Req.SET_VRING_ERR,
        Req.SET_VRING_ENABLE,
    }
)
QUIET_S = 0.25
PAUSE_S = 0.01
SMALL = 4
"""Descriptors of a ring that is shorter than the indirect table it holds."""


# Misread: what does not work as the document has it, works the other way


def _executes(machine: Machine) -> bool:
    try:
        machine.start()
        machine.works()
    except (OutboardError, Failed):
        return False
    return True


def _misread(check_id: str, says: str, misread: Callable[[GuestRam, Message], Message], got: str) -> None:
    """Register a check that starts the rings as they should be, and, when nothing works, as a misreader has them."""

    def run(bench: Bench) -> None:
        machine = bench.machine(start=False)
        if _executes(machine):
            return
        vmm, tell = machine.vmm, machine.vmm.tell
        vmm.stop()
        vmm.shows = False
        vmm.tell = lambda message: tell(misread(vmm.ram, message))  # type: ignore[method-assign]
        if _executes(machine):
            raise Failed(says.rstrip("."), got)
        raise NotApplicable("the rings do not work otherwise either")

    checks.add(check_id, VHOST_USER, "VHOST_USER_SET_VRING_ADDR", MUST, says, run)


def _readdressed(message: Message, change: Callable[[VringAddr], VringAddr]) -> Message:
    if Header.unpack_from(message.data).request != Req.SET_VRING_ADDR:
        return message
    addr = change(VringAddr.unpack_from(message.data, Header.sizeof))
    return message._replace(data=message.data[: Header.sizeof] + addr.pack())


def _swapped(_: GuestRam, message: Message) -> Message:
    return _readdressed(
        message,
        lambda addr: VringAddr(addr.index, addr.flags, addr.descriptor, addr.available, addr.used, addr.log),
    )


def _guest_addresses(ram: GuestRam, message: Message) -> Message:
    def guest(user_addr: int) -> int:
        regions = (one for one in ram.regions if one.user_addr <= user_addr < one.user_addr + one.size)
        region = next(regions)
        return user_addr - region.user_addr + region.guest_addr

    return _readdressed(
        message,
        lambda addr: VringAddr(
            addr.index, addr.flags, guest(addr.descriptor), guest(addr.used), guest(addr.available), addr.log
        ),
    )


def _other_ring(_: GuestRam, message: Message) -> Message:
    if Header.unpack_from(message.data).request not in RING_REQUESTS:
        return message
    data = bytearray(message.data)
    data[Header.sizeof] ^= 1
    return message._replace(data=bytes(data))


_misread(
    "vring.addr.order",
    "SET_VRING_ADDR gives the descriptor table, the used ring and the available ring, in this order.",
    _swapped,
    "rings that work when the available ring stands before the used ring",
)
_misread(
    "vring.addr.user",
    "SET_VRING_ADDR gives addresses of the front-end's, as the regions' userspace addresses are, not of the guest.",
    _guest_addresses,
    "rings that work when they are given by guest addresses",
)
_misread(
    "vring.index.control",
    "Ring 0 is the control queue, ring 1 the cursor queue.",
    _other_ring,
    "rings that work when the control queue is ring 1",
)


# What a patient back-end does late


@checks.check("vring.enable.in_time", VHOST_USER, "Ring states", MUST)
def enable_in_time(bench: Bench) -> None:
    """A ring that was started but never enabled is left alone, however much time there is to process it."""
    machine = bench.machine(start=False)
    machine.vmm.enables = False
    machine.start()
    machine.put(CtrlHdr(Cmd.RESOURCE_UNREF))
    end = time.monotonic() + QUIET_S
    while time.monotonic() < end:
        machine.vmm.read_config()
        time.sleep(PAUSE_S)
        expect(not machine.vmm.rings[0].queue.ready, "nothing on the used ring", "a used element")


# Interrupts: a driver that looks again after a while never misses one


def _interrupted(machine: Machine, why: str) -> None:
    """Execute a command; raise Failed unless the eventfd of now is signalled for it."""
    ring = machine.vmm.rings[0]
    ring.queue.want_interrupt()
    take(ring.call_fd)
    machine.put(CtrlHdr(Cmd.RESOURCE_UNREF))
    machine.until(lambda: ring.queue.ready, "a used element")
    machine.until(lambda: take(ring.call_fd), f"an interrupt {why}")
    ring.queue.collect()


@checks.check("vring.call.newest", VHOST_USER, "VHOST_USER_SET_VRING_CALL", MUST)
def call_newest(bench: Bench) -> None:
    """The eventfd that SET_VRING_CALL gave last is the one that is signalled."""
    machine = bench.machine()
    for _ in range(2):
        machine.vmm.replace_call_fd(0)
        machine.vmm.read_config()  # a queue of its own thread may be slower than the control socket
        _interrupted(machine, "by the new eventfd")


@checks.check("queue.interrupt.used_event", VIRTIO, "2.7.7", MUST)
def interrupt_used_event(bench: Bench) -> None:
    """With EVENT_IDX an interrupt comes for the element that used_event names."""
    machine = bench.machine()
    if not machine.vmm.session.features & Feature.EVENT_IDX:
        raise NotApplicable("the back-end does not offer EVENT_IDX")
    for _ in range(3):
        _interrupted(machine, "for the element that used_event names")


# Virtqueues


@checks.check("queue.kick.after_pause", VIRTIO, "2.7.10", MUST)
def kick_after_pause(bench: Bench) -> None:
    """A device that has gone to sleep asks for a kick: a driver that kicks only when asked wakes it."""
    machine = bench.machine()
    for _ in range(3):
        machine.works()
        time.sleep(QUIET_S / 2)
    machine.driver.move_cursor(0, 1, 1, 1)


@checks.check("queue.indirect.longer_than_ring", VIRTIO, "2.7.5.3", SHOULD)
def indirect_longer_than_ring(bench: Bench) -> None:
    """An indirect table may have more descriptors than its queue, as Linux makes them."""
    machine = bench.machine(queue_sizes=(SMALL, SMALL), indirect=True, piece=4)
    if not machine.vmm.session.features & Feature.INDIRECT_DESC:
        raise NotApplicable("the back-end does not offer INDIRECT_DESC")
    machine.works()


# Pictures


@checks.check("picture.outputs.mirror_flush", VIRTIO, "5.7.6.8", MUST)
def outputs_mirror_flush(bench: Bench) -> None:
    """One resource on two outputs that both show it already: what is flushed later reaches both."""
    machine = bench.machine(modes=((64, 48), (64, 48)))
    pixels = bytearray(machine.create())
    full = Rect(0, 0, 64, 48)
    for scanout_id in (0, 1):
        machine.driver.set_scanout(scanout_id, 1, full)
    machine.driver.flush(1, full)
    for scanout_id in (0, 1):
        machine.sees(64, 48, bytes(pixels), scanout_id)
    machine.driver.detach_backing(1)
    pixels[:] = pixels[::-1]
    backing = machine.vmm.ram.contiguous(len(pixels))
    backing.write(0, pixels)
    machine.driver.attach_backing(1, backing)
    machine.driver.transfer(1, full, 0)
    machine.driver.flush(1, full)
    for scanout_id in (0, 1):
        machine.sees(64, 48, bytes(pixels), scanout_id)
