"""The drivers of the block graph. `mirror_top` stands with its job, in `outboard.block.mirror`."""

from outboard.block.drivers.copy_on_read import CopyOnRead
from outboard.block.drivers.file import File
from outboard.block.drivers.memory import Memory
from outboard.block.drivers.null import NullCo
from outboard.block.drivers.quorum import Quorum
from outboard.block.drivers.raw import Raw
from outboard.block.drivers.throttle import Throttle

__all__ = ["CopyOnRead", "File", "Memory", "NullCo", "Quorum", "Raw", "Throttle"]
