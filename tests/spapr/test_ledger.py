"""No event is lost, none comes twice: an operating system as Linux is, on a model, with a ledger of its own.

The ledger knows four things of a source: is it on, does an interrupt of it await its end, did another event come in
the meantime, is its input high. It says which entry every queue has to get; the queues are read as Linux reads them.
"""

from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from outboard.spapr import SpaprXive
from outboard.spec.papr import ESB_BASE
from outboard.spec.xive import END

IPIS, MSIS, LSIS = [0, 1], [0x1000, 0x1300, 0x1301], [0x1200, 0x1201]
SOURCES = [*IPIS, *MSIS, *LSIS]
ENTRIES, QUEUE, PRIORITY = 1024, 0x100000, 6
ON, OFF = 0xC00, 0xD00
SETUP = {lisn: 0x10 + number for number, lisn in enumerate(SOURCES)}


class Entry:
    """What the ledger knows of one source."""

    def __init__(self, cpu):
        self.cpu, self.masked = cpu, False
        self.off = self.awaits_end = self.another = self.high = self.lost = False


class Queue:
    """An event queue as Linux has it: the index of the next entry, and the bit that entries of the last round have."""

    def __init__(self, memory, addr):
        self.memory, self.addr = memory, addr
        self.index = self.toggle = 0

    def take(self):
        """Return the next event's number, 0 where there is none yet."""
        word = int.from_bytes(self.memory.read(self.addr + 4 * self.index, 4), "big")
        if word >> 31 == self.toggle:
            return 0
        self.index += 1
        if self.index == ENTRIES:
            self.index, self.toggle = 0, 1 - self.toggle
        return word & 0x7FFFFFFF


class Linux:
    """A running system. expected: by CPU, the entries that its queue holds and nobody has taken."""

    def __init__(self, cpus, vsmt=1, start=0):
        self.xive = SpaprXive(cpus, vsmt=vsmt, sources=[(lisn, lisn in LSIS) for lisn in SOURCES])
        self.cpus, self.vsmt = range(cpus), vsmt
        self.queues = [Queue(self.xive.memory, QUEUE + 0x1000 * cpu) for cpu in self.cpus]
        self.expected = [deque() for _ in self.cpus]
        self.taken = []
        self.ledger = {lisn: Entry(0) for lisn in SOURCES}
        for cpu in self.cpus:
            self.hcall(0x3B8, 1, cpu * vsmt, PRIORITY, self.queues[cpu].addr, 12)
            self.wind(cpu, start)
            self.xive.cpu(cpu).set_cppr(0xFF)
        for lisn in SOURCES:
            self.route(lisn, 0)
            self.xive.cpu(0).esb(lisn, ON)

    def wind(self, cpu, start):
        """Let the queue be at an index as it is after so many events, by its END."""
        index = cpu * self.vsmt * 8 + PRIORITY
        end = self.xive.router.read_end(index)
        self.xive.router.set_end(index, END(end.words[0], 0x00400000 | start, *end.words[2:]))
        self.queues[cpu].index = start
        self.xive.memory.write(self.queues[cpu].addr, b"\x80\0\0\1" * start)

    def hcall(self, *words):
        assert self.xive.cpu(0).hcall(*words)[0] == 0, words

    # What the ledger says

    def sent(self, lisn):
        entry = self.ledger[lisn]
        entry.lost = entry.masked
        if not entry.masked:
            self.expected[entry.cpu].append(SETUP[lisn])

    def triggered(self, lisn):
        entry = self.ledger[lisn]
        if entry.off:
            return
        if entry.awaits_end:
            entry.another = True
            return
        entry.awaits_end = True
        self.sent(lisn)

    def ended(self, lisn):
        entry = self.ledger[lisn]
        again, entry.another = entry.another, False
        entry.awaits_end = False
        if again:
            entry.awaits_end = True
            if not entry.high:
                self.sent(lisn)
        elif entry.high:
            self.triggered(lisn)

    # What happens

    def route(self, lisn, cpu, mask=False):
        self.hcall(0x3AC, 3 if mask else 2, lisn, cpu * self.vsmt, PRIORITY, SETUP[lisn])
        self.ledger[lisn].cpu, self.ledger[lisn].masked = cpu, mask

    def raised(self, lisn, level):
        entry = self.ledger[lisn]
        entry.high = bool(level)
        self.xive.set_irq(lisn, level)
        if level and not entry.awaits_end:
            self.triggered(lisn)

    def end(self, lisn, cpu, by_page):
        """End an interrupt as Linux does: by the EOI load; or PQ becomes 00, and the event that had come is resent."""
        entry, thread = self.ledger[lisn], self.xive.cpu(cpu)
        if by_page or entry.high or entry.off:
            again, was = thread.eoi(lisn), entry.another and not entry.off
            if not entry.high:
                assert again == was
            if not entry.off:
                self.ended(lisn)
            return
        old = thread.esb(lisn, ON)
        assert old == entry.awaits_end * 2 + entry.another
        entry.awaits_end = entry.another = False
        if old & 1:
            thread.trigger(lisn)
            self.triggered(lisn)

    def interrupt(self, cpu, by_page=True, most=None):
        """Take the interrupts of a CPU whose line is up; return the numbers of the sources."""
        thread, queue, handled = self.xive.cpu(cpu), self.queues[cpu], []
        assert thread.irq() == bool(thread.ring()["NSR"])
        if not thread.irq():
            return handled
        assert thread.ack() == 0x8000 | PRIORITY
        while len(handled) != most and (eisn := queue.take()):
            assert eisn == self.expected[cpu].popleft()
            lisn = SOURCES[eisn - 0x10]
            handled.append(lisn)
            if self.ledger[lisn].high and handled.count(lisn) > 2:
                self.raised(lisn, 0)  # its driver is slow, and comes to it at last
            self.end(lisn, cpu, by_page)
        if len(handled) == most and self.expected[cpu]:
            thread.set_pending(PRIORITY)  # it looks again later
        thread.set_cppr(0xFF)
        return handled

    def drain(self):
        """Lower all inputs and take interrupts until there are none."""
        for lisn in LSIS:
            self.raised(lisn, 0)
        for _ in range(100):
            if not [lisn for cpu in self.cpus for lisn in self.interrupt(cpu)]:
                break
        assert not any(self.expected)
        assert not any(self.xive.cpu(cpu).irq() for cpu in self.cpus)
        assert all(not queue.take() for queue in self.queues), "nothing that the ledger does not have"
        for lisn, entry in self.ledger.items():
            pq = self.xive.source.pq(lisn)
            assert pq == (1 if entry.off else entry.awaits_end * 2 + entry.another)
            assert not entry.awaits_end or entry.off or entry.lost, "sent, and never seen"


class System(RuleBasedStateMachine):
    """A system at work."""

    @initialize(cpus=st.integers(1, 3), vsmt=st.sampled_from([1, 8]), start=st.sampled_from([0, 1000, 1021, 1023]))
    def start(self, cpus, vsmt, start):
        self.linux = Linux(cpus, vsmt, start)

    def cpu(self, number):
        return number % len(self.linux.cpus)

    @rule(lisn=st.sampled_from(MSIS), count=st.integers(1, 3))
    def device(self, lisn, count):
        for _ in range(count):
            self.linux.xive.pulse(lisn)
            self.linux.triggered(lisn)

    @rule(lisn=st.sampled_from(IPIS), cpu=st.integers(0, 2), count=st.integers(1, 3))
    def ipi(self, lisn, cpu, count):
        for _ in range(count):
            self.linux.xive.cpu(self.cpu(cpu)).trigger(lisn)
            self.linux.triggered(lisn)

    @rule(lisn=st.sampled_from(LSIS), level=st.integers(0, 1))
    def line(self, lisn, level):
        self.linux.raised(lisn, level)

    @rule(lisn=st.sampled_from(SOURCES), count=st.integers(1, 40))
    def inject(self, lisn, count):
        for _ in range(count):
            self.linux.xive.cpu(0).store(ESB_BASE + lisn * 0x20000 + 0x10800, 8, 0)
            lost = self.linux.ledger[lisn].lost
            self.linux.sent(lisn)
            self.linux.ledger[lisn].lost = lost

    @rule(lisn=st.sampled_from(SOURCES), cpu=st.integers(0, 2))
    def move(self, lisn, cpu):
        self.linux.route(lisn, self.cpu(cpu), mask=self.linux.ledger[lisn].masked)

    @rule(lisn=st.sampled_from(SOURCES), mask=st.booleans())
    def mask_in_the_eas(self, lisn, mask):
        self.linux.route(lisn, self.linux.ledger[lisn].cpu, mask)

    @rule(lisn=st.sampled_from(SOURCES))
    def mask_at_the_source(self, lisn):
        entry = self.linux.ledger[lisn]
        if not entry.awaits_end:
            assert self.linux.xive.cpu(0).esb(lisn, OFF) in (0, 1)
            entry.off = True

    @rule(lisn=st.sampled_from(SOURCES))
    def unmask_at_the_source(self, lisn):
        entry = self.linux.ledger[lisn]
        if entry.off:
            assert self.linux.xive.cpu(0).esb(lisn, ON) == 1
            entry.off = False
            if entry.high:  # a line that is up is seen when it is raised, or at an end of interrupt
                assert self.linux.xive.cpu(0).eoi(lisn) == 1
                self.linux.triggered(lisn)

    @rule(cpu=st.integers(0, 2), by_page=st.booleans(), most=st.sampled_from([None, None, 1, 3]))
    def interrupt(self, cpu, by_page, most):
        self.linux.interrupt(self.cpu(cpu), by_page, most)

    def teardown(self):
        if hasattr(self, "linux"):
            self.linux.drain()


TestSystem = System.TestCase
TestSystem.settings = settings(max_examples=100, stateful_step_count=60, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize("vsmt", [1, 8])
def test_a_queue_that_goes_round_many_times(vsmt):
    linux = Linux(2, vsmt, 1020)
    for number in range(5 * ENTRIES):
        lisn = MSIS[number % 3]
        linux.xive.pulse(lisn)
        linux.triggered(lisn)
        assert linux.interrupt(0, by_page=number % 2 == 0) == [lisn]
    assert linux.queues[0].toggle == 1
    linux.drain()


@pytest.mark.parametrize("count", [1, ENTRIES - 1, ENTRIES, ENTRIES + 1, 2 * ENTRIES, 2 * ENTRIES + 5])
def test_a_full_queue_is_overwritten_from_its_start(count):
    linux = Linux(1)
    latest = [0] * ENTRIES
    for number in range(count):
        lisn = SOURCES[number % len(SOURCES)]
        linux.xive.cpu(0).store(ESB_BASE + lisn * 0x20000 + 0x10800, 8, 0)
        latest[number % ENTRIES] = (number // ENTRIES + 1) % 2 << 31 | SETUP[lisn]
    memory = linux.xive.memory.read(QUEUE, 4 * ENTRIES)
    assert [int.from_bytes(memory[at : at + 4], "big") for at in range(0, len(memory), 4)] == latest
    end = linux.xive.router.read_end(PRIORITY)
    assert (end.page_off, end.generation) == (count % ENTRIES, (count // ENTRIES + 1) % 2)
