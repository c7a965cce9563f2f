"""The inflight area: memory that outlives this process, in which the queues note the requests that they have.

Source: QEMU docs/interop/vhost-user, "Inflight I/O tracking", GET_INFLIGHT_FD, SET_INFLIGHT_FD. What is in it is
`virtio.tracked_queue`'s business.
"""

import os

from outboard.errors import LocalError, ProtocolError
from outboard.host.mapping import map_shared
from outboard.spec.vhost_user import DescStateSplit, Inflight, QueueRegionSplit, inflight_region_size

GET, SET = "GET_INFLIGHT_FD", "SET_INFLIGHT_FD"


def _check(name: str, area: Inflight, queues: int, size_max: int) -> int:
    """Return the bytes that an area takes. Raises ProtocolError when it is not for this device."""
    if not 1 <= area.num_queues <= queues or not 1 <= area.queue_size <= size_max:
        got = f"{area.num_queues} queues of {area.queue_size}"
        raise ProtocolError(name, f"1 to {queues} queues of 1 to {size_max} descriptors", got)
    return area.num_queues * inflight_region_size(area.queue_size)


def make(asked: Inflight, queues: int, size_max: int) -> tuple[Inflight, int]:
    """Make an area for GET_INFLIGHT_FD; return its description and its fd, the caller's. Raises ProtocolError."""
    size = _check(GET, asked, queues, size_max)
    fd = os.memfd_create("outboard-inflight", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    return Inflight(size, 0, asked.num_queues, asked.queue_size), fd


def take(area: Inflight, fd: int, queues: int, size_max: int) -> list[memoryview]:
    """Map an area that SET_INFLIGHT_FD brought; return each queue's region. The fd stays the caller's.

    Raises ProtocolError when it is too small, or cannot be mapped.
    """
    size = _check(SET, area, queues, size_max)
    if area.mmap_size < size or area.mmap_offset % 8:
        raise ProtocolError(SET, f"an area of {size} bytes, aligned to 8", f"{area.mmap_size} at {area.mmap_offset:#x}")
    try:
        whole = map_shared(fd, area.mmap_offset, size)
    except LocalError as error:
        raise ProtocolError(SET, "an fd with the area", str(error)) from error
    step = inflight_region_size(area.queue_size)
    used = QueueRegionSplit.sizeof + DescStateSplit.sizeof * area.queue_size
    return [whole[at * step : at * step + used] for at in range(area.num_queues)]
