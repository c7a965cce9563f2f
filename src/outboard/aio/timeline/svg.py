"""A timeline as SVG: how busy each lane was and by whom, and below it some milliseconds call by call."""

from collections.abc import Mapping, Sequence

from outboard.aio.svg import Drawing, number
from outboard.aio.timeline import shares
from outboard.aio.timeline.recorder import Lane, Mark, Span, Timeline
from outboard.aio.timeline.text import time

COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756", "#72b7b2", "#9d755d", "#eeca3b")
OTHER = "#b8bcc4"
LEFT, RIGHT, WIDTH = 190, 20, 1100
LANE, GAP, ROW = 46, 14, 13
"""Heights: a lane of the overview, what is between lanes, a row of calls."""
STRETCH = 4
"""Pixels of a stretch of the overview."""
LABEL = 30.0
"""Pixels that the name of a move takes; others so near have none."""
CALLS = 250
"""Calls that the lower part shows."""
STYLE = """.small { font-size: 10px; fill: #59606e; } .head { font-size: 14px; font-weight: 600; }
.lane { fill: #f3f4f7; } .drained { fill: #d62728; fill-opacity: 0.25; } .move { stroke: #1f2430; stroke-width: 1; }"""
Places = dict[str, tuple[float, float]]
"""Top and bottom of the first lane of a context."""
ARROW = (
    '<marker id="to" markerWidth="7" markerHeight="6" refX="6" refY="3" orient="auto">'
    '<path d="M0 0 L7 3 L0 6 z" fill="#1f2430"/></marker>'
)


class Axis:
    """Where a time is drawn."""

    def __init__(self, begin_ns: int, end_ns: int) -> None:
        self.begin_ns, self.end_ns = begin_ns, max(end_ns, begin_ns + 1)
        self.width = WIDTH - LEFT - RIGHT

    def x(self, at_ns: int) -> float:
        """Return the pixel of a time; what is outside is at the edge."""
        share = (at_ns - self.begin_ns) / (self.end_ns - self.begin_ns)
        return LEFT + self.width * min(1.0, max(0.0, share))


def draw(line: Timeline, title: str = "who ran where") -> str:
    """Return the document."""
    drawing = Drawing()
    colours = dict(zip(shares.most(line, len(COLOURS)), COLOURS, strict=False))
    y = _overview(drawing, line, colours)
    y = _closely(drawing, line, colours, y)
    y = _legend(drawing, line, colours, y)
    return drawing.finish(WIDTH, y + 10, title, STYLE, ARROW)


def _head(drawing: Drawing, y: float, text: str, axis: Axis, zero_ns: int) -> float:
    drawing.text(LEFT, y + 14, text, class_="head")
    for part in range(5):
        at_ns = axis.begin_ns + (axis.end_ns - axis.begin_ns) * part // 4
        anchor = ("start", "middle", "middle", "middle", "end")[part]
        label = time(at_ns - zero_ns) if at_ns > zero_ns else "0"
        drawing.text(axis.x(at_ns), y + 34, label, class_="small", text_anchor=anchor)
    return y + 42


def _names(drawing: Drawing, lane: Lane, y: float, busy: str) -> None:
    drawing.text(12, y + 14, lane.context, font_weight="600")
    drawing.text(12, y + 28, lane.thread, class_="small")
    drawing.text(12, y + 41, busy, class_="small")


def _overview(drawing: Drawing, line: Timeline, colours: Mapping[str, str]) -> float:
    axis = Axis(line.begin_ns, line.end_ns)
    y = _head(drawing, 8, "all of it: how busy, and by whom", axis, line.begin_ns)
    places: Places = {}
    for summary, spans in zip(shares.summaries(line), shares.by_lane(line).values(), strict=True):
        lane = summary.lane
        places.setdefault(lane.context, (y, y + LANE))
        drawing.rect(LEFT, y, axis.width, LANE, class_="lane")
        busy = 100 * summary.busy_ns / (axis.end_ns - axis.begin_ns)
        _names(drawing, lane, y, f"{summary.calls} calls, busy {busy:.0f} %")
        _shares(drawing, shares.pieces(spans), axis, y, colours)
        _drains(drawing, [mark for mark in line.marks if mark.context == lane.context], axis, y, LANE)
        y += LANE + GAP
    _moves(drawing, line.marks, axis, places)
    return y


def _shares(drawing: Drawing, cut: Sequence[shares.Piece], axis: Axis, y: float, colours: Mapping[str, str]) -> None:
    """Stack the parts that everybody had of each stretch, one path a name."""
    stretches = shares.stretches(cut, axis.begin_ns, axis.end_ns, axis.width // STRETCH)
    bottoms = [y + LANE] * len(stretches)
    for name in (*colours, None):
        steps = []
        for at, parts in enumerate(stretches):
            part = parts.get(name, 0.0) if name else sum(parts.values()) - sum(parts.get(one, 0.0) for one in colours)
            height = part * LANE
            if height >= 0.1:
                bottoms[at] -= height
                steps.append(f"M{LEFT + at * STRETCH} {number(bottoms[at])}h{STRETCH}v{number(height)}h-{STRETCH}z")
        if steps:
            drawing.shape("path", name or shares.OTHERS, d="".join(steps), fill=colours[name] if name else OTHER)


def _drains(drawing: Drawing, marks: Sequence[Mark], axis: Axis, y: float, height: float) -> None:
    for mark in marks:
        if mark.what == "drained":
            x = axis.x(mark.begin_ns)
            width = max(1.0, axis.x(mark.end_ns) - x)
            tip = f"{mark.name} drained for {time(mark.end_ns - mark.begin_ns)}"
            drawing.rect(x, y, width, height, tip, class_="drained")


def _moves(drawing: Drawing, marks: Sequence[Mark], axis: Axis, places: Places) -> None:
    """Draw an arrow from lane to lane for each move between two that are drawn."""
    moves = [mark for mark in marks if mark.to and {mark.context, mark.to} <= set(places) and mark.context != mark.to]
    labelled = -LABEL
    for mark in moves:
        x = axis.x(mark.begin_ns)
        (top, bottom), (to_top, to_bottom) = places[mark.context], places[mark.to]
        down = to_top > top
        begin, end = (bottom, to_top) if down else (top, to_bottom)
        drawing.line(x, begin, x, end, class_="move", marker_end="url(#to)")
        if x >= labelled + LABEL:
            drawing.text(x + 3, (to_top if down else top) - 3, mark.name, class_="small")
            labelled = x


# Call by call


def closest(line: Timeline) -> Timeline:
    """Return some time around the last move, or the middle, with no more calls than can be seen one by one."""
    moves = [mark for mark in line.marks if mark.to]
    centre_ns = moves[-1].begin_ns if moves else (line.begin_ns + line.end_ns) // 2
    away = sorted(max(abs(span.begin_ns - centre_ns), abs(span.end_ns - centre_ns)) for span in line.spans)
    half_ns = away[CALLS - 1] if len(away) >= CALLS else line.end_ns - line.begin_ns
    return line.part(max(line.begin_ns, centre_ns - half_ns), min(line.end_ns, centre_ns + half_ns))


def _closely(drawing: Drawing, line: Timeline, colours: Mapping[str, str], y: float) -> float:
    part = closest(line)
    axis = Axis(part.begin_ns, part.end_ns)
    what = "around the last move" if any(mark.to for mark in line.marks) else "in the middle"
    y = _head(drawing, y + 10, f"{time(axis.end_ns - axis.begin_ns)} {what}, call by call", axis, line.begin_ns)
    places: Places = {}
    for lane, spans in shares.by_lane(part).items():
        depths = shares.depths(spans)
        height = max(LANE, (max(depths) + 1) * (ROW + 1) + 2)
        places.setdefault(lane.context, (y, y + height))
        drawing.rect(LEFT, y, axis.width, height, class_="lane")
        _names(drawing, lane, y, f"{len(spans)} call{'s' * (len(spans) != 1)} here")
        _drains(drawing, [mark for mark in part.marks if mark.context == lane.context], axis, y, height)
        for span, depth in zip(spans, depths, strict=True):
            _call(drawing, span, axis, y + 1 + depth * (ROW + 1), colours)
        y += height + GAP
    _moves(drawing, part.marks, axis, places)
    return y


def _call(drawing: Drawing, span: Span, axis: Axis, y: float, colours: Mapping[str, str]) -> None:
    x = axis.x(span.begin_ns)
    width = max(0.6, axis.x(span.end_ns) - x)
    tip = f"{span.name} ({span.what}), {time(span.end_ns - span.begin_ns)}"
    drawing.rect(x, y, width, ROW, tip, fill=colours.get(span.name, OTHER))


def _legend(drawing: Drawing, line: Timeline, colours: Mapping[str, str], y: float) -> float:
    x = float(LEFT)
    shown = [*colours.items(), (shares.OTHERS, OTHER)]
    for name, colour in shown:
        width = 30 + 7 * len(name)
        if x + width > WIDTH - RIGHT and x > LEFT:
            x, y = float(LEFT), y + 18
        drawing.rect(x, y + 2, 11, 11, fill=colour)
        drawing.text(x + 16, y + 12, name)
        x += width
    y += 30
    drawing.rect(LEFT, y - 10, 11, 11, class_="drained")
    notes = "drained: no new requests; an arrow is a move to another context"
    if line.forgotten:
        notes += f"; {line.forgotten} older calls are forgotten"
    drawing.text(LEFT + 16, y, notes)
    return y + 6
