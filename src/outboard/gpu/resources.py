"""Commands that make, fill and drop resources.

Source: VIRTIO-1.2 5.7.6.8. Errors come back as response codes, in the order: id, then parameters, then memory.
"""

import outboard.gpu.pixels as pixels
from outboard.gpu.backing import Backing
from outboard.gpu.command import Command
from outboard.gpu.scanouts import disable
from outboard.gpu.state import RESOURCE_COST, Gpu, Resource
from outboard.spec.virtio_gpu import (
    BYTES_PER_PIXEL,
    MAX_BACKING_ENTRIES,
    BlobMem,
    MemEntry,
    ResourceAssignUuid,
    ResourceAttachBacking,
    ResourceCreate2D,
    ResourceCreateBlob,
    ResourceDetachBacking,
    ResourceUnref,
    Resp,
    TransferToHost2D,
)

OK = int(Resp.OK_NODATA)
INVALID_RESOURCE_ID = int(Resp.ERR_INVALID_RESOURCE_ID)
INVALID_PARAMETER = int(Resp.ERR_INVALID_PARAMETER)
OUT_OF_MEMORY = int(Resp.ERR_OUT_OF_MEMORY)
UNSPEC = int(Resp.ERR_UNSPEC)

TRANSFER_RECT = TransferToHost2D.offsetof("r") // 4
TRANSFER_OFFSET = TransferToHost2D.offsetof("offset") // 8
TRANSFER_RESOURCE = TransferToHost2D.offsetof("resource_id") // 4

LAZY_MIN = 512 << 10
"""Bytes from which a transfer is left pending."""

ENTRY_COST = 160
"""Bytes that a backing entry makes the device hold."""
EXTENT_COST = 24
"""The same for each extent, of which an entry has several when it spans regions."""
ENTRY_WORK = 4096
"""Bytes that are copied in about the time that reading a backing entry takes."""


def resource_create_2d(gpu: Gpu, command: Command) -> int:
    """RESOURCE_CREATE_2D: new pixels, all zero."""
    request = command.unpack(ResourceCreate2D)
    if request.resource_id == 0 or request.resource_id in gpu.resources:
        return INVALID_RESOURCE_ID
    order = pixels.ORDERS.get(request.format)
    if order is None or request.width == 0 or request.height == 0:
        return INVALID_PARAMETER
    cost = RESOURCE_COST + BYTES_PER_PIXEL * request.width * request.height
    if gpu.hostmem + cost > gpu.max_hostmem:
        return OUT_OF_MEMORY
    try:
        gpu.resources[request.resource_id] = Resource(request.resource_id, request.width, request.height, order)
    except MemoryError:
        return OUT_OF_MEMORY
    gpu.hostmem += cost
    gpu.work += cost
    return OK


def resource_create_blob(gpu: Gpu, command: Command) -> int:
    """RESOURCE_CREATE_BLOB: pixels that stay in guest memory."""
    request = command.unpack(ResourceCreateBlob)
    if request.resource_id == 0 or request.resource_id in gpu.resources:
        return INVALID_RESOURCE_ID
    if request.blob_mem != BlobMem.GUEST or request.size == 0:
        return INVALID_PARAMETER
    if gpu.hostmem + RESOURCE_COST > gpu.max_hostmem:
        return OUT_OF_MEMORY
    resource = Resource(request.resource_id, 0, 0, pixels.AS_IS)
    resource.blob_size = request.size
    code = _attach(gpu, command, resource, ResourceCreateBlob.sizeof, request.nr_entries) if request.nr_entries else OK
    if code == OK:
        gpu.resources[request.resource_id] = resource
        gpu.hostmem += RESOURCE_COST
    return code


def resource_unref(gpu: Gpu, command: Command) -> int:
    """RESOURCE_UNREF: drop it, and blank every output that shows it."""
    resource = gpu.resources.pop(command.unpack(ResourceUnref).resource_id, None)
    if resource is None:
        return INVALID_RESOURCE_ID
    for scanout in gpu.scanouts:
        if scanout.resource is resource:
            disable(gpu, scanout)
    gpu.hostmem -= resource.cost
    return OK


def resource_attach_backing(gpu: Gpu, command: Command) -> int:
    """RESOURCE_ATTACH_BACKING: remember where in guest memory the pixels are."""
    request = command.unpack(ResourceAttachBacking)
    resource = gpu.resources.get(request.resource_id)
    if resource is None:
        return INVALID_RESOURCE_ID
    if resource.backing is not None:
        return UNSPEC
    if request.nr_entries == 0:
        return OK
    return _attach(gpu, command, resource, ResourceAttachBacking.sizeof, request.nr_entries)


def _attach(gpu: Gpu, command: Command, resource: Resource, start: int, nr_entries: int) -> int:
    """Read the entries that follow a request at `start`; give them to `resource` when all are guest memory."""
    if nr_entries > MAX_BACKING_ENTRIES:
        return UNSPEC
    gpu.work += ENTRY_WORK * nr_entries
    data = command.tail(start, nr_entries * MemEntry.sizeof)
    if data is None:
        return UNSPEC
    words = memoryview(data).cast("Q")
    entries = [(words[i], words[i + 1] & 0xFFFFFFFF) for i in range(0, 2 * nr_entries, 2)]
    if any(length == 0 for _, length in entries):
        return UNSPEC
    backing = Backing(entries)
    if not backing.resolve(gpu.memory) or backing.total < resource.blob_size:
        return UNSPEC
    gpu.work += ENTRY_WORK * backing.count
    backing.cost = ENTRY_COST * nr_entries + EXTENT_COST * backing.count
    if gpu.hostmem + backing.cost > gpu.max_hostmem:
        return OUT_OF_MEMORY
    resource.backing = backing
    resource.cost += backing.cost
    gpu.hostmem += backing.cost
    return OK


def resource_detach_backing(gpu: Gpu, command: Command) -> int:
    """RESOURCE_DETACH_BACKING: forget the guest memory; pixels stay, and outputs that showed a blob go blank."""
    resource = gpu.resources.get(command.unpack(ResourceDetachBacking).resource_id)
    if resource is None or resource.backing is None:
        return INVALID_RESOURCE_ID
    for scanout in gpu.scanouts if resource.blob_size else ():
        if scanout.resource is resource:
            disable(gpu, scanout)
    resource.cost -= resource.backing.cost
    gpu.hostmem -= resource.backing.cost
    resource.backing = None
    return OK


def transfer_to_host_2d(gpu: Gpu, command: Command) -> int:
    """TRANSFER_TO_HOST_2D: copy a rectangle from the backing to the pixels. A blob has nothing to copy.

    A large copy is left pending, so that a flush right behind it can show each piece while it is still in the
    processor's cache. It is done before the next command that is no flush, and before the guest sees the response.
    """
    words = command.words
    resource = gpu.resources.get(words[TRANSFER_RESOURCE])
    if resource is None or resource.backing is None:
        return INVALID_RESOURCE_ID
    if resource.blob_size:
        return OK
    x = words[TRANSFER_RECT]
    y = words[TRANSFER_RECT + 1]
    width = words[TRANSFER_RECT + 2]
    height = words[TRANSFER_RECT + 3]
    at = command.longs[TRANSFER_OFFSET]
    if x > resource.width or width > resource.width - x or y > resource.height or height > resource.height - y:
        return INVALID_PARAMETER
    backing = resource.backing
    if at > backing.total:
        return INVALID_PARAMETER
    if width == 0 or height == 0:
        return OK
    if not backing.resolve(gpu.memory):
        return UNSPEC
    resource.transfer(at, x, y, width, height)
    gpu.work += BYTES_PER_PIXEL * width * height
    if BYTES_PER_PIXEL * width * height < LAZY_MIN:
        resource.catch_up(y + height)
    else:
        gpu.pending = resource
    return OK


def resource_assign_uuid(gpu: Gpu, command: Command) -> int:
    """RESOURCE_ASSIGN_UUID: the same uuid for the same resource, each time."""
    resource = gpu.resources.get(command.unpack(ResourceAssignUuid).resource_id)
    if resource is None:
        return INVALID_RESOURCE_ID
    resource.uuid = resource.uuid or gpu.new_uuid().bytes
    command.reply = resource.uuid
    return int(Resp.OK_RESOURCE_UUID)
