"""Pictures of a whole machine, to go back to. The programs of its CPUs are none of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import outboard.spapr.fdt as fdt
from outboard.errors import LocalError
from outboard.guest.memory import PAGE_SIZE
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
    before = take(machine)
    try:
        _check(machine, snapshot, before)
        _restore(machine, snapshot)
    except Exception as error:  # a part that was changed may be anything
        _restore(machine, before)
        raise LocalError(f"the snapshot was changed: its parts do not fit together ({error!r})") from None


def _form(value: object) -> object:
    """Return what is alike of all states of one machine: names, kinds and lengths."""
    if isinstance(value, dict):
        return {name: _form(part) for name, part in value.items()}
    return type(value), len(value) if isinstance(value, bytes | tuple) else 0


def _sized(snapshot: MachineSnapshot) -> object:
    """Return the form of the parts that have one."""
    parts = snapshot.stopped, snapshot.ceded, snapshot.prodded, snapshot.problem_states, snapshot.phb.raised
    return [_form(part) for part in (*parts, snapshot.devices, snapshot.agreed)]


def _check(machine: "PseriesMachine", snapshot: MachineSnapshot, before: MachineSnapshot) -> None:
    """Raise ValueError for parts that would not be refused by whom they are given to. before: the machine as it is."""
    pages = machine.ram.regions[0].size // PAGE_SIZE
    fits = {
        "devices and CPUs": _sized(snapshot) == _sized(before),
        "RAM": all(0 <= page < pages and len(data) == PAGE_SIZE for page, data in snapshot.pages.items()),
        "CPUs that were started": all(0 <= start.index < len(machine.cpus) for start in snapshot.starts),
        "messages": {first for _, (first, _) in snapshot.phb.messages} <= {first for first, _ in snapshot.irq.msis},
    }
    for part, good in fits.items():
        if not good:
            raise ValueError(part)


def _restore(machine: "PseriesMachine", snapshot: MachineSnapshot) -> None:
    machine.tree = fdt.unpack(snapshot.tree)
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
    machine.pages.restore(snapshot.pages)
