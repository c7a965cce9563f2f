"""The interrupt side of a pseries machine: XICS, XIVE or both, which of them is active, who has which number.

Source: QEMU docs/specs/ppc-spapr-xive; behaviour as QEMU 7.2's pseries machine shows it.

Modelled: activation at the start, by CAS and by machine reset; claims in both controllers; inputs, which reach the
active one only; the numbers of devices and of MSIs. Not modelled: KVM's in-kernel controllers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import outboard.spapr.cas as cas
import outboard.spapr.events as events
import outboard.spapr.rtas as rtas
from outboard.errors import LocalError
from outboard.guest.memory import GuestMemory
from outboard.spapr.flavours import QEMU_7_2, Flavour
from outboard.spapr.modes import IcMode
from outboard.spapr.numbers import LEGACY_COUNT, LegacyNumbers, Numbers
from outboard.spapr.snapshot import Snapshot
from outboard.spapr.xics_hcalls import ERROR
from outboard.spapr.xive import SpaprXive, check_cpus
from outboard.spec.papr import XICS_COUNT, XICS_FIRST
from outboard.xics import Snapshot as XicsSnapshot
from outboard.xics import Xics
from outboard.xive.events import Events, Format, formats

FORMATS = (
    events.FORMATS | rtas.FORMATS | cas.FORMATS | formats(ERROR, {"msi_exhausted": "can't find a free %d-IRQ block"})
)
"""All that such a machine tells."""


@dataclass(frozen=True)
class IrqSnapshot:
    """State of the interrupt side. xive, xics: None where the machine has none; msis: (first, count) as allocated."""

    mode: IcMode
    active: IcMode
    xive: Snapshot | None
    xics: XicsSnapshot | None
    taken: bytes
    msis: tuple[tuple[int, int], ...]


class SpaprIrq:
    """The interrupt controllers of a pseries machine.

    mode: which there are. cpus, max_cpus, vsmt, memory, flavour, host_byteorder: as `SpaprXive` takes them. ticks: the
    clock that H_XIRR_X reads. events: what is told, `FORMATS` and perhaps more.
    At the start IPIs and events are claimed; devices follow with `connect_vio` and
    `connect_phb`, in the order in which they are made. Raises LocalError when the numbers do not fit together.
    """

    def __init__(
        self,
        mode: IcMode | str = IcMode.DUAL,
        cpus: int = 1,
        *,
        max_cpus: int | None = None,
        vsmt: int = 1,
        memory: GuestMemory | None = None,
        flavour: Flavour = QEMU_7_2,
        host_byteorder: str = "little",
        ticks: Callable[[], int] = lambda: 0,
        events: Mapping[str, Format] = FORMATS,
    ) -> None:
        max_cpus = cpus if max_cpus is None else max_cpus
        check_cpus(cpus, max_cpus, vsmt)
        self.mode = _mode(mode)
        self.vsmt = vsmt
        self.nr_servers = max_cpus * vsmt
        self.events = Events(events)
        self.numbers = LegacyNumbers() if self.mode is IcMode.LEGACY else Numbers()
        self.xive: SpaprXive | None = None
        if self.mode.has_xive:
            self.xive = SpaprXive(
                cpus,
                max_cpus=max_cpus,
                vsmt=vsmt,
                memory=memory,
                sources=(),
                negotiated=False,
                flavour=flavour,
                host_byteorder=host_byteorder,
                events=self.events,
            )
        self.xics: Xics | None = None
        if self.mode.has_xics:
            self.xics = Xics(
                [index * vsmt for index in range(max_cpus)],
                XICS_FIRST,
                LEGACY_COUNT if self.mode is IcMode.LEGACY else XICS_COUNT,
                lines=self.xive.presenter.tables()["lines"] if self.xive else None,
                cpus=cpus,
                events=self.events,
                ticks=ticks,
            )
        self.active = IcMode.XICS if self.xics else IcMode.XIVE
        self.msis: dict[int, int] = {}
        if self.xive:
            self.xive.set_regions(esb_and_tima=True, end_esb=self.mode is IcMode.DUAL)
        self._claim_at_start()

    def _claim_at_start(self) -> None:
        if self.xive:
            for server in range(self.nr_servers):
                self.xive.claim(server)
        self.epow, self.hotplug = self.numbers.events()
        self.claim(self.epow)
        self.claim(self.hotplug)

    # Numbers

    def _controllers(self) -> list[Xics | SpaprXive]:
        """Return those that there are, in the order in which they are asked."""
        return [controller for controller in (self.xics, self.xive) if controller is not None]

    def claim(self, lisn: int, is_lsi: bool = False) -> None:
        """Claim a LISN with every controller. Raises LocalError when it is not free, or not for devices."""
        if not isinstance(lisn, int) or lisn < XICS_FIRST:
            raise LocalError(f"devices have LISNs from {XICS_FIRST:#x} on, not {lisn!r}")
        for controller in self._controllers():
            controller.claim(lisn, is_lsi)

    def free(self, lisn: int) -> None:
        """Free a LISN with every controller."""
        for controller in self._controllers():
            controller.free(lisn)

    def connect_vio(self, reg: int) -> int:
        """Claim the number of a VIO device and return it."""
        lisn = self.numbers.vio(reg)
        self.claim(lisn)
        return lisn

    def connect_phb(self, index: int) -> tuple[int, ...]:
        """Claim the numbers of a PHB's INTA to INTD and return them."""
        pins = self.numbers.intx(index)
        for lisn in pins:
            self.claim(lisn, is_lsi=True)
        return pins

    def allocate_msis(self, count: int, *, msix: bool) -> int | None:
        """Claim `count` numbers in a row for a device's MSI or MSI-X, and return the first.

        None where no so many are free in a row; it is told. QEMU has no working check there, and aborts.
        """
        first = self.numbers.msis(count, msix)
        if first is None:
            self.events.report("msi_exhausted", count)
            return None
        for lisn in range(first, first + count):
            self.claim(lisn)
        self.msis[first] = count
        return first

    def release_msis(self, first: int) -> None:
        """Free what `allocate_msis` returned. Raises LocalError when it was not allocated."""
        if first not in self.msis:
            raise LocalError(f"no MSIs were allocated at {first!r}")
        numbers = range(first, first + self.msis.pop(first))
        self.numbers.release(numbers)
        for lisn in numbers:
            self.free(lisn)

    # Inputs

    def set_irq(self, lisn: int, level: int) -> None:
        """Set the input of a source of the active controller; the other does not see it.

        Raises LocalError for a number that the active controller does not have.
        """
        self._now().set_irq(lisn, level)

    def pulse(self, lisn: int) -> None:
        """Raise and lower the input of a source, as a device's MSI does."""
        self._now().pulse(lisn)

    def _now(self) -> Xics | SpaprXive:
        controller = self.xics if self.active is IcMode.XICS else self.xive
        assert controller is not None
        return controller

    # Modes

    @property
    def xive_negotiated(self) -> bool:
        """Whether the guest chose XIVE exploitation."""
        return self.xive is not None and self.xive.negotiated

    def update_active(self, xive_negotiated: bool) -> None:
        """Choose the active controller anew, after the negotiated vector changed.

        Tables, contexts and the CPUs' interrupt inputs stay as they are; XIVE's pages come and go.
        """
        if self.xive is None:
            return
        self.xive.negotiated = xive_negotiated
        active = IcMode.XIVE if xive_negotiated or self.xics is None else IcMode.XICS
        if active is not self.active:
            self.active = active
            self.xive.set_regions(esb_and_tima=active is IcMode.XIVE, end_esb=False)

    def plug(self, cpu: int) -> None:
        """Plug a CPU by its index. Raises LocalError when it is there, or may not be."""
        for controller in self._controllers():
            controller.plug(cpu)

    def unplug(self, cpu: int) -> None:
        """Take a CPU away. Raises LocalError when it is not there, or the last one."""
        if self.xive is None and self.xics is not None and self.xics.order == [cpu]:
            raise LocalError(f"CPU {cpu} is the last one and stays")
        for controller in reversed(self._controllers()):
            controller.unplug(cpu)

    def reset(self) -> None:
        """Reset with the machine: controllers first, then devices give their MSIs back, then the mode is chosen."""
        for controller in self._controllers():
            controller.reset()
        for first in list(self.msis):
            self.release_msis(first)
        self.update_active(False)

    # Pictures

    def pic(self) -> str:
        """Return what the monitor's `info pic` prints: the active controller."""
        return self._now().pic()

    def snapshot(self) -> IrqSnapshot:
        """Return the whole state."""
        return IrqSnapshot(
            self.mode,
            self.active,
            self.xive.snapshot() if self.xive else None,
            self.xics.snapshot() if self.xics else None,
            bytes(self.numbers.taken),
            tuple(self.msis.items()),
        )

    def restore(self, snapshot: IrqSnapshot) -> None:
        """Go back to a snapshot. Raises LocalError when it is none of such a machine."""
        if not isinstance(snapshot, IrqSnapshot) or snapshot.mode is not self.mode:
            raise LocalError(f"not a snapshot of a machine with ic-mode={self.mode}")
        before = self.snapshot()
        try:
            self._restore(snapshot)
        except LocalError:
            self._restore(before)
            raise

    def _restore(self, snapshot: IrqSnapshot) -> None:
        whole = (snapshot.xics is None, snapshot.xive is None) == (self.xics is None, self.xive is None)
        if not whole or len(snapshot.taken) != len(self.numbers.taken):
            raise LocalError("the snapshot was changed: its parts do not fit together")
        if self.xics and snapshot.xics:
            self.xics.restore(snapshot.xics)
        if self.xive and snapshot.xive:
            self.xive.restore(snapshot.xive)
        self.active = snapshot.active
        self.numbers.taken[:] = snapshot.taken
        self.msis = dict(snapshot.msis)


def _mode(mode: IcMode | str) -> IcMode:
    try:
        return IcMode(mode)
    except ValueError:
        raise LocalError(f"an interrupt mode is one of {', '.join(IcMode)}, not {mode!r}") from None
