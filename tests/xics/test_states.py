"""XICS under everything that a guest, its devices and its firmware can do, against the oracle and against what holds
whatever happens."""

import random
import struct

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from outboard.errors import LocalError
from outboard.spapr import rtas
from tests.xics.oracle import FIRST, LAST, REFUSED, Oracle
from tests.xics.rig import CELLS, Machine

pytestmark = pytest.mark.alike

CLAIMS = [(0x1000, False), (0x1004, True), (0x1005, True), (0x1010, False), (0x1011, False)]
NUMBERS = [number for number, _ in CLAIMS] * 2 + [0x1012, 0x101F]
CALLS = [0x64, 0x68, 0x6C, 0x70, 0x74, 0x2FC]
TOKENS = [0x200A, 0x200A, 0x200B, 0x200C, 0x200D]
STATUS = {0: 0x8, 1: 0xB, 2: 0xC}
"""Bits of a status that a source's kind may have; an LSI that was sent like an MSI before its claim keeps that bit."""
EDGES = [0, 1, 2, 0xFF, 0x100, 0xFFF, 0x1000, 0x101F, 0x1020, 0xFFFFFFFF, 1 << 32, (1 << 64) - 1]


class Pair:
    """The model and the oracle; both do what `do` is given."""

    def __init__(self, cpus, spare, vsmt):
        ids = [cpu * vsmt for cpu in range(cpus + spare)]
        self.machine = Machine(ids, CLAIMS, first=FIRST, count=LAST - FIRST + 1, cpus=cpus)
        self.oracle = Oracle(ids, range(cpus), CLAIMS)

    def do(self, name, *arguments):
        try:
            got = self.model(name, *arguments)
        except LocalError:
            got = REFUSED
        assert got == getattr(self.oracle, name)(*arguments), (name, *arguments)
        return got

    def model(self, name, *arguments):
        machine = self.machine
        if name in ("hcall", "rtas") and not machine.xics.is_plugged(arguments[0]):
            return REFUSED
        if name == "hcall":
            return machine.hcall(*arguments[1:], cpu=arguments[0])
        if name == "rtas":
            return self.rtas(*arguments)
        if name == "negotiate":
            machine.xive_negotiated = arguments[0]
            return None
        return getattr(machine.xics, name)(*arguments)

    def rtas(self, cpu, token, nargs, nret, *words):
        cells = struct.pack(">6I", token, nargs, nret, *words)
        self.machine.memory.write(CELLS, cells.ljust(64, b"\xee"))
        assert rtas.call(self.machine, cpu, CELLS) == (0,)
        results = struct.unpack(">4i", self.machine.memory.read(CELLS + 12 + 4 * nargs, 16))
        return results[: 3 if results[0] == 0 and token == 0x200B else 1]

    def check(self):
        xics, oracle = self.machine.xics, self.oracle
        assert xics.order == oracle.order
        for cpu in xics.order:
            assert self.machine.icp(cpu) == oracle.registers(cpu), cpu
        for name, column in oracle.tables().items():
            assert list(getattr(xics.ics, name)) == column, name


class States(RuleBasedStateMachine):
    @initialize(cpus=st.integers(1, 3), spare=st.integers(0, 1), vsmt=st.sampled_from([1, 8]), opened=st.booleans())
    def start(self, cpus, spare, vsmt, opened):
        self.pair, self.ids = Pair(cpus, spare, vsmt), [cpu * vsmt for cpu in range(cpus + spare)]
        if opened:
            for cpu in range(cpus):
                self.pair.do("hcall", cpu, 0x68, 0xFF)
            for number, _ in CLAIMS:
                self.pair.do("rtas", 0, 0x200A, 3, 1, number, self.ids[number % cpus], 3 + number % 4)

    @rule(cpu=st.integers(0, 3), opcode=st.sampled_from(CALLS), words=st.lists(st.sampled_from(EDGES), max_size=3))
    def any_hcall(self, cpu, opcode, words):
        self.pair.do("hcall", cpu, opcode, *words)

    @rule(cpu=st.integers(0, 3), cppr=st.sampled_from([0xFF, 0xFF, 0, 3, 4, 5, 6]))
    def cppr(self, cpu, cppr):
        self.pair.do("hcall", cpu, 0x68, cppr)

    @rule(cpu=st.integers(0, 3), to=st.integers(0, 3), mfrr=st.sampled_from([0xFF, 0, 3, 4, 5, 6]))
    def ipi(self, cpu, to, mfrr):
        self.pair.do("hcall", cpu, 0x6C, self.ids[to % len(self.ids)], mfrr)

    @rule(cpu=st.integers(0, 3), ends=st.booleans(), cppr=st.sampled_from([None, None, 0xFF, 4]))
    def handle(self, cpu, ends, cppr):
        answer = self.pair.do("hcall", cpu, 0x74)
        if answer != REFUSED:
            assert not self.pair.machine.xics.irq(cpu)
        if answer != REFUSED and len(answer) == 2 and ends:
            xirr = answer[1] if cppr is None else answer[1] & 0xFFFFFF | cppr << 24
            self.pair.do("hcall", cpu, 0x64, xirr)

    @rule(cpu=st.integers(0, 3), cppr=st.sampled_from([0, 5, 0xFF]), number=st.sampled_from(NUMBERS))
    def end_anything(self, cpu, cppr, number):
        self.pair.do("hcall", cpu, 0x64, cppr << 24 | number)

    @rule(
        token=st.sampled_from(TOKENS),
        number=st.sampled_from([*NUMBERS, *NUMBERS, *EDGES[:-2]]),
        to=st.integers(0, 4),
        priority=st.sampled_from([0, 3, 4, 5, 5, 6, 0xFF, 0xFF, 0x100]),
        cells=st.sampled_from([None, None, None, (1, 1), (3, 3), (0, 1)]),
    )
    def rtas(self, token, number, to, priority, cells):
        wants = {0x200A: (3, 1), 0x200B: (1, 3)}.get(token, (1, 1))
        server = (*self.ids, 99)[to % (len(self.ids) + 1)]
        self.pair.do(
            "rtas",
            self.pair.oracle.order[0] if self.pair.oracle.order else 0,
            token,
            *(cells or wants),
            number,
            server,
            priority,
        )

    @rule(number=st.sampled_from(NUMBERS))
    def pulse(self, number):
        self.pair.do("set_irq", number, 1)
        self.pair.do("set_irq", number, 0)

    @rule(number=st.sampled_from([0x1004, 0x1005, 0x1010, 0xFFF]), level=st.integers(0, 1))
    def line(self, number, level):
        self.pair.do("set_irq", number, level)

    @rule(number=st.sampled_from([0x1010, 0x1011, 0x1012, 0x1005, 0x1020]), is_lsi=st.booleans())
    def claim(self, number, is_lsi):
        self.pair.do("claim", number, is_lsi)

    @rule(number=st.sampled_from([0x1010, 0x1011, 0x1012, 0x1005, 0xFFF]))
    def free(self, number):
        self.pair.do("free", number)

    @rule(cpu=st.integers(-1, 4), plug=st.booleans())
    def plug(self, cpu, plug):
        self.pair.do("plug" if plug else "unplug", cpu)

    @rule(negotiated=st.sampled_from([False, False, True]))
    def negotiate(self, negotiated):
        self.pair.do("negotiate", negotiated)

    @rule()
    def reset(self):
        self.pair.do("reset")

    @rule(seed=st.integers(0, 1 << 32))
    def there_and_back(self, seed):
        """From a snapshot on, the same operations give the same state again."""
        xics, rng = self.pair.machine.xics, random.Random(seed)
        start = xics.snapshot()
        ends = []
        for _ in range(2):
            rng.seed(seed)
            for _ in range(20):
                cpu = rng.choice(xics.order or [0])
                self.pair.model("hcall", cpu, rng.choice(CALLS), rng.choice(EDGES), rng.choice(EDGES))
                xics.pulse(rng.choice(NUMBERS))
            ends.append((xics.snapshot(), xics.snapshot().digest(), xics.pic()))
            xics.restore(start)
        assert ends[0] == ends[1] and xics.snapshot() == start

    @invariant()
    def the_oracle_agrees(self):
        if hasattr(self, "pair"):
            self.pair.check()

    @invariant()
    def registers_are_consistent(self):
        for cpu in self.pair.machine.xics.order if hasattr(self, "pair") else ():
            xirr, pending, _, owned, line = self.pair.machine.icp(cpu)
            xisr = xirr & 0xFFFFFF
            assert line == (xisr != 0), "the line is up while something is presented"
            assert xisr or pending == 0xFF
            assert xisr in (0, 2) or (owned and FIRST <= xisr <= LAST)

    @invariant()
    def status_fits_the_kind(self):
        ics = self.pair.machine.xics.ics if hasattr(self, "pair") else None
        for status, flags in zip(ics.status, ics.flags, strict=True) if ics else ():
            assert not status & ~STATUS[flags]


TestStates = States.TestCase
TestStates.settings = settings(max_examples=80, stateful_step_count=40, deadline=None, derandomize=True, database=None)
