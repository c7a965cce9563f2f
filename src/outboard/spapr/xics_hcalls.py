"""The hypercalls of XICS, the legacy interrupt mode.

Source: LoPAPR, "PowerPC External Interrupt Option"; orders of checks as QEMU 7.2's pseries machine has them.
"""

from collections.abc import Callable
from typing import Protocol

from outboard.spapr.hcalls import Answer
from outboard.spec.papr import XICS_HCALLS, H, Hcall
from outboard.xics import Xics
from outboard.xics.events import TRACES
from outboard.xive.events import TRACE, Events, formats

ERROR = "error"
"""Kind of what QEMU says on its standard error."""
FORMATS = formats(TRACE, TRACES) | formats(
    ERROR, {"not_emulated_xics": "pseries: %s must only be called for emulated XICS"}
)
"""What the machine's events have to know besides `spapr.events.FORMATS`."""
_WORD = 0xFFFFFFFF


class XicsMachine(Protocol):
    """What these calls want to know of the machine.

    xics: None where the machine was made without one; xive_negotiated: whether the guest chose XIVE exploitation.
    """

    @property
    def xics(self) -> Xics | None: ...
    @property
    def xive_negotiated(self) -> bool: ...
    @property
    def events(self) -> Events: ...


def refuses(machine: XicsMachine, handler: str) -> bool:
    """Return whether XIVE was negotiated, and say that the handler, by QEMU's name, is not for it then."""
    if machine.xive_negotiated:
        machine.events.report("not_emulated_xics", handler)
    return machine.xive_negotiated


def eoi(xics: Xics, cpu: int, xirr: int) -> Answer:
    """H_EOI."""
    xics.icp.eoi(cpu, xirr & _WORD)
    return (H.SUCCESS,)


def cppr(xics: Xics, cpu: int, cppr: int) -> Answer:
    """H_CPPR."""
    xics.icp.set_cppr(cpu, cppr & 0xFF)
    return (H.SUCCESS,)


def ipi(xics: Xics, cpu: int, server: int, mfrr: int) -> Answer:
    """H_IPI."""
    target = xics.icp.find(server & _WORD)
    if target is None:
        return (H.PARAMETER,)
    xics.icp.set_mfrr(target, mfrr & 0xFF)
    return (H.SUCCESS,)


def ipoll(xics: Xics, cpu: int, server: int) -> Answer:
    """H_IPOLL."""
    target = xics.icp.find(server & _WORD)
    if target is None:
        return (H.PARAMETER,)
    return H.SUCCESS, xics.icp.xirr[target], xics.icp.mfrr[target]


def xirr(xics: Xics, cpu: int) -> Answer:
    """H_XIRR."""
    return H.SUCCESS, xics.icp.accept(cpu)


def xirr_x(xics: Xics, cpu: int) -> Answer:
    """H_XIRR_X."""
    return H.SUCCESS, xics.icp.accept(cpu), xics.ticks()


ACCEPTS_FIRST = {"H_XIRR", "H_XIRR_X"}
"""Calls that QEMU refuses after it has done them."""
HANDLERS: dict[int, tuple[Hcall, Callable[..., Answer]]] = {
    row.opcode: (row, globals()[row.name.removeprefix("H_").lower()]) for row in XICS_HCALLS
}
"""Hypercall rows with what serves them."""


def dispatch(machine: XicsMachine, cpu: int, problem_state: bool, opcode: int, arguments: tuple[int, ...]) -> Answer:
    """Serve a hypercall of CPU index `cpu`; `arguments` are R4 and up, those left out are 0."""
    if problem_state:
        return (int(H.PRIVILEGE),)
    found = HANDLERS.get(opcode)
    if machine.xics is None or found is None:
        machine.events.report("unknown_hcall", opcode)
        return (int(H.FUNCTION),)
    row, serve = found
    if row.name not in ACCEPTS_FIRST and refuses(machine, row.name.lower()):
        return (int(H.HARDWARE),)
    wanted = len(row.arguments)
    answer = serve(machine.xics, cpu, *arguments[:wanted], *(0,) * (wanted - len(arguments)))
    if row.name in ACCEPTS_FIRST and refuses(machine, row.name.lower()):
        return (int(H.HARDWARE),)
    return tuple(int(value) for value in answer)
