"""The machine on which is measured."""

import os
import platform
from pathlib import Path
from typing import Any

from bench.accounting import busy
from outboard import core
from outboard.qemu import QemuBinary

LOOK_S = 0.5


def facts(peers: dict[str, QemuBinary], rounds: int) -> dict[str, Any]:
    """Return what a reader of figures asks first. busy: processors that other work keeps busy before it begins."""
    return {
        "processor": processor(),
        "processors": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "outboard": core(),
        "peers": {name: str(binary) for name, binary in peers.items()},
        "rounds": rounds,
        "busy": round(busy(LOOK_S), 2),
    }


def processor() -> str:
    """Return the processor's name, as Linux has it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "cpu\t")))
    return next(named, platform.machine())
