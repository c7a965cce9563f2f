"""What the pseries machine tells besides what its XIVE engines tell, as QEMU 7.2 prints it."""

from outboard.spec.papr import XIVE_HCALLS, Hcall
from outboard.xive import events
from outboard.xive.events import GUEST_ERROR, TRACE, UNIMP, formats


def trace_name(hcall: Hcall) -> str:
    """Return the trace event of a hypercall."""
    return hcall.name.lower().replace("h_int_", "spapr_xive_")


SHOWN = {"H_INT_SET_OS_REPORTING_LINE": ("flags",), "H_INT_GET_OS_REPORTING_LINE": ("flags",)}
"""Hypercalls whose trace line shows fewer arguments than they take."""


def shown(hcall: Hcall) -> tuple[str, ...]:
    """Return the arguments that the hypercall's trace line shows."""
    return SHOWN.get(hcall.name, hcall.arguments)


FORMATS = (
    events.FORMATS
    | formats(TRACE, {trace_name(row): " ".join(f"{name}=0x%x" for name in shown(row)) for row in XIVE_HCALLS})
    | formats(
        TRACE,
        {
            "spapr_xive_claim_irq": "lisn=0x%x lsi=%d",
            "spapr_xive_free_irq": "lisn=0x%x",
            "spapr_xive_set_irq": "lisn=0x%x val=%d",
        },
    )
    | formats(
        GUEST_ERROR,
        {
            "hcall_unknown_lisn": "XIVE: Unknown LISN %016x",
            "hcall_invalid_lisn": "XIVE: Invalid LISN %016x",
            "reserved_priority": "XIVE: priority %d is reserved",
            "eq_unaligned": "XIVE: EQ @0x%x is not naturally aligned with %x",
            "eq_size": "XIVE: invalid EQ size %x",
            "eq_unmapped": "XIVE: failed to map EQ @0x%x",
            "esb_failed": "XIVE: failed to access ESB @0x%x",
        },
    )
    | formats(UNIMP, {"unknown_hcall": "Unimplemented SPAPR hcall 0x%016x"})
)
