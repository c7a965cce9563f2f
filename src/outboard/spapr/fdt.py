"""Flattened device trees: a tree of nodes to bytes and back. `dts` shows one as text.

Source: Devicetree Specification v0.4, chapters 2.2 (nodes, properties) and 5 (the flattened format).

Modelled: version 17, memory reservations, names shared in the strings block; NOPs and trees with room behind them are
read. Not modelled: versions below 17, and trees that a reader changes in place.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from outboard.errors import LocalError, ProtocolError
from outboard.spec.devicetree import (
    CELL,
    MAGIC,
    RESERVE_ALIGNMENT,
    VERSION,
    Header,
    Property,
    ReserveEntry,
    Token,
)

SIZE_MAX = 0x20_0000
"""Bytes of a tree that is read; QEMU's own limit."""
DEPTH_MAX = 64
NAME_MAX = 255
"""Bytes of a name that is read. The specification has 31, and names in use that are longer."""
EMPTY = b""
"""The value of a property that is only there or not."""
_WHAT = "device tree"
_GRAPHIC = frozenset(map(chr, range(0x21, 0x7F))) - {"/"}


def cells(*values: int) -> bytes:
    """Return numbers of 32 bits as a property's value. Raises LocalError when one does not fit."""
    try:
        return b"".join(value.to_bytes(CELL, "big") for value in values)
    except OverflowError:
        raise LocalError(f"cells are numbers of 32 bits, not {', '.join(map(hex, values))}") from None


def long_cells(*values: int) -> bytes:
    """Return numbers of 64 bits as two cells each."""
    return cells(*(half for value in values for half in (value >> 32, value & 0xFFFFFFFF)))


def strings(*texts: str) -> bytes:
    """Return a string, or several as a list. Raises LocalError for a character that is not ASCII, or NUL."""
    if any(not text.isascii() or "\0" in text for text in texts):
        raise LocalError(f"strings of a device tree are ASCII without NUL, not {texts!r}")
    return b"".join(text.encode() + b"\0" for text in texts)


def read_cells(value: bytes) -> tuple[int, ...]:
    """Return a property's numbers of 32 bits. Raises ProtocolError when its length is not one of cells."""
    if len(value) % CELL:
        raise ProtocolError("cells", f"a multiple of {CELL} bytes", str(len(value)))
    return tuple(int.from_bytes(value[at : at + CELL], "big") for at in range(0, len(value), CELL))


def read_strings(value: bytes) -> tuple[str, ...]:
    """Return a property's list of strings. Raises ProtocolError when the last does not end, or one is not ASCII."""
    if not value.endswith(b"\0") or not value.isascii():
        raise ProtocolError("strings", "ASCII that ends with NUL", repr(value[-16:]))
    return tuple(value[:-1].decode().split("\0"))


@dataclass
class Node:
    """A node: its name with the unit address ("memory@0", "" for the root), properties in order, nodes below it."""

    name: str = ""
    properties: dict[str, bytes] = field(default_factory=dict)
    children: list[Self] = field(default_factory=list)

    def find(self, path: str) -> "Node | None":
        """Return the node at a path from this one, "/cpus/PowerPC,POWER9@0" or "cpus"; None where there is none."""
        node: Node | None = self
        for name in filter(None, path.split("/")):
            node = next((child for child in node.children if child.name == name), None) if node else None
        return node

    def walk(self, path: str = "") -> Iterator[tuple[str, "Node"]]:
        """Yield this node and all below it, each with its path; the root's is "/"."""
        waiting: list[tuple[str, Node]] = [(path or "/", self)]
        while waiting:
            at, node = waiting.pop()
            yield at, node
            waiting += [(f"{at.rstrip('/')}/{child.name}", child) for child in reversed(node.children)]


class Tree(NamedTuple):
    """A whole tree: its root, reserved memory as (address, size), and the CPU that boots."""

    root: Node
    reserved: tuple[tuple[int, int], ...] = ()
    boot_cpu: int = 0


# Writing


def pack(root: Node, reserved: Iterable[tuple[int, int]] = (), boot_cpu: int = 0) -> bytes:
    """Return the flattened tree: header, reservations, structure, strings, without room to grow.

    Raises LocalError for a name that no tree may have, one that a node has twice, a number too large, a tree too deep.
    """
    names = _Strings()
    structure = bytearray()
    _write_node(root, structure, names, 0)
    structure += cells(Token.END)
    reserve = b"".join(long_cells(*entry) for entry in (*reserved, (0, 0)))
    at_reserve = -(-Header.sizeof // RESERVE_ALIGNMENT) * RESERVE_ALIGNMENT
    at_struct = at_reserve + len(reserve)
    at_strings = at_struct + len(structure)
    header = Header(
        totalsize=at_strings + len(names.block),
        off_dt_struct=at_struct,
        off_dt_strings=at_strings,
        off_mem_rsvmap=at_reserve,
        boot_cpuid_phys=int.from_bytes(cells(boot_cpu), "big"),
        size_dt_strings=len(names.block),
        size_dt_struct=len(structure),
    )
    return header.pack().ljust(at_reserve, b"\0") + reserve + bytes(structure) + bytes(names.block)


class _Strings:
    """The strings block as it grows: each name once."""

    def __init__(self) -> None:
        self.block = bytearray()
        self._at: dict[str, int] = {}

    def offset(self, name: str) -> int:
        if name not in self._at:
            self._at[name] = len(self.block)
            self.block += strings(name)
        return self._at[name]


def _aligned(data: bytes) -> bytes:
    return data + bytes(-len(data) % CELL)


def _write_node(node: Node, out: bytearray, names: _Strings, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise LocalError(f"a device tree has {DEPTH_MAX} levels at most")
    children = [child.name for child in node.children]
    wrong = [name for name in (*node.properties, *children) if not _is_name(name)]
    if wrong or len(set(children)) != len(children) or (depth == 0) != (node.name == ""):
        got = f"{node.name!r} with {wrong or children}"
        raise LocalError(f"a root has no name, others have one of graphic ASCII without '/', each once; got {got}")
    out += cells(Token.BEGIN_NODE) + _aligned(strings(node.name))
    for name, value in node.properties.items():
        out += cells(Token.PROP) + Property(len(value), names.offset(name)).pack() + _aligned(value)
    for child in node.children:
        _write_node(child, out, names, depth + 1)
    out += cells(Token.END_NODE)


def _is_name(name: str) -> bool:
    return 0 < len(name) <= NAME_MAX and _GRAPHIC.issuperset(name)


# Reading


def unpack(data: bytes) -> Node:
    """Return the root of a flattened tree; bytes behind it are not looked at. Raises ProtocolError as `read`."""
    return read(data).root


def read(data: bytes) -> Tree:
    """Return a flattened tree with its reservations. Raises ProtocolError for bytes that are none."""
    data = bytes(data[:SIZE_MAX])
    header = _header(data)
    reserved = tuple(_reservations(data, header))
    strings_end = header.off_dt_strings + header.size_dt_strings
    reader = _Reader(
        data[header.off_dt_struct : header.off_dt_struct + header.size_dt_struct],
        data[header.off_dt_strings : strings_end],
    )
    return Tree(reader.root(), reserved, header.boot_cpuid_phys)


def _header(data: bytes) -> Header:
    header = Header.unpack_from(data)
    if header.magic != MAGIC:
        raise ProtocolError(f"{_WHAT}'s magic", f"{MAGIC:#x}", f"{header.magic:#x}")
    if header.version < VERSION or header.last_comp_version > VERSION:
        got = f"{header.version}, compatible with {header.last_comp_version}"
        raise ProtocolError(f"{_WHAT}'s version", f"{VERSION}, or one compatible with it", got)
    if not Header.sizeof <= header.totalsize <= len(data):
        raise ProtocolError(f"{_WHAT}'s size", f"{Header.sizeof} to {len(data)} bytes", str(header.totalsize))
    for name, at, size, alignment in (
        ("structure block", header.off_dt_struct, header.size_dt_struct, CELL),
        ("strings block", header.off_dt_strings, header.size_dt_strings, 1),
        ("reservations", header.off_mem_rsvmap, ReserveEntry.sizeof, RESERVE_ALIGNMENT),
    ):
        if at < Header.sizeof or at + size > header.totalsize or at % alignment:
            expected = f"within {Header.sizeof} to {header.totalsize}, aligned to {alignment}"
            raise ProtocolError(f"{_WHAT}'s {name}", expected, f"{size} bytes at {at}")
    return header


def _reservations(data: bytes, header: Header) -> Iterator[tuple[int, int]]:
    for at in range(header.off_mem_rsvmap, header.totalsize - ReserveEntry.sizeof + 1, ReserveEntry.sizeof):
        entry = ReserveEntry.unpack_from(data, at)
        if entry.address == entry.size == 0:
            return
        yield entry.address, entry.size
    raise ProtocolError(f"{_WHAT}'s reservations", "an entry of zeros at their end", "none")


class _Reader:
    """The structure block, token by token."""

    def __init__(self, structure: bytes, names: bytes) -> None:
        self.structure = structure
        self.names = names
        self.at = 0
        self._known: dict[int, str] = {}

    def root(self) -> Node:
        """Return the tree; the block must hold it and nothing else."""
        self._expect(Token.BEGIN_NODE)
        root = Node(self._node_name())
        if root.name:
            raise self._error("a root without a name", repr(root.name))
        path, taken = [root], [set[str]()]
        while path:
            token = self._token()
            node = path[-1]
            if token == Token.PROP:
                self._property(node)
            elif token == Token.BEGIN_NODE:
                child = Node(self._checked(self._node_name(), taken[-1]))
                node.children.append(child)
                path.append(child)
                taken.append(set())
                if len(path) > DEPTH_MAX + 1:
                    raise self._error(f"{DEPTH_MAX} levels at most", "one more")
            elif token == Token.END_NODE:
                path.pop()
                taken.pop()
            else:
                raise self._error("a property, a node or a node's end", f"token {token}")
        self._expect(Token.END)
        if self.at != len(self.structure):
            raise self._error("the structure block's end", f"{len(self.structure) - self.at} bytes more")
        return root

    def _error(self, expected: str, got: str) -> ProtocolError:
        return ProtocolError(f"{_WHAT}'s structure block, byte {self.at}", expected, got)

    def _take(self, length: int) -> bytes:
        end = self.at + length
        if end > len(self.structure):
            raise self._error(f"{length} bytes", str(len(self.structure) - self.at))
        taken = self.structure[self.at : end]
        self.at = end + -end % CELL
        return taken

    def _token(self) -> int:
        while (token := int.from_bytes(self._take(CELL), "big")) == Token.NOP:
            pass
        return token

    def _expect(self, wanted: Token) -> None:
        if (token := self._token()) != wanted:
            raise self._error(f"token {wanted.name}", str(token))

    def _node_name(self) -> str:
        end = self.structure.find(b"\0", self.at, self.at + NAME_MAX + 1)
        if end < 0:
            raise self._error(f"a node's name of up to {NAME_MAX} bytes and NUL", "none")
        return self._take(end + 1 - self.at)[:-1].decode("latin-1")

    def _property(self, node: Node) -> None:
        head = Property.unpack(self._take(Property.sizeof))
        name = self._checked(self._name_at(head.nameoff), node.properties)
        node.properties[name] = self._take(head.len)

    def _name_at(self, offset: int) -> str:
        if offset not in self._known:
            end = self.names.find(b"\0", offset, offset + NAME_MAX + 1)
            if end < 0:
                raise self._error(f"a name of up to {NAME_MAX} bytes and NUL in the strings block", f"offset {offset}")
            self._known[offset] = self.names[offset:end].decode("latin-1")
        return self._known[offset]

    def _checked(self, name: str, taken: "set[str] | dict[str, bytes]") -> str:
        if not _is_name(name) or name in taken:
            raise self._error("a name of graphic ASCII that its node does not have yet", repr(name))
        if isinstance(taken, set):
            taken.add(name)
        return name
