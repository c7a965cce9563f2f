"""Random operations of a guest, its devices and its firmware: sensible ones, wrong ones, hostile ones.

Only `Random.random` is drawn from: for a seed it is the same in every version of Python.
"""

from tests.spapr.machine import LISN_POOL

ESB, END_ESB, TIMA, RAM_SIZE = 0x6010000000000, 0x6010040000000, 0x6030203180000, 0x10000000
TRIGGER, MANAGE, PAGE = 0, 0x10000, 0x20000
QUEUES = 0x100000
CALLS = [0x3A8, 0x3AC, 0x3B0, 0x3B4, 0x3B8, 0x3BC, 0x3C0, 0x3C4, 0x3C8, 0x3CC, 0x3D0]
SIZES = [1, 2, 4, 8]
EDGES = [0, 1, 7, 8, 0xFF, 0x100, 0x106, 0x1FF, 0x1FFF, 0x2000, 0x20000, 0x20008, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
EDGES += [1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 0x100, (1 << 64) - 8, (1 << 64) - 1]
BORDERS = [0, RAM_SIZE, ESB, END_ESB, END_ESB + 0x40000000, TIMA, TIMA + 0x10000, TIMA + 0x20000, TIMA + 0x40000]
SPECIAL = [0x11, 0x18, 0x31, 0x38, 0x810, 0x812, 0x818, 0x828, 0x830, 0x800, 0x808, 0xC10]


class Draws:
    """Choices made with a random source. cpus: how many there may be; vsmt: distance of their ids."""

    def __init__(self, rng, cpus, vsmt=1, shift=17):
        self.rng = rng
        self.cpus = cpus
        self.vsmt = vsmt
        self.shift = shift
        self.two_pages = shift in (13, 17)

    def below(self, number):
        return int(self.rng.random() * number)

    def one(self, choices):
        return choices[self.below(len(choices))]

    def maybe(self, chance):
        return self.rng.random() < chance

    def bits(self, number):
        value = 0
        for _ in range((number + 31) // 32):
            value = value << 32 | self.below(1 << 32)
        return value & ((1 << number) - 1)

    def cpu(self):
        return self.below(self.cpus)

    def lisn(self):
        return self.below(0x2000) if self.maybe(0.05) else self.one(LISN_POOL)

    def target(self):
        return self.cpu() * self.vsmt if self.maybe(0.9) else self.below(self.cpus * self.vsmt + 2)

    def value(self, size=8):
        wide = self.one(EDGES) if self.maybe(0.5) else self.bits(8 * size)
        return wide & ((1 << 8 * size) - 1)

    def priority(self):
        return self.one([0, 3, 5, 6, 6, 6, 6, 7, 0xFF, 0x106, 0x1FF])


def page(draw, lisn, managed):
    """Return the address of a source's trigger page or management page."""
    second = 1 << (draw.shift - 1) if draw.two_pages and managed else 0
    return ESB + (lisn << draw.shift) + second


def trigger(draw):
    offset = draw.one([0, 0, 0, 8, 0x400, 0x800, 0xC00, 0xF08])
    return "store", draw.cpu(), page(draw, draw.lisn(), False) + offset, 8, draw.value()


def manage_load(draw):
    offset = draw.one([0, 0, 0, 0x400, 0x800, 0xC00, 0xC00, 0xD00, 0xE00, 0xF00]) + 8 * draw.below(32)
    return "load", draw.cpu(), page(draw, draw.lisn(), True) + offset, 8


def manage_store(draw):
    offset = draw.one([0, 0x400, 0x800, 0x800, 0xC00, 0xC00, 0xD00, 0xE00, 0xF00]) + 8 * draw.below(32)
    return "store", draw.cpu(), page(draw, draw.lisn(), True) + offset, 8, 0


def tima_os(draw):
    at = TIMA + 0x20000
    return draw.one(
        [
            ("load", draw.cpu(), at + 0x810, 2),
            ("store", draw.cpu(), at + 0x11, 1, draw.one([0xFF, 0xFF, 0xFF, 0, 4, 6, 7, 8])),
            ("store", draw.cpu(), at + 0x812, 1, draw.one([0, 3, 6, 7, 8, 0xFF])),
            ("load", draw.cpu(), at + 0x10, 8),
            ("irq", draw.cpu()),
        ]
    )


def tima_any(draw):
    size = draw.one(SIZES)
    at = draw.one(SPECIAL) if draw.maybe(0.5) else draw.below(0x1000) & (-size if draw.maybe(0.8) else -1)
    at += TIMA + draw.one([0, 0x10000, 0x20000, 0x30000])
    if draw.maybe(0.5):
        return "load", draw.cpu(), at, size
    cam = 0x80000400 + draw.target() if draw.maybe(0.8) else draw.bits(32)
    return "store", draw.cpu(), at, size, cam & ((1 << 8 * size) - 1) if draw.maybe(0.4) else draw.value(size)


def privileged(draw):
    """Registers of a ring in one word, contexts that come and go: what a hypervisor does with a thread."""
    cpu, page = draw.cpu(), TIMA + draw.one([0, 0x10000])
    own = cpu * draw.vsmt if draw.maybe(0.7) else draw.target()
    cam = draw.one([0, 1, 1]) << 31 | 0x400 + own
    registers = draw.one([0, 0x80]) << 24 | draw.one([0, 5, 7, 9, 0xFF]) << 16 | draw.one([0, 2, 0x12]) << 8
    return draw.one(
        [
            ("load", cpu, page + 0x818, draw.one([4, 8])),
            ("load", cpu, page + 0x828, draw.one([4, 8])),
            ("load", cpu, page + 0x830, 2),
            ("store", cpu, page + 0x18, 4, cam),
            ("store", cpu, page + 0x18, 8, cam << 32),
            ("store", cpu, TIMA + 0x28, 4, cam),
            ("store", cpu, page + 0x10, 4, registers),
            ("store", cpu, TIMA + 0x20010, 4, registers),
            ("store", cpu, page + 0x30, 4, registers),
            ("store", cpu, page + 0x31, 1, registers >> 16 & 0xFF),
        ]
    )


def anywhere(draw):
    size = draw.one(SIZES)
    addr = draw.one(BORDERS) + draw.below(0x40) - 0x20 if draw.maybe(0.7) else draw.bits(draw.one([28, 51, 64]))
    addr %= 1 << 64
    return ("load", draw.cpu(), addr, size) if draw.maybe(0.5) else ("store", draw.cpu(), addr, size, draw.value(size))


def end_page(draw):
    index = draw.target() * 8 + draw.below(8)
    at = END_ESB + index * PAGE + draw.one([0, MANAGE]) + draw.one([0, 0x800, 0xC00, 0xD00, 0xE00, 0xF00])
    return ("load", draw.cpu(), at, 8) if draw.maybe(0.8) else ("store", draw.cpu(), at, 8, 0)


def device(draw):
    return draw.one([("pulse", draw.lisn()), ("set_irq", draw.one([0x1200, 0x1201]), draw.below(2))])


def set_source(draw):
    flags = draw.one([2, 2, 2, 0, 1, 3])
    return "hcall", draw.cpu(), 0x3AC, flags, draw.lisn(), draw.target(), draw.priority(), draw.bits(10)


def set_queue(draw):
    target, prio = draw.target(), draw.priority()
    size = draw.one([12, 12, 12, 16, 0, 13])
    at = QUEUES + (8 * target + prio % 8) * 0x10000 + (draw.one([8, 0x1000]) if draw.maybe(0.1) else 0)
    return "hcall", draw.cpu(), 0x3B8, draw.one([1, 1, 0]), target, prio, at, size


def esb_call(draw):
    offset = draw.one([0, 0x400, 0x800, 0xC00, 0xD00, 0xE00, 0xF00, 0x10000, 0x20000, 0x20008, 0x1FFF8, 0x804])
    return "hcall", draw.cpu(), 0x3C8, draw.one([0, 0, 1, 2]), draw.lisn(), offset, draw.value()


def query(draw):
    flags = draw.one([0, 0, 1])
    if draw.maybe(0.5):
        return "hcall", draw.cpu(), draw.one([0x3A8, 0x3B0, 0x3CC]), flags, draw.lisn()
    return "hcall", draw.cpu(), draw.one([0x3B4, 0x3BC]), flags, draw.target(), draw.priority()


def any_call(draw):
    opcode = draw.one(CALLS) if draw.maybe(0.8) else draw.one([0x3A4, 0x3A9, 0x3D4, *EDGES])
    words = [draw.one([0, 0, 1, draw.value()]), *(draw.value() for _ in range(draw.below(9)))]
    if len(words) > 1 and draw.maybe(0.7):
        words[1] = draw.lisn()
    return draw.one(["hcall", "hcall", "hcall", "user_hcall"]), draw.cpu(), opcode, *words


def firmware(draw):
    lisn = draw.lisn()
    return draw.one([("claim", lisn, draw.maybe(0.2)), ("free", lisn), ("plug", draw.cpu()), ("unplug", draw.cpu())])


def machine(draw):
    return draw.one(
        [
            ("reset",),
            ("negotiate", draw.maybe(0.8)),
            ("set_regions", draw.maybe(0.9), draw.maybe(0.5)),
        ]
    )


ORDINARY = [trigger, trigger, manage_load, manage_load, manage_store, tima_os, tima_os, tima_os, device, device]
ORDINARY += [set_source, set_source, set_queue, esb_call, query, end_page]
HOSTILE = [*ORDINARY, privileged, privileged, tima_any, tima_any, anywhere, anywhere, any_call, any_call, firmware]


def any_operation(draw, kinds=HOSTILE):
    """Return an operation; few concern the whole machine."""
    if draw.maybe(0.004):
        return machine(draw)
    return draw.one(kinds)(draw)


def setup(draw):
    """Yield what brings a machine to a state in which most events are delivered: queues, routes, PQ 00, CPPR ff."""
    yield "negotiate", True
    yield "set_regions", True, draw.maybe(0.5)
    for cpu in range(draw.cpus):
        yield "plug", cpu
        for prio in (3, 6):
            at = QUEUES + (8 * cpu * draw.vsmt + prio) * 0x10000
            yield "hcall", 0, 0x3B8, draw.one([1, 1, 1, 0]), cpu * draw.vsmt, prio, at, draw.one([12, 12, 16])
        yield "store", cpu, TIMA + 0x20011, 1, 0xFF
    for number, lisn in enumerate(LISN_POOL):
        yield "hcall", 0, 0x3AC, 2, lisn, draw.cpu() * draw.vsmt, draw.one([3, 6]), 0x10 + number
        yield "load", 0, page(draw, lisn, True) + 0xC00, 8


def operations(draw, count, kinds=HOSTILE):
    """Yield some more than `count` operations: what is random wears a machine out; it is set up anew at times."""
    done = 0
    while done < count:
        yield from setup(draw)
        for _ in range(60):
            yield any_operation(draw, kinds)
            done += 1
