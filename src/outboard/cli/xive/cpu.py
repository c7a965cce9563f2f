"""What one vCPU does, by command."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from outboard.cli.xive import hcall
from outboard.cli.xive.words import number
from outboard.errors import LocalError
from outboard.spapr.cpu import Cpu
from outboard.spec.xive import Ring

Lines = Iterable[str]


def _ack(cpu: Cpu, words: list[str]) -> Lines:
    value = cpu.ack()
    yield f"{value:#06x}: NSR {value >> 8:#04x}, CPPR {value & 0xFF:#04x}"


def _cppr(cpu: Cpu, words: list[str]) -> Lines:
    cpu.set_cppr(number(words[0], "CPPR"))
    return ()


def _pending(cpu: Cpu, words: list[str]) -> Lines:
    cpu.set_pending(number(words[0], "a priority"))
    return ()


def _is_raised(cpu: Cpu, words: list[str]) -> Lines:
    yield f"external interrupt {'raised' if cpu.irq() else 'low'}"


def _ring(cpu: Cpu, words: list[str]) -> Lines:
    name = words[0].upper() if words else "OS"
    if name not in Ring.__members__:
        raise LocalError(f"no ring {words[0]!a}; there are {', '.join(ring.name.lower() for ring in Ring)}")
    registers = cpu.ring(Ring[name])
    yield " ".join(f"{reg}={value:0{8 if reg in ('W2', 'W3') else 2}x}" for reg, value in registers.items())


def _load(cpu: Cpu, words: list[str]) -> Lines:
    yield f"{cpu.load(number(words[0], 'ADDR'), number(words[1], 'SIZE')):#x}"


def _store(cpu: Cpu, words: list[str]) -> Lines:
    cpu.store(number(words[0], "ADDR"), number(words[1], "SIZE"), number(words[2], "VALUE"))
    return ()


class CpuVerb(NamedTuple):
    """What one vCPU does. least, most: how many words."""

    usage: str
    do: Callable[[Cpu, list[str]], Lines]
    least: int = 0
    most: int = 0
    takes: tuple[str, ...] = ()


CPU_VERBS = {
    "ack": CpuVerb("ack", _ack),
    "cppr": CpuVerb("cppr V", _cppr, 1, 1),
    "pending": CpuVerb("pending V", _pending, 1, 1),
    "irq": CpuVerb("irq", _is_raised),
    "ring": CpuVerb("ring [user|os|pool|phys]", _ring, 0, 1, ("ring",)),
    "load": CpuVerb("load ADDR SIZE", _load, 2, 2, ("addr", "size")),
    "store": CpuVerb("store ADDR SIZE VALUE", _store, 3, 3, ("addr", "size")),
    "hcall": CpuVerb("hcall NAME [VALUE | NAME=VALUE ...]", hcall.make, 1, 10, ("hcall",)),
}
