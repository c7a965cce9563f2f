"""Declare bytes and bits, once: see `outboard.layout.structs` and `outboard.layout.words`."""

from outboard.layout.structs import Array, Bytes, Layout, Scalar, i32, says, u8, u16, u32, u64
from outboard.layout.words import Bits, Words, lsb0, ppc

__all__ = [
    "Array",
    "Bits",
    "Bytes",
    "Layout",
    "Scalar",
    "Words",
    "i32",
    "lsb0",
    "ppc",
    "says",
    "u8",
    "u16",
    "u32",
    "u64",
]
