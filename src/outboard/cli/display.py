"""`outboard display host`: host any GPU back-end with no virtual machine, and look at what it shows."""

import argparse
import json
from dataclasses import asdict
from enum import IntFlag
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outboard.cli.gpu import count, size
from outboard.errors import LocalError

if TYPE_CHECKING:
    from outboard.display import Frame
    from outboard.frontend.server import DisplayServer
    from outboard.machine.scenes.play import Record
    from outboard.machine.scenes.scene import Scene

DEFAULT_SIZES = ((1280, 800), (1024, 768))
"""Of the first output, and of all others."""
PIXELS = 8192 * 8192
MOST_DRAWN = 1 << 30
"""Pixels of all buffers together."""
REST_OF_RAM = 32 << 20
"""Bytes of guest memory for rings, cursors and requests."""
SECONDS = 3.0
EPILOG = """examples:
  outboard display host -- /usr/lib/qemu/vhost-user-gpu --fd={fd}
  outboard display host --scene two-heads --shot heads.png -- ./my-gpu --socket-path {socket}
  outboard display host --scene video --file film.mkv --seconds 60 --connect gpu.sock

{socket} stands for the path that the back-end shall listen on, {fd} for the number of an inherited, connected socket.
Several outputs are written as screen.png, screen-1.png, ...
Exit codes: 0 all pictures right, 1 one was wrong, 2 could not run.
"""


def seconds(text: str) -> float:
    """Parse a duration."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; give seconds above 0, at most 86400")
    return value


def positive(text: str) -> int:
    """Parse a number from 1 on."""
    if not text.isdecimal() or not 1 <= int(text) < 1 << 63:
        raise argparse.ArgumentTypeError(f"{text!r} is no number; give one from 1 on")
    return int(text)


def add(commands: Any) -> None:
    """Add `display` to the tree."""
    display = commands.add_parser("display", help="be the display of a vhost-user-gpu back-end")
    verbs = display.add_subparsers(title="commands", metavar="COMMAND", required=True)
    parser = verbs.add_parser(
        "host",
        help="host a back-end with no VM: play a scene on it, check every pixel",
        description="Start a vhost-user-gpu back-end of any make, or connect to one, play a scene on it as a guest "
        "would, and check that its display shows it pixel by pixel. No VM is needed.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--connect", metavar="PATH", help="connect to a back-end that listens there")
    parser.add_argument("--scene", default="test-card", metavar="NAME", help="what to play (test-card); `list` lists")
    parser.add_argument("--file", default="", metavar="FILE", help="what the scenes picture and video show")
    parser.add_argument(
        "--size", type=size, action="append", default=[], metavar="WxH", help="size of an output (1280x800); repeatable"
    )
    parser.add_argument("--outputs", type=count, metavar="N", help="outputs, 1 to 16; as many as there are sizes")
    parser.add_argument("--seconds", type=seconds, metavar="S", help="how long to draw (3, or all --frames)")
    parser.add_argument("--frames", type=positive, metavar="N", help="pictures to draw; up to 64 all are checked")
    parser.add_argument("--shot", metavar="FILE", help="write a PNG of each output at the end")
    parser.add_argument("--no-picture", action="store_true", help="show no picture in the terminal")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    parser.add_argument(
        "--max-pixels", type=positive, default=PIXELS, metavar="N", help="of all outputs, at most (67108864)"
    )
    parser.add_argument("--timeout", type=seconds, default=5.0, metavar="S", help="for every wait, in seconds (5)")
    parser.add_argument("--keep-going", action="store_true", help="go on behind a wrong picture")
    parser.add_argument("command_line", nargs="*", metavar="BACKEND ARGS", help="the back-end, behind --")
    parser.set_defaults(command=host)


def host(options: argparse.Namespace) -> int:
    """Host a back-end; return the exit code."""
    from outboard.cli import shots
    from outboard.frontend.server import DisplayServer
    from outboard.machine.scenes import SCENES, make

    if options.scene == "list":
        print("\n".join(f"{scene.name:16} {scene.summary}" for scene in SCENES.values()))
        return 0
    if bool(options.command_line) == bool(options.connect):
        raise LocalError("display host: give either the back-end behind -- or --connect PATH; see --help")
    scene = make(options.scene, options.file)
    sizes = _sizes(options, scene.outputs)
    shot = shots.checked(options.shot) if options.shot else None
    limits = {"max_pixels": options.max_pixels, "ram_size": _ram(scene, sizes), "timeout_s": options.timeout}
    with DisplayServer(sizes, **limits) as server:
        if options.connect:
            server.connect(options.connect)
        else:
            server.start(options.command_line)
        server.boot()
        record = _play(server, scene, options)
        return _report(server, scene, record, _save(server, shot, len(sizes)), options)


def _sizes(options: argparse.Namespace, needed: int) -> list[tuple[int, int]]:
    """Return the sizes of the outputs that the options ask for, at least as many as the scene needs."""
    given = list(options.size)
    number = options.outputs or max(len(given), needed)
    if number < len(given):
        raise LocalError(f"display host: {len(given)} sizes for --outputs {number}; leave some out")
    if number < needed:
        raise LocalError(f"display host: scene {options.scene} needs {needed} outputs, --outputs {number}")
    first = given or [DEFAULT_SIZES[0]]
    rest = given[-1] if given else DEFAULT_SIZES[1]
    sizes = (first + [rest] * number)[:number]
    wanted = sum(width * height for width, height in sizes)
    if wanted > options.max_pixels:
        raise LocalError(
            f"display host: outputs of {wanted} pixels in all are more than --max-pixels {options.max_pixels}"
        )
    return sizes


def _ram(scene: "Scene", sizes: list[tuple[int, int]]) -> int:
    """Return bytes of guest memory, whole pages, for a scene's pictures. Raises LocalError for too many."""
    pixels = scene.area(sizes)
    if pixels > MOST_DRAWN:
        raise LocalError(f"display host: scene {scene.name} would draw {pixels} pixels at once, at most {MOST_DRAWN}")
    return (4 * pixels + REST_OF_RAM) & -4096


def _play(server: "DisplayServer", scene: "Scene", options: argparse.Namespace) -> "Record":
    from outboard.machine.card import Card
    from outboard.machine.scenes.play import play

    longest = options.seconds or (float("inf") if options.frames else SECONDS)

    def run() -> "Record":
        card = Card(server.vmm)
        card.probe()
        return play(server, card, scene, longest, options.frames, options.keep_going)

    try:
        return server.told(run)
    finally:
        scene.stop()


def _save(server: "DisplayServer", shot: Path | None, outputs: int) -> list[Path]:
    """Write a PNG of every output that showed something; return the files."""
    from outboard.cli.shots import path_of
    from outboard.viewers import png

    shown = [] if shot is None else [at for at in range(outputs) if server.screens[at].serial]
    files = [path_of(shot, at) for at in shown] if shot else []
    for at, file in zip(shown, files, strict=True):
        png.save_frame(file, _composed(server.screens[at].frame()))
    return files


def _composed(frame: "Frame") -> "Frame":
    """Return a frame with its cursor, if numpy is there to draw it."""
    try:
        return frame.composed()
    except LocalError:
        return frame


# Words


def _report(
    server: "DisplayServer", scene: "Scene", record: "Record", files: list[Path], options: argparse.Namespace
) -> int:
    """Print what was seen; return the exit code."""
    about = {
        "backend": options.connect or " ".join(options.command_line),
        "offered": _offered(server),
        "scene": scene.name,
        "outputs": [list(size) for size in server.display.modes],
        "frames": record.frames,
        "seconds": round(record.seconds, 6),
        "frames_per_second": round(record.rate, 3),
        "checked": record.checked,
        "wrong": [asdict(one) for one in record.wrong],
        "violations": list(server.violations),
        "shots": [str(file.absolute()) for file in files],
    }
    if options.json:
        print(json.dumps(about))
    else:
        print("\n".join(f"{head:10} {words}" for head, words in _lines(about, server)))
        if not options.no_picture:
            _picture(server)
    return 1 if record.wrong else 0


def _lines(about: dict[str, Any], server: "DisplayServer") -> list[tuple[str, str]]:
    """Return the report as lines, each with its heading."""
    sizes = ", ".join(f"{width}x{height}" for width, height in about["outputs"])
    rate = f"{about['frames']} frame{'s' * (about['frames'] != 1)} in {about['seconds']:.2f} s"
    rate += f", {about['frames_per_second']:.0f} a second" * bool(about["frames_per_second"])
    lines = [("back-end", about["backend"])]
    lines += [("offers", f"{kind}: {' '.join(names) or 'none'}") for kind, names in about["offered"].items()]
    lines += [("scene", f"{about['scene']} on {sizes}"), ("drawn", rate)]
    wrong, checked = about["wrong"], about["checked"]
    lines.append(("checked", f"{checked} of them, {'every pixel was right' if not wrong else 'not all were right'}"))
    lines += [("wrong", f"frame {one['frame']}, output {one['output']}: {one['says']}") for one in wrong[:10]]
    if complaints := about["violations"]:
        number = server.display.receiver.violation_count
        lines.append(("forbidden", f"{number} messages against the protocol, the first: {complaints[0]}"))
    refused = {screen.refused for screen in server.screens if screen.refused}
    lines += [("refused", why) for why in sorted(refused)]
    return lines + [("picture", file) for file in about["shots"]]


def _offered(server: "DisplayServer") -> dict[str, list[str]]:
    """Return what the back-end offers, by name."""
    from outboard.spec.vhost_user import F_PROTOCOL_FEATURES, ProtocolFeature
    from outboard.spec.virtio import Feature
    from outboard.spec.virtio_gpu import Feature as GpuFeature

    session = server.vmm.session
    features = session.features_offered & ~F_PROTOCOL_FEATURES
    return {
        "virtio": names(features, GpuFeature, Feature),
        "vhost-user": names(session.protocol_features_offered, ProtocolFeature),
    }


def names(bits: int, *kinds: type[IntFlag]) -> list[str]:
    """Return the names of the bits that are set, by number where they have none."""
    known = {flag.value: flag.name or "" for kind in kinds for flag in kind}
    return [known.get(1 << at, f"bit {at}") for at in range(bits.bit_length()) if bits >> at & 1]


def _picture(server: "DisplayServer") -> None:
    """Show what the outputs show in the terminal, if it can."""
    from outboard.viewers import terminal

    live = [screen for screen in server.screens if screen.serial]
    for screen in live:
        frame = _composed(screen.frame())
        terminal.show(frame.width, frame.height, frame.pixels, share=len(live))
