"""A timeline for the terminal: a line a lane, a letter a stretch of time."""

from collections.abc import Mapping, Sequence

from outboard.aio.timeline import shares
from outboard.aio.timeline.recorder import Timeline

BARS = " ▁▂▃▄▅▆▇█"
LETTERS = "abcdefgh"
MARKS = {"drained": "d", "moved": "M"}
FEWEST = 20
"""Stretches at least, however narrow the terminal."""


def time(duration_ns: int) -> str:
    """Return a duration in three digits or so."""
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("µs", 1000)):
        if duration_ns >= size:
            return f"{duration_ns / size:.3g} {unit}"
    return f"{duration_ns} ns"


def clean(text: str) -> str:
    """Return a text without what a terminal would obey."""
    return "".join(one if one.isprintable() else "?" for one in text)


def draw(line: Timeline, columns: int = 100) -> str:
    """Return lanes, marks, and who the letters are."""
    if not line.spans and not line.marks:
        return "nothing ran\n"
    letters = dict(zip(shares.most(line, len(LETTERS)), LETTERS, strict=False))
    names = [f"{clean(lane.context)}, {clean(lane.thread)}" for lane in line.lanes]
    left = max([len(name) for name in names] + [len("drained, Moved")]) + 2
    width = max(FEWEST, columns - left - len("  100 %"))
    rows = [f"{'':{left}}{'0':<{width - 8}}{time(line.end_ns - line.begin_ns):>8}"]
    for name, summary, spans in zip(names, shares.summaries(line), shares.by_lane(line).values(), strict=True):
        cut = shares.stretches(shares.pieces(spans), line.begin_ns, line.end_ns, width)
        busy = 100 * summary.busy_ns / max(1, line.end_ns - line.begin_ns)
        rows.append(f"{name:{left}}{''.join(_bar(sum(one.values())) for one in cut)}{busy:5.0f} %")
        rows.append(f"{'':{left}}{''.join(_letter(one, letters) for one in cut)}".rstrip())
    if line.marks:
        rows.append(f"{'drained, Moved':{left}}{_marks(line, width)}".rstrip())
    return "\n".join([*rows, "", *_legend(line, letters), ""])


def _bar(share: float) -> str:
    """Anything at all is seen."""
    return BARS[0] if share <= 0 else BARS[max(1, min(len(BARS) - 1, round(share * (len(BARS) - 1))))]


def _letter(stretch: Mapping[str, float], letters: Mapping[str, str]) -> str:
    if not stretch:
        return " "
    return letters.get(max(stretch, key=lambda name: stretch[name]), ".")


def _marks(line: Timeline, width: int) -> str:
    row = [" "] * width
    scale = width / max(1, line.end_ns - line.begin_ns)
    for what, letter in MARKS.items():
        for mark in line.marks:
            if mark.what == what:
                first, last = (int((ns - line.begin_ns) * scale) for ns in (mark.begin_ns, mark.end_ns))
                for at in range(first, min(last, width - 1) + 1):
                    row[at] = letter
                row[min(first, width - 1)] = letter
    return "".join(row)


def _legend(line: Timeline, letters: Mapping[str, str]) -> Sequence[str]:
    every: dict[str, int] = {}
    for summary in shares.summaries(line):
        for name, ns in summary.names.items():
            every[name] = every.get(name, 0) + ns
    rows = [f"  {letter}  {clean(name)}  {time(every[name])}" for name, letter in letters.items()]
    rest = sum(every.values()) - sum(every[name] for name in letters)
    if rest:
        rows.append(f"  .  {shares.OTHERS}  {time(rest)}")
    if line.forgotten:
        rows.append(f"  {line.forgotten} older calls are forgotten")
    return rows
