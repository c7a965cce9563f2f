"""A timeline as a trace that Perfetto and chrome://tracing load.

Source: Trace Event Format (Google, 2016): complete events "X", instant events "i", metadata "M"; times in microseconds.
"""

import json
from typing import Any

from outboard.aio.timeline.recorder import Timeline

PROCESS = 1
MARKS_LANE = 0


def events(line: Timeline) -> list[dict[str, Any]]:
    """Return the events: a thread for each lane, one more for what happened beside the calls."""
    lanes = {lane: number for number, lane in enumerate(line.lanes, MARKS_LANE + 1)}

    def when(begin_ns: int) -> float:
        return (begin_ns - line.begin_ns) / 1000

    found: list[dict[str, Any]] = [_name(MARKS_LANE, "moves and drains")]
    found += [_name(number, f"{lane.context}, {lane.thread}") for lane, number in lanes.items()]
    for span in line.spans:
        found.append(
            {"ph": "X", "pid": PROCESS, "tid": lanes[span.lane], "name": span.name, "cat": span.what}
            | {"ts": when(span.begin_ns), "dur": (span.end_ns - span.begin_ns) / 1000}
        )
    for mark in line.marks:
        about = {"pid": PROCESS, "tid": MARKS_LANE, "cat": mark.what, "ts": when(mark.begin_ns)}
        args = {"from": mark.context, "to": mark.to} if mark.to else {"context": mark.context}
        shape = {"ph": "i", "s": "g"} if mark.to else {"ph": "X", "dur": (mark.end_ns - mark.begin_ns) / 1000}
        found.append(about | shape | {"name": f"{mark.name} {mark.what}", "args": args})
    return found


def _name(number: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "pid": PROCESS, "tid": number, "name": "thread_name", "args": {"name": name}}


def trace(line: Timeline) -> str:
    """Return the file."""
    return json.dumps({"traceEvents": events(line), "displayTimeUnit": "ns"})
