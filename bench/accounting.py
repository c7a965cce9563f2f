"""What the kernel says that a process used.

Source: proc(5), /proc/PID/status; /proc/stat; Linux Documentation/scheduler/sched-stats,
/proc/PID/schedstat.
"""

import os
import statistics
import time
from pathlib import Path
from typing import NamedTuple


def cpu_ns(pid: int) -> int:
    """Return the run time of all threads that a process has now, in ns.

    It is exact for a thread that sleeps; a running one lags by up to a scheduler tick.
    """
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except FileNotFoundError:
            continue
    return total


def peak_kib(pid: int) -> int:
    """Return the peak resident memory of a process (VmHWM) in KiB, shared guest memory that it touched included."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise ProcessLookupError(f"process {pid} has no VmHWM")


class Sample(NamedTuple):
    """One measurement: units of work, back-end CPU and wall time in ns."""

    units: int
    cpu_ns: int
    wall_ns: int


class Cost(NamedTuple):
    """What one peer costs, by medians over its samples. spread: (largest - smallest) / median of the CPU."""

    cpu_us: float
    """Back-end CPU per unit in microseconds."""
    rate: float
    """Units per second."""
    spread: float


def cost(samples: list[Sample]) -> Cost:
    """Return the medians of at least one sample."""
    cpu = [sample.cpu_ns / sample.units / 1000 for sample in samples]
    rate = [sample.units / sample.wall_ns * 1e9 for sample in samples]
    middle = statistics.median(cpu)
    return Cost(middle, statistics.median(rate), (max(cpu) - min(cpu)) / middle if middle else 0.0)


def busy(seconds: float) -> float:
    """Return how many processors the whole machine keeps busy, watched for some time: 0 when all is quiet."""
    before = _busy_ticks()
    time.sleep(seconds)
    return (_busy_ticks() - before) / os.sysconf("SC_CLK_TCK") / seconds


def _busy_ticks() -> int:
    user, nice, system = Path("/proc/stat").read_text().split(maxsplit=4)[1:4]
    return int(user) + int(nice) + int(system)
