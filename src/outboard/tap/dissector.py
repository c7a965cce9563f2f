"""The Wireshark dissector in Lua: its tables are made from the declarations, its walker is `dissector.lua`."""

import sys
from collections.abc import Iterable
from importlib.resources import files

from outboard.layout import Array, Bytes, Layout, Scalar
from outboard.tap.capture import DATA_DISSECTOR
from outboard.tap.seen import CONTROL, KINDS, Kind
from outboard.vhost_user.decode import Shape, kind_of, kinds
from outboard.vhost_user.meanings import DECIMAL, ITEMS, MEANINGS, Meaning

TITLES = {
    "vhost-user": "vhost-user, control socket",
    "vhost-user-backend": "vhost-user, the back-end's channel",
    "vhost-user-gpu": "vhost-user-gpu, GPU socket",
}

Table = dict[str, object]


def lua(value: object) -> str:
    """Write a value in Lua. Dictionaries become tables with keys, lists such without; None is left out."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, dict):
        kept = ((key, one) for key, one in value.items() if one is not None)
        return "{ " + ", ".join(f"{_key(key)} = {lua(one)}" for key, one in kept) + " }"
    assert isinstance(value, list), value
    return "{ " + ", ".join(map(lua, value)) + " }"


def _key(key: object) -> str:
    return str(key) if isinstance(key, str) and key.isidentifier() else f"[{lua(key)}]"


def _name(layout: type[Layout]) -> str:
    return f"{layout.__module__.rpartition('.')[2]}.{layout.__name__}"


def _meaning(meaning: Meaning) -> Table:
    """Say how a number is written. Masks are split into 32-bit halves: a number of Lua's has 53 bits."""
    bits = meaning.bits and [
        {"mask": mask >> 32 or mask, "high": True if mask >> 32 else None, "name": name}
        for mask, name in meaning.bits.items()
    ]
    parts = [{"name": name, "low": mask & -mask, "span": mask // (mask & -mask) + 1} for name, mask in meaning.parts]
    return {"form": meaning.form, "bits": bits or None, "parts": parts or None}


def _struct(layout: type[Layout]) -> str:
    """Write a structure: its name and order in the first line, a field a line below."""
    rows = []
    for row in layout.rows():
        kind = kinds(layout)[row.name]
        about: Table = {"name": row.name, "offset": row.offset, "size": row.size}
        if isinstance(kind, Bytes):
            about |= {"form": "bytes"}
        elif isinstance(kind, Array):
            item = kind_of(kind.item)
            assert isinstance(item, type), "lists of numbers are in no message"
            about |= {"list": _name(item), "told": ITEMS.get(item, "")}
        elif isinstance(kind, Scalar):
            about |= _meaning(MEANINGS.get((layout, row.name), DECIMAL))
        else:
            about |= {"struct": _name(kind)}
        rows.append(f"        {lua(about)},\n")
    little = layout.byte_order == "<" or sys.byteorder == "little"
    head = f"key = {lua(layout.__name__.lower())}, size = {layout.sizeof}, little = {lua(little)}"
    return f"    [{lua(_name(layout))}] = {{ {head},\n{''.join(rows)}    }},\n"


def _inner(layout: type[Layout]) -> Iterable[type[Layout]]:
    """Yield a structure and those in it."""
    yield layout
    for kind in kinds(layout).values():
        item = kind_of(kind.item) if isinstance(kind, Array) else kind
        if isinstance(item, type):
            yield from _inner(item)


def _structs(kind: Kind) -> list[type[Layout]]:
    """Return the structures of a channel's messages, each once."""
    found: dict[type[Layout], None] = {}
    for shape in [*kind.channel.requests.values(), *kind.channel.replies.values()]:
        tail = shape.tail[1] if shape.tail else bytes
        for layout in (shape.payload, tail if issubclass(tail, Layout) else None):
            if layout:
                found |= dict.fromkeys(_inner(layout))
    return list(found)


def _shape(shape: Shape) -> Table:
    tail: Table | None = None
    if shape.tail:
        name, kind = shape.tail
        tail = {"name": name}
        if issubclass(kind, Layout):
            tail |= {"struct": _name(kind), "told": ITEMS.get(kind, "")}
    return {
        "payload": _name(shape.payload) if shape.payload else None,
        "told": shape.told,
        "value": _meaning(shape.value),
        "tail": tail,
        "refusable": shape.refusable or None,
    }


def _protocol(kind: Kind) -> str:
    channel = kind.channel
    lines = [
        f"name = {lua(kind.dissector)}, title = {lua(TITLES[kind.dissector])}, asks_backend = {lua(kind is CONTROL)},",
        f"names = {lua({number: channel.name(number) for number in channel.requests})},",
        f"structs = {lua([_name(layout) for layout in _structs(kind)])},",
    ]
    for title, shapes in (("requests", channel.requests), ("replies", channel.replies)):
        rows = "".join(f"            [{number}] = {lua(_shape(shape))},\n" for number, shape in shapes.items())
        lines.append(f"{title} = {{\n{rows}        }},")
    return "    {\n" + "".join(f"        {line}\n" for line in lines) + "    },\n"


def text() -> str:
    """Return the dissector, a whole Lua script."""
    structs = dict.fromkeys(layout for kind in KINDS for layout in _structs(kind))
    tables = (
        "STRUCTS = {\n" + "".join(map(_struct, structs)) + "}\n\nPROTOCOLS = {\n" + "".join(map(_protocol, KINDS)) + "}"
    )
    walker = files("outboard.tap").joinpath("dissector.lua").read_text(encoding="utf-8")
    walker = walker.replace("@LITTLE@", lua(sys.byteorder == "little")).replace("@DATA@", DATA_DISSECTOR)
    return walker.replace(
        "--@TABLES@", tables.replace("STRUCTS =", "local STRUCTS =").replace("PROTOCOLS =", "local PROTOCOLS =")
    )
