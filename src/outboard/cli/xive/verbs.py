"""The commands of `outboard xive shell`: one row each, and the functions that serve them."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from outboard.cli.xive import hcall
from outboard.cli.xive.cpu import CPU_VERBS
from outboard.cli.xive.linux import setup
from outboard.cli.xive.queue import queue
from outboard.cli.xive.session import Quit, Session
from outboard.cli.xive.words import number, suggestion, taken
from outboard.errors import LocalError
from outboard.spapr.cpu import Cpu
from outboard.spapr.explain import explain
from outboard.spapr.lisn import span

Lines = Iterable[str]


class Verb(NamedTuple):
    """One command. takes: kinds of its words, as completion knows them; changes: whether it may change the machine."""

    usage: str
    about: str
    do: Callable[[Session, list[str]], Lines]
    takes: tuple[str, ...] = ()
    changes: bool = True


def _first_cpu(session: Session) -> Cpu:
    return session.xive.cpu(min(session.xive.order))


def _cpu(session: Session, word: str) -> Cpu:
    index = number(word, "CPU")
    if index not in session.xive.order:
        raise LocalError(f"CPU {index} is not plugged; {span(session.xive.order)} are")
    return session.xive.cpu(index)


def _flag(word: str, what: str) -> bool:
    if word not in ("0", "1"):
        raise LocalError(f"{what} is 0 or 1, not {word!a}")
    return word == "1"


# Sources


def _trigger(session: Session, words: list[str]) -> Lines:
    (lisn,) = taken(words, "trigger LISN", 1)
    _first_cpu(session).trigger(number(lisn, "LISN"))
    return ()


def _eoi(session: Session, words: list[str]) -> Lines:
    (lisn,) = taken(words, "eoi LISN", 1)
    value = _first_cpu(session).eoi(number(lisn, "LISN"))
    yield f"{value:#x}, {'another event was sent' if value else 'no further event'}"


def _esb(session: Session, words: list[str]) -> Lines:
    lisn, offset = taken(words, "esb LISN OFFSET", 2)
    where = number(offset, "OFFSET")
    if where >= 0x10000 or where % 8:
        raise LocalError(f"offset {where:#x}: a management page takes multiples of 8 below 0x10000")
    yield f"{_first_cpu(session).esb(number(lisn, 'LISN'), where):#x}"


def _pulse(session: Session, words: list[str]) -> Lines:
    (lisn,) = taken(words, "pulse LISN", 1)
    session.xive.pulse(number(lisn, "LISN"))
    return ()


def _irq(session: Session, words: list[str]) -> Lines:
    lisn, level = taken(words, "irq LISN 0|1", 2)
    session.xive.set_irq(number(lisn, "LISN"), _flag(level, "the level"))
    return ()


def _claim(session: Session, words: list[str]) -> Lines:
    lisn, *kind = taken(words, "claim LISN [lsi]", 1, 2)
    if kind not in ([], ["lsi"]):
        raise LocalError("usage: claim LISN [lsi]")
    session.xive.claim(number(lisn, "LISN"), bool(kind))
    return ()


def _free(session: Session, words: list[str]) -> Lines:
    (lisn,) = taken(words, "free LISN", 1)
    if not session.xive.is_claimed(number(lisn, "LISN")):
        raise LocalError(f"LISN {number(lisn, 'LISN'):#x} is not claimed")
    session.xive.free(number(lisn, "LISN"))
    return ()


def _explain(session: Session, words: list[str]) -> Lines:
    (lisn,) = taken(words, "explain LISN", 1)
    return explain(session.xive, number(lisn, "LISN")).lines()


# vCPUs


def _cpu_verb(session: Session, words: list[str]) -> Lines:
    if len(words) < 2:
        raise LocalError(f"usage: cpu N {' | '.join(CPU_VERBS)}")
    cpu = _cpu(session, words[0])
    verb = CPU_VERBS.get(words[1])
    if verb is None:
        raise LocalError(
            f"a cpu does not {words[1]!a}; {suggestion(words[1], CPU_VERBS)}it does {', '.join(CPU_VERBS)}"
        )
    return verb.do(cpu, taken(words[2:], f"cpu N {verb.usage}", verb.least, verb.most))


def _hcall(session: Session, words: list[str]) -> Lines:
    return hcall.make(_first_cpu(session), words)


def _plug(session: Session, words: list[str]) -> Lines:
    (word,) = taken(words, "plug N", 1)
    free = [index for index in range(len(session.xive.cpus)) if index not in session.xive.order]
    if (index := number(word, "CPU")) not in free:
        raise LocalError(f"CPU {index} cannot be plugged; free: {span(free)}")
    session.xive.plug(index)
    return ()


def _unplug(session: Session, words: list[str]) -> Lines:
    (word,) = taken(words, "unplug N", 1)
    session.xive.unplug(_cpu(session, word).index)
    return ()


# The machine


def _reset(session: Session, words: list[str]) -> Lines:
    taken(words, "reset", 0)
    session.xive.reset()
    yield "the machine is reset; hypercalls answer H_FUNCTION until XIVE is negotiated: `cas` or `setup`"


def _cas(session: Session, words: list[str]) -> Lines:
    taken(words, "cas", 0)
    session.xive.negotiated = True
    yield "XIVE is negotiated"


def _pic(session: Session, words: list[str]) -> Lines:
    taken(words, "pic", 0)
    return session.xive.pic().splitlines()


def _state(session: Session, words: list[str]) -> Lines:
    taken(words, "state", 0)
    xive = session.xive
    claimed = sum(xive.is_claimed(lisn) for lisn in range(xive.nr_irqs))
    yield f"digest {xive.snapshot().digest()}"
    yield f"CPUs plugged {span(xive.order)}, at most {len(xive.cpus)}, ids a multiple of {xive.vsmt}"
    negotiated = "negotiated" if xive.negotiated else "not negotiated"
    yield f"{claimed} LISNs claimed, XIVE {negotiated}, flavour {xive.flavour.name}"
    yield f"{session.undoable} to undo, {len(session.undone)} to redo"


# The session


def _undo(session: Session, words: list[str]) -> Lines:
    count = number(words[0], "how many") if taken(words, "undo [N]", 0, 1) else 1
    return [f"undone: {line}" for line in session.undo(count)]


def _redo(session: Session, words: list[str]) -> Lines:
    taken(words, "redo", 0)
    return [f"redone: {session.redo()}"]


def _trace(session: Session, words: list[str]) -> Lines:
    if taken(words, "trace [on|off]", 0, 1):
        if words[0] not in ("on", "off"):
            raise LocalError("usage: trace [on|off]")
        session.traces = words[0] == "on"
    yield f"trace {'on' if session.traces else 'off'}"


def _save(session: Session, words: list[str]) -> Lines:
    (file,) = taken(words, "save FILE", 1)
    try:
        with Path(file).open("x") as script:
            script.writelines(f"{line}\n" for line in session.lines)
    except OSError as error:
        raise LocalError(f"{file}: not written: {error.strerror}") from None
    except ValueError as error:
        raise LocalError(f"{file!a}: not written: {error}") from None
    yield f"{len(session.lines)} commands written; outboard xive shell {session.options} --script {file} performs them"


def _help(session: Session, words: list[str]) -> Lines:
    topic = words[0] if taken(words, "help [COMMAND]", 0, 1) else ""
    if not topic:
        width = max(len(verb.usage) for verb in VERBS.values())
        yield from (f"  {verb.usage:{width}}  {verb.about}" for verb in VERBS.values())
        yield "Numbers are decimal, or hexadecimal with 0x. Tab completes. `help cpu`, `help hcall` say more."
        return
    if topic not in VERBS:
        raise LocalError(f"no command {topic!a}; {suggestion(topic, VERBS)}`help` lists them")
    yield f"{VERBS[topic].usage}: {VERBS[topic].about}"
    if topic == "cpu":
        yield from (f"  cpu N {verb.usage}" for verb in CPU_VERBS.values())
    if topic == "hcall":
        yield from hcall.listing()


def _quit(session: Session, words: list[str]) -> Iterator[str]:
    taken(words, "quit", 0)
    raise Quit


VERBS = {
    "setup": Verb("setup", "do what Linux does at its start: queues, IPIs, CPPR, of all CPUs", setup),
    "trigger": Verb("trigger LISN", "store to the trigger page of a source", _trigger, ("lisn",)),
    "eoi": Verb("eoi LISN", "end an interrupt by a load of the management page", _eoi, ("lisn",)),
    "esb": Verb("esb LISN OFFSET", "load at an offset of the management page", _esb, ("lisn", "offset")),
    "pulse": Verb("pulse LISN", "raise and lower an input, as a device's MSI does", _pulse, ("lisn",)),
    "irq": Verb("irq LISN 0|1", "set an input, as a device's LSI does", _irq, ("lisn", "bit")),
    "claim": Verb("claim LISN [lsi]", "make a source", _claim, ("number", "lsi")),
    "free": Verb("free LISN", "take a source away", _free, ("lisn",)),
    "explain": Verb("explain LISN", "say where its events go, and why", _explain, ("lisn",), changes=False),
    "cpu": Verb("cpu N ack|cppr|hcall|...", "do something as a CPU; `help cpu`", _cpu_verb, ("cpu", "cpu verb")),
    "hcall": Verb("hcall NAME [VALUE ...]", "make a hypercall as the first CPU; `help hcall`", _hcall, ("hcall",)),
    "queue": Verb("queue TARGET PRIO", "show an event queue", queue, ("target", "priority"), changes=False),
    "pic": Verb("pic", "print what the monitor's `info pic` prints", _pic, changes=False),
    "plug": Verb("plug N", "add a CPU", _plug, ("free cpu",)),
    "unplug": Verb("unplug N", "take a CPU away", _unplug, ("cpu",)),
    "reset": Verb("reset", "reset the machine", _reset),
    "cas": Verb("cas", "negotiate XIVE, as a guest does after a reset", _cas),
    "state": Verb("state", "print a digest of the whole state, and what there is", _state, changes=False),
    "undo": Verb("undo [N]", "take back the last command that changed something, or N", _undo, changes=False),
    "redo": Verb("redo", "do again what `undo` took back", _redo, changes=False),
    "trace": Verb("trace [on|off]", "print trace lines and guest errors as QEMU does", _trace, ("on off",), False),
    "save": Verb("save FILE", "write the commands that made this state as a script", _save, changes=False),
    "help": Verb("help [COMMAND]", "print this, or more of a command", _help, ("verb",), changes=False),
    "quit": Verb("quit", "leave; Ctrl-D does too", _quit, changes=False),
}


def perform(session: Session, line: str) -> list[str]:
    """Perform one command; return what to print. A line that is empty or a comment does nothing.

    Raises LocalError for a command that makes no sense, which then has changed nothing, and Quit.
    """
    words = line.partition("#")[0].split()
    if not words:
        return []
    verb = VERBS.get(words[0])
    if verb is None:
        raise LocalError(f"no command {words[0]!a}; {suggestion(words[0], VERBS)}`help` lists them")
    return session.run(" ".join(words), lambda: verb.do(session, words[1:]), changes=verb.changes)
