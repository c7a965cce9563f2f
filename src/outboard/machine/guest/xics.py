"""XICS as an operating system drives it: hypercalls for its own presentation, RTAS calls for the sources.

Source: LoPAPR, "PowerPC External Interrupt Option"; the order of calls is that of Linux 6.1.

Modelled: as `machine.guest.xive`. A source can not be made to send an event again here: one that came while its source
was masked is handed to the handler by software.
"""

from typing import Protocol

from outboard.errors import LocalError
from outboard.machine.cpu import Cpu
from outboard.machine.guest.controller import Counters, Handler, IpiHandler, Source, Table, hcall, nothing
from outboard.spec.papr import XICS_HCALLS
from outboard.spec.xics import IPI, MASKED, Xirr

CALLS = {row.name: row.opcode for row in XICS_HCALLS}
DEVICE_PRIORITY = 5
IPI_PRIORITY = 4
NOBODY = 0
"""CPPR that lets nothing through."""


class RtasCalls(Protocol):
    """The run-time services, as `boot.Rtas` has them."""

    def ok(self, cpu: Cpu, name: str, *arguments: int, results: int = 1) -> tuple[int, ...]:
        """Make a call that has to work."""


class XicsController:
    """A guest's XICS driver; see `InterruptController`."""

    name = "xics"

    def __init__(self, rtas: RtasCalls) -> None:
        self.rtas = rtas
        self.counters = Counters()
        self.on_ipi: IpiHandler = nothing
        self.table = Table()

    # CPUs

    def setup_cpu(self, cpu: Cpu) -> None:
        """See `InterruptController.setup_cpu`."""
        if cpu.index in self.table.cpus:
            raise LocalError(f"CPU {cpu.index} is set up already")
        self._call(cpu, "H_IPI", cpu.vcpu_id, MASKED)
        self.table.cpus[cpu.index] = cpu
        self._call(cpu, "H_CPPR", MASKED)

    def stop_cpu(self, cpu: Cpu) -> None:
        """See `InterruptController.stop_cpu`.

        Closing the CPPR gives what is presented back to its source, closing it again has all that waits sent.
        """
        for source, target in self.table.leave(cpu):
            source.target = target
            if not source.held:
                self._route(cpu, source)
        self._call(cpu, "H_CPPR", NOBODY)
        if self._call(cpu, "H_IPOLL", cpu.vcpu_id)[1] != MASKED:
            self._take_ipi(cpu)
        self._call(cpu, "H_CPPR", NOBODY)

    # Sources

    def request(self, cpu: Cpu, lisn: int, handler: Handler, lsi: bool = False, target: int | None = None) -> None:
        """See `InterruptController.request`. Raises Failed for a number that the machine has not."""
        source = Source(lisn, handler, lsi, self.table.cpu(cpu.index if target is None else target))
        self.table.add(source)
        self._route(cpu, source)
        self.rtas.ok(cpu, "ibm,int-on", lisn)

    def free(self, cpu: Cpu, lisn: int) -> None:
        """See `InterruptController.free`. The controller itself keeps a message that comes while it is free."""
        self._off(cpu, self.table.find(lisn))
        del self.table.sources[lisn]

    def mask(self, cpu: Cpu, lisn: int) -> None:
        """See `InterruptController.mask`."""
        self.table.find(lisn).masked = True

    def unmask(self, cpu: Cpu, lisn: int) -> None:
        """See `InterruptController.unmask`."""
        source = self.table.find(lisn)
        source.masked = False
        if not source.held:
            return
        source.held = False
        if not source.lsi:
            self._deliver(cpu, source)
        if self.table.sources.get(lisn) is source:
            self._route(cpu, source)  # A level that is high is sent by this.

    def set_affinity(self, cpu: Cpu, lisn: int, target: int) -> None:
        """See `InterruptController.set_affinity`."""
        source = self.table.find(lisn)
        source.target = self.table.cpu(target)
        if not source.held:
            self._route(cpu, source)

    def _route(self, cpu: Cpu, source: Source) -> None:
        self.rtas.ok(cpu, "ibm,set-xive", source.lisn, source.target.vcpu_id, DEVICE_PRIORITY)

    def _off(self, cpu: Cpu, source: Source) -> None:
        self.rtas.ok(cpu, "ibm,int-off", source.lisn)
        self.rtas.ok(cpu, "ibm,set-xive", source.lisn, source.target.vcpu_id, MASKED)

    def send_ipi(self, cpu: Cpu, target: int) -> None:
        """See `InterruptController.send_ipi`."""
        self._call(cpu, "H_IPI", self.table.cpu(target).vcpu_id, IPI_PRIORITY)

    # Taking interrupts

    def handle(self, cpu: Cpu) -> int:
        """See `InterruptController.handle`."""
        taken = 0
        while cpu.irq():
            xirr = self._call(cpu, "H_XIRR")[0] & 0xFFFF_FFFF
            number = xirr & Xirr.xisr.mask
            if not number:
                self.counters.spurious[cpu.index] += 1
                break
            self._dispatch(cpu, number)
            self._call(cpu, "H_EOI", xirr)
            taken += 1
        return taken

    def _dispatch(self, cpu: Cpu, number: int) -> None:
        source = self.table.sources.get(number)
        if number == IPI:
            self._take_ipi(cpu)
        elif source is None:
            self.counters.stale += 1
        elif source.masked:
            source.held = True
            self.counters.held += 1
            self._off(cpu, source)
        else:
            self._deliver(cpu, source)

    def _take_ipi(self, cpu: Cpu) -> None:
        """Handle an IPI; the request goes first, or it would be presented again."""
        self._call(cpu, "H_IPI", cpu.vcpu_id, MASKED)
        self.counters.ipis[cpu.index] += 1
        self.on_ipi(cpu)

    def _deliver(self, cpu: Cpu, source: Source) -> None:
        self.counters.sources[source.lisn] += 1
        source.handler(cpu, source.lisn)

    def _call(self, cpu: Cpu, name: str, *arguments: int) -> tuple[int, ...]:
        return hcall(cpu, name, CALLS[name], *arguments)
