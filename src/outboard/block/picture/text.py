"""A picture of the block graph for the terminal: a frame a context, boxes and lines; a tree where that is too wide."""

import textwrap
from collections.abc import Iterable, Sequence

from outboard.block.picture.data import Box, Edge, Picture, Place, about, lines, named, state
from outboard.block.picture.grid import Grid, clean, elided, length
from outboard.block.picture.layered import lay_out, parts
from outboard.block.picture.ports import Wire, wires

FEWEST, MOST = 14, 36
"""Columns of a box."""
GAP = 3
TITLE, NAME, FLIGHT, QUIET = "1;34", "1", "1;33", "36"
"""Styles: SGR's parameters."""


def draw(picture: Picture, columns: int = 100, *, colour: bool = False) -> str:
    """Return the picture in so many columns, 40 at least."""
    columns = max(40, columns)
    contents = [(place, _content(picture, place, columns - 4)) for place in picture.places]
    titles = [length(_title(place)) + 6 for place, _ in contents]
    width = min(columns, max([content.size[0] + 4 for _, content in contents] + titles, default=0))
    sheet = Grid()
    y = 0
    for place, content in contents:
        height = content.size[1] + 2
        sheet.box(0, y, width, height)
        sheet.text(2, y, elided(f" {_title(place)} ", width - 4), TITLE)
        sheet.paste(content, 2, y + 1)
        y += height
    return sheet.show(colour)


def _title(place: Place) -> str:
    return clean(f"{place.name}: {place.thread or 'no thread'}")


def _content(picture: Picture, place: Place, columns: int) -> Grid:
    """Draw what is inside of a frame: a line about the context, then its graphs side by side where they fit."""
    sheet = Grid()
    words = textwrap.wrap(about(place), columns)
    for y, row in enumerate(words):
        sheet.text(0, y, row)
    boxes = {box.key: box for box in picture.of(place)}
    edges = [edge for edge in picture.edges if edge.parent in boxes and edge.child in boxes]
    x, y, below = 0, len(words), len(words)
    for part in parts(list(boxes), [(edge.parent, edge.child) for edge in edges]):
        graph = _graph([boxes[key] for key in part], [edge for edge in edges if edge.parent in part], picture)
        if graph.size[0] > columns:
            graph = _tree([boxes[key] for key in part], edges, columns)
        width, height = graph.size
        if x and x + width > columns:
            x, y = 0, below
        sheet.paste(graph, x, y)
        x, below = x + width + GAP, max(below, y + height)
    return sheet


# Boxes and lines


def _words(box: Box, picture: Picture) -> list[tuple[str, str]]:
    """Return the lines of a box with their styles."""
    words = [(box.name, NAME), *((line, "") for line in (*lines(box), *named(picture.reached(box))))]
    if now := state(box):
        words.append((now, FLIGHT if box.in_flight else QUIET))
    return [(elided(clean(text), MOST - 4), style) for text, style in words]


def _graph(boxes: Sequence[Box], edges: Sequence[Edge], picture: Picture) -> Grid:
    words = {box.key: _words(box, picture) for box in boxes}
    widths = {key: float(max(FEWEST, *(length(text) + 4 for text, _ in rows))) for key, rows in words.items()}
    laid = lay_out(widths, [(edge.parent, edge.child) for edge in edges], GAP)
    laid.left.update({key: float(round(x)) for key, x in laid.left.items()})
    steps = wires(laid, widths, 2)
    sheet = Grid()
    y = 0
    for layer, step in zip(laid.layers, steps, strict=True):
        height = max(len(words[key]) + 2 for key in layer if key in words)
        channels = _channels(step)
        down = y + height + max(channels.values(), default=-1) + 2
        for key in layer:
            x = int(laid.left[key])
            if key in words:
                _box(sheet, x, y, int(widths[key]), words[key])
            else:
                sheet.down(x, y, y + height - 1)
        for wire in step:
            bottom = y + (len(words[wire.parent]) + 2 if wire.parent in words else height) - 1
            _wire(sheet, wire, bottom, y + height + channels.get(id(wire), 0), down)
        for wire in step:
            if wire.last:
                _label(sheet, wire, down - 1, edges[wire.edge].role)
        y = down
    return sheet


def _box(sheet: Grid, x: int, y: int, width: int, words: Sequence[tuple[str, str]]) -> None:
    sheet.box(x, y, width, len(words) + 2)
    for row, (text, style) in enumerate(words, y + 1):
        sheet.text(x + 2, row, text, style)


def _channels(step: Iterable[Wire]) -> dict[int, int]:
    """Give each wire that goes aside a row of its own, as far as it must: no two lie over each other."""
    rows: list[list[tuple[int, int]]] = []
    found: dict[int, int] = {}
    for wire in sorted(step, key=lambda wire: abs(wire.end - wire.begin)):
        first, last = sorted((int(wire.begin), int(wire.end)))
        if first == last:
            continue
        row = next((at for at, taken in enumerate(rows) if all(last < a or b < first for a, b in taken)), len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append((first, last))
        found[id(wire)] = row
    return found


def _wire(sheet: Grid, wire: Wire, top: int, channel: int, bottom: int) -> None:
    begin, end = int(wire.begin), int(wire.end)
    sheet.down(begin, top, channel)
    sheet.across(begin, end, channel)
    sheet.down(end, channel, bottom)


def _label(sheet: Grid, wire: Wire, y: int, role: str) -> None:
    """Write a role beside the end of an edge, where there is room."""
    text = clean(role)
    columns = length(text)
    x = int(wire.end) - columns - 1 if wire.left else int(wire.end) + 2
    if x >= 0 and sheet.free(x, y, columns):
        sheet.text(x, y, text)


# The same as a tree, for what has no room


def _tree(boxes: Sequence[Box], edges: Sequence[Edge], columns: int) -> Grid:
    used = {edge.child for edge in edges}
    by_key = {box.key: box for box in boxes}
    rows: list[str] = []
    seen: set[str] = set()

    def grow(key: str, first: str, rest: str) -> None:
        box = by_key[key]
        if key in seen:
            rows.append(f"{first}{box.name}, see above")
            return
        seen.add(key)
        what, *facts = lines(box)
        rows.append(f"{first}{box.name}: {', '.join(filter(None, [what, state(box), *facts]))}")
        below = [edge for edge in edges if edge.parent == key]
        for edge in below:
            last = edge is below[-1]
            grow(edge.child, f"{rest}{'└' if last else '├'}─ {edge.role}: ", f"{rest}{'   ' if last else '│  '}")

    for box in boxes:
        if box.key not in used:
            grow(box.key, "", "")
    sheet = Grid()
    for y, row in enumerate(rows):
        sheet.text(0, y, elided(clean(row), columns))
    return sheet
