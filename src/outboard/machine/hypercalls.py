"""The hypercalls that a CPU makes by name, on every machine, and what they return.

Sources: LoPAPR, see `spec.papr`; `H_CAS` is QEMU's, see `spapr.cas`.
"""

from outboard.errors import LocalError
from outboard.spec.client_architecture import H_CAS
from outboard.spec.papr import CPU_HCALLS, RTAS_HCALL, TCE_HCALLS, XICS_HCALLS, XIVE_HCALLS, H, Hcall

CAS_HCALL = Hcall(H_CAS, "H_CAS", ("vectors", "buffer", "size"), (), 0)
_ROWS = (*XIVE_HCALLS, *XICS_HCALLS, *TCE_HCALLS, *CPU_HCALLS, RTAS_HCALL, CAS_HCALL)
BY_OPCODE = {row.opcode: row for row in _ROWS}
OPCODES = {row.name: row.opcode for row in _ROWS}


def opcode(call: int | str) -> int:
    """Return the number of a hypercall that is given by number or by name. Raises LocalError for unknown names."""
    if not isinstance(call, str):
        return call
    if call not in OPCODES:
        raise LocalError(f"no hypercall {call!r}; there are {', '.join(OPCODES)}")
    return OPCODES[call]


def answer(call: int, status: int, registers: tuple[int, ...]) -> tuple[int, ...]:
    """Return what a guest is given of the registers from R4 on: R3, signed, and the results of a call that succeeded.

    Of one that no table has they are all results; of one that failed none is.
    """
    if status != H.SUCCESS:
        return (status,)
    row = BY_OPCODE.get(call)
    return status, *(registers if row is None else registers[: len(row.results)])
