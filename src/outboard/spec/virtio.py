"""Virtual I/O Device (VIRTIO) 1.2: what all devices share, and the split virtqueue (section 2.7).

Modelled: feature bits, descriptor, available and used ring. Not modelled: packed virtqueues (section 2.8).
"""

from enum import IntFlag

from outboard.layout import Layout, says, u16, u32, u64

QUEUE_SIZE_MAX = 32768
"""Largest split virtqueue (2.7)."""

DEVICE_ID_GPU = 16


class Feature(IntFlag):
    """Feature bits that belong to no single device type (section 6)."""

    NOTIFY_ON_EMPTY = 1 << 24
    INDIRECT_DESC = 1 << 28
    EVENT_IDX = 1 << 29
    VERSION_1 = 1 << 32
    ACCESS_PLATFORM = 1 << 33
    RING_PACKED = 1 << 34
    RING_RESET = 1 << 40


class DescFlag(IntFlag):
    """Flags of a descriptor (2.7.5)."""

    NEXT = 1
    WRITE = 2
    INDIRECT = 4


AVAIL_NO_INTERRUPT = 1
USED_NO_NOTIFY = 1


class Desc(Layout):
    """struct virtq_desc (2.7.5)."""

    addr: u64 = says("guest-physical", default=0)
    len: u32 = 0
    flags: u16 = 0
    next: u16 = 0


class AvailHeader(Layout):
    """struct virtq_avail (2.7.6); u16 ring[queue size] and u16 used_event follow."""

    flags: u16 = 0
    idx: u16 = 0


class UsedHeader(Layout):
    """struct virtq_used (2.7.8); UsedElem ring[queue size] and u16 avail_event follow."""

    flags: u16 = 0
    idx: u16 = 0


class UsedElem(Layout):
    """struct virtq_used_elem (2.7.8)."""

    id: u32 = 0
    len: u32 = says("bytes written to the device-writable part", default=0)


def avail_size(queue_size: int) -> int:
    """Return the bytes of an available ring, used_event included."""
    return AvailHeader.sizeof + 2 * queue_size + 2


def used_size(queue_size: int) -> int:
    """Return the bytes of a used ring, avail_event included."""
    return UsedHeader.sizeof + UsedElem.sizeof * queue_size + 2
