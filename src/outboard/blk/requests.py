"""What a request asks for, and whether that can be: a table of types, ranges checked against the disk.

Source: VIRTIO-1.2 5.2.6, 5.2.6.2 (device requirements). The guest is hostile: sectors and lengths are any numbers.
"""

from collections.abc import Sequence
from typing import NamedTuple

from outboard.blk.disk import RANGE_SECTORS_MAX, RANGES_MAX, Disk
from outboard.spec.virtio_blk import (
    REQUESTS,
    SECTOR,
    SECTOR_BITS,
    UNMAP,
    DiscardWriteZeroes,
    ReqHeader,
    RequestRow,
    Status,
    Type,
)

HEADER_SIZE = ReqHeader.sizeof
IN, OUT = int(Type.IN), int(Type.OUT)
OK, IOERR, UNSUPP = int(Status.OK), int(Status.IOERR), int(Status.UNSUPP)
RANGE_SIZE = DiscardWriteZeroes.sizeof
_IN, _OUT, _OK, _IOERR, _UNSUPP = IN, OUT, OK, IOERR, UNSUPP
_SECTOR_BITS = SECTOR_BITS
_SECTOR_MASK = SECTOR - 1


class Range(NamedTuple):
    """Bytes of the disk that a discard or write zeroes request names."""

    offset: int
    length: int
    unmap: bool


def judge(disk: Disk, type_: int, sector: int, readable: int, writable: int) -> int:
    """Say whether a request is to be carried out: OK, or the status that refuses it.

    readable: bytes behind the header; writable: bytes in front of the status.
    """
    if type_ == _IN or type_ == _OUT:
        write = type_ == _OUT
        return judge_transfer(disk, write, sector, readable if write else writable)
    return judge_other(disk, REQUESTS.get(type_))


def judge_transfer(disk: Disk, write: bool, sector: int, length: int) -> int:
    """Say whether `length` bytes from `sector` on can be read or written."""
    return _IOERR if write and disk.read_only else judge_range(disk, sector, length)


def judge_range(disk: Disk, sector: int, length: int) -> int:
    """Say whether `length` bytes from `sector` on are whole blocks of the disk."""
    sectors = length >> _SECTOR_BITS
    if length & _SECTOR_MASK or (sector | sectors) & disk.block_mask:
        return _IOERR
    if sector > disk.capacity or sectors > disk.capacity - sector:
        return _IOERR
    return _OK


def judge_other(disk: Disk, row: RequestRow | None) -> int:
    """Say whether a request without a range in its header can be."""
    if row is None or (row.feature and not disk.features & row.feature):
        return _UNSUPP
    return _IOERR if row.changes and disk.read_only else _OK


def ranges(disk: Disk, type_: int, data: bytes) -> Sequence[Range] | int:
    """Return the ranges of a discard or write zeroes request, all checked before any is touched, or a status."""
    count, rest = divmod(len(data), RANGE_SIZE)
    if rest or not 1 <= count <= RANGES_MAX:
        return IOERR
    found = []
    for at in range(count):
        one = DiscardWriteZeroes.unpack_from(data, RANGE_SIZE * at)
        if one.flags & ~(UNMAP if type_ == Type.WRITE_ZEROES else 0):
            return UNSUPP
        length = one.num_sectors << SECTOR_BITS
        if one.num_sectors > RANGE_SECTORS_MAX or judge_range(disk, one.sector, length) != OK:
            return IOERR
        found.append(Range(one.sector << SECTOR_BITS, length, bool(one.flags & UNMAP)))
    return found
