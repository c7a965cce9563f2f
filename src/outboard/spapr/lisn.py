"""The interrupt number space of the pseries machine: who has which LISN.

Source: QEMU docs/specs/ppc-spapr-xive, "IRQ number space".
"""

from collections.abc import Iterable, Iterator

from outboard.spec.papr import EPOW, HOTPLUG, IPIS, LISN_SPACE, MSI, PHB_INTX, VIO

INTX_PER_PHB = 4
Claim = tuple[int, bool]
"""A LISN and whether it is an LSI."""


def phb_intx(index: int, pin: int) -> int:
    """Return the LISN of pin 0 to 3 of a PHB."""
    return PHB_INTX.first + INTX_PER_PHB * index + pin


def at_start(nr_servers: int, consoles: int = 1) -> Iterator[Claim]:
    """Yield what a machine claims before its guest runs: IPIs, EPOW, hotplug, consoles, NVRAM, the first PHB's INTx."""
    yield from ((lisn, False) for lisn in range(IPIS.first, nr_servers))
    yield EPOW.first, False
    yield HOTPLUG.first, False
    yield from ((VIO.first + number, False) for number in range(consoles + 1))
    yield from ((phb_intx(0, pin), True) for pin in range(INTX_PER_PHB))


def use(lisn: int) -> str:
    """Say what has a LISN."""
    for row in LISN_SPACE:
        if row.first <= lisn <= row.last:
            break
    else:
        return "unused"
    if row is IPIS:
        return f"IPI of server {lisn}"
    if row is PHB_INTX:
        phb, pin = divmod(lisn - row.first, INTX_PER_PHB)
        return f"INT{'ABCD'[pin]} of PHB {phb}"
    if row is VIO:
        return f"VIO device {lisn - row.first}"
    return "PCI MSI" if row is MSI else row.use


def span(numbers: Iterable[int]) -> str:
    """Return numbers as ranges."""
    parts: list[list[int]] = []
    for value in sorted(numbers):
        if parts and parts[-1][1] == value - 1:
            parts[-1][1] = value
        else:
            parts.append([value, value])
    return ", ".join(str(low) if low == high else f"{low} to {high}" for low, high in parts) or "none"
