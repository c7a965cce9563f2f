"""XICS of a pseries machine, whole: the ICPs of its CPUs, one ICS, pictures of their state.

Source: LoPAPR, "PowerPC External Interrupt Option"; behaviour as QEMU 7.2 with TCG shows it. The guest reaches it by
hypercalls and RTAS calls (`spapr.xics_hcalls`, `spapr.rtas`), devices by `set_irq` and `pulse`.
"""

from collections.abc import Callable, Sequence

from outboard.errors import LocalError
from outboard.spec.papr import XICS_COUNT, XICS_FIRST
from outboard.spec.xics import IPI, SOURCE_LAST, Xirr
from outboard.xics import pic
from outboard.xics.events import Listener, Nobody
from outboard.xics.icp import Icp, Lines
from outboard.xics.ics import Ics
from outboard.xics.snapshot import Snapshot

_SERVER_LAST = 0xFFFFFFFF


def _no_clock() -> int:
    return 0


class Xics:
    """A pseries machine's XICS.

    vcpu_ids: ids of all CPUs that there may be, by index; they are the server numbers. first, count: the numbers of its
    sources. lines: one byte a CPU, whose bit `icp.EXTERNAL` is the CPU's interrupt input; given where another
    controller drives the same inputs (table "lines" of its presenter), and then not part of the snapshots. cpus: how
    many CPUs are plugged at the start, all without a number. events: is told what happens. ticks: the clock that
    H_XIRR_X reads, 0 without one. Raises LocalError when these do not fit together.
    """

    def __init__(
        self,
        vcpu_ids: Sequence[int],
        first: int = XICS_FIRST,
        count: int = XICS_COUNT,
        *,
        lines: Lines | None = None,
        cpus: int | None = None,
        events: Listener | None = None,
        ticks: Callable[[], int] = _no_clock,
    ) -> None:
        _check_cpus(vcpu_ids, lines, cpus)
        _check_numbers(first, count)
        told = events or Nobody()
        self.first = first
        self.count = count
        self.ticks = ticks
        self.order: list[int] = []
        self._own_lines = lines is None
        self.icp = Icp(vcpu_ids, bytearray(len(vcpu_ids)) if lines is None else lines, told)
        self.ics = Ics(self.icp, first, count, told)
        for cpu in range(len(vcpu_ids) if cpus is None else cpus):
            self.plug(cpu)

    # CPUs

    def _has_cpu(self, cpu: int) -> bool:
        return isinstance(cpu, int) and 0 <= cpu < len(self.icp.vcpu_ids)

    def is_plugged(self, cpu: int) -> bool:
        """Return whether there is a CPU with this index now."""
        return self._has_cpu(cpu) and self.icp.plugged[cpu] != 0

    def plug(self, cpu: int) -> None:
        """Plug a CPU; its ICP is fresh. Raises LocalError when it is there, or may not be."""
        if not self._has_cpu(cpu) or self.is_plugged(cpu):
            raise LocalError(f"CPU {cpu} cannot be plugged; {self._says_order()}")
        self.icp.plugged[cpu] = 1
        self.icp.reset(cpu)
        self.order.append(cpu)

    def unplug(self, cpu: int) -> None:
        """Take a CPU away, and what is presented to it. Raises LocalError when it is not there."""
        if not self.is_plugged(cpu):
            raise LocalError(f"no CPU {cpu}; {self._says_order()}")
        self.icp.reset(cpu)
        self.icp.owned[cpu] = self.icp.plugged[cpu] = 0
        self.order.remove(cpu)

    def _says_order(self) -> str:
        return f"there are {', '.join(map(str, sorted(self.order))) or 'none'} of {len(self.icp.vcpu_ids)}"

    def irq(self, cpu: int) -> bool:
        """Return whether the interrupt input of a CPU is raised, by whichever controller."""
        if not self._has_cpu(cpu):
            raise LocalError(f"no CPU {cpu}; {self._says_order()}")
        return self.icp.is_raised(cpu)

    # Sources

    def _number(self, lisn: int) -> int:
        if not isinstance(lisn, int) or not self.ics.has(lisn):
            shown = f"{lisn:#x}" if isinstance(lisn, int) else repr(lisn)
            raise LocalError(f"XICS has no LISN {shown}; it has {self.first:#x} to {self.first + self.count - 1:#x}")
        return int(lisn)

    def is_claimed(self, lisn: int) -> bool:
        """Return whether a LISN is claimed."""
        return self.ics.flags[self._number(lisn) - self.first] != 0

    def claim(self, lisn: int, is_lsi: bool = False) -> None:
        """Claim a LISN; its route stays as it is. Raises LocalError when it is not free."""
        self.ics.claim(self._number(lisn), bool(is_lsi))

    def free(self, lisn: int) -> None:
        """Free a LISN. Claimed again before a reset, it has priority 0 for server 0: it is not masked."""
        self.ics.free(self._number(lisn))

    def set_irq(self, lisn: int, level: int) -> None:
        """Set the input of a source, as a device does. A LISN that is not claimed takes it like an MSI."""
        self.ics.set_irq(self._number(lisn), bool(level))

    def pulse(self, lisn: int) -> None:
        """Raise and lower the input of a source, as a device's MSI does."""
        self.set_irq(lisn, 1)
        self.set_irq(lisn, 0)

    # Machine

    def reset(self) -> None:
        """Reset as the machine does: ICPs, routes, and all that waits. Claimed LISNs stay."""
        for cpu in self.order:
            self.icp.reset(cpu)
        self.ics.reset()

    def pic(self, pointer: int = pic.POINTER) -> str:
        """Return what the monitor's `info pic` prints. pointer: host address of the ICS, which is part of it."""
        return pic.text(self.icp, self.ics, self.order, pointer)

    # Pictures

    def tables(self) -> dict[str, memoryview]:
        """Return the state by name."""
        own = {"lines": memoryview(self.icp.lines)} if self._own_lines else {}
        return self.icp.tables() | self.ics.tables() | own

    def _shape(self) -> tuple[tuple[int, ...], int, int, bool]:
        return self.icp.vcpu_ids, self.first, self.count, self._own_lines

    def snapshot(self) -> Snapshot:
        """Return the whole state, with the lines if they are the controller's own."""
        tables = {name: bytes(table) for name, table in self.tables().items()}
        return Snapshot(self._shape(), tables, tuple(self.order))

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot. Raises LocalError, and changes nothing, when it is none of such a controller."""
        if not isinstance(snapshot, Snapshot) or snapshot.shape != self._shape():
            raise LocalError("not a snapshot of a XICS with such CPUs and sources")
        tables = self.tables()
        if {name: len(table) for name, table in snapshot.tables.items()} != {
            name: len(table) for name, table in tables.items()
        } or not self._fits(snapshot):
            raise LocalError("the snapshot was changed: its tables do not fit together")
        for name, table in tables.items():
            table[:] = snapshot.tables[name]
        self.order = list(snapshot.order)

    def _fits(self, snapshot: Snapshot) -> bool:
        """Return whether CPUs are counted the same twice, and what sources are said to present is presentable."""
        plugged = [cpu for cpu, there in enumerate(snapshot.tables["plugged"]) if there]
        xisrs = [xirr & Xirr.xisr.mask for xirr in memoryview(snapshot.tables["xirr"]).cast("I")]
        owned = zip(snapshot.tables["owned"], xisrs, strict=True)
        return sorted(snapshot.order) == plugged and all(
            not owner or not xisr or self.ics.has(xisr) for owner, xisr in owned
        )


def _check_cpus(vcpu_ids: Sequence[int], lines: Lines | None, cpus: int | None) -> None:
    ids = list(vcpu_ids)
    known = all(isinstance(vcpu_id, int) and 0 <= vcpu_id <= _SERVER_LAST for vcpu_id in ids)
    if not ids or not known or len(set(ids)) != len(ids):
        raise LocalError(f"a XICS needs CPUs with ids of 32 bits, each once; got {len(ids)} of them")
    if lines is not None and (not isinstance(lines, Lines) or len(lines) != len(ids)):
        raise LocalError(f"lines are a table of one byte a CPU, {len(ids)}")
    if cpus is not None and (not isinstance(cpus, int) or not 0 <= cpus <= len(ids)):
        raise LocalError(f"of {len(ids)} CPUs {cpus!r} cannot be plugged at the start")


def _check_numbers(first: int, count: int) -> None:
    known = isinstance(first, int) and isinstance(count, int)
    if not known or first <= IPI or count < 1 or first + count - 1 > SOURCE_LAST:
        raise LocalError(f"sources have numbers from {IPI + 1} to {SOURCE_LAST:#x}, not {count!r} from {first!r} on")
