"""Virtual I/O Device (VIRTIO) 1.2, section 4.1: virtio over PCI.

Modelled: modern devices. Not modelled: the legacy interface (4.1.4.10), shared memory capabilities.
"""

from enum import IntEnum, IntFlag

VENDOR = 0x1AF4
DEVICE_BASE = 0x1040
"""PCI device id of the virtio device with id 0 (4.1.2)."""
NO_VECTOR = 0xFFFF
"""VIRTIO_MSI_NO_VECTOR (4.1.5.1.2)."""


class CfgType(IntEnum):
    """What a vendor capability locates (4.1.4)."""

    COMMON = 1
    NOTIFY = 2
    ISR = 3
    DEVICE = 4
    PCI = 5


class Common(IntEnum):
    """Offsets in struct virtio_pci_common_cfg (4.1.4.3)."""

    DEVICE_FEATURE_SELECT = 0
    DEVICE_FEATURE = 4
    DRIVER_FEATURE_SELECT = 8
    DRIVER_FEATURE = 12
    CONFIG_MSIX_VECTOR = 16
    NUM_QUEUES = 18
    DEVICE_STATUS = 20
    CONFIG_GENERATION = 21
    QUEUE_SELECT = 22
    QUEUE_SIZE = 24
    QUEUE_MSIX_VECTOR = 26
    QUEUE_ENABLE = 28
    QUEUE_NOTIFY_OFF = 30
    QUEUE_DESC = 32
    QUEUE_DRIVER = 40
    QUEUE_DEVICE = 48


class DeviceStatus(IntFlag):
    """The device status field (2.1)."""

    ACKNOWLEDGE = 1
    DRIVER = 2
    DRIVER_OK = 4
    FEATURES_OK = 8
    NEEDS_RESET = 64
    FAILED = 128


class Isr(IntFlag):
    """The ISR status (4.1.4.5); a read clears it."""

    QUEUE = 1
    CONFIG = 2
