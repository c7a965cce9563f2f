"""A virtio-gpu driver, written against a `Transport`: every 2D command, one at a time, or many in flight.

Source: VIRTIO-1.2 5.7.6 (device operation), 5.7.6.7 (requests), 5.7.6.10 (cursor).

Not modelled: 3D commands; `command` sends their bytes as well as any others.

What builds on `GpuDriver`, as `machine.card` does, needs no more than its methods.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from outboard.errors import LocalError, ProtocolError, WaitTimeout
from outboard.frontend.ram import PAGE, Backing
from outboard.frontend.vmm import Vmm
from outboard.layout import Layout
from outboard.machine.gpu_transport import Transport, VmmTransport
from outboard.spec.virtio import Desc, Feature
from outboard.spec.virtio_gpu import (
    CONTROL_QUEUE,
    CURSOR_QUEUE,
    MAX_BACKING_ENTRIES,
    BlobMem,
    Cmd,
    Config,
    CtrlHdr,
    CursorPos,
    GetCapsetInfo,
    GetEdid,
    HdrFlag,
    MemEntry,
    Rect,
    ResourceAssignUuid,
    ResourceAttachBacking,
    ResourceCreate2D,
    ResourceCreateBlob,
    ResourceDetachBacking,
    ResourceFlush,
    ResourceUnref,
    Resp,
    SetScanout,
    SetScanoutBlob,
    TransferToHost2D,
    UpdateCursor,
)
from outboard.virtio.driver_queue import Extent, Table

REQUEST_ROOM = MemEntry.sizeof * (MAX_BACKING_ENTRIES + 8)
RESPONSE_ROOM = 4096
MAX_PIECES = 16
"""Descriptors of one part of a request or response, at most."""
TABLE_ROOM = Desc.sizeof * 1024
_FENCE = struct.Struct("<IQ")
_FENCE_OFFSET = CtrlHdr.offsetof("flags")
_TYPE = struct.Struct("<I")
_POSITION = 1 << 32
TOGETHER = 16
"""Commands that `ok_all` has on the ring at once, at most."""


class Response(NamedTuple):
    """What a command was answered with: its type, 0 when nothing was written, and all bytes written."""

    type: int
    data: bytes


class Refused(LocalError):
    """The device answered a command with an error; or with nothing, which is response 0.

    command, response: their numbers; request: all bytes that were sent.
    """

    def __init__(self, request: bytes, response: int) -> None:
        self.request = request
        self.command = _TYPE.unpack_from(request)[0]
        self.response = response
        name = called(Resp, response) if response else "nothing"
        super().__init__(f"{called(Cmd, self.command)}: the device answered {name}")


def called(numbers: type[Cmd] | type[Resp], value: int) -> str:
    """Return a number with its name in front, if it has one."""
    return f"{numbers(value).name} ({value:#x})" if value in numbers.__members__.values() else f"{value:#x}"


def fenced(request: bytes, fence_id: int) -> bytes:
    """Return the request with the FENCE flag and this id."""
    head = bytearray(request)
    _FENCE.pack_into(head, _FENCE_OFFSET, HdrFlag.FENCE, fence_id)
    return bytes(head)


class GpuDriver:
    """The guest's driver of a device that runs.

    indirect: put every chain into an indirect table; needs INDIRECT_DESC. piece: bytes of a descriptor, at most, so
    that requests and responses are scattered; 0 puts each into one.
    """

    def __init__(self, device: Vmm | Transport, *, indirect: bool = False, piece: int = 0) -> None:
        self.device: Transport = VmmTransport(device) if isinstance(device, Vmm) else device
        if indirect and not self.device.features & Feature.INDIRECT_DESC:
            raise LocalError("INDIRECT_DESC was not negotiated")
        self.indirect = indirect
        self.piece = piece
        self._take_memory()

    def _take_memory(self) -> None:
        self._request = self.allocate(REQUEST_ROOM, 4096)
        self._response = self.allocate(RESPONSE_ROOM, 4096)
        table = self.allocate(TABLE_ROOM, 16)
        self._table = Table(table, self.view(table, TABLE_ROOM))
        self._given_up = False

    def _begin(self) -> None:
        """Go on with other memory when an answer was given up: the device may still read and write there."""
        if self._given_up:
            self._take_memory()

    def _wait(self, queue: int, heads: Sequence[int], timeout_s: float | None = None) -> dict[int, int]:
        """Wait for chains; return the bytes that were written to them, and to those that come late, by head."""
        written: dict[int, int] = {}
        try:
            while missing := sum(head not in written for head in heads):
                written.update(self.device.wait_used(queue, timeout_s, missing))
        except WaitTimeout:
            self._given_up = True
            raise
        return written

    # One command at a time

    def command(
        self,
        request: Layout | bytes,
        tail: bytes = b"",
        *,
        room: int = RESPONSE_ROOM,
        queue: int = CONTROL_QUEUE,
        timeout_s: float | None = None,
    ) -> Response:
        """Send one command and wait for its answer.

        request: a layout of `spec.virtio_gpu`, or any bytes; tail goes into a descriptor of its own. room: bytes of
        the device-writable part, 0 for none. Raises WaitTimeout, ProtocolError.
        """
        head = request if isinstance(request, bytes) else request.pack()
        data = head + tail
        self._begin()
        self.view(self._request, len(data))[:] = data
        if room:
            self.view(self._response, room)[:] = bytes(room)
        readable = self._pieces(self._request, len(head)) + self._pieces(self._request + len(head), len(tail))
        table = self._table if self.indirect else None
        chain = self.device.queue(queue).add(readable, self._pieces(self._response, room), table)
        self.device.kick(queue)
        written = self._wait(queue, [chain], timeout_s)[chain]
        if written > room:
            raise ProtocolError("used element", f"at most {room} bytes", f"{written}")
        answer = bytes(self.view(self._response, written)) if written else b""
        return Response(_TYPE.unpack_from(answer)[0] if len(answer) >= _TYPE.size else 0, answer)

    def _pieces(self, guest_addr: int, length: int) -> list[Extent]:
        step = max(self.piece, -(-length // MAX_PIECES)) if self.piece else length or 1
        return [(guest_addr + at, min(step, length - at)) for at in range(0, length, step)]

    def ok(self, request: Layout | bytes, tail: bytes = b"", expect: Resp = Resp.OK_NODATA) -> bytes:
        """Send one command of the control queue; return its response.

        Raises Refused for an error response, ProtocolError for one of success that is not `expect`, and for a fence
        that is not repeated.
        """
        answer = self.command(request, tail)
        _check(request if isinstance(request, bytes) else request.pack(), answer, expect)
        return answer.data

    def ok_all(self, requests: Sequence[Layout]) -> None:
        """Send commands of the control queue together, with one kick for `TOGETHER` of them, and wait for all.

        Each is answered OK_NODATA, or it raises as in `ok`, the first one first; those behind it are executed too.
        """
        if self.indirect or self.piece:
            for request in requests:
                self.ok(request)
            return
        step = min(TOGETHER, self.device.queue(CONTROL_QUEUE).size // 2)
        for at in range(0, len(requests), step):
            self._together([request.pack() for request in requests[at : at + step]])

    def _together(self, requests: Sequence[bytes]) -> None:
        queue, room = self.device.queue(CONTROL_QUEUE), CtrlHdr.sizeof
        self._begin()
        self.view(self._response, room * len(requests))[:] = bytes(room * len(requests))
        place, order = self._request, []
        for at, request in enumerate(requests):
            self.view(place, len(request))[:] = request
            order.append(queue.add([(place, len(request))], [(self._response + room * at, room)]))
            place += len(request)
        self.device.kick(CONTROL_QUEUE)
        written = self._wait(CONTROL_QUEUE, order)
        for at, (head, request) in enumerate(zip(order, requests, strict=True)):
            data = bytes(self.view(self._response + room * at, min(written[head], room)))
            _check(
                request, Response(_TYPE.unpack_from(data)[0] if len(data) >= _TYPE.size else 0, data), Resp.OK_NODATA
            )

    # What a driver knows of its machine

    @property
    def features(self) -> int:
        """The virtio features that were negotiated."""
        return self.device.features

    def config(self) -> Config:
        """Return the device's config space."""
        return self.device.config()

    def clear_events(self, events: int) -> None:
        """Write config.events_clear: these events have been seen to."""
        self.device.write_config(Config.offsetof("events_clear"), events.to_bytes(4, "little"))

    def allocate(self, size: int, align: int = PAGE) -> int:
        """Return the guest address of memory of the guest's own. Raises LocalError when there is none left."""
        return self.device.allocate(size, align)

    def view(self, guest_addr: int, length: int) -> memoryview:
        """Return guest memory, writable. Raises LocalError when it does not lie inside one region."""
        return self.device.view(guest_addr, length)

    # Queries

    def get_display_info(self) -> bytes:
        """Return struct virtio_gpu_resp_display_info."""
        return self.ok(CtrlHdr(Cmd.GET_DISPLAY_INFO), expect=Resp.OK_DISPLAY_INFO)

    def get_edid(self, scanout_id: int = 0) -> bytes:
        """Return struct virtio_gpu_resp_edid."""
        return self.ok(GetEdid(scanout=scanout_id), expect=Resp.OK_EDID)

    def get_capset_info(self, capset_index: int) -> bytes:
        """Return struct virtio_gpu_resp_capset_info."""
        return self.ok(GetCapsetInfo(capset_index=capset_index), expect=Resp.OK_CAPSET_INFO)

    def assign_uuid(self, resource_id: int) -> bytes:
        """Return struct virtio_gpu_resp_resource_uuid."""
        return self.ok(ResourceAssignUuid(resource_id=resource_id), expect=Resp.OK_RESOURCE_UUID)

    # Resources

    def create_2d(self, resource_id: int, pixel_format: int, width: int, height: int) -> None:
        """Create a resource."""
        self.ok(ResourceCreate2D(resource_id=resource_id, format=pixel_format, width=width, height=height))

    def create_blob(self, resource_id: int, backing: Backing, blob_mem: int = BlobMem.GUEST, flags: int = 0) -> None:
        """Create a blob resource over guest memory."""
        size = sum(length for _, length in backing.entries)
        request = ResourceCreateBlob(
            resource_id=resource_id, blob_mem=blob_mem, blob_flags=flags, nr_entries=len(backing.entries), size=size
        )
        self.ok(request, entries(backing))

    def attach_backing(self, resource_id: int, backing: Backing) -> None:
        """Attach guest memory to a resource."""
        self.ok(ResourceAttachBacking(resource_id=resource_id, nr_entries=len(backing.entries)), entries(backing))

    def detach_backing(self, resource_id: int) -> None:
        """Detach a resource's guest memory."""
        self.ok(ResourceDetachBacking(resource_id=resource_id))

    def unref(self, resource_id: int) -> None:
        """Destroy a resource."""
        self.ok(ResourceUnref(resource_id=resource_id))

    # Pictures

    def set_scanout(self, scanout_id: int, resource_id: int, rect: Rect) -> None:
        """Show a part of a resource on an output; resource 0 disables it."""
        self.ok(SetScanout(r=rect, scanout_id=scanout_id, resource_id=resource_id))

    def set_scanout_blob(
        self, scanout_id: int, resource_id: int, rect: Rect, pixel_format: int, width: int, height: int, stride: int
    ) -> None:
        """Show a part of a blob resource, a picture of `stride` bytes per row."""
        self.ok(
            SetScanoutBlob(
                r=rect,
                scanout_id=scanout_id,
                resource_id=resource_id,
                width=width,
                height=height,
                format=pixel_format,
                strides=(stride, 0, 0, 0),
            )
        )

    def transfer(self, resource_id: int, rect: Rect, offset: int) -> None:
        """Copy a rectangle from the backing, where its first pixel is at byte `offset`, to the resource."""
        self.ok(TransferToHost2D(r=rect, offset=offset, resource_id=resource_id))

    def flush(self, resource_id: int, rect: Rect, fence_id: int | None = None) -> None:
        """Show a rectangle of a resource, with a fence if it has an id."""
        request = ResourceFlush(r=rect, resource_id=resource_id).pack()
        self.ok(request if fence_id is None else fenced(request, fence_id))

    # Cursor

    def update_cursor(
        self, scanout_id: int, resource_id: int, x: int, y: int, hot_x: int = 0, hot_y: int = 0, room: int = 0
    ) -> Response:
        """Set image and position; resource 0 hides it. room: for a response, which Linux does not give here."""
        pos = CursorPos(scanout_id, x % _POSITION, y % _POSITION)
        request = UpdateCursor(pos=pos, resource_id=resource_id, hot_x=hot_x, hot_y=hot_y)
        return self.command(request, room=room, queue=CURSOR_QUEUE)

    def move_cursor(self, scanout_id: int, resource_id: int, x: int, y: int, room: int = 0) -> Response:
        """Move the cursor; resource 0 hides it."""
        return self.command(move_cursor(scanout_id, resource_id, x, y), room=room, queue=CURSOR_QUEUE)


def _check(request: bytes, answer: Response, expect: Resp) -> None:
    """Raise unless a command was answered as it should be."""
    if not Resp.OK_NODATA <= answer.type < Resp.ERR_UNSPEC:
        raise Refused(request, answer.type)
    name = called(Cmd, _TYPE.unpack_from(request)[0])
    if answer.type != expect:
        raise ProtocolError(name, expect.name, called(Resp, answer.type))
    fence = slice(_FENCE_OFFSET, _FENCE_OFFSET + _FENCE.size)
    if request[fence][:1] == bytes((HdrFlag.FENCE,)) and answer.data[fence] != request[fence]:
        raise ProtocolError(name, f"flags and fence_id {request[fence].hex()}", answer.data[fence].hex())


def entries(backing: Backing) -> bytes:
    """Return the struct virtio_gpu_mem_entry list of a backing."""
    return b"".join(MemEntry(addr, length).pack() for addr, length in backing.entries)


def move_cursor(scanout_id: int, resource_id: int, x: int, y: int) -> UpdateCursor:
    """Return a MOVE_CURSOR request; x and y may be negative."""
    pos = CursorPos(scanout_id, x % _POSITION, y % _POSITION)
    return UpdateCursor(CtrlHdr(Cmd.MOVE_CURSOR), pos, resource_id=resource_id)
