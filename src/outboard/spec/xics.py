"""XICS, the interrupt controller that the pseries machine had before XIVE: fields and flags.

Sources: LoPAPR, "PowerPC External Interrupt Option"; what QEMU 7.2 answers where that is silent. Its hypercalls and
RTAS calls are in `spec.papr`.

ICP: interrupt control presentation, one a server. ICS: interrupt control source, one a machine.
"""

from enum import IntFlag

from outboard.layout import Words, ppc


class Xirr(Words, width=32):
    """External interrupt request register of an ICP."""

    cppr = ppc(0, 7, says="current processor priority; what is not more favoured waits")
    xisr = ppc(8, 31, says="number of the source that is presented, 0 where there is none")


class IcsStatus(IntFlag):
    """Status of one source, as `info pic` shows it."""

    ASSERTED = 0x1
    """LSI: the level of its input."""
    SENT = 0x2
    """LSI: an ICP has its event."""
    REJECTED = 0x4
    """MSI: an ICP sent its event back; it goes out again at the next resend."""
    MASKED_PENDING = 0x8
    """MSI: its event came while it was masked."""


class IcsFlag(IntFlag):
    """Kind of a source; without a flag the number is not allocated."""

    LSI = 0x1
    MSI = 0x2


IPI = 2
"""XISR of an IPI; no source of an ICS has this number."""
MASKED = 0xFF
"""Priority of a source that is masked, of an ICP that has nothing, and of no IPI request."""
SOURCE_LAST = Xirr.xisr.mask
"""Greatest number that an XISR holds."""
