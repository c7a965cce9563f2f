"""What `outboard xive vectors` prints."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from outboard.errors import LocalError
from outboard.machine import xive_vectors
from outboard.machine.xive_vectors import NO_ANSWER, Difference, Recording, Report
from outboard.spapr.flavours import Flavour

SHOWN = 10
"""Differences of one file that are printed."""
WIDTH = 300
"""Characters of an answer that are printed."""


def run(files: list[str], flavour: Flavour, *, as_json: bool) -> int:
    """Replay the files, print what came out, and return the exit code."""
    reports = []
    broken = 0
    for at, file in enumerate(files, 1):
        _progress(f"replaying {file} ({at} of {len(files)}) ...")
        try:
            recording = xive_vectors.read(Path(file))
            report = xive_vectors.replay(recording, flavour)
            notes = [] if as_json else list(unanswered(recording, flavour))
        except LocalError as error:
            _progress("")
            print(f"outboard: {_named(file, error)}; give recordings made by a real machine", file=sys.stderr)
            broken += 1
            continue
        _progress("")
        reports.append(report._replace(file=file))
        if not as_json:
            print("\n".join([*_lines(reports[-1]), *notes]), flush=True)
    if as_json:
        print(json.dumps({"files": [_as_object(report) for report in reports]}))
    elif len(files) > 1:
        print(_total(reports, broken))
    return 2 if broken else int(any(report.differences for report in reports))


def _named(file: str, error: LocalError) -> str:
    text = str(error)
    name = Path(file).name
    return text if text.startswith(file) else f"{file}: {text.removeprefix(name + ': ')}"


def _progress(text: str) -> None:
    """Show what is being done, on terminals only; the next call takes it away."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _as_object(report: Report) -> dict[str, Any]:
    return report._asdict() | {"differences": [difference._asdict() for difference in report.differences]}


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _outcome(report: Report) -> str:
    return _count(len(report.differences), "difference") if report.differences else "no difference"


def _lines(report: Report) -> Iterator[str]:
    name, ops, checkpoints, differences = report
    yield f"{name}: {_count(ops, 'operation')}, {_count(checkpoints, 'checkpoint')}, {_outcome(report)}"
    for difference in differences[:SHOWN]:
        yield from _difference_lines(difference)
    if len(differences) > SHOWN:
        yield f"  ... and {_count(len(differences) - SHOWN, 'more difference')}"


def _difference_lines(difference: Difference) -> Iterator[str]:
    at, what, operation, expected, got, context = difference
    answers = what == "result"
    yield f"  operation {at}" if answers else f"  state after {_count(at, 'operation')}"
    yield from (f"         {number:6}  {line}" for number, line in enumerate(context, at - len(context)))
    yield f"      -> {at if answers else '':6}  {operation}"
    yield f"         expected  {_cut(expected)}"
    yield f"         got       {_cut(got)}"


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[:WIDTH]} ... ({len(text)} characters)"


def _total(reports: list[Report], broken: int) -> str:
    ops, checkpoints = sum(report.ops for report in reports), sum(report.checkpoints for report in reports)
    found = sum(len(report.differences) for report in reports)
    differing = sum(bool(report.differences) for report in reports)
    outcome = f"{_count(found, 'difference')} in {_count(differing, 'file')}" if found else "no difference"
    unread = f", {_count(broken, 'file')} could not be replayed" if broken else ""
    return (
        f"total: {_count(len(reports), 'file')}, {_count(ops, 'operation')}, {_count(checkpoints, 'checkpoint')}, "
        f"{outcome}{unread}"
    )


def unanswered(recording: Recording, flavour: Flavour) -> Iterator[str]:
    """Yield what ours does at operations that ended QEMU, which are the last of their file."""
    if not recording.ops or recording.ops[-1].get("result") != NO_ANSWER:
        return
    xive = xive_vectors.build(recording.meta, flavour)
    *before, last = recording.ops
    for op in before:
        xive_vectors.perform(xive, op)
    told: list[str] = []
    xive.events.listen(lambda event, values: told.append(xive.events.line(event, values)))
    answer = xive_vectors.perform(xive, last)
    said = recording.meta.get("aborted")
    yield f"  operation {len(before)}, {xive_vectors.spelled(last)}:"
    yield f"    QEMU aborts here{f' ({said})' if said else ''}; ours goes on"
    yield from (f"    ours traces  {line}" for line in told if not line.startswith("memory_region_ops"))
    if answer is not None:
        yield f"    ours answers {answer}"
