"""RTAS as the pseries machine has it: one hypercall with cells in guest memory, and the calls of XICS.

Source: LoPAPR, "RTAS"; behaviour as QEMU 7.2 shows it. A cell where no memory is reads 0, a result there is lost. Other
calls are served by more rows in a table like `XICS_CALLS`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import outboard.spapr.xics_hcalls as xics_hcalls
from outboard.guest.memory import GuestMemory
from outboard.spapr.arguments import ALL_ONES
from outboard.spapr.hcalls import Answer
from outboard.spapr.xics_hcalls import XicsMachine
from outboard.spec.papr import RTAS_HCALL, XICS_RTAS_CALLS, H, RtasCall, RtasStatus
from outboard.spec.xics import MASKED
from outboard.xics import Xics
from outboard.xive.events import GUEST_ERROR, Events, formats

FORMATS = xics_hcalls.FORMATS | formats(GUEST_ERROR, {"unknown_rtas_token": "spapr_rtas_call: Unknown RTAS token 0x%x"})
"""What the machine's events have to know besides `spapr.events.FORMATS`."""

CELL = 4
HEAD = 3
"""Cells before the arguments: token, nargs, nret."""
_WORD = 0xFFFFFFFF
_REAL = ALL_ONES >> 4
"""The bits of an address that count; the first four say, on real machines, how to translate."""


class RtasMachine(XicsMachine, Protocol):
    """What RTAS wants to know of the machine."""

    @property
    def memory(self) -> GuestMemory: ...


class Cells(NamedTuple):
    """Cells of 32 bits, big-endian, from an address on, which is the guest's."""

    memory: GuestMemory
    events: Events
    addr: int

    def _place(self, index: int, access: str) -> int:
        """Return the address of a cell, or -1, and a word of it, where no memory is."""
        addr = (self.addr + CELL * index) & _REAL
        if self.memory.holds(addr, CELL):
            return addr
        self.events.report("unassigned", access, addr, CELL)
        return -1

    def load(self, index: int) -> int:
        """Return a cell; 0 where no memory is."""
        addr = self._place(index, "read")
        return self.memory.load(addr, CELL) if addr >= 0 else 0

    def store(self, index: int, value: int) -> None:
        """Set a cell, if there is memory."""
        addr = self._place(index, "write")
        if addr >= 0:
            self.memory.store(addr, CELL, value & _WORD)

    def after(self, cells: int) -> "Cells":
        """Return the cells that follow so many; QEMU counts their bytes in 32 bits."""
        return self._replace(addr=(self.addr + (CELL * cells & _WORD)) & ALL_ONES)


class Request(NamedTuple):
    """An RTAS call as the guest made it; `arguments` are read as they are wanted, so that `nargs` may be anything."""

    token: int
    nargs: int
    nret: int
    arguments: Cells


Serve = Callable[[Any, int, Request], tuple[int, ...]]
"""Serve a call of a CPU index on a machine: return the results from the first on, the status. The rest stays."""


def set_xive(xics: Xics, number: int, server: int, priority: int) -> tuple[int, ...]:
    """ibm,set-xive: where a source's events go."""
    if not xics.ics.has(number) or xics.icp.find(server) is None or priority > MASKED:
        return (RtasStatus.PARAMETER_ERROR,)
    xics.ics.write_xive(number, server, priority, saved=priority)
    return (RtasStatus.SUCCESS,)


def get_xive(xics: Xics, number: int) -> tuple[int, ...]:
    """ibm,get-xive: where a source's events go."""
    if not xics.ics.has(number):
        return (RtasStatus.PARAMETER_ERROR,)
    ics, srcno = xics.ics, number - xics.first
    return RtasStatus.SUCCESS, ics.server[srcno], ics.priority[srcno]


def int_off(xics: Xics, number: int) -> tuple[int, ...]:
    """ibm,int-off: mask a source; twice, and what was saved is the mask."""
    if not xics.ics.has(number):
        return (RtasStatus.PARAMETER_ERROR,)
    ics, srcno = xics.ics, number - xics.first
    ics.write_xive(number, ics.server[srcno], MASKED, saved=ics.priority[srcno])
    return (RtasStatus.SUCCESS,)


def int_on(xics: Xics, number: int) -> tuple[int, ...]:
    """ibm,int-on: give a source the priority back that was saved."""
    if not xics.ics.has(number):
        return (RtasStatus.PARAMETER_ERROR,)
    ics, srcno = xics.ics, number - xics.first
    ics.write_xive(number, ics.server[srcno], ics.saved[srcno], saved=ics.saved[srcno])
    return (RtasStatus.SUCCESS,)


def _xics_call(row: RtasCall, serve: Callable[..., tuple[int, ...]]) -> Serve:
    """Return `serve` behind the checks that all calls of XICS make."""
    handler = f"rtas_{serve.__name__}"

    def checked(machine: RtasMachine, cpu: int, request: Request) -> tuple[int, ...]:
        assert machine.xics is not None, "the token is unknown then"
        if xics_hcalls.refuses(machine, handler):
            return (RtasStatus.HARDWARE_ERROR,)
        if (request.nargs, request.nret) != (len(row.arguments), len(row.results)):
            return (RtasStatus.PARAMETER_ERROR,)
        return serve(machine.xics, *(request.arguments.load(at) for at in range(len(row.arguments))))

    return checked


XICS_CALLS: dict[int, Serve] = {
    row.token: _xics_call(row, globals()[row.name.removeprefix("ibm,").replace("-", "_")]) for row in XICS_RTAS_CALLS
}
"""What serves the calls of XICS, by token; on a machine without one they are unknown."""


def _find(machine: RtasMachine, token: int, calls: Mapping[int, Serve]) -> Serve | None:
    return None if token in XICS_CALLS and machine.xics is None else calls.get(token)


def call(machine: RtasMachine, cpu: int, addr: int, calls: Mapping[int, Serve] = XICS_CALLS) -> Answer:
    """Make the RTAS call whose cells are at `addr`. An error of the call is in its status, R3 is H_SUCCESS."""
    head = Cells(machine.memory, machine.events, addr)
    token, nargs, nret = head.load(0), head.load(1), head.load(2)
    arguments = head.after(HEAD)
    serve = _find(machine, token, calls)
    if serve is None:
        machine.events.report("unknown_rtas_token", token)
        arguments.after(nargs).store(0, RtasStatus.PARAMETER_ERROR)
        return (int(H.PARAMETER),)
    results = serve(machine, cpu, Request(token, nargs, nret, arguments))
    for at, value in enumerate(results):
        arguments.after(nargs).store(at, value)
    return (int(H.SUCCESS),)


def dispatch(
    machine: RtasMachine,
    cpu: int,
    problem_state: bool,
    opcode: int,
    arguments: tuple[int, ...],
    calls: Mapping[int, Serve] = XICS_CALLS,
) -> Answer:
    """Serve H_RTAS of CPU index `cpu`; R4 is the address of the cells. calls: what serves each token."""
    assert opcode == RTAS_HCALL.opcode
    if problem_state:
        return (int(H.PRIVILEGE),)
    return call(machine, cpu, arguments[0] if arguments else 0, calls)
