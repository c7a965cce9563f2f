"""`outboard check frontend`: be the back-end that a VMM connects to, and say what is wrong with the VMM's side."""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from outboard.conformance.check import Checks
from outboard.conformance.conduct import conduct, show
from outboard.conformance.frontend.buffers import buffers
from outboard.conformance.frontend.control import control
from outboard.conformance.frontend.edid import edids
from outboard.conformance.frontend.hostile import hostile
from outboard.conformance.frontend.pictures import last, pictures
from outboard.conformance.frontend.questions import questions
from outboard.conformance.frontend.replies import replies
from outboard.conformance.frontend.restart import restart
from outboard.conformance.frontend.rings import rings
from outboard.conformance.frontend.stage import Stage
from outboard.conformance.known import FRONT_ENDS

CHECKS = Checks(questions, edids, pictures, buffers, last, replies, control, rings, restart, hostile)
"""In this order: questions while the device runs, then what was heard until the end, then what needs fresh ones."""


def run(options: argparse.Namespace) -> int:
    """Run the checks that the options choose; return the exit code. Raises PeerUnusable, LocalError."""
    peer = " ".join(options.peer) or str(options.listen)
    if options.list:
        return show(CHECKS, options)
    path = Path(options.listen) if options.listen else None
    stage = Stage(path, options.peer, options.timeout, options.hostile)
    if path is not None:
        print(f"outboard: listening on {path}; start the VMM with this GPU now", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def opened() -> Iterator[Stage]:
        stage.begin()
        yield stage

    try:
        return conduct(CHECKS, options, peer, opened, FRONT_ENDS)
    finally:
        stage.close()
