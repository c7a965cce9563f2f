"""An image file as a graph of two nodes: raw on file."""

import os

from outboard.aio.context import AioContext
from outboard.block import edges
from outboard.block.drivers.file import File
from outboard.block.drivers.raw import Raw
from outboard.block.node import Node
from outboard.block.roles import FILE
from outboard.errors import LocalError
from outboard.spec.virtio_blk import SECTOR


def open_image(path: str | os.PathLike[str], ctx: AioContext, *, read_only: bool = False) -> Node:
    """Open an image for the use of a disk; return its top node, in `ctx`. In the main thread.

    Raises LocalError when it cannot be opened, is in use elsewhere, or is not made of whole sectors.
    """
    name = os.fspath(path)
    driver = File(name, read_only=read_only)
    try:
        size = os.lseek(driver.fd, 0, os.SEEK_END)
        if not size or size % SECTOR:
            raise LocalError(
                f"image {name}: expected whole sectors of {SECTOR} bytes, got {size} bytes; see truncate(1)"
            )
        top = Node(name, Raw(), ctx)
        edges.attach_child(top, Node(f"{name} (file)", driver, ctx), FILE)
    except BaseException:
        driver.close()
        raise
    return top
