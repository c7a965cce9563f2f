"""Event queues as text."""

from collections.abc import Iterator

from outboard.cli.xive.session import Session
from outboard.cli.xive.words import number
from outboard.errors import LocalError
from outboard.spec.papr import NR_PRIORITIES
from outboard.spec.xive import END, EQ_ENTRY_SIZE, EqEntry
from outboard.xive.pic import eq_address, eq_entries

SHOWN = 8
"""Entries that are shown before the next to be written."""


def queue(session: Session, words: list[str]) -> Iterator[str]:
    """Show the queue of a target's priority."""
    if len(words) != 2:
        raise LocalError("usage: queue TARGET PRIO")
    target, priority = number(words[0], "TARGET"), number(words[1], "PRIO")
    if target >= session.xive.nr_servers or priority >= NR_PRIORITIES:
        last = session.xive.nr_servers - 1
        raise LocalError(f"targets are 0 to {last}, priorities 0 to {NR_PRIORITIES - 1}; not {target} and {priority}")
    end = session.xive.router.read_end(session.xive.end_index(target, priority))
    if not end.valid or not end.enqueue:
        yield f"target {target}, priority {priority}: no queue"
        return
    notifies = "every event notifies" if end.ucond_notify else f"notifies once, ESn {end.esn:02b}"
    yield (
        f"target {target}, priority {priority}: {eq_entries(end)} entries at {eq_address(end):#x}, "
        f"next {end.page_off}, generation {end.generation}, {notifies}"
    )
    yield from _entries(session, end)


def _entries(session: Session, end: END) -> Iterator[str]:
    for back in range(SHOWN, -1, -1):
        index = (end.page_off - back) % eq_entries(end)
        addr = eq_address(end) + EQ_ENTRY_SIZE * index
        data = session.xive.memory.read(addr, EQ_ENTRY_SIZE)
        entry = EqEntry.unpack_from(data) if data else EqEntry()
        if back and not entry.words[0]:
            continue  # never written
        mark = " " if back else "^"
        yield f" {mark}{index:7}  @{addr:x}  {entry.words[0]:08x}  generation {entry.generation}, EISN {entry.data:#x}"
