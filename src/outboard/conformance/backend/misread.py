"""Messages that are misread: what does not work as the document has it, but works the other way, names the fault.

Source: QEMU docs/interop/vhost-user, VHOST_USER_SET_VRING_ADDR, "Memory access".
"""

from collections.abc import Callable

from outboard.conformance.backend.bench import Bench
from outboard.conformance.backend.machine import Machine
from outboard.conformance.check import (
    MUST,
    VHOST_USER,
    Checks,
    Failed,
    NotApplicable,
)
from outboard.errors import OutboardError
from outboard.frontend.ram import GuestRam
from outboard.spec.vhost_user import Header, Req, VringAddr
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
