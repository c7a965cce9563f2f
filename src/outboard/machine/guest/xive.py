"""XIVE as an operating system drives it in exploitation mode: a queue a CPU, one priority, EOI by page.

Source: LoPAPR, "XIVE exploitation mode"; the order of calls and accesses is that of Linux 6.1.

Modelled: queues with their generation bit, IPIs, message and level sources, masking, moves, CPUs that go and come back.
Not modelled: escalation queues, END pages, more than one priority; store EOI where a source offers it: loads do.

A source has a new EISN with each request, so that what is still in a queue when it is freed is known to be stale.
"""

from itertools import count
from typing import NamedTuple

from outboard.errors import LocalError, ProtocolError
from outboard.machine.cpu import Cpu
from outboard.machine.guest.controller import Counters, Handler, IpiHandler, Source, Table, hcall, nothing
from outboard.machine.guest.heap import Heap
from outboard.spec.papr import XIVE_HCALLS, SetQueueConfig, SetSourceConfig, SourceInfo
from outboard.spec.xive import EQ_ENTRY_SIZE, PRIORITY_NONE, TIMA_OPS, TimaOp

CALLS = {row.name: row.opcode for row in XIVE_HCALLS}
OFFSETS = {row.op: row.offset for row in TIMA_OPS}
ACK, CPPR = OFFSETS[TimaOp.ACCEPT_OS], OFFSETS[TimaOp.SET_OS_CPPR]
EXCEPTION = 0x80
"""NSR: the OS ring has an exception."""
EOI, PQ_00, PQ_01 = 0x000, 0xC00, 0xD00
"""Offsets of loads in a source's management page: end of interrupt, set PQ and return the old ones."""
Q = 1
GENERATION = 1 << 31
IPI_EISN = 0x10
"""EISN of all IPIs; those of other sources follow."""
EISN_MAX = GENERATION - 1
ANY_PRIORITY = 6
"""The priority of everything: the least favoured one that the hypervisor leaves to the guest."""


class Place(NamedTuple):
    """How a source is reached. management, trigger: its pages; None where hypercalls are to be made instead."""

    lsi: bool
    management: int | None
    trigger: int | None


class Queue:
    """A CPU's event queue, of `size` bytes, a power of two."""

    def __init__(self, cpu: Cpu, addr: int, size: int) -> None:
        self.addr = addr
        self.size = size
        self.clear(cpu)

    def clear(self, cpu: Cpu) -> None:
        """Begin anew: the controller writes from the first entry on, with generation 1."""
        cpu.memory.write(self.addr, bytes(self.size))
        self.at = 0
        self.old = 0

    def peek(self, cpu: Cpu) -> int | None:
        """Return the EISN of the next entry, None while its generation bit is the old one."""
        entry = cpu.load(self.addr + self.at, EQ_ENTRY_SIZE)
        return entry & EISN_MAX if entry >> 31 != self.old else None

    def take(self, cpu: Cpu) -> int | None:
        """Return the EISN of the next entry and go on behind it."""
        eisn = self.peek(cpu)
        if eisn is not None:
            self.at = (self.at + EQ_ENTRY_SIZE) % self.size
            self.old ^= self.at == 0
        return eisn


class XiveController:
    """A guest's XIVE driver; see `InterruptController`.

    tima: guest address of the TIMA's OS page; queue_shift: log2 of a queue's bytes. Both are in the device tree.
    """

    name = "xive"

    def __init__(self, heap: Heap, tima: int, queue_shift: int = 16) -> None:
        self.heap = heap
        self.tima = tima
        self.queue_shift = queue_shift
        self.counters = Counters()
        self.on_ipi: IpiHandler = nothing
        self.table = Table()
        self._queues: dict[int, Queue] = {}
        self._places: dict[int, Place] = {}
        self._ipis: dict[int, int] = {}
        self._by_eisn: dict[int, Source] = {}
        self._eisns = count(IPI_EISN + 1)

    # CPUs

    def setup_cpu(self, cpu: Cpu) -> None:
        """See `InterruptController.setup_cpu`."""
        if cpu.index in self.table.cpus:
            raise LocalError(f"CPU {cpu.index} is set up already")
        self._give_queue(cpu)
        ipi = self._place(cpu, cpu.vcpu_id)
        self._esb(cpu, cpu.vcpu_id, PQ_01)
        self._configure(cpu, cpu.vcpu_id, cpu, IPI_EISN)
        self._esb(cpu, cpu.vcpu_id, PQ_00)
        if ipi.trigger is None:
            raise ProtocolError(f"IPI {cpu.vcpu_id:#x}", "a trigger page", "none")
        self._ipis[cpu.index] = ipi.trigger
        self.table.cpus[cpu.index] = cpu
        self._set_cppr(cpu, PRIORITY_NONE)

    def _give_queue(self, cpu: Cpu) -> None:
        """Have events of the CPU's priority written to a queue of its own, and all of them notified."""
        if cpu.index in self._queues:
            self._queues[cpu.index].clear(cpu)
        else:
            size = 1 << self.queue_shift
            self._queues[cpu.index] = Queue(cpu, self.heap.allocate(size, size), size)
        self._call(cpu, "H_INT_GET_QUEUE_INFO", 0, cpu.vcpu_id, ANY_PRIORITY)
        where = self._queues[cpu.index].addr, self.queue_shift
        self._call(cpu, "H_INT_SET_QUEUE_CONFIG", SetQueueConfig.ALWAYS_NOTIFY, cpu.vcpu_id, ANY_PRIORITY, *where)

    def stop_cpu(self, cpu: Cpu) -> None:
        """See `InterruptController.stop_cpu`."""
        for source, target in self.table.leave(cpu):
            self._move(cpu, source, target)
        self._esb(cpu, cpu.vcpu_id, PQ_01)
        self._call(cpu, "H_INT_SYNC", 0, cpu.vcpu_id)
        self._set_cppr(cpu, 0)
        queue = self._queues[cpu.index]
        while (eisn := queue.take(cpu)) is not None:
            self._flush(cpu, eisn)
        self._call(cpu, "H_INT_SET_QUEUE_CONFIG", 0, cpu.vcpu_id, ANY_PRIORITY, 0, 0)
        del self._ipis[cpu.index]

    def _flush(self, cpu: Cpu, eisn: int) -> None:
        """See to an event in the queue of a CPU that goes: an IPI is handled, a source sends its event again."""
        source = self._by_eisn.get(eisn)
        if eisn == IPI_EISN:
            self.counters.ipis[cpu.index] += 1
            self.on_ipi(cpu)
        elif source is None:
            self.counters.stale += 1
        elif source.masked:
            self._hold(cpu, source)
        else:
            self._resend(cpu, source)

    # Sources

    def request(self, cpu: Cpu, lisn: int, handler: Handler, lsi: bool = False, target: int | None = None) -> None:
        """See `InterruptController.request`. Raises Failed for a number that the machine has not."""
        at = self.table.cpu(cpu.index if target is None else target)
        place = self._place(cpu, lisn)
        if place.lsi != lsi:
            raise LocalError(f"LISN {lisn:#x} is {'a level' if place.lsi else 'a message'}, not what the driver says")
        source = Source(lisn, handler, lsi, at, eisn=next(self._eisns))
        self.table.add(source)
        self._by_eisn[source.eisn] = source
        self._esb(cpu, lisn, PQ_01)
        self._configure(cpu, lisn, at, source.eisn)
        self._enable(cpu, source)

    def free(self, cpu: Cpu, lisn: int) -> None:
        """See `InterruptController.free`."""
        source = self.table.find(lisn)
        self._esb(cpu, lisn, PQ_01)
        self._call(cpu, "H_INT_SET_SOURCE_CONFIG", 0, lisn, 0, PRIORITY_NONE, 0)
        self._call(cpu, "H_INT_SYNC", 0, lisn)
        del self.table.sources[lisn], self._by_eisn[source.eisn]

    def mask(self, cpu: Cpu, lisn: int) -> None:
        """See `InterruptController.mask`."""
        self.table.find(lisn).masked = True

    def unmask(self, cpu: Cpu, lisn: int) -> None:
        """See `InterruptController.unmask`."""
        source = self.table.find(lisn)
        source.masked = False
        if source.held:
            source.held = False
            self._resend(cpu, source)

    def set_affinity(self, cpu: Cpu, lisn: int, target: int) -> None:
        """See `InterruptController.set_affinity`. What is in the old CPU's queue is handled there."""
        self._move(cpu, self.table.find(lisn), self.table.cpu(target))

    def _move(self, cpu: Cpu, source: Source, target: Cpu) -> None:
        source.target = target
        self._configure(cpu, source.lisn, target, source.eisn)
        self._call(cpu, "H_INT_SYNC", 0, source.lisn)

    def send_ipi(self, cpu: Cpu, target: int) -> None:
        """See `InterruptController.send_ipi`."""
        cpu.store(self._ipis[self.table.cpu(target).index], 8, 0)

    # Taking interrupts

    def handle(self, cpu: Cpu) -> int:
        """See `InterruptController.handle`.

        Entries that follow another in the queue raise no exception of their own: all are taken before CPPR opens.
        """
        if not cpu.load(self.tima + ACK, 2) >> 8 & EXCEPTION:
            self.counters.spurious[cpu.index] += 1
            return 0
        queue, taken = self._queues[cpu.index], 0
        while (eisn := queue.take(cpu)) is not None:
            self._dispatch(cpu, eisn)
            taken += 1
        self.counters.spurious[cpu.index] += not taken
        self._set_cppr(cpu, PRIORITY_NONE)
        return taken

    def _dispatch(self, cpu: Cpu, eisn: int) -> None:
        source = self._by_eisn.get(eisn)
        if eisn == IPI_EISN:
            self.counters.ipis[cpu.index] += 1
            self.on_ipi(cpu)
            self._eoi(cpu, cpu.vcpu_id)
        elif source is None:
            self.counters.stale += 1
        elif source.masked:
            self._hold(cpu, source)
        else:
            self.counters.sources[source.lisn] += 1
            source.handler(cpu, source.lisn)
            if self._by_eisn.get(eisn) is source:  # its handler may have freed it
                self._eoi(cpu, source.lisn)

    def _hold(self, cpu: Cpu, source: Source) -> None:
        """Keep an event of a masked source for later, and have the source send no more."""
        source.held = True
        self.counters.held += 1
        self._esb(cpu, source.lisn, PQ_01)

    # Pages

    def _enable(self, cpu: Cpu, source: Source) -> None:
        """Let a source that is off send events, beginning with a level that is high."""
        self._esb(cpu, source.lisn, PQ_00)
        if source.lsi:
            self._esb(cpu, source.lisn, EOI)

    def _resend(self, cpu: Cpu, source: Source) -> None:
        """Have a source send its event, which nobody will end, once more."""
        self._enable(cpu, source)
        if not source.lsi:
            self._trigger(cpu, source.lisn)

    def _eoi(self, cpu: Cpu, lisn: int) -> None:
        """End an interrupt; an event that came meanwhile (Q) is sent once more."""
        if self._places[lisn].lsi:
            self._esb(cpu, lisn, EOI)
        elif self._esb(cpu, lisn, PQ_00) & Q:
            self._trigger(cpu, lisn)

    def _trigger(self, cpu: Cpu, lisn: int) -> None:
        trigger = self._places[lisn].trigger
        assert trigger is not None, "only levels have none"
        cpu.store(trigger, 8, 0)

    def _esb(self, cpu: Cpu, lisn: int, offset: int) -> int:
        """Load at an offset of a source's management page."""
        management = self._places[lisn].management
        if management is None:
            return self._call(cpu, "H_INT_ESB", 0, lisn, offset, 0)[0]
        return cpu.load(management + offset, 8)

    def _place(self, cpu: Cpu, lisn: int) -> Place:
        if lisn not in self._places:
            says, management, trigger, _ = self._call(cpu, "H_INT_GET_SOURCE_INFO", 0, lisn)[:4]
            by_page = not says & SourceInfo.USE_H_INT_ESB
            if says & SourceInfo.TRIGGER_PAGE:
                trigger = management
            self._places[lisn] = Place(
                bool(says & SourceInfo.LSI), management if by_page else None, trigger if by_page else None
            )
        return self._places[lisn]

    # Calls

    def _call(self, cpu: Cpu, name: str, *arguments: int) -> tuple[int, ...]:
        return hcall(cpu, name, CALLS[name], *arguments)

    def _configure(self, cpu: Cpu, lisn: int, target: Cpu, eisn: int) -> None:
        flags = SetSourceConfig.SET_EISN
        self._call(cpu, "H_INT_SET_SOURCE_CONFIG", flags, lisn, target.vcpu_id, ANY_PRIORITY, eisn)

    def _set_cppr(self, cpu: Cpu, cppr: int) -> None:
        cpu.store(self.tima + CPPR, 1, cppr)
