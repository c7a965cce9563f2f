"""Requests of a disk, and what they are answered with.

Source: VIRTIO-1.2 5.2.6 (device operation).
"""

from collections.abc import Iterable
from typing import NamedTuple

from outboard.errors import LocalError
from outboard.spec.virtio_blk import ID_BYTES, SECTOR, UNMAP, DiscardWriteZeroes, ReqHeader, Status, Type

Range = tuple[int, int]
"""Offset and length on the disk in bytes, both whole sectors."""


class Request(NamedTuple):
    """One request. out: what the device reads behind the header; room: bytes of data that it may write."""

    type: int
    sector: int = 0
    out: bytes | memoryview = b""
    room: int = 0

    @property
    def header(self) -> bytes:
        """The bytes of struct virtio_blk_req in front of the data."""
        return ReqHeader(type=self.type, sector=self.sector).pack()


class Answer(NamedTuple):
    """What a request was answered with. data: what the device may have written; used: bytes that it says it wrote."""

    status: int
    data: bytes = b""
    used: int = 0

    @property
    def ok(self) -> bool:
        """Whether the device did it."""
        return self.status == Status.OK


class Refused(LocalError):
    """The device answered a request with an error."""

    def __init__(self, request: Request, status: int) -> None:
        self.request, self.status = request, status
        super().__init__(f"{called(Type, request.type)}: the device answered {called(Status, status)}")


def called(numbers: type[Type] | type[Status], value: int) -> str:
    """Return a number's name, itself if it has none."""
    return numbers(value).name if value in numbers.__members__.values() else f"{value:#x}"


def sectors(length: int, what: str) -> int:
    """Return a number of bytes in sectors. Raises LocalError unless it is a whole number of them."""
    if length < 0 or length % SECTOR:
        raise LocalError(f"{what} {length}: sectors have {SECTOR} bytes")
    return length // SECTOR


def read(offset: int, length: int) -> Request:
    """Read `length` bytes."""
    sectors(length, "length")
    return Request(Type.IN, sectors(offset, "offset"), room=length)


def write(offset: int, data: bytes | memoryview) -> Request:
    """Write bytes."""
    sectors(len(data), "length")
    return Request(Type.OUT, sectors(offset, "offset"), data)


def flush() -> Request:
    """Make all that was written before it last."""
    return Request(Type.FLUSH)


def get_id() -> Request:
    """Ask for the device's ID string."""
    return Request(Type.GET_ID, room=ID_BYTES)


def discard(ranges: Iterable[Range]) -> Request:
    """Give ranges up; what they hold then is not known."""
    return Request(Type.DISCARD, out=_segments(ranges, 0))


def write_zeroes(ranges: Iterable[Range], unmap: bool = False) -> Request:
    """Make ranges zero. unmap: the device may give up the room that they take."""
    return Request(Type.WRITE_ZEROES, out=_segments(ranges, UNMAP if unmap else 0))


def _segments(ranges: Iterable[Range], flags: int) -> bytes:
    pieces = ((sectors(offset, "offset"), sectors(length, "length")) for offset, length in ranges)
    return b"".join(DiscardWriteZeroes(sector, count, flags).pack() for sector, count in pieces)
