"""What each request of the control socket does that all devices have: one function a request, one table.

Source: QEMU docs/interop/vhost-user, "Front-end message types". `served.Serve` says what a function is.
"""

from typing import Any, NamedTuple

from outboard.backend.rings import Ring
from outboard.backend.served import Answer, Serve, VhostDevice
from outboard.errors import LocalError, ProtocolError
from outboard.guest.memory import Region
from outboard.host.events import close_all
from outboard.host.mapping import map_shared
from outboard.spec.vhost_user import (
    F_PROTOCOL_FEATURES,
    MAX_CONFIG,
    MAX_REGIONS,
    U64,
    VRING_INDEX_MASK,
    VRING_NOFD,
    ConfigSpace,
    MemoryRegion,
    ProtocolFeature,
    Req,
    VringState,
)
from outboard.spec.virtio import Feature
from outboard.vhost_user.backend import BackendSession, Request

REGION_ALIGN = 16
"""Bytes; what a descriptor table needs, so that a ring aligned for its driver is aligned where it is mapped."""

MEM_SLOTS = 32
"""Regions that ADD_MEM_REG may make, as QEMU's back-end library has."""


def _ring(device: VhostDevice, request: Request, index: int) -> Ring:
    if index >= len(device.rings):
        raise ProtocolError(request.name, f"a ring index below {len(device.rings)}", str(index))
    return device.rings[index]


def get_features(device: VhostDevice, session: BackendSession, request: Request, payload: Any) -> Answer:
    """GET_FEATURES."""
    return Answer(U64(device.offered))


def set_features(device: VhostDevice, session: BackendSession, request: Request, payload: U64) -> None:
    """SET_FEATURES. Bits that were not offered are tolerated, but packed rings."""
    features = payload.value
    if features & Feature.RING_PACKED:
        raise ProtocolError(request.name, "split rings", f"RING_PACKED in {features:#x}")
    device.set_features(features)
    for ring in device.rings:
        ring.queue.event_idx = bool(features & Feature.EVENT_IDX)
        if not features & F_PROTOCOL_FEATURES:
            ring.enabled = True
    device.wake()


def get_protocol_features(device: VhostDevice, session: BackendSession, request: Request, payload: Any) -> Answer:
    """GET_PROTOCOL_FEATURES."""
    return Answer(U64(device.protocol_features))


def set_protocol_features(device: VhostDevice, session: BackendSession, request: Request, payload: U64) -> None:
    """SET_PROTOCOL_FEATURES."""
    session.protocol_features = ProtocolFeature(payload.value & device.protocol_features)


def nothing(device: VhostDevice, session: BackendSession, request: Request, payload: Any) -> None:
    """SET_OWNER: there is one owner, whoever is connected."""


def reset_owner(device: VhostDevice, session: BackendSession, request: Request, payload: Any) -> None:
    """RESET_OWNER: disable all rings."""
    for ring in device.rings:
        ring.enabled = False


def get_queue_num(device: VhostDevice, session: BackendSession, request: Request, payload: Any) -> Answer:
    """GET_QUEUE_NUM."""
    return Answer(U64(len(device.rings)))


def get_max_mem_slots(device: VhostDevice, session: BackendSession, request: Request, payload: Any) -> Answer:
    """GET_MAX_MEM_SLOTS."""
    return Answer(U64(MEM_SLOTS))


def _map(request: Request, region: MemoryRegion, fd: int) -> Region:
    """Map one region and close its fd. Raises ProtocolError."""
    try:
        if (region.guest_addr | region.user_addr | region.mmap_offset) % REGION_ALIGN:
            raise LocalError(f"addresses or offset off a multiple of {REGION_ALIGN}")
        buffer = map_shared(fd, region.mmap_offset, region.memory_size)
    except LocalError as error:
        raise ProtocolError(request.name, f"an fd with the region at {region.guest_addr:#x}", str(error)) from error
    finally:
        close_all([fd])
    return Region(region.guest_addr, region.user_addr, buffer)


def _memory_changed(device: VhostDevice) -> None:
    """Look at all rings anew: their memory may have moved."""
    for ring in device.rings:
        ring.dirty = True
    device.wake()


def set_mem_table(device: VhostDevice, session: BackendSession, request: Request, payload: Any) -> None:
    """SET_MEM_TABLE: these regions and no others."""
    count = payload.nregions
    fds = request.frame.fds
    if not 1 <= count <= MAX_REGIONS or len(request.tail) != count * MemoryRegion.sizeof or len(fds) != count:
        got = f"{count} regions, {len(request.tail)} bytes, {len(fds)} fds"
        raise ProtocolError(request.name, f"1 to {MAX_REGIONS} regions of {MemoryRegion.sizeof} bytes, an fd each", got)
    regions = []
    for at in range(count):
        region = MemoryRegion.unpack_from(request.tail, at * MemoryRegion.sizeof)
        regions.append(_map(request, region, fds.pop(0)))
    device.memory.replace(regions)
    _memory_changed(device)


def add_mem_reg(device: VhostDevice, session: BackendSession, request: Request, payload: Any) -> None:
    """ADD_MEM_REG: one region more."""
    if len(device.memory.regions) >= MEM_SLOTS:
        raise ProtocolError(request.name, f"at most {MEM_SLOTS} regions", "one more")
    device.memory.add(_map(request, payload.region, request.frame.fds.pop(0)))
    _memory_changed(device)


def rem_mem_reg(device: VhostDevice, session: BackendSession, request: Request, payload: Any) -> None:
    """REM_MEM_REG: one region less."""
    region = payload.region
    device.memory.remove(region.guest_addr, region.memory_size, region.user_addr)
    _memory_changed(device)


def set_vring_num(device: VhostDevice, session: BackendSession, request: Request, payload: VringState) -> None:
    """SET_VRING_NUM."""
    _ring(device, request, payload.index).set_num(payload.num)


def set_vring_base(device: VhostDevice, session: BackendSession, request: Request, payload: VringState) -> None:
    """SET_VRING_BASE."""
    _ring(device, request, payload.index).set_base(payload.num)


def set_vring_addr(device: VhostDevice, session: BackendSession, request: Request, payload: Any) -> None:
    """SET_VRING_ADDR."""
    _ring(device, request, payload.index).set_addr(payload)
    device.wake()


def get_vring_base(device: VhostDevice, session: BackendSession, request: Request, payload: VringState) -> Answer:
    """GET_VRING_BASE: stop the ring."""
    return Answer(VringState(payload.index, device.stop(_ring(device, request, payload.index))))


def _ring_and_fd(device: VhostDevice, request: Request, payload: U64) -> tuple[Ring, int | None]:
    ring = _ring(device, request, payload.value & VRING_INDEX_MASK)
    if bool(payload.value & VRING_NOFD) == bool(request.frame.fds):
        raise ProtocolError(request.name, "one fd, or bit 8 for none", f"{payload.value:#x}, {len(request.frame.fds)}")
    return ring, request.frame.take_fd()


def set_vring_kick(device: VhostDevice, session: BackendSession, request: Request, payload: U64) -> None:
    """SET_VRING_KICK: start the ring."""
    ring, fd = _ring_and_fd(device, request, payload)
    if fd is None:
        raise ProtocolError(request.name, "an eventfd, rings are not polled", "bit 8, no fd")
    ring.set_kick(fd)
    device.wake()


def set_vring_call(device: VhostDevice, session: BackendSession, request: Request, payload: U64) -> None:
    """SET_VRING_CALL."""
    ring, fd = _ring_and_fd(device, request, payload)
    ring.set_call(fd)


def set_vring_err(device: VhostDevice, session: BackendSession, request: Request, payload: U64) -> None:
    """SET_VRING_ERR."""
    ring, fd = _ring_and_fd(device, request, payload)
    ring.set_err(fd)


def set_vring_enable(device: VhostDevice, session: BackendSession, request: Request, payload: VringState) -> None:
    """SET_VRING_ENABLE."""
    ring = _ring(device, request, payload.index)
    if payload.num > 1:
        raise ProtocolError(request.name, "0 or 1", str(payload.num))
    ring.enabled = bool(payload.num)
    device.wake()


def get_config(device: VhostDevice, session: BackendSession, request: Request, payload: ConfigSpace) -> Answer:
    """GET_CONFIG: a part of the config space; a reply without payload when it has no such part."""
    if payload.length > MAX_CONFIG:
        raise ProtocolError(request.name, f"at most {MAX_CONFIG} bytes", str(payload.length))
    data = device.config()[payload.offset : payload.offset + payload.length]
    if len(data) != payload.length:
        return Answer(None)
    return Answer(payload, data)


def set_config(device: VhostDevice, session: BackendSession, request: Request, payload: ConfigSpace) -> None:
    """SET_CONFIG."""
    device.set_config(payload.offset, request.tail[: payload.length])


def reset_device(device: VhostDevice, session: BackendSession, request: Request, payload: Any) -> None:
    """RESET_DEVICE: all rings are stopped and disabled, and the device starts anew."""
    for ring in device.rings:
        device.stop(ring)
        ring.base = 0
        ring.enabled = False
    device.ask_reset()


COMMON: dict[int, Serve] = {
    Req.GET_FEATURES: get_features,
    Req.SET_FEATURES: set_features,
    Req.SET_OWNER: nothing,
    Req.RESET_OWNER: reset_owner,
    Req.SET_MEM_TABLE: set_mem_table,
    Req.SET_VRING_NUM: set_vring_num,
    Req.SET_VRING_ADDR: set_vring_addr,
    Req.SET_VRING_BASE: set_vring_base,
    Req.GET_VRING_BASE: get_vring_base,
    Req.SET_VRING_KICK: set_vring_kick,
    Req.SET_VRING_CALL: set_vring_call,
    Req.SET_VRING_ERR: set_vring_err,
    Req.GET_PROTOCOL_FEATURES: get_protocol_features,
    Req.SET_PROTOCOL_FEATURES: set_protocol_features,
    Req.GET_QUEUE_NUM: get_queue_num,
    Req.SET_VRING_ENABLE: set_vring_enable,
    Req.GET_CONFIG: get_config,
    Req.SET_CONFIG: set_config,
    Req.RESET_DEVICE: reset_device,
    Req.GET_MAX_MEM_SLOTS: get_max_mem_slots,
    Req.ADD_MEM_REG: add_mem_reg,
    Req.REM_MEM_REG: rem_mem_reg,
}
"""What every device serves; `VhostDevice.requests` adds its own."""


class Reply(NamedTuple):
    """Bytes for the front-end, b"" for none, and fds that go along; whoever sends them closes them."""

    data: bytes
    fds: list[int]


def serve(device: VhostDevice, session: BackendSession, request: Request) -> Reply:
    """Carry out a request; return what answers it. Closes the fds that nobody took.

    A request that fails is answered with a failure when the front-end asked for an answer; else ProtocolError is raised
    and the connection is over, since the front-end would go on in the belief that all is well.
    """
    try:
        function = device.requests.get(request.number)
        if function is None:
            return Reply(session.acknowledge(request, False), [])
        answer = function(device, session, request, request.payload)
        if answer is not None:
            return Reply(session.reply(request, answer.payload, answer.tail), list(answer.fds))
        return Reply(session.acknowledge(request, True), [])
    finally:
        close_all(request.frame.take_fds())
