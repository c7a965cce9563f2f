"""`outboard check`: tell an implementer of vhost-user-gpu what is wrong with theirs."""

import argparse
from typing import Any

from outboard.cli.files import checked
from outboard.errors import LocalError

BACKEND_EPILOG = """examples:
  outboard check backend -- vhost-user-gpu --socket-path={socket}
  outboard check backend --only 'gpu.*' -- ./my-gpu --fd={fd}
  outboard check backend --connect gpu.sock --json

{socket} stands for the path to listen on, {fd} for an inherited, connected socket. Every check gets a process of its
own; with --connect a connection of its own. Exit codes: 0 nothing failed, 1 something did, 2 could not run.
"""
FRONTEND_EPILOG = """example:
  outboard check frontend -- ./my-vmm --gpu-socket {socket}

{socket} stands for the path of the back-end that CMD connects to.
Exit codes: 0 nothing failed, 1 something did, 2 could not run.
"""


ALONE = "for a back-end that can run only once, as one that locks its GPU"
REUSE = "it is faster where a process starts slowly; what fails is repeated on a fresh one"


def seconds(text: str) -> float:
    """Parse a time."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.01 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no time to wait; write seconds, 0.01 to 3600")
    return value


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", action="append", default=[], metavar="GLOB", help="only checks with such an id")
    parser.add_argument("--list", action="store_true", help="list the checks, and exit")
    parser.add_argument("--timeout", type=seconds, default=5.0, metavar="S", help="for every wait, in seconds (5)")
    parser.add_argument("--no-robustness", action="store_true", help="robustness checks run, but do not count")
    parser.add_argument("--json", action="store_true", help="write the report as JSON")
    parser.add_argument("--junit", metavar="FILE", help="write JUnit XML to FILE as well")
    parser.add_argument("-v", "--verbose", action="store_true", help="also show passes, with what went over the wire")
    parser.add_argument("peer", nargs="*", metavar="CMD", help="the program to check, behind --")


def add(commands: Any) -> None:
    """Add `check` to the tree."""
    check = commands.add_parser("check", help="check a vhost-user-gpu implementation")
    kinds = check.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, epilog, run in (("backend", BACKEND_EPILOG, backend), ("frontend", FRONTEND_EPILOG, frontend)):
        parser = kinds.add_parser(
            name,
            help=f"check a vhost-user-gpu {name[:-3]}-end",
            description=f"Check a vhost-user-gpu {name[:-3]}-end, one requirement at a time.",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        way = "--connect" if name == "backend" else "--listen"
        parser.add_argument(way, metavar="PATH", help="check what is there already, over this socket")
        if name == "backend":
            parser.add_argument("--reuse", action="store_true", help="one process for several checks: " + REUSE)
            parser.add_argument("--one-at-a-time", action="store_true", help="start none ahead: " + ALONE)
        if name == "frontend":
            parser.add_argument("--hostile", action="store_true", help="also do what kills some; needs CMD")
        _add_options(parser)
        parser.set_defaults(command=run)


def _looked_at(options: argparse.Namespace, kind: str, path: str | None) -> None:
    if options.junit:
        checked("--junit", options.junit)
    if not options.list and bool(options.peer) == bool(path):
        raise LocalError(f"check {kind}: give the program behind --, or a socket; see outboard check {kind} --help")


def backend(options: argparse.Namespace) -> int:
    """Check a back-end; return the exit code."""
    from outboard.conformance.backend import run

    _looked_at(options, "backend", options.connect)
    return run.run(options)


def frontend(options: argparse.Namespace) -> int:
    """Check a front-end; return the exit code."""
    from outboard.conformance.frontend import run

    _looked_at(options, "frontend", options.listen)
    return int(run.run(options))
