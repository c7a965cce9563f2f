"""Where edges leave and enter boxes that are laid out: side by side, straight down where that is possible."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from outboard.block.picture.layered import Laid


@dataclass
class Wire:
    """One step of an edge, from a layer to the next. edge: its number; last: it enters the box that is used.

    begin, end: where; left: what is written at its end has room on the left.
    """

    edge: int
    parent: str
    child: str
    last: bool
    begin: float = 0.0
    end: float = 0.0
    left: bool = False


def wires(laid: Laid, widths: Mapping[str, float], margin: float) -> list[list[Wire]]:
    """Return the steps below each layer. margin: what is kept free at the edges of a box; bends have no width."""
    row = {key: at for at, layer in enumerate(laid.layers) for key in layer}
    found: list[list[Wire]] = [[] for _ in laid.layers]
    for number, chain in enumerate(laid.chains):
        for parent, child in pairwise(chain):
            found[row[parent]].append(Wire(number, parent, child, child == chain[-1]))
    for step in found:
        _join(step, laid, widths, margin)
    return found


def _join(step: list[Wire], laid: Laid, widths: Mapping[str, float], margin: float) -> None:
    def centre(key: str) -> float:
        return laid.left[key] + widths.get(key, 0.0) / 2

    outs: dict[str, list[Wire]] = {}
    ins: dict[str, list[Wire]] = {}
    for wire in step:
        outs.setdefault(wire.parent, []).append(wire)
        ins.setdefault(wire.child, []).append(wire)
    for key, found in outs.items():
        for at, wire in enumerate(sorted(found, key=lambda wire: centre(wire.child)), 1):
            wire.begin = laid.left[key] + widths.get(key, 0.0) * at / (len(found) + 1)
    for key, found in ins.items():
        for at, wire in enumerate(sorted(found, key=lambda wire: centre(wire.parent)), 1):
            wire.end = laid.left[key] + widths.get(key, 0.0) * at / (len(found) + 1)
            wire.left = at <= len(found) // 2
    for wire in step:
        if len(ins[wire.child]) == 1 and _inside(wire.begin, wire.child, laid, widths, margin):
            wire.end = wire.begin
        elif len(outs[wire.parent]) == 1 and _inside(wire.end, wire.parent, laid, widths, margin):
            wire.begin = wire.end
        wire.left |= len(ins[wire.child]) == 1 and wire.begin > wire.end


def _inside(x: float, key: str, laid: Laid, widths: Mapping[str, float], margin: float) -> bool:
    left, width = laid.left[key], widths.get(key, 0.0)
    return left + margin <= x <= left + width - margin
