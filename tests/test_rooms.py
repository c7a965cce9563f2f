"""The rooms of the package and what each may import; ARCHITECTURE.md and docs/decisions/0001-rooms.md say why."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

# Room: the rooms it may import besides itself and COMMON, in the order in which they build on each other.
ROOMS = {
    "errors": "",
    "trace": "",
    "layout": "",
    "spec": "",
    "guest": "",
    "virtio": "spec guest",
    "vhost_user": "spec",
    "gpu": "spec guest virtio",
    "blk": "spec guest virtio",
    "input": "spec guest",
    "display": "spec",
    "xive": "spec guest",
    "xics": "spec guest",
    "spapr": "spec guest xive xics",
    "pnv": "spec guest xive",
    "host": "",
    "aio": "host",
    "block": "spec host aio",
    "viewers": "spec display input host",
    "backend": "spec guest virtio vhost_user gpu blk input display host aio block viewers",
    "frontend": "spec guest virtio vhost_user display host viewers",
    "machine": "spec guest virtio vhost_user gpu input display xive xics spapr pnv block aio host viewers frontend",
    "qemu": "spec guest xive xics spapr host machine",
    "tap": "spec vhost_user host",
    "conformance": "spec guest virtio vhost_user display host viewers backend frontend machine",
    "__init__": "",
}
ROOMS |= {"cli": " ".join(ROOMS), "__main__": "cli"}
COMMON = {"layout", "errors", "trace"}
ROOTS = {"errors", "trace", "__init__"}  # these import no room at all

# A face offers what users look for in its room but another holds: imported in a function only, so it costs nothing.
FACES = {
    "blk/__init__.py": {"backend"},
    "gpu/__init__.py": {"backend"},
    "display/__init__.py": {"frontend"},
    "__init__.py": {"blk", "display", "gpu", "spapr", "virtio"},
}
NAMES = {"__version__", "core"}  # what the package itself says of itself, to any room

# Rooms that open no file, socket or thread and read no clock, and the modules that would.
PURE = "layout spec guest virtio vhost_user gpu blk input display xive xics spapr pnv".split()
IMPURE = set(
    "_thread asyncio concurrent fcntl logging mmap multiprocessing open() os pathlib posix select selectors signal "
    "socket socketserver subprocess tempfile threading time".split()
)
IMPURE_YET_ALLOWED = {
    "guest/atomics.py": {"threading"},  # the plain form's memory fence is a lock
    "guest/ram.py": {"mmap"},  # of no file: memory that takes room only where it is touched
}

Import = tuple[int, str, bool]  # line, dotted name, whether it waits for a call (or is for type checkers only)


def of_python(text: str, package: list[str]) -> Iterator[Import]:
    """Find the imports of a module of `package`, at any depth, and its calls of open()."""

    def walk(node: ast.AST, lazy: bool) -> Iterator[Import]:
        lazy |= isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        lazy |= isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        match node:
            case ast.Import():
                yield from ((node.lineno, name.name, lazy) for name in node.names)
            case ast.ImportFrom():
                base = package[: len(package) - node.level + 1] if node.level else []
                origin = ".".join([*base, *filter(None, [node.module])])
                yield from ((node.lineno, f"{origin}.{name.name}", lazy) for name in node.names)
            case ast.Call(func=ast.Name("open")):
                yield node.lineno, "open()", lazy
            case ast.Call(func=ast.Attribute(attr="import_module") | ast.Name("import_module" | "__import__")):
                for called in node.args[:1]:
                    yield node.lineno, str(getattr(called, "value", "")), lazy
        for child in ast.iter_child_nodes(node):
            yield from walk(child, lazy)

    return walk(ast.parse(text), False)


def of_pxd(text: str, package: list[str]) -> Iterator[Import]:
    """Find the cimports of a .pxd of `package`."""
    for line, code in enumerate(text.splitlines(), 1):
        if found := re.match(r"\s*from\s+(\.*)([\w.]*)\s+c?import\s+([^#]*)", code):
            base = package[: len(package) - len(found[1]) + 1] if found[1] else []
            origin = ".".join([*base, *filter(None, [found[2]])])
            names = re.findall(r"(\w+)(?:\s+as\s+\w+)?", found[3]) or ["*"]
            yield from ((line, f"{origin}.{name}", False) for name in names)
        elif found := re.match(r"\s*c?import\s+([^#]*)", code):
            yield from ((line, name.split()[0], False) for name in found[1].split(",") if name.strip())


def violations(root: Path) -> list[str]:
    """Check the package at `root`: one line for each import that the table forbids."""
    wrong = []
    for path in sorted([*root.rglob("*.py"), *root.rglob("*.pxd")]):
        where = path.relative_to(root)
        room = where.with_suffix("").parts[0]
        if room not in ROOMS:
            wrong.append(f"{where}: no room {room!r} in the table of {Path(__file__).name}")
            continue
        allowed = {room, *ROOMS[room].split()} | (set() if room in ROOTS else COMMON)
        find = of_python if path.suffix == ".py" else of_pxd
        for line, name, lazy in find(path.read_text(), ["outboard", *where.parts[:-1]]):
            top, _, rest = name.partition(".")
            if top == "outboard":
                target = rest.partition(".")[0] or "outboard, the whole package"
                face = lazy and target in FACES.get(where.as_posix(), ())
                if target not in allowed | NAMES and not face:
                    wrong.append(f"{where}:{line}: imports {target}; {room} may import {' '.join(sorted(allowed))}")
            elif room in PURE and top in IMPURE - IMPURE_YET_ALLOWED.get(where.as_posix(), set()):
                wrong.append(f"{where}:{line}: uses {top}; {room} opens no file, socket or thread and reads no clock")
    return wrong


def test_every_room_keeps_to_the_table():
    assert not (found := violations(Path(__file__).parents[1] / "src" / "outboard")), "\n".join(found)


def test_no_room_imports_in_a_circle():
    for place, room in enumerate(ROOMS):
        assert set(ROOMS[room].split()) <= set(list(ROOMS)[:place]), f"{room} imports a room further down"


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("gpu/a.py", "import outboard.guest.memory as memory\nfrom ..spec import gpu\nfrom . import b", None),
        ("gpu/a.py", "x = 1\nimport outboard.host.fds as fds", "gpu/a.py:2: imports host; gpu may import errors gpu"),
        ("gpu/a.py", "def f():\n    if f:\n        from outboard.xive.esb import trigger", "gpu/a.py:3: imports xive"),
        ("gpu/a.py", "from .. import xive", "gpu/a.py:1: imports xive"),
        ("gpu/deep/a.py", "from ...host import fds", "gpu/deep/a.py:1: imports host"),
        ("gpu/a.py", "from outboard import spec, host", "gpu/a.py:1: imports host"),
        ("gpu/a.py", "import outboard", "gpu/a.py:1: imports outboard, the whole package"),
        ("gpu/a.py", "def f(): return importlib.import_module('outboard.host')", "gpu/a.py:1: imports host"),
        ("gpu/a.pxd", "from libc.string cimport memcpy\ncimport outboard.guest.copies as copies", None),
        ("gpu/a.pxd", "cimport outboard.guest.copies as c, outboard.host.fds as fds", "gpu/a.pxd:1: imports host"),
        ("gpu/a.pxd", "from posix.unistd cimport write", "gpu/a.pxd:1: uses posix"),
        ("xive/a.py", "def f():\n    from time import monotonic_ns", "xive/a.py:2: uses time; xive opens no file"),
        ("xive/a.py", "def f(): return open('x')", "xive/a.py:1: uses open()"),
        ("host/a.py", "import os, socket\nfrom outboard.errors import LocalError", None),
        ("errors.py", "import outboard.layout", "errors.py:1: imports layout"),
        ("gpu/__init__.py", "def serve():\n    from outboard.backend import serve", None),
        ("gpu/__init__.py", "from outboard.backend import serve", "gpu/__init__.py:1: imports backend"),
        ("attic/a.py", "", "attic/a.py: no room 'attic'"),
    ],
)
def test_the_table_is_enforced(tmp_path, file, text, complaint):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)
    found = violations(tmp_path)
    assert len(found) == (complaint is not None) and (not found or found[0].startswith(complaint)), found
