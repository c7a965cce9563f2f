"""What may follow what has been typed, for the Tab key."""

from collections.abc import Callable, Iterable

from outboard.cli.xive import hcall
from outboard.cli.xive.cpu import CPU_VERBS
from outboard.cli.xive.session import Session
from outboard.cli.xive.verbs import VERBS
from outboard.spec.papr import ESB_BASE, HV_PRIORITY, TIMA_BASE
from outboard.spec.xive import EQ_SIZES, PAGE_64K_SHIFT, TIMA_OPS, EsbLoad, Ring, TimaOpRow


def _claimed(session: Session) -> Iterable[str]:
    return (f"{lisn:#x}" for lisn in range(session.xive.nr_irqs) if session.xive.is_claimed(lisn))


def _free_cpus(session: Session) -> Iterable[str]:
    return (str(index) for index in range(len(session.xive.cpus)) if index not in session.xive.order)


def _tima(row: TimaOpRow) -> int:
    return TIMA_BASE + (row.view << PAGE_64K_SHIFT) + row.offset


KINDS: dict[str, Callable[[Session], Iterable[str]]] = {
    "verb": lambda session: VERBS,
    "cpu verb": lambda session: CPU_VERBS,
    "lisn": _claimed,
    "cpu": lambda session: map(str, sorted(session.xive.order)),
    "free cpu": _free_cpus,
    "target": lambda session: (str(index * session.xive.vsmt) for index in sorted(session.xive.order)),
    "priority": lambda session: map(str, range(HV_PRIORITY)),
    "hcall": lambda session: hcall.BY_NAME,
    "ring": lambda session: (ring.name.lower() for ring in Ring),
    "offset": lambda session: (f"{load.value:#x}" for load in EsbLoad),
    "bit": lambda session: ("0", "1"),
    "lsi": lambda session: ("lsi",),
    "on off": lambda session: ("on", "off"),
    "size": lambda session: ("1", "2", "4", "8"),
    "addr": lambda session: (hex(ESB_BASE), *(hex(_tima(row)) for row in TIMA_OPS)),
    "qsize": lambda session: map(str, EQ_SIZES),
}


def complete(session: Session, line: str) -> list[str]:
    """Return the words that may stand at the end of `line`, whose last word has been begun."""
    words = line.split(" ")
    *before, begun = [word for word in words[:-1] if word] + words[-1:]
    name, equals, text = begun.rpartition("=")
    found = _values(session, name) if equals else _words(session, before)
    return [f"{name}{equals}{word}" for word in found if word.startswith(text)]


def _values(session: Session, argument: str) -> Iterable[str]:
    return KINDS[argument](session) if argument in KINDS else ()


def _words(session: Session, before: list[str]) -> Iterable[str]:
    if not before:
        return VERBS
    if before[0] == "cpu" and len(before) > 2:
        before = before[2:]
        takes = CPU_VERBS[before[0]].takes if before[0] in CPU_VERBS else ()
    else:
        takes = VERBS[before[0]].takes if before[0] in VERBS else ()
    if takes == ("hcall",) and len(before) > 1:
        return _arguments(before[1:])
    kind = takes[len(before) - 1] if len(before) <= len(takes) else ""
    return _values(session, kind)


def _arguments(words: list[str]) -> Iterable[str]:
    """Return the names of a hypercall's arguments that were not given yet."""
    row = hcall.BY_NAME.get(words[0].lower().removeprefix(hcall.PREFIX.lower()))
    given = {word.partition("=")[0] for word in words[1:] if "=" in word}
    by_place = sum("=" not in word for word in words[1:])
    return (f"{name}=" for name in row.arguments[by_place:] if name not in given) if row else ()
