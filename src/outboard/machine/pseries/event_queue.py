"""Events of the platform: power goes, something is plugged. A guest is interrupted, and fetches them by RTAS.

Source: LoPAPR, "Error and Event Notification"; fields, order and answers as QEMU 7.2 has them. A hotplug event has a
source of its own where the guest has negotiated that, and comes as an EPOW event otherwise.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from outboard.errors import LocalError
from outboard.layout import Layout
from outboard.spapr import ov5
from outboard.spapr.arguments import whole
from outboard.spapr.cas import REAL_ADDRESS
from outboard.spapr.rtas import Request
from outboard.spec.client_architecture import HOTPLUG_EVENTS
from outboard.spec.event_log import (
    INITIATOR_HOTPLUG,
    SUMMARY,
    Epow,
    EventLogV6,
    EventMask,
    EventType,
    Hotplug,
    HotplugAction,
    HotplugType,
    MainA,
    MainB,
    RtasErrorLog,
)
from outboard.spec.papr import RtasStatus

if TYPE_CHECKING:
    from outboard.machine.pseries.machine import PseriesMachine

Results = tuple[int, ...]
_PARAMETER = (int(RtasStatus.PARAMETER_ERROR),)
Stamp = tuple[int, int]
"""Date and time as a log has them: 0x20261123, 0x08434200."""
EXTERNAL, HOTPLUG_SUBSYSTEM, NORMAL_SHUTDOWN = 0xA0, 0x80, 0xD0


class Event(NamedTuple):
    """A log that waits."""

    kind: EventType
    log: bytes


class EventQueue:
    """The events that a guest has not fetched. now: date and time for their logs; without it, none."""

    def __init__(self, machine: "PseriesMachine", now: Callable[[], Stamp] = lambda: (0, 0)) -> None:
        self.machine = machine
        self.now = now
        self.waiting: list[Event] = []
        self.next_plid = 0

    # The host's side

    def power_down(self) -> None:
        """Ask the guest to shut down, as by a power button."""
        self._raise(EventType.EPOW, MainB(subsystem_id=EXTERNAL, event_subtype=NORMAL_SHUTDOWN), Epow())

    def hotplug(self, kind: HotplugType, action: HotplugAction, drc_index: int) -> None:
        """Tell the guest that something was plugged, or shall go, by the index of its connector.

        Raises LocalError for a kind, an action or an index that there is not.
        """
        for value, known in ((kind, HotplugType), (action, HotplugAction)):
            if not isinstance(value, int) or value not in list(known):
                names = ", ".join(f"{one.name} ({one.value})" for one in known)
                raise LocalError(f"{known.__name__} is one of {names}, not {value!r}")
        whole(drc_index, "the index of a connector", 0xFFFFFFFF)
        section = Hotplug(hotplug_type=kind, hotplug_action=action, drc_index=drc_index)
        self._raise(EventType.HOTPLUG, MainB(subsystem_id=HOTPLUG_SUBSYSTEM), section)

    def _raise(self, kind: EventType, main_b: MainB, section: Layout) -> None:
        date, time = self.now()
        main_a = MainA(creation_date=date, creation_time=time, plid=self.next_plid)
        self.next_plid = self.next_plid + 1 & 0xFFFFFFFF
        extended = b"".join(part.pack() for part in (EventLogV6(), main_a, main_b, section))
        summary = SUMMARY | kind | (INITIATOR_HOTPLUG if kind is EventType.HOTPLUG else 0)
        event = Event(kind, RtasErrorLog(summary, len(extended)).pack() + extended)
        self.waiting.append(event)
        self.machine.irq.pulse(self._lisn(self._mask(event)))

    # The guest's side

    def _mask(self, event: Event) -> EventMask:
        """Return the class of events as which one comes."""
        own = ov5.has(self.machine.cas.agreed.negotiated, HOTPLUG_EVENTS)
        return EventMask.HOTPLUG if event.kind is EventType.HOTPLUG and own else EventMask.EPOW

    def _lisn(self, mask: EventMask) -> int:
        return self.machine.irq.hotplug if mask is EventMask.HOTPLUG else self.machine.irq.epow

    def take(self, mask: int) -> Event | None:
        """Return the first event of these classes, and forget it."""
        for event in self.waiting:
            if self._mask(event) & mask:
                self.waiting.remove(event)
                return event
        return None

    def remind(self) -> None:
        """Interrupt again for what still waits: inputs are edges, and one may have been missed."""
        masks = {self._mask(event) for event in self.waiting}
        for mask in sorted(masks, reverse=True):
            self.machine.irq.pulse(self._lisn(mask))

    def reset(self) -> None:
        """Forget all events, with the machine."""
        self.waiting.clear()


def check_exception(machine: "PseriesMachine", cpu: int, request: Request) -> Results:
    """check-exception: fetch an event. Its whole log is written, whatever the length of the guest's buffer."""
    if not 6 <= request.nargs <= 7 or request.nret != 1:
        return _PARAMETER
    mask, buffer = request.arguments.load(2), request.arguments.load(4)
    event = machine.platform_events.take(mask)
    if event is None:
        return (RtasStatus.NO_ERRORS_FOUND,)
    if not machine.memory.write(buffer & REAL_ADDRESS, event.log):
        machine.events.report("unassigned", "write", buffer, len(event.log))
    machine.platform_events.remind()
    return (RtasStatus.SUCCESS,)


def event_scan(machine: "PseriesMachine", cpu: int, request: Request) -> Results:
    """event-scan: finds nothing, and interrupts again for what waits."""
    if (request.nargs, request.nret) != (4, 1):
        return _PARAMETER
    machine.platform_events.remind()
    return (RtasStatus.NO_ERRORS_FOUND,)
