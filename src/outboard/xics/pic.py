"""`info pic` of the pseries machine while XICS is active: text made from tables, what QEMU 7.2 prints to the letter.

QEMU prints two host addresses: that of its ICS, and, as the owner of an XISR, the same again. Here they are what the
caller says.
"""

from collections.abc import Iterable, Iterator

from outboard.xics.icp import Icp
from outboard.xics.ics import Ics

POINTER = 1
"""Stands for the address of the ICS where the caller has none."""
NOBODY = "(nil)"
TRAILER = "irqchip: emulated"


def text(icp: Icp, ics: Ics, order: Iterable[int], pointer: int = POINTER) -> str:
    """Return the text, with the newline at its end. order: indices of the CPUs; pointer: address of the ICS."""
    return "\n".join([*_servers(icp, order, pointer), *_sources(ics, pointer), TRAILER]) + "\n"


def _servers(icp: Icp, order: Iterable[int], pointer: int) -> Iterator[str]:
    for cpu in order:
        owner = f"{pointer:#x}" if icp.owned[cpu] else NOBODY
        yield f"CPU {cpu} XIRR={icp.xirr[cpu]:08x} ({owner}) PP={icp.pending[cpu]:02x} MFRR={icp.mfrr[cpu]:02x}"


def _sources(ics: Ics, pointer: int) -> Iterator[str]:
    yield f"ICS {ics.first:4x}..{ics.first + ics.count - 1:4x} {pointer:#x}"
    for srcno, flags in enumerate(ics.flags):
        if flags:
            number = ics.first + srcno
            kind = "LSI" if ics.is_lsi(number) else "MSI"
            yield f"  {number:4x} {kind} {ics.priority[srcno]:02x} {ics.status[srcno]:02x}"
