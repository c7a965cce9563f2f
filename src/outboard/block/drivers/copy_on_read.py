"""A filter that keeps what is read from a backing node in the node below it, so that it is read there once.

Source: QEMU 4.1, block/copy-on-read.c. The copying itself stands in `requests.preadv`.
"""

from outboard.block import requests
from outboard.block.driver import Driver
from outboard.block.iov import Buffers


class CopyOnRead(Driver):
    """Uses one node, in the role FILE."""

    format_name = "copy-on-read"

    async def preadv(self, offset: int, buffers: Buffers) -> None:
        """Read, and keep. Below something read-only nothing can be kept: then just read."""
        below = self.below().node
        await requests.preadv(below, offset, buffers, copy_on_read=not below.driver.read_only)
