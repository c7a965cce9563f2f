"""Tables of the manual that are made from the declarations in `outboard.spec` whenever it is built.

    layout CLASS      one structure: offset, size, field, type, remark
    layouts MODULE    all structures of a module, a section each, in the order of the module
    requests TABLE    the rows of a request table; `served` names a dictionary of the requests that we answer
    commands TABLE    the rows of a command table
    enum CLASS        the members of an enumeration; `offered` names a mask of the flags that we offer, `form` is how
                      numbers are written (`{:#x}`)

Arguments are dotted names. Wherever a structure is mentioned, the tables link to it: `{ref}` finds it by its dotted
name, too.
"""

import inspect
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, Flag
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar, get_type_hints

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import outboard.layout
from outboard.layout import Array, Bytes, Layout, Scalar

SCALARS = {
    value.__metadata__[0].code: name
    for name, value in vars(outboard.layout).items()
    if isinstance(getattr(value, "__metadata__", [None])[0], Scalar)
}
BYTE_ORDER = {"<": "little-endian", "=": "host byte order"}
HEX_FROM = 256
"""Largest value from which a table of numbers is hexadecimal."""


def find(dotted: str) -> Any:
    """Return the module, class or value of a dotted name."""
    head, _, last = dotted.rpartition(".")
    try:
        return getattr(import_module(head), last)
    except AttributeError:
        return import_module(dotted)


def name_of(layout: type[Layout]) -> str:
    """Return a structure's dotted name, its label in the manual."""
    return f"{layout.__module__}.{layout.__qualname__}"


def text(words: str) -> nodes.paragraph:
    """Return a paragraph."""
    return nodes.paragraph("", words)


def code(words: str) -> nodes.paragraph:
    """Return a paragraph in the type of code."""
    return nodes.paragraph("", "", nodes.literal(words, words))


def link(layout: type[Layout]) -> nodes.Node:
    """Return a link to a structure's table."""
    label = nodes.literal("", layout.__name__)
    return pending_xref(
        "", label, refdomain="std", reftype="ref", reftarget=name_of(layout).lower(), refexplicit=True, refwarn=True
    )


def table(heads: Sequence[str], widths: Sequence[int], rows: Iterable[Sequence[nodes.Node]]) -> nodes.table:
    """Return a table whose cells are ready-made."""
    group = nodes.tgroup(cols=len(heads))
    group += [nodes.colspec(colwidth=width) for width in widths]
    head = nodes.thead("", line(map(text, heads)))
    group += [head, nodes.tbody("", *[line(row) for row in rows])]
    return nodes.table("", group, classes=["colwidths-given"])


def line(cells: Iterable[nodes.Node]) -> nodes.row:
    """Return one row of a table."""
    return nodes.row("", *[nodes.entry("", cell) for cell in cells])


def type_cell(kind: Any) -> nodes.paragraph:
    """Say what a field is: a Scalar, Bytes, an Array or a structure."""
    kind = kind.__metadata__[0] if hasattr(kind, "__metadata__") else kind
    if isinstance(kind, Scalar):
        return text(SCALARS[kind.code])
    if isinstance(kind, Bytes):
        return text(f"{kind.length} bytes")
    if isinstance(kind, Array):
        return nodes.paragraph("", f"{kind.length} of ", *type_cell(kind.item).children)
    return nodes.paragraph("", "", link(kind))


class WireDirective(SphinxDirective):
    """Base: one dotted name, whose module the page depends on."""

    required_arguments = 1

    def found(self) -> Any:
        """Return what the argument names."""
        return self.lookup(self.arguments[0])

    def lookup(self, dotted: str) -> Any:
        """Return what a dotted name means; note its module, so that a change there builds the page anew."""
        value = find(dotted)
        module = value if isinstance(value, ModuleType) else import_module(dotted.rpartition(".")[0])
        self.env.note_dependency(str(inspect.getsourcefile(module)))
        return value

    def described(self, layout: type[Layout]) -> list[nodes.Node]:
        """Return a structure's sentence and table."""
        order = BYTE_ORDER[layout.byte_order]
        about = f"{inspect.getdoc(layout)} {layout.sizeof} bytes, {order}."
        hints = get_type_hints(layout, include_extras=True)
        rows = [
            (text(str(row.offset)), text(str(row.size)), code(row.name), type_cell(hints[row.name]), text(row.says))
            for row in layout.rows()
        ]
        return [text(about), table(("Offset", "Size", "Field", "Type", "Remark"), (8, 8, 20, 24, 40), rows)]

    def labelled(self, layout: type[Layout], node: nodes.Element) -> nodes.Element:
        """Give a node the structure's label."""
        label = name_of(layout).lower()
        anchor = nodes.make_id(label)
        node["ids"].append(anchor)
        domain = self.env.get_domain("std")
        domain.anonlabels[label] = self.env.docname, anchor
        domain.labels[label] = self.env.docname, anchor, layout.__name__
        return node


class LayoutDirective(WireDirective):
    """One structure."""

    def run(self) -> list[nodes.Node]:
        """Return its table."""
        layout = self.found()
        return [self.labelled(layout, nodes.container("", *self.described(layout)))]


class LayoutsDirective(WireDirective):
    """All structures of a module."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each."""
        module = self.found()
        return [self.section(layout) for layout in layouts_of(module)]

    def section(self, layout: type[Layout]) -> nodes.Node:
        """Return one structure's section."""
        section = nodes.section("", nodes.title("", layout.__name__), *self.described(layout))
        return self.labelled(layout, section)


def layouts_of(module: ModuleType) -> Iterator[type[Layout]]:
    """Yield the structures that a module declares, in its order."""
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Layout) and value.__module__ == module.__name__:
            yield value


def carried(layout: type[Layout] | None, more: str = "") -> nodes.paragraph:
    """Say what structure a message carries, and what follows it."""
    if layout is None:
        return text("-")
    return nodes.paragraph("", "", link(layout), nodes.Text(f", {layout.sizeof}{more}"))


def fds(fewest: int, most: int) -> str:
    """Say how many fds a message carries."""
    if most == 0:
        return "-"
    return str(most) if fewest == most else f"{fewest} to {most}"


class RequestsDirective(WireDirective):
    """A table of requests."""

    option_spec: ClassVar = {"served": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Return the table, and a sentence that names the numbers without a row."""
        rows = self.found()
        served = self.lookup(self.options["served"]) if "served" in self.options else None
        heads, widths = ["Id", "Name", "Payload, bytes", "Reply, bytes", "fds", "Needs"], [6, 28, 26, 24, 8, 16]
        if served is not None:
            heads, widths = [*heads, "Ours"], [*widths, 10]
        made = [self.row(number, row, served) for number, row in rows.items()]
        return [table(heads, widths, made), *self.others(rows)]

    @staticmethod
    def row(number: int, row: Any, served: Any) -> list[nodes.Node]:
        """Return one request's cells."""
        more = " + bytes" if getattr(row, "tail", False) else " + pixels" if getattr(row, "pixels", False) else ""
        reply = text("header only") if getattr(row, "acknowledged", False) else carried(row.reply, more)
        needs = row.feature.name if row.feature else "-"
        cells = [
            *(text(str(int(number))), code(row.req.name), carried(row.payload, more)),
            *(reply, text(fds(*row.fds)), text(needs)),
        ]
        return cells if served is None else [*cells, text("yes" if number in served else "refused")]

    @staticmethod
    def others(rows: dict[int, Any]) -> list[nodes.Node]:
        """Name the members of the requests' enumeration that have no row."""
        kind = type(next(iter(rows.values())).req)
        missing = [f"{int(one)} {one.name}" for one in kind if one not in rows]
        return [text(f"Known by number only, and answered as unsupported: {', '.join(missing)}.")] if missing else []


class CommandsDirective(WireDirective):
    """A table of commands."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        rows = [
            (
                *(text(f"{int(cmd):#06x}"), code(cmd.name), carried(row.request), carried(row.response)),
                text(row.feature.name if row.feature else "-"),
            )
            for cmd, row in self.found().items()
        ]
        heads = ("Code", "Name", "Request, bytes", "Response when all is well, bytes", "Needs")
        return [table(heads, (10, 28, 26, 24, 16), rows)]


class EnumDirective(WireDirective):
    """An enumeration."""

    option_spec: ClassVar = {"offered": directives.unchanged_required, "form": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Return its sentence and table: bits for flags, numbers for others."""
        kind = self.found()
        about = text(str(inspect.getdoc(kind)))
        return [about, self.flags(kind) if issubclass(kind, Flag) else self.numbers(kind)]

    def flags(self, kind: type[Flag]) -> nodes.table:
        """Return the table of a set of flags."""
        offered = self.lookup(self.options["offered"]) if "offered" in self.options else None
        rows = []
        for flag in kind:
            row = [text(str(flag.value.bit_length() - 1)), text(f"{flag.value:#x}"), code(flag.name or "")]
            rows.append(row if offered is None else [*row, text("yes" if flag.value & offered else "-")])
        if offered is None:
            return table(("Bit", "Mask", "Name"), (10, 25, 65), rows)
        return table(("Bit", "Mask", "Name", "Ours offers it"), (10, 20, 50, 20), rows)

    def numbers(self, kind: type[Enum]) -> nodes.table:
        """Return the table of a set of numbers."""
        style = self.options.get("form", "{:#06x}" if max(one.value for one in kind) >= HEX_FROM else "{:d}")
        rows = [(text(style.format(one.value)), code(one.name)) for one in kind]
        return table(("Value", "Name"), (25, 75), rows)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    made = {
        "layout": LayoutDirective,
        "layouts": LayoutsDirective,
        "requests": RequestsDirective,
        "commands": CommandsDirective,
        "enum": EnumDirective,
    }
    for name, directive in made.items():
        app.add_directive(name, directive)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
