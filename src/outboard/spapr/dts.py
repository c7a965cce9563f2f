"""Device trees as text, in the form of device tree source.

Source: Devicetree Specification v0.4, chapter 6. What a value is cannot be seen from its bytes; it is guessed as `dtc`
does, so the text is for reading.
"""

from collections.abc import Iterator

from outboard.spapr.fdt import Node, read_cells
from outboard.spec.devicetree import CELL


def text(root: Node) -> str:
    """Return a tree, with the newline at its end."""
    return "/dts-v1/;\n\n" + "\n".join(_node_lines(root, "")) + "\n"


def _node_lines(node: Node, indent: str) -> Iterator[str]:
    yield f"{indent}{node.name or '/'} {{"
    for name, value in node.properties.items():
        yield f"{indent}\t{name}{' = ' + value_text(value) if value else ''};"
    for child in node.children:
        yield ""
        yield from _node_lines(child, indent + "\t")
    yield f"{indent}}};"


def value_text(value: bytes) -> str:
    """Return a property's value: strings where all of it can be printed, else cells, else bytes."""
    parts = value[:-1].split(b"\0") if value.endswith(b"\0") else []
    if parts and all(part and all(0x20 <= byte < 0x7F for byte in part) for part in parts):
        return ", ".join('"' + part.decode().replace("\\", "\\\\").replace('"', '\\"') + '"' for part in parts)
    if len(value) % CELL == 0:
        return f"<{' '.join(f'{cell:#x}' for cell in read_cells(value))}>"
    return f"[{value.hex(' ')}]"
