"""The benchmarks of the machine measure what they say: cycles that are left out are seen, numbers have their shape."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.machine import rates
from bench.machine.__main__ import Sized
from bench.machine.cycles import BLOCK, ENTRIES, ByBatch, ByCalls, CheckFailed, Ready, Size, ours
from bench.machine.gpu import STAGES
from bench.machine.plain import by_plain
from bench.machine.stages import Stages
from outboard.spapr.bus import TIMA_OS

ROOT = Path(__file__).parents[2]
SIZE = Size(2, 4)
CPPR, ACK = TIMA_OS + 0x11, TIMA_OS + 0x810


@pytest.mark.parametrize("make", [ByCalls, ByBatch])
@pytest.mark.parametrize("size", [Size(), SIZE, Size(1, 32)])
def test_sides_do_what_is_checked(make, size):
    side = make(size)
    for sweeps in (side.unit, 3 * side.unit):
        assert side.run(sweeps) > 0
    assert sum(side._ready.done) == 4 * side.unit * BLOCK * size.sources


def test_plain_python_does_it_too():
    with by_plain(SIZE) as side:
        assert side.run(1) > 0
        assert side.cycles == BLOCK * SIZE.sources


# What is left out


STEPS = ("trigger", "acknowledge", "EOI", "CPPR")


def cycles(ready, blocks, but=""):
    """Do blocks of cycles; of the last one, all steps but one."""
    left = BLOCK * len(blocks)
    for block in blocks:
        for _ in range(BLOCK):
            left -= 1
            for step in STEPS:
                if left or step != but:
                    do(ready.cpus[block.cpu], step, block.trigger, block.management)


def do(cpu, step, trigger, management):
    if step == "trigger":
        cpu.store(trigger, 8, 0)
    elif step == "acknowledge":
        cpu.load(ACK, 2)
    elif step == "EOI":
        cpu.load(management, 8)
    else:
        cpu.store(CPPR, 1, 0xFF)


@pytest.fixture
def ready():
    return Ready(ours(SIZE), SIZE)


def test_all_of_it_passes(ready):
    for sweeps in (1, ENTRIES // BLOCK, 5):
        blocks = ready.begin(sweeps)
        cycles(ready, blocks)
        ready.check(BLOCK * len(blocks), BLOCK * len(blocks))
    assert ready.done == [2 * BLOCK * (1 + ENTRIES // BLOCK + 5)] * 2


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("trigger", r"generation and index of CPU 1's queue: expected \(0, 512\), got \(0, 511\)"),
        ("acknowledge", "interrupt input of CPU 1: expected False, got True"),
        ("EOI", "PQ of source 0x3: expected 0, got 2"),
        ("CPPR", "NSR, CPPR, IPB of CPU 1: expected 65280, got 1536"),
    ],
)
def test_a_step_that_is_left_out_is_seen(ready, step, words):
    cycles(ready, ready.begin(ENTRIES // (2 * BLOCK)))
    blocks = ready.begin(4)
    cycles(ready, blocks, but=step)
    with pytest.raises(CheckFailed, match=words):
        ready.check(BLOCK * len(blocks), BLOCK * len(blocks))


def test_blocks_that_are_left_out_or_changed_are_seen(ready):
    blocks = ready.begin(1)
    cycles(ready, blocks[:-1])
    with pytest.raises(CheckFailed, match="generation and index of CPU 1's queue"):
        ready.check(BLOCK * len(blocks), BLOCK * len(blocks))
    with pytest.raises(CheckFailed, match="good cycles: expected 256, got 255"):
        ready.check(255, 256)


def test_the_wrong_source_is_seen(ready):
    blocks = ready.begin(1)
    cycles(ready, [blocks[0], blocks[1], blocks[0]._replace(queue=blocks[2].queue), blocks[3]])
    with pytest.raises(CheckFailed, match="the entries of CPU 0's queue are not those of the last cycles"):
        ready.check(BLOCK * len(blocks), BLOCK * len(blocks))


def test_stages_add_up():
    stages = Stages("base")
    stages.enter("before")
    stages.begin()
    stages.leave()
    stages.around("a", lambda: stages.around("b", lambda: None)())()
    stages.enter("c")
    stages.end()
    stages.leave()
    [span] = stages.spans
    assert span.total == sum(span.stages.values())
    assert set(span.stages) == {"before", "base", "a", "b", "c"}


# Results


def test_numbers_of_several_sizes():
    found = Sized("cpus", "CPUs", {1: Size(), 2: Size(2, 2)}).measure(1, {}, {}).result
    assert set(found.numbers) == {rates.CALLS, rates.BATCH, rates.PLAIN}
    assert all(set(one) == {"cycles_per_s_at_1", "cycles_per_s_at_2"} for one in found.numbers.values())


@pytest.mark.alike
def test_the_json_of_a_whole_run():
    command = [sys.executable, "-m", "bench.machine", "--json", "--rounds", "1", "cycles", "gpu", "gpu-beside"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    said = json.loads(done.stdout)
    assert done.returncode == 0 and said["failed"] is None, (said, done.stderr)
    assert said["name"] == "machine" and said["facts"]["rounds"] == 1 and said["facts"]["processors"] > 0
    by_name = {one["name"]: one["peers"] for one in said["benchmarks"]}
    assert list(by_name) == ["cycles", "gpu", "gpu-beside"]
    peers = {"qemu-7.2", "qemu-10"} - set(said["missing"])
    assert set(said["facts"]["peers"]) == peers
    assert set(by_name["cycles"]) == peers | {"calls", "batch", "plain"}
    assert all(by_name["cycles"][side]["cycles_per_s"] > 0 for side in by_name["cycles"])
    assert all(by_name["cycles"]["batch"][f"over_{peer}"] > 0 for peer in peers)
    for modes in (by_name["gpu"], by_name["gpu-beside"]):
        assert list(modes) == ["xive", "xics"]
        for found in modes.values():
            assert 0 < found["median_us"] <= found["p99_us"] and found["backend_cpu_us"] > 0
            assert sum(found[f"{stage}_share"] for stage in STAGES) == pytest.approx(1)
    if os.environ.get("OUTBOARD_REQUIRE_PEERS"):
        assert not said["missing"]


def test_a_benchmark_that_there_is_not():
    command = [sys.executable, "-m", "bench.machine", "gpus"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "no benchmark gpus; there are cycles, cpus, " in done.stderr
