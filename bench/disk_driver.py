"""The driver's side of a disk benchmark, a process of its own that does nothing else.

    python -m bench.disk_driver SOCKET in|out BYTES DEPTH random|sequential

It connects to the back-end at SOCKET. For each line on its input, a number of milliseconds, it keeps DEPTH requests in
flight for so long and prints what came out, as JSON. `Driver` is the parent's handle of such a process.
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from outboard.machine.disk import attached
from outboard.machine.disk.load import Load
from outboard.spec.virtio_blk import SECTOR, Type

PLACES = 1 << 16
"""Random places that are drawn beforehand and used in turn."""
KINDS = {"in": Type.IN, "out": Type.OUT}


class Sample(NamedTuple):
    """One run: requests and wall time, latencies in microseconds, CPU of the driver, kicks and sleeps."""

    requests: int
    wall_ns: int
    p50: float
    p99: float
    p999: float
    driver_ns: int
    kicks: int
    sleeps: int

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.wall_ns * 1e9


class Driver:
    """A driver process. `begin` and `result` let several run at the same time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def begin(self, seconds: float) -> None:
        """Have it run."""
        assert self.process.stdin
        print(round(1000 * seconds), file=self.process.stdin, flush=True)

    def result(self) -> Sample:
        """Return what came out. Raises OSError with its last words when it ended."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line.startswith("["):
            rest = line + self.process.stdout.read()
            raise OSError(f"the driver ended: {(rest.strip().splitlines() or ['no word'])[-1]}")
        return Sample(*json.loads(line))

    def run(self, seconds: float) -> Sample:
        """Run and return what came out."""
        self.begin(seconds)
        return self.result()


@contextmanager
def driver(socket: Path, kind: str, size: int, depth: int, order: str) -> Iterator[Driver]:
    """Start a driver process; it ends with the block."""
    command = [sys.executable, "-m", __name__, str(socket), kind, str(size), str(depth), order]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield Driver(process)
        finally:
            process.kill()


def places(order: str, disk_size: int, size: int) -> list[int]:
    """Return sectors: every place of the disk in turn, or places by chance."""
    count, step = disk_size // size, size // SECTOR
    if order == "sequential":
        return [at * step for at in range(count)]
    drawn = random.Random(1)
    return [drawn.randrange(count) * step for _ in range(PLACES)]


def main(socket: str, kind: str, size: int, depth: int, order: str) -> None:
    """Be the driver process."""
    with attached(socket, queue_size=128, timeout_s=20) as disk:
        sectors = places(order, disk.size, size)
        load = Load(disk.machine.ram, disk.machine.rings[0], KINDS[kind], size, depth, sectors, disk.indirect)
        for line in sys.stdin:
            kicks, sleeps, cpu = load.kicks, load.sleeps, time.process_time_ns()
            requests, wall_ns = load.run(int(line) * 1_000_000)
            cpu = time.process_time_ns() - cpu
            latencies = load.percentiles(50, 99, 99.9)
            print(json.dumps(Sample(requests, wall_ns, *latencies, cpu, load.kicks - kicks, load.sleeps - sleeps)))
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
