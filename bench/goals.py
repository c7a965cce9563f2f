"""The benchmarks: which cases there are, what each is called, and what it is measured against."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import NamedTuple

from bench.cases import Work, cursor, frames, no_op, rectangles
from bench.peers import Running

HD = (1920, 1080)
UHD = (3840, 2160)


class Case(NamedTuple):
    """A benchmark of CPU and rate. cpu: the ratio ours / C of CPU per unit, at most; rate: that of units per second,
    at least, None where no goal is set."""

    name: str
    unit: str
    open: Callable[[Running], AbstractContextManager[Work]]
    cpu: float
    rate: float | None = None


CASES = (
    Case("frame-1080p", "frame", partial(frames, size=HD, scattered=False), 0.77, 1.0),
    Case("frame-1080p-pages", "frame", partial(frames, size=HD, scattered=True), 0.77, 1.0),
    Case("frame-2160p", "frame", partial(frames, size=UHD, scattered=False), 0.77, 1.0),
    Case("frame-2160p-pages", "frame", partial(frames, size=UHD, scattered=True), 0.77, 1.0),
    Case("rect-64", "rectangle", partial(rectangles, scattered=False), 1.0),
    Case("rect-64-pages", "rectangle", partial(rectangles, scattered=True), 0.33),
    Case("cursor", "move", cursor, 2.0),
    Case("no-op", "command", no_op, 4.0),
)
READY, MEMORY, IDLE = "ready", "memory", "idle"
NAMES = (*(case.name for case in CASES), READY, MEMORY, IDLE)

READY_LIMIT_S = 0.3
MEMORY_RATIO = 1.3
"""Of the C helper's peak, with a bare interpreter's on top."""
IDLE_S = 2.0
