"""One full interrupt cycle: trigger store, acknowledge load, event queue read, EOI load, CPPR store.

Each function makes a controller on which a cycle can be repeated, and says what repeats it; every answer of the cycles
is checked once before they are measured.
"""

from array import array
from collections.abc import Callable

from outboard.guest.memory import GuestMemory, Region
from outboard.spapr.batch import Batch, Op
from outboard.spapr.bus import TIMA_OS
from outboard.spapr.cpu import Cpu
from outboard.spapr.xive import SpaprXive
from outboard.spec.papr import ESB_BASE, H
from outboard.spec.xive import EAS, END, NVT, RingW2
from outboard.xive.events import Events
from outboard.xive.presenter import Presenter
from outboard.xive.ram_tables import RamRouter
from outboard.xive.source import Source
from outboard.xive.tima import Tima

ACK = TIMA_OS + 0x810
CPPR = TIMA_OS + 0x11
QUEUE = 0x200_0000
QUEUE_SHIFT = 12
EISN = 0x10
EXCEPTION = 0x8006
"""What the acknowledge load returns: an exception of the OS ring, priority 6."""

Run = Callable[[int], int]
"""Does about so many cycles, and returns how many it did."""


def spapr(cpus: int = 2, target: int = 0) -> SpaprXive:
    """Return a controller whose IPI `target` goes to CPU `target` at priority 6."""
    xive = SpaprXive(cpus)
    cpu = xive.cpu(target)
    assert cpu.hcall("H_INT_SET_QUEUE_CONFIG", 1, target, 6, QUEUE, QUEUE_SHIFT) == (H.SUCCESS,)
    assert cpu.hcall("H_INT_SET_SOURCE_CONFIG", 2, target, target, 6, EISN) == (H.SUCCESS,)
    cpu.set_cppr(0xFF)
    cpu.esb(target, 0xC00)
    return xive


def pages(lisn: int) -> tuple[int, int]:
    """Return the addresses of a source's trigger page and management page."""
    return ESB_BASE + (lisn << 17), ESB_BASE + (lisn << 17) + 0x10000


def check(cpu: Cpu) -> None:
    """Do one cycle and check every answer; leave the queue where it is read next."""
    trigger, management = pages(cpu.index)
    cpu.store(trigger, 8, 0)
    assert cpu.irq() and cpu.load(ACK, 2) == EXCEPTION and not cpu.irq()
    assert cpu.load(QUEUE, 4) == 1 << 31 | EISN
    assert cpu.load(management, 8) == 0
    cpu.store(CPPR, 1, 0xFF)


def by_calls(xive: SpaprXive, target: int = 0) -> Run:
    """Repeat the cycle by five calls from Python."""
    cpu = xive.cpu(target)
    check(cpu)
    trigger, management = pages(target)

    def run(count: int) -> int:
        load, store = cpu.load, cpu.store
        for _ in range(count):
            store(trigger, 8, 0)
            load(ACK, 2)
            load(QUEUE, 4)
            load(management, 8)
            store(CPPR, 1, 0xFF)
        return count

    return run


def batch(target: int, count: int) -> Batch:
    """Return `count` cycles as a batch."""
    trigger, management = pages(target)
    return Batch(
        bytearray([Op.STORE, Op.LOAD, Op.LOAD, Op.LOAD, Op.STORE] * count),
        array("H", [target] * 5 * count),
        bytearray([8, 2, 4, 8, 1] * count),
        array("Q", [trigger, ACK, QUEUE, management, CPPR] * count),
        array("Q", [0, 0, 0, 0, 0xFF] * count),
    )


def by_batch(xive: SpaprXive, target: int = 0, size: int = 20_000) -> Run:
    """Repeat the cycle by batches of `size`; the answers of the first are checked."""
    check(xive.cpu(target))
    many = batch(target, size)
    answers = many.run(xive)
    assert set(answers[1::5]) == {EXCEPTION} and not any(answers[3::5]) and answers[2] & 0x7FFFFFFF == EISN

    def run(count: int) -> int:
        batches = max(1, count // size)
        for _ in range(batches):
            many.run(xive)
        return batches * size

    return run


# The router with its tables in RAM: 1 << 12 ENDs and NVTs behind any number of sources

EAT_ADDR, ENDT_ADDR, NVTT_ADDR, QUEUES = 0x0010_0000, 0x1000_0000, 0x1100_0000, 0x1200_0000
RAM = 0x1300_0000
W2 = RingW2.valid.mask | 0x400


def ram_tables(sources: int) -> tuple[Source, Tima, GuestMemory]:
    """Return the engines around tables in RAM: every source is routed to NVT 0x400, which thread 0 has."""
    memory = GuestMemory()
    memory.add(Region(0, 0, memoryview(bytearray(RAM))))
    events = Events()
    presenter = Presenter([0], events)
    tables = {"eat": (EAT_ADDR, sources), "endt": (ENDT_ADDR, 1 << 12), "nvtt": (NVTT_ADDR, 1 << 12)}
    router = RamRouter(presenter, memory, events, **tables)
    source = Source(router, sources, events)
    router.source = source
    eas = EAS.make(valid=1, end_index=1, end_data=EISN).pack()
    buffer = memory.regions[0].buffer
    buffer[EAT_ADDR : EAT_ADDR + 8 * sources] = eas * sources
    end = END.make(valid=1, enqueue=1, ucond_notify=1, generation=1, op_desc_lo=QUEUES, nvt_index=0x400, priority=6)
    buffer[ENDT_ADDR + 32 : ENDT_ADDR + 64] = end.pack()
    buffer[NVTT_ADDR + 64 * 0x400 : NVTT_ADDR + 64 * 0x401] = NVT.make(valid=1).pack()
    presenter.enable(0, True)
    presenter.set_w2(0, 0x10, W2)
    return source, Tima(presenter, router, events), memory


def by_engines(sources: int) -> Run:
    """Repeat the cycle on engines around tables in RAM, over sources that lie all over their space."""
    source, tima, memory = ram_tables(sources)
    step = max(1, sources // 64) | 1
    lisns = [(number * step) % sources for number in range(64)]
    for lisn in set(lisns):
        source.set_pq(lisn, 0)
    stores = [lisn << 17 for lisn in lisns]
    tima.store(0, 0x20011, 1, 0xFF)
    source.store(stores[0], 0)
    assert tima.load(0, 0x20810, 2) == EXCEPTION and memory.load(QUEUES, 4) == 1 << 31 | EISN
    assert source.load(stores[0] + 0x10000) == 0
    tima.store(0, 0x20011, 1, 0xFF)

    def run(count: int) -> int:
        rounds = max(1, count // len(stores))
        for _ in range(rounds):
            for trigger in stores:
                source.store(trigger, 0)
                tima.load(0, 0x20810, 2)
                memory.load(QUEUES, 4)
                source.load(trigger + 0x10000)
                tima.store(0, 0x20011, 1, 0xFF)
        return rounds * len(stores)

    return run


def with_candidates(candidates: int) -> Run:
    """Trigger an event whose NVT `candidates` threads claim to have; more than one get nothing."""
    xive = SpaprXive(max(candidates, 2))
    cpu = xive.cpu(0)
    cpu.hcall("H_INT_SET_QUEUE_CONFIG", 1, 0, 6, QUEUE, QUEUE_SHIFT)
    cpu.hcall("H_INT_SET_SOURCE_CONFIG", 2, 0, 0, 6, EISN)
    for thread in range(candidates):
        xive.presenter.set_w2(thread, 0x10, W2)
    trigger, management = pages(0)
    cpu.esb(0, 0xC00)

    def run(count: int) -> int:
        load, store = cpu.load, cpu.store
        for _ in range(count):
            store(trigger, 8, 0)
            load(management, 8)
        return count

    return run
