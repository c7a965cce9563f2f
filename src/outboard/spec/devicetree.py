"""The flattened device tree: numbers and structures.

Source: Devicetree Specification v0.4, chapter 5 ("Flattened Devicetree (DTB) Format"). All numbers are big-endian.
"""

from enum import IntEnum

from outboard.layout import Layout, u32, u64

MAGIC = 0xD00DFEED
VERSION = 17
LAST_COMPATIBLE = 16
"""Version whose readers can read a tree of `VERSION`."""

CELL = 4
"""Bytes of a cell; tokens and values in the structure block are aligned to it."""
RESERVE_ALIGNMENT = 8


class Token(IntEnum):
    """What follows in the structure block."""

    BEGIN_NODE = 1
    END_NODE = 2
    PROP = 3
    NOP = 4
    END = 9


class Header(Layout, byte_order=">"):
    """struct fdt_header. Offsets count from its first byte, sizes are bytes."""

    magic: u32 = MAGIC
    totalsize: u32 = 0
    off_dt_struct: u32 = 0
    off_dt_strings: u32 = 0
    off_mem_rsvmap: u32 = 0
    version: u32 = VERSION
    last_comp_version: u32 = LAST_COMPATIBLE
    boot_cpuid_phys: u32 = 0
    size_dt_strings: u32 = 0
    size_dt_struct: u32 = 0


class ReserveEntry(Layout, byte_order=">"):
    """struct fdt_reserve_entry: memory that is not to be used. One of zeros ends the list."""

    address: u64 = 0
    size: u64 = 0


class Property(Layout, byte_order=">"):
    """What follows `Token.PROP`: bytes of the value, and where the name is in the strings block."""

    len: u32 = 0
    nameoff: u32 = 0
