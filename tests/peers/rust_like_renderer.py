"""What the renderers of `tests.peers.rust_like` make of 2D and cursor commands, and what they tell the display.

Source: vhost-user-gpu as rust-vmm's vhost-device-gpu speaks it (backend/virgl.rs, backend/gfxstream.rs,
backend/common.rs), read for what they do; VIRTIO-1.2 5.7.6.
"""

import mmap
import os
import socket
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from outboard.guest.memory import GuestMemory
from outboard.layout import Layout
from outboard.spec import virtio_gpu
from outboard.spec.vhost_user_gpu import (
    FLAG_REPLY,
    CursorPos,
    CursorUpdate,
    DmabufScanout,
    EdidRequest,
    Header,
    Req,
    Scanout,
    Update,
)
from outboard.spec.virtio_gpu import BYTES_PER_PIXEL, CURSOR_SIZE, EDID_MAX, MAX_SCANOUTS, Cmd, CtrlHdr, Resp

FOURCCS = {
    virtio_gpu.Format.B8G8R8A8: "AR24",
    virtio_gpu.Format.B8G8R8X8: "XR24",
    virtio_gpu.Format.R8G8B8A8: "AB24",
    virtio_gpu.Format.R8G8B8X8: "XB24",
}


class Panic(Exception):
    """The thread dies holding the device's lock, so that the control socket dies with the next request for it."""


class Refused(Exception):
    """A command is answered with an error code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"{code:#x}")
        self.code = int(code)


@dataclass
class Reply:
    """What a command is answered with: its type, and what follows the header."""

    code: int = Resp.OK_NODATA
    body: bytes = b""


class Resource:
    """Pixels in a memfd of their own, in the guest's format; backing: guest ranges; shown: outputs that show it."""

    def __init__(self, pixel_format: int, width: int, height: int) -> None:
        self.pixel_format, self.width, self.height = pixel_format, width, height
        self.stride = BYTES_PER_PIXEL * width
        self.fd = os.memfd_create("resource")
        os.ftruncate(self.fd, self.stride * height)
        self.pixels = mmap.mmap(self.fd, self.stride * height)
        self.backing: list[tuple[int, int]] = []
        self.shown: set[int] = set()
        self.uuid = os.urandom(16)

    def transfer(self, memory: GuestMemory, rect: virtio_gpu.Rect, offset: int) -> None:
        """Copy a rectangle from the backing; all of it must be there."""
        outside = rect.x + rect.width > self.width or rect.y + rect.height > self.height
        row_bytes = BYTES_PER_PIXEL * rect.width
        end = offset + self.stride * (rect.height - 1) + row_bytes
        if outside or not rect.width or not rect.height or end > sum(length for _, length in self.backing):
            raise Refused(Resp.ERR_UNSPEC)
        stream = b"".join(memory.read(*entry) or b"" for entry in self.backing)
        for row in range(rect.height):
            at = self.stride * (rect.y + row) + BYTES_PER_PIXEL * rect.x
            start = offset + self.stride * row
            self.pixels[at : at + row_bytes] = stream[start : start + row_bytes]


class Display:
    """The GPU socket, one message at a time, every wait blocking. No socket: all goes well, nothing is sent."""

    def __init__(self, sock: socket.socket | None) -> None:
        self._socket = sock

    def send(self, req: Req, payload: Layout | None = None, data: bytes = b"", fd: int | None = None) -> None:
        """Send a message. Raises Refused when the display is gone."""
        body = (payload.pack() if payload else b"") + data
        message = Header(req, 0, len(body)).pack() + body
        ancillary = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [fd]))]
        try:
            if self._socket:
                sent = self._socket.sendmsg([message], ancillary)
                self._socket.sendall(message[sent:])
        except OSError as error:
            raise Refused(Resp.ERR_UNSPEC) from error

    def ask(self, req: Req, payload: Layout | None, size: int) -> bytes | None:
        """Send a question and wait for its answer as long as it takes; None without a socket."""
        self.send(req, payload)
        if self._socket is None:
            return None
        header = Header.unpack(self._exactly(Header.sizeof))
        if header != Header(req, FLAG_REPLY, size):
            raise Refused(Resp.ERR_UNSPEC)
        return self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        assert self._socket
        data = b""
        while len(data) < size:
            try:
                chunk, fds, _, _ = socket.recv_fds(self._socket, size - len(data), 1)
            except OSError as error:
                raise Refused(Resp.ERR_UNSPEC) from error
            for fd in fds:
                os.close(fd)
            if not chunk or fds:
                raise Refused(Resp.ERR_UNSPEC)
            data += chunk
        return data


class Renderer(ABC):
    """What both renderers do alike. ids: what the library below knows, which a refused UNREF leaves there."""

    def __init__(self, display: Display, memory: GuestMemory, features: int) -> None:
        self.display, self.memory, self.features = display, memory, features
        self.resources: dict[int, Resource] = {}
        self.ids: set[int] = set()
        self.shows: dict[int, int] = {}

    def _resource(self, resource_id: int, code: int = Resp.ERR_INVALID_RESOURCE_ID) -> Resource:
        if resource_id not in self.resources:
            raise Refused(code)
        return self.resources[resource_id]

    # Questions

    def get_display_info(self, request: CtrlHdr, tail: bytes) -> Reply:
        """Sizes and states of the front-end's answer, nothing else of it."""
        body = self.display.ask(Req.GET_DISPLAY_INFO, None, virtio_gpu.RespDisplayInfo.sizeof)
        asked = virtio_gpu.RespDisplayInfo.unpack(body) if body else virtio_gpu.RespDisplayInfo()
        modes = [
            virtio_gpu.DisplayOne(virtio_gpu.Rect(0, 0, one.r.width, one.r.height), int(one.enabled == 1))
            for one in asked.pmodes
        ]
        info = virtio_gpu.RespDisplayInfo(pmodes=tuple(modes))
        return Reply(Resp.OK_DISPLAY_INFO, info.pack()[CtrlHdr.sizeof :])

    def get_edid(self, request: virtio_gpu.GetEdid, tail: bytes) -> Reply:
        """Ask for it, whatever the display said that it can do: nobody asked it."""
        body = self.display.ask(Req.GET_EDID, EdidRequest(request.scanout), virtio_gpu.RespEdid.sizeof)
        edid = virtio_gpu.RespEdid.unpack(body) if body else virtio_gpu.RespEdid()
        if edid.size > EDID_MAX:
            raise Refused(Resp.ERR_UNSPEC)
        return Reply(Resp.OK_EDID, edid.pack()[CtrlHdr.sizeof :])

    def get_capset_info(self, request: virtio_gpu.GetCapsetInfo, tail: bytes) -> Reply:
        """There are no capability sets here."""
        raise Refused(Resp.ERR_INVALID_PARAMETER)

    def assign_uuid(self, request: virtio_gpu.ResourceAssignUuid, tail: bytes) -> Reply:
        """Return the resource's uuid, when the feature was negotiated."""
        if not self.features & virtio_gpu.Feature.RESOURCE_UUID:
            raise Refused(Resp.ERR_INVALID_PARAMETER)
        return Reply(Resp.OK_RESOURCE_UUID, self._resource(request.resource_id).uuid)

    # Resources: the libraries below know one error

    def create_2d(self, request: virtio_gpu.ResourceCreate2D, tail: bytes) -> Reply:
        """Create a resource."""
        known = request.format in list(virtio_gpu.Format)
        if not request.resource_id or request.resource_id in self.ids or not known:
            raise Refused(Resp.ERR_UNSPEC)
        if not request.width or not request.height or max(request.width, request.height) > 16384:
            raise Refused(Resp.ERR_UNSPEC)
        self.ids.add(request.resource_id)
        self.resources[request.resource_id] = Resource(request.format, request.width, request.height)
        return Reply()

    def unref(self, request: virtio_gpu.ResourceUnref, tail: bytes) -> Reply:
        """Refuse what an output shows, but forget it all the same."""
        resource = self._resource(request.resource_id)
        del self.resources[request.resource_id]
        if resource.shown:
            raise Refused(Resp.ERR_UNSPEC)
        self.ids.discard(request.resource_id)
        os.close(resource.fd)
        return Reply()

    def attach_backing(self, request: virtio_gpu.ResourceAttachBacking, tail: bytes) -> Reply:
        """Attach guest memory; all of it must be there."""
        step = virtio_gpu.MemEntry.sizeof
        if len(tail) < step * request.nr_entries:
            raise Refused(Resp.ERR_UNSPEC)
        entries = [virtio_gpu.MemEntry.unpack_from(tail, step * at) for at in range(request.nr_entries)]
        if any(self.memory.extents(entry.addr, entry.length) is None for entry in entries):
            raise Refused(Resp.ERR_UNSPEC)
        resource = self._resource(request.resource_id, Resp.ERR_UNSPEC)
        if resource.backing:
            raise Refused(Resp.ERR_UNSPEC)
        resource.backing = [(entry.addr, entry.length) for entry in entries]
        return Reply()

    def detach_backing(self, request: virtio_gpu.ResourceDetachBacking, tail: bytes) -> Reply:
        """Detach, whatever there is."""
        if request.resource_id in self.resources:
            self.resources[request.resource_id].backing = []
        return Reply()

    def transfer_to_host_2d(self, request: virtio_gpu.TransferToHost2D, tail: bytes) -> Reply:
        """Copy a rectangle."""
        resource = self._resource(request.resource_id, Resp.ERR_UNSPEC)
        resource.transfer(self.memory, request.r, request.offset)
        return Reply()

    # Pictures

    def set_scanout(self, request: virtio_gpu.SetScanout, tail: bytes) -> Reply:
        """Bind a resource to an output, or disable it. The rectangle is not compared with the resource."""
        self._check_scanout(request.scanout_id)
        if request.resource_id == 0:
            self.disable(request.scanout_id)
            return Reply()
        before = self.shows.get(request.scanout_id)
        if before is not None and before != request.resource_id and before in self.resources:
            self.resources[before].shown.discard(request.scanout_id)
        resource = self._resource(request.resource_id)
        resource.shown.add(request.scanout_id)
        self.shows[request.scanout_id] = request.resource_id
        self.enable(request.scanout_id, resource, request.r)
        return Reply()

    def flush(self, request: virtio_gpu.ResourceFlush, tail: bytes) -> Reply:
        """Show all of the resource on every output that it is associated with, whatever the rectangle says."""
        if request.resource_id == 0:
            return Reply()
        resource = self._resource(request.resource_id)
        for scanout_id in sorted(resource.shown):
            self.update(scanout_id, resource)
        return Reply()

    @abstractmethod
    def _check_scanout(self, scanout_id: int) -> None:
        """Refuse outputs that there are not."""

    @abstractmethod
    def enable(self, scanout_id: int, resource: Resource, rect: virtio_gpu.Rect) -> None:
        """Tell the display of an output that shows `resource` now."""

    @abstractmethod
    def disable(self, scanout_id: int) -> None:
        """Tell the display that an output is off."""

    @abstractmethod
    def update(self, scanout_id: int, resource: Resource) -> None:
        """Tell the display that an output's picture changed."""

    # Cursor

    def update_cursor(self, request: virtio_gpu.UpdateCursor, tail: bytes) -> Reply:
        """Send image and position. Resource 0 is one more that does not exist."""
        resource = self._resource(request.resource_id)
        if (resource.width, resource.height) != (CURSOR_SIZE, CURSOR_SIZE):
            raise Refused(Resp.ERR_INVALID_PARAMETER)
        pos = CursorPos(request.pos.scanout_id, request.pos.x, request.pos.y)
        update = CursorUpdate(pos, request.hot_x, request.hot_y, bytes(resource.pixels))
        self.display.send(Req.CURSOR_UPDATE, update)
        return Reply()

    def move_cursor(self, request: virtio_gpu.UpdateCursor, tail: bytes) -> Reply:
        """Move the cursor; resource 0 hides it."""
        req = Req.CURSOR_POS if request.resource_id else Req.CURSOR_POS_HIDE
        self.display.send(req, CursorPos(request.pos.scanout_id, request.pos.x, request.pos.y))
        return Reply()

    def fence(self, fence_id: int) -> bool:
        """Make a fence; whether it ever completes. Raises Refused."""
        return True


class Virglrenderer(Renderer):
    """Pictures by fd: the display reads the resource itself, and says when it has."""

    def _check_scanout(self, scanout_id: int) -> None:
        if scanout_id >= MAX_SCANOUTS:
            raise Refused(Resp.ERR_INVALID_SCANOUT_ID)

    def enable(self, scanout_id: int, resource: Resource, rect: virtio_gpu.Rect) -> None:
        """DMABUF_SCANOUT, the modifier being 0."""
        fourcc = int.from_bytes(FOURCCS.get(virtio_gpu.Format(resource.pixel_format), "XR24").encode(), "little")
        whole = (resource.width, resource.height, resource.stride)
        shown = DmabufScanout(scanout_id, rect.x, rect.y, rect.width, rect.height, *whole, 0, fourcc)
        self.display.send(Req.DMABUF_SCANOUT, shown, fd=resource.fd)

    def disable(self, scanout_id: int) -> None:
        """DMABUF_SCANOUT of zeros, without an fd."""
        before = self.shows.pop(scanout_id, None)
        if before in self.resources:
            self.resources[before].shown.discard(scanout_id)
        self.display.send(Req.DMABUF_SCANOUT, DmabufScanout(scanout_id))

    def update(self, scanout_id: int, resource: Resource) -> None:
        """DMABUF_UPDATE, answered by a header alone."""
        self.display.ask(Req.DMABUF_UPDATE, Update(scanout_id, 0, 0, resource.width, resource.height), 0)

    def fence(self, fence_id: int) -> bool:
        """The library's fences have 32 bits; one that was refused is waited for all the same."""
        return fence_id < 1 << 32


class Gfxstream(Renderer):
    """Pictures by copy, always the whole resource."""

    def _check_scanout(self, scanout_id: int) -> None:
        if scanout_id >= MAX_SCANOUTS:
            raise Panic(f"scanout {scanout_id} of {MAX_SCANOUTS}")

    def enable(self, scanout_id: int, resource: Resource, rect: virtio_gpu.Rect) -> None:
        """SCANOUT of the rectangle's size, and the picture at once."""
        self.display.send(Req.SCANOUT, Scanout(scanout_id, rect.width, rect.height))
        self.update(scanout_id, resource)

    def disable(self, scanout_id: int) -> None:
        """SCANOUT 0x0; the resource stays associated, and is updated at the next flush."""
        self.shows.pop(scanout_id, None)
        self.display.send(Req.SCANOUT, Scanout(scanout_id))

    def update(self, scanout_id: int, resource: Resource) -> None:
        """UPDATE of the whole resource, in its own format."""
        update = Update(scanout_id, 0, 0, resource.width, resource.height)
        self.display.send(Req.UPDATE, update, bytes(resource.pixels))


VERBS: dict[int, tuple[type[Layout], Callable[[Any, Any, bytes], Reply]]] = {
    Cmd.GET_DISPLAY_INFO: (CtrlHdr, Renderer.get_display_info),
    Cmd.RESOURCE_CREATE_2D: (virtio_gpu.ResourceCreate2D, Renderer.create_2d),
    Cmd.RESOURCE_UNREF: (virtio_gpu.ResourceUnref, Renderer.unref),
    Cmd.SET_SCANOUT: (virtio_gpu.SetScanout, Renderer.set_scanout),
    Cmd.RESOURCE_FLUSH: (virtio_gpu.ResourceFlush, Renderer.flush),
    Cmd.TRANSFER_TO_HOST_2D: (virtio_gpu.TransferToHost2D, Renderer.transfer_to_host_2d),
    Cmd.RESOURCE_ATTACH_BACKING: (virtio_gpu.ResourceAttachBacking, Renderer.attach_backing),
    Cmd.RESOURCE_DETACH_BACKING: (virtio_gpu.ResourceDetachBacking, Renderer.detach_backing),
    Cmd.GET_CAPSET_INFO: (virtio_gpu.GetCapsetInfo, Renderer.get_capset_info),
    Cmd.GET_EDID: (virtio_gpu.GetEdid, Renderer.get_edid),
    Cmd.RESOURCE_ASSIGN_UUID: (virtio_gpu.ResourceAssignUuid, Renderer.assign_uuid),
    Cmd.UPDATE_CURSOR: (virtio_gpu.UpdateCursor, Renderer.update_cursor),
    Cmd.MOVE_CURSOR: (virtio_gpu.UpdateCursor, Renderer.move_cursor),
}
RENDERERS: dict[str, type[Renderer] | None] = {"virglrenderer": Virglrenderer, "gfxstream": Gfxstream, "null": None}
