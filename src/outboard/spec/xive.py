"""POWER9 XIVE interrupt controller, generation 1: structures, ESB pages, thread interrupt management area.

Sources: QEMU docs/specs/ppc-xive ("POWER9 XIVE interrupt controller"), and what the emulated hardware of QEMU 7.2
answers where that document is silent. All structures and registers are big-endian; bits are counted from the most
significant, as IBM's documents do.

IVSE: interrupt virtualization source engine (source controller). IVRE: routing engine (router). IVPE: presentation
engine (presenter). Older names: IVE for EAS, EQD for END, VPD for NVT, SBE for ESB. What QEMU 10.0 has besides says so.
"""

from enum import IntEnum, IntFlag
from typing import NamedTuple

from outboard.layout import Words, lsb0, ppc

PAGE_64K_SHIFT = 16
"""log2 of the bytes of a 64 KiB page, the distance of the pages of the TIMA."""


# Sources and their event state buffers


class PQ(IntEnum):
    """Event state buffer: P, an event was sent and an EOI is awaited; Q, a further one came (or, alone: off)."""

    RESET = 0b00
    OFF = 0b01
    PENDING = 0b10
    QUEUED = 0b11


TRIGGER = {PQ.RESET: PQ.PENDING, PQ.OFF: PQ.OFF, PQ.PENDING: PQ.QUEUED, PQ.QUEUED: PQ.QUEUED}
"""Next state at a trigger; only from RESET is the event forwarded to the router."""

EOI = {PQ.RESET: PQ.RESET, PQ.OFF: PQ.OFF, PQ.PENDING: PQ.RESET, PQ.QUEUED: PQ.PENDING}
"""Next state at an end of interrupt; only from QUEUED is an event forwarded again."""


class SourceStatus(Words, width=8):
    """Status of one source."""

    asserted = lsb0(2, says="level of an LSI's input")
    p = lsb0(1)
    q = lsb0(0)


class SourceFlag(IntFlag):
    """What a source controller can do."""

    H_INT_ESB = 0x1
    """Sources are managed by hypercall only; declared, consulted nowhere."""
    STORE_EOI = 0x2
    """A store in EsbStore.EOI ends an interrupt."""
    PQ_DISABLE = 0x4
    """MSIs are forwarded unchecked; the router does the PQ transition."""


ESB_SHIFTS = {12: "one 4 KiB page", 13: "two 4 KiB pages", 16: "one 64 KiB page", 17: "two 64 KiB pages"}
"""log2 of the bytes that one source has in the ESB region. With two pages the first is the trigger page."""
TWO_PAGES = {13, 17}

ESB_OFFSET_MASK = 0xFFF
ESB_ACCESS_SIZE = 8
"""The size in which ESB pages answer; in QEMU 10.0 the smaller ones do as well."""


class EsbRange(NamedTuple):
    """Offsets `first` to `last` (of the low 12 address bits) of a management page, and what an access there does."""

    first: int
    last: int
    does: str


class EsbLoad(IntEnum):
    """First offsets of the loads of a management page."""

    EOI = 0x000
    GET = 0x800
    SET_PQ_00 = 0xC00
    SET_PQ_01 = 0xD00
    SET_PQ_10 = 0xE00
    SET_PQ_11 = 0xF00


class EsbStore(IntEnum):
    """First offsets of the stores of a management page; on a trigger page every offset triggers."""

    TRIGGER = 0x000
    EOI = 0x400
    INJECT = 0x800
    SET_PQ_00 = 0xC00
    SET_PQ_01 = 0xD00
    SET_PQ_10 = 0xE00
    SET_PQ_11 = 0xF00


ESB_LOADS = (
    EsbRange(EsbLoad.EOI, 0x7FF, "end of interrupt; 1 when an event is forwarded again, else 0"),
    EsbRange(EsbLoad.GET, 0xBFF, "PQ, unchanged"),
    EsbRange(EsbLoad.SET_PQ_00, 0xCFF, "old PQ; sets 00"),
    EsbRange(EsbLoad.SET_PQ_01, 0xDFF, "old PQ; sets 01"),
    EsbRange(EsbLoad.SET_PQ_10, 0xEFF, "old PQ; sets 10"),
    EsbRange(EsbLoad.SET_PQ_11, 0xFFF, "old PQ; sets 11"),
)
ESB_STORES = (
    EsbRange(EsbStore.TRIGGER, 0x3FF, "trigger"),
    EsbRange(EsbStore.EOI, 0x7FF, "end of interrupt, where the source controller has STORE_EOI"),
    EsbRange(EsbStore.INJECT, 0xBFF, "forward an event whatever PQ is"),
    EsbRange(EsbStore.SET_PQ_00, 0xCFF, "sets PQ 00"),
    EsbRange(EsbStore.SET_PQ_01, 0xDFF, "sets PQ 01"),
    EsbRange(EsbStore.SET_PQ_10, 0xEFF, "sets PQ 10"),
    EsbRange(EsbStore.SET_PQ_11, 0xFFF, "sets PQ 11"),
)


class Lisn(Words, width=32):
    """Global interrupt source number."""

    block = ppc(0, 3)
    index = ppc(4, 31)


class TriggerData(Words, width=64):
    """What a source stores on the bus to trigger the router."""

    end_trigger = ppc(0, says="names an END, not a source; not supported")
    pq_checked = ppc(1, says="the PQ bits were checked at the source")
    lisn = ppc(32, 63)


# Virtual structure tables


class EAS(Words, width=64):
    """Event Assignment Structure: what a source's event is routed to."""

    valid = ppc(0)
    end_block = ppc(4, 7)
    end_index = ppc(8, 31)
    masked = ppc(32)
    end_data = ppc(33, 63, says="written to the event queue")


class END(Words, width=32, count=8):
    """Event Notification Descriptor: an event queue, whom it notifies, and what it escalates to."""

    valid = ppc(0, word=0)
    enqueue = ppc(1, word=0)
    ucond_notify = ppc(2, word=0, says="notify always, whatever ESn")
    backlog = ppc(3, word=0, says="record in the NVT what no thread takes")
    precl_esc_ctl = ppc(4, word=0, says="never looked at")
    escalate_ctl = ppc(5, word=0)
    uncond_escalate = ppc(6, word=0, says="escalate always, whatever ESe")
    silent_escalate = ppc(7, word=0, says="escalate without notifying")
    qsize = ppc(12, 15, word=0, says="the queue has 1 << (qsize + 10) entries")
    sw0 = ppc(16, word=0, says="firmware's own")
    hwdep = ppc(24, 31, word=0)
    esn = ppc(0, 1, word=1, says="PQ of the notification")
    ese = ppc(2, 3, word=1, says="PQ of the escalation")
    generation = ppc(9, word=1, says="bit 0 of the entries written in this round")
    page_off = ppc(10, 31, word=1, says="index of the next entry to write")
    migration_reg = ppc(0, 3, word=2)
    op_desc_hi = ppc(4, 31, word=2, says="address of the queue, bits 59 to 32")
    op_desc_lo = ppc(0, 31, word=3, says="address of the queue, bits 31 to 0")
    esc_valid = ppc(0, word=4, says="shown, never looked at")
    esc_end_block = ppc(4, 7, word=4)
    esc_end_index = ppc(8, 31, word=4)
    esc_masked = ppc(0, word=5, says="shown, never looked at")
    esc_end_data = ppc(1, 31, word=5)
    format = ppc(8, word=6, says="0 notifies an NVT, 1 a user-level event")
    nvt_block = ppc(9, 12, word=6)
    nvt_index = ppc(13, 31, word=6)
    ignore = ppc(0, word=7, form="F=0", says="logical server; not supported")
    blk_grouping = ppc(1, word=7, form="F=0")
    priority = ppc(8, 15, word=7, form="F=0")
    wakez = ppc(0, word=7, form="F=1")
    log_server_id = ppc(1, 31, word=7, form="F=1")


class NVT(Words, width=32, count=16):
    """Notification Virtual Target: a virtual processor that may not be running."""

    valid = ppc(0, word=0)
    eq_block = ppc(0, 3, word=1)
    eq_index = ppc(4, 31, word=1)
    ipb = ppc(16, 23, word=4, says="priorities that wait until it is dispatched")
    grp_valid = ppc(0, word=8)


NVT_INDEX_BITS = 19
END_QSIZE_SHIFT = 12
"""log2 of the bytes of the smallest event queue, qsize 0."""
EQ_SIZES = (12, 16, 21, 24)
"""log2 of the bytes of the event queues that an OS may have."""
EQ_ENTRY_SIZE = 4


class EqEntry(Words, width=32):
    """Entry of an event queue."""

    generation = ppc(0)
    data = ppc(1, 31)


END_RESET_W1 = END.make(esn=PQ.OFF, ese=PQ.OFF).words[1]
"""Word 1 of an END after reset; all others are 0."""

HW_CAM_THREAD = 0x80
"""Set in a hardware thread's CAM line, over the low 7 bits of its PIR."""
HW_CAM_PIR_MASK = 0x7F


# Thread interrupt management area


class Ring(IntEnum):
    """Offsets of the four rings of a thread's context, 16 bytes each."""

    USER = 0x00
    OS = 0x10
    POOL = 0x20
    PHYS = 0x30


RING_SIZE = 16
TCTX_SIZE = 64
"""Bytes of a thread's context."""


class Reg(IntEnum):
    """Offsets of the registers of a ring; W2 and W3 are words, the others bytes."""

    NSR = 0
    CPPR = 1
    IPB = 2
    LSMFB = 3
    ACK_CNT = 4
    INC = 5
    AGE = 6
    PIPR = 7
    W2 = 8
    W3 = 12


class RingW2(Words, width=32):
    """Word 2 of a ring. Its first bit has a name of its own in each: VU, VO, VP, VT."""

    valid = ppc(0)
    logical_server = ppc(1, 31, form="USER")
    cam = ppc(8, 31, form="OS, POOL")
    lp = ppc(6, form="PHYS")
    le = ppc(7, form="PHYS")
    t = ppc(31, form="PHYS")


class Cam(Words, width=32):
    """CAM line: the number by which the presenter finds a virtual processor."""

    nvt_block = ppc(9, 12)
    nvt_index = ppc(13, 31)


NSR_EO = 0x80
"""Exception of the OS ring."""
NSR_HE_PHYS = 0x80
"""Exception of the PHYS ring: what a notification sets in the HE field."""
NSR_HE = 0xC0
"""The HE field of the PHYS ring: what an acknowledge looks at and clears."""
NSR_HE_POOL = 0x40
"""Exception of the PHYS ring for what is pending in POOL; QEMU 10.0 has it."""
NSR_GROUP = 0x3F
"""Level of the group that an exception is for, 0 for none; QEMU 10.0 looks at it."""

EXCEPTION = {Ring.OS: (NSR_EO, NSR_EO), Ring.PHYS: (NSR_HE_PHYS, NSR_HE)}
"""Rings with an output line: the NSR bits that a notification sets, and those that an acknowledge takes."""

PRIORITY_MAX = 7
PRIORITY_NONE = 0xFF
"""CPPR that masks nothing, PIPR of nothing pending, priority of a masked END."""

TCTX_RESET = {
    Ring.OS: {Reg.LSMFB: 0xFF, Reg.ACK_CNT: 0xFF, Reg.AGE: 0xFF, Reg.PIPR: 0xFF},
    Ring.PHYS: {Reg.PIPR: 0xFF},
}
"""Registers that are not 0 after a reset of the context. POOL's PIPR is 0."""


class View(IntEnum):
    """The four 64 KiB pages of the TIMA, the most privileged first."""

    HW = 0
    HV = 1
    OS = 2
    USER = 3


TIMA_SIZE = 4 << PAGE_64K_SHIFT
TIMA_OFFSET_MASK = 0xFFF
"""Address bits that are decoded within a page."""
TIMA_SPECIAL = 0x800
"""Address bit that allows special operations only."""
TIMA_REPEATS = 16
"""How often QEMU 10.0 has each special operation, 64 bytes apart: it does not decode bits 6 to 9 of the address."""

ACCESS = {
    View.HW: {
        Ring.USER: "w-------wwww----",
        Ring.OS: "wwwwww-rwwww----",
        Ring.POOL: "--ww----wwww----",
        Ring.PHYS: "wwww-w-rw--wwww-",
    },
    View.HV: {
        Ring.USER: "w-------wwww----",
        Ring.OS: "wwwwww-rwwww----",
        Ring.POOL: "--ww-----www----",
        Ring.PHYS: "wwww-w-rw--w----",
    },
    View.OS: {
        Ring.USER: "w-------wwww----",
        Ring.OS: "rwrrrr-r--------",
        Ring.POOL: "----------------",
        Ring.PHYS: "----------------",
    },
    View.USER: {
        Ring.USER: "w---------------",
        Ring.OS: "----------------",
        Ring.POOL: "----------------",
        Ring.PHYS: "----------------",
    },
}
"""What each view may do with the 16 bytes of each ring: `r` load, `w` load and store, `-` neither."""

POOL_MORE = (Reg.INC, Reg.AGE)
"""Bytes of the POOL ring that QEMU 10.0's views HW and HV may load and store, too."""

RAW_SIZES = (4, 8)
"""Sizes in which registers are accessed raw; the USER ring not at all."""


class TimaOp(IntEnum):
    """Special operations."""

    NONE = 0
    SET_OS_CPPR = 1
    ACCEPT_OS = 2
    PUSH_OS_CTX = 3
    SET_HV_CPPR = 4
    VT_PUSH = 5
    VT_POLL = 6
    SET_OS_PENDING = 7
    PULL_OS_CTX = 8
    ACCEPT_HV = 9
    PULL_POOL_CTX = 10
    PULL_PHYS_CTX = 11


class TimaOpRow(NamedTuple):
    """A special operation: the least privileged view that has it, its offset, sizes, direction, and what it does."""

    op: TimaOp
    view: View
    offset: int
    sizes: tuple[int, ...]
    store: bool
    does: str


TIMA_OPS = (
    TimaOpRow(TimaOp.SET_OS_CPPR, View.OS, 0x011, (1,), True, "set the OS ring's CPPR"),
    TimaOpRow(TimaOp.PUSH_OS_CTX, View.HV, 0x018, (4,), True, "push an OS context"),
    TimaOpRow(TimaOp.SET_HV_CPPR, View.HV, 0x031, (1,), True, "set the PHYS ring's CPPR"),
    TimaOpRow(TimaOp.VT_PUSH, View.HV, 0x038, (1,), True, "set byte 0 of the PHYS ring's word 2"),
    TimaOpRow(TimaOp.VT_POLL, View.HV, 0x038, (1,), False, "return byte 0 of the PHYS ring's word 2"),
    TimaOpRow(TimaOp.ACCEPT_OS, View.OS, 0x810, (2,), False, "acknowledge the OS ring's exception to a register"),
    TimaOpRow(TimaOp.SET_OS_PENDING, View.OS, 0x812, (1,), True, "set a priority pending in the OS ring"),
    TimaOpRow(TimaOp.PULL_OS_CTX, View.HV, 0x818, (4, 8), False, "pull the OS context"),
    TimaOpRow(TimaOp.ACCEPT_HV, View.HV, 0x830, (2,), False, "acknowledge the PHYS ring's exception to a register"),
    TimaOpRow(TimaOp.PULL_POOL_CTX, View.HV, 0x828, (4, 8), False, "pull the pool context"),
)
"""All special operations that the hardware model has; a more privileged view may use those of a less privileged."""

TIMA_PULL_PHYS = TimaOpRow(TimaOp.PULL_PHYS_CTX, View.HV, 0x838, (1,), False, "pull the physical context")
"""One more, that QEMU 10.0 has."""


def ipb_bit(priority: int) -> int:
    """Return the bit of `priority` in an IPB; 0 for those that have none."""
    return 0x80 >> priority if priority <= PRIORITY_MAX else 0


def pipr_of(ipb: int) -> int:
    """Return the most favoured priority that is set in `ipb`, 0xff when none is."""
    return 8 - ipb.bit_length() if ipb else PRIORITY_NONE
