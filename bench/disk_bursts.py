"""Two disks on two IOThreads of one process, over the same on one IOThread, and on two processes.

All serve the same images, one after the other. Each disk gets a ring full of requests at once, is told, and is timed
until both rings are empty. The driver sleeps meanwhile, on one interrupt a ring, so that all cores are the back-end's;
and each IOThread is kept to a core, or the kernel might wake both on the same for the millisecond that counts.
Two processes share nothing but the machine: what they gain is what there is to gain.
"""

import os
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
RIGS = ONE, TWO, PROCESSES = "one IOThread", "two IOThreads", "two processes"
RAM = 64 << 20

Disk = tuple[Path, Path]


def commands(rig: str, disks: Sequence[Disk]) -> list[list[str]]:
    """Return the command lines that serve disks, each a socket and an image."""
    serve = [sys.executable, "-m", "outboard", "blk", "serve"]
    words = [f"{socket}={image}" for socket, image in disks]
    if rig == PROCESSES:
        return [[*serve, word, "--iothread", "1"] for word in words]
    return [[*serve, *words, "--iothread", "2" if rig == TWO else "1"]]


def keep_apart(pids: Sequence[int]) -> None:
    """Keep each IOThread of these processes, which have no other threads yet but the first, to a core."""
    threads = [int(task.name) for pid in pids for task in Path(f"/proc/{pid}/task").iterdir() if task.name != str(pid)]
    cores = sorted(os.sched_getaffinity(0))
    for at, thread in enumerate(threads):
        os.sched_setaffinity(thread, {cores[at % len(cores)]})


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


def sample(both: Sequence[Load]) -> float:
    """Return the seconds of some bursts."""
    return sum(burst(both) for _ in range(BURSTS))


def gains(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Return how much faster than one IOThread the other rigs are: medians of the ratios of neighbours."""
    return {
        rig: statistics.median(one / other for one, other in zip(seconds[ONE], mine, strict=True))
        for rig, mine in seconds.items()
        if rig != ONE
    }
