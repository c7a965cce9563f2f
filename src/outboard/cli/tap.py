"""`outboard tap`: see what a VMM and its back-end say to each other."""

import argparse
import signal
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from outboard.errors import LocalError

EPILOG = """example:
  outboard gpu serve gpu.sock &
  outboard tap tap.sock gpu.sock --pcapng tap.pcapng &
  qemu-system-x86_64 ... -chardev socket,id=vgpu,path=tap.sock -device vhost-user-gpu-pci,chardev=vgpu ...

  outboard tap --dissector > outboard.lua
  wireshark -X lua_script:outboard.lua tap.pcapng

A line is: seconds since the first message, socket, -> to the back-end or <- to the front-end, message. SIGINT and
SIGTERM end the tap and finish the capture. Exit codes: 0 ended, 2 could not start, or nobody listens at CONNECT.
"""

FLUSH_S = 0.5
"""A capture file lags behind by so much."""


class Dissector(argparse.Action):
    """Print the dissector and exit, whatever else is missing."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print and exit."""
        from outboard.tap.dissector import text

        print(text(), end="")
        parser.exit()


def add(commands: Any) -> None:
    """Add `tap` to the tree."""
    parser = commands.add_parser(
        "tap",
        help="see and record what a VMM and its vhost-user back-end say",
        description="Sit between a VMM and its vhost-user back-end, a GPU above all: pass all on, show every message.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("listen", metavar="LISTEN", type=Path, help="path to listen on, for the VMM")
    parser.add_argument("connect", metavar="CONNECT", type=Path, help="path where the back-end listens")
    parser.add_argument("-v", "--verbose", action="store_true", help="all fields, and a checksum of pixels")
    parser.add_argument("--json", action="store_true", help="print one JSON object a message")
    parser.add_argument("--quiet", action="store_true", help="print no messages")
    parser.add_argument("--pcapng", metavar="FILE", type=Path, help="record the messages for Wireshark")
    parser.add_argument("--pixels", action="store_true", help="record pixels too")
    parser.add_argument("--once", action="store_true", help="end when the first front-end has left")
    parser.add_argument("--dissector", action=Dissector, nargs=0, help="print Wireshark's dissector (Lua), and exit")
    parser.set_defaults(command=run)


def say(words: str) -> None:
    """Tell what is no message."""
    with suppress(OSError):
        print(f"outboard: {words}", file=sys.stderr, flush=True)


def run(options: argparse.Namespace) -> int:
    """Tap until told to end; return the exit code."""
    from outboard.host.loop import Loop
    from outboard.host.signals import Signals
    from outboard.tap.capture import Capture
    from outboard.tap.output import Output
    from outboard.tap.report import Report
    from outboard.tap.seen import Several
    from outboard.tap.tap import Tap

    if options.pixels and options.pcapng is None:
        raise LocalError("tap: --pixels records pixels into a capture; name its file with --pcapng FILE")
    with closing(Loop()) as loop, Signals(loop) as signals:
        output = Output(sys.stdout.fileno(), loop, say)
        report = Report(
            output.write, say, loop.call_soon, verbose=options.verbose, as_json=options.json, quiet=options.quiet
        )
        tap = Tap(loop, options.listen, options.connect, report, once=options.once)
        capture = None
        try:
            if options.pcapng is not None:
                capture = Capture(options.pcapng, pixels=options.pixels)
                tap.watcher = Several([report, capture])
                _flush(loop, capture)
            for number in (signal.SIGINT, signal.SIGTERM):
                signals.call(number, loop.stop)
            say(f"tapping {options.connect}, listening on {options.listen}")
            loop.run()
        finally:
            tap.close()
            report.flush()
            output.finish()
            if capture:
                capture.close()
    if tap.failure:
        raise tap.failure
    say(f"{report.messages} messages, {report.unknown} unknown")
    return 0


def _flush(loop: Any, capture: Any) -> None:
    """Write what is recorded, again and again; say it once when that fails."""
    if capture.failure:
        say(capture.failure)
    else:
        capture.flush()
        loop.call_later(FLUSH_S, lambda: _flush(loop, capture))
