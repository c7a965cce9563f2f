"""What `outboard aio graph` does: the demonstration, drawn."""

import argparse
import dataclasses
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from outboard.aio.timeline import Timeline, chrome, shares
from outboard.aio.timeline import svg as timeline_svg
from outboard.aio.timeline import text as timeline_text
from outboard.aio.timeline.text import time
from outboard.block import demo
from outboard.block.demo import Seen
from outboard.block.picture import svg, text
from outboard.cli import pictures
from outboard.cli.files import checked
from outboard.viewers import terminal

COLUMNS, FEWEST, MOST = 100, 60, 160
"""Columns where nobody says how many there are; and at least, and at most."""

# Option: what makes the file.
FILES: dict[str, Callable[[Seen], str]] = {
    "svg": lambda seen: svg.draw(seen.picture),
    "timeline": lambda seen: timeline_svg.draw(seen.timeline),
    "trace": lambda seen: chrome.trace(seen.timeline),
}


def run(options: argparse.Namespace) -> int:
    """Run the demonstration, show it, write the files that were asked for; return the exit code."""
    named = {option: getattr(options, option) for option in FILES if getattr(options, option)}
    files = {option: checked(f"--{option}", file) for option, file in named.items()}
    with tempfile.TemporaryDirectory(prefix="outboard-") as folder:
        seen = demo.run(folder, options.seconds)
    for option, path in files.items():
        pictures.write(path, FILES[option](seen))
    if options.json:
        print(json.dumps(_about(seen, files)))
    else:
        _show(seen, files)
    return 1 if any(seen.figures.wrong.values()) else 0


def _show(seen: Seen, files: dict[str, Path]) -> None:
    columns = min(MOST, max(FEWEST, shutil.get_terminal_size((COLUMNS, 0)).columns))
    stream: Any = sys.stdout
    stream.reconfigure(errors="replace")  # a terminal that knows no lines shows question marks
    figures = seen.figures
    print(text.draw(seen.picture, columns, colour=terminal.depth(stream) is not None))
    print(timeline_text.draw(seen.timeline, columns))
    requests = ", ".join(f"{name} {number} requests" for name, number in figures.requests.items())
    print(f"{requests}; {figures.moves} moves, {_pauses(seen.timeline)}")
    wrong = sum(figures.wrong.values())
    print(f"{wrong} blocks were read wrong" if wrong else "every block was read as it was written")
    for path in files.values():
        print(f"look at {path.absolute()}")


def _pauses(line: Timeline) -> str:
    drained = sorted(mark.end_ns - mark.begin_ns for mark in line.marks if mark.what == "drained")
    if not drained:
        return "never drained"
    return (
        f"drained for {time(drained[len(drained) // 2])} in the middle of {len(drained)}, {time(drained[-1])} at most"
    )


def _about(seen: Seen, files: dict[str, Path]) -> dict[str, Any]:
    line = seen.timeline
    return {
        "graph": dataclasses.asdict(seen.picture),
        "in_flight": seen.picture.in_flight,
        "lanes": [{**one._asdict(), "lane": one.lane._asdict()} for one in shares.summaries(line)],
        "marks": [mark._asdict() for mark in line.marks],
        "begin_ns": line.begin_ns,
        "end_ns": line.end_ns,
        "forgotten": line.forgotten,
        **dataclasses.asdict(seen.figures),
        "files": {option: str(path.absolute()) for option, path in files.items()},
    }
