"""Write pictures as PNG files with nothing but zlib.

Source: PNG specification (third edition), 5 (datastream structure), 9 (filters: none is used), 11.2.2 (IHDR).
"""

import os
import struct
import zlib
from pathlib import Path

from outboard.display import Frame
from outboard.errors import LocalError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LEVEL = 6


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encode(width: int, height: int, pixels: bytes) -> bytes:
    """Return a PNG of 8-bit RGB. pixels: tight rows of B, G, R, X bytes, 4 * width * height of them."""
    rgb = bytearray(3 * width * height)
    for byte, source in enumerate((2, 1, 0)):
        rgb[byte::3] = pixels[source::4]
    row = 3 * width
    raw = b"".join(b"\0" + rgb[start : start + row] for start in range(0, len(rgb), row))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(raw, LEVEL)) + _chunk(b"IEND", b"")


def save(path: str | os.PathLike[str], width: int, height: int, pixels: bytes) -> None:
    """Write a PNG in one step: readers see the old file or the whole new one. Raises LocalError."""
    if not width or not height:
        raise LocalError(f"{path}: no picture to save, the output was never set")
    target = Path(path)
    if not target.name:
        raise LocalError(f"{str(path)!r} is no file name for a picture")
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        draft.write_bytes(encode(width, height, pixels))
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise LocalError(f"{path}: cannot write the picture: {error.strerror}") from error


def save_frame(path: str | os.PathLike[str], frame: Frame) -> None:
    """Write a frame as a PNG; see `save`."""
    save(path, frame.width, frame.height, frame.pixels)
