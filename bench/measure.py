"""How each benchmark is carried out on the peers that are there."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.accounting import Sample, cost, cpu_ns, peak_kib
from bench.cases import frames, machine, measure
from bench.goals import IDLE_S, MEMORY_RATIO, READY_LIMIT_S, UHD, Case
from bench.peers import OURS, C, Peer, run
from bench.results import Goal, Result

SAMPLE_S = 0.2
"""Wall time of one sample, about."""


def _ratio(ours: float | None, c: float | None) -> float | None:
    return None if ours is None or not c else ours / c


def costs(case: Case, peers: Sequence[Peer], rounds: int, folder: Path) -> Result:
    """Measure one case: the peers in turn, each round in the other order."""
    samples: dict[str, list[Sample]] = {peer.name: [] for peer in peers}
    with ExitStack() as stack:
        opened = []
        for peer in peers:
            running = stack.enter_context(run(peer, folder))
            work = stack.enter_context(case.open(running))
            first = measure(running, work, 2 * work.units)
            units = int(SAMPLE_S * 1e9 * first.units / first.wall_ns)
            opened.append((peer.name, running, work, units))
        for turn in range(rounds):
            for name, running, work, units in opened[:: -1 if turn % 2 else 1]:
                samples[name].append(measure(running, work, units))
    result = Result(case.name)
    found = {name: cost(some) for name, some in samples.items()}
    for name, one in found.items():
        result.figures[name] = f"{one.cpu_us:.2f} us/{case.unit}, {one.rate:.0f}/s"
        result.numbers[name] = {"cpu_us": one.cpu_us, "per_s": one.rate, "cpu_spread": one.spread}
    ours, c = found.get(OURS), found.get(C)
    result.goals.append(Goal("CPU ratio", case.cpu, True, _ratio(ours and ours.cpu_us, c and c.cpu_us)))
    if case.rate is not None:
        result.goals.append(Goal("rate ratio", case.rate, False, _ratio(ours and ours.rate, c and c.rate)))
    return result


def ready(peers: Sequence[Peer], rounds: int, folder: Path) -> Result:
    """Measure the time from the start of the process until its socket accepts: the median."""
    result = Result("ready")
    times: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for _ in range(rounds):
        for peer in peers:
            with run(peer, folder) as running:
                times[peer.name].append(running.ready_s)
                running.socket.close()
    for name, some in times.items():
        middle = sorted(some)[len(some) // 2]
        result.figures[name] = f"{middle:.3f} s"
        result.numbers[name] = {"ready_s": middle}
    result.goals.append(Goal("seconds", READY_LIMIT_S, True, result.numbers.get(OURS, {}).get("ready_s")))
    return result


@contextmanager
def _interpreter() -> Iterator[int]:
    """Run a bare interpreter that waits; yield its pid."""
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield process.pid
        assert process.stdin
        process.stdin.close()


def memory(peers: Sequence[Peer], rounds: int, folder: Path) -> Result:
    """Measure the peak memory of a fresh process that shows 2160p frames from scattered pages."""
    result = Result("memory")
    with _interpreter() as pid:
        bare = peak_kib(pid)
    for peer in peers:
        with run(peer, folder) as running, frames(running, UHD, True) as work:
            measure(running, work, 4)
            peak = peak_kib(running.pid)
        result.figures[peer.name] = f"{peak / 1024:.1f} MiB"
        result.numbers[peer.name] = {"peak_kib": peak}
    ours, c = (result.numbers.get(name, {}).get("peak_kib") for name in (OURS, C))
    if OURS in result.numbers:
        result.figures[OURS] += f", {bare / 1024:.1f} of it bare Python"
        result.numbers[OURS]["interpreter_kib"] = bare
    result.goals.append(Goal("ratio - Python", MEMORY_RATIO, True, _ratio(ours and ours - bare, c)))
    return result


def idle(peers: Sequence[Peer], rounds: int, folder: Path) -> Result:
    """Measure the CPU time of a back-end whose guest runs and does nothing."""
    result = Result("idle")
    with ExitStack() as stack:
        before = {}
        for peer in peers:
            running = stack.enter_context(run(peer, folder))
            stack.enter_context(machine(running, (1024, 768), False))
            before[peer.name] = running.pid
        time.sleep(0.3)
        began = {name: cpu_ns(pid) for name, pid in before.items()}
        time.sleep(IDLE_S)
        used = {name: cpu_ns(pid) - began[name] for name, pid in before.items()}
    for name, one in used.items():
        result.figures[name] = f"{one / 1000:.0f} us in {IDLE_S:g} s"
        result.numbers[name] = {"cpu_us": one / 1000}
    result.goals.append(Goal("CPU us", 0, True, result.numbers.get(OURS, {}).get("cpu_us")))
    return result
