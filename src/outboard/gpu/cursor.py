"""Commands of the cursor queue.

Source: VIRTIO-1.2 5.7.6.10. Positions are signed in use, in unsigned fields; they are passed on as they come.
"""

from outboard.gpu.command import Command
from outboard.gpu.state import Gpu, Resource
from outboard.spec.virtio_gpu import BYTES_PER_PIXEL, CURSOR_SIZE, Resp, UpdateCursor

OK = int(Resp.OK_NODATA)
INVALID_SCANOUT_ID = int(Resp.ERR_INVALID_SCANOUT_ID)

SCANOUT_ID = UpdateCursor.offsetof("pos.scanout_id") // 4
X = UpdateCursor.offsetof("pos.x") // 4
Y = UpdateCursor.offsetof("pos.y") // 4
RESOURCE_ID = UpdateCursor.offsetof("resource_id") // 4

IMAGE_BYTES = CURSOR_SIZE * CURSOR_SIZE * BYTES_PER_PIXEL
TRANSPARENT = bytes(IMAGE_BYTES)


def update_cursor(gpu: Gpu, command: Command) -> int:
    """UPDATE_CURSOR: take the image from a resource as it is now, and show it; resource 0 hides the cursor."""
    request = command.unpack(UpdateCursor)
    pos = request.pos
    if pos.scanout_id >= gpu.num_scanouts:
        return INVALID_SCANOUT_ID
    cursor = gpu.cursors[pos.scanout_id]
    cursor.x, cursor.y = pos.x, pos.y
    cursor.visible = request.resource_id != 0
    if not cursor.visible:
        gpu.output.cursor_pos_hide(pos.scanout_id, pos.x, pos.y)
        return OK
    cursor.hot_x, cursor.hot_y = request.hot_x, request.hot_y
    cursor.image = _image(gpu, gpu.resources.get(request.resource_id))
    gpu.output.cursor_update(pos.scanout_id, pos.x, pos.y, cursor.hot_x, cursor.hot_y, cursor.image)
    return OK


def _image(gpu: Gpu, resource: Resource | None) -> bytes:
    """Return a resource's 64 x 64 pixels; transparent when it has no such image, as QEMU's back-end answers."""
    if resource is None:
        return TRANSPARENT
    if (resource.width, resource.height) == (CURSOR_SIZE, CURSOR_SIZE):
        return bytes(resource.buffer)
    if resource.blob_size < IMAGE_BYTES or resource.backing is None or not resource.backing.resolve(gpu.memory):
        return TRANSPARENT
    image = bytearray(IMAGE_BYTES)
    resource.backing.read_rows(0, IMAGE_BYTES, memoryview(image), 0, IMAGE_BYTES, IMAGE_BYTES, 1)
    return bytes(image)


def move_cursor(gpu: Gpu, command: Command) -> int:
    """MOVE_CURSOR: a new position; resource 0 hides the cursor, as some drivers ask."""
    words = command.words
    scanout_id = words[SCANOUT_ID]
    if scanout_id >= gpu.num_scanouts:
        return INVALID_SCANOUT_ID
    cursor = gpu.cursors[scanout_id]
    cursor.x = words[X]
    cursor.y = words[Y]
    cursor.visible = words[RESOURCE_ID] != 0
    if cursor.visible:
        gpu.output.cursor_pos(scanout_id, cursor.x, cursor.y)
    else:
        gpu.output.cursor_pos_hide(scanout_id, cursor.x, cursor.y)
    return OK
