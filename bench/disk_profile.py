"""What a request costs a back-end, as the kernel counts it, and what the bare system call costs.

Source: proc(5), /proc/PID/task/TID/stat (utime, stime), /status (context switches), schedstat.
"""

import os
import time
from pathlib import Path
from typing import NamedTuple

TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")
SWITCHES = "voluntary_ctxt_switches:"


class Used(NamedTuple):
    """What all threads of a process used: microseconds in its own code and in the kernel, times that they slept."""

    user_us: float
    system_us: float
    switches: float

    def since(self, before: "Used") -> "Used":
        """Return the difference."""
        return Used(*(now - then for now, then in zip(self, before, strict=True)))


def used(pid: int) -> Used:
    """Return what a process used so far. Ticks split it between its code and the kernel, the sum is exact."""
    run_ns = user = system = switches = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            run_ns += int((task / "schedstat").read_text().split()[0])
            after_name = (task / "stat").read_text().rpartition(")")[2].split()
            status = (task / "status").read_text().splitlines()
        except FileNotFoundError:
            continue
        user, system = user + int(after_name[11]), system + int(after_name[12])
        switches += sum(int(line.split()[1]) for line in status if line.startswith(SWITCHES))
    share = user / (user + system) if user + system else 0.0
    return Used(run_ns / 1000 * share, run_ns / 1000 * (1 - share), switches)


def floor_us(image: Path, kind: str, size: int) -> float:
    """Return what one bare `preadv` or `pwritev` of this size takes on the image, with a little of Python's."""
    buffer = [bytearray(os.urandom(size))]
    fd = os.open(image, os.O_RDWR)
    try:
        call = os.pwritev if kind == "out" else os.preadv
        count = max(50, 20_000_000 // (size + 4000))
        places = [(at * 7919 * size) % (os.fstat(fd).st_size // size * size) for at in range(count)]
        began = time.perf_counter_ns()
        for place in places:
            call(fd, buffer, place)
        return (time.perf_counter_ns() - began) / count / 1000
    finally:
        os.close(fd)
