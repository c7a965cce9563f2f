"""The long comparison of the model with real QEMUs: a million operations on 7.2, half a million on 10, all mutants.

python -m tests.qemu.diff_soak [--seed S] [--qemu-7] [--qemu-10] [--mutants]     without words: all three parts
0: as it should be; 1: something differs, or a mutant was not found; 2: could not run
"""

import argparse
import subprocess
import sys
import time

from outboard.cli.main import main as outboard
from outboard.qemu.diff import Campaign, Pair, Plan
from outboard.qemu.find import find_qemu
from outboard.spapr.flavours import DIFFERENCES, QEMU_10_0

OPERATIONS = 100_000
XIVE = [
    *((1, "xive", 1), (2, "xive", 4), (3, "dual", 8), (4, "dual", 1), (5, "xive", 8)),
    *((6, "dual", 4), (7, "xive", 1), (8, "dual", 8), (8, "xive", 4), (1, "dual", 4)),
]
XICS = [(1, "xics", 1), (8, "xics", 8)]
"""CPUs, ic-mode, VSMT; each with a seed of its own."""
ON_10 = [(1, "xive", 4), (2, "dual", 1), (3, "xive", 8), (8, "dual", 4), (4, "xics", 1)]


def differ(machines: list[tuple[int, str, int]], seed: int, *words: str) -> int:
    """Run `outboard xive diff` on every kind of machine; return the worst exit status."""
    worst = 0
    for number, (cpus, mode, vsmt) in enumerate(machines):
        more = ["--cpus", str(cpus), "--ic-mode", mode, "--vsmt", str(vsmt), "--seed", str(seed + number)]
        started = time.monotonic()
        worst = max(worst, outboard(["xive", "diff", "--n", str(OPERATIONS), *more, *words]))
        print(f"  {OPERATIONS / (time.monotonic() - started):.0f} operations a second", flush=True)
    return worst


def elsewhere(module: str, *words: str) -> int:
    """Run a module of the tests in a process of its own: it changes the model. Return the exit status."""
    return subprocess.run([sys.executable, "-m", f"tests.qemu.{module}", *words]).returncode


def on_10(seed: int) -> int:
    """Compare with QEMU 10, then without one after the other of its differences from 7.2: each has to be seen."""
    binary = find_qemu("ppc64", (10,), (10, 1))
    worst = differ(ON_10, seed, "--qemu", str(binary.path))
    for name in (row.name for row in DIFFERENCES if row.qemu_10_0 != row.qemu_7_2):
        plan = Plan(2, "xive", 1, seed, OPERATIONS)
        with Pair(binary, 2, "xive", 1, flavour=QEMU_10_0._replace(**{name: False})) as pair:
            done, found, *_ = Campaign(pair, plan).run()
        print(f"without {name}: " + (f"found after {done} steps ({found.about})" if found else "not found"), flush=True)
        worst = max(worst, int(found is None))
    return worst


def main() -> int:
    """Run the parts that are asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="diff_soak")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--qemu-7", action="store_true")
    parser.add_argument("--qemu-10", action="store_true")
    parser.add_argument("--mutants", action="store_true")
    options = parser.parse_args()
    everything = not (options.qemu_7 or options.qemu_10 or options.mutants)
    statuses = [0]
    if everything or options.qemu_7:
        statuses.append(differ([*XIVE, *XICS], options.seed))
    if everything or options.qemu_10:
        statuses.append(on_10(options.seed))
    if everything or options.mutants:
        statuses.append(elsewhere("diff_mutants", "all", "--seed", str(options.seed)))
    return max(statuses)


if __name__ == "__main__":
    sys.exit(main())
