"""What a disk is to its driver: size, blocks, features, limits, the cache's mode.

Source: VIRTIO-1.2 5.2.3 to 5.2.5, 5.2.6.2.

Modelled: resize, a cache mode that the driver may set. Not modelled: geometry, lifetime, secure erase, zones.
"""

from dataclasses import dataclass
from typing import Any

from outboard.errors import LocalError
from outboard.spec.virtio_blk import ID_BYTES, SECTOR, SECTOR_BITS, Config, Feature, Topology

QUEUES_MAX = 64
"""Request queues of one disk at most."""
QUEUE_SIZE_MAX = 1024
SEG_MAX = 254
"""Pieces of data in one request, as announced: with header and status they fit an indirect table of 4 KiB."""
RANGE_SECTORS_MAX = 1 << 22
"""Sectors of one segment of a discard or write zeroes request, 2 GiB."""
RANGES_MAX = 32
"""Segments of one such request."""
BLOCK_SIZES = (512, 1024, 2048, 4096)


@dataclass(frozen=True)
class Options:
    """What the user chose. Sizes in bytes; physical_block_size 0: at least 4096; size_max 0: any segment will do."""

    serial: str = ""
    read_only: bool = False
    writeback: bool = True
    num_queues: int = 1
    queue_size: int = QUEUE_SIZE_MAX
    logical_block_size: int = 512
    physical_block_size: int = 0
    size_max: int = 0

    def check(self) -> None:
        """Raise LocalError unless such a disk can be."""
        if not 1 <= self.num_queues <= QUEUES_MAX:
            raise LocalError(f"{self.num_queues} queues: a disk has 1 to {QUEUES_MAX}")
        if not 4 <= self.queue_size <= QUEUE_SIZE_MAX or self.queue_size & (self.queue_size - 1):
            raise LocalError(f"queue size {self.queue_size}: it is a power of two, 4 to {QUEUE_SIZE_MAX}")
        if self.logical_block_size not in BLOCK_SIZES:
            sizes = ", ".join(map(str, BLOCK_SIZES))
            raise LocalError(f"logical block size {self.logical_block_size}: it is one of {sizes}")
        if len(self.serial.encode()) > ID_BYTES or not self.serial.isascii() or not self.serial.isprintable():
            raise LocalError(f"serial {self.serial!r}: it has at most {ID_BYTES} printable ASCII characters")
        physical = self.physical_block_size
        if physical and (physical & (physical - 1) or not self.logical_block_size <= physical <= 1 << 20):
            raise LocalError(f"physical block size {physical}: a power of two, at least a logical block, at most 1 MiB")
        if self.size_max and not 4096 <= self.size_max < 1 << 32:
            raise LocalError(f"size_max {self.size_max}: segments of 4096 bytes must be possible")


class Disk:
    """One disk. capacity: sectors of 512 bytes; features: those the driver has accepted."""

    def __init__(self, options: Options, capacity: int) -> None:
        options.check()
        self.options = options
        self.capacity = capacity
        self.read_only = options.read_only
        self.block_mask = (options.logical_block_size >> SECTOR_BITS) - 1
        self.serial = options.serial.encode().ljust(ID_BYTES, b"\0")
        self.features = 0
        self.writeback = options.writeback

    @property
    def offered(self) -> int:
        """Feature bits of this disk."""
        options = self.options
        conditions = {
            Feature.SIZE_MAX: bool(options.size_max),
            Feature.RO: options.read_only,
            Feature.MQ: options.num_queues > 1,
            Feature.DISCARD: not options.read_only,
            Feature.WRITE_ZEROES: not options.read_only,
        }
        bits = Feature.SEG_MAX | Feature.BLK_SIZE | Feature.FLUSH | Feature.TOPOLOGY | Feature.CONFIG_WCE
        return int(bits) | sum(int(bit) for bit, holds in conditions.items() if holds)

    def set_features(self, features: int) -> None:
        """Take the features that the driver accepted; a driver that cannot flush gets a disk that needs none."""
        self.features = features
        if features & Feature.CONFIG_WCE and not features & Feature.FLUSH:
            self.writeback = False

    @property
    def stable(self) -> bool:
        """Whether a write must be on the medium before it is answered: a writethrough cache (5.2.6.2)."""
        return not self.writeback or not self.features & (Feature.FLUSH | Feature.CONFIG_WCE)

    def config(self) -> Config:
        """Return the config space as it is now."""
        options = self.options
        blocks = max(1, (options.physical_block_size or 4096) // options.logical_block_size)
        unmaps: dict[str, Any] = {
            "max_discard_sectors": RANGE_SECTORS_MAX,
            "max_discard_seg": RANGES_MAX,
            "discard_sector_alignment": options.logical_block_size // SECTOR,
            "max_write_zeroes_sectors": RANGE_SECTORS_MAX,
            "max_write_zeroes_seg": RANGES_MAX,
            "write_zeroes_may_unmap": 1,
        }
        return Config(
            capacity=self.capacity,
            size_max=options.size_max,
            seg_max=min(SEG_MAX, options.queue_size - 2),
            blk_size=options.logical_block_size,
            topology=Topology(blocks.bit_length() - 1, 0, blocks, 0),
            writeback=self.writeback,
            num_queues=options.num_queues,
            **({} if options.read_only else unmaps),
        )

    def write_config(self, offset: int, data: bytes) -> bool:
        """Store what the driver writes to the config space; false for anything but the cache mode's byte, 0 or 1."""
        if offset != Config.offsetof("writeback") or data not in (b"\0", b"\1"):
            return False
        self.writeback = bool(data[0])
        return True

    def reset(self) -> None:
        """Forget what the driver has set."""
        self.features = 0
        self.writeback = self.options.writeback
