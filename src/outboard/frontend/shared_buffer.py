"""The buffer behind a DMABUF_SCANOUT, read as rows of x8r8g8b8.

Source: QEMU docs/interop/vhost-user-gpu, VHOST_USER_GPU_DMABUF_SCANOUT; Linux include/uapi/drm/drm_fourcc.h.

Modelled: linear buffers of four bytes a pixel in the orders below, both origins. Not modelled: tiled and compressed
modifiers, which no CPU can read without their driver: refused.
"""

from outboard.errors import LocalError
from outboard.host.dmabuf import Rows, rows_of
from outboard.spec.vhost_user_gpu import DmabufScanout
from outboard.spec.virtio_gpu import BYTES_PER_PIXEL

MODIFIER_LINEAR = 0
MODIFIER_INVALID = (1 << 56) - 1
"""The driver's choice, unknown to us; what exporters without modifiers say of linear buffers."""
Y_0_TOP = 1 << 0
"""The rows count upwards, as OpenGL's; QEMU's displays turn such a buffer over, and show others from row 0 down."""
SAME, SWAPPED = False, True
FORMATS = {b"XR24": SAME, b"AR24": SAME, b"XB24": SWAPPED, b"AB24": SWAPPED}
"""Whether the first and the third byte of a pixel change places, by fourcc."""


def fourcc(number: int) -> bytes:
    """Return the four letters of a DRM format."""
    return (number & 0xFFFF_FFFF).to_bytes(4, "little")


def import_buffer(scanout: DmabufScanout, modifier: int, fd: int) -> "SharedBuffer":
    """Make the fd of a DMABUF_SCANOUT readable; it is owned once this returns. Raises LocalError with the reason."""
    return SharedBuffer(scanout, modifier, fd)


class SharedBuffer:
    """The visible rectangle of a shared buffer; owns the fd."""

    def __init__(self, scanout: DmabufScanout, modifier: int, fd: int) -> None:
        """See `import_buffer`."""
        if modifier not in (MODIFIER_LINEAR, MODIFIER_INVALID):
            raise LocalError(f"modifier {modifier:#x} is not linear: a CPU cannot read it")
        letters = fourcc(scanout.fd_drm_fourcc)
        if letters not in FORMATS:
            known = " ".join(name.decode() for name in FORMATS)
            raise LocalError(f"format {letters!r} is not read, only {known}")
        self._swapped = FORMATS[letters]
        width, height = scanout.width or scanout.fd_width, scanout.height or scanout.fd_height
        if scanout.x + width > scanout.fd_width or scanout.y + height > scanout.fd_height:
            whole = f"{scanout.fd_width}x{scanout.fd_height}"
            raise LocalError(f"{width}x{height} at {scanout.x},{scanout.y} lies outside its buffer of {whole}")
        if scanout.fd_stride < BYTES_PER_PIXEL * scanout.fd_width:
            raise LocalError(f"a stride of {scanout.fd_stride} bytes is less than {scanout.fd_width} pixels")
        self._scanout = scanout
        self._rows: Rows = rows_of(fd, scanout.fd_stride * (scanout.fd_height - 1) + BYTES_PER_PIXEL * scanout.fd_width)

    def gather(self, into: memoryview, start: int, x: int, y: int, width: int, rows: int) -> None:
        """Copy a rectangle of what is visible as tight rows to byte `start` of `into`. Raises LocalError."""
        self._rows.begin()
        try:
            for row in range(rows):
                end = start + BYTES_PER_PIXEL * width
                self._row(into[start:end], x, y + row)
                start = end
        finally:
            self._rows.end()

    def _row(self, into: memoryview, x: int, y: int) -> None:
        scanout = self._scanout
        y += scanout.y
        if scanout.fd_flags & Y_0_TOP:
            y = scanout.fd_height - 1 - y
        self._rows.read(y * scanout.fd_stride + BYTES_PER_PIXEL * (scanout.x + x), into)
        if self._swapped:
            into[0::4], into[2::4] = bytes(into[2::4]), bytes(into[0::4])

    def close(self) -> None:
        """Close the fd."""
        self._rows.close()
