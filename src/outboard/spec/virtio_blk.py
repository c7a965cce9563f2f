"""Virtual I/O Device (VIRTIO) 1.2, section 5.2: block device.

Modelled: the config space of a device that is not zoned, all requests of such a device. Declared only, to refuse them:
lifetime, secure erase. Not modelled: zones (5.2.6, VIRTIO_BLK_F_ZONED), the legacy interface's barriers and SCSI
commands.
"""

from enum import IntEnum, IntFlag
from typing import Annotated, NamedTuple

from outboard.layout import Array, Layout, Scalar, says, u8, u16, u32, u64

DEVICE_ID = 2
SECTOR = 512
"""Bytes of a sector, the unit of every address and length here, whatever `blk_size` says (5.2.4)."""
SECTOR_BITS = 9
ID_BYTES = 20
"""Bytes of the device's ID string, padded with NUL; a string of 20 bytes has none (5.2.6)."""


class Feature(IntFlag):
    """Device feature bits (5.2.3)."""

    SIZE_MAX = 1 << 1
    SEG_MAX = 1 << 2
    GEOMETRY = 1 << 4
    RO = 1 << 5
    BLK_SIZE = 1 << 6
    FLUSH = 1 << 9
    TOPOLOGY = 1 << 10
    CONFIG_WCE = 1 << 11
    MQ = 1 << 12
    DISCARD = 1 << 13
    WRITE_ZEROES = 1 << 14
    LIFETIME = 1 << 15
    SECURE_ERASE = 1 << 16
    ZONED = 1 << 17


class Geometry(Layout):
    """struct virtio_blk_geometry (5.2.4)."""

    cylinders: u16 = 0
    heads: u8 = 0
    sectors: u8 = 0


class Topology(Layout):
    """struct virtio_blk_topology (5.2.4)."""

    physical_block_exp: u8 = says("logical blocks in a physical one, log2", default=0)
    alignment_offset: u8 = says("first aligned logical block", default=0)
    min_io_size: u16 = says("suggested, in logical blocks", default=0)
    opt_io_size: u32 = says("suggested, in logical blocks", default=0)


class Config(Layout):
    """struct virtio_blk_config (5.2.4), up to the characteristics of zones."""

    capacity: u64 = says("sectors of 512 bytes", default=0)
    size_max: u32 = says("bytes of one segment", default=0)
    seg_max: u32 = says("segments of one request, header and status not counted", default=0)
    geometry: Geometry = Geometry()
    blk_size: u32 = says("bytes of a logical block", default=0)
    topology: Topology = Topology()
    writeback: u8 = says("0 writethrough, 1 writeback; the driver may write it", default=0)
    unused0: u8 = 0
    num_queues: u16 = 0
    max_discard_sectors: u32 = says("in one segment", default=0)
    max_discard_seg: u32 = 0
    discard_sector_alignment: u32 = says("sectors", default=0)
    max_write_zeroes_sectors: u32 = says("in one segment", default=0)
    max_write_zeroes_seg: u32 = 0
    write_zeroes_may_unmap: u8 = 0
    unused1: Annotated[tuple[int, ...], Array(Scalar("B"), 3)] = (0, 0, 0)
    max_secure_erase_sectors: u32 = 0
    max_secure_erase_seg: u32 = 0
    secure_erase_sector_alignment: u32 = 0


class Type(IntEnum):
    """Types of requests (5.2.6)."""

    IN = 0
    OUT = 1
    FLUSH = 4
    GET_ID = 8
    GET_LIFETIME = 10
    DISCARD = 11
    WRITE_ZEROES = 13
    SECURE_ERASE = 14


class Status(IntEnum):
    """The byte that ends a request (5.2.6)."""

    OK = 0
    IOERR = 1
    UNSUPP = 2


class ReqHeader(Layout):
    """struct virtio_blk_req without data and status (5.2.6)."""

    type: u32 = 0
    reserved: u32 = 0
    sector: u64 = says("of reads and writes; 0 in all others", default=0)


class DiscardWriteZeroes(Layout):
    """struct virtio_blk_discard_write_zeroes (5.2.6), the data of three types of requests."""

    sector: u64 = 0
    num_sectors: u32 = 0
    flags: u32 = says("bit 0: unmap, of write zeroes only", default=0)


UNMAP = 1 << 0
"""The device may unmap the range instead of writing it."""


class RequestRow(NamedTuple):
    """One type of request. feature: without it the device refuses with UNSUPP; changes: not on read-only devices."""

    type: Type
    feature: Feature | None = None
    changes: bool = False


REQUESTS: dict[int, RequestRow] = {
    row.type: row
    for row in (
        RequestRow(Type.IN),
        RequestRow(Type.OUT, changes=True),
        RequestRow(Type.FLUSH),
        RequestRow(Type.GET_ID),
        RequestRow(Type.DISCARD, Feature.DISCARD, changes=True),
        RequestRow(Type.WRITE_ZEROES, Feature.WRITE_ZEROES, changes=True),
    )
}
"""What is served. FLUSH needs no feature: a driver that did not ask for it may still send one, and is served."""
