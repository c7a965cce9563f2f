"""Recorded operations on the interrupt controller of a real machine, replayed on ours.

A file holds what a machine was, the operations in order with what the machine answered, and pictures of its state;
`tests/vectors/xive/README.md` describes the format.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from outboard.errors import LocalError, OutboardError
from outboard.spapr.flavours import QEMU_7_2, Flavour
from outboard.spapr.xive import SpaprXive
from outboard.spec.papr import ESB_BASE, ESB_SHIFT, NR_IRQS

FORMAT = 1
CONTEXT = 4
"""Operations before a difference that are shown with it."""
LAST_REGISTER = 12
FILL = 0x5A5A5A5A5A5A5A00
"""What register n holds, plus n, when a hypercall is made without a value for it."""
NO_ANSWER = "qemu aborts"
MISSHAPEN = (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError)
"""What reading numbers and names from a file raises when they are not what the format says."""


class Difference(NamedTuple):
    """Where our answer is not the recorded one. op: number of the operation, or of those before a checkpoint."""

    op: int
    what: str
    operation: str
    expected: str
    got: str
    context: list[str]


class Report(NamedTuple):
    """Outcome of one file."""

    file: str
    ops: int
    checkpoints: int
    differences: list[Difference]


class Recording(NamedTuple):
    """One file, read."""

    file: str
    meta: dict[str, Any]
    ops: list[dict[str, Any]]
    checkpoints: list[dict[str, Any]]


def read(path: Path) -> Recording:
    """Read a file, compressed or not. Raises LocalError when it is no recording."""
    try:
        data = path.read_bytes()
        content = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    except OSError as error:
        raise LocalError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (EOFError, RecursionError, ValueError, zlib.error) as error:
        raise LocalError(f"{path}: not a vector file: {error}") from None
    try:
        meta, ops, checkpoints = content["meta"], content["ops"], content["checkpoints"]
        version = meta["format"]
    except (KeyError, TypeError) as error:
        raise LocalError(f"{path}: not a vector file: what it holds lacks meta, ops or checkpoints: {error}") from None
    if version != FORMAT or version is True:
        raise LocalError(f"{path}: format {version!r} of vector files; this program reads {FORMAT}")
    return Recording(path.name, meta, ops, checkpoints)


def build(meta: dict[str, Any], flavour: Flavour = QEMU_7_2) -> SpaprXive:
    """Return a controller in the state in which a recording starts. Raises LocalError for one that we cannot be."""
    for name, ours in (("nr_irqs", NR_IRQS), ("esb_shift", ESB_SHIFT), ("esb_base", hex(ESB_BASE))):
        if meta.get(name, ours) != ours:
            raise LocalError(f"{name} is {meta[name]!r}; a pseries machine has {ours}")
    return SpaprXive(
        len(meta["servers"]),
        max_cpus=meta["maxcpus"],
        vsmt=meta["vsmt"],
        ram_size=int(meta["ram_size"], 16),
        sources=[(lisn, bool(is_lsi)) for lisn, is_lsi in meta["sources"]],
        negotiated=meta["setup"].get("cas", True),
        flavour=flavour,
    )


# Operations, each given its arguments as numbers; what it returns is compared with the recorded result.


def _hcall(xive: SpaprXive, cpu: int, opcode: int, *arguments: int) -> dict[str, str]:
    held = [FILL + number for number in range(4, LAST_REGISTER + 1)]
    held[: len(arguments)] = arguments
    status, *results = xive.cpu(cpu).hcall(opcode, *held)
    changed = {
        f"r{number}": hex(new) for number, (old, new) in enumerate(zip(held, results, strict=False), 4) if new != old
    }
    return {"r3": hex(status & 0xFFFFFFFFFFFFFFFF), **changed}


def _load(xive: SpaprXive, cpu: int, addr: int, size: int) -> str:
    return hex(xive.cpu(cpu).load(addr, size))


def _store(xive: SpaprXive, cpu: int, addr: int, size: int, value: int) -> None:
    xive.cpu(cpu).store(addr, size, value)


def _irq(xive: SpaprXive, cpu: int) -> int:
    return int(xive.cpu(cpu).irq())


def _set_irq(xive: SpaprXive, cpu: int, lisn: int, level: int) -> None:
    xive.set_irq(lisn, level)


def _pulse(xive: SpaprXive, cpu: int, lisn: int) -> None:
    xive.pulse(lisn)


def _claim(xive: SpaprXive, cpu: int, lisn: int, is_lsi: int) -> None:
    xive.claim(lisn, bool(is_lsi))


def _free(xive: SpaprXive, cpu: int, lisn: int) -> None:
    xive.free(lisn)


def _cas(xive: SpaprXive, cpu: int) -> str:
    xive.negotiated = True
    return hex(0)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "hcall": _hcall,
    "load": _load,
    "store": _store,
    "irq": _irq,
    "set_irq": _set_irq,
    "pulse": _pulse,
    "claim": _claim,
    "free": _free,
    "cas": _cas,
}


def number(text: str | int) -> int:
    """Return a number as the files write it: hexadecimal in strings."""
    if not isinstance(text, int | str):
        raise ValueError(f"{text!r} is no number")
    return int(text, 16) if isinstance(text, str) else text


def spelled(op: dict[str, Any]) -> str:
    """Return an operation as one line."""
    return f"cpu {op.get('cpu', 0)} {op['op']} {' '.join(map(str, op.get('args', [])))}".rstrip()


def perform(xive: SpaprXive, op: dict[str, Any]) -> Any:
    """Do one operation; return what it answers."""
    return OPERATIONS[op["op"]](xive, op.get("cpu", 0), *map(number, op.get("args", [])))


def replay(recording: Recording, flavour: Flavour = QEMU_7_2) -> Report:
    """Replay a recording from its start and compare every answer and every picture.

    Raises LocalError when the file asks for something that there is not.
    """
    file, meta, ops, checkpoints = recording
    try:
        xive = build(meta, flavour)
        differences = list(_compare(xive, ops, checkpoints))
    except OutboardError as error:
        raise LocalError(f"{file}: {error}") from None
    except MISSHAPEN as error:
        raise LocalError(f"{file}: not a recording that can be replayed: {type(error).__name__} {error}") from None
    return Report(file, len(ops), len(checkpoints), differences)


def _compare(xive: SpaprXive, ops: list[dict[str, Any]], checkpoints: list[dict[str, Any]]) -> Iterator[Difference]:
    points: dict[int, list[dict[str, Any]]] = {}
    for point in checkpoints:
        points.setdefault(point["after"], []).append(point)
    if not points.keys() <= set(range(len(ops) + 1)):
        raise LocalError(f"not a recording that can be replayed: a checkpoint is not among the {len(ops)} operations")
    for done in range(len(ops) + 1):
        for point in points.get(done, []):
            yield from _compare_state(xive, done, point, ops)
        if done == len(ops):
            return
        op = ops[done]
        try:
            expected, got = op.get("result"), perform(xive, op)
        except (OutboardError, *MISSHAPEN) as error:
            raise LocalError(f"operation {done}, {op!s:.100}: {type(error).__name__} {error}") from None
        if expected != got and expected != NO_ANSWER:
            yield Difference(done, "result", spelled(op), str(expected), str(got), _before(ops, done))


def _before(ops: list[dict[str, Any]], done: int) -> list[str]:
    return [spelled(op) for op in ops[max(0, done - CONTEXT) : done]]


def folded(text: str) -> list[str]:
    """Return the lines of an `info pic` with runs of blanks as one."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def _compare_state(
    xive: SpaprXive, done: int, point: dict[str, Any], ops: list[dict[str, Any]]
) -> Iterator[Difference]:
    if point["pic"] is not None:
        theirs, ours = folded(point["pic"]), folded(xive.pic())
        for line, (expected, got) in enumerate(_side_by_side(theirs, ours), 1):
            if expected != got:
                yield Difference(done, "pic", f"info pic, line {line}", expected, got, _before(ops, done))
    for page in point["mem"]:
        addr, expected_bytes = number(page["addr"]), _bytes(page)
        got_bytes = xive.memory.read(addr, len(expected_bytes))
        if got_bytes != expected_bytes:
            yield _memory_difference(done, addr, expected_bytes, got_bytes or b"", _before(ops, done))


def _side_by_side(theirs: list[str], ours: list[str]) -> Iterator[tuple[str, str]]:
    for line in range(max(len(theirs), len(ours))):
        yield tuple((*lines[line : line + 1], "no such line")[0] for lines in (theirs, ours))  # type: ignore[misc]


def _bytes(page: dict[str, Any]) -> bytes:
    data = bytearray(number(page["len"]))
    for offset, run in page["runs"]:
        start = number(offset)
        data[start : start + len(run) // 2] = bytes.fromhex(run)
    return bytes(data)


def _memory_difference(done: int, addr: int, expected: bytes, got: bytes, context: list[str]) -> Difference:
    at = next((at for at in range(0, len(expected), 4) if expected[at : at + 4] != got[at : at + 4]), 0)
    words = expected[at : at + 4].hex(), got[at : at + 4].hex() or "not memory"
    return Difference(done, "mem", f"word at {addr + at:#x}", *words, context)
