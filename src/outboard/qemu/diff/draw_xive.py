"""Random steps of a guest that uses XIVE: each of these functions draws one."""

from outboard.qemu.diff.compare import BIG_QUEUES, QUEUES
from outboard.qemu.diff.draw import EDGES, LSIS, PAGES, Draw, hcall
from outboard.qemu.diff.steps import NO_HCALLS, Step
from outboard.spec.papr import ESB_BASE, TIMA_BASE, XIVE_HCALLS
from outboard.spec.xive import TCTX_SIZE, TIMA_OPS, TIMA_PULL_PHYS, TIMA_SIZE

END_ESB = ESB_BASE + 0x40000000
HV, OS = TIMA_BASE + 0x10000, TIMA_BASE + 0x20000
NO_RAM = 0x20000000
OPERATIONS = [row.offset for row in (*TIMA_OPS, TIMA_PULL_PHYS)]
BORDERS = (ESB_BASE, END_ESB, *(TIMA_BASE + offset for offset in range(0, TIMA_SIZE + 1, 0x10000)))
NOTHING_VALID = (0, 0x0505050505050505, 0x0706050403020100, 0x7F7F7F7F7F7F7F7F)
"""Values whose bytes, wherever they land, push no valid context."""


def trigger(draw: Draw) -> Step:
    """Store to a trigger page."""
    return Step("store", (draw.cpu(), draw.page(False) + draw.one((0, 0, 0, 0x400, 0x800, 0xC00)), 8, draw.one(EDGES)))


def manage_load(draw: Draw) -> Step:
    """EOI, look at PQ, set it."""
    offset = draw.one((0, 0, 0, 0, 0x400, 0x800, 0xC00, 0xC00, 0xD00, 0xE00, 0xF00)) + 8 * draw.below(32)
    return Step("load", (draw.cpu(), draw.page(True) + offset, 8))


def manage_store(draw: Draw) -> Step:
    """Inject, set PQ, EOI by store."""
    offset = draw.one((0, 0x400, 0x800, 0x800, 0xC00, 0xC00, 0xD00, 0xE00, 0xF00)) + 8 * draw.below(32)
    return Step("store", (draw.cpu(), draw.page(True) + offset, 8, 0))


def burst(draw: Draw) -> Step:
    """Inject so often that queues wrap."""
    return Step("store", (draw.cpu(), draw.page(True) + 0x800, 8, 0), 600 + draw.below(700))


def wrong_size(draw: Draw) -> Step:
    """Use pages as they are not to be used."""
    size = draw.one((1, 2, 4, 8))
    addr = draw.one((draw.page(False), draw.page(True), OS, HV)) + draw.below(0x1000)
    if draw.maybe(0.5):
        return Step("load", (draw.cpu(), addr, size))
    return Step("store", (draw.cpu(), ESB_BASE + draw.below(0x4000) * 0x10000 + draw.below(0x1000), size, 0))


def _any_access(draw: Draw, addr: int) -> Step:
    cpu, size = draw.cpu(), draw.one((1, 2, 4, 8))
    if draw.maybe(0.5):
        return Step("load", (cpu, addr, size))
    return Step("store", (cpu, addr, size, draw.one(NOTHING_VALID) & (1 << 8 * size) - 1))


def repeat(draw: Draw) -> Step:
    """Look for the TIMA's operations elsewhere, in any size."""
    page = TIMA_BASE + 0x10000 * draw.below(4)
    return _any_access(draw, page + draw.one(OPERATIONS) + TCTX_SIZE * draw.below(32) + draw.one((0, 0, 0, 1, 2, 4)))


def border(draw: Draw) -> Step:
    """Reach from one region, from a page, or from where nothing is, into the next."""
    return _any_access(draw, draw.one((*BORDERS, draw.page(True) + 0x1000)) + draw.below(16) - 12)


def accept(draw: Draw) -> Step:
    """Acknowledge."""
    return Step("load", (draw.cpu(), OS + 0x810, 2))


def set_cppr(draw: Draw) -> Step:
    """Set the OS ring's CPPR."""
    return Step("store", (draw.cpu(), OS + 0x11, 1, draw.one((0xFF, 0xFF, 0xFF, 0xFF, 0, 3, 4, 5, 6, 7, 8))))


def tima(draw: Draw) -> Step:
    """Do what an OS seldom does with its ring, and look at the others."""
    cpu, four = draw.cpu(), draw.one((0xFFFFFFFF, 0x00050000, 0x12345678, 0))
    return draw.one(
        (
            Step("store", (cpu, OS + 0x812, 1, draw.one((0, 3, 6, 7, 8, 0xFF)))),
            Step("load", (cpu, OS + 0x10, 8)),
            Step("load", (cpu, TIMA_BASE + draw.below(4) * 0x10000 + 8 * draw.below(8), 8)),
            Step("load", (cpu, TIMA_BASE + draw.below(4) * 0x10000 + 4 * draw.below(16), 4)),
            Step("load", (cpu, OS + draw.one((0x800, 0x808, 0x810, 0x818, 0x830, 0xC10)), draw.one((1, 2, 4, 8)))),
            Step("store", (cpu, OS + 0x10, 4, four)),
            Step("load", (cpu, HV + 0x818, 4)) if draw.maybe(0.1) else Step("load", (cpu, HV + 0x830, 2)),
            Step("store", (cpu, HV + 0x31, 1, draw.one((0, 4, 7, 9, 0xFF)))),
            Step("store", (cpu, HV + draw.one((0x14, 0x20, 0x24, 0x30, 0x30, 0x34)), 4, four)),
            Step("load", (cpu, HV + 0x828, draw.one((4, 8)))),
        )
    )


def contexts(draw: Draw) -> Step:
    """Change whom a thread is: what a hypervisor does, and a guest of this machine can.

    No valid context is pushed: QEMU 7.2 looks for its backlog on its own stack.
    """
    cam = draw.one((0, 1, 1)) << 31 | 0x400 + draw.cpu() * draw.vsmt
    cpu, page = draw.cpu(), draw.one((TIMA_BASE, HV))
    return draw.one(
        (
            Step("store", (cpu, page + 0x18, 8, cam << 32)),
            Step("store", (cpu, page + 0x18, 4, cam & 0x7FFFFFFF)),
            Step("store", (cpu, page + 0x28, 4, cam)),
            Step("store", (cpu, page + 0x38, 1, draw.one((0, 0x80, 0xFF)))),
            Step("load", (cpu, page + draw.one((0x38, 0x818, 0x828)), draw.one((1, 4, 8)))),
        )
    )


def set_source(draw: Draw) -> Step:
    """Route a source, mask it, or try to."""
    flags = draw.one((2, 2, 2, 2, 0, 1, 3, 4))
    eisn = 0x10 + draw.below(0x400) if draw.maybe(0.9) else draw.one(EDGES)
    return hcall(draw, "H_INT_SET_SOURCE_CONFIG", flags, draw.lisn(), draw.server(), draw.priority(), eisn)


def set_queue(draw: Draw) -> Step:
    """Make a queue, or try to."""
    target, priority = draw.server(), draw.priority()
    size = draw.one((12, 12, 12, 12, 16, 16, 0, 13, 21, 24))
    addr = draw.queue(target, priority, size)
    if draw.maybe(0.05):
        unaligned = (addr + 0x800, 12), (addr + 0x1000, 16), (BIG_QUEUES + 0x10000, 21), (BIG_QUEUES + 0x200000, 24)
        addr, size = draw.one((*unaligned, (NO_RAM, 16), (NO_RAM - 0x10000, 16)))
    return hcall(draw, "H_INT_SET_QUEUE_CONFIG", draw.one((1, 1, 1, 0, 2)), target, priority, addr, size)


def esb_call(draw: Draw) -> Step:
    """Reach a source by H_INT_ESB, as LSIs are."""
    offsets = (0, 0, 0, 0x400, 0x800, 0xC00, 0xC00, 0xD00, 0xE00, 0xF00, 0x10000, 0x20000, 0x20008, 0x1FFF8, 0x804)
    lisn = draw.one(LSIS) if draw.maybe(0.6) else draw.lisn()
    return hcall(draw, "H_INT_ESB", draw.one((0, 0, 0, 1, 2)), lisn, draw.one(offsets), draw.one(EDGES))


def query(draw: Draw) -> Step:
    """Ask for what is configured."""
    row = draw.one([row for row in XIVE_HCALLS if "GET" in row.name or "SYNC" in row.name])
    some = {"flags": draw.one((0, 0, 0, 1, 2)), "lisn": draw.lisn(), "target": draw.server()}
    some["priority"] = draw.priority()
    return hcall(draw, row.name, *(some[name] for name in row.arguments))


def wrong_call(draw: Draw) -> Step:
    """Make any of XIVE's calls with anything; a queue stays where queues may be."""
    row = draw.one(XIVE_HCALLS)
    some = [draw.one((0, 1, 2, *EDGES)) for _ in range(draw.below(10))]
    if row.name == "H_INT_SET_QUEUE_CONFIG":
        some = [*[*some, 0, 0, 0][:3], QUEUES + draw.below(0x40) * 0x10000, draw.one((0, 12, 13, 16, 1 << 32))]
    opcode = row.opcode if draw.maybe(0.9) else draw.one(NO_HCALLS)
    return Step("hcall", (draw.cpu(), opcode, *some))


def entry(draw: Draw) -> Step:
    """Read a queue."""
    return Step("load", (draw.cpu(), QUEUES + draw.below(0x40) * 0x10000 + 4 * draw.below(32), 4))


def end_page(draw: Draw) -> Step:
    """Use an END's pages, which are seldom there."""
    index = draw.cpu() * draw.vsmt * 8 + draw.below(8)
    offset = draw.one((0, 0x10000)) + draw.one((0, 0x800, 0xC00, 0xD00, 0xE00, 0xF00))
    return Step("load", (draw.cpu(), END_ESB + index * PAGES + offset, draw.one((8, 8, 8, 8, 1, 2, 4))))
