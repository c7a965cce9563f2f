"""Connectors: what a driver knows of the display behind an output.

Source: VIRTIO-1.2 5.7.6.8 (GET_DISPLAY_INFO, GET_EDID); VESA Enhanced EDID 1.4, 3.3 (header), 3.8 and 3.9 (established
and standard timings), 3.10.2 (detailed timing), 3.10.3.9 (six more standard timings); CTA-861-G 7.5 (its extension).

Modelled: sizes. Not modelled: refresh rates, interlace, CTA video codes, CVT codes and established timings III.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from outboard.machine.card.buffers import DumbBuffer, Rectangle

Size = tuple[int, int]
"""Width and height in pixels."""
BLOCK = 128
HEADER = bytes.fromhex("00ffffffffffff00")
ESTABLISHED: tuple[tuple[int, int, Size], ...] = (
    (0, 0b0000_0011, (800, 600)),
    (0, 0b0011_1100, (640, 480)),
    (0, 0b1100_0000, (720, 400)),
    (1, 0b0000_0001, (1280, 1024)),
    (1, 0b0001_1110, (1024, 768)),
    (1, 0b0010_0000, (832, 624)),
    (1, 0b1100_0000, (800, 600)),
    (2, 0b1000_0000, (1152, 870)),
)
"""Byte of 3.8, its bits at whatever rate, size."""
ASPECTS = ((10, 16), (3, 4), (4, 5), (9, 16))
"""Height to width, by the two top bits of a standard timing's second byte."""
DETAILED = range(54, 126, 18)
CTA = 0x02
MORE_STANDARD = bytes((0, 0, 0, 0xFA))


@dataclass
class Connector:
    """One output. preferred: the size that the display asks for, (0, 0) when nothing is connected.

    modes: sizes that the display takes, the preferred one first. edid: of the display, empty when there is none.
    buffer, rectangle: what the output shows, None when it is off. cursor: whether one is shown.
    """

    id: int
    connected: bool = False
    preferred: Size = (0, 0)
    modes: list[Size] = field(default_factory=list)
    edid: bytes = b""
    buffer: DumbBuffer | None = None
    rectangle: Rectangle = (0, 0, 0, 0)
    cursor: bool = False
    cursor_buffer: DumbBuffer | None = None

    def describe(self, size: Size, edid: bytes) -> None:
        """Take what the device says of the display; a size of (0, 0): none is connected."""
        self.connected = size != (0, 0)
        self.preferred = size
        self.edid = edid
        first = [size] if self.connected else []
        self.modes = list(dict.fromkeys([*first, *sizes(edid)]))


def sizes(edid: bytes) -> list[Size]:
    """Return the sizes that an EDID names, in its order; none when its base block is not sound."""
    blocks = [edid[at : at + BLOCK] for at in range(0, len(edid), BLOCK)]
    if not edid.startswith(HEADER) or not _sound(blocks[0]):
        return []
    base = blocks[0]
    found = [*_detailed(base, DETAILED), *_standard(base[38:54]), *_more_standard(base), *_established(base[35:38])]
    for block in blocks[1 : 1 + base[126]]:
        if _sound(block) and block[0] == CTA and block[2] >= 4:
            found += _detailed(block, range(block[2], 110, 18))
    return list(dict.fromkeys(found))


def _sound(block: bytes) -> bool:
    return len(block) == BLOCK and sum(block) & 0xFF == 0


def _detailed(block: bytes, places: range) -> Iterator[Size]:
    """Yield the sizes of detailed timings; those without a pixel clock are other descriptors."""
    for at in places:
        if block[at] or block[at + 1]:
            size = block[at + 2] | block[at + 4] >> 4 << 8, block[at + 5] | block[at + 7] >> 4 << 8
            if all(size):
                yield size


def _standard(pairs: bytes) -> Iterator[Size]:
    """Yield the sizes of standard timings, two bytes each; 01 01 is an unused one."""
    for first, second in zip(pairs[::2], pairs[1::2], strict=True):
        if (first, second) != (1, 1) and first:
            width = 8 * (first + 31)
            high, wide = ASPECTS[second >> 6]
            yield width, width * high // wide


def _more_standard(base: bytes) -> Iterator[Size]:
    for at in DETAILED:
        if base[at : at + 4] == MORE_STANDARD:
            yield from _standard(base[at + 5 : at + 17])


def _established(bits: bytes) -> Iterator[Size]:
    return (size for byte, mask, size in ESTABLISHED if bits[byte] & mask)
