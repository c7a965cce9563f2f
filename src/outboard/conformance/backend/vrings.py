"""Control socket: the setup of virtqueues, and their start and stop.

Source: QEMU docs/interop/vhost-user, "Starting and stopping rings", "Ring states".
"""

import os
import struct
import time

from outboard.conformance.backend.bench import Bench
from outboard.conformance.backend.machine import Machine
from outboard.conformance.backend.notifications import interrupted
from outboard.conformance.check import MUST, ROBUSTNESS, SHOULD, VHOST_USER, Checks, expect
from outboard.frontend.ring import eventfd
from outboard.spec.vhost_user import Req, VringAddr
from outboard.spec.vhost_user_gpu import Req as GpuReq
from outboard.spec.virtio_gpu import Cmd, CtrlHdr

checks = Checks()
QUIET_S = 0.25
"""How long a ring that must not run is watched."""
PAUSE_S = 0.01
STATES = "Ring states"
STARTING = "Starting and stopping rings"
NO_RING = 2
"""The first index that a GPU has no queue for."""
USER = 0x7F00_0000_0000


def _state(index: int, value: int) -> bytes:
    return struct.pack("=II", index, value)


# Indexes and values that cannot be


def _bad_index(req: Req, payload: bytes, with_fd: bool) -> None:
    def run(bench: Bench) -> None:
        control = bench.agreed()
        fd = eventfd()
        try:
            control.refused(req, payload, [fd] if with_fd else [])
        finally:
            os.close(fd)

    says = f"{req.name} of ring {NO_RING}, which a GPU does not have, is refused, and the back-end lives on."
    word = req.name.lower().removeprefix("set_vring_")
    checks.add(f"vring.index.{word}", VHOST_USER, f"VHOST_USER_{req.name}", ROBUSTNESS, says, run)


for _req in (Req.SET_VRING_NUM, Req.SET_VRING_BASE, Req.SET_VRING_ENABLE):
    _bad_index(_req, _state(NO_RING, 1), False)
_bad_index(Req.SET_VRING_ADDR, VringAddr(NO_RING, 0, USER, USER, USER, 0).pack(), False)
for _req in (Req.SET_VRING_KICK, Req.SET_VRING_CALL, Req.SET_VRING_ERR):
    _bad_index(_req, struct.pack("=Q", NO_RING), True)


def _bad_value(check_id: str, req: Req, payload: bytes, says: str) -> None:
    def run(bench: Bench) -> None:
        bench.agreed().refused(req, payload)

    checks.add(check_id, VHOST_USER, f"VHOST_USER_{req.name}", ROBUSTNESS, says, run)


_bad_value("vring.num.zero", Req.SET_VRING_NUM, _state(0, 0), "A ring of no descriptors is refused.")
_bad_value("vring.num.odd", Req.SET_VRING_NUM, _state(0, 48), "A ring size that is no power of two is refused.")
_bad_value("vring.num.huge", Req.SET_VRING_NUM, _state(0, 1 << 16), "A ring of more than 32768 descriptors is refused.")
_bad_value(
    "vring.enable.value", Req.SET_VRING_ENABLE, _state(0, 7), "Enabling a ring with 7, neither 0 nor 1, is refused."
)


@checks.check("vring.addr.before_memory", VHOST_USER, "VHOST_USER_SET_VRING_ADDR", ROBUSTNESS)
def addr_before_memory(bench: Bench) -> None:
    """Ring addresses in memory that nobody has described are kept or refused, and the back-end lives on."""
    control = bench.agreed()
    control.acked(Req.SET_VRING_ADDR, VringAddr(0, 0, USER, USER + 0x1000, USER + 0x2000, 0).pack())
    control.alive()


# States


def _idle(machine: Machine, why: str) -> None:
    """Kick a command; raise Failed when it is executed. Two questions behind the kick give it the time."""
    machine.put(CtrlHdr(Cmd.RESOURCE_UNREF))
    for _ in range(2):
        machine.vmm.read_config()
    expect(not machine.vmm.rings[0].queue.ready, f"nothing on the used ring of a queue that is {why}", "a used element")


@checks.check("vring.enable.disabled", VHOST_USER, STATES, MUST)
def enable_disabled(bench: Bench) -> None:
    """A ring that was started but never enabled is not processed, bit 30 being acknowledged."""
    machine = bench.machine(start=False)
    machine.vmm.enables = False
    machine.start()
    machine.put(CtrlHdr(Cmd.RESOURCE_UNREF))
    end = time.monotonic() + QUIET_S
    while time.monotonic() < end:
        machine.vmm.read_config()
        time.sleep(PAUSE_S)
        expect(not machine.vmm.rings[0].queue.ready, "nothing on the used ring", "a used element")
    machine.vmm.enables = True
    machine.vmm.tell(machine.vmm.session.set_vring_enable(0, True))
    machine.used()


@checks.check("vring.enable.paused", VHOST_USER, STATES, MUST)
def enable_paused(bench: Bench) -> None:
    """A ring that is disabled and enabled again loses nothing that was kicked meanwhile."""
    machine = bench.machine()
    machine.vmm.tell(machine.vmm.session.set_vring_enable(0, False))
    machine.put(CtrlHdr(Cmd.GET_DISPLAY_INFO))
    machine.vmm.read_config()
    machine.vmm.tell(machine.vmm.session.set_vring_enable(0, True))
    machine.used()


@checks.check("vring.enable.without_kick", VHOST_USER, STARTING, SHOULD)
def enable_without_kick(bench: Bench) -> None:
    """What is in a ring when it is enabled is processed, also if the kick came before the start."""
    machine = bench.machine(start=False)
    machine.vmm.at_start = lambda: machine.put(CtrlHdr(Cmd.GET_DISPLAY_INFO))
    machine.start()
    machine.used()


@checks.check("vring.base.value", VHOST_USER, "VHOST_USER_GET_VRING_BASE", MUST)
def base_value(bench: Bench) -> None:
    """GET_VRING_BASE says the next available index: the number of commands that were executed."""
    machine = bench.machine()
    for _ in range(5):
        machine.works()
    bases = machine.vmm.stop()
    expect(bases == [10, 0], "10 for the control queue, 0 for the cursor queue", bases)


@checks.check("vring.index.get_base", VHOST_USER, "VHOST_USER_GET_VRING_BASE", ROBUSTNESS)
def index_get_base(bench: Bench) -> None:
    """GET_VRING_BASE of a ring that a GPU does not have is answered, or ends the connection; nothing crashes."""
    control = bench.agreed()
    control.message(Req.GET_VRING_BASE, _state(0xFFFF_FFFF, 0))
    control.message(Req.GET_FEATURES)
    bench.peer.may_end = not control.receive(1, "an answer, or the end of the connection")
    bench.crashed_not()


@checks.check("vring.base.index", VHOST_USER, "VHOST_USER_GET_VRING_BASE", MUST)
def base_index(bench: Bench) -> None:
    """The reply to GET_VRING_BASE carries the index of the ring that was asked for."""
    answer = bench.over(bench.machine()).ask(Req.GET_VRING_BASE, _state(1, 0))
    expect(answer.payload == _state(1, 0), "index 1, base 0", answer.payload.hex())


@checks.check("vring.base.stopped", VHOST_USER, STARTING, MUST)
def base_stopped(bench: Bench) -> None:
    """After GET_VRING_BASE the ring is stopped: a kick has no effect until it is started again."""
    machine = bench.machine()
    machine.vmm.control.ask(machine.vmm.session.get_vring_base(0), bench.timeout_s)
    _idle(machine, "stopped")


@checks.check("vring.call.replaced", VHOST_USER, "VHOST_USER_SET_VRING_CALL", MUST)
def call_replaced(bench: Bench) -> None:
    """The eventfd that SET_VRING_CALL gave last is the one that is signalled."""
    machine = bench.machine()
    for _ in range(2):
        machine.vmm.replace_call_fd(0)
        machine.vmm.read_config()  # a queue of its own thread may be slower than the control socket
        interrupted(machine, "by the new eventfd")


@checks.check("vring.call.none", VHOST_USER, "VHOST_USER_SET_VRING_CALL", MUST)
def call_none(bench: Bench) -> None:
    """SET_VRING_CALL without a descriptor (bit 8) is accepted, and commands are executed without interrupts."""
    machine = bench.machine()
    machine.vmm.tell(machine.vmm.session.set_vring_fd(Req.SET_VRING_CALL, 0, None))
    machine.put(CtrlHdr(Cmd.GET_DISPLAY_INFO))
    machine.until(lambda: machine.vmm.rings[0].queue.ready, "a used element without an interrupt")
    machine.vmm.read_config()


@checks.check("vring.kick.spurious", VHOST_USER, STARTING, ROBUSTNESS)
def kick_spurious(bench: Bench) -> None:
    """A kick of an empty ring has no effect."""
    machine = bench.machine()
    for index in (0, 1):
        os.eventfd_write(machine.vmm.rings[index].kick_fd, 1)
    machine.vmm.read_config()
    machine.works()


@checks.check("vring.pending.stopped", VHOST_USER, "VHOST_USER_GET_VRING_BASE", MUST)
def pending_stopped(bench: Bench) -> None:
    """A command that waits for the display when its ring is stopped is answered first or given back.

    GET_VRING_BASE says which: an index behind it and a used element, or an index in front of it and none.
    """
    machine = bench.machine()
    machine.works()
    del machine.watch.answers[GpuReq.GET_DISPLAY_INFO]
    machine.put(CtrlHdr(Cmd.GET_DISPLAY_INFO))
    machine.message(GpuReq.GET_DISPLAY_INFO)
    base = machine.vmm.control.ask(machine.vmm.session.get_vring_base(0), bench.timeout_s).num
    used = machine.vmm.rings[0].queue.used_idx
    expect((base, used) in ((2, 2), (3, 3)), "base and used index both 2 or both 3", f"base {base}, used index {used}")


@checks.check("vring.num.extremes", VHOST_USER, "VHOST_USER_SET_VRING_NUM", MUST)
def num_extremes(bench: Bench) -> None:
    """Rings of 1024 descriptors, as QEMU 10 has them, and of 2 work."""
    machine = bench.machine(queue_sizes=(1024, 2))
    machine.works()
    machine.driver.move_cursor(0, 1, 5, 6)


@checks.check("vring.num.one", VHOST_USER, "VHOST_USER_SET_VRING_NUM", MUST)
def num_one(bench: Bench) -> None:
    """A ring of one descriptor works, with indirect tables."""
    machine = bench.machine(queue_sizes=(1, 1), indirect=True)
    machine.works()
