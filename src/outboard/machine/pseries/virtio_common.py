"""The registers by which a driver sets a virtio device up: struct virtio_pci_common_cfg.

Source: VIRTIO-1.2 4.1.4.3; answers as QEMU 7.2's virtio devices give them: an access at a field's start reaches it,
whatever its size, and one elsewhere nothing; a queue that is enabled stays so.
"""

from dataclasses import dataclass, field
from typing import Protocol

from outboard.spec.virtio_pci import NO_VECTOR, Common

QUEUE_SIZE_LAST = 1024
"""Largest size that a driver can give a queue, and number of queues that it can select."""
_ALL_ONES = 0xFFFFFFFF


@dataclass
class Queue:
    """A queue as its driver set it up. desc, driver, device: guest addresses of its parts."""

    size: int
    vector: int = NO_VECTOR
    enabled: bool = False
    desc: int = 0
    driver: int = 0
    device: int = 0


@dataclass
class Transport:
    """The registers of struct virtio_pci_common_cfg, the device's status, the ISR.

    others: registers of queues that there are not; they keep what is written, but have no descriptors.
    """

    queues: list[Queue]
    status: int = 0
    isr: int = 0
    generation: int = 0
    config_vector: int = NO_VECTOR
    device_select: int = 0
    driver_select: int = 0
    queue_select: int = 0
    accepted: dict[int, int] = field(default_factory=lambda: {0: 0, 1: 0})
    others: dict[int, Queue] = field(default_factory=dict)

    @property
    def features(self) -> int:
        """What the driver accepted."""
        return self.accepted[1] << 32 | self.accepted[0]

    def queue(self) -> Queue:
        """Return the queue that is selected, of size 0 where there is none."""
        if self.queue_select < len(self.queues):
            return self.queues[self.queue_select]
        return self.others.setdefault(self.queue_select, Queue(0))


class Owner(Protocol):
    """The device of the registers."""

    now: Transport

    @property
    def features(self) -> int:
        """What is offered."""

    def set_status(self, status: int) -> None:
        """Take what the driver wrote to the device status."""

    def checked_vector(self, vector: int) -> int:
        """Return a vector that the driver chose, or none where there is no such vector."""


class CommonConfig:
    """struct virtio_pci_common_cfg. Only accesses at a field's start find it, whatever their size."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner

    def load(self, offset: int, size: int) -> int:
        now = self.owner.now
        if offset < Common.QUEUE_SIZE:
            return self._load_device(now, offset)
        return self._load_queue(now, now.queue(), offset)

    def _load_device(self, now: Transport, offset: int) -> int:
        words = {0: self.owner.features & _ALL_ONES, 1: self.owner.features >> 32}
        fields = {
            Common.DEVICE_FEATURE_SELECT: now.device_select,
            Common.DEVICE_FEATURE: words.get(now.device_select, 0),
            Common.DRIVER_FEATURE_SELECT: now.driver_select,
            Common.DRIVER_FEATURE: now.accepted.get(now.driver_select, 0),
            Common.CONFIG_MSIX_VECTOR: now.config_vector,
            Common.NUM_QUEUES: len(now.queues),
            Common.DEVICE_STATUS: now.status,
            Common.CONFIG_GENERATION: now.generation,
            Common.QUEUE_SELECT: now.queue_select,
        }
        return {int(field): value for field, value in fields.items()}.get(offset, 0)

    def _load_queue(self, now: Transport, queue: Queue, offset: int) -> int:
        fields = {
            Common.QUEUE_SIZE: queue.size,
            Common.QUEUE_MSIX_VECTOR: queue.vector,
            Common.QUEUE_ENABLE: int(queue.enabled),
            Common.QUEUE_NOTIFY_OFF: now.queue_select,
        }
        for name, address in (("desc", queue.desc), ("driver", queue.driver), ("device", queue.device)):
            start = Common[f"QUEUE_{name.upper()}"]
            if offset in (start, start + 4):
                return address >> 8 * (offset - start) & _ALL_ONES
        return {int(field): value for field, value in fields.items()}.get(offset, 0)

    def store(self, offset: int, size: int, value: int) -> None:
        now, vector = self.owner.now, self.owner.checked_vector(value & 0xFFFF)
        if offset == Common.DEVICE_STATUS:
            self.owner.set_status(value & 0xFF)
        elif offset == Common.DEVICE_FEATURE_SELECT:
            now.device_select = value
        elif offset == Common.DRIVER_FEATURE_SELECT:
            now.driver_select = value
        elif offset == Common.DRIVER_FEATURE and now.driver_select in now.accepted:
            now.accepted[now.driver_select] = value
        elif offset == Common.CONFIG_MSIX_VECTOR:
            now.config_vector = vector
        elif offset == Common.QUEUE_SELECT:
            now.queue_select = value if value < QUEUE_SIZE_LAST else now.queue_select
        else:
            self._store_queue(now.queue(), offset, value, vector)

    def _store_queue(self, queue: Queue, offset: int, value: int, vector: int) -> None:
        if offset == Common.QUEUE_SIZE:
            queue.size = value if queue.size and 0 < value <= QUEUE_SIZE_LAST else queue.size
        elif offset == Common.QUEUE_MSIX_VECTOR:
            queue.vector = vector
        elif offset == Common.QUEUE_ENABLE:
            queue.enabled = queue.enabled or value == 1
        for name in ("desc", "driver", "device"):
            start = Common[f"QUEUE_{name.upper()}"]
            if offset in (start, start + 4):
                shift = 8 * (offset - start)
                setattr(queue, name, getattr(queue, name) & ~(_ALL_ONES << shift) | (value & _ALL_ONES) << shift)
