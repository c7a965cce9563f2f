"""How a front-end shares memory, sets its rings up, hands the GPU socket over, and stops.

Source: QEMU docs/interop/vhost-user, "Memory region description", "Ring states"; docs/interop/vhost-user-gpu,
GPU_SET_SOCKET; VIRTIO-1.2 section 2.7.
"""

from collections.abc import Iterator
from itertools import pairwise

from outboard.conformance.check import (
    MUST,
    SHOULD,
    VHOST_USER,
    VIRTIO,
    Checks,
)
from outboard.conformance.frontend.control import RING_FDS, number, offered, present, wrong
from outboard.conformance.frontend.memory import key, regions, shared
from outboard.conformance.frontend.session import Session
from outboard.conformance.frontend.stage import Stage
from outboard.conformance.frontend.wire import Said
from outboard.guest.memory import PAGE_SIZE
from outboard.spec import virtio
from outboard.spec.vhost_user import MAX_REGIONS, VRING_INDEX_MASK, Req, VringAddr, VringState

QUEUES = 2
MEMORY = (Req.SET_MEM_TABLE, Req.ADD_MEM_REG)

rings = Checks()


# Memory


@rings.check("front.memory.maps", VHOST_USER, "Memory region description", MUST)
def maps(stage: Stage) -> None:
    """A region's fd can be mapped at its offset, and holds all of it."""
    for session, at, said in present(stage, *MEMORY):
        if said.trouble:
            raise wrong(stage, session, at, "an fd that holds the region", said.trouble)


@rings.check("front.memory.pages", VHOST_USER, "Memory region description", SHOULD)
def pages(stage: Stage) -> None:
    """Regions are made of whole pages, in the guest, in the front-end and in their file."""
    for session, at, said in present(stage, *MEMORY):
        for region in regions(said.request, said.payload):
            edges = (region.guest_addr, region.user_addr, region.mmap_offset, region.memory_size)
            if any(edge % PAGE_SIZE for edge in edges) or not region.memory_size:
                got = " ".join(f"{edge:#x}" for edge in edges)
                raise wrong(stage, session, at, f"multiples of {PAGE_SIZE}, and some memory", got)


@rings.check("front.memory.apart", VHOST_USER, "Memory region description", MUST)
def apart(stage: Stage) -> None:
    """Regions do not overlap, neither in the guest nor in the front-end."""
    for session, at, _ in present(stage, *MEMORY):
        memory = shared(session.record[: at + 1])
        for start in ("guest_addr", "user_addr"):
            ranges = sorted((getattr(one, start), one.memory_size) for one in memory)
            for (one, size), (other, _) in pairwise(ranges):
                if one + size > other:
                    raise wrong(stage, session, at, f"{start} ranges apart", f"{one:#x}+{size:#x} and {other:#x}")


@rings.check("front.memory.slots", VHOST_USER, "VHOST_USER_GET_MAX_MEM_SLOTS", MUST)
def slots(stage: Stage) -> None:
    """There are no more regions than a table, or the back-end, has slots for."""
    for session, at, said in present(stage, *MEMORY):
        table = said.request == Req.SET_MEM_TABLE
        most = MAX_REGIONS if table else offered(session, Req.GET_MAX_MEM_SLOTS, at) or MAX_REGIONS
        if len(memory := shared(session.record[: at + 1])) > most:
            raise wrong(stage, session, at, f"at most {most} regions", f"{len(memory)}")


@rings.check("front.memory.removed", VHOST_USER, "VHOST_USER_REM_MEM_REG", MUST)
def removed(stage: Stage) -> None:
    """REM_MEM_REG names a region that was added."""
    for session, at, said in present(stage, Req.REM_MEM_REG):
        for region in regions(said.request, said.payload):
            if key(region) not in [key(one) for one in shared(session.record[:at])]:
                raise wrong(stage, session, at, "a region that was added", f"{region.guest_addr:#x}")


# Rings


def index_of(said: Said) -> int:
    """Return the ring that a message is about."""
    if said.request in RING_FDS:
        return number(said) & VRING_INDEX_MASK
    return int.from_bytes(said.payload[:4], "little")


RING_REQUESTS = (
    Req.SET_VRING_NUM,
    Req.SET_VRING_ADDR,
    Req.SET_VRING_BASE,
    Req.GET_VRING_BASE,
    Req.SET_VRING_ENABLE,
    *RING_FDS,
)


@rings.check("front.ring.index", VHOST_USER, "VHOST_USER_SET_VRING_NUM", MUST)
def index(stage: Stage) -> None:
    """Rings are numbered 0 and 1: the control queue and the cursor queue."""
    for session, at, said in present(stage, *RING_REQUESTS):
        if index_of(said) >= QUEUES:
            raise wrong(stage, session, at, f"a ring below {QUEUES}", f"ring {index_of(said)}")


@rings.check("front.ring.size", VIRTIO, "2.7 Split Virtqueues", MUST)
def ring_size(stage: Stage) -> None:
    """A ring's size is a power of two, at most 32768."""
    for session, at, said in present(stage, Req.SET_VRING_NUM):
        size = VringState.unpack_from(said.payload).num if said.size >= VringState.sizeof else 0
        if size < 1 or size & (size - 1) or size > virtio.QUEUE_SIZE_MAX:
            raise wrong(stage, session, at, f"a power of two, at most {virtio.QUEUE_SIZE_MAX}", f"{size}")


@rings.check("front.ring.memory", VHOST_USER, "VHOST_USER_SET_VRING_ADDR", MUST)
def ring_memory(stage: Stage) -> None:
    """Descriptors, available and used ring are front-end addresses inside the memory that is shared."""
    for session, at, said in present(stage, Req.SET_VRING_ADDR):
        if said.size < VringAddr.sizeof:
            continue
        addr = VringAddr.unpack_from(said.payload)
        sizes = [one for one in about(session, at, Req.SET_VRING_NUM, addr.index) if one.size >= VringState.sizeof]
        size = VringState.unpack_from(sizes[-1].payload).num if sizes else 1
        parts = (
            ("descriptors", addr.descriptor, virtio.Desc.sizeof * size),
            ("available ring", addr.available, virtio.avail_size(size) - 2),
            ("used ring", addr.used, virtio.used_size(size) - 2),
        )
        memory = shared(session.record[: at + 1])
        for part, start, length in parts:
            if not any(one.user_addr <= start and start + length <= one.user_addr + one.memory_size for one in memory):
                raise wrong(stage, session, at, f"{part} in shared memory", f"{start:#x}+{length:#x}")


@rings.check("front.ring.aligned", VIRTIO, "2.7 Split Virtqueues", MUST)
def ring_aligned(stage: Stage) -> None:
    """Descriptors are aligned to 16 bytes, the used ring to 4, the available ring to 2."""
    for session, at, said in present(stage, Req.SET_VRING_ADDR):
        if said.size >= VringAddr.sizeof:
            addr = VringAddr.unpack_from(said.payload)
            if addr.descriptor % 16 or addr.used % 4 or addr.available % 2:
                got = f"{addr.descriptor:#x}, {addr.used:#x}, {addr.available:#x}"
                raise wrong(stage, session, at, "multiples of 16, 4 and 2", got)


def about(session: Session, at: int, request: int, ring: int) -> list[Said]:
    """Return what was said of a ring by one request before message `at`."""
    return [said for said in session.record[:at] if said.asks(request) and index_of(said) == ring]


@rings.check("front.ring.fds", VHOST_USER, "VHOST_USER_SET_VRING_KICK", MUST)
def ring_fds(stage: Stage) -> None:
    """Kick, call and error fds are event fds, or at least can be waited for."""
    for session, at, said in present(stage, *RING_FDS):
        for fd in said.fds:
            if not fd.pollable:
                raise wrong(stage, session, at, "an eventfd", fd.kind)


@rings.check("front.ring.complete", VHOST_USER, "Ring states", MUST)
def complete(stage: Stage) -> None:
    """A ring is told its size, place and base before it is started by a kick fd, and has that when it is enabled."""
    parts = (Req.SET_VRING_NUM, Req.SET_VRING_ADDR, Req.SET_VRING_BASE, Req.SET_VRING_KICK)
    for session, at, said in enabling(stage):
        for part in parts:
            if not about(session, at, part, index_of(said)):
                raise wrong(stage, session, at, f"{part.name} before", "none for this ring")


@rings.check("front.ring.call", VHOST_USER, "VHOST_USER_SET_VRING_CALL", SHOULD)
def call(stage: Stage) -> None:
    """A ring has a call fd, or is told that it has none, before it is enabled."""
    for session, at, said in enabling(stage):
        if not about(session, at, Req.SET_VRING_CALL, index_of(said)):
            raise wrong(stage, session, at, "SET_VRING_CALL before", "none for this ring")


def enabling(stage: Stage) -> Iterator[tuple[Session, int, Said]]:
    """Yield session, place and message of all that enabled a ring."""
    for session, at, said in present(stage, Req.SET_VRING_ENABLE):
        if said.size >= VringState.sizeof and VringState.unpack_from(said.payload).num:
            yield session, at, said


@rings.check("front.ring.enabled", VHOST_USER, "Ring states", MUST)
def enabled(stage: Stage) -> None:
    """Rings begin disabled where protocol features were accepted: both are enabled once they are started."""
    for session, at, said in present(stage, Req.SET_VRING_KICK):
        if not any(_is_enable(one, index_of(said)) for one in session.record[at:]):
            raise wrong(stage, session, at, f"SET_VRING_ENABLE 1 for ring {index_of(said)} behind it", "none")


def _is_enable(said: Said, ring: int) -> bool:
    return said.asks(Req.SET_VRING_ENABLE) and said.payload[: VringState.sizeof] == VringState(ring, 1).pack()
