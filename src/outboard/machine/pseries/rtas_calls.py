"""Which function serves which RTAS call."""

from types import ModuleType

from outboard.machine.pseries import event_queue, rtas_cpu, rtas_pci
from outboard.spapr.rtas import XICS_CALLS, Serve
from outboard.spec.papr import CPU_RTAS_CALLS, EVENT_RTAS_CALLS, PCI_RTAS_CALLS, RtasCall


def _rows(module: ModuleType, rows: tuple[RtasCall, ...]) -> dict[int, Serve]:
    """Return the functions of a module, named like their calls, by token."""
    return {row.token: getattr(module, row.name.replace(",", "_").replace("-", "_")) for row in rows}


CALLS: dict[int, Serve] = (
    XICS_CALLS
    | _rows(rtas_pci, PCI_RTAS_CALLS)
    | _rows(rtas_cpu, CPU_RTAS_CALLS)
    | _rows(event_queue, EVENT_RTAS_CALLS)
)
"""All calls that the machine serves, by token."""
