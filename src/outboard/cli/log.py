"""Traced events as lines on standard error, no more of a kind than a person can use."""

import sys
import time
from collections import Counter
from typing import Any

PER_SECOND = 10
"""Lines of one kind in a second; a hostile guest makes millions."""

WORDS = {
    "session.began": "front-end {number} connected",
    "session.bug": "bug in outboard, please report it: {error} at {where}",
    "session.ended": "front-end left{why}",
    "vhost_user.refused": "refused {request}: expected {expected}, got {got}",
    "vhost_user.extra_fds": "{request}: expected {expected} fds, got {got}; closed the rest",
    "display.lost": "display lost: {why}",
    "display.silent": "the display did not answer {request} within {seconds} s; went on without",
    "ring.broken": "ring {index} broken: {why}",
    "gpu.refused": "guest command {command:#x} refused with {response:#x}",
}
DISK_WORDS = {
    "ring.resubmitted": "took {count} requests over from the back-end before",
    "blk.refused": "guest request of type {type} at sector {sector} refused with status {status}",
    "blk.failed": "guest request of type {type} failed: {error}",
    "blk.resized": "the image has {capacity} sectors now",
}
"""What is said of disks besides."""
VERBOSE_ONLY = {"blk.refused", "gpu.refused"}


class Log:
    """A trace hook that prints."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        self._second = 0
        self._seen: Counter[str] = Counter()

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        """Print one event, unless there were too many of its kind in this second."""
        if event in VERBOSE_ONLY and not self._verbose:
            return
        second = int(time.monotonic())
        if second != self._second:
            self._tell_dropped()
            self._second = second
            self._seen.clear()
        self._seen[event] += 1
        if self._seen[event] <= PER_SECOND:
            self._print(event, fields)

    @staticmethod
    def _print(event: str, fields: dict[str, Any]) -> None:
        if event == "session.ended":
            fields = {"why": f": {fields['why']}" if fields["why"] else ""}
        print("outboard: " + (WORDS | DISK_WORDS)[event].format(**fields), file=sys.stderr, flush=True)

    def _tell_dropped(self) -> None:
        for event, seen in self._seen.items():
            if seen > PER_SECOND:
                print(f"outboard: {event}: {seen - PER_SECOND} more not shown", file=sys.stderr, flush=True)
