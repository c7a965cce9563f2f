"""A pseries controller under everything that a guest, its devices and its firmware can do, against the oracle and
against what the architecture promises whatever happens."""

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.spapr.machine import CLAIMS, LISN_POOL, REFUSED, Pair, perform, shown
from tests.spapr.operations import CALLS, EDGES, ESB, HOSTILE, ORDINARY, TIMA, Draws, any_operation, setup

OS_PAGE, HV_PAGE, HW_PAGE = TIMA + 0x20000, TIMA + 0x10000, TIMA
GETS = {0x3A8, 0x3B0, 0x3B4, 0x3BC, 0x3CC, 0x3D0}
EO = 0x80

CPUS = st.integers(0, 3)
LISNS = st.sampled_from(LISN_POOL)
OFFSETS = st.sampled_from([0, 0x3F8, 0x400, 0x7F8, 0x800, 0xBF8, 0xC00, 0xD08, 0xE10, 0xFF8, 0x1000, 0xFFF8])
PRIORITIES = st.sampled_from([0, 3, 6, 6, 6, 7, 0xFF, 0x106])
WORDS = st.one_of(st.sampled_from(EDGES), st.integers(0, (1 << 64) - 1))
SEEDS = st.integers(0, (1 << 32) - 1)


def registers(pair, cpu, at=0x10):
    """Return NSR, CPPR, IPB and PIPR of a ring of the model's."""
    cells = bytes(pair.xive.presenter.tables()["rings"][64 * cpu + at : 64 * cpu + at + 8])
    return cells[0], cells[1], cells[2], cells[7]


class Machine(RuleBasedStateMachine):
    """raw: CPUs whose registers were stored raw since their context was reset; pulled: those whose OS context was
    taken off. `tame` machines do neither, so that the strongest promises are tried too."""

    tame = False

    @initialize(cpus=st.integers(1, 4), vsmt=st.sampled_from([1, 8]), spare=st.integers(0, 1), seed=SEEDS)
    def start(self, cpus, vsmt, spare, seed):
        self.cpus, self.vsmt = max(cpus, 1 + spare), vsmt
        self.pair = Pair(self.cpus - spare, self.cpus, vsmt)
        self.raw, self.pulled = set(), set()
        self.do("set_regions", 1, 0)
        for operation in setup(Draws(random.Random(seed), self.cpus, vsmt)):
            self.do(*operation)

    def do(self, name, *arguments):
        answer = self.pair.do(name, *arguments)
        if answer != REFUSED and name in ("plug", "unplug"):
            self.raw.discard(arguments[0])
            self.pulled.discard(arguments[0])
        if name == "reset":
            self.raw.clear()
            self.pulled.clear()
        return answer

    def mapped(self):
        return self.pair.xive.bus.tima_on

    # Guest

    @rule(cpu=CPUS, lisn=LISNS, managed=st.booleans(), offset=OFFSETS, store=st.booleans())
    def page(self, cpu, lisn, managed, offset, store):
        at = ESB + lisn * 0x20000 + managed * 0x10000 + offset
        before = self.pair.xive.snapshot()
        self.do(*(("store", cpu, at, 8, 0) if store else ("load", cpu, at, 8)))
        if not store and (not managed or 0x800 <= offset & 0xFFF < 0xC00):
            assert self.pair.xive.snapshot() == before

    @rule(cpu=CPUS, cppr=st.sampled_from([0xFF, 0xFF, 0, 3, 4, 6, 7, 8]))
    def cppr(self, cpu, cppr):
        self.do("store", cpu, OS_PAGE + 0x11, 1, cppr)

    @rule(cpu=CPUS, priority=PRIORITIES)
    def pending(self, cpu, priority):
        if self.do("store", cpu, OS_PAGE + 0x812, 1, priority & 0xFF) != REFUSED and self.mapped():
            _, _, ipb, pipr = registers(self.pair, cpu)
            assert pipr == (8 - ipb.bit_length() if ipb else 0xFF), "whatever was stored raw, this brings it right"

    @rule(cpu=CPUS)
    def accept(self, cpu):
        before = self.pair.xive.is_plugged(cpu) and registers(self.pair, cpu)
        answer = self.do("load", cpu, OS_PAGE + 0x810, 2)
        if answer != REFUSED and self.mapped():
            nsr, cppr, _, pipr = before
            assert answer == nsr << 8 | (pipr if nsr & EO else cppr)
            assert not self.do("irq", cpu)

    @rule(cpu=CPUS, opcode=st.sampled_from(CALLS), flags=st.sampled_from([0, 0, 0, 1, 2, 3, 1 << 63]), lisn=LISNS)
    def hcall_of_source(self, cpu, opcode, flags, lisn):
        self.call(cpu, opcode, flags, lisn)

    @rule(cpu=CPUS, mask=st.integers(0, 3), lisn=LISNS, server=CPUS, priority=PRIORITIES, eisn=st.integers(1, 99))
    def set_source(self, cpu, mask, lisn, server, priority, eisn):
        self.call(cpu, 0x3AC, mask, lisn, server * self.vsmt, priority, eisn)

    @rule(cpu=CPUS, flags=st.integers(0, 1), server=CPUS, priority=PRIORITIES, size=st.sampled_from([0, 12, 16, 11]))
    def set_queue(self, cpu, flags, server, priority, size):
        self.call(cpu, 0x3B8, flags, server * self.vsmt, priority, 0x200000 + server * 0x10000, size)

    @rule(cpu=CPUS, flags=st.integers(0, 1), server=CPUS, priority=PRIORITIES)
    def get_queue(self, cpu, flags, server, priority):
        self.call(cpu, 0x3BC, flags, server * self.vsmt, priority)
        self.call(cpu, 0x3B4, 0, server * self.vsmt, priority)

    @rule(cpu=CPUS, opcode=st.one_of(st.sampled_from(CALLS), WORDS), words=st.lists(WORDS, max_size=9))
    def any_hcall(self, cpu, opcode, words):
        self.call(cpu, opcode, *words)

    def call(self, cpu, opcode, *words):
        before = self.pair.xive.snapshot()
        answer = self.do("hcall", cpu, opcode, *words)
        if answer != REFUSED and (answer[0] != 0 or opcode in GETS):
            assert self.pair.xive.snapshot() == before
            assert answer[0] == 0 or len(answer) == 1

    @rule(cpu=CPUS, words=st.lists(WORDS, max_size=5), opcode=st.sampled_from(CALLS))
    def hcall_of_a_program(self, cpu, words, opcode):
        before = self.pair.xive.snapshot()
        assert self.do("user_hcall", cpu, opcode, *words) in (REFUSED, (-3,))
        assert self.pair.xive.snapshot() == before

    @precondition(lambda self: not self.tame)
    @rule(cpu=CPUS, page=st.sampled_from([HW_PAGE, HV_PAGE, OS_PAGE]), at=st.integers(0, 15), value=WORDS)
    def raw_store(self, cpu, page, at, value):
        self.raw.add(cpu)
        self.do("store", cpu, page + 4 * at, 4, value & 0xFFFFFFFF)

    @rule(cpu=CPUS, page=st.integers(0, 3), at=st.integers(0, 7), size=st.sampled_from([4, 8]))
    def raw_load(self, cpu, page, at, size):
        before = self.pair.xive.snapshot()
        self.do("load", cpu, TIMA + page * 0x10000 + 8 * at, size)
        assert self.pair.xive.snapshot() == before

    @precondition(lambda self: not self.tame)
    @rule(cpu=CPUS, size=st.sampled_from([4, 8]))
    def pull(self, cpu, size):
        self.pulled.add(cpu)
        self.do("load", cpu, HV_PAGE + 0x818, size)

    @precondition(lambda self: not self.tame)
    @rule(cpu=CPUS, server=CPUS, valid=st.booleans())
    def push(self, cpu, server, valid):
        self.pulled.add(cpu)
        self.do("store", cpu, HV_PAGE + 0x18, 4, valid << 31 | 0x400 + server * self.vsmt)

    # Devices and firmware

    @rule(lisn=LISNS)
    def pulse(self, lisn):
        self.do("pulse", lisn)

    @rule(lisn=st.sampled_from([0x1200, 0x1201]), level=st.integers(0, 1))
    def line(self, lisn, level):
        self.do("set_irq", lisn, level)

    @rule(lisn=LISNS, is_lsi=st.booleans())
    def claim(self, lisn, is_lsi):
        self.do("claim", lisn, is_lsi)

    @rule(lisn=LISNS)
    def free(self, lisn):
        self.do("free", lisn)

    @rule(cpu=CPUS)
    def plug(self, cpu):
        self.do("plug", cpu)

    @rule(cpu=CPUS)
    def unplug(self, cpu):
        self.do("unplug", cpu)

    @rule(negotiated=st.booleans(), end_esb=st.booleans(), rest=st.sampled_from([1, 1, 1, 0]))
    def modes(self, negotiated, end_esb, rest):
        self.do("negotiate", negotiated)
        self.do("set_regions", rest, end_esb)

    @rule(again=st.booleans())
    def reset(self, again):
        self.do("reset")
        if again:
            for operation in setup(Draws(random.Random(1), self.cpus, self.vsmt)):
                self.do(*operation)

    # Pictures

    @rule(seed=SEEDS, steps=st.integers(1, 40))
    def replay(self, seed, steps):
        """From a snapshot on, the same operations give the same answers and the same state, and both ways back."""
        draw, xive = Draws(random.Random(seed), self.cpus, self.vsmt), self.pair.xive
        operations = [any_operation(draw, ORDINARY if self.tame else HOSTILE) for _ in range(steps)]
        start, raw = xive.snapshot(), (set(self.raw), set(self.pulled))
        answers = [perform(xive, *operation) for operation in operations]
        end, shows = xive.snapshot(), xive.pic()
        xive.restore(start)
        assert xive.snapshot() == start
        assert xive.snapshot().digest() == start.digest()
        again = [self.do(*operation) for operation in operations]
        assert shown(again) == shown(answers)
        assert (xive.snapshot(), xive.snapshot().digest(), xive.pic()) == (end, end.digest(), shows)
        self.raw, self.pulled = raw
        if not self.tame:
            self.raw |= set(range(self.cpus))
            self.pulled |= set(range(self.cpus))

    # What always holds

    @invariant()
    def the_oracle_agrees(self):
        if hasattr(self, "pair"):
            self.pair.check()

    @invariant()
    def registers_are_consistent(self):
        for cpu in self.pair.xive.order if hasattr(self, "pair") else ():
            nsr, cppr, ipb, pipr = registers(self.pair, cpu)
            up = self.pair.xive.cpu(cpu).irq()
            assert nsr in (0, EO) or cpu in self.raw
            if cpu not in self.raw:
                assert pipr == (8 - ipb.bit_length() if ipb else 0xFF)
                assert cppr <= 7 or cppr == 0xFF
                assert not up or nsr == EO, "the line is raised together with the exception, and never outlives it"
                assert nsr == EO or pipr >= cppr, "what may interrupt does"
                assert nsr == 0 or ipb, "an exception has a cause"
            if cpu not in self.raw | self.pulled:
                assert up == (nsr == EO)
            assert pipr <= 7 or pipr == 0xFF

    def teardown(self):
        if hasattr(self, "pair"):
            self.pair.check_memory()
            assert self.pair.xive.pic().endswith("irqchip: emulated\n")


class TameMachine(Machine):
    """Without raw stores and without contexts that come and go."""

    tame = True


def campaign(machine, examples):
    case = machine.TestCase
    case.settings = settings(
        max_examples=examples, stateful_step_count=40, deadline=None, derandomize=True, database=None
    )
    return case


TestMachine = campaign(Machine, 60)
TestTameMachine = campaign(TameMachine, 60)


def test_the_sources_are_the_ones_of_the_pool():
    assert {lisn for lisn, _ in CLAIMS} < set(LISN_POOL)
