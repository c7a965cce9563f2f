"""QEMU document docs/interop/vhost-user: the control protocol.

Modelled: every request that reaches a vhost-user-gpu back-end. Declared only, to name and show them: all other
requests, and those of the back-end's own channel. All numbers are in host byte order.
"""

from enum import IntEnum, IntFlag
from typing import Annotated, NamedTuple

from outboard.layout import Bytes, Layout, says, u8, u16, u32, u64

VERSION = 1
VERSION_MASK = 3
FLAG_REPLY = 1 << 2
FLAG_NEED_REPLY = 1 << 3

F_PROTOCOL_FEATURES = 1 << 30
"""Virtio feature bit that stands for "protocol features can be negotiated"."""

MAX_FDS = 8
MAX_REGIONS = 8
"""Regions of one SET_MEM_TABLE."""
MAX_CONFIG = 256
VRING_INDEX_MASK = 0xFF
VRING_NOFD = 1 << 8


class Header(Layout, byte_order="="):
    """Header of every message."""

    request: u32 = 0
    flags: u32 = says("version, reply, need_reply", default=0)
    size: u32 = says("bytes that follow", default=0)


class ProtocolFeature(IntFlag):
    """VHOST_USER_PROTOCOL_F_* masks."""

    MQ = 1 << 0
    LOG_SHMFD = 1 << 1
    RARP = 1 << 2
    REPLY_ACK = 1 << 3
    NET_MTU = 1 << 4
    BACKEND_REQ = 1 << 5
    CROSS_ENDIAN = 1 << 6
    CRYPTO_SESSION = 1 << 7
    PAGEFAULT = 1 << 8
    CONFIG = 1 << 9
    BACKEND_SEND_FD = 1 << 10
    HOST_NOTIFIER = 1 << 11
    INFLIGHT_SHMFD = 1 << 12
    RESET_DEVICE = 1 << 13
    INBAND_NOTIFICATIONS = 1 << 14
    CONFIGURE_MEM_SLOTS = 1 << 15
    STATUS = 1 << 16
    XEN_MMAP = 1 << 17
    SHARED_OBJECT = 1 << 18
    DEVICE_STATE = 1 << 19
    GET_VRING_BASE_INFLIGHT = 1 << 20
    SHMEM = 1 << 21


class Req(IntEnum):
    """VHOST_USER_* front-end request ids."""

    GET_FEATURES = 1
    SET_FEATURES = 2
    SET_OWNER = 3
    RESET_OWNER = 4
    SET_MEM_TABLE = 5
    SET_LOG_BASE = 6
    SET_LOG_FD = 7
    SET_VRING_NUM = 8
    SET_VRING_ADDR = 9
    SET_VRING_BASE = 10
    GET_VRING_BASE = 11
    SET_VRING_KICK = 12
    SET_VRING_CALL = 13
    SET_VRING_ERR = 14
    GET_PROTOCOL_FEATURES = 15
    SET_PROTOCOL_FEATURES = 16
    GET_QUEUE_NUM = 17
    SET_VRING_ENABLE = 18
    SEND_RARP = 19
    NET_SET_MTU = 20
    SET_BACKEND_REQ_FD = 21
    IOTLB_MSG = 22
    SET_VRING_ENDIAN = 23
    GET_CONFIG = 24
    SET_CONFIG = 25
    CREATE_CRYPTO_SESSION = 26
    CLOSE_CRYPTO_SESSION = 27
    POSTCOPY_ADVISE = 28
    POSTCOPY_LISTEN = 29
    POSTCOPY_END = 30
    GET_INFLIGHT_FD = 31
    SET_INFLIGHT_FD = 32
    GPU_SET_SOCKET = 33
    RESET_DEVICE = 34
    VRING_KICK = 35
    GET_MAX_MEM_SLOTS = 36
    ADD_MEM_REG = 37
    REM_MEM_REG = 38
    SET_STATUS = 39
    GET_STATUS = 40
    GET_SHARED_OBJECT = 41
    SET_DEVICE_STATE_FD = 42
    CHECK_DEVICE_STATE = 43
    GET_SHMEM_CONFIG = 44


class BackendReq(IntEnum):
    """VHOST_USER_BACKEND_* request ids, on the socket that came with SET_BACKEND_REQ_FD."""

    IOTLB_MSG = 1
    CONFIG_CHANGE_MSG = 2
    VRING_HOST_NOTIFIER_MSG = 3
    VRING_CALL = 4
    VRING_ERR = 5
    SHARED_OBJECT_ADD = 6
    SHARED_OBJECT_REMOVE = 7
    SHARED_OBJECT_LOOKUP = 8
    SHMEM_MAP = 9
    SHMEM_UNMAP = 10


class U64(Layout, byte_order="="):
    """u64 payload."""

    value: u64 = 0


class VringState(Layout, byte_order="="):
    """struct vhost_vring_state."""

    index: u32 = 0
    num: u32 = 0


class VringAddr(Layout, byte_order="="):
    """struct vhost_vring_addr; the used ring stands before the available ring."""

    index: u32 = 0
    flags: u32 = says("bit 0: log writes", default=0)
    descriptor: u64 = says("front-end address, as used and available", default=0)
    used: u64 = 0
    available: u64 = 0
    log: u64 = 0


class MemoryRegion(Layout, byte_order="="):
    """One memory region."""

    guest_addr: u64 = says("guest-physical", default=0)
    memory_size: u64 = 0
    user_addr: u64 = says("in the front-end's address space", default=0)
    mmap_offset: u64 = says("of the region in its fd", default=0)


class MemTable(Layout, byte_order="="):
    """Memory regions description; nregions MemoryRegion follow."""

    nregions: u32 = says("1 to 8", default=0)
    padding: u32 = 0


class SingleRegion(Layout, byte_order="="):
    """Single memory region description."""

    padding: u64 = 0
    region: MemoryRegion = MemoryRegion()


class ConfigSpace(Layout, byte_order="="):
    """Virtio device config space; `length` bytes of it follow."""

    offset: u32 = 0
    length: u32 = says("at most 256", default=0)
    flags: u32 = says("1: live migration", default=0)


class LogArea(Layout, byte_order="="):
    """Log description."""

    log_size: u64 = 0
    log_offset: u64 = says("of the area in its fd", default=0)


class Inflight(Layout, byte_order="="):
    """Inflight description; QEMU, libvhost-user and DPDK send the C structure, 24 bytes, and refuse 20."""

    mmap_size: u64 = 0
    mmap_offset: u64 = 0
    num_queues: u16 = 0
    queue_size: u16 = 0
    padding: u32 = says("of the C structure, not in the document", default=0)


class DescStateSplit(Layout, byte_order="="):
    """DescStateSplit: the state of one head descriptor of a split virtqueue, in the area of "Inflight description"."""

    inflight: u8 = says("1: the back-end has it", default=0)
    padding: Annotated[bytes, Bytes(5)] = bytes(5)
    next: u16 = says("head before it in the last batch of used ones", default=0)
    counter: u64 = says("order in which heads were fetched", default=0)


class QueueRegionSplit(Layout, byte_order="="):
    """QueueRegionSplit: what is tracked of one split virtqueue; desc_num DescStateSplit follow."""

    features: u64 = 0
    version: u16 = says("1; 0: not initialized", default=0)
    desc_num: u16 = says("the queue's size", default=0)
    last_batch_head: u16 = says("where the list of the last batch begins", default=0)
    used_idx: u16 = says("of the used ring, when all of its batch was noted", default=0)


INFLIGHT_VERSION = 1
INFLIGHT_ALIGN = 64
"""Bytes; the document names none, libvhost-user and DPDK lay the regions of an area out so."""


def inflight_region_size(queue_size: int) -> int:
    """Return the bytes from one queue's region in the area to the next."""
    size = QueueRegionSplit.sizeof + DescStateSplit.sizeof * queue_size
    return (size + INFLIGHT_ALIGN - 1) & ~(INFLIGHT_ALIGN - 1)


class Iotlb(Layout, byte_order="="):
    """struct vhost_iotlb_msg; QEMU pads it to 32 bytes."""

    iova: u64 = 0
    size: u64 = 0
    user_addr: u64 = 0
    perm: u8 = says("1 read, 2 write", default=0)
    type: u8 = says("1 miss, 2 update, 3 invalidate, 4 access failed", default=0)


class DeviceState(Layout, byte_order="="):
    """Device state transfer parameters."""

    direction: u32 = says("0 save, 1 load", default=0)
    phase: u32 = says("0: stopped", default=0)


class VringArea(Layout, byte_order="="):
    """Vring area description."""

    vring: u64 = says("bits 0 to 7 index, bit 8: no fd", default=0)
    size: u64 = 0
    offset: u64 = says("of the area in its fd", default=0)


class SharedObject(Layout, byte_order="="):
    """VhostUserShared."""

    uuid: Annotated[bytes, Bytes(16)] = bytes(16)


class ShmemConfig(Layout, byte_order="="):
    """VIRTIO shared memory region configuration; 256 u64 sizes follow."""

    nregions: u32 = 0
    padding: u32 = 0


class Mmap(Layout, byte_order="="):
    """VhostUserMMap."""

    shmid: u8 = 0
    padding: Annotated[bytes, Bytes(7)] = bytes(7)
    fd_offset: u64 = 0
    shm_offset: u64 = 0
    length: u64 = 0
    flags: u64 = says("1: writable", default=0)


class Row(NamedTuple):
    """One request. tail: bytes may follow the payload; fds: fewest and most it carries; feature: it needs."""

    req: Req
    payload: type[Layout] | None = None
    reply: type[Layout] | None = None
    fds: tuple[int, int] = (0, 0)
    feature: ProtocolFeature | None = None
    tail: bool = False


REQUESTS: dict[int, Row] = {
    row.req: row
    for row in (
        Row(Req.GET_FEATURES, None, U64),
        Row(Req.SET_FEATURES, U64),
        Row(Req.SET_OWNER),
        Row(Req.RESET_OWNER),
        Row(Req.SET_MEM_TABLE, MemTable, fds=(0, MAX_FDS), tail=True),
        Row(Req.SET_VRING_NUM, VringState),
        Row(Req.SET_VRING_ADDR, VringAddr),
        Row(Req.SET_VRING_BASE, VringState),
        Row(Req.GET_VRING_BASE, VringState, VringState),
        Row(Req.SET_VRING_KICK, U64, fds=(0, 1)),
        Row(Req.SET_VRING_CALL, U64, fds=(0, 1)),
        Row(Req.SET_VRING_ERR, U64, fds=(0, 1)),
        Row(Req.GET_PROTOCOL_FEATURES, None, U64),
        Row(Req.SET_PROTOCOL_FEATURES, U64),
        Row(Req.GET_QUEUE_NUM, None, U64, feature=ProtocolFeature.MQ),
        Row(Req.SET_VRING_ENABLE, VringState),
        Row(Req.SET_BACKEND_REQ_FD, None, fds=(1, 1), feature=ProtocolFeature.BACKEND_REQ),
        Row(Req.GET_CONFIG, ConfigSpace, ConfigSpace, feature=ProtocolFeature.CONFIG, tail=True),
        Row(Req.SET_CONFIG, ConfigSpace, feature=ProtocolFeature.CONFIG, tail=True),
        Row(Req.GPU_SET_SOCKET, None, fds=(0, 1)),
        Row(Req.RESET_DEVICE, None, feature=ProtocolFeature.RESET_DEVICE),
        Row(Req.GET_MAX_MEM_SLOTS, None, U64, feature=ProtocolFeature.CONFIGURE_MEM_SLOTS),
        Row(Req.ADD_MEM_REG, SingleRegion, fds=(1, 1), feature=ProtocolFeature.CONFIGURE_MEM_SLOTS),
        Row(Req.REM_MEM_REG, SingleRegion, feature=ProtocolFeature.CONFIGURE_MEM_SLOTS),
    )
}
"""What a vhost-user-gpu front-end and back-end say to each other; every other id is answered as unsupported."""

OBSERVED: dict[int, Row] = REQUESTS | {
    row.req: row
    for row in (
        Row(Req.SET_LOG_BASE, LogArea, fds=(1, 1), feature=ProtocolFeature.LOG_SHMFD),
        Row(Req.SET_LOG_FD, None, fds=(1, 1)),
        Row(Req.SEND_RARP, U64, feature=ProtocolFeature.RARP),
        Row(Req.NET_SET_MTU, U64, feature=ProtocolFeature.NET_MTU),
        Row(Req.IOTLB_MSG, Iotlb, tail=True),
        Row(Req.SET_VRING_ENDIAN, VringState, feature=ProtocolFeature.CROSS_ENDIAN),
        Row(Req.CREATE_CRYPTO_SESSION, None, feature=ProtocolFeature.CRYPTO_SESSION, tail=True),
        Row(Req.CLOSE_CRYPTO_SESSION, U64, feature=ProtocolFeature.CRYPTO_SESSION),
        Row(Req.POSTCOPY_ADVISE, None, feature=ProtocolFeature.PAGEFAULT),
        Row(Req.POSTCOPY_LISTEN, None, feature=ProtocolFeature.PAGEFAULT),
        Row(Req.POSTCOPY_END, None, U64, feature=ProtocolFeature.PAGEFAULT),
        Row(Req.GET_INFLIGHT_FD, Inflight, Inflight, feature=ProtocolFeature.INFLIGHT_SHMFD),
        Row(Req.SET_INFLIGHT_FD, Inflight, fds=(1, 1), feature=ProtocolFeature.INFLIGHT_SHMFD),
        Row(Req.VRING_KICK, VringState, feature=ProtocolFeature.INBAND_NOTIFICATIONS),
        Row(Req.SET_STATUS, U64, feature=ProtocolFeature.STATUS),
        Row(Req.GET_STATUS, None, U64, feature=ProtocolFeature.STATUS),
        Row(Req.GET_SHARED_OBJECT, SharedObject, feature=ProtocolFeature.SHARED_OBJECT),
        Row(Req.SET_DEVICE_STATE_FD, DeviceState, U64, fds=(1, 1), feature=ProtocolFeature.DEVICE_STATE),
        Row(Req.CHECK_DEVICE_STATE, None, U64, feature=ProtocolFeature.DEVICE_STATE),
        Row(Req.GET_SHMEM_CONFIG, None, ShmemConfig, feature=ProtocolFeature.SHMEM, tail=True),
    )
}
"""Every request of the document, to show what goes by; those that are not in REQUESTS are served by nobody here."""


class BackendRow(NamedTuple):
    """One request of the back-end's channel; fields as in Row."""

    req: BackendReq
    payload: type[Layout] | None = None
    reply: type[Layout] | None = None
    fds: tuple[int, int] = (0, 0)
    tail: bool = False


BACKEND_REQUESTS: dict[int, BackendRow] = {
    row.req: row
    for row in (
        BackendRow(BackendReq.IOTLB_MSG, Iotlb, tail=True),
        BackendRow(BackendReq.CONFIG_CHANGE_MSG),
        BackendRow(BackendReq.VRING_HOST_NOTIFIER_MSG, VringArea, fds=(0, 1)),
        BackendRow(BackendReq.VRING_CALL, VringState),
        BackendRow(BackendReq.VRING_ERR, VringState),
        BackendRow(BackendReq.SHARED_OBJECT_ADD, SharedObject),
        BackendRow(BackendReq.SHARED_OBJECT_REMOVE, SharedObject),
        BackendRow(BackendReq.SHARED_OBJECT_LOOKUP, SharedObject),
        BackendRow(BackendReq.SHMEM_MAP, Mmap, fds=(1, 1)),
        BackendRow(BackendReq.SHMEM_UNMAP, Mmap),
    )
}
"""What a back-end says to a front-end on the channel from SET_BACKEND_REQ_FD."""
