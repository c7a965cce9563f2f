"""Pictures of a whole machine, to go back to. The programs of its CPUs are none of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import outboard.spapr.fdt as fdt
from outboard.errors import LocalError
from outboard.guest.pages import Pages
from outboard.machine.pseries.event_queue import Event
from outboard.machine.pseries.pci_device import State
from outboard.machine.pseries.phb import PhbState
from outboard.spapr.cas import Agreement, QemuEnds
from outboard.spapr.irq import IrqSnapshot

if TYPE_CHECKING:
    from outboard.machine.pseries.machine import PseriesMachine


class StartedCpu(NamedTuple):
    """A CPU that another one started: where it begins, and its R3."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls
    address: int
    argument: int


@dataclass(frozen=True)
class MachineSnapshot:
    """State of a machine. Two are equal when all of it is. shape: what must agree for a restore."""

    shape: tuple[object, ...]
    irq: IrqSnapshot
    agreed: Agreement
    stopped: bytes
    ceded: bytes
    prodded: bytes
    problem_states: tuple[bool, ...]
    starts: tuple[StartedCpu, ...]
    ended: QemuEnds | None
    events: tuple[Event, ...]
    next_plid: int
    phb: PhbState
    devices: dict[int, State]
    tree: bytes
    pages: Pages


def _shape(machine: "PseriesMachine") -> tuple[object, ...]:
    return (*machine.options, *((slot, device.name) for slot, device in sorted(machine.phb.devices.items())))


def take(machine: "PseriesMachine") -> MachineSnapshot:
    """Return the state. Raises LocalError when a device's is in another process."""
    devices = sorted(machine.phb.devices.items())
    for slot, device in devices:
        if not device.snapshots:
            raise LocalError(f"{device.name} in slot {slot:#x}: its state is in another process, no snapshot has it")
    return MachineSnapshot(
        shape=_shape(machine),
        irq=machine.irq.snapshot(),
        agreed=machine.cas.agreed,
        stopped=bytes(machine.stopped),
        ceded=bytes(machine.ceding.ceded),
        prodded=bytes(machine.ceding.prodded),
        problem_states=tuple(cpu.problem_state for cpu in machine.cpus),
        starts=tuple(machine.starts),
        ended=machine.ended,
        events=tuple(machine.platform_events.waiting),
        next_plid=machine.platform_events.next_plid,
        phb=machine.phb.state(),
        devices={slot: device.state() for slot, device in devices},
        tree=machine.dtb(),
        pages=machine.pages.picture(),
    )


def restore(machine: "PseriesMachine", snapshot: MachineSnapshot) -> None:
    """Go back to a snapshot. Raises LocalError, and changes nothing, when it is none of such a machine."""
    if not isinstance(snapshot, MachineSnapshot) or snapshot.shape != _shape(machine):
        raise LocalError("not a snapshot of a machine with such CPUs, RAM, mode and devices")
    machine.irq.restore(snapshot.irq)
    machine.cas.agreed = snapshot.agreed
    machine.stopped[:] = snapshot.stopped
    machine.ceding.ceded[:] = snapshot.ceded
    machine.ceding.prodded[:] = snapshot.prodded
    for cpu, problem_state in zip(machine.cpus, snapshot.problem_states, strict=True):
        cpu.problem_state = problem_state
    machine.starts = list(snapshot.starts)
    machine.ended = snapshot.ended
    machine.platform_events.waiting = list(snapshot.events)
    machine.platform_events.next_plid = snapshot.next_plid
    for slot, state in snapshot.devices.items():
        machine.phb.devices[slot].set_state(state)
    machine.phb.set_state(snapshot.phb)
    machine.tree = fdt.unpack(snapshot.tree)
    machine.pages.restore(snapshot.pages)
