"""`info pic` of the pseries machine while XIVE is active.

Source: QEMU docs/specs/ppc-spapr-xive, "monitor commands".
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from outboard.spec.papr import NVT_BASE
from outboard.spec.xive import EAS, END
from outboard.xive.pic import contexts, eq_address, eq_entries, queue_window, source_bits

if TYPE_CHECKING:
    from outboard.spapr.xive import SpaprXive

HEADER = "  LISN         PQ    EISN     CPU/PRIO EQ"
TRAILER = "irqchip: emulated"


def spapr(xive: "SpaprXive") -> str:
    """Return the text, with the newline at its end."""
    lines = [*contexts(xive.presenter.tables()["rings"], xive.order), HEADER, *_sources(xive), TRAILER]
    return "\n".join(lines) + "\n"


def _sources(xive: "SpaprXive") -> Iterator[str]:
    status = xive.source.tables()["status"]
    for lisn in range(xive.nr_irqs):
        eas = EAS(xive.router.read_eas(lisn))
        if eas.valid:
            bits = source_bits(status[lisn], xive.source.is_lsi(lisn))
            yield f"  {lisn:08x} {bits} {'M' if eas.masked else ' '} {eas.end_data:08x} {_queue(xive, eas)}"


def _queue(xive: "SpaprXive", eas: EAS) -> str:
    end = xive.router.read_end(eas.end_index)
    if eas.masked or not end.valid:
        return ""
    return _route(end) + queue_window(end, xive.memory, xive.events)


def _route(end: END) -> str:
    place = f"{end.page_off: 6d}/{eq_entries(end):5d} @{eq_address(end):x} ^{end.generation}"
    return f"{end.nvt_index - NVT_BASE:3d}/{end.priority} {place}"
