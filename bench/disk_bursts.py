"""Two disks on two IOThreads of one process, over the same on one IOThread, and on two processes.

Each disk gets a ring full of requests at once, is told, and is timed until both rings are empty. The driver sleeps
meanwhile, on one interrupt a ring, so that all cores are the back-end's. Two processes share nothing but the machine:
what they gain is what there is to gain.
"""

import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.disk_driver import KINDS, places
from outboard.frontend.ram import GuestRam, Span
from outboard.machine.disk import attached
from outboard.machine.disk.load import Load

SIZE = 4096
DEPTH = 1000
BURSTS = 10
"""Bursts in a sample."""
ONE, TWO, PROCESSES = "one IOThread", "two IOThreads", "two processes"
RAM = 64 << 20

Disk = tuple[Path, Path]


def commands(rig: str, disks: Sequence[Disk]) -> list[list[str]]:
    """Return the command lines that serve disks, each a socket and an image."""
    serve = [sys.executable, "-m", "outboard", "blk", "serve"]
    words = [f"{socket}={image}" for socket, image in disks]
    if rig == PROCESSES:
        return [[*serve, word, "--iothread", "1"] for word in words]
    return [[*serve, *words, "--iothread", "2" if rig == TWO else "1"]]


@contextmanager
def loads(disks: Sequence[Disk], kind: str) -> Iterator[list[Load]]:
    """Attach to disks that are served; yield a load for each, its guest memory touched."""
    with ExitStack() as stack:
        made = []
        for socket, _ in disks:
            ram = GuestRam([Span(0, RAM)])
            disk = stack.enter_context(attached(socket, queue_size=1024, timeout_s=20, ram=ram))
            sectors = places("random", disk.size, SIZE)
            made.append(Load(ram, disk.machine.rings[0], KINDS[kind], SIZE, DEPTH, sectors, disk.indirect))
        for _ in range(BURSTS):
            burst(made)
        yield made


def burst(both: Sequence[Load]) -> float:
    """Let the disks empty full rings; return the seconds from the first kick to the last answer."""
    for load in both:
        load.fill()
    began = time.perf_counter()
    for load in both:
        load.publish()
    for load in both:
        load.finish()
    return time.perf_counter() - began


def gains(rigs: dict[str, list[Load]], rounds: int) -> dict[str, float]:
    """Return how much faster than one IOThread the other rigs are: medians of the ratios of neighbours."""
    seconds: dict[str, list[float]] = {rig: [] for rig in rigs}
    for turn in range(rounds):
        for rig in list(rigs)[:: -1 if turn % 2 else 1]:
            seconds[rig].append(sum(burst(rigs[rig]) for _ in range(BURSTS)))
    return {
        rig: statistics.median(one / other for one, other in zip(seconds[ONE], seconds[rig], strict=True))
        for rig in rigs
        if rig != ONE
    }
