"""Commands that bind resources to outputs and show them.

Source: VIRTIO-1.2 5.7.6.8, SET_SCANOUT, SET_SCANOUT_BLOB, RESOURCE_FLUSH.

An output that got a new framebuffer is `stale`: its whole picture is shown with the next flush, or as soon as the queue
is dry, whatever comes first. So a page flip sends its pixels once, and a framebuffer that is never flushed is seen too.
"""

import outboard.gpu.pixels as pixels
from outboard.gpu.command import Command
from outboard.gpu.output import Output
from outboard.gpu.state import Gpu, Resource, Scanout
from outboard.spec.virtio_gpu import BYTES_PER_PIXEL, Rect, ResourceFlush, Resp, SetScanout, SetScanoutBlob

OK = int(Resp.OK_NODATA)
INVALID_SCANOUT_ID = int(Resp.ERR_INVALID_SCANOUT_ID)
INVALID_RESOURCE_ID = int(Resp.ERR_INVALID_RESOURCE_ID)
INVALID_PARAMETER = int(Resp.ERR_INVALID_PARAMETER)

MAX_SIDE = 16384
"""Width and height of an output at most; a front-end may fall over larger ones."""

FLUSH_RECT = ResourceFlush.offsetof("r") // 4
FLUSH_RESOURCE = ResourceFlush.offsetof("resource_id") // 4


def disable(gpu: Gpu, scanout: Scanout) -> None:
    """Blank an output, if it shows anything."""
    if scanout.width:
        gpu.output.scanout(scanout.scanout_id, 0, 0)
        gpu.stale &= ~(1 << scanout.scanout_id)
        scanout.disable()


def _outside(rect: Rect, width: int, height: int) -> bool:
    return rect.x + rect.width > width or rect.y + rect.height > height


def _bind(
    gpu: Gpu,
    scanout: Scanout,
    resource: Resource,
    rect: Rect,
    offset: int,
    stride: int,
    order: tuple[int, int, int, int],
) -> int:
    """Make an output show `rect` of a framebuffer in `resource`; its rectangle has been checked."""
    if rect.width == 0 or rect.height == 0:
        disable(gpu, scanout)
        return OK
    if max(rect.width, rect.height) > MAX_SIDE:
        return INVALID_PARAMETER
    now = (scanout.resource, scanout.x, scanout.y, scanout.width, scanout.height, scanout.offset, scanout.stride)
    if now == (resource, rect.x, rect.y, rect.width, rect.height, offset, stride) and scanout.order == order:
        return OK
    if (scanout.width, scanout.height) != (rect.width, rect.height):
        gpu.output.scanout(scanout.scanout_id, rect.width, rect.height)
    scanout.resource, scanout.offset, scanout.stride, scanout.order = resource, offset, stride, order
    scanout.x, scanout.y, scanout.width, scanout.height = rect.x, rect.y, rect.width, rect.height
    gpu.stale |= 1 << scanout.scanout_id
    return OK


def _wanted(gpu: Gpu, request: SetScanout | SetScanoutBlob) -> Resource | int:
    """Return the resource that an output is to show; when it is to show nothing, do that and return the response."""
    if request.scanout_id >= gpu.num_scanouts:
        return INVALID_SCANOUT_ID
    if request.resource_id == 0:
        disable(gpu, gpu.scanouts[request.scanout_id])
        return OK
    return gpu.resources.get(request.resource_id, INVALID_RESOURCE_ID)


def set_scanout(gpu: Gpu, command: Command) -> int:
    """SET_SCANOUT: show a rectangle of a 2D resource, or nothing."""
    request = command.unpack(SetScanout)
    resource = _wanted(gpu, request)
    if isinstance(resource, int):
        return resource
    if resource.blob_size or _outside(request.r, resource.width, resource.height):
        return INVALID_PARAMETER
    return _bind(gpu, gpu.scanouts[request.scanout_id], resource, request.r, 0, resource.stride, pixels.AS_IS)


def set_scanout_blob(gpu: Gpu, command: Command) -> int:
    """SET_SCANOUT_BLOB: show a rectangle of a framebuffer that lies in a blob, or nothing."""
    request = command.unpack(SetScanoutBlob)
    resource = _wanted(gpu, request)
    if isinstance(resource, int):
        return resource
    order = pixels.ORDERS.get(request.format)
    if order is None or not _fits(request, resource):
        return INVALID_PARAMETER
    scanout = gpu.scanouts[request.scanout_id]
    return _bind(gpu, scanout, resource, request.r, request.offsets[0], request.strides[0], order)


def _fits(request: SetScanoutBlob, resource: Resource) -> bool:
    """Whether the framebuffer lies inside the blob, and the rectangle inside the framebuffer."""
    row_bytes = BYTES_PER_PIXEL * request.width
    end = request.offsets[0] + request.strides[0] * (request.height - 1) + row_bytes
    return (
        bool(resource.blob_size and resource.backing is not None)
        and min(request.width, request.height) > 0
        and request.strides[0] >= row_bytes
        and end <= resource.blob_size
        and not _outside(request.r, request.width, request.height)
    )


def resource_flush(gpu: Gpu, command: Command) -> int:
    """RESOURCE_FLUSH: show a rectangle of a resource on every output that it is bound to."""
    words = command.words
    resource = gpu.resources.get(words[FLUSH_RESOURCE])
    if resource is None:
        return INVALID_RESOURCE_ID
    x = words[FLUSH_RECT]
    y = words[FLUSH_RECT + 1]
    width = words[FLUSH_RECT + 2]
    height = words[FLUSH_RECT + 3]
    if not resource.blob_size and (x + width > resource.width or y + height > resource.height):
        return INVALID_PARAMETER
    if width == 0 or height == 0:
        return OK
    for scanout in gpu.scanouts:
        if scanout.resource is resource:
            _show(gpu, scanout, x, y, width, height)
    return OK


def _show(gpu: Gpu, scanout: Scanout, x: int, y: int, width: int, height: int) -> None:
    """Show what a rectangle of the framebuffer and an output have in common."""
    left = max(x, scanout.x)
    top = max(y, scanout.y)
    right = min(x + width, scanout.x + scanout.width)
    bottom = min(y + height, scanout.y + scanout.height)
    if (gpu.stale >> scanout.scanout_id) & 1:
        show_all(gpu, scanout)
    elif left < right and top < bottom and _readable(gpu, scanout):
        gpu.work += BYTES_PER_PIXEL * (right - left) * (bottom - top)
        gpu.output.update(scanout.scanout_id, scanout, left - scanout.x, top - scanout.y, right - left, bottom - top)


def _readable(gpu: Gpu, scanout: Scanout) -> bool:
    """Whether the pixels can be read now: those of a blob may have left the guest's memory map."""
    resource = scanout.resource
    if resource is None:
        return False
    return not resource.blob_size or (resource.backing is not None and resource.backing.resolve(gpu.memory))


def show_all(gpu: Gpu, scanout: Scanout) -> None:
    """Show the whole of an output."""
    gpu.stale &= ~(1 << scanout.scanout_id)
    if scanout.width and _readable(gpu, scanout):
        gpu.work += BYTES_PER_PIXEL * scanout.width * scanout.height
        gpu.output.update(scanout.scanout_id, scanout, 0, 0, scanout.width, scanout.height)


def show_stale(gpu: Gpu) -> None:
    """Show every output that has a new framebuffer."""
    for scanout in gpu.scanouts:
        if (gpu.stale >> scanout.scanout_id) & 1:
            show_all(gpu, scanout)


def announce(gpu: Gpu, output: Output) -> None:
    """Tell an output that knows nothing everything: sizes, pictures, cursors."""
    for scanout, cursor in zip(gpu.scanouts, gpu.cursors, strict=True):
        scanout_id = scanout.scanout_id
        if scanout.width:
            output.scanout(scanout_id, scanout.width, scanout.height)
            if _readable(gpu, scanout):
                output.update(scanout_id, scanout, 0, 0, scanout.width, scanout.height)
        if cursor.image:
            output.cursor_update(scanout_id, cursor.x, cursor.y, cursor.hot_x, cursor.hot_y, cursor.image)
            if not cursor.visible:
                output.cursor_pos_hide(scanout_id, cursor.x, cursor.y)
