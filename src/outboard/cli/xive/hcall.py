"""Hypercalls as a person writes them, and their answers as one reads them."""

from collections.abc import Iterator

from outboard.cli.xive.words import NUMBER, number, suggestion
from outboard.errors import LocalError
from outboard.spapr.cpu import Cpu
from outboard.spec.papr import XIVE_HCALLS, H, Hcall

PREFIX = "H_INT_"
BY_NAME = {row.name.removeprefix(PREFIX).lower(): row for row in XIVE_HCALLS}
BY_OPCODE = {row.opcode: row for row in XIVE_HCALLS}
REGISTERS = 9
"""R4 to R12 carry arguments."""


def find(name: str) -> tuple[int, Hcall | None]:
    """Return opcode and row of a hypercall by its name, short or full, or its number, which may have no row."""
    if NUMBER.fullmatch(name):
        opcode = number(name, "a hypercall")
        return opcode, BY_OPCODE.get(opcode)
    short = name.lower().removeprefix(PREFIX.lower())
    row = BY_NAME.get(short)
    if row is None:
        raise LocalError(f"no hypercall {name!a}; {suggestion(short, BY_NAME)}`help hcall` lists them")
    return row.opcode, row


def arguments(row: Hcall | None, words: list[str]) -> list[int]:
    """Return the values of arguments, given by place or as name=value; those left out are 0."""
    names = row.arguments if row else tuple(f"r{register}" for register in range(4, 4 + REGISTERS))
    values: dict[str, int] = {}
    for place, word in enumerate(words):
        name, equals, text = word.rpartition("=")
        if not equals:
            if any("=" in before for before in words[:place]) or place >= len(names):
                raise LocalError(f"{text!a} has no place; {usage(row)}")
            name = names[place]
        if name not in names or name in values:
            raise LocalError(f"{name!a} is {'given twice' if name in values else 'no argument'}; {usage(row)}")
        values[name] = number(text, name)
    return [values.get(name, 0) for name in names]


def usage(row: Hcall | None) -> str:
    """Say what a hypercall takes."""
    if row is None:
        return f"a hypercall takes at most {REGISTERS} arguments, r4 to r{3 + REGISTERS}"
    return f"{row.name.removeprefix(PREFIX).lower()} takes {' '.join(row.arguments)}"


def code_name(code: int) -> str:
    """Return the name of a return code."""
    return f"H_{H(code).name}" if code in set(H) else str(code)


def make(cpu: Cpu, words: list[str]) -> Iterator[str]:
    """Make a hypercall and yield its answer."""
    if not words:
        raise LocalError("hcall NAME [VALUE | NAME=VALUE ...]; `help hcall` lists them")
    opcode, row = find(words[0])
    code, *results = cpu.hcall(opcode, *arguments(row, words[1:]))
    yield f"{code_name(code)} ({code})"
    names = row.results if row else ()
    width = max(map(len, names), default=0)
    for register, value in enumerate(results, 4):
        name = names[register - 4] if register - 4 < len(names) else f"r{register}"
        yield f"  {name:{width}}  {value:#x}"


def listing() -> Iterator[str]:
    """Yield a line for every hypercall."""
    width = max(map(len, BY_NAME))
    for name, row in BY_NAME.items():
        results = f"  -> {' '.join(row.results)}" if row.results else ""
        yield f"  {name:{width}}  {row.opcode:#x}  {' '.join(row.arguments)}{results}"
