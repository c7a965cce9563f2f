"""Whole interrupts on a pseries machine: what one is, how a machine is made ready for them, and what they leave behind.

A cycle is what a CPU does for one event of a source, in this order:

1. a store of 8 bytes to the source's trigger page: the event goes through PQ, EAS and END into the CPU's event queue,
   and its priority through the NVT into the IPB, so that the CPU's external interrupt is raised;
2. that interrupt is seen: ours asks `irq`, a CPU of QEMU takes it, as an exception;
3. a load of 2 bytes from the TIMA that acknowledges it;
4. a load of 4 bytes from the event queue;
5. a load of 8 bytes from the source's management page, which is the EOI;
6. a store of 1 byte to the TIMA that sets CPPR to ff.

It is a good one when the interrupt was there, the acknowledge showed it, and the entry was there. A round of a side is
checked behind the clock: all cycles were good; every queue's index and generation moved by as many as there were, and
its entries are those of the last ones; PQ of every source is 00; no CPU has an interrupt, and all take any.
"""

import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, Protocol

from outboard.machine.cpu import Cpu, Machine
from outboard.machine.guest import boot
from outboard.machine.guest.heap import Heap
from outboard.machine.pseries import PseriesMachine
from outboard.spapr.batch import Batch, Op
from outboard.spapr.bus import TIMA_OS
from outboard.spapr.modes import IcMode
from outboard.spec.papr import GetQueueConfig, SetQueueConfig, SetSourceConfig
from outboard.spec.xive import EQ_ENTRY_SIZE

ENTRY = 0x0100_0000
"""Where CPUs are started; nothing of ours runs there."""
QUEUE_SHIFT = 12
ENTRIES = (1 << QUEUE_SHIFT) // EQ_ENTRY_SIZE
PRIORITY = 6
FIRST_EISN = 0x10
BLOCK = 64
"""Cycles of a source before the next one's turn. A power of two, at most ENTRIES."""
ACK, CPPR, REGISTERS = TIMA_OS + 0x810, TIMA_OS + 0x11, TIMA_OS + 0x10
AT_REST = 0x00FF00
"""NSR, CPPR, IPB of a CPU with nothing to do."""
GENERATION = 1 << 31
PQ_GET, PQ_00 = 0x800, 0xC00
GENERATION_SHIFT = 62
"""Of the flags that H_INT_GET_QUEUE_CONFIG returns, as QEMU has it."""


class CheckFailed(Exception):
    """A side did not do what it was to do."""


class Size(NamedTuple):
    """How much of a machine is used: source number n goes to CPU n modulo `cpus`."""

    cpus: int = 1
    sources: int = 1


class Side(Protocol):
    """Somebody who makes cycles. cycles: of one sweep; unit: sweeps come in multiples of it."""

    cycles: int
    unit: int

    def run(self, sweeps: int) -> float:
        """Do a block of cycles of each source, `sweeps` times; return seconds. Raises CheckFailed."""


class Block(NamedTuple):
    """`BLOCK` cycles of one source, whose entries go to `queue` and up. Pages and queue are guest addresses."""

    cpu: int
    eisn: int
    trigger: int
    management: int
    queue: int


@dataclass(frozen=True)
class Source:
    """A source in use. number: its LISN; pages: trigger and management."""

    number: int
    cpu: int
    trigger: int
    management: int

    @property
    def eisn(self) -> int:
        """What its entries say."""
        return FIRST_EISN + self.number


class Ready:
    """A machine that was booted into XIVE, all its CPUs running, with queues and routed sources."""

    def __init__(self, machine: Machine, size: Size) -> None:
        self.size = size
        self.cpus: Sequence[Cpu] = machine.cpus[: size.cpus]
        self.memory = machine.memory
        self._boot(machine)
        self.sources = [self._source(number) for number in range(size.sources)]
        self.done = [0] * size.cpus
        """Cycles so far, by CPU."""
        self._written = [[0] * ENTRIES for _ in self.cpus]

    def _boot(self, machine: Machine) -> None:
        first, tree = machine.cpus[0], machine.device_tree()
        heap = Heap(machine.memory, boot.ram_size(tree))
        tree = boot.negotiate(first, heap, boot.vectors(tree, boot.choose(tree, IcMode.XIVE)))
        boot.start_cpus(first, boot.Rtas(tree, heap), boot.vcpu_ids(tree), ENTRY)
        self.queues = [heap.allocate(1 << QUEUE_SHIFT, 1 << QUEUE_SHIFT) for _ in self.cpus]
        for cpu, queue in zip(self.cpus, self.queues, strict=True):
            where = cpu.vcpu_id, PRIORITY, queue, QUEUE_SHIFT
            self._call(first, "H_INT_SET_QUEUE_CONFIG", SetQueueConfig.ALWAYS_NOTIFY, *where)
            cpu.store(CPPR, 1, 0xFF)

    def _source(self, number: int) -> Source:
        """Route a source that has no other use, an IPI's, and turn it on."""
        cpu = self.cpus[number % self.size.cpus]
        _, management, trigger, _ = self._call(cpu, "H_INT_GET_SOURCE_INFO", 0, number)
        made = Source(number, cpu.index, trigger, management)
        where = number, cpu.vcpu_id, PRIORITY, made.eisn
        self._call(cpu, "H_INT_SET_SOURCE_CONFIG", SetSourceConfig.SET_EISN, *where)
        cpu.load(management + PQ_00, 8)
        return made

    @staticmethod
    def _call(cpu: Cpu, name: str, *arguments: int) -> tuple[int, ...]:
        status, *results = cpu.hcall(name, *(int(one) for one in arguments))
        if status:
            raise CheckFailed(f"{name} returned {status}")
        return tuple(results)

    # Rounds

    @property
    def cycles(self) -> int:
        """Cycles of one sweep."""
        return BLOCK * self.size.sources

    @property
    def lap(self) -> int:
        """Sweeps after which every queue has gone round, and all begins where it began."""
        return max(1, ENTRIES // (BLOCK * (self.size.sources // self.size.cpus)))

    def begin(self, sweeps: int) -> list[Block]:
        """Return what is to be done in so many sweeps, and forget all entries."""
        for queue in self.queues:
            self.memory.write(queue, bytes(1 << QUEUE_SHIFT))
        self._written = [[0] * ENTRIES for _ in self.cpus]
        return [self._block(source) for _ in range(sweeps) for source in self.sources]

    def _block(self, source: Source) -> Block:
        cpu = source.cpu
        lap, at = divmod(self.done[cpu], ENTRIES)
        self._written[cpu][at : at + BLOCK] = [source.eisn | (0 if lap % 2 else GENERATION)] * BLOCK
        self.done[cpu] += BLOCK
        return Block(cpu, source.eisn, source.trigger, source.management, self.queues[cpu] + EQ_ENTRY_SIZE * at)

    def check(self, good: int, cycles: int) -> None:
        """See that all that was begun was done. Raises CheckFailed."""
        _expect("good cycles", cycles, good)
        for cpu in self.cpus:
            self._check_cpu(cpu)
        for source in self.sources:
            _expect(f"PQ of source {source.number:#x}", 0, self.cpus[source.cpu].load(source.management + PQ_GET, 8))

    def _check_cpu(self, cpu: Cpu) -> None:
        flags, _, _, index = self._call(cpu, "H_INT_GET_QUEUE_CONFIG", GetQueueConfig.DEBUG, cpu.vcpu_id, PRIORITY)
        laps, at = divmod(self.done[cpu.index], ENTRIES)
        found = flags >> GENERATION_SHIFT & 1, index
        _expect(f"generation and index of CPU {cpu.index}'s queue", (1 - laps % 2, at), found)
        entries = array("I", self.memory.read(self.queues[cpu.index], 1 << QUEUE_SHIFT) or b"")
        entries.byteswap()
        if entries.tolist() != self._written[cpu.index]:
            raise CheckFailed(f"the entries of CPU {cpu.index}'s queue are not those of the last cycles")
        _expect(f"interrupt input of CPU {cpu.index}", False, cpu.irq())
        _expect(f"NSR, CPPR, IPB of CPU {cpu.index}", AT_REST, cpu.load(REGISTERS, 4) >> 8)


def _expect(what: str, expected: object, got: object) -> None:
    if got != expected:
        raise CheckFailed(f"{what}: expected {expected!r}, got {got!r}")


# Our machine


def ours(size: Size) -> PseriesMachine:
    """Return our machine, with IPIs for all sources that are to be used."""
    return PseriesMachine(size.cpus, "xive", max_cpus=max(size))


class ByCalls:
    """Our machine, its CPUs' methods called for every step of every cycle."""

    def __init__(self, size: Size) -> None:
        self._ready = Ready(ours(size), size)
        self.cycles, self.unit = self._ready.cycles, 1

    def run(self, sweeps: int) -> float:
        """See `Side.run`."""
        blocks = self._ready.begin(sweeps)
        start = time.perf_counter()
        good = sum(_calls(self._ready.cpus[block.cpu], block) for block in blocks)
        took = time.perf_counter() - start
        self._ready.check(good, BLOCK * len(blocks))
        return took


def _calls(cpu: Cpu, block: Block) -> int:
    """Do a block of cycles; return how many were good."""
    load, store, irq = cpu.load, cpu.store, cpu.irq
    _, eisn, trigger, management, queue = block
    good = 0
    for entry in range(queue, queue + EQ_ENTRY_SIZE * BLOCK, EQ_ENTRY_SIZE):
        store(trigger, 8, 0)
        raised = irq()
        taken = load(ACK, 2)
        found = load(entry, 4)
        load(management, 8)
        store(CPPR, 1, 0xFF)
        if raised and taken >> 15 and found & ~GENERATION == eisn:
            good += 1
    return good


class ByBatch:
    """Our machine, whole laps of the queues as one batch of its controller's."""

    OPS = bytes([Op.STORE, Op.IRQ, Op.LOAD, Op.LOAD, Op.LOAD, Op.STORE])
    SIZES = bytes([8, 8, 2, 4, 8, 1])

    def __init__(self, size: Size) -> None:
        self._ready = Ready(machine := ours(size), size)
        assert machine.irq.xive
        self._xive = machine.irq.xive
        self.cycles, self.unit = self._ready.cycles, self._ready.lap
        self._blocks = self._ready.begin(self.unit)
        self._ready.done = [0] * size.cpus
        cycles = BLOCK * len(self._blocks)
        addrs = chain.from_iterable(map(self._addrs, self._blocks))
        cpus = chain.from_iterable([block.cpu] * len(self.OPS) * BLOCK for block in self._blocks)
        values = array("Q", [0, 0, 0, 0, 0, 0xFF]) * cycles
        self._batch = Batch(
            bytearray(self.OPS * cycles), array("H", cpus), bytearray(self.SIZES * cycles), array("Q", addrs), values
        )

    @staticmethod
    def _addrs(block: Block) -> list[int]:
        _, _, trigger, management, queue = block
        entries = range(queue, queue + EQ_ENTRY_SIZE * BLOCK, EQ_ENTRY_SIZE)
        return [addr for entry in entries for addr in (trigger, 0, ACK, entry, management, CPPR)]

    def run(self, sweeps: int) -> float:
        """See `Side.run`."""
        laps, rest = divmod(sweeps, self.unit)
        assert not rest, "whole laps only"
        blocks = self._ready.begin(sweeps)
        start = time.perf_counter()
        answers = [self._batch.run(self._xive) for _ in range(laps)]
        took = time.perf_counter() - start
        self._ready.check(sum(map(self._good, answers)), BLOCK * len(blocks))
        return took

    def _good(self, answers: "array[int]") -> int:
        """Return how many cycles of a lap were good."""
        eisns = chain.from_iterable([block.eisn] * BLOCK for block in self._blocks)
        parts = zip(answers[1::6], answers[2::6], answers[3::6], eisns, strict=True)
        return sum(raised and taken >> 15 and found & ~GENERATION == eisn for raised, taken, found, eisn in parts)
