"""`outboard run`: the demonstration that needs nothing but Python."""

import argparse
import sys
from pathlib import Path
from typing import Any

from outboard.cli.gpu import size
from outboard.errors import LocalError

PICTURE = "outboard-screen.png"
BACKEND = [sys.executable, "-m", "outboard", "gpu", "serve", "--once", "--fd", "{fd}"]
QEMU_HELP = """To put a real VM's screen there (Debian: qemu-system-x86 and qemu-system-gui; QEMU 7.2 needs KVM):

  {outboard} gpu serve gpu.sock --shot screen.png &
  qemu-system-x86_64 -M q35,accel=kvm,memory-backend=mem0 -cpu host -m 512M \\
    -object memory-backend-memfd,id=mem0,size=512M,share=on -nodefaults -vga none \\
    -chardev socket,id=vgpu,path=gpu.sock -device vhost-user-gpu-pci,chardev=vgpu \\
    -kernel vmlinuz -initrd initrd.gz -append "console=tty0" -display none

QEMU 8.0 and newer also run it with accel=tcg -cpu max, and for POWER:

  qemu-system-ppc64 -M pseries,accel=tcg,memory-backend=mem0 -cpu power9 -m 1G \\
    -object memory-backend-memfd,id=mem0,size=1G,share=on -nodefaults -vga none \\
    -chardev socket,id=vgpu,path=gpu.sock -device vhost-user-gpu-pci,chardev=vgpu \\
    -kernel vmlinux -initrd initrd.gz -append "console=tty0" -display none

`kill -USR1` of the back-end writes screen.png at once."""


def seconds(text: str) -> float:
    """Parse a duration."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; give seconds above 0, at most 3600")
    return value


def add(commands: Any) -> None:
    """Add `run` to the tree."""
    parser = commands.add_parser(
        "run",
        help="a guest in Python draws on our GPU, no QEMU needed",
        description="Start the GPU back-end in a process of its own and a guest in Python that draws on it; "
        "write what its display shows as a PNG, and print what it took.",
        epilog="example:\n  outboard run --seconds 2 --size 1920x1080 --shot demo.png",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=seconds, default=4.0, metavar="S", help="how long to draw (4)")
    parser.add_argument("--size", type=size, default=(1024, 768), metavar="WxH", help="size of the screen (1024x768)")
    parser.add_argument("--shot", default=PICTURE, metavar="FILE", help=f"the PNG to write ({PICTURE})")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the demonstration; return the exit code."""
    from outboard import core
    from outboard.cli import shots
    from outboard.machine import demo
    from outboard.viewers import png

    width, height = options.size
    if not (64 <= width <= 4096 and 64 <= height <= 2160):
        raise LocalError(f"run: --size {width}x{height}: this guest draws 64x64 to 4096x2160")
    shots.checked(options.shot)
    if not options.json:
        print(f"a guest in Python draws for {options.seconds:g} s on a vhost-user-gpu back-end ...", flush=True)
    figures, picture = demo.run(BACKEND, options.seconds, options.size)
    png.save(options.shot, width, height, picture)
    report(figures, options, core())
    return 0


def report(figures: Any, options: argparse.Namespace, core: str) -> None:
    """Print what a run took, and where to look."""
    per_rectangle_us = 1e6 * figures.backend_cpu_seconds / max(1, figures.rectangles)
    if options.json:
        import json

        about = figures._asdict() | {"core": core, "shot": str(Path(options.shot).absolute())}
        print(json.dumps(about))
        return
    print(
        f"{figures.frames} frames in {figures.seconds:.1f} s, {figures.frames / figures.seconds:.0f} a second; "
        f"{figures.rectangles} rectangles, {figures.pixels / figures.seconds / 1e6:.0f} Mpixel/s; "
        f"back-end {per_rectangle_us:.0f} us of CPU a rectangle ({core} core)"
    )
    print(f"the display showed what the guest drew, byte for byte; look at {Path(options.shot).absolute()}\n")
    print(QEMU_HELP.format(outboard=sys.argv[0] if "/" in sys.argv[0] else "outboard"))
