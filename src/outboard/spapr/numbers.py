"""Who gets which LISN: the fixed ranges, and the first free numbers of machine types that have no ranges.

Source: QEMU docs/specs/ppc-spapr-xive, "IRQ number space"; the allocation of MSIs as QEMU 7.2 does it.

Nothing is claimed here; `irq` does that. All functions return numbers of the whole machine.
"""

from collections.abc import Iterable

from outboard.errors import LocalError
from outboard.spapr.lisn import INTX_PER_PHB, phb_intx
from outboard.spec.papr import EPOW, HOTPLUG, MSI, PHB_INTX, VIO, XICS_FIRST

PHBS = (PHB_INTX.last + 1 - PHB_INTX.first) // INTX_PER_PHB
LEGACY_COUNT = 0x400
"""Numbers of a machine that hands out the first free one."""
VIO_FIRST_REG = 0x71000000
"""`reg` of the first VIO device that was not given one."""
_VIO_OLD_REG = 0x30000000


def vio_lisn(reg: int) -> int:
    """Return the LISN of a VIO device, by its `reg`."""
    if reg >= VIO_FIRST_REG:
        offset = reg & 0xFF
    elif reg >= _VIO_OLD_REG:
        offset = 0xF0 | reg >> 12 & 0xF
    else:
        offset = reg >> 12 & 0xFF
    return VIO.first | offset


def _first_area(taken: bytearray, count: int, step: int) -> int | None:
    """Return the first place, a multiple of `step`, from which on `count` numbers are free."""
    wanted = bytes(count)
    return next((at for at in range(0, len(taken) - count + 1, step) if taken[at : at + count] == wanted), None)


class Numbers:
    """Fixed ranges; MSIs are the first free ones of theirs."""

    def __init__(self) -> None:
        self.first_msi = MSI.first
        self.taken = bytearray(MSI.last + 1 - MSI.first)

    def events(self) -> tuple[int, int]:
        """Return EPOW's number and that of hotplug."""
        return EPOW.first, HOTPLUG.first

    def vio(self, reg: int) -> int:
        """Return the number of a VIO device."""
        return vio_lisn(reg)

    def intx(self, phb: int) -> tuple[int, ...]:
        """Return the numbers of a PHB's four pins. Raises LocalError for an index that no PHB has."""
        if not isinstance(phb, int) or not 0 <= phb < PHBS:
            raise LocalError(f"PHBs have the indexes 0 to {PHBS - 1}, not {phb!r}")
        return tuple(phb_intx(phb, pin) for pin in range(INTX_PER_PHB))

    def msis(self, count: int, msix: bool) -> int | None:
        """Return the first of `count` numbers for a device, and take them; None where there are not so many.

        QEMU's oddity: it means to align MSI and aligns MSI-X, to even numbers.
        """
        return self._take(count, 2 if msix else 1)

    def _take(self, count: int, step: int) -> int | None:
        at = _first_area(self.taken, count, step) if count > 0 else None
        if at is None:
            return None
        self.taken[at : at + count] = b"\1" * count
        return self.first_msi + at

    def release(self, numbers: Iterable[int]) -> None:
        """Take MSIs back."""
        for number in numbers:
            self.taken[number - self.first_msi] = 0


class LegacyNumbers(Numbers):
    """No ranges: everybody gets the first free number, in the order in which devices are made."""

    def __init__(self) -> None:
        self.first_msi = XICS_FIRST
        self.taken = bytearray(LEGACY_COUNT)

    def _next(self) -> int:
        number = self._take(1, 1)
        if number is None:
            raise LocalError("can't find a free IRQ")
        return number

    def events(self) -> tuple[int, int]:
        """Return EPOW's number and that of hotplug."""
        return self._next(), self._next()

    def vio(self, reg: int) -> int:
        """Return the number of a VIO device."""
        return self._next()

    def intx(self, phb: int) -> tuple[int, ...]:
        """Return the numbers of a PHB's four pins. Raises LocalError as the other kind."""
        super().intx(phb)
        return tuple(self._next() for _ in range(INTX_PER_PHB))

    def msis(self, count: int, msix: bool) -> int | None:
        """Return the first of `count` numbers for a device, and take them; None where there are not so many.

        MSI is aligned to its count here.
        """
        return self._take(count, 1 if msix else count)
