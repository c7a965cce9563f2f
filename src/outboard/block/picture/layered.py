"""Lay boxes out in layers: users above what they use, as few crossings as sweeps find, boxes near their neighbours.

Source: Sugiyama, Tagawa, Toda, Methods for Visual Understanding of Hierarchical System Structures (1981): longest
paths for layers, barycentres for their order. Positions: least squares with the order kept (pool adjacent violators).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from outboard.errors import LocalError

SWEEPS = 12
Link = tuple[str, str]


@dataclass(frozen=True)
class Laid:
    """Where things are. layers: keys from left to right, the top layer first. left: where each begins; width: of all.

    chains: for each edge the keys that it goes by: its ends, and a bend in every layer between them. Bends have keys of
    their own, in `layers` and `left` too.
    """

    layers: list[list[str]]
    left: dict[str, float]
    chains: list[list[str]]
    width: float


def lay_out(widths: Mapping[str, float], edges: Sequence[Link], gap: float) -> Laid:
    """Lay out boxes of these widths, with so much between two. Raises LocalError when edges make a circle."""
    layer = _layers(list(widths), edges)
    chains = [_chain(number, edge, layer) for number, edge in enumerate(edges)]
    links = [link for chain in chains for link in pairwise(chain)]
    layers: list[list[str]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for key in _as_they_come(list(layer), links):
        layers[layer[key]].append(key)
    above, below = _neighbours(links)
    _order(layers, above, below, links)
    sizes = {key: widths.get(key, 0.0) for key in layer}
    left = _positions(layers, sizes, above, below, gap)
    width = max((left[key] + sizes[key] for key in left), default=0.0)
    return Laid(layers, left, chains, width)


def _layers(keys: Sequence[str], edges: Sequence[Link]) -> dict[str, int]:
    """Put each key below all that use it, and those that nobody uses just above the first that they use."""
    layer = dict.fromkeys(keys, 0)
    for _ in range(len(keys)):
        late = [(parent, child) for parent, child in edges if layer[child] <= layer[parent]]
        if not late:
            break
        for parent, child in late:
            layer[child] = max(layer[child], layer[parent] + 1)
    else:
        if keys and edges:
            raise LocalError("a picture of layers: the edges make a circle")
    used = {child for _, child in edges}
    for key in keys:
        first = min((layer[child] for parent, child in edges if parent == key), default=1)
        if key not in used:
            layer[key] = first - 1
    return layer


def _chain(number: int, edge: Link, layer: dict[str, int]) -> list[str]:
    """Return an edge with its bends, which get their layers."""
    parent, child = edge
    bends = {f"{number}/{at}": at for at in range(layer[parent] + 1, layer[child])}
    layer.update(bends)
    return [parent, *bends, child]


def _neighbours(links: Sequence[Link]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for parent, child in links:
        above.setdefault(child, []).append(parent)
        below.setdefault(parent, []).append(child)
    return above, below


def _as_they_come(keys: Sequence[str], links: Sequence[Link]) -> list[str]:
    """Sort keys as a walk down from each comes to them, so that what belongs together stands together."""
    _, below = _neighbours(links)
    found: dict[str, None] = {}

    def walk(key: str) -> None:
        if key not in found:
            found[key] = None
            for child in below.get(key, ()):
                walk(child)

    for key in keys:
        walk(key)
    return list(found)


def crossings(layers: Sequence[Sequence[str]], links: Sequence[Link]) -> int:
    """Count the pairs of edges that cross."""
    place = {key: (row, at) for row, layer in enumerate(layers) for at, key in enumerate(layer)}
    ends = [(place[parent][0], place[parent][1], place[child][1]) for parent, child in links]
    return sum(
        one[0] == other[0] and (one[1] - other[1]) * (one[2] - other[2]) < 0
        for number, one in enumerate(ends)
        for other in ends[:number]
    )


def _order(
    layers: list[list[str]], above: Mapping[str, list[str]], below: Mapping[str, list[str]], links: Sequence[Link]
) -> None:
    """Sort each layer by where its neighbours are, down and up in turn; keep the best that was seen."""
    best, fewest = [list(layer) for layer in layers], crossings(layers, links)
    for sweep in range(SWEEPS):
        near, rows = (above, layers) if sweep % 2 == 0 else (below, layers[::-1])
        for row in rows:
            _sort(row, layers, near)
        if (now := crossings(layers, links)) < fewest:
            best, fewest = [list(layer) for layer in layers], now
    layers[:] = best


def _sort(row: list[str], layers: Sequence[Sequence[str]], near: Mapping[str, list[str]]) -> None:
    place = {key: at / max(1, len(layer)) for layer in layers for at, key in enumerate(layer)}

    def middle(key: str) -> float:
        beside = near.get(key)
        return sum(place[one] for one in beside) / len(beside) if beside else place[key]

    row.sort(key=middle)


def _positions(
    layers: Sequence[Sequence[str]],
    sizes: Mapping[str, float],
    above: Mapping[str, list[str]],
    below: Mapping[str, list[str]],
    gap: float,
) -> dict[str, float]:
    """Move every box as near to the middle of its neighbours as the order lets it."""
    left: dict[str, float] = {}
    for layer in layers:
        _place(layer, sizes, gap, lambda key: 0.0, left)

    def centre(keys: Sequence[str]) -> float:
        return sum(left[key] + sizes[key] / 2 for key in keys) / len(keys)

    for sweep in range(SWEEPS):
        near, rows = (above, layers) if sweep % 2 == 0 else (below, layers[::-1])
        for layer in rows:
            wish = {key: centre(near[key]) if key in near else left[key] + sizes[key] / 2 for key in layer}
            _place(layer, sizes, gap, lambda key, wish=wish: wish[key] - sizes[key] / 2, left)  # type: ignore[misc]
    first = min(left.values(), default=0.0)
    return {key: x - first for key, x in left.items()}


def _place(
    layer: Sequence[str], sizes: Mapping[str, float], gap: float, wish: Callable[[str], float], left: dict[str, float]
) -> None:
    """Give a layer the places nearest to its wishes, without overlaps."""
    offsets, at = [], 0.0
    for key in layer:
        offsets.append(at)
        at += sizes[key] + gap
    pools: list[list[float]] = []  # sum of wishes and how many, of boxes that push each other
    for key, offset in zip(layer, offsets, strict=True):
        pools.append([wish(key) - offset, 1])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            total, number = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += number
    shifts = [total / number for total, number in pools for _ in range(int(number))]
    for key, offset, shift in zip(layer, offsets, shifts, strict=True):
        left[key] = offset + shift


def parts(keys: Sequence[str], edges: Sequence[Link]) -> list[list[str]]:
    """Divide keys into those that are joined by edges, in the order of their first ones."""
    group = {key: {key} for key in keys}
    for one, other in edges:
        if group[one] is not group[other]:
            merged = group[one] | group[other]
            for key in merged:
                group[key] = merged
    found: list[list[str]] = []
    seen: set[str] = set()
    for key in keys:
        if key not in seen:
            seen |= group[key]
            found.append([one for one in keys if one in group[key]])
    return found
