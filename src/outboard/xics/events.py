"""What the controller tells of itself: the trace lines of QEMU 7.2's XICS, and who is told."""

from typing import Protocol

TRACES = {
    "xics_icp_check_ipi": "CPU %d can take IPI mfrr=0x%x",
    "xics_icp_accept": "icp_accept: XIRR 0x%x->0x%x",
    "xics_icp_eoi": "icp_eoi: server %d given XIRR 0x%x new XIRR 0x%x",
    "xics_icp_irq": "cpu %d trying to deliver irq 0x%x priority 0x%x",
    "xics_icp_raise": "raising IRQ new XIRR=0x%x new pending priority=0x%x",
    "xics_ics_set_irq_msi": "set_irq_msi: srcno %d [irq 0x%x]",
    "xics_masked_pending": "set_irq_msi: masked pending",
    "xics_ics_set_irq_lsi": "set_irq_lsi: srcno %d [irq 0x%x]",
    "xics_ics_write_xive": "ics_write_xive: irq 0x%x [src %d] server 0x%x prio 0x%x",
    "xics_ics_reject": "reject irq 0x%x [src %d]",
    "xics_ics_eoi": "ics_eoi: irq 0x%x",
}
"""Text of every event. CPUs are counted by index in all of them but xics_icp_irq, which has the server."""


class Listener(Protocol):
    """Who is told; `xive.events.Events` is one."""

    def tell(self, event: str, a: int = 0, b: int = 0, c: int = 0, d: int = 0, /) -> None:
        """Take an event, whose values are as many numbers as its text has."""


class Nobody:
    """Hears nothing."""

    def tell(self, event: str, a: int = 0, b: int = 0, c: int = 0, d: int = 0, /) -> None:
        """Do nothing."""
