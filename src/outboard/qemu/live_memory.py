"""The RAM of a live machine: mapped, and what of it is whose.

Source: LoPAPR, "ibm,client-architecture-support", for what a guest passes there. The agent has its image and the
mailbox below, and its ring (`agent.mailbox`).
"""

from __future__ import annotations

import struct

from outboard.spec.client_architecture import MMU_RADIX, XIVE_EXPLOITATION

MEMORY_MIB = 256
STOP_CELLS, VECTORS = 0x5000, 0x6000
CAS_TREE, CAS_TREE_SIZE = 0x200000, 0x40000
FREE_RAM = 0x400000
"""Guest address from which on nothing here writes."""
PVRS = ((0xFFFF0000, 0x004E0000), (0xFFFFFFFF, 0x0F000005), (0, 0xFFFFFFFF))
"""POWER9 by its own number and by its logical one, and the end of the list."""


class LiveMemory:
    """The RAM of a machine, mapped."""

    def __init__(self, view: memoryview) -> None:
        self.view = view

    def read(self, addr: int, length: int, /) -> bytes | None:
        """Return a copy of a range, or None when a part of it is not RAM."""
        return bytes(self.view[addr : addr + length]) if self._has(addr, length) else None

    def write(self, addr: int, data: bytes, /) -> bool:
        """Copy bytes to a range. Nothing is copied when a part of it is not RAM."""
        if not self._has(addr, len(data)):
            return False
        self.view[addr : addr + len(data)] = data
        return True

    def _has(self, addr: int, length: int) -> bool:
        return 0 <= addr and 0 <= length and addr + length <= len(self.view)


def cas_area(vector_5: bytes | bool) -> bytes:
    """Return what R4 of H_CAS points to: processor numbers, four empty vectors, option vector 5."""
    if isinstance(vector_5, bool):
        made = bytearray(24)
        made[XIVE_EXPLOITATION.byte - 1] = XIVE_EXPLOITATION.mask if vector_5 else 0
        made[MMU_RADIX.byte - 1] = MMU_RADIX.mask
        vector_5 = bytes(made)
    vectors = [bytes(1)] * 4 + [vector_5]
    pvrs = b"".join(struct.pack(">II", *pair) for pair in PVRS)
    return pvrs + bytes([len(vectors) - 1]) + b"".join(bytes([len(one) - 1]) + one for one in vectors)
