"""`outboard xive`: the interrupt controller, replayed and by hand."""

import argparse
import io
import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outboard.spapr.flavours import Flavour

FLAVOURS = ("qemu-7.2", "qemu-10.0", "papr")
"""Names only, so that `--help` need not import the controller."""
MAX_CPUS = 4096

VECTORS_EPILOG = """example:
  outboard xive vectors tests/vectors/xive/*.json.gz

Exit codes: 0 every answer is the recorded one, 1 some are not, 2 a file could not be read or replayed.
"""
SHELL_EPILOG = """example:
  $ outboard xive shell --cpus 2
  xive> setup
  xive> trigger 1
  xive> cpu 1 ack
  xive> explain 1

Without a terminal the commands come from standard input: echo 'help' | outboard xive shell
Exit codes: 0 all went, 1 a command of a script or a pipe was refused, 2 could not start.
"""
DIFF_EPILOG = """examples:
  outboard xive diff --cpus 4 --seed 7 --n 100000
  outboard xive diff --ic-mode xics --vsmt 4
  outboard xive diff --cpus 2 --ic-mode xive --run steps.txt

Exit codes: 0 no difference, 1 a difference, 2 could not run.
"""


SHELL_RAM = 512 << 20
"""RAM of the shell's machine: room for a queue of 64 KiB for each of 4096 CPUs. What is not written takes none."""


def cpu_count(text: str) -> int:
    """Parse a number of CPUs, or of ids between two of them."""
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= MAX_CPUS:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 to {MAX_CPUS}, as many as a machine has servers")
    return int(text)


def add(commands: Any) -> None:
    """Add `xive` to the tree."""
    xive = commands.add_parser(
        "xive",
        help="be a POWER machine's interrupt controller",
        description="The XIVE interrupt controller of POWER9, as the pseries machine has it.",
        epilog="example:\n  outboard xive shell --cpus 2",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = xive.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_vectors(verbs)
    _add_shell(verbs)
    _add_diff(verbs)


def _add_vectors(verbs: Any) -> None:
    parser = verbs.add_parser(
        "vectors",
        help="replay what a real machine's controller was recorded to answer",
        description="Replay recorded operations on our controller, compare every answer and every picture of the "
        "state, and print what differs with the operations before it.",
        epilog=VECTORS_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a recording, gzip-compressed JSON or plain")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    _add_flavour(parser)
    parser.set_defaults(command=vectors)


def _add_shell(verbs: Any) -> None:
    parser = verbs.add_parser(
        "shell",
        help="a controller to try things on",
        description="Trigger, route, acknowledge, look, and undo, on a controller of a pseries machine.",
        epilog=SHELL_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cpus", type=cpu_count, default=1, metavar="N", help="vCPUs at the start (1)")
    parser.add_argument("--max-cpus", type=cpu_count, metavar="N", help="vCPUs that may be plugged (as --cpus)")
    parser.add_argument("--vsmt", type=cpu_count, default=1, metavar="N", help="distance of the vCPUs' ids (1)")
    _add_flavour(parser)
    parser.add_argument(
        "--host-byteorder",
        choices=("little", "big"),
        default="little",
        help="of the host that QEMU runs on; some answers show it (little)",
    )
    parser.add_argument("--script", metavar="FILE", help="perform the commands of a file, one a line, and end")
    parser.set_defaults(command=shell)


def _add_diff(verbs: Any) -> None:
    parser = verbs.add_parser(
        "diff",
        help="look for differences between the model and a real QEMU",
        description="Do the same random operations to the model of a pseries machine and to a real QEMU, compare "
        "answers, interrupt inputs, event queues and `info pic`, and shrink what differs to the shortest sequence.",
        epilog=DIFF_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cpus", type=cpu_count, default=1, metavar="N", help="CPUs (1)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="what decides the operations (0)")
    parser.add_argument("--n", type=_count, default=10_000, metavar="COUNT", help="operations (10000)")
    parser.add_argument("--ic-mode", choices=("xive", "xics", "dual"), default="dual", help="of the machine (dual)")
    parser.add_argument("--vsmt", type=cpu_count, default=1, metavar="V", help="distance of the CPUs' ids (1)")
    parser.add_argument("--qemu", metavar="PATH", help="a qemu-system-ppc64 (the oldest here from 7.2 on)")
    parser.add_argument(
        "--flavour", choices=FLAVOURS, help="whose answers the model gives (the newest QEMU's not newer than this one)"
    )
    parser.add_argument("--run", metavar="FILE", help="do the steps of a file, or of - for standard input, instead")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.set_defaults(command=diff)


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,12}", text) or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of operations; it is 1 or more")
    return int(text)


def _add_flavour(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--flavour", choices=FLAVOURS, default=FLAVOURS[0], help=f"whose answers to give ({FLAVOURS[0]})"
    )


def _flavour(options: argparse.Namespace) -> "Flavour":
    from outboard.spapr.flavours import FLAVOURS

    return FLAVOURS[options.flavour]


def _take_any_text() -> None:
    """Read and print whatever people type and call their files, also what the terminal's encoding lacks."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def vectors(options: argparse.Namespace) -> int:
    """Replay the files; return the exit code."""
    from outboard.cli.xive import replay

    _take_any_text()
    return replay.run(options.files, _flavour(options), as_json=options.json)


def shell(options: argparse.Namespace) -> int:
    """Run the shell; return the exit code."""
    from outboard.cli.xive import shell as prompt
    from outboard.cli.xive.session import Session
    from outboard.spapr.xive import SpaprXive

    _take_any_text()
    xive = SpaprXive(
        options.cpus,
        max_cpus=options.max_cpus,
        vsmt=options.vsmt,
        flavour=_flavour(options),
        host_byteorder=options.host_byteorder,
        ram_size=SHELL_RAM,
    )
    session = Session(xive)
    if options.script is not None:
        return prompt.run_script(session, options.script)
    at_terminal = sys.stdin is not None and sys.stdin.isatty()
    return prompt.interact(session) if at_terminal else prompt.run_pipe(session)


def diff(options: argparse.Namespace) -> int:
    """Compare the model with a real QEMU; return the exit code."""
    from pathlib import Path

    from outboard.cli.xive import diff as comparison
    from outboard.qemu.diff import Plan

    plan = Plan(options.cpus, options.ic_mode, options.vsmt, options.seed, options.n, options.flavour)
    qemu = Path(options.qemu) if options.qemu else None
    return comparison.run(plan, qemu, options.run, as_json=options.json)
