"""Notifications both ways: when an interrupt has to come, when it must not, when a kick is asked for.

Source: VIRTIO-1.2 2.7.7 (interrupts), 2.7.10 (kicks).

A driver that looks at the used ring again after a while never misses an interrupt: here nobody looks.
"""

import time

from outboard.conformance.backend.bench import Bench
from outboard.conformance.backend.machine import Machine
from outboard.conformance.backend.queues import COMMAND, PLAIN, with_feature
from outboard.conformance.check import MUST, SHOULD, VIRTIO, Checks, expect
from outboard.frontend.ring import take
from outboard.spec.virtio import Feature
from outboard.spec.virtio_gpu import Cmd, CtrlHdr

checks = Checks()
PAUSE_S = 0.125
"""Long enough for any back-end to go to sleep."""


def interrupted(machine: Machine, why: str) -> None:
    """Execute a command; raise Failed unless the eventfd of now is signalled for it."""
    ring = machine.vmm.rings[0]
    ring.queue.want_interrupt()
    take(ring.call_fd)
    machine.put(CtrlHdr(Cmd.RESOURCE_UNREF))
    machine.until(lambda: ring.queue.ready, "a used element")
    machine.until(lambda: take(ring.call_fd), f"an interrupt {why}")
    ring.queue.collect()


@checks.check("queue.interrupt.flag", VIRTIO, "2.7.7.2", SHOULD)
def interrupt_flag(bench: Bench) -> None:
    """Without EVENT_IDX no interrupt comes while the driver's flag says so, and one comes when it does not."""
    machine = bench.machine(features=PLAIN)
    vmm, ring = machine.vmm, machine.vmm.rings[0]
    machine.works()  # the first completion after a start may interrupt in any case
    vmm.read_config()
    take(ring.call_fd)
    ring.queue.refuse_interrupts()
    machine.put(COMMAND)
    machine.until(lambda: ring.queue.ready, "the command")
    vmm.read_config()
    expect(not take(ring.call_fd), "no interrupt, which the driver does not want", "an interrupt")
    ring.queue.collect()
    machine.works()


@checks.check("queue.interrupt.event_idx", VIRTIO, "2.7.7.2", SHOULD)
def interrupt_event_idx(bench: Bench) -> None:
    """With EVENT_IDX an interrupt comes when used_event is passed, and not before."""
    machine = with_feature(bench, Feature.EVENT_IDX)
    vmm, ring = machine.vmm, machine.vmm.rings[0]
    machine.works()
    ring.queue.refuse_interrupts()
    machine.put(COMMAND)
    machine.until(lambda: ring.queue.ready, "the command")
    vmm.read_config()
    early = take(ring.call_fd)
    ring.queue.collect()
    expect(not early, "no interrupt before used_event is passed", "an interrupt")
    ring.queue.want_interrupt(2)
    machine.put(COMMAND)
    machine.put(COMMAND)
    machine.until(lambda: take(ring.call_fd), "an interrupt when used_event is passed")
    ring.queue.collect()


@checks.check("queue.interrupt.used_event", VIRTIO, "2.7.7", MUST)
def interrupt_used_event(bench: Bench) -> None:
    """With EVENT_IDX an interrupt comes for the element that used_event names."""
    machine = with_feature(bench, Feature.EVENT_IDX)
    for _ in range(3):
        interrupted(machine, "for the element that used_event names")


@checks.check("queue.kick.none_lost", VIRTIO, "2.7.10", MUST)
def kick_none_lost(bench: Bench) -> None:
    """A driver that kicks only when the device asks for it gets every command executed."""
    machine = bench.machine()
    for _ in range(200):
        machine.driver.move_cursor(0, 1, 1, 1)
        machine.code(CtrlHdr(0))


@checks.check("queue.kick.after_pause", VIRTIO, "2.7.10", MUST)
def kick_after_pause(bench: Bench) -> None:
    """A device that has gone to sleep asks for a kick: a driver that kicks only when asked wakes it."""
    machine = bench.machine()
    for _ in range(3):
        machine.works()
        time.sleep(PAUSE_S)
    machine.driver.move_cursor(0, 1, 1, 1)
