"""ICP, the interrupt control presentation: what each server is at, and the one interrupt that it is shown.

Source: LoPAPR, "PowerPC External Interrupt Option"; behaviour as QEMU 7.2 shows it. Modelled: XIRR, MFRR, the line of
each CPU. Not modelled: QIRR links and the registers' memory pages, which the pseries machine does not have either.
"""

from array import array
from collections.abc import Sequence

from outboard.spec.xics import IPI, MASKED, Xirr
from outboard.xics.events import Listener

EXTERNAL = 1
"""Bit of a CPU's line table, the one that XIVE's presenter sets for the OS ring."""
Lines = bytearray | memoryview
_CPPR, _XISR = Xirr.cppr.mask, Xirr.xisr.mask
_CPPR_SHIFT = Xirr.cppr.shift


class Sources:
    """What an ICP asks of the sources whose events it is given."""

    def has(self, number: int) -> bool:
        """Return whether there is a source with this number."""
        raise NotImplementedError

    def reject(self, number: int) -> None:
        """Take an event back; the source sends it again when it is asked to."""

    def eoi(self, number: int) -> None:
        """Take note that the interrupt of a source was handled."""

    def resend(self) -> None:
        """Deliver all that waits, for any server."""


class Icp:
    """The ICPs of all CPUs that there may be, by index.

    xirr: `spec.xics.Xirr`; pending: priority of XISR; mfrr: priority of the IPI request; owned: 1 where XISR is of a
    source, 0 where it is an IPI; plugged: 1 where the CPU is there; lines: one byte a CPU, bit EXTERNAL, shared with
    the other controller.
    """

    def __init__(self, vcpu_ids: Sequence[int], lines: Lines, events: Listener) -> None:
        cpus = len(vcpu_ids)
        self.vcpu_ids = tuple(vcpu_ids)
        self.indices = {vcpu_id: cpu for cpu, vcpu_id in enumerate(vcpu_ids)}
        self.sources = Sources()
        self.events = events
        self.lines = lines
        self.xirr = array("I", [0]) * cpus
        self.pending = bytearray([MASKED]) * cpus
        self.mfrr = bytearray([MASKED]) * cpus
        self.owned = bytearray(cpus)
        self.plugged = bytearray(cpus)

    def tables(self) -> dict[str, memoryview]:
        """Return the state by name, without the lines."""
        tables = {name: memoryview(getattr(self, name)) for name in ("pending", "mfrr", "owned", "plugged")}
        return tables | {"xirr": memoryview(self.xirr).cast("B")}

    def find(self, server: int) -> int | None:
        """Return the index of the plugged CPU that a server number means, or None."""
        cpu = self.indices.get(server)
        return cpu if cpu is not None and self.plugged[cpu] else None

    def reset(self, cpu: int) -> None:
        """Reset the registers: everything is masked. The line falls; `owned` stays, and matters to `info pic` only."""
        self.xirr[cpu] = 0
        self.pending[cpu] = self.mfrr[cpu] = MASKED
        self._lower(cpu)

    def is_raised(self, cpu: int) -> bool:
        """Return whether the CPU's interrupt input is raised, by whichever controller."""
        return self.lines[cpu] & EXTERNAL != 0

    def _raise(self, cpu: int) -> None:
        self.lines[cpu] |= EXTERNAL

    def _lower(self, cpu: int) -> None:
        self.lines[cpu] &= ~EXTERNAL & 0xFF

    # What the CPU does

    def accept(self, cpu: int) -> int:
        """Take what is presented: return XIRR; CPPR becomes its priority. With nothing presented CPPR becomes ff."""
        xirr = self.xirr[cpu]
        self._lower(cpu)
        self.xirr[cpu] = self.pending[cpu] << _CPPR_SHIFT
        self.pending[cpu] = MASKED
        self.owned[cpu] = 0
        self.events.tell("xics_icp_accept", xirr, self.xirr[cpu])
        return xirr

    def eoi(self, cpu: int, xirr: int) -> None:
        """End the interrupt that XISR of `xirr` names, and set CPPR, whatever it was, to that of `xirr`."""
        self.xirr[cpu] = self.xirr[cpu] & _XISR | xirr & _CPPR
        self.events.tell("xics_icp_eoi", cpu, xirr, self.xirr[cpu])
        number = xirr & _XISR
        if self.sources.has(number):
            self.sources.eoi(number)
        if not self.xirr[cpu] & _XISR:
            self.resend(cpu)

    def set_cppr(self, cpu: int, cppr: int) -> None:
        """Set CPPR, 8 bits. What is presented and no longer more favoured goes back."""
        old = self.xirr[cpu] >> _CPPR_SHIFT
        xisr = self.xirr[cpu] & _XISR
        self.xirr[cpu] = cppr << _CPPR_SHIFT | xisr
        if cppr >= old:
            if not xisr:
                self.resend(cpu)
        elif xisr and cppr <= self.pending[cpu]:
            self._withdraw(cpu)

    def _withdraw(self, cpu: int) -> None:
        number = self.xirr[cpu] & _XISR
        self.xirr[cpu] &= _CPPR
        self.pending[cpu] = MASKED
        self._lower(cpu)
        if self.owned[cpu]:
            self.sources.reject(number)
            self.owned[cpu] = 0

    def set_mfrr(self, cpu: int, mfrr: int) -> None:
        """Set the IPI request's priority, 8 bits. A less favoured one takes no IPI back that is presented."""
        self.mfrr[cpu] = mfrr
        if mfrr < self.xirr[cpu] >> _CPPR_SHIFT:
            self.check_ipi(cpu)

    # What it is shown

    def check_ipi(self, cpu: int) -> None:
        """Present the IPI request, unless something as favoured is presented already."""
        presented = self.xirr[cpu] & _XISR
        if presented and self.pending[cpu] <= self.mfrr[cpu]:
            return
        self.events.tell("xics_icp_check_ipi", cpu, self.mfrr[cpu])
        if presented and self.owned[cpu]:
            self.sources.reject(presented)
        self.xirr[cpu] = self.xirr[cpu] & _CPPR | IPI
        self.pending[cpu] = self.mfrr[cpu]
        self.owned[cpu] = 0
        self._raise(cpu)

    def deliver(self, server: int, number: int, priority: int) -> None:
        """Present a source's event to a server, or reject it, or what it displaces.

        A server without a CPU rejects all; QEMU crashes there.
        """
        self.events.tell("xics_icp_irq", server, number, priority)
        cpu = self.find(server)
        if cpu is None or not self._lets(cpu, priority):
            self.sources.reject(number)
            return
        if self.xirr[cpu] & _XISR and self.owned[cpu]:
            self.sources.reject(self.xirr[cpu] & _XISR)
        self.xirr[cpu] = self.xirr[cpu] & _CPPR | number
        self.pending[cpu] = priority
        self.owned[cpu] = 1
        self.events.tell("xics_icp_raise", self.xirr[cpu], priority)
        self._raise(cpu)

    def _lets(self, cpu: int, priority: int) -> bool:
        """Return whether `priority` is more favoured than CPPR and than what is presented."""
        xirr = self.xirr[cpu]
        return priority < xirr >> _CPPR_SHIFT and not (xirr & _XISR and self.pending[cpu] <= priority)

    def resend(self, cpu: int) -> None:
        """Look for something to present: the CPU's IPI request, then all that waits at the sources."""
        if self.mfrr[cpu] < self.xirr[cpu] >> _CPPR_SHIFT:
            self.check_ipi(cpu)
        self.sources.resend()
