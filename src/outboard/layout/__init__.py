"""Declare bytes, once: see `outboard.layout.structs`."""

from outboard.layout.structs import Array, Bytes, Layout, Scalar, i32, says, u8, u16, u32, u64

__all__ = ["Array", "Bytes", "Layout", "Scalar", "i32", "says", "u8", "u16", "u32", "u64"]
