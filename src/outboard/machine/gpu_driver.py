"""A virtio-gpu driver, written against `Vmm`: every 2D command, one at a time, or prebuilt and many in flight.

Source: VIRTIO-1.2 5.7.6 (device operation), 5.7.6.7 (requests), 5.7.6.9 (cursor).

Not modelled: 3D commands; `command` sends their bytes as well as any others.
"""

import struct
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from outboard.errors import LocalError, ProtocolError
from outboard.frontend.ram import Backing
from outboard.frontend.vmm import Vmm
from outboard.layout import Layout
from outboard.spec.virtio import Desc, Feature
from outboard.spec.virtio_gpu import (
    CONTROL_QUEUE,
    CURSOR_QUEUE,
    MAX_BACKING_ENTRIES,
    BlobMem,
    Cmd,
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


class Response(NamedTuple):
    """What a command was answered with: its type, 0 when nothing was written, and all bytes written."""

    type: int
    data: bytes


def fenced(request: bytes, fence_id: int) -> bytes:
    """Return the request with the FENCE flag and this id."""
    head = bytearray(request)
    _FENCE.pack_into(head, _FENCE_OFFSET, HdrFlag.FENCE, fence_id)
    return bytes(head)


class GpuDriver:
    """The guest's driver on a running `Vmm`.

    indirect: put every chain into an indirect table; needs INDIRECT_DESC. piece: bytes of a descriptor, at most, so
    that requests and responses are scattered; 0 puts each into one.
    """

    def __init__(self, vmm: Vmm, *, indirect: bool = False, piece: int = 0) -> None:
        if indirect and not vmm.session.features & Feature.INDIRECT_DESC:
            raise LocalError("INDIRECT_DESC was not negotiated")
        self.vmm = vmm
        self.indirect = indirect
        self.piece = piece
        self._request = vmm.ram.allocate(REQUEST_ROOM, 4096)
        self._response = vmm.ram.allocate(RESPONSE_ROOM, 4096)
        table = vmm.ram.allocate(TABLE_ROOM, 16)
        self._table = Table(table, vmm.ram.view(table, TABLE_ROOM))

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
        ram, ring = self.vmm.ram, self.vmm.rings[queue]
        data = head + tail
        ram.view(self._request, len(data))[:] = data
        if room:
            ram.view(self._response, room)[:] = bytes(room)
        readable = self._pieces(self._request, len(head)) + self._pieces(self._request + len(head), len(tail))
        ring.queue.add(readable, self._pieces(self._response, room), self._table if self.indirect else None)
        ring.kick()
        ((_, written),) = self.vmm.wait_used(queue, timeout_s)
        if written > room:
            raise ProtocolError("used element", f"at most {room} bytes", f"{written}")
        answer = bytes(ram.view(self._response, written)) if written else b""
        return Response(_TYPE.unpack_from(answer)[0] if len(answer) >= _TYPE.size else 0, answer)

    def _pieces(self, guest_addr: int, length: int) -> list[Extent]:
        step = max(self.piece, -(-length // MAX_PIECES)) if self.piece else length or 1
        return [(guest_addr + at, min(step, length - at)) for at in range(0, length, step)]

    def ok(self, request: Layout | bytes, tail: bytes = b"") -> bytes:
        """Send one command of the control queue; return its response. Raises LocalError for an error response."""
        answer = self.command(request, tail)
        if not Resp.OK_NODATA <= answer.type < Resp.ERR_UNSPEC:
            raise LocalError(f"{request!r}: response {answer.type:#x}")
        return answer.data

    # Queries

    def get_display_info(self) -> bytes:
        """Return struct virtio_gpu_resp_display_info."""
        return self.ok(CtrlHdr(Cmd.GET_DISPLAY_INFO))

    def get_edid(self, scanout_id: int = 0) -> bytes:
        """Return struct virtio_gpu_resp_edid."""
        return self.ok(GetEdid(scanout=scanout_id))

    def get_capset_info(self, capset_index: int) -> bytes:
        """Return struct virtio_gpu_resp_capset_info."""
        return self.ok(GetCapsetInfo(capset_index=capset_index))

    def assign_uuid(self, resource_id: int) -> bytes:
        """Return struct virtio_gpu_resp_resource_uuid."""
        return self.ok(ResourceAssignUuid(resource_id=resource_id))

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


def entries(backing: Backing) -> bytes:
    """Return the struct virtio_gpu_mem_entry list of a backing."""
    return b"".join(MemEntry(addr, length).pack() for addr, length in backing.entries)


def move_cursor(scanout_id: int, resource_id: int, x: int, y: int) -> UpdateCursor:
    """Return a MOVE_CURSOR request; x and y may be negative."""
    pos = CursorPos(scanout_id, x % _POSITION, y % _POSITION)
    return UpdateCursor(CtrlHdr(Cmd.MOVE_CURSOR), pos, resource_id=resource_id)


class Batch:
    """Prebuilt commands that are submitted together, again and again, and answered OK_NODATA.

    room: bytes of each device-writable part, 0 for none. The commands keep their descriptors for ever.
    """

    def __init__(
        self, vmm: Vmm, requests: Sequence[bytes], *, queue: int = CONTROL_QUEUE, room: int = CtrlHdr.sizeof
    ) -> None:
        self.ring = vmm.rings[queue]
        self.index = queue
        self.left = 0
        self._expected = CtrlHdr(Resp.OK_NODATA).pack().ljust(room, b"\0") * len(requests) if room else b""
        self._blank = bytes(len(self._expected))
        answers = vmm.ram.allocate(len(self._expected) or 1)
        self._answers = vmm.ram.view(answers, len(self._expected))
        self.heads = array("H")
        for at, request in enumerate(requests):
            place = vmm.ram.allocate(len(request))
            vmm.ram.view(place, len(request))[:] = request
            answer = [(answers + room * at, room)] if room else []
            self.heads.append(self.ring.queue.reserve([(place, len(request))], answer))

    def submit(self) -> None:
        """Offer all commands; the ring is still to be kicked."""
        self._answers[:] = self._blank
        self.left = len(self.heads)
        self.ring.queue.offer_all(self.heads)

    def check(self) -> None:
        """Raise ProtocolError when a command was answered otherwise than by OK_NODATA."""
        if bytes(self._answers) != self._expected:
            raise ProtocolError("pipelined command", "OK_NODATA", bytes(self._answers[:64]).hex())


def run_batches(vmm: Vmm, batches: Sequence[Batch], times: int, timeout_s: float = 10.0) -> None:
    """Submit batches of one queue in turn, `times` in all, as many at once as there are, and wait for all.

    Raises WaitTimeout when nothing is used for `timeout_s`, ProtocolError for a response that is not OK_NODATA.
    """
    owner = {head: batch for batch in batches for head in batch.heads}
    ring, index = batches[0].ring, batches[0].index
    waiting = list(batches[:times])
    for batch in waiting:
        batch.submit()
    to_go = times - len(waiting)
    ring.kick()
    while waiting:
        for head, _ in vmm.wait_used(index, timeout_s, waiting[0].left):
            batch = owner[head]
            batch.left -= 1
            if batch.left:
                continue
            batch.check()
            waiting.remove(batch)
            if to_go:
                to_go -= 1
                batch.submit()
                waiting.append(batch)
        ring.kick()
