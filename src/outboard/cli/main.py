"""The commands' tree. Modules behind a command are imported when it runs, so that `--help` answers at once."""

import argparse
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

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


class Terminated(KeyboardInterrupt):
    """The process is told to end: by SIGTERM, or by SIGHUP, since its terminal has gone."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def _told_to_end() -> Iterator[None]:
    """Let those who wait for nothing but Ctrl-C free what they have at other signals too."""

    def end(number: int, _: object) -> None:
        raise Terminated(number)

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        wanted = (signal.SIGTERM, signal.SIGHUP)
        before = {one: signal.signal(one, end) for one in wanted if signal.getsignal(one) is signal.SIG_DFL}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _whole_streams() -> None:
    """See that there is a standard output and error, and that they take whatever a peer says."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _guarded(parse: Callable[[], argparse.Namespace]) -> int:
    """Run a command; what goes wrong is a sentence and exit code 2."""
    _whole_streams()
    try:
        with _told_to_end():
            try:
                options = parse()
                return int(options.command(options))
            finally:
                sys.stdout.flush()
    except OutboardError as error:
        print(f"outboard: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        return 128 + (error.number if isinstance(error, Terminated) else signal.SIGINT)
    except BrokenPipeError:
        _drop_output()  # whoever read it has gone
        return 141
    except OSError as error:
        print(f"outboard: {error}", file=sys.stderr)
        _drop_output()  # a full disk, perhaps
        return 2


def _drop_output() -> None:
    """Let the interpreter's own flush at exit not fail over what could not be written."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `outboard`; returns the exit code."""
    return _guarded(lambda: parser().parse_args(arguments))


def vhost_user_gpu(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `outboard-vhost-user-gpu`: the options that QEMU's back-end program convention asks for."""

    def parse() -> argparse.Namespace:
        from outboard.cli import gpu

        return gpu.convention_parser().parse_args(arguments)

    return _guarded(parse)
