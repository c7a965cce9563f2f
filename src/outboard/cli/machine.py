"""`outboard machine`: a whole pseries machine in this process, with a guest in Python."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outboard.cli.display import positive, seconds
from outboard.cli.gpu import size
from outboard.cli.run import BACKEND, PICTURE
from outboard.errors import LocalError, OutboardError

if TYPE_CHECKING:
    from outboard.display import Frame
    from outboard.machine.guest.demo import Figures
    from outboard.machine.pseries.machine import PseriesMachine
    from outboard.machine.pseries.virtio_gpu import VirtioGpu

WANTED = ("either", "xive", "xics")
MAX_CPUS = 64
EDU_SLOT, GPU_SLOT = 1, 2
FRAMES = 60
QEMUS = (
    ("--ic-mode", "interrupt controllers: xics, xive or dual (the machine type's, dual)"),
    ("--machine", "machine type (pseries, the newest)"),
    ("--cpu", "processor (the machine type's, power9)"),
    ("--max-cpu-compat", "newest level that the guest may have (the processor's)"),
)
"""Options that are QEMU's. What is wrong with them the machine says, in QEMU's words."""
PIC_FRAMES = 10
TOLD_FRAME = 2
"""The frame whose interrupts are told, counted from 0: by then everything is warm. Of fewer frames the last is."""
SCREEN = (1024, 768)
EPILOG = """examples:
  outboard machine run
  outboard machine run --ic-mode xics --cpus 4 --frames 200 --shot screen.png
  outboard machine run -- /usr/lib/qemu/vhost-user-gpu --fd={fd}
  outboard machine dtb --ic-mode xive --text -
  outboard machine pic --guest xive

The guest asks for XIVE where the machine has it; --guest xics has it stay in the older mode. The GPU is a back-end in
a process of its own, ours unless another one is given behind --.
Exit codes: 0 the screen shows what the guest drew, 1 it does not, 2 could not run.
"""


def cpus(text: str) -> int:
    """Parse a number of CPUs."""
    if not text.isdecimal() or not 1 <= int(text) <= MAX_CPUS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of CPUs; this machine has 1 to {MAX_CPUS}")
    return int(text)


def add(commands: Any) -> None:
    """Add `machine` to the tree."""
    machine = commands.add_parser(
        "machine",
        help="be a whole pseries machine, with a guest in Python",
        description="A pseries machine in this process: its CPUs are Python programs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = machine.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_run(verbs)
    parser = verbs.add_parser("dtb", help="write the machine's device tree")
    _add_machine(parser)
    parser.add_argument("--after-cas", action="store_true", help="as it is once the guest has chosen its mode")
    parser.add_argument("--text", action="store_true", help="as text, not flattened")
    parser.add_argument("file", metavar="FILE", help="where to; - is the standard output")
    parser.set_defaults(command=dtb)
    parser = verbs.add_parser("pic", help="run the guest, then print what `info pic` prints")
    _add_machine(parser)
    parser.add_argument("backend", nargs="*", metavar="BACKEND ARGS", help="the GPU, behind -- (ours)")
    parser.set_defaults(command=pic, frames=PIC_FRAMES, seconds=None, size=(320, 200), seed=0, edid=True)


def _add_machine(parser: Any) -> None:
    for option, what in QEMUS:
        parser.add_argument(option, metavar="NAME", help=what)
    parser.add_argument("--guest", choices=WANTED, default="either", help="mode that the guest wants (either)")
    parser.add_argument("--cpus", type=cpus, default=2, metavar="N", help="number of CPUs (2)")
    parser.add_argument("--vsmt", type=positive, metavar="N", help="distance of the CPUs' ids (the machine type's, 1)")


def _add_run(verbs: Any) -> None:
    parser = verbs.add_parser(
        "run",
        help="boot the guest: it takes all kinds of interrupts and animates its screen",
        description="Boot a guest in Python on a pseries machine, with a GPU in another process. Write its screen as "
        "a PNG, print how often each source interrupted, and tell one frame's way from command to EOI.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_machine(parser)
    parser.add_argument("--frames", type=positive, default=FRAMES, metavar="N", help=f"pictures to draw ({FRAMES})")
    parser.add_argument("--seconds", type=seconds, metavar="S", help="draw for so long, in place of --frames")
    parser.add_argument("--size", type=size, default=SCREEN, metavar="WxH", help="size of the screen (1024x768)")
    parser.add_argument(
        "--no-edid",
        dest="edid",
        action="store_false",
        help="do not offer the guest what the displays say of themselves, as with QEMU's back-end, which cannot",
    )
    parser.add_argument("--shot", default=PICTURE, metavar="FILE", help=f"the PNG to write ({PICTURE})")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="order of the CPUs' turns (0)")
    parser.add_argument("--json", action="store_true", help="print figures and log as one JSON object")
    parser.add_argument("backend", nargs="*", metavar="BACKEND ARGS", help="the GPU, behind -- (ours)")
    parser.set_defaults(command=run)


# Commands


def run(options: argparse.Namespace) -> int:
    """Run the guest; return the exit code."""
    from outboard.cli import shots
    from outboard.viewers import png

    shots.checked(options.shot)
    gpu = _gpu(options)
    with _machine(options, gpu) as machine:
        told = _OneFrame(machine)
        figures = _demo(machine, gpu, options, told)
        frame = gpu.screens[0].frame()
        wrong = _wrong(frame, figures)
        png.save(options.shot, frame.width, frame.height, frame.pixels)
    _report(figures, told, wrong, options, machine.irq.mode)
    return 1 if wrong else 0


def dtb(options: argparse.Namespace) -> int:
    """Write the device tree."""
    import outboard.spapr.dts as dts
    import outboard.spapr.fdt as fdt
    from outboard.machine.guest import boot
    from outboard.machine.guest.heap import Heap

    with _machine(options) as machine:
        tree = machine.device_tree()
        if options.after_cas:
            wanted = boot.vectors(tree, boot.choose(tree, options.guest))
            tree = boot.negotiate(machine.cpus[0], Heap(machine.memory, boot.ram_size(tree)), wanted)
    data = dts.text(tree).encode() if options.text else fdt.pack(tree)
    if options.file == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        try:
            Path(options.file).write_bytes(data)
        except OSError as error:
            raise LocalError(f"{options.file}: cannot write the device tree: {error.strerror}") from None
    return 0


def pic(options: argparse.Namespace) -> int:
    """Run the guest, and print the state of the interrupt controller."""
    gpu = _gpu(options)
    with _machine(options, gpu) as machine:
        _demo(machine, gpu, options)
        print(machine.pic().rstrip("\n"))
    return 0


# Their parts


def _gpu(options: argparse.Namespace) -> "VirtioGpu":
    """Return a GPU with the back-end that the options name."""
    from outboard.machine.pseries.virtio_gpu import VirtioGpu

    return VirtioGpu(options.backend or BACKEND, [options.size], edid=options.edid)


def _machine(options: argparse.Namespace, gpu: "VirtioGpu | None" = None) -> "PseriesMachine":
    """Return a machine with an edu and, if there is one, a GPU."""
    from outboard.machine.pseries.machine import PseriesMachine

    devices: list[Any] = [(EDU_SLOT, "edu"), *([(GPU_SLOT, gpu)] if gpu else [])]
    return PseriesMachine(
        options.cpus,
        options.ic_mode,
        devices,
        vsmt=options.vsmt,
        machine=options.machine or "pseries",
        cpu=options.cpu,
        max_cpu_compat=options.max_cpu_compat,
    )


def _demo(
    machine: "PseriesMachine", gpu: "VirtioGpu", options: argparse.Namespace, told: "_OneFrame | None" = None
) -> "Figures":
    """Run the demonstration guest; `told` hears one of its frames."""
    from outboard.machine.guest import demo

    plan: dict[str, Any] = {"mode": options.guest, "frames": options.frames, "seconds": options.seconds}
    if told:
        plan |= {"on_frame": told.on_frame, "on_gpu": told.story.follow}
    try:
        return demo.run(machine, demo.Plan(**plan), options.seed)
    except OutboardError as error:
        if gpu.failure:
            raise LocalError(f"the GPU: {gpu.failure}") from error
        raise


class _OneFrame:
    """What happened in frame `frame`: `TOLD_FRAME`, or the last whole one of a run that had fewer; None if none."""

    def __init__(self, machine: "PseriesMachine") -> None:
        from outboard.machine.guest.story import Story

        self.story = Story(machine.irq)
        self.frame: int | None = None
        self.lines: list[str] = []
        self._heard: int | None = None

    def on_frame(self, number: int) -> None:
        """Take note that a frame begins, or, when no more follows, that so many were drawn."""
        if self._heard is not None:
            self.story.stop()
            if number > self._heard:
                self.frame, self.lines = self._heard, self.story.lines
        self._heard = number if number <= TOLD_FRAME else None
        if self._heard is not None:
            self.story.lines = []
            self.story.start()


def _wrong(frame: "Frame", figures: "Figures") -> str:
    """Return what is wrong with the screen, in words; "" for nothing."""
    from outboard.machine.scenes import compare

    if figures.picture is None:
        raise LocalError("the guest found no GPU")
    found = compare.picture(figures.picture, frame.width, frame.height, frame.pixels)
    return found.says if found else ""


def _report(figures: "Figures", told: "_OneFrame", wrong: str, options: argparse.Namespace, ic_mode: str) -> None:
    """Print what a run did. ic_mode: what the machine has."""
    shot = str(Path(options.shot).absolute())
    if options.json:
        names = (
            "mode",
            "cpus",
            "devices",
            "frames",
            "rectangles",
            "pixels",
            "seconds",
            "interrupts",
            "spurious",
            "stale",
        )
        about = {name: getattr(figures, name) for name in names}
        about |= {"ic_mode": ic_mode, "wrong": wrong, "shot": shot, "log": told.lines, "log_frame": told.frame}
        print(json.dumps(about))
        return
    rate = figures.frames / figures.seconds if figures.seconds else 0.0
    print(f"{figures.cpus} CPUs, {figures.mode.upper()} of ic-mode={ic_mode}, {' and '.join(figures.devices)}")
    print(f"{figures.frames} frames in {figures.seconds:.2f} s, {rate:.0f} a second, {figures.rectangles} rectangles\n")
    print("interrupts handled, by source")
    for name, number in (
        figures.interrupts | {"of an empty queue": figures.empty, "spurious": figures.spurious}
    ).items():
        print(f"  {name:24} {number:8}")
    if told.frame is None:
        print("\nno frame was drawn to its end, so none's way from command to EOI is told")
    else:
        print(f"\nfrom command to EOI, frame {told.frame}")
    for line in told.lines:
        print(f"  {line}")
    if wrong:
        print(f"\nthe screen is wrong: {wrong}; look at {shot}")
    else:
        print(f"\nthe screen shows what the guest drew, byte for byte; look at {shot}")
