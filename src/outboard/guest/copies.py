"""Copies between byte buffers. Plain form; `copies.pxd` holds the compiled one.

Callers check bounds: the compiled form does not. Offsets and strides are in bytes.
"""


def copy(dst: memoryview, dst_offset: int, src: memoryview, src_offset: int, length: int) -> None:
    """Copy `length` bytes between buffers that do not overlap."""
    dst[dst_offset : dst_offset + length] = src[src_offset : src_offset + length]


def copy_ahead(
    dst: memoryview,
    dst_offset: int,
    src: memoryview,
    src_offset: int,
    length: int,
    next_src: memoryview,
    next_offset: int,
) -> None:
    """Copy as `copy`; the compiled form fetches what is at `next_offset` of `next_src` into the cache meanwhile.

    Processors fetch ahead by themselves, but not across pages that are neighbours in the stream only.
    """
    dst[dst_offset : dst_offset + length] = src[src_offset : src_offset + length]


def copy_rows(
    dst: memoryview,
    dst_offset: int,
    dst_stride: int,
    src: memoryview,
    src_offset: int,
    src_stride: int,
    row_bytes: int,
    rows: int,
) -> None:
    """Copy a rectangle of `rows` rows of `row_bytes` each between buffers that do not overlap."""
    for _ in range(rows):
        dst[dst_offset : dst_offset + row_bytes] = src[src_offset : src_offset + row_bytes]
        dst_offset += dst_stride
        src_offset += src_stride
