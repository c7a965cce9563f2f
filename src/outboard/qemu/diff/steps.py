"""What is done to a machine, one step a line of text: what a campaign draws, shows and runs again.

Numbers are decimal or 0x…; hypercalls and RTAS calls have their names where they have one. A line may end with `xN`:
the step N times. Empty lines and what follows a `#` are skipped.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from outboard.errors import LocalError
from outboard.spec.papr import RTAS_HCALL, XICS_HCALLS, XICS_RTAS_CALLS, XIVE_HCALLS

HCALLS = {row.name: row.opcode for row in (*XIVE_HCALLS, *XICS_HCALLS)}
RTAS_CALLS = {row.name: row.token for row in XICS_RTAS_CALLS}
TIMES_MAX = 4096
REGISTER_MAX = (1 << 64) - 1


class Kind(NamedTuple):
    """A kind of step: its values, and what it does. `*` is for any number of them."""

    values: tuple[str, ...]
    says: str


def _kind(values: str, says: str) -> Kind:
    return Kind(tuple(values.split()), says)


KINDS = {
    "hcall": _kind("cpu opcode *arguments", "a hypercall; arguments are R4 and up"),
    "load": _kind("cpu addr size", "a load of 1, 2, 4 or 8 bytes"),
    "store": _kind("cpu addr size value", "a store of 1, 2, 4 or 8 bytes"),
    "rtas": _kind("cpu token nargs nret *arguments", "an RTAS call"),
    "take": _kind("cpu", "H_XIRR, and H_EOI of what it returned"),
    "irq": _kind("cpu", "a look at the external interrupt input"),
    "pulse": _kind("cpu lisn", "a device sends the MSI of a LISN that is claimed, made to do so by a CPU"),
    "line": _kind("cpu device level", "device 0 or 1, whose INTA is 0x1202 or 0x1203, sets its line"),
    "claim": _kind("cpu device", "device 2 or 3 is given an MSI, the first free LISN"),
    "free": _kind("cpu device", "and loses it"),
    "cas": _kind("xive", "CPU 0 negotiates XIVE exploitation (1) or XICS (0), the others stopped"),
    "reset": _kind("", "the machine is reset; its devices get what they had at the start"),
}


class Step(NamedTuple):
    """A step, done `times` times."""

    kind: str
    values: tuple[int, ...] = ()
    times: int = 1

    @property
    def cpu(self) -> int | None:
        """The CPU that does it; None where it concerns the machine."""
        return self.values[0] if self.kind not in ("cas", "reset") else None


def _number(value: int) -> str:
    return str(value) if value < 10 else hex(value)


def _name(names: dict[str, int], value: int) -> str:
    return next((name for name, number in names.items() if number == value), hex(value))


def line(step: Step) -> str:
    """Return a step as text."""
    words = [_number(value) for value in step.values]
    if step.kind == "hcall":
        words[1] = _name(HCALLS, step.values[1])
    elif step.kind == "rtas":
        words[1] = _name(RTAS_CALLS, step.values[1])
    return " ".join([step.kind, *words, *([f"x{step.times}"] if step.times > 1 else [])])


def text(steps: Iterable[Step]) -> str:
    """Return steps as text, one a line."""
    return "".join(f"{line(step)}\n" for step in steps)


def parse(text: str, cpus: int) -> list[Step]:
    """Return the steps that a text has, for so many CPUs. Raises LocalError, which names the line."""
    steps = []
    for number, whole in enumerate(text.splitlines(), 1):
        words = whole.partition("#")[0].split()
        if words:
            try:
                steps.append(_step(words, cpus))
            except LocalError as error:
                raise LocalError(f"line {number}, {whole.strip()[:80]!r}: {error}") from None
    return steps


def _step(words: list[str], cpus: int) -> Step:
    kind, *rest = words
    if kind not in KINDS:
        raise LocalError(f"no step {kind!r}; there are {', '.join(KINDS)}")
    times = 1
    if rest and (found := re.fullmatch("x([0-9]{1,9})", rest[-1])):
        times = int(found[1])
        rest.pop()
    step = Step(kind, tuple(_value(kind, at, word) for at, word in enumerate(rest)), times)
    if problem := _problem(step, cpus):
        raise LocalError(problem)
    return step


def _value(kind: str, at: int, word: str) -> int:
    names = {"hcall": HCALLS, "rtas": RTAS_CALLS}.get(kind, {}) if at == 1 else {}
    if word in names:
        return names[word]
    if not re.fullmatch("0x[0-9a-fA-F]{1,16}|[0-9]{1,20}", word) or int(word, 0) > REGISTER_MAX:
        raise LocalError(f"{word!r} is no number of 64 bits")
    return int(word, 0)


def _problem(step: Step, cpus: int) -> str | None:
    """Return what is wrong with a step, None when it can be done."""
    kind, values, times = step
    wanted = KINDS[kind].values
    most = 12 if wanted and wanted[-1][0] == "*" else len(wanted)
    least = len(wanted) - 1 if most > len(wanted) else len(wanted)
    if not least <= len(values) <= most:
        return f"{kind} takes {' '.join(wanted) or 'nothing'}"
    if not 1 <= times <= TIMES_MAX:
        return f"a step is done 1 to {TIMES_MAX} times, not {times}"
    if step.cpu is not None and step.cpu >= cpus:
        return f"no CPU {step.cpu}; there are 0 to {cpus - 1}"
    if kind in ("load", "store") and values[2] not in (1, 2, 4, 8):
        return f"an access has 1, 2, 4 or 8 bytes, not {values[2]}"
    if kind == "store" and values[3] >> 8 * values[2]:
        return f"{values[3]:#x} does not fit {values[2]} bytes"
    if kind == "hcall" and (len(values) > 11 or values[1] == RTAS_HCALL.opcode or values[1] not in SAFE):
        return "a hypercall is one of XIVE, XICS or a number that has none, with 9 arguments at most"
    if kind == "rtas" and (values[1] not in RTAS_CALLS.values() or max(values[2:]) > 0xFFFFFFFF or len(values) > 9):
        return "an RTAS call is one of XICS, with 5 arguments of 32 bits at most"
    if kind == "line" and (values[1] > 1 or values[2] > 1):
        return "a line is of device 0 or 1, and 0 or 1"
    if kind in ("claim", "free") and values[1] not in (2, 3):
        return "the devices that are given MSIs are 2 and 3"
    if kind == "cas" and values[0] > 1:
        return "cas 1 is for XIVE, cas 0 for XICS"
    return None


NO_HCALLS = (0x3A4, 0x3A9, 0x3D4, 0x3D8)
"""Numbers between the hypercalls that none has."""
SAFE = {*HCALLS.values(), *NO_HCALLS}
