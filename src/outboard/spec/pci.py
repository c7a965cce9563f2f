"""PCI Local Bus 3.0, chapter 6 and appendix D: configuration space of a device, base addresses, MSI and MSI-X.

Modelled: headers of type 0, memory base addresses, the capabilities that our devices have. Not modelled: bridges, I/O
base addresses, expansion ROMs, PCI Express. Everything in configuration space is little-endian.
"""

from enum import IntEnum, IntFlag
from typing import NamedTuple

CONFIG_SIZE = 256
HEADER_SIZE = 64
"""Bytes of the header; capabilities are behind it."""
SLOTS = 32
SLOT_SHIFT = 11
"""Of the slot in a configuration address; the function has the three bits below."""


class Reg(IntEnum):
    """Offsets in the header (6.1)."""

    VENDOR_ID = 0x00
    DEVICE_ID = 0x02
    COMMAND = 0x04
    STATUS = 0x06
    REVISION_ID = 0x08
    PROG_IF = 0x09
    CLASS_DEVICE = 0x0A
    CACHE_LINE_SIZE = 0x0C
    BASE_ADDRESS_0 = 0x10
    SUBSYSTEM_VENDOR_ID = 0x2C
    SUBSYSTEM_ID = 0x2E
    CAPABILITIES = 0x34
    INTERRUPT_LINE = 0x3C
    INTERRUPT_PIN = 0x3D
    MIN_GNT = 0x3E
    MAX_LAT = 0x3F


class Command(IntFlag):
    """The command register (6.2.2)."""

    IO = 0x0001
    MEMORY = 0x0002
    MASTER = 0x0004
    SERR = 0x0100
    INTX_DISABLE = 0x0400


class Status(IntFlag):
    """The status register (6.2.3)."""

    INTERRUPT = 0x0008
    CAPABILITIES = 0x0010


class BarType(IntFlag):
    """The low bits of a memory base address (6.2.5.1)."""

    WIDE = 0x4
    PREFETCH = 0x8


BARS = 6


class Cap(IntEnum):
    """Capability ids (appendix H)."""

    MSI = 0x05
    VENDOR = 0x09
    MSIX = 0x11


class Capability(NamedTuple):
    """A capability as it is laid out: id, the bytes behind id and link, and which bits of those a driver may write."""

    cap: Cap
    body: bytes
    writable: bytes


class Msi(IntEnum):
    """Offsets in an MSI capability with an address of 64 bits and no masks (6.8.1)."""

    CONTROL = 2
    ADDRESS = 4
    DATA = 12
    SIZE = 14


MSI_ENABLE = 0x0001
MSI_COUNT = 0x0070
"""Multiple message enable: log2 of how many messages the driver allows."""
MSI_COUNT_SHIFT = 4
MSI_64_BIT = 0x0080


class Msix(IntEnum):
    """Offsets in an MSI-X capability (6.8.2)."""

    CONTROL = 2
    TABLE = 4
    PBA = 8
    SIZE = 12


MSIX_ENABLE = 0x8000
MSIX_MASK_ALL = 0x4000
MSIX_ENTRY = 16
"""Bytes of an entry of the table: address of 64 bits, data, vector control."""
MSIX_ENTRY_DATA = 8
MSIX_ENTRY_CONTROL = 12
MSIX_MASKED = 0x1
"""In an entry's vector control."""
