"""Our disk beside qemu-storage-daemon's vhost-user-blk export, driven in turn by the same driver, with no VM.

    python -m bench.blk                       all cases, as a table
    python -m bench.blk --json read-4k-1      one, as JSON objects, one a line
    python -m bench.blk --profile             where the time of a request goes

Both serve a raw file of 256 MiB, each its own, that is in the page cache, where it was written just before; --folder
says on which file system (/dev/shm: tmpfs, which cannot tell whether a read would wait). The driver is a process of its
own and sleeps on interrupts, as a guest does. Rounds alternate in one run; a figure is the median of the ratios of
neighbours. Exit code 0: all goals met, or nothing to compare with; 1: a goal is missed; 3: a benchmark failed.

Environment: OUTBOARD_BENCH_DISK is our command line, with `{socket}` and `{image}` in it.
"""

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import bench.disk_bursts as bursts
from bench.accounting import busy
from bench.command_line import parse, parser, report
from bench.disk_driver import Driver, Sample, driver
from bench.disk_profile import Used, floor_us, used
from bench.results import Goal, Result
from outboard.errors import OutboardError
from outboard.machine.disk.load import Load

OURS, THEIRS = "ours", "storage-daemon"
IMAGE_MIB = 256
SAMPLE_S = 0.4
"""Wall time of one sample."""
START_LIMIT_S = 15.0
TWO, GUEST = "two-iothreads", "guest"
TWO_RATIO = 1.6
"""What two disks do on two IOThreads over what they do on one: at least."""
TWO_CORES = 2
"""Free cores that this needs."""


class Case(NamedTuple):
    """A load. ratio: of requests a second, ours over theirs, at least."""

    name: str
    kind: str
    size: int
    depth: int
    order: str
    ratio: float


CASES = (
    Case("read-4k-1", "in", 4096, 1, "random", 0.5),
    Case("write-4k-1", "out", 4096, 1, "random", 0.5),
    Case("read-4k-32", "in", 4096, 32, "random", 0.5),
    Case("write-4k-32", "out", 4096, 32, "random", 0.5),
    Case("read-1m", "in", 1 << 20, 4, "sequential", 0.9),
    Case("write-1m", "out", 1 << 20, 4, "sequential", 0.9),
)
NAMES = (*(case.name for case in CASES), TWO, GUEST)
GUEST_ROUNDS = 5
"""At most: a round takes five seconds."""


def ours(socket: Path, image: Path) -> list[str]:
    """Return our command line, with an IOThread."""
    default = f"{shlex.quote(sys.executable)} -m outboard blk serve {{socket}} --image {{image}} --iothread 1"
    words = shlex.split(os.environ.get("OUTBOARD_BENCH_DISK") or default)
    return [word.replace("{socket}", str(socket)).replace("{image}", str(image)) for word in words]


def theirs(socket: Path, image: Path) -> list[str]:
    """Return the storage daemon's command line, with an IOThread, the file through the page cache."""
    return [
        *("qemu-storage-daemon", "--object", "iothread,id=thread0"),
        *("--blockdev", f"driver=file,node-name=disk,filename={image},cache.direct=off"),
        "--export",
        f"type=vhost-user-blk,id=export,node-name=disk,writable=on,iothread=thread0,addr.type=unix,addr.path={socket}",
    ]


COMMANDS = {OURS: ours, THEIRS: theirs}


@contextmanager
def serving(command: Sequence[str], log: Path, *sockets: Path) -> Iterator[int]:
    """Run a back-end until the block's end; yield its pid when all its sockets are there. Raises OSError."""
    for socket in sockets:
        socket.unlink(missing_ok=True)
    with log.open("wb") as words:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=words, stderr=words)
    try:
        end = time.monotonic() + START_LIMIT_S
        while not all(socket.exists() for socket in sockets):
            if process.poll() is not None or time.monotonic() > end:
                said = log.read_text(errors="replace").strip().splitlines()
                raise OSError(f"{shlex.join(command)} does not listen: {' / '.join(said[-3:])}")
            time.sleep(0.002)
        yield process.pid
    finally:
        process.kill()
        process.wait()


def image(folder: Path, name: str) -> Path:
    """Write a disk image that is all there, nothing of it a hole."""
    path = folder / f"{name}.img"
    if not path.exists():
        chunk = os.urandom(1 << 20)
        with path.open("wb") as file:
            for _ in range(IMAGE_MIB):
                file.write(chunk)
            os.fsync(file.fileno())
    return path


def file_system(folder: Path) -> str:
    """Return the type of the file system that a folder is on, as the kernel names it."""
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return max((len(point), kind) for point, kind in mounts if folder.resolve().is_relative_to(point))[1]


class Opened(NamedTuple):
    """A back-end and its driver."""

    pid: int
    driver: Driver


@contextmanager
def opened(name: str, case: Case, folder: Path) -> Iterator[Opened]:
    """Run a back-end with a driver in front of it, warmed up."""
    socket = folder / f"{name}.sock"
    with (
        serving(COMMANDS[name](socket, image(folder, name)), folder / f"{name}.log", socket) as pid,
        driver(socket, case.kind, case.size, case.depth, case.order) as load,
    ):
        load.run(SAMPLE_S / 2)
        yield Opened(pid, load)


def compared(case: Case, peers: Sequence[str], rounds: int, folder: Path) -> Result:
    """Measure one case: the peers in turn, each round in the other order."""
    samples: dict[str, list[Sample]] = {name: [] for name in peers}
    costs: dict[str, list[Used]] = {name: [] for name in peers}
    with ExitStack() as stack:
        pairs = [(name, stack.enter_context(opened(name, case, folder))) for name in peers]
        for turn in range(rounds):
            for name, one in pairs[:: -1 if turn % 2 else 1]:
                before = used(one.pid)
                samples[name].append(one.driver.run(SAMPLE_S))
                costs[name].append(used(one.pid).since(before))
    result = Result(case.name)
    for name in peers:
        result.figures[name], result.numbers[name] = figures(case, samples[name], costs[name])
    ratio = None
    if {OURS, THEIRS} <= set(peers):
        neighbours = zip(samples[OURS], samples[THEIRS], strict=True)
        ratio = statistics.median(mine.rate / other.rate for mine, other in neighbours)
        result.numbers[OURS]["ratio"] = ratio
    what = "bandwidth ratio" if case.size >= 1 << 20 else "IOPS ratio"
    result.goals.append(Goal(what, case.ratio, False, ratio))
    return result


def figures(case: Case, samples: Sequence[Sample], costs: Sequence[Used]) -> tuple[str, dict[str, float]]:
    """Return one back-end's figures in words and as numbers: medians over its samples."""
    middle = statistics.median
    rate = middle(one.rate for one in samples)
    numbers = {
        "per_s": rate,
        "bytes_per_s": rate * case.size,
        **{f"{name}_us": middle(getattr(one, name) for one in samples) for name in ("p50", "p99", "p999")},
        "driver_us": middle(one.driver_ns / one.requests / 1000 for one in samples),
        "kicks": middle(one.kicks / one.requests for one in samples),
        "sleeps": middle(one.sleeps / one.requests for one in samples),
    }
    for at, name in enumerate(Used._fields):
        numbers[name] = middle(used[at] / one.requests for used, one in zip(costs, samples, strict=True))
    speed = f"{rate * case.size / 1e9:.2f} GB/s" if case.size >= 1 << 20 else f"{rate:.0f}/s"
    return f"{speed}, {numbers['p50_us']:.0f}/{numbers['p99_us']:.0f} us p50/p99", numbers


def two_iothreads(rounds: int, folder: Path) -> Result:
    """Measure two disks of one process on two IOThreads, on one, and on two processes, in turn."""
    result = Result(TWO)
    free = free_cores()
    words: dict[str, list[str]] = {bursts.TWO: [], bursts.PROCESSES: []}
    result.numbers[OURS] = {"free_cores": free}
    for kind, name in (("in", "reads"), ("out", "writes")):
        seconds: dict[str, list[float]] = {rig: [] for rig in bursts.RIGS}
        for turn in range(rounds):
            for rig in bursts.RIGS[:: -1 if turn % 2 else 1]:
                with two_disks(rig, kind, folder) as loads:
                    seconds[rig].append(bursts.sample(loads))
        found = bursts.gains(seconds)
        for rig, gain in found.items():
            words[rig].append(f"{name} {gain:.2f}")
            result.numbers[OURS][f"{name}, {rig}"] = gain
        # Two processes share nothing: where they do not get so far, there are no two cores to be had.
        judged = free >= TWO_CORES and max(found.values()) >= TWO_RATIO
        result.goals.append(Goal(f"{name}, two over one", TWO_RATIO, False, found[bursts.TWO] if judged else None))
    result.figures[OURS] = ", ".join(words[bursts.TWO])
    result.figures[THEIRS] = f"two processes: {', '.join(words[bursts.PROCESSES])}"
    if free < TWO_CORES:
        result.figures[THEIRS] = f"not measurable here: {free} free cores"
    return result


def free_cores() -> int:
    """Return how many processors this process may use and nobody else keeps busy."""
    return round(len(os.sched_getaffinity(0)) - busy(0.5))


@contextmanager
def two_disks(rig: str, kind: str, folder: Path) -> Iterator[list[Load]]:
    """Serve two disks and load them."""
    disks = [(folder / f"two-{at}.sock", image(folder, f"two-{at}")) for at in range(2)]
    commands = bursts.commands(rig, disks)
    with ExitStack() as stack:
        pids = []
        for at, command in enumerate(commands):
            sockets = [socket for socket, _ in disks[at : at + 2 // len(commands)]]
            pids.append(stack.enter_context(serving(command, folder / f"two-{at}.log", *sockets)))
        bursts.keep_apart(pids)
        yield stack.enter_context(bursts.loads(disks, kind))


def guest(peers: Sequence[str], rounds: int, folder: Path) -> Result:
    """Measure the disks of a guest. Raises ImportError where the test tools are not installed."""
    from bench.disk_guest import in_a_guest, size

    with ExitStack() as stack:
        sockets = {}
        for peer in peers:
            sockets[peer], disk = folder / f"guest-{peer}.sock", folder / f"guest-{peer}.img"
            with disk.open("wb") as file:
                file.truncate(size(rounds))
            command = COMMANDS[peer](sockets[peer], disk)
            stack.enter_context(serving(command, folder / f"guest-{peer}.log", sockets[peer]))
        return in_a_guest(GUEST, sockets, rounds, folder)


def profile(results: Sequence[Result], folder: Path) -> list[str]:
    """Return where the time of a request goes, in microseconds a request, as lines of a table."""
    head = ("case", "back-end", "wall", "user", "system", "switches", "kicks", "interrupts", "driver", "system calls")
    lines = ["".join(f"{word:>14}" for word in head)]
    for result in results:
        case = next((one for one in CASES if one.name == result.name), None)
        if case is None or result.failed:
            continue
        floor = floor_us(image(folder, OURS), case.kind, case.size)
        for name, found in result.numbers.items():
            row = (1e6 / found["per_s"], found["user_us"], found["system_us"], found["switches"])
            rest = (found["kicks"], found["sleeps"], found["driver_us"], floor)
            lines.append(f"{case.name:>14}{name:>16}" + "".join(f"{value:>12.2f}" for value in (*row, *rest)))
    return lines


def one(name: str, peers: Sequence[str], rounds: int, folder: Path) -> Result:
    """Run one benchmark; a failure of a process is a result too."""
    case = next((case for case in CASES if case.name == name), None)
    try:
        if name == GUEST:
            return guest(peers, min(rounds, GUEST_ROUNDS), folder)
        return compared(case, peers, rounds, folder) if case else two_iothreads(rounds, folder)
    except ImportError as error:
        return Result(name, failed=f"{error}; `make bench` installs the test tools")
    except (OutboardError, OSError, ValueError) as error:
        return Result(name, failed=f"{type(error).__name__}: {error}")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    assert __doc__
    made = parser("python -m bench.blk", __doc__, NAMES)
    made.add_argument("--only", choices=(OURS, THEIRS), help="measure one back-end alone")
    made.add_argument("--folder", type=Path, help="where the images lie (default: the folder for temporary files)")
    made.add_argument("--profile", action="store_true", help="print where the time of a request goes, too")
    parsed = parse(made, NAMES, argv)
    if parsed.folder is not None and not parsed.folder.is_dir():
        made.error(f"--folder {parsed.folder}: no such folder")
    return parsed


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks that the command line names; return the exit code."""
    wanted = arguments(argv)
    peers = [name for name in (OURS, THEIRS) if wanted.only in (None, name)]
    if (load := busy(0.5)) > 0.2:
        print(f"Other work keeps {load:.1f} processors busy: rates will be low and noisy.", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=wanted.folder) as folder:
        print(f"Images of {IMAGE_MIB} MiB in the page cache, on {file_system(Path(folder))}.", file=sys.stderr)
        names = [name for name in NAMES if not wanted.names or name in wanted.names]
        if OURS not in peers and TWO in names:
            names.remove(TWO)
        done: list[Result] = []

        def measured() -> Iterator[Result]:
            for name in names:
                done.append(one(name, peers, wanted.rounds, Path(folder)))
                yield done[-1]

        code = report(measured(), peers, as_json=wanted.json)
        if wanted.profile and not wanted.json:
            print("\nmicroseconds a request, or times a request", *profile(done, Path(folder)), sep="\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
