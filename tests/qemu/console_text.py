"""Whether a picture of a text console can be read: one glyph a character, and no two characters alike."""

from __future__ import annotations

from outboard.qemu import Qemu
from tests.peers.patterns import Picture


def text_of(vm: Qemu) -> list[str]:
    """The lines that the guest's kernel has on its screen, each as wide as the console. Source: vcs(4)."""
    rows, columns = map(int, vm.serial.run("stty size </dev/tty1").split())
    lines = vm.serial.run(f"fold -w {columns} /dev/vcs1; echo").splitlines()[:rows]
    assert [len(line) for line in lines] == [columns] * rows
    return lines


def read(shown: Picture, lines: list[str]) -> dict[str, bytes]:
    """Compare each cell of the picture with its character; the glyph of each, a byte 0 or 1 a pixel.

    Fails unless every character looks the same wherever it is, and unlike all others, in any colour.
    """
    width, height = shown.width // len(lines[0]), shown.height // len(lines)
    seen: dict[str, bytes] = {}
    for row, line in enumerate(lines):
        for column, character in enumerate(line):
            glyph = cell(shown, column * width, row * height, width, height)
            assert seen.setdefault(character, glyph) == glyph, f"{character!r} in row {row}, column {column}"
    assert len(set(seen.values())) == len(seen), "two characters look alike"
    return seen


def cell(shown: Picture, left: int, top: int, width: int, height: int) -> bytes:
    """1 where a pixel differs from the cell's first, its background."""
    starts = (3 * ((top + y) * shown.width + left) for y in range(height))
    data = b"".join(shown.rgb[start : start + 3 * width] for start in starts)
    return bytes(data[i : i + 3] != data[:3] for i in range(0, len(data), 3))
