"""The commands' tree. Modules behind a command are imported when it runs, so that `--help` answers at once."""

import argparse
import os
import sys
from collections.abc import Sequence

from outboard import __version__
from outboard.errors import OutboardError

EPILOG = """examples:
  outboard gpu serve gpu.sock --shot screen.png     be the GPU of a VM, write its screen when it ends
  outboard blk serve disk.sock --image disk.img     be a disk of a VM
  outboard aio graph                                disks in two threads, who runs where, drawn
  outboard run                                      a guest in Python draws on it, no QEMU needed
  outboard check backend -- ./my-gpu {socket}       what is wrong with another back-end
  outboard tap tap.sock gpu.sock -v                 see what a VM and its GPU say to each other
  outboard display host -- ./my-gpu --fd={fd}       what another back-end shows, no QEMU needed
  outboard xive shell --cpus 2                      an interrupt controller to try things on
"""


class Version(argparse.Action):
    """Print version and core; importing the core waits until somebody asks."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print and exit."""
        from outboard import core

        print(f"outboard {__version__}, {core()} core")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    from outboard.cli import aio, blk, check, display, gpu, machine, run, tap
    from outboard.cli.xive import commands as xive

    top = argparse.ArgumentParser(
        prog="outboard",
        description="Virtual hardware outside the hypervisor.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action=Version, nargs=0, help="print version and core (compiled or plain), and exit")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    gpu.add(commands)
    blk.add(commands)
    aio.add(commands)
    run.add(commands)
    display.add(commands)
    check.add(commands)
    tap.add(commands)
    xive.add(commands)
    machine.add(commands)
    return top


def _guarded(options: argparse.Namespace) -> int:
    """Run a command; what goes wrong is a sentence and exit code 2."""
    try:
        return int(options.command(options))
    except OutboardError as error:
        print(f"outboard: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _drop_output()  # whoever read it has gone
        return 141
    except OSError as error:
        print(f"outboard: {error}", file=sys.stderr)
        _drop_output()  # a full disk, perhaps
        return 2


def _drop_output() -> None:
    """Let the interpreter's own flush at exit not fail over what could not be written."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `outboard`; returns the exit code."""
    return _guarded(parser().parse_args(arguments))


def vhost_user_gpu(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `outboard-vhost-user-gpu`: the options that QEMU's back-end program convention asks for."""
    from outboard.cli import gpu

    return _guarded(gpu.convention_parser().parse_args(arguments))
