"""A disk on a filter on an image, moved between threads; a second user that does not let it go."""

from outboard.aio import IOThread
from outboard.block import BlockBackend, Node
from outboard.block.drivers import Memory, Throttle
from outboard.block.graph import FILE, attach_child, close, try_set_aio_context
from outboard.errors import LocalError


def where() -> str:
    return ", ".join(f"{node.name} in {node.ctx.name}" for node in (limit, image))


with IOThread("io0") as io0, IOThread("io1") as io1:
    image, limit = Node("image", Memory(1 << 20)), Node("limit", Throttle(bps_write=10_000_000))
    attach_child(limit, image, FILE)
    disk = BlockBackend("vda")
    disk.insert(limit)
    disk.attach_dev("the guest's disk")
    print(where())

    disk.try_set_aio_context(io0.context)
    disk.pwrite(4096, b"from the main thread, in io0")
    print(where())

    backup = BlockBackend("backup", io1.context)
    backup.insert(image)  # the guest's disk would not come to io1, so the backup comes to io0
    backup.attach_dev("an NBD server")
    print("backup in", backup.ctx.name)
    try:
        disk.try_set_aio_context(io1.context)
    except LocalError as refusal:
        print(refusal)
    print(where())

    backup.allow_aio_context_change = disk.allow_aio_context_change = True
    try_set_aio_context(image, io1.context)  # then anybody may move all of it, by any of its nodes
    print(where(), "and backup in", backup.ctx.name)
    print(disk.pread(4096, 28).decode())

    backup.remove()
    disk.remove()
    close(limit)
