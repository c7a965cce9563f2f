"""Hostile guests of a whole pseries machine: nothing is raised, and whoever behaves goes on: CPUs, drivers."""

import struct
import sys
from contextlib import suppress

import pytest

from outboard.errors import WaitTimeout
from outboard.machine.cpu import WAIT
from outboard.machine.pseries import PseriesMachine, VirtioGpu
from outboard.machine.scheduler import Scheduler
from tests.machine.pseries.gpu_driver import AVAIL, PIXELS, REQUEST, RINGS, USED, VERSION_1, Driver
from tests.machine.pseries.rig import START_CPU, level, negotiate, place, rtas, write
from tests.machine.pseries.test_hostile import PLACES, RAM, number, operation

MODES = ("xics", "xive", "dual")
EDU = 0x100000
PIN = 0x1201
"""LISN of the pin of slot 1."""


class Machines:
    """One of each mode, with its start."""

    def __init__(self):
        self.made = [
            PseriesMachine(3, mode, ["edu", "edu"], ram_size=RAM, vsmt=1 + at) for at, mode in enumerate(MODES)
        ]
        self.starts = [machine.snapshot() for machine in self.made]
        self.told = 0
        for machine in self.made:
            machine.events.listen(lambda event, values, machine=machine: self.tell(machine.events.line(event, values)))

    def tell(self, line):
        assert line and "\n" not in line
        self.told += 1


def guest(rng, machines):
    """Anything on any CPU; then state that fits together, and a machine that works when it is reset."""
    at = rng.randrange(len(MODES))
    machine = machines.made[at]
    machine.restore(machines.starts[at])
    first = machine.cpus[0]
    if rng.random() < 0.5:
        negotiate(first, xive=rng.random() < 0.7)
    for cpu in machine.cpus[1:] if rng.random() < 0.8 and machine.ended is None else ():
        rtas(first, START_CPU, (cpu.vcpu_id, 0, 0))
    for _ in range(rng.randint(10, 60)):
        running = [cpu for cpu in machine.cpus if not machine.is_stopped(cpu.index)]
        if not running:
            break
        operation(rng, rng.choice(running))
    assert machine.pic().endswith("irqchip: emulated\n")
    everything = machine.snapshot()
    machine.restore(machines.starts[at])
    assert machine.snapshot() == machines.starts[at]
    machine.restore(everything)
    assert machine.snapshot() == everything
    machine.reset()
    works(machine)


def works(machine):
    """A device of a machine that was just reset is found, computes, and raises its pin."""
    assert rtas(machine.cpus[0], START_CPU, (machine.cpus[1].vcpu_id, 0, 0)) == (0,)
    where = place(machine.cpus[0], 1, EDU)
    cpu = machine.cpus[1]
    cpu.store(where + 8, 4, 5)
    assert cpu.load(where + 8, 4) == 120
    cpu.store(where + 0x60, 4, 1)
    assert machine.irq.xics is None or level(machine, PIN)
    cpu.store(where + 0x64, 4, 1)


def neighbours(rng, _):
    """A program that misbehaves in any way, and one that handles its interrupts, on the same machine."""
    mode = rng.choice(MODES)
    machine = PseriesMachine(2, mode, ["edu", "edu"], ram_size=RAM)
    rtas(machine.cpus[0], START_CPU, (1, 0, 0))
    machine.take_starts()
    where = place(machine.cpus[0], 1, EDU)
    end = rng.choice(ENDS)

    def counts(cpu):
        count = 0
        for _ in range(30):
            cpu.store(where + 0x60, 4, 1)
            count += cpu.load(where + 0x24, 4) == 1
            cpu.store(where + 0x64, 4, 1)
            yield
        return count

    def wild(cpu):
        for _ in range(rng.randrange(40)):
            misbehave(rng, cpu)
            if rng.random() < 0.5:
                yield
        yield from end(cpu)

    scheduler = Scheduler(machine, rng.randrange(9), operations=500)
    scheduler.start(0, counts)
    scheduler.start(1, wild)
    with suppress(WaitTimeout):  # it may have ceded, to wait for ever
        scheduler.run()
    assert scheduler.results[0] == 30
    assert {fault.cpu for fault in scheduler.faults} <= {1} and len(scheduler.faults) <= 1


def misbehave(rng, cpu):
    """Anything outside of RAM and of the first device; interrupts are taken and never ended."""
    kind = rng.randrange(4)
    if kind == 0:
        calls = (0x64, 0x68, 0x70, 0x74, 0x3A8, 0x3BC, 0x3C8, 0x20, 0xE0, 0xE4)
        cpu.hcall(rng.choice(calls), *(number(rng) for _ in range(5)))
    elif kind == 1:
        cpu.load(0x6030203180000 + 0x20810, 2)
    else:
        addr = rng.choice([one for one in PLACES if one >= RAM]) + rng.randrange(EDU // 8) * 8
        cpu.store(addr & ~7 & (1 << 64) - 1, 8, number(rng))


def fails(cpu):
    raise RuntimeError("wild")
    yield


def spins(cpu):
    while True:
        cpu.irq()
    yield


def asks_too_much(cpu):
    cpu.load(1 << 64, 3)
    yield


def yields_nonsense(cpu):
    yield "nonsense"


def stops(cpu):
    cpu.memory.write(0x5000, struct.pack(">3I", 0x2007, 0, 0))
    cpu.hcall(0xF000, 0x5000)
    yield WAIT


def returns(cpu):
    return
    yield


ENDS = (fails, spins, asks_too_much, yields_nonsense, stops, returns)


# A GPU


class Gpus:
    """A machine with a GPU of ours."""

    def __init__(self):
        command = [sys.executable, "-m", "outboard", "gpu", "serve", "--fd={fd}"]
        self.gpu = VirtioGpu(command, [(64, 48)], timeout_s=4.0)
        self.machine = PseriesMachine(1, "xics", [self.gpu], ram_size=64 << 20)


def driver(rng, gpus):
    """Rings of anything, kicked; registers of anything; then a driver that behaves finds a GPU that works."""
    cpu = gpus.machine.cpus[0]
    gpu = Driver(cpu, vectors=rng.choice((0, 3)))
    gpu.start(size=16)
    for _ in range(rng.randint(1, 4)):
        lay(rng, cpu)
        gpu.set(0x3000 + 4 * rng.randrange(3), 2, rng.randrange(3))
    for _ in range(rng.randrange(12)):
        size = rng.choice((1, 2, 4))
        gpu.set(rng.choice((0, 0x1000, 0x2000, 0x3000)) + rng.randrange(0, 64, size), size, number(rng, 8 * size))
        gpu.get(rng.choice((0, 0x1000, 0x2000, 0x3000)) + rng.randrange(0, 64, size), size)
    write(cpu, 1, 0x9A, 2, 0)
    again = Driver(cpu, vectors=0)
    assert again.start(features=VERSION_1) == 15, gpus.gpu.failure
    assert again.sizes() == [(64, 48)]


def lay(rng, cpu):
    """Write descriptors that lead anywhere, also in circles, and offer some of them."""
    memory = cpu.memory
    for queue in range(2):
        base = RINGS + 0x4000 * queue
        for at in range(16):
            addr = rng.choice((REQUEST, PIXELS, base, base + USED, RAM, (64 << 20) - 8, number(rng)))
            length = rng.choice((0, 24, 32, 64, 0x1000, 0xFFFFFFFF, 16 * rng.randrange(40)))
            memory.write(
                base + 16 * at,
                struct.pack("<QIHH", addr, length, rng.choice((0, 1, 1, 2, 3, 4, 5, 7)), rng.randrange(20)),
            )
        idx = rng.choice((1, 2, 16, 17, 0xFFFF, rng.getrandbits(16)))
        memory.write(base + AVAIL, struct.pack("<18H", 0, idx, *(rng.randrange(20) for _ in range(16))))
        if rng.random() < 0.2:
            memory.write(base + USED + 2, struct.pack("<H", rng.choice((idx - 1 & 0xFFFF, rng.getrandbits(16)))))
    request = rng.choice((0x100, 0x101, 0x103, 0x104, 0x105, 0x106, 0x107, 0x300, number(rng, 32)))
    memory.write(REQUEST, struct.pack("<I", request) + rng.randbytes(60))


@pytest.mark.timeout(0)
def test_a_hostile_guest(campaign):
    machines = Machines()
    campaign.run("machines", lambda rng: guest(rng, machines))
    assert machines.told


@pytest.mark.timeout(0)
def test_a_hostile_program_beside_another(campaign):
    campaign.run("programs", lambda rng: neighbours(rng, None))


@pytest.mark.timeout(0)
def test_a_hostile_driver(campaign):
    gpus = Gpus()
    with gpus.machine:
        campaign.run("gpus", lambda rng: driver(rng, gpus))
