"""EDID of a virtual display: one 128-byte block that names the size the display wants.

Source: VESA Enhanced EDID 1.4, section 3 (base block): 3.3 header, 3.4 vendor and product, 3.6 basic parameters,
3.8 established and 3.9 standard timings, 3.10.2 detailed timing, 3.10.3 display descriptors.

Timings are CVT-like with fixed blanking: no beam is moved, drivers only want them consistent. Sizes above 4095 do not
fit a detailed timing and are left to GET_DISPLAY_INFO; the timing then says 4095.
"""

import struct

VENDOR = "OUT"
"""Three letters that stand for outboard; not registered with UEFI's PNP list."""
DPI = 100
REFRESH_HZ = 60
H_BLANK, H_FRONT, H_SYNC = 160, 48, 32
V_BLANK, V_FRONT, V_SYNC = 35, 3, 6
ESTABLISHED = ((0, 5, (640, 480)), (0, 0, (800, 600)), (1, 3, (1024, 768)))
"""Byte, bit and size of established timings at 60 Hz (3.8)."""
STANDARD = (
    (1920, 1080, 3),
    (1680, 1050, 0),
    (1600, 900, 3),
    (1440, 900, 0),
    (1280, 1024, 2),
    (1280, 960, 1),
    (1280, 800, 0),
    (1280, 720, 3),
)
"""Width, height and aspect code of standard timings (3.9): 0 is 16:10, 1 is 4:3, 2 is 5:4, 3 is 16:9."""
MAX_TIMING = 4095
MAX_CLOCK_10KHZ = 0xFFFF


def _vendor(letters: str) -> int:
    """Return three letters as the big-endian word of 3.4.1: five bits each, A is 1."""
    word = 0
    for letter in letters:
        word = word << 5 | ord(letter) - ord("A") + 1
    return word


def _detailed_timing(width: int, height: int) -> bytes:
    """Return the 18 bytes of a detailed timing descriptor; sizes in pixels, at most MAX_TIMING."""
    clock = min((width + H_BLANK) * (height + V_BLANK) * REFRESH_HZ // 10_000, MAX_CLOCK_10KHZ)
    mm_width, mm_height = min(_mm(width), 4095), min(_mm(height), 4095)
    return struct.pack(
        "<H16B",
        clock,
        width & 0xFF,
        H_BLANK & 0xFF,
        width >> 8 << 4 | H_BLANK >> 8,
        height & 0xFF,
        V_BLANK & 0xFF,
        height >> 8 << 4 | V_BLANK >> 8,
        H_FRONT,
        H_SYNC,
        V_FRONT << 4 | V_SYNC,
        0,
        mm_width & 0xFF,
        mm_height & 0xFF,
        mm_width >> 8 << 4 | mm_height >> 8,
        0,
        0,
        0x18,  # digital separate sync
    )


def _established(width: int, height: int) -> bytes:
    """Return the three bytes of 3.8: the sizes of ESTABLISHED that fit."""
    bits = bytearray(3)
    for byte, bit, size in ESTABLISHED:
        if size[0] <= width and size[1] <= height:
            bits[byte] |= 1 << bit
    return bytes(bits)


def _standard(width: int, height: int) -> bytes:
    """Return the sixteen bytes of 3.9: up to eight sizes of STANDARD that fit, at 60 Hz."""
    fitting = [(w, ratio) for w, h, ratio in STANDARD if w <= width and h <= height][:8]
    return b"".join(bytes((w // 8 - 31, ratio << 6 | REFRESH_HZ - 60)) for w, ratio in fitting).ljust(16, b"\x01")


def _mm(pixels: int) -> int:
    return pixels * 254 // (10 * DPI)


def _text(tag: int, text: str) -> bytes:
    """Return an 18-byte display descriptor with up to 13 characters."""
    return bytes((0, 0, 0, tag, 0)) + (text.encode("ascii") + b"\n").ljust(13)[:13]


def edid(width: int, height: int, name: str = "outboard", serial: int = 0) -> bytes:
    """Return the EDID of a display that wants `width` x `height` pixels; its length is a multiple of 128."""
    width, height = min(width, MAX_TIMING), min(height, MAX_TIMING)
    block = bytearray()
    block += b"\0\xff\xff\xff\xff\xff\xff\0"
    block += struct.pack(">H", _vendor(VENDOR)) + struct.pack("<HIBB", 1, serial, 0, 36)  # made in 2026
    block += bytes((1, 4))
    # digital, 8 bits a colour; size in cm; gamma 2.2; RGB 4:4:4, sRGB, preferred timing is native
    block += bytes((0xA5, min(_mm(width) // 10, 255), min(_mm(height) // 10, 255), 120, 0x06))
    block += bytes((0xEE, 0x91, 0xA3, 0x54, 0x4C, 0x99, 0x26, 0x0F, 0x50, 0x54))  # sRGB primaries
    block += _established(width, height)
    block += _standard(width, height)
    block += _detailed_timing(width, height)
    block += _text(0xFC, name)
    block += bytes((0, 0, 0, 0xFD, 0, 1, 255, 1, 255, 255, 1, 10)) + b" " * 6  # any range, no formula
    block += _text(0xFF, f"{serial:d}")
    block += bytes((0,))  # no extension
    block.append(-sum(block) & 0xFF)
    return bytes(block)
