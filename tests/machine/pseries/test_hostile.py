"""Guests that do anything at all: nothing is raised, the other CPUs and the host's side go on."""

import random
import struct
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outboard.machine.pseries import PseriesMachine, VirtioGpu
from outboard.machine.scheduler import Scheduler
from outboard.spec.papr import CPU_HCALLS, TCE_HCALLS, XICS_HCALLS, XIVE_HCALLS
from tests.machine.pseries.gpu_driver import Driver
from tests.machine.pseries.rig import BUID, START_CPU, address, place, rtas, write

RAM = 16 << 20
TOKENS = (*range(0x2005, 0x2008), *range(0x200A, 0x2010), *range(0x2014, 0x201A), 0, 0x2999, 0xFFFFFFFF)
HCALLS = (
    *(row.opcode for row in (*XIVE_HCALLS, *XICS_HCALLS, *TCE_HCALLS, *CPU_HCALLS)),
    0xF000,
    0xF002,
    0,
    0x123,
    2**64 - 1,
)
INTERESTING = (0, 1, 2, 4, 8, 0xFF, 0x1000, 0x1300, 0x2000, RAM - 4, RAM, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
PLACES = (
    *(0, 0x5000, RAM - 8, RAM, 0x10000000),
    *(0x2000_0000_0000, 0x2000_8000_0000, 0x2000_8010_0000, 0x2100_0000_0000),
    *(0x6010000000000, 0x6030203180000, 0x60302031A0000, 0x400_0000_0000, 2**64 - 64),
)


def number(choice, bits=64):
    value = choice.choice((choice.choice(INTERESTING), choice.getrandbits(bits), choice.choice(PLACES)))
    return value & (1 << bits) - 1


def cells(choice, memory):
    """Cells of an RTAS call, somewhere, mostly right; their address."""
    token = choice.choice(TOKENS)
    counts = {0x2014: (2, 2), 0x2015: (3, 1), 0x2016: (4, 2), 0x2017: (5, 1), 0x2018: (4, 3), 0x2019: (6, 4)}
    nargs, nret = counts.get(token, (choice.randrange(8), choice.randrange(4)))
    arguments = [number(choice, 32) for _ in range(nargs)]
    if token >= 0x2016 and nargs >= 4 and choice.random() < 0.9:
        offset = choice.randrange(256) & choice.choice((~0, ~1, ~3))
        arguments[:3] = [address(choice.randrange(4), offset), *BUID]
        arguments[3] = choice.choice((1, 2, 4, 3))
    at = choice.choice((0x5000, RAM - 12, number(choice)))
    memory.write(at, struct.pack(f">{3 + nargs}I", token, nargs, nret, *arguments))
    return at


def operation(choice, cpu):
    kind = choice.randrange(4)
    if kind == 0:
        cpu.hcall(choice.choice(HCALLS), *(number(choice) for _ in range(choice.randrange(7))))
    elif kind == 1:
        cpu.hcall(0xF000, cells(choice, cpu.memory))
    else:
        size = choice.choice((1, 2, 4, 8))
        at = (choice.choice(PLACES) + choice.randrange(0x10000)) & 2**64 - 1
        if kind == 2:
            assert 0 <= cpu.load(at, size) < 1 << 8 * size
        else:
            cpu.store(at, size, number(choice, 8 * size))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["xics", "xive", "dual"]))
def test_any_operations(seed, mode):
    choice = random.Random(seed)
    machine = PseriesMachine(cpus=2, ic_mode=mode, ram_size=RAM, devices=["edu", "edu", (3, "edu")])
    assert rtas(machine.cpus[0], START_CPU, (1, 0, 0)) == (0,)
    for slot in (1, 2):
        place(machine.cpus[0], slot, 0x100000)
    for _ in range(200):
        running = [cpu for cpu in machine.cpus if not machine.is_stopped(cpu.index)]
        if not running:
            break
        operation(choice, choice.choice(running))
    machine.pic()
    machine.restore(machine.snapshot())
    machine.reset()
    assert rtas(machine.cpus[0], START_CPU, (1, 0, 0)) == (0,)


@pytest.mark.alike
def test_a_gpu_in_the_hands_of_a_hostile_driver():
    """Writes to every register of it, its vectors aimed anywhere; then a driver that behaves."""
    command = [sys.executable, "-m", "outboard", "gpu", "serve", "--fd={fd}"]
    gpu = VirtioGpu(command, [(640, 480)], timeout_s=1.0)
    with PseriesMachine(ic_mode="xics", ram_size=64 << 20, devices=[gpu]) as machine:
        cpu, choice = machine.cpus[0], random.Random(5)
        for turn in range(60):
            driver = Driver(cpu)
            if turn % 2:
                driver.start()
            write(cpu, 1, 0x9A, 2, choice.choice((0, 0x8000, 0xC000)))
            for _ in range(20):
                where = choice.choice((0x2000_8000_0000, driver.at, driver.at + 0x2000, driver.at + 0x3000))
                size = choice.choice((1, 2, 4, 8))
                cpu.store(where + choice.randrange(0, 64, size), size, number(choice, 8 * size))
                cpu.load(where + choice.randrange(0, 64, size), size)
        driver = Driver(cpu)
        assert driver.start() == 15
        assert driver.sizes() == [(640, 480)]


def test_a_program_that_writes_anywhere_leaves_the_others_alone():
    """CPU 1 does anything that is not RAM or the machine's end; CPU 0 counts edu's interrupts."""
    machine = PseriesMachine(cpus=2, ic_mode="xics", ram_size=RAM, devices=["edu", "edu"])
    choice = random.Random(7)
    rtas(machine.cpus[0], START_CPU, (1, 0, 0))
    machine.take_starts()
    at = place(machine.cpus[0], 1, 0x100000)

    def counts(cpu):
        count = 0
        for _ in range(50):
            cpu.store(at + 0x60, 4, 1)
            count += cpu.load(at + 0x24, 4) == 1
            cpu.store(at + 0x64, 4, 1)
            yield
        return count

    def wild(cpu):
        while True:
            start = choice.choice((RAM, 0x2000_0000_0000, 0x2000_9000_0000, 0x6010000000000, 2**63))
            cpu.store((start + choice.randrange(1 << 20)) & ~7, 8, choice.getrandbits(64))
            if choice.random() < 0.02:
                raise RuntimeError("wild")
            yield

    scheduler = Scheduler(machine, 3)
    scheduler.start(0, counts)
    scheduler.start(1, wild)
    scheduler.run()
    assert scheduler.results == {0: 50}
    assert [str(fault) for fault in scheduler.faults] == ["CPU 1, wild: RuntimeError: wild"]
