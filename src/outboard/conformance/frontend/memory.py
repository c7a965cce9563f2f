"""Which memory a front-end shares, as its messages say.

Source: QEMU docs/interop/vhost-user, "Memory region description".
"""

from collections.abc import Sequence

from outboard.conformance.frontend.wire import Said
from outboard.errors import LocalError
from outboard.host.mapping import map_shared
from outboard.spec.vhost_user import MemoryRegion, MemTable, Req, SingleRegion
from outboard.vhost_user.connection import Frame


def unmappable(frame: Frame) -> list[str]:
    """Return why regions that a request hands over cannot be mapped; what is wrong otherwise is not looked at."""
    problems = []
    for region, fd in zip(regions(frame.request, frame.payload), frame.fds, strict=False):
        try:
            map_shared(fd, region.mmap_offset, region.memory_size)
        except LocalError as error:
            problems.append(f"region at {region.guest_addr:#x}: {error}")
    return problems


def regions(request: int, payload: bytes) -> list[MemoryRegion]:
    """Return the regions that SET_MEM_TABLE, ADD_MEM_REG or REM_MEM_REG names, as far as they are there."""
    if request == Req.SET_MEM_TABLE:
        size = MemoryRegion.sizeof
        return [MemoryRegion.unpack_from(payload, at) for at in range(MemTable.sizeof, len(payload) - size + 1, size)]
    if request in (Req.ADD_MEM_REG, Req.REM_MEM_REG) and len(payload) >= SingleRegion.sizeof:
        return [SingleRegion.unpack_from(payload).region]
    return []


def shared(record: Sequence[Said]) -> list[MemoryRegion]:
    """Return the regions that are shared when all of a record has been said."""
    memory: list[MemoryRegion] = []
    for said in record:
        if not said.asks():
            continue
        named = regions(said.request, said.payload)
        if said.request == Req.SET_MEM_TABLE:
            memory = named
        elif said.request == Req.ADD_MEM_REG:
            memory = memory + named
        elif said.request == Req.REM_MEM_REG:
            memory = [one for one in memory if key(one) not in [key(gone) for gone in named]]
    return memory


def key(region: MemoryRegion) -> tuple[int, int, int]:
    """Return what REM_MEM_REG knows a region by."""
    return region.guest_addr, region.memory_size, region.user_addr
