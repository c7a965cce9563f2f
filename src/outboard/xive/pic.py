"""The monitor's `info pic`, as text made from tables: what QEMU 7.2 prints, to the letter.

Source: QEMU docs/specs/ppc-spapr-xive, "monitor commands"; the formats of QEMU 7.2.
"""

from collections.abc import Iterable, Iterator, Sequence

from outboard.guest.memory import GuestMemory
from outboard.spec.xive import (
    EAS,
    END,
    END_QSIZE_SHIFT,
    EQ_ENTRY_SIZE,
    NVT,
    PQ,
    RING_SIZE,
    TCTX_SIZE,
    Lisn,
    Reg,
    Ring,
    SourceStatus,
)
from outboard.xive.events import Events

WINDOW = 6
"""Entries of a queue that are shown; the last is the one to be written next."""
NVT_LAST = 0x7FFFF
END_LETTERS = "vqnbeusf"
END_FLAGS = (
    END.valid,
    END.enqueue,
    END.ucond_notify,
    END.backlog,
    END.escalate_ctl,
    END.uncond_escalate,
    END.silent_escalate,
    END.sw0,
)


def contexts(rings: memoryview, threads: Iterable[int]) -> Iterator[str]:
    """Yield the lines of the thread contexts; `rings` has 64 bytes a thread."""
    for thread in threads:
        yield f"CPU[{thread:04x}]:   QW   NSR CPPR IPB LSMFB ACK# INC AGE PIPR  W2"
        for ring in Ring:
            start = thread * TCTX_SIZE + ring
            yield f"CPU[{thread:04x}]: {ring.name:>4}    {_registers(rings[start : start + RING_SIZE])}"


def _registers(ring: memoryview) -> str:
    w2 = int.from_bytes(ring[Reg.W2 : Reg.W2 + 4], "big")
    nsr, cppr, ipb, lsmfb, ack, inc, age, pipr = (f"{register:02x}" for register in ring[:8])
    return f"{nsr}   {cppr}  {ipb}    {lsmfb}   {ack}  {inc}  {age}   {pipr}  {w2:08x}"


def source_bits(status: int, is_lsi: bool) -> str:
    """Return type, P, Q and A of a source."""
    bits = SourceStatus(status & 7)
    kind = "LSI" if is_lsi else "MSI"
    return f"{kind} {'P' if bits.p else '-'}{'Q' if bits.q else '-'}{'A' if bits.asserted else ' '}"


def eq_address(end: END) -> int:
    """Return the guest address of an END's event queue."""
    return end.op_desc_hi << 32 | end.op_desc_lo


def eq_entries(end: END) -> int:
    """Return the number of entries of an END's event queue."""
    return 1 << (end.qsize + END_QSIZE_SHIFT - 2)


def queue_window(end: END, memory: GuestMemory, events: Events | None = None) -> str:
    """Return the six entries of a queue around the next to be written; nothing more where one cannot be read."""
    entries, text = eq_entries(end), " [ "
    for back in reversed(range(WINDOW)):
        addr = eq_address(end) + EQ_ENTRY_SIZE * ((end.page_off - back) % entries)
        entry = memory.read(addr, EQ_ENTRY_SIZE)
        if entry is None:
            if events is not None:
                events.tell("eq_unreadable", addr)
            return text
        text += f"{'' if back else '^'}{entry.hex()} "
    return text + "]"


def source_lines(first: int, status: memoryview, lsi: Iterable[bool]) -> Iterator[str]:
    """Yield a line for every source of a bare-metal controller that is not off; numbers start at `first`."""
    for number, (byte, is_lsi) in enumerate(zip(status, lsi, strict=True), first):
        if byte & 3 != PQ.OFF:
            yield f"  {number:08x} {source_bits(byte, is_lsi)}"


def eas_lines(table: Iterable[EAS]) -> Iterator[str]:
    """Yield a line for every EAS that is valid and not masked."""
    for index, eas in enumerate(table):
        if eas.valid and not eas.masked:
            yield f"  {index:08x} {_mask(eas.masked)} {_routed(eas)}"


def end_lines(table: Iterable[END], memory: GuestMemory, events: Events | None = None) -> Iterator[str]:
    """Yield a line for every valid END."""
    for index, end in enumerate(table):
        if end.valid:
            yield f"  {index:08x} {_pq(end.esn)} {end_letters(end)} {_notified(end)}{_queue(end, memory, events)}"


def end_letters(end: END) -> str:
    """Return the flags of word 0 as letters."""
    words = end.words[0]
    return "".join(letter if flag.get(words) else "-" for letter, flag in zip(END_LETTERS, END_FLAGS, strict=True))


def _notified(end: END) -> str:
    return f"prio:{end.priority} nvt:{end.nvt_block:02x}/{end.nvt_index:04x}"


def _queue(end: END, memory: GuestMemory, events: Events | None) -> str:
    if not eq_address(end):
        return ""
    place = f"{end.page_off: 6d}/{eq_entries(end):5d} ^{end.generation}"
    return f" eq:@{eq_address(end):08x}{place}{queue_window(end, memory, events)}"


def escalation_lines(table: Iterable[END]) -> Iterator[str]:
    """Yield a line for every END that escalates, valid or not."""
    for index, end in enumerate(table):
        if end.escalate_ctl:
            eas = EAS(end.words[4] << 32 | end.words[5])
            yield f"  {index:08x} {_pq(end.ese)} {'V' if eas.valid else ' '}{_mask(eas.masked)} {_routed(eas)}"


def nvt_lines(table: Iterable[NVT]) -> Iterator[str]:
    """Yield a line for every valid NVT."""
    for index, nvt in enumerate(table):
        if nvt.valid:
            yield f"  {index:08x} end:{nvt.eq_block:02x}/{nvt.eq_index:04x} IPB:{nvt.ipb:02x}"


def _pq(pq: int) -> str:
    return ("P" if pq & 2 else "-") + ("Q" if pq & 1 else "-")


def _mask(masked: int) -> str:
    return "M" if masked else " "


def _routed(eas: EAS) -> str:
    return f"end:{eas.end_block:02x}/{eas.end_index:04x} data:{eas.end_data:08x}"


def bare_metal(
    chip: int,
    block: int,
    nr_sources: int,
    sources: Iterator[str],
    eat: Iterable[EAS],
    endt: Sequence[END],
    nvtt: Iterable[NVT],
    memory: GuestMemory,
    events: Events | None = None,
) -> str:
    """Return the tables of one bare-metal controller; `sources` are the lines of its own ones."""
    name, numbers = f"XIVE[{chip:x}] #{block}", _numbers(Lisn.make(block=block).words[0], nr_sources)
    lines = [f"{name} Source {numbers}", *sources]
    lines += [f"{name} EAT {numbers}", *eas_lines(eat)]
    lines += [f"{name} ENDT", *end_lines(endt, memory, events)]
    lines += [f"{name} END Escalation EAT", *escalation_lines(endt)]
    lines += [f"{name} NVTT {0:08x} .. {NVT_LAST:08x}", *nvt_lines(nvtt)]
    return "\n".join(lines) + "\n"


def psi(first: int, nr_sources: int) -> str:
    """Return the line above the sources of a processor service interface."""
    return f"PSIHB Source {_numbers(first, nr_sources)}"


def phb(chip: int, index: int, first: int, nr_sources: int, notify_addr: int, *, triggers_by_address: bool) -> str:
    """Return the line above the sources of a PCI host bridge; their own numbers start at 0."""
    numbers = _numbers(first, nr_sources)
    return f"PHB4[{chip:x}:{index:x}] Source {numbers} {'ABT' if triggers_by_address else ''} @{notify_addr:x}"


def _numbers(first: int, count: int) -> str:
    return f"{first:08x} .. {(first + count - 1) & 0xFFFFFFFF:08x}"
