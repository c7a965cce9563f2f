"""The XIVE interrupt controller of a pseries machine, whole: engines, tables, vCPUs, hypercalls, pictures of its state.

Source: QEMU docs/specs/ppc-spapr-xive ("XIVE for sPAPR (pseries machines)"); behaviour as QEMU 7.2 with TCG shows it.

Modelled: the LISN space, claim and free, machine reset, region enabling, all H_INT hypercalls, vCPU ids with VSMT,
vCPUs that come and go. Not modelled: more than one thread a core, which TCG does not have either; KVM's in-kernel XIVE.
"""

from array import array
from collections.abc import Iterable

from outboard.errors import LocalError
from outboard.guest.memory import PAGE_SIZE, GuestMemory
from outboard.guest.pages import PageLog
from outboard.guest.ram import ram
from outboard.spapr import hcalls, lisn, pic
from outboard.spapr.arguments import ALL_ONES, register, source_number, whole
from outboard.spapr.bus import Bus
from outboard.spapr.cpu import Cpu
from outboard.spapr.events import FORMATS
from outboard.spapr.flavours import QEMU_7_2, Flavour
from outboard.spapr.router import SpaprRouter
from outboard.spapr.snapshot import Snapshot
from outboard.spec.papr import ESB_SHIFT, NR_IRQS, NR_PRIORITIES, NVT_BASE
from outboard.spec.xive import EAS, PQ, TWO_PAGES, Ring, RingW2
from outboard.xive.end_source import EndSource
from outboard.xive.events import Events
from outboard.xive.presenter import Presenter
from outboard.xive.source import Source
from outboard.xive.tima import Tima

MAX_CPUS = 4096
MAX_SERVERS = 0x1000
"""IPIs have the LISNs below this, one for each server."""
RAM_MAX = 1 << 40
RAM_SIZE = 256 << 20
"""Bytes of the RAM that a controller gets when it is given none."""
_OF_PRESENTER = ("pipr_follows_cppr", "nsr_as_a_whole", "group_level_in_nsr", "pool_is_presented")
_OF_TIMA = ("pull_clears_first", "tima_repeats", "pulls_phys", "pool_has_inc_and_age")
_OF_BUS = ("esb_of_any_size", "unaligned_in_pieces")
"""The flavour's switches that engines are made with."""


class SpaprXive:
    """A pseries machine's XIVE.

    cpus: vCPUs at the start; max_cpus: how many there may be; vsmt: distance of their ids. memory: where the event
    queues are; without it the controller has `ram_size` bytes of its own from address 0, which are part of its
    snapshots. sources: (LISN, is LSI) of what is claimed at the start. negotiated: whether XIVE exploitation
    was, so that hypercalls work. host_byteorder: "little" or "big", of the host whose emulator is imitated; it shows in
    flavours that leak it. esb_shift, source_flags: as `Source` takes them. events: who is told, if others are told too.
    Raises LocalError when these do not fit together.
    """

    def __init__(
        self,
        cpus: int = 1,
        *,
        max_cpus: int | None = None,
        vsmt: int = 1,
        memory: GuestMemory | None = None,
        ram_size: int = RAM_SIZE,
        sources: Iterable[lisn.Claim] | None = None,
        negotiated: bool = True,
        flavour: Flavour = QEMU_7_2,
        host_byteorder: str = "little",
        esb_shift: int = ESB_SHIFT,
        source_flags: int = 0,
        events: Events | None = None,
    ) -> None:
        max_cpus = cpus if max_cpus is None else max_cpus
        check_cpus(cpus, max_cpus, vsmt)
        _check_kinds(flavour, host_byteorder, memory)
        self.flavour = flavour
        self.host_byteorder = host_byteorder
        self.vsmt = vsmt
        self.nr_irqs = NR_IRQS
        self.nr_servers = max_cpus * vsmt
        self.swaps = flavour.leaks_host_order and host_byteorder == "little"
        self.two_pages = esb_shift in TWO_PAGES
        self.negotiated = negotiated
        self.reporting_lines = array("Q", [ALL_ONES]) * max_cpus
        self.order: list[int] = []
        self._own_memory = memory is None
        self.memory = ram(whole(ram_size, "RAM size", RAM_MAX, PAGE_SIZE)) if memory is None else memory
        self._pages = PageLog(self.memory.regions[0]) if self._own_memory else None
        self.events = Events(FORMATS) if events is None else events
        self._build(max_cpus, esb_shift, source_flags)
        self.cpus = [Cpu(self, index) for index in range(max_cpus)]
        for index in range(cpus):
            self.plug(index)
        for number, is_lsi in lisn.at_start(self.nr_servers) if sources is None else sources:
            self.claim(number, is_lsi)
        self.bus.esb_on = self.bus.tima_on = True

    def _build(self, max_cpus: int, esb_shift: int, source_flags: int) -> None:
        ids = [index * self.vsmt for index in range(max_cpus)]
        nr_ends = NR_PRIORITIES * self.nr_servers
        of = self.flavour.switches
        self.presenter = Presenter(ids, self.events, says_undispatched=True, **of(*_OF_PRESENTER))
        self.router = SpaprRouter(self.presenter, self.memory, self.events, self.nr_irqs, self.nr_servers, nr_ends)
        self.source = Source(self.router, self.nr_irqs, self.events, esb_shift, source_flags)
        self.router.source = self.source
        self.tima = Tima(self.presenter, self.router, self.events, self.swaps, **of(*_OF_TIMA))
        self.ends = EndSource(self.router, self.events, self.nr_irqs)
        self.bus = Bus(self.source, self.tima, self.ends, self.memory, self.events, **of(*_OF_BUS))

    # vCPUs

    def cpu_of(self, vcpu_id: int) -> int | None:
        """Return the index of the plugged vCPU that has an id, or None."""
        there = 0 <= vcpu_id < self.nr_servers and self.router.has_target(vcpu_id)
        return vcpu_id // self.vsmt if there else None

    def is_plugged(self, index: int) -> bool:
        """Return whether there is a vCPU with this index now."""
        return isinstance(index, int) and 0 <= index < len(self.cpus) and self.presenter.is_enabled(index)

    def cpu(self, index: int) -> Cpu:
        """Return a plugged vCPU by its index. Raises LocalError when there is none."""
        if not self.is_plugged(index):
            raise LocalError(f"no CPU {index}; there are {lisn.span(self.order)}")
        return self.cpus[index]

    def plug(self, index: int) -> None:
        """Plug a vCPU; its context is reset. Raises LocalError when it is there, or may not be."""
        if not isinstance(index, int) or not 0 <= index < len(self.cpus) or self.is_plugged(index):
            free = lisn.span(free for free in range(len(self.cpus)) if not self.is_plugged(free))
            raise LocalError(f"CPU {index} cannot be plugged; free: {free}")
        self.order.append(int(index))
        self._place(index, plugged=True)

    def unplug(self, index: int) -> None:
        """Take a vCPU away. Raises LocalError when it is not there, or the last one."""
        self.cpu(index)
        if len(self.order) == 1:
            raise LocalError(f"CPU {index} is the last one and stays")
        self.order.remove(index)
        self._place(index, plugged=False)

    def _place(self, index: int, *, plugged: bool) -> None:
        self.router.set_target(index * self.vsmt, plugged)
        self.presenter.enable(index, plugged)
        self.reporting_lines[index] = ALL_ONES
        self._reset_context(index)

    def _reset_context(self, index: int) -> None:
        self.presenter.reset(index)
        self.presenter.set_w2(index, Ring.OS, RingW2.valid.mask | NVT_BASE + index * self.vsmt)

    def end_index(self, vcpu_id: int, priority: int) -> int:
        """Return the index of the END of a vCPU id's priority."""
        return vcpu_id * NR_PRIORITIES + priority

    # Sources

    def _lisn(self, number: int) -> int:
        return source_number(number, self.nr_irqs)

    def _masked(self, number: int) -> int:
        """Return the EAS that a claimed source has while nothing is configured."""
        return EAS.make(valid=1, masked=1, end_data=number if self.flavour.eisn_starts_as_lisn else 0).words[0]

    def is_claimed(self, number: int) -> bool:
        """Return whether a LISN is claimed."""
        return EAS.valid.get(self.router.read_eas(self._lisn(number))) == 1

    def claim(self, number: int, is_lsi: bool = False) -> None:
        """Claim a LISN: its source is there from now on, masked. Raises LocalError when it is not free."""
        claimed = self.is_claimed(number)
        self.events.tell("spapr_xive_claim_irq", number, int(bool(is_lsi)))
        if claimed:
            raise LocalError(f"IRQ {number} is not free")
        self.router.set_eas(number, self.router.read_eas(number) | self._masked(number))
        if is_lsi:
            self.source.make_lsi(number)

    def mask(self, number: int) -> None:
        """Bring the routing of a claimed LISN back to where nothing is configured."""
        self.router.set_eas(number, self._masked(number))

    def free(self, number: int) -> None:
        """Free a LISN; what it was routed to stays in its EAS."""
        self._lisn(number)
        self.events.tell("spapr_xive_free_irq", number)
        self.router.set_eas(number, self.router.read_eas(number) & ~EAS.valid.mask)

    def set_irq(self, number: int, level: int) -> None:
        """Set the input of a source, as a device does. Raises LocalError for a LISN that is not claimed."""
        if not self.is_claimed(number):
            raise LocalError(f"LISN {number:#x} is not claimed; a device cannot raise it")
        self.events.tell("spapr_xive_set_irq", number, int(bool(level)))
        self.source.set_irq(number, bool(level))

    def pulse(self, number: int) -> None:
        """Raise and lower the input of a source, as a device's MSI does. Raises LocalError as `set_irq`."""
        self.set_irq(number, 1)
        self.set_irq(number, 0)

    # Machine

    def hcall(self, cpu: int, opcode: int, *arguments: int, problem_state: bool = False) -> hcalls.Answer:
        """Make a hypercall as CPU `cpu`; arguments are R4 and up. Return R3, then the results from R4 on."""
        self.cpu(cpu)
        values = tuple(register(value) for value in arguments)
        return hcalls.dispatch(self, cpu, problem_state, register(opcode), values)

    def set_regions(self, *, esb_and_tima: bool, end_esb: bool) -> None:
        """Map or unmap the ESB pages and the TIMA, and the END ESB pages, which are off once XIVE was activated."""
        self.bus.esb_on = self.bus.tima_on = esb_and_tima
        self.bus.end_esb_on = end_esb

    def reset_routing(self) -> None:
        """Bring sources, EAS and END back to their initial state; claimed sources stay, and so do levels of inputs."""
        for number in range(self.nr_irqs):
            self.router.set_eas(number, self._masked(number) if self.is_claimed(number) else 0)
            self.source.set_pq(number, PQ.OFF)
        for index in range(self.router.nr_ends):
            self.router.reset_end(index)
        for index in range(len(self.cpus)):
            self.reporting_lines[index] = ALL_ONES

    def reset(self) -> None:
        """Reset the machine. `negotiated` becomes false: the guest negotiates anew."""
        self.reset_routing()
        self.source.reset()
        for index in self.order:
            self._reset_context(index)
        self.negotiated = False

    # Pictures

    def pic(self) -> str:
        """Return what the monitor's `info pic` prints."""
        return pic.spapr(self)

    def _tables(self) -> dict[str, memoryview]:
        return self.source.tables() | self.router.tables() | self.presenter.tables()

    def _shape(self) -> tuple[int | str, ...]:
        own_bytes = self.memory.regions[0].size if self._own_memory else 0
        source = self.source
        return self.flavour.name, self.host_byteorder, len(self.cpus), self.vsmt, source.shift, source.flags, own_bytes

    def snapshot(self) -> Snapshot:
        """Return the whole state, and the RAM if it is the controller's own.

        RAM that was written by other ways than CPUs, queues and `memory.write` is not seen.
        """
        bus = self.bus
        return Snapshot(
            shape=self._shape(),
            tables={name: bytes(table) for name, table in self._tables().items()},
            regions=(bus.esb_on, bus.tima_on, bus.end_esb_on),
            negotiated=self.negotiated,
            order=tuple(self.order),
            problem_states=bytes(cpu.problem_state for cpu in self.cpus),
            reporting_lines=tuple(self.reporting_lines),
            pages=self._pages.picture() if self._pages else {},
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot. Raises LocalError, and changes nothing, when it is none of such a controller."""
        self._check_snapshot(snapshot)
        for name, table in self._tables().items():
            table[:] = snapshot.tables[name]
        for index, cpu in enumerate(self.cpus):
            self.presenter.reindex(index)
            cpu.problem_state = bool(snapshot.problem_states[index])
        self.bus.esb_on, self.bus.tima_on, self.bus.end_esb_on = snapshot.regions
        self.negotiated = snapshot.negotiated
        self.order = list(snapshot.order)
        self.reporting_lines = array("Q", snapshot.reporting_lines)
        if self._pages:
            self._pages.restore(snapshot.pages)

    def _check_snapshot(self, snapshot: Snapshot) -> None:
        if not isinstance(snapshot, Snapshot) or snapshot.shape != self._shape():
            raise LocalError("not a snapshot of a controller with such CPUs, VSMT, sources, flavour and RAM")
        sizes = {name: len(table) for name, table in self._tables().items()}
        enabled = snapshot.tables.get("enabled", b"")
        whole_tables = {name: len(table) for name, table in snapshot.tables.items()} == sizes
        per_cpu = len(snapshot.problem_states) == len(snapshot.reporting_lines) == len(self.cpus)
        if not whole_tables or not per_cpu or sorted(snapshot.order) != [at for at, on in enumerate(enabled) if on]:
            raise LocalError("the snapshot was changed: its tables do not fit together")


def check_cpus(cpus: int, max_cpus: int, vsmt: int) -> None:
    """Raise LocalError when a machine cannot have so many CPUs."""
    known = all(isinstance(number, int) for number in (cpus, max_cpus, vsmt))
    if not known or not 1 <= cpus <= max_cpus <= MAX_CPUS or vsmt < 1 or max_cpus * vsmt > MAX_SERVERS:
        raise LocalError(
            f"{cpus} CPUs, max_cpus={max_cpus}, vsmt={vsmt}: needs 1 <= cpus <= max_cpus <= {MAX_CPUS}, "
            f"and max_cpus * vsmt <= {MAX_SERVERS}"
        )


def _check_kinds(flavour: Flavour, host_byteorder: str, memory: GuestMemory | None) -> None:
    if not isinstance(flavour, Flavour):
        raise LocalError(f"a flavour is one of outboard.spapr.FLAVOURS, not {flavour!r}")
    if host_byteorder not in ("little", "big"):
        raise LocalError(f"host_byteorder is 'little' or 'big', not {host_byteorder!r}")
    if memory is not None and not isinstance(memory, GuestMemory):
        raise LocalError(f"memory is a GuestMemory, not {memory!r}")
