"""A hostile guest of the pseries interrupt controller, and random tables of a bare one: nothing raises, all ends."""

import random
from array import array

import pytest

from outboard.guest.memory import GuestMemory, Region
from outboard.spapr import PAPR, QEMU_10_0, SpaprXive
from outboard.spapr.batch import REGISTERS, Batch, Op
from outboard.xive.end_source import EndSource
from outboard.xive.events import Events
from outboard.xive.presenter import Presenter
from outboard.xive.ram_tables import EAT, ENDT, NVTT, RamRouter
from outboard.xive.source import Source
from outboard.xive.tima import Tima
from tests.spapr.machine import CLAIMS, REFUSED, perform
from tests.spapr.operations import BORDERS, EDGES, HOSTILE, SIZES, Draws, any_operation, setup

KINDS = (
    {"cpus": 1},
    {"cpus": 3, "max_cpus": 4, "vsmt": 8},
    {"cpus": 4, "flavour": PAPR},
    {"cpus": 2, "flavour": QEMU_10_0},
    {"cpus": 2, "esb_shift": 12, "source_flags": 7},
    {"cpus": 2, "esb_shift": 13, "source_flags": 4, "host_byteorder": "big"},
    {"cpus": 2, "esb_shift": 16, "source_flags": 2},
)
WORD = (1 << 64) - 1


class Bench:
    """A machine of each kind, with its start; told counts the lines that were made."""

    def __init__(self):
        self.machines = [SpaprXive(**kind, sources=CLAIMS) for kind in KINDS]
        self.starts = [xive.snapshot() for xive in self.machines]
        self.told = 0
        for xive in self.machines:
            xive.events.listen(lambda event, values, xive=xive: self.tell(xive.events.line(event, values)))

    def tell(self, line):
        assert line and "\n" not in line and "%" not in line
        self.told += 1


def guest(rng, bench):
    """Operations of every kind, as they come or mutated."""
    number = rng.randrange(len(KINDS))
    xive = bench.machines[number]
    xive.restore(bench.starts[number])
    draw = Draws(rng, len(xive.cpus), xive.vsmt, xive.source.shift)
    for operation in setup(draw) if rng.random() < 0.8 else ():
        perform(xive, *operation)
    for _ in range(rng.randint(5, 40)):
        operation = any_operation(draw, HOSTILE)
        do(xive, *(mutated(rng, operation) if rng.random() < 0.3 else operation))
    if rng.random() < 0.3:
        batch(rng, xive)
    if rng.random() < 0.1:
        assert xive.pic().endswith("irqchip: emulated\n")
    everything = xive.snapshot()
    xive.restore(bench.starts[number])
    assert xive.snapshot() == bench.starts[number]
    xive.restore(everything)
    assert xive.snapshot() == everything


def do(xive, name, *words):
    """Do one operation; a hypercall that fails and whatever is refused change nothing."""
    before = xive.snapshot() if name.endswith("hcall") else None
    answer = perform(xive, name, *words)
    if before is not None and (answer == REFUSED or answer[0] != 0):
        assert xive.snapshot() == before
        assert answer == REFUSED or len(answer) == 1
    if name.endswith("hcall") and answer != REFUSED:
        assert -60 < answer[0] <= 0 and all(0 <= value <= WORD for value in answer[1:])
    if name == "load" and answer != REFUSED:
        assert 0 <= answer < 1 << 8 * words[2]


def mutated(rng, operation):
    """Return the operation with a number of it changed."""
    name, *words = operation
    if not words:
        return operation
    at, kind = rng.randrange(len(words)), rng.randrange(4)
    if kind == 0:
        words[at] = rng.choice(EDGES)
    elif kind == 1:
        words[at] ^= 1 << rng.randrange(64)
    elif kind == 2:
        words[at] = rng.getrandbits(rng.choice([3, 13, 32, 64]))
    else:
        words[at] += rng.choice([-8, -1, 1, 8])
    return name, *words


def batch(rng, xive):
    """Columns of anything that a batch may have: addresses and numbers are any."""
    count, rows, cpus = rng.randint(1, 40), rng.randint(1, 4), list(xive.order)
    ops = [rng.choice(list(Op)) for _ in range(count)]
    sizes = [rng.choice(SIZES) for _ in range(count)]
    addrs = [any_address(rng, op) for op in ops]
    values = [
        rng.randrange(rows) if op == Op.HCALL else rng.getrandbits(8 * size)
        for op, size in zip(ops, sizes, strict=True)
    ]
    for at, op in enumerate(ops):
        if op == Op.SET_IRQ and not xive.is_claimed(addrs[at]):
            ops[at] = Op.IRQ
    registers = array("Q", [rng.choice([rng.choice(EDGES), rng.getrandbits(64)]) for _ in range(rows * REGISTERS)])
    columns = array("H", [rng.choice(cpus) for _ in range(count)]), bytes(sizes), array("Q", addrs), array("Q", values)
    assert len(Batch(bytes(ops), *columns, registers).run(xive)) == count


def any_address(rng, op):
    if op == Op.HCALL:
        return rng.choice([0x3A8 + 4 * rng.randrange(12), rng.getrandbits(64)])
    if op == Op.SET_IRQ:
        return rng.choice(CLAIMS)[0]
    near = rng.choice(BORDERS) + rng.randrange(-32, 32)
    return rng.choice([near, near, rng.getrandbits(64), rng.choice(BORDERS) + rng.getrandbits(30)]) & WORD


# Tables in memory

LOW, HIGH, RAM = 0, 0x40000, 0x8000
THREADS = 3


class Tables:
    """A bare controller over two small pieces of memory, in which everything lies on top of everything."""

    def __init__(self, rng):
        self.memory = GuestMemory()
        self.bytes = [bytearray(RAM), bytearray(RAM)]
        for addr, cells in zip((LOW, HIGH), self.bytes, strict=True):
            self.memory.add(Region(addr, addr, memoryview(cells)))
        self.events = Events()
        if rng.random() < 0.5:
            self.events.listen(lambda event, values: self.events.line(event, values))
        self.presenter = Presenter([0, 1, 0x7F], self.events, says_undispatched=rng.random() < 0.5)
        block = rng.choice([0, 0, 0, 1, 15])
        self.router = RamRouter(self.presenter, self.memory, self.events, block)
        self.source = Source(self.router, 16, self.events, 12, rng.choice([0, 2, 4, 7]))
        self.router.source = self.source
        self.tima = Tima(self.presenter, self.router, self.events, rng.random() < 0.5)
        self.ends = EndSource(self.router, self.events, 64, 12)
        self.block = block
        for thread in range(THREADS):
            self.presenter.enable(thread, rng.random() < 0.8)

    def poke(self, addr, data):
        cells = self.bytes[addr >= HIGH]
        start = addr % HIGH
        cells[start : start + len(data)] = data[: max(0, RAM - start)]


def place(rng):
    """Return an address at which a table or a queue may lie."""
    near = rng.choice([LOW, HIGH]) + (rng.randrange(RAM) & rng.choice([-1, -8, -64, -4096]))
    return near if rng.random() < 0.97 else rng.choice([RAM - 4, HIGH + RAM - 60, HIGH - 8, WORD, WORD - 63, 1])


def any_end(rng, block):
    """Return an END: random bits, of which many have a meaning."""
    words = [rng.getrandbits(32) for _ in range(8)]
    if rng.random() < 0.8:
        queue = place(rng)
        words[0] |= 0x80000000 | rng.choice([0, 0x46000000, 0x47000000, 0x04000000, 0x60000000])
        words[1] &= rng.choice([0x0FFFFFFF, 0x0040FFFF, 0x3040000F])
        words[2], words[3] = queue >> 32 & 0x0FFFFFFF, queue & 0xFFFFFFFF
        words[4] = block << 24 | rng.randrange(6)
        words[6] = rng.choice([0, 0, 0, 0x800000]) | block << 19 | rng.randrange(4)
        words[7] = rng.choice([0] * 9 + [0x80000000]) | rng.choice([0, 6, 7, 8, 0xFF]) << 16
    return b"".join(word.to_bytes(4, "big") for word in words)


def lay(rng, rig):
    """Write tables, wherever; what comes last is on top."""
    if rng.random() < 0.3:
        for cells in rig.bytes:
            cells[:] = rng.randbytes(RAM)
    eat, endt, nvtt = place(rng), place(rng), place(rng)
    for table, addr in ((EAT, eat), (ENDT, endt), (NVTT, nvtt)):
        rig.router.set_table(table, addr, rng.choice([16, 64, 1 << 24, WORD]))
    for index in range(16):
        eas = rng.getrandbits(64) if rng.random() < 0.2 else 1 << 63 | rig.block << 56 | rng.randrange(6) << 32 | index
        rig.poke(eat + 8 * index, eas.to_bytes(8, "big"))
    for index in range(4):
        nvt = (rng.getrandbits(32) | 0x80000000).to_bytes(4, "big") + rng.randbytes(60)
        rig.poke(nvtt + 64 * index, nvt)
    for index in range(6):
        rig.poke(endt + 32 * index, any_end(rng, rig.block))
    for index in range(16):
        rig.source.set_pq(index, rng.choice([0, 0, 1, 2, 3]))


def tables(rng):
    """Events and accesses on random tables, which they overwrite."""
    rig = Tables(rng)
    lay(rng, rig)
    for thread in range(THREADS):
        cam = rig.block << 19 | rng.randrange(4)
        rig.presenter.set_w2(
            thread, rng.choice([0x00, *[0x10] * 6, 0x20, 0x30]), rng.choice([0x80, 0x80, 0]) << 24 | cam
        )
        rig.presenter.set_cppr(thread, 0x10, 0xFF)
    for _ in range(rng.randint(1, 60)):
        rng.choice(ACTS)(rng, rig)
    lines = bytes(rig.presenter.tables()["lines"])
    assert max(lines) <= 3
    if rng.random() < 0.1:
        for index in range(8):
            rig.router.end_notify(rig.block, index, rng.getrandbits(32))


def route(rng, rig):
    lisn = rig.block << 28 | rng.randrange(16) if rng.random() < 0.9 else rng.getrandbits(32)
    rig.router.notify(lisn, rng.random() < 0.5)


def page(rng, rig):
    at = rng.randrange(rig.source.size // 8) * 8
    if rng.random() < 0.5:
        assert rig.source.load(at) in (0, 1, 2, 3, WORD)
    else:
        rig.source.store(at, rng.getrandbits(64))


def line(rng, rig):
    rig.source.set_irq(rng.randrange(16), rng.random() < 0.5)


def end_page(rng, rig):
    at = rng.randrange(rig.ends.size // 8) * 8
    if rng.random() < 0.8:
        assert rig.ends.load(at) in (0, 1, 2, 3, WORD)
    else:
        rig.ends.store(at, rng.getrandbits(64))


def thread(rng, rig):
    size = rng.choice(SIZES)
    at = rng.choice([rng.randrange(0x40000), 0x10018, 0x10818, 0x20810, 0x31, 0x20812, 0x30]) & -size
    if rng.random() < 0.5:
        assert 0 <= rig.tima.load(rng.randrange(THREADS), at, size) <= WORD
    else:
        rig.tima.store(rng.randrange(THREADS), at, size, rng.getrandbits(8 * size))


def memory(rng, rig):
    size = rng.choice(SIZES)
    rig.memory.store(place(rng), size, rng.getrandbits(8 * size))


def move(rng, rig):
    rig.router.set_table(rng.choice([EAT, ENDT, NVTT]), place(rng), rng.choice([0, 8, WORD]))


ACTS = [*[route] * 9, *[page] * 4, line, line, end_page, thread, thread, memory, memory, move]


@pytest.fixture
def bench():
    return Bench()


@pytest.mark.timeout(0)
def test_a_hostile_guest(campaign, bench):
    campaign.run("xive", lambda rng: guest(rng, bench))
    assert bench.told


@pytest.mark.timeout(0)
def test_random_tables(campaign):
    campaign.run("tables", tables)


def test_ends_that_escalate_to_each_other_end(campaign):
    """Loops of up to five ENDs that nothing holds up, with and without a tail, are cut soon."""
    campaign.watch()
    rng = random.Random(1)
    for loop in range(1, 6):
        for tail in range(3):
            rig = Tables(rng)
            count = loop + tail
            rig.router.set_table(ENDT, 0x1000, 16)
            for index in range(count):
                to = index + 1 if index + 1 < count else tail
                words = [0xA6000000, 0, 0, 0, rig.block << 24 | to, 5, rig.block << 19 | 2, 6 << 16]
                rig.poke(0x1000 + 32 * index, b"".join(word.to_bytes(4, "big") for word in words))
            rig.router.set_table(NVTT, 0x2000, 4)
            rig.poke(0x2000 + 128, b"\x80" + bytes(63))
            told = []
            rig.events.listen(lambda event, values, told=told: told.append(event))
            rig.router.end_notify(rig.block, 0, 1)
            assert told[-1] == "endless_escalation"
            assert told.count("xive_router_end_escalate") <= 8 * count + 8
