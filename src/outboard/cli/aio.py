"""`outboard aio graph`: contexts, threads and a block graph at work, drawn."""

import argparse
from typing import Any

from outboard.cli.display import seconds

SECONDS = 1.0
EPILOG = """examples:
  outboard aio graph
  outboard aio graph --svg graph.svg --timeline timeline.svg --seconds 3
  outboard aio graph --trace trace.json                        for ui.perfetto.dev, or chrome://tracing

Two disks over files in a temporary folder run in two IOThreads: one with a throttle and a mirror job to three copies
that vote, one with copy-on-read of a slow base image. Programs write, read back and compare; meanwhile the disks move
between the threads. Drawn are one moment, with what is in flight, and who ran where.
A process that serves disks draws its own: outboard blk serve --graph FILE --timeline FILE.
Exit codes: 0 every block was read as it was written, 1 one was not, 2 could not run.
"""


def add(commands: Any) -> None:
    """Add `aio` to the tree."""
    aio = commands.add_parser("aio", help="see event loops, threads and block graphs at work")
    verbs = aio.add_subparsers(title="commands", metavar="COMMAND", required=True)
    parser = verbs.add_parser(
        "graph",
        help="run a block graph in two IOThreads and draw it",
        description="Run a block graph in two IOThreads, move it between them under load, and draw it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--svg", metavar="FILE", help="write the graph as SVG")
    parser.add_argument("--timeline", metavar="FILE", help="write who ran where as SVG")
    parser.add_argument("--trace", metavar="FILE", help="write who ran where as JSON in Chrome's trace format")
    parser.add_argument("--seconds", type=seconds, default=SECONDS, metavar="S", help=f"how long it runs ({SECONDS:g})")
    parser.add_argument("--json", action="store_true", help="print all of it as one JSON object, no drawing")
    parser.set_defaults(command=graph)


def graph(options: argparse.Namespace) -> int:
    """Run and draw; return the exit code."""
    from outboard.cli.aio_graph import run

    return run(options)
