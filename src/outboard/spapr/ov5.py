"""Option vectors: what a guest asks for, what the platform offers, and what both agree on.

Source: LoPAPR, "ibm,client-architecture-support"; layout in guest memory as QEMU 7.2 reads it.

A vector is `bytes`, byte number n of the document at index n - 1; bytes that are not there are 0.
"""

from collections.abc import Iterable

from outboard.guest.memory import GuestMemory
from outboard.spec.client_architecture import (
    MMU_BOTH,
    MMU_RADIX,
    OPTION_VECTOR_MAX,
    PLATFORM_SUPPORT_BYTES,
    RADIX_GTSE,
    XIVE_BOTH,
    XIVE_EXPLOITATION,
    OptionBit,
)

NOTHING = b""
"""The vector without any bit."""
_ADDRESS = (1 << 64) - 1


def make(bits: Iterable[OptionBit]) -> bytes:
    """Return the vector that has these bits."""
    vector = bytearray(OPTION_VECTOR_MAX)
    for bit in bits:
        vector[bit.byte - 1] |= bit.mask
    return bytes(vector.rstrip(b"\0"))


def has(vector: bytes, bit: OptionBit) -> bool:
    """Return whether a vector has a bit."""
    return bit.byte <= len(vector) and vector[bit.byte - 1] & bit.mask != 0


def intersect(one: bytes, other: bytes) -> bytes:
    """Return the vector with the bits that both have."""
    return bytes(a & b for a, b in zip(one, other, strict=False)).rstrip(b"\0")


def read(memory: GuestMemory, table: int, number: int) -> bytes | None:
    """Return vector `number`, from 1, of the vectors at `table`, or None where there are fewer.

    At `table` is one byte, how many vectors there are less one; then each as one byte, its length less one, and its
    bytes. What is not memory reads as 0, so every table ends.
    """
    if number > memory.load(table, 1) + 1:
        return None
    at = table + 1
    for _ in range(number - 1):
        at = (at + 2 + memory.load(at & _ADDRESS, 1)) & _ADDRESS
    length = memory.load(at, 1) + 1
    return bytes(memory.load((at + 1 + index) & _ADDRESS, 1) for index in range(length))


def property_of(vector: bytes) -> bytes:
    """Return `ibm,architecture-vec-5`: the length byte, then the bytes up to the last that is not 0, at least one."""
    used = vector.rstrip(b"\0") or b"\0"
    return bytes([len(used) - 1]) + used


def platform_support(*, has_xics: bool, has_xive: bool, power9: bool) -> bytes:
    """Return `ibm,arch-vec-5-platform-support`: pairs of byte number and value, what a guest may ask for.

    power9: whether the processors, at the level they have now, are POWER9 or newer.
    """
    interrupts = {(True, True): XIVE_BOTH.mask, (False, True): XIVE_EXPLOITATION.mask, (True, False): 0}
    offers = {
        XIVE_EXPLOITATION.byte: interrupts[has_xics, has_xive] if power9 else 0,
        MMU_RADIX.byte: MMU_BOTH.mask | MMU_RADIX.mask if power9 else 0,
        RADIX_GTSE.byte: RADIX_GTSE.mask,
    }
    return bytes(part for byte in PLATFORM_SUPPORT_BYTES for part in (byte, offers.get(byte, 0)))
