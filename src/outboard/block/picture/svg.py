"""A picture of the block graph as SVG: a frame a context, nodes and their users, what is in flight."""

from collections.abc import Mapping, Sequence

from outboard.aio.svg import Drawing, number
from outboard.block.picture.data import Box, Edge, Picture, Place, about, lines, named, state
from outboard.block.picture.grid import elided, length
from outboard.block.picture.layered import lay_out, parts
from outboard.block.picture.ports import Wire, wires

COLUMN, ROW, PAD = 7.0, 16, 10
"""Width of a letter, as fonts are on average; height of a line; what is around lines."""
MOST = 40
"""Letters of a line."""
GAP, DOWN = 28, 46
"""Between boxes of a layer, between layers."""
WIDTH = 1320
"""Of frames side by side."""
MARGIN, HEAD = 16, 46
"""Around graphs, and above them in a frame."""
FRAMES = ("#4c78a8", "#54a24b", "#b279a2", "#f58518", "#72b7b2", "#e45756")
STYLE = """.title { font-size: 14px; font-weight: 600; } .small { font-size: 11px; fill: #59606e; }
.name { font-weight: 600; } .now { font-weight: 600; fill: #a64b00; } .role { font-size: 11px; fill: #59606e; }
.frame { fill-opacity: 0.07; stroke-width: 1.5; } .node { fill: #ffffff; stroke: #59606e; }
.user { fill: #eef1f8; stroke: #59606e; } .busy { stroke: #d9730d; stroke-width: 2; } .quiet { stroke-dasharray: 4 3; }
.edge { fill: none; stroke: #59606e; stroke-width: 1.3; }"""
ARROW = (
    '<marker id="to" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
    '<path d="M0 0 L8 4 L0 8 z" fill="#59606e"/></marker>'
)
LEGEND = "amber: requests under way; dashed: drained; an arrow goes from the user to what it uses"
Size = tuple[float, float]


def draw(picture: Picture, title: str = "block graph") -> str:
    """Return the document."""
    drawing = Drawing()
    sizes = {place: _frame_size(picture, place) for place in picture.places}
    rows = _rows(sizes)
    widest = max((sum(sizes[place][0] + MARGIN for place in row) for row in rows), default=0.0)
    y = float(MARGIN)
    for row in rows:
        height = max(sizes[place][1] for place in row)
        x = float(MARGIN)
        for place in row:
            colour = FRAMES[picture.places.index(place) % len(FRAMES)]
            width = sizes[place][0] if picture.of(place) else widest - MARGIN
            _frame(drawing, picture, place, (x, y), (width, height), colour)
            x += width + MARGIN
        y += height + MARGIN
    drawing.text(MARGIN, y + 6, LEGEND, class_="small")
    return drawing.finish(max(widest + MARGIN, _wide(LEGEND)), y + MARGIN, title, STYLE, ARROW)


def _rows(sizes: Mapping[Place, Size]) -> list[list[Place]]:
    """Put frames side by side while there is room; those with nothing in them have rows of their own."""
    widest = max([float(WIDTH), *(width for width, _ in sizes.values())])
    rows: list[list[Place]] = []
    left = 0.0
    for place, (width, height) in sizes.items():
        empty = height <= HEAD
        if empty or width > left:
            rows.append([])
            left = 0.0 if empty else widest
        rows[-1].append(place)
        left -= width + MARGIN
    return rows


def _wide(text: str) -> float:
    return length(text) * COLUMN + 2 * PAD


def _words(box: Box, picture: Picture) -> list[str]:
    """Return the lines of a box; what is going on, if anything, is the last."""
    words = [box.name, *lines(box), *named(picture.reached(box)), state(box)]
    return [elided(line, MOST) for line in words if line]


class _Graph:
    """Boxes that are joined, laid out. width, height: of all."""

    def __init__(self, boxes: Sequence[Box], edges: Sequence[Edge], picture: Picture) -> None:
        self.boxes = {box.key: box for box in boxes}
        self.words = {box.key: _words(box, picture) for box in boxes}
        self.edges = edges
        self.sizes: Mapping[str, Size] = {
            key: (max(90.0, *map(_wide, words)), len(words) * ROW + PAD) for key, words in self.words.items()
        }
        self.widths = {key: width for key, (width, _) in self.sizes.items()}
        self.laid = lay_out(self.widths, [(edge.parent, edge.child) for edge in edges], GAP)
        self.heights = [max(self.sizes[key][1] for key in layer if key in self.sizes) for layer in self.laid.layers]
        self.width = self.laid.width
        self.height = sum(self.heights) + DOWN * (len(self.heights) - 1)

    def draw(self, drawing: Drawing, x: float, y: float) -> None:
        """Draw them from a corner on."""
        for layer, step, height in zip(self.laid.layers, wires(self.laid, self.widths, PAD), self.heights, strict=True):
            for wire in step:
                top = y + (self.sizes[wire.parent][1] if wire.parent in self.sizes else height)
                self._edge(drawing, wire, x, top, y + height, y + height + DOWN)
            for key in layer:
                if key in self.boxes:
                    _box(drawing, self.boxes[key], self.words[key], (x + self.laid.left[key], y), self.sizes[key])
                else:
                    drawing.line(x + self.laid.left[key], y, x + self.laid.left[key], y + height, class_="edge")
            y += height + DOWN

    def _edge(self, drawing: Drawing, wire: Wire, x: float, top: float, bend: float, bottom: float) -> None:
        begin, end = x + wire.begin, x + wire.end
        middle = number((bend + bottom) / 2)
        curve = f"C{number(begin)} {middle} {number(end)} {middle} {number(end)} {number(bottom)}"
        path = f"M{number(begin)} {number(top)}V{number(bend)}{curve}"
        edge = self.edges[wire.edge]
        named = {"marker_end": "url(#to)"} if wire.last else {}
        drawing.shape("path", d=path, class_="edge quiet" if edge.quiesced else "edge", **named)
        if wire.last:
            side, anchor = (-5, "end") if wire.left else (5, "start")
            drawing.text(end + side, bottom - 9, edge.role, class_="role", text_anchor=anchor)


def _graphs(picture: Picture, place: Place) -> list[_Graph]:
    boxes = {box.key: box for box in picture.of(place)}
    edges = [edge for edge in picture.edges if edge.parent in boxes and edge.child in boxes]
    joined = parts(list(boxes), [(edge.parent, edge.child) for edge in edges])
    return [
        _Graph([boxes[key] for key in part], [edge for edge in edges if edge.parent in part], picture)
        for part in joined
    ]


def _title(place: Place) -> str:
    return f"{place.name}: {place.thread or 'no thread'}"


def _frame_size(picture: Picture, place: Place) -> Size:
    graphs = _graphs(picture, place)
    across = sum(graph.width for graph in graphs) + GAP * max(0, len(graphs) - 1)
    width = max(across + 2 * MARGIN, _wide(_title(place)) * 1.2, _wide(about(place)))
    return width, HEAD + (max(graph.height for graph in graphs) + MARGIN if graphs else 0)


def _frame(drawing: Drawing, picture: Picture, place: Place, corner: Size, size: Size, colour: str) -> None:
    x, y = corner
    drawing.rect(x, y, *size, class_="frame", rx=8, fill=colour, stroke=colour)
    drawing.text(x + MARGIN, y + 20, _title(place), class_="title")
    drawing.text(x + MARGIN, y + 37, about(place), class_="small")
    for graph in _graphs(picture, place):
        graph.draw(drawing, x + MARGIN, y + HEAD)
        x += graph.width + GAP


def _box(drawing: Drawing, box: Box, words: Sequence[str], corner: Size, size: Size) -> None:
    x, y = corner
    node = box.kind == "node"
    classes = ["node" if node else "user", *["busy"] * bool(box.in_flight), *["quiet"] * bool(box.quiesce)]
    tip = "\n".join((box.name, *lines(box)))
    drawing.rect(x, y, *size, tip, class_=" ".join(classes), rx=5 if node else 14)
    for at, line in enumerate(words):
        kind = "name" if not at else "now" if state(box) and at == len(words) - 1 else "line"
        drawing.text(x + PAD, y + (at + 1) * ROW + 1, line, class_=kind)
