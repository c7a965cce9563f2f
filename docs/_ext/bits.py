"""Tables of the manual about bit fields and what is declared in rows: the interrupt controller's part.

    words CLASS         one structure of words: bits as its document counts them, mask, shift, remark
    pq-transitions      what every action does to every state of a source, asked of the model itself
    esb-ranges TABLE    offsets of the management page, and what an access there does
    tima-access         what each view may do with the bytes of each ring
    tima-ops            the special operations
    tctx-reset          the context of a thread after a reset
    hcalls              number, name, arguments, results and flags of the hypercalls
    lisns               the interrupt number space
    differences         the flavours, side by side
    events KIND         the lines that a controller tells, by QEMU's log class

Arguments are dotted names, or none. `wire` has the tables of byte layouts.
"""

import inspect
from collections.abc import Iterable, Iterator
from typing import ClassVar

from docutils import nodes
from facts import source_of
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from wire import WireDirective, code, table, text

from outboard.layout.words import Words
from outboard.spapr import events, flavours
from outboard.spec import papr, xive
from outboard.spec.xive import PQ, EsbRange, Reg, Ring, View
from outboard.xive import events as engines
from outboard.xive import source
from outboard.xive.events import Events
from outboard.xive.presenter import Presenter

FIRST_ARGUMENT = 4
"""Register of a hypercall's first argument, and of its first result."""


class WordsDirective(WireDirective):
    """One structure of words."""

    def run(self) -> list[nodes.Node]:
        """Return its sentence and table."""
        found: type[Words] = self.found()
        size = f"{found.count} words of {found.width} bits" if found.count > 1 else f"{found.width} bits"
        about = text(f"{inspect.getdoc(found)} {size[0].upper()}{size[1:]}, big-endian.")
        return [self.labelled(found, nodes.container("", about, _fields(found)))]


def _fields(found: type[Words]) -> nodes.table:
    forms = any(field.form for field in found.rows())
    heads, widths = ["Bits", "Mask", "Shift", "Field", "Remark"], [10, 26, 8, 24, 32]
    if found.count > 1:
        heads, widths = ["Word", *heads], [8, *widths]
    rows = []
    for field in found.rows():
        bits = f"{field.first}" if field.first == field.last else f"{field.first}:{field.last}"
        mask = f"{field.mask:#0{found.width // 4 + 2}x}"
        says = f"{field.form}: {field.says}".rstrip(": ") if forms and field.form else field.says
        cells = [text(bits), code(mask), text(str(field.shift)), code(field.name), text(says)]
        rows.append([text(str(field.word)), *cells] if found.count > 1 else cells)
    return table(heads, widths, rows)


class RowsDirective(SphinxDirective):
    """Base: a table without arguments, whose modules the page depends on."""

    modules: ClassVar = (xive,)

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        for module in self.modules:
            self.env.note_dependency(str(source_of(module)))
        return [self.made()]

    def made(self) -> nodes.table:
        """Make the table."""
        raise NotImplementedError


class _Count(source.Notifier):
    """Counts what a source controller forwards."""

    def __init__(self) -> None:
        self.events = 0

    def notify(self, lisn: int, pq_checked: bool) -> None:
        self.events += 1


MSI, LSI = 0, 1
LOW, HIGH = False, True
MANAGEMENT = 1 << 16


def _after(pq: int, srcno: int, level: bool, action: str) -> str:
    """Ask the model: PQ after an action, what a load returns, and whether an event is forwarded."""
    count = _Count()
    sources = source.Source(count, 2, Events())
    sources.make_lsi(LSI)
    if level:
        sources.set_irq(srcno, True)
    sources.set_pq(srcno, pq)
    page, before = srcno << sources.shift, count.events
    value = ""
    if action == "trigger":
        sources.store(page, 0)
    elif action == "eoi":
        value = f", returns {sources.load(page + MANAGEMENT)}"
    else:
        sources.set_irq(srcno, action == "raise")
    sent = count.events - before
    return f"{sources.pq(srcno):02b}{value}{', forwards' if sent else ''}"


class TransitionsDirective(RowsDirective):
    """What every action does to every state."""

    modules = (xive, source)

    def made(self) -> nodes.table:
        """Return a row for each state."""
        columns = (
            *(("Store to the trigger page", MSI, LOW, "trigger"), ("EOI, MSI or input low", MSI, LOW, "eoi")),
            *(("LSI: input rises", LSI, LOW, "raise"), ("LSI: EOI, input high", LSI, HIGH, "eoi")),
        )
        rows = [
            [code(f"{pq.value:02b}"), text(pq.name), *(text(_after(pq, *column[1:])) for column in columns)]
            for pq in (PQ.RESET, PQ.PENDING, PQ.QUEUED, PQ.OFF)
        ]
        return table(("PQ", "Name", *(column[0] for column in columns)), (8, 14, 19, 20, 19, 20), rows)


class RangesDirective(WireDirective):
    """Offsets of the management page."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        ranges: Iterable[EsbRange] = self.found()
        rows = [(code(f"{row.first:#05x} to {row.last:#05x}"), text(row.does)) for row in ranges]
        return [table(("Offset", "Does"), (30, 70), rows)]


def _by_words(letters: str) -> str:
    return " ".join(letters[at : at + 4] for at in range(0, len(letters), 4))


class AccessDirective(RowsDirective):
    """The access maps."""

    def made(self) -> nodes.table:
        """Return a row for each ring, a column for each view."""
        rows = [
            [code(f"{ring.value:#04x}"), text(ring.name), *(code(_by_words(xive.ACCESS[view][ring])) for view in View)]
            for ring in Ring
        ]
        return table(("Offset", "Ring", *(view.name for view in View)), (9, 9, 21, 21, 21, 21), rows)


class OpsDirective(RowsDirective):
    """The special operations."""

    def made(self) -> nodes.table:
        """Return a row for each."""
        rows = [
            [
                *(code(f"{row.offset:#05x}"), text("store" if row.store else "load")),
                *(
                    text(" or ".join(map(str, row.sizes))),
                    text(", ".join(view.name for view in View if view <= row.view)),
                ),
                text(row.does),
            ]
            for row in xive.TIMA_OPS
        ]
        return table(("Offset", "By", "Bytes", "Views", "Does"), (10, 10, 12, 18, 50), rows)


class ResetDirective(RowsDirective):
    """The context after a reset."""

    def made(self) -> nodes.table:
        """Return a row for each ring."""
        presenter = Presenter([0], Events())
        cells = bytes(presenter.tables()["rings"])
        registers = [reg for reg in Reg if reg < Reg.W2]
        rows = [
            [
                text(ring.name),
                *(code(f"{cells[ring + reg]:02x}") for reg in registers),
                code(cells[ring + 8 :][:4].hex()),
            ]
            for ring in Ring
        ]
        heads = ("Ring", *(reg.name for reg in registers), "W2")
        return table(heads, (12, *(9 for _ in registers), 16), rows)


def _word(cells: bytes) -> nodes.paragraph:
    return code(cells[:4].hex())


class HcallsDirective(RowsDirective):
    """The hypercalls."""

    modules = (papr,)

    def made(self) -> nodes.table:
        """Return a row for each."""
        rows = [
            [
                *(code(f"{row.opcode:#x}"), code(row.name)),
                *(text(_registers(row.arguments)), text(_registers(row.results) or "-")),
                code(f"{row.flags:#x}"),
            ]
            for row in papr.XIVE_HCALLS
        ]
        return table(("Number", "Name", "Arguments", "Results", "Flags"), (9, 30, 27, 27, 7), rows)


def _registers(names: Iterable[str]) -> str:
    return ", ".join(f"R{register} {name}" for register, name in enumerate(names, FIRST_ARGUMENT))


class LisnsDirective(RowsDirective):
    """The interrupt number space."""

    modules = (papr,)

    def made(self) -> nodes.table:
        """Return a row for each range, and for what lies between."""
        rows = [
            [code(f"{first:#06x}" if first == last else f"{first:#06x} to {last:#06x}"), text(use), text(kind)]
            for first, last, use, kind in _whole_space()
        ]
        return table(("LISN", "Has it", "Input"), (30, 50, 20), rows)


def _whole_space() -> Iterator[tuple[int, int, str, str]]:
    free = 0
    for row in papr.LISN_SPACE:
        if row.first > free:
            yield free, row.first - 1, "nobody", "-"
        yield row.first, row.last, row.use, "level (LSI)" if row.lsi else "edge (MSI)"
        free = row.last + 1
    assert free == papr.NR_IRQS


class DifferencesDirective(RowsDirective):
    """The flavours."""

    modules = (flavours,)

    def made(self) -> nodes.table:
        """Return a row for each difference."""
        names = [flavour.name for flavour in flavours.FLAVOURS.values()]
        rows = [
            [
                code(row.name),
                text(row.about),
                *("yes" if getattr(flavour, row.name) else "no" for flavour in flavours.FLAVOURS.values()),
            ]
            for row in flavours.DIFFERENCES
        ]
        made = [[*cells[:2], *(text(cell) for cell in cells[2:])] for cells in rows]
        return table(("Switch", "What it is about", *names), (24, 43, 11, 12, 10), made)


class EventsDirective(SphinxDirective):
    """The lines of one log class."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a row for each event: its name and its line."""
        kind = self.arguments[0]
        for module in (events, engines):
            self.env.note_dependency(str(source_of(module)))
        rows = [(code(name), code(row.text)) for name, row in events.FORMATS.items() if row.kind == kind]
        if not rows:
            raise self.error(f"no events of the kind {kind}")
        return [table(("Event", "Line"), (32, 68), rows)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    made = {
        "words": WordsDirective,
        "pq-transitions": TransitionsDirective,
        "esb-ranges": RangesDirective,
        "tima-access": AccessDirective,
        "tima-ops": OpsDirective,
        "tctx-reset": ResetDirective,
        "hcalls": HcallsDirective,
        "lisns": LisnsDirective,
        "differences": DifferencesDirective,
        "events": EventsDirective,
    }
    for name, directive in made.items():
        app.add_directive(name, directive)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
