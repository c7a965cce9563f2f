"""`outboard gpu serve` and its twin for QEMU's back-end program convention.

Source of the convention: QEMU docs/interop/vhost-user, "Backend program conventions"; vhost-user.json.
"""

import argparse
import json
import os
import re
import shutil
import signal
import sys
from contextlib import ExitStack, closing, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from outboard.errors import LocalError

if TYPE_CHECKING:
    from outboard.backend.device import Options
    from outboard.backend.places import InContext
    from outboard.backend.server import Server
    from outboard.cli.shots import Shots
    from outboard.host.loop import Loop
    from outboard.host.signals import Signals

PROGRAM = "outboard-vhost-user-gpu"
CAPABILITIES = {"type": "gpu", "features": []}
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

SERVE_EPILOG = """example:
  outboard gpu serve gpu.sock --shot screen.png &
  qemu-system-x86_64 -M q35,accel=kvm,memory-backend=mem0 -m 512M -nodefaults -vga none \\
    -object memory-backend-memfd,id=mem0,size=512M,share=on \\
    -chardev socket,id=vgpu,path=gpu.sock -device vhost-user-gpu-pci,chardev=vgpu -display none ...

SIGUSR1 writes the picture at once; SIGINT and SIGTERM end the back-end. Several outputs are written as
screen.png, screen-1.png, ... Exit codes: 0 ended as asked, 2 could not start or could not write.
"""


def size(text: str) -> tuple[int, int]:
    """Parse WIDTHxHEIGHT."""
    match = re.fullmatch(r"(\d+)[xX](\d+)", text)
    if not match or not all(1 <= int(side) <= 16384 for side in match.groups()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write WIDTHxHEIGHT, 1 to 16384 each, as 1280x800")
    return int(match[1]), int(match[2])


def byte_count(text: str) -> int:
    """Parse a number of bytes with K, M or G behind it."""
    match = re.fullmatch(r"(\d+)([kmg]?)", text.lower())
    value = int(match[1]) * UNITS[match[2]] if match else 0
    if not 0 < value < 1 << 64:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of memory; write it as 256M or 1G")
    return value


def count(text: str) -> int:
    """Parse a number of outputs."""
    if not text.isdecimal() or not 1 <= int(text) <= 16:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of outputs; a GPU has 1 to 16")
    return int(text)


def descriptor(parser: argparse.ArgumentParser) -> str:
    """Return the JSON by which management tools find the back-end, with the installed program's path."""
    beside = os.path.dirname(sys.argv[0])
    binary = shutil.which(PROGRAM, path=beside or None) or shutil.which(PROGRAM)
    if binary is None:
        parser.exit(2, f"outboard: {PROGRAM} is not on the PATH; install outboard first\n")
    about = {"description": "outboard vhost-user-gpu", "type": "gpu", "binary": binary}
    return json.dumps(about, indent=2)


class Printed(argparse.Action):
    """An option that prints something and exits, whatever else is missing."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print and exit."""
        wants_capabilities = self.dest == "print_capabilities"
        print(json.dumps(CAPABILITIES) if wants_capabilities else descriptor(parser))
        parser.exit()


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fd", type=int, metavar="N", help="serve this inherited socket instead of a path")
    parser.add_argument(
        "--size", type=size, metavar="WxH", help="size the guest is told, by default what the front-end says"
    )
    parser.add_argument(
        "--outputs", type=count, metavar="N", help="outputs to enable, 1 to 16, by default what the front-end says"
    )
    parser.add_argument(
        "--max-hostmem", type=byte_count, default=256 << 20, metavar="SIZE", help="memory for resources (256M)"
    )
    parser.add_argument("--shot", metavar="FILE", help="write a PNG of the screen on exit and on SIGUSR1")
    parser.add_argument("--once", action="store_true", help="end when the first front-end leaves")
    parser.add_argument("--iothread", action="store_true", help="serve in a thread with a context of its own")
    parser.add_argument("-v", "--verbose", action="store_true", help="also say which commands of the guest are refused")
    parser.add_argument(
        "--print-capabilities", action=Printed, nargs=0, help="print the back-end's capabilities as JSON, and exit"
    )
    parser.add_argument(
        "--print-descriptor", action=Printed, nargs=0, help="print a JSON descriptor file to install, and exit"
    )
    parser.set_defaults(command=serve)


def add(commands: Any) -> None:
    """Add `gpu` to the tree."""
    gpu = commands.add_parser("gpu", help="be a VM's GPU")
    verbs = gpu.add_subparsers(title="commands", metavar="COMMAND", required=True)
    parser = verbs.add_parser(
        "serve",
        help="vhost-user-gpu back-end for a VMM",
        description="Serve a vhost-user-gpu back-end: the VMM connects, its guest draws, its display gets the picture.",
        epilog=SERVE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("socket", nargs="?", metavar="SOCKET", help="path to listen on")
    _add_options(parser)


def convention_parser() -> argparse.ArgumentParser:
    """Return the parser of the back-end program: `--socket-path` and `--fd` as QEMU's convention has them."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="vhost-user-gpu back-end of outboard.")
    parser.add_argument("-s", "--socket-path", dest="socket", metavar="PATH", help="path to listen on")
    _add_options(parser)
    return parser


def serve(options: argparse.Namespace) -> int:
    """Serve until told to end; return the exit code."""
    from outboard import trace
    from outboard.backend.device import Options
    from outboard.backend.displays import FALLBACK_SIZE
    from outboard.cli.log import Log
    from outboard.cli.shots import Shots
    from outboard.host.loop import Loop
    from outboard.host.signals import Signals

    if (options.socket is None) == (options.fd is None):
        raise LocalError("gpu serve: give either SOCKET or --fd N; see outboard gpu serve --help")
    wanted = options.outputs or (1 if options.size else 0)
    sizes = [options.size or FALLBACK_SIZE] * wanted
    shots = Shots(options.shot, wanted) if options.shot else None
    trace.listen(Log(verbose=options.verbose))
    with closing(Loop()) as loop, Signals(loop) as signals:
        _run(options, Options(sizes, options.max_hostmem), shots, loop, signals)
        return 0 if shots is None or shots.save() else 2


def _run(
    options: argparse.Namespace, chosen: "Options", shots: "Shots | None", loop: "Loop", signals: "Signals"
) -> None:
    """Serve on the main thread's loop, or in an IOThread beside it, until the loop is stopped."""
    from outboard.backend.device import Device
    from outboard.backend.server import Server

    mirror = shots.screens if shots else None
    with ExitStack() as stack:
        place = _iothread(stack) if options.iothread else None
        handlers = place.handlers if place else loop
        done = partial(loop.call_threadsafe, loop.stop) if place else loop.stop
        server = Server(handlers, lambda loop: Device(loop, chosen, mirror), once=options.once, done=done)
        server.survive()
        stack.callback(_close, server, place)
        with place.alone() if place else nullcontext():
            if options.socket is not None:
                server.listen(options.socket)
            else:
                server.adopt(options.fd)
        for number in (signal.SIGINT, signal.SIGTERM):
            signals.call(number, loop.stop)
        # The picture is written where the screens are painted.
        signals.call(signal.SIGUSR1, partial(handlers.call_threadsafe, shots.save) if shots else lambda: None)
        print(f"outboard: serving on {options.socket or f'fd {options.fd}'}", file=sys.stderr, flush=True)
        loop.run()


def _iothread(stack: ExitStack) -> "InContext":
    from outboard.aio.iothread import IOThread
    from outboard.backend.places import InContext

    return InContext(stack.enter_context(IOThread("iothread0")).context)


def _close(server: "Server", place: "InContext | None") -> None:
    if place is None:
        server.close()
        return
    with place.alone():
        server.close()
    place.close()
