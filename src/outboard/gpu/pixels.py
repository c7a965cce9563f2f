"""Pixel orders of the 2D formats, and bringing them into the one that the display protocol carries.

Source: VIRTIO-1.2 5.7.6.8 (formats name bytes in memory order); QEMU docs/interop/vhost-user-gpu, "UPDATE"
(PIXMAN_x8r8g8b8: bytes B, G, R, X in memory on a little-endian host). The fourth byte keeps its value, for cursors.

Plain form; `pixels.pxd` holds the compiled one.
"""

from outboard.spec.virtio_gpu import Format

AS_IS = (0, 1, 2, 3)

ORDERS: dict[int, tuple[int, int, int, int]] = {
    Format.B8G8R8A8: AS_IS,
    Format.B8G8R8X8: AS_IS,
    Format.A8R8G8B8: (3, 2, 1, 0),
    Format.X8R8G8B8: (3, 2, 1, 0),
    Format.R8G8B8A8: (2, 1, 0, 3),
    Format.X8B8G8R8: (1, 2, 3, 0),
    Format.A8B8G8R8: (1, 2, 3, 0),
    Format.R8G8B8X8: (2, 1, 0, 3),
}
"""Format to the source byte of each of B, G, R and the fourth byte."""


def reorder_rows(
    pixels: memoryview, start: int, stride: int, width: int, rows: int, order: tuple[int, int, int, int]
) -> None:
    """Permute the bytes of every pixel of a rectangle in place.

    pixels: writable bytes; start, stride: bytes; width: pixels. The caller has checked the bounds.
    """
    for _ in range(rows):
        row = bytes(pixels[start : start + 4 * width])
        for byte, source in enumerate(order):
            pixels[start + byte : start + 4 * width : 4] = row[source::4]
        start += stride
