"""What a controller tells of itself: the trace lines of QEMU 7.2's models and what they log of a guest's mistakes.

A hook gets the event's name and its values; `Events.line` makes the line that QEMU prints, to the letter, so that two
logs can be compared with `diff`. Telling nobody costs one load and one test.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Hook = Callable[[str, tuple[Any, ...]], None]

TRACE = "trace"
GUEST_ERROR = "guest_errors"
UNIMP = "unimp"


class Format(NamedTuple):
    """How one event prints; `kind` is QEMU's log class, and a trace line starts with the event's name."""

    kind: str
    text: str
    values: int


def formats(kind: str, texts: Mapping[str, str]) -> dict[str, Format]:
    """Return rows of one kind."""
    return {event: Format(kind, text, text.count("%")) for event, text in texts.items()}


FORMATS = (
    formats(
        TRACE,
        {
            "memory_region_ops_read": "cpu %d addr 0x%x value 0x%x size %d name '%s'",
            "memory_region_ops_write": "cpu %d addr 0x%x value 0x%x size %d name '%s'",
            "xive_source_esb_read": "@0x%x IRQ 0x%x val=0x%x",
            "xive_source_esb_write": "@0x%x IRQ 0x%x val=0x%x",
            "xive_end_source_read": "END 0x%x/0x%x @0x%x",
            "xive_router_end_notify": "END 0x%02x/0x%04x -> enqueue 0x%08x",
            "xive_router_end_escalate": "END 0x%02x/0x%04x -> escalate END 0x%02x/0x%04x data 0x%08x",
            "xive_presenter_notify": "found NVT 0x%x/0x%x ring=0x%x",
            "xive_tctx_notify": "target=%d ring=0x%x IBP=0x%02x PIPR=0x%02x CPPR=0x%02x NSR=0x%02x raise !",
            "xive_tctx_accept": "target=%d ring=0x%x IBP=0x%02x PIPR=0x%02x CPPR=0x%02x NSR=0x%02x ACK",
            "xive_tctx_set_cppr": "target=%d ring=0x%x IBP=0x%02x PIPR=0x%02x new CPPR=0x%02x NSR=0x%02x",
            "xive_tctx_tm_read": "@0x%x sz=%d val=0x%x",
            "xive_tctx_tm_write": "@0x%x sz=%d val=0x%x",
        },
    )
    | formats(
        GUEST_ERROR,
        {
            "invalid_size": "Invalid %s at addr 0x%X, size %d, region '%s', reason: invalid size (min:%d max:%d)",
            "unassigned": "Invalid %s at addr 0x%X, size %d, region '(null)', reason: rejected",
            "trigger_page_load": "XIVE: invalid load on IRQ %d trigger page at 0x%x",
            "no_store_eoi": "XIVE: invalid Store EOI for IRQ %d",
            "no_eoi": "XIVE: invalid EOI for IRQ %d",
            "lsi_queued": "XIVE: queued an event on LSI IRQ %d",
            "unknown_lisn": "XIVE: Unknown LISN %x",
            "invalid_lisn": "XIVE: invalid LISN %x",
            "no_end": "XIVE: No END %x/%x",
            "invalid_end": "XIVE: END %x/%x is invalid",
            "no_nvt": "XIVE: no NVT %x/%x",
            "invalid_nvt": "XIVE: NVT %x/%x is invalid",
            "f1_backlog": "XIVE: END %x/%x invalid config: F1 & backlog",
            "endless_escalation": "XIVE: END %x/%x escalates without end",
            "duplicate_nvt": "XIVE: already found a thread context NVT %x/%x",
            "not_dispatched": "XIVE: NVT %x/%x is not dispatched",
            "enqueue_failed": "XIVE: failed to write END data @0x%x",
            "eq_unreadable": "XIVE: failed to read EQ @0x%x",
            "end_esb_store": "XIVE: invalid ESB write addr 0x%x",
            "tima_store": "XIVE: invalid write access at TIMA @%x",
            "tima_load": "XIVE: invalid read access at TIMA @%x",
            "tima_special_load": "XIVE: invalid read access to TIMA@%x",
            "pull_invalid": "XIVE: pulling invalid NVT %x/%x !?",
            "push_unknown": "XIVE: invalid NVT %x/%x",
        },
    )
    | formats(UNIMP, {"logical_server": "XIVE: no support for LS NVT %x/%x"})
)
"""All events of this room. `endless_escalation` is ours: QEMU recurses until it crashes."""


class Events:
    """The hooks of one controller. `on` is true while there are any."""

    def __init__(self, known: Mapping[str, Format] = FORMATS) -> None:
        self.known = known
        self.hooks: list[Hook] = []
        self.on = False

    def listen(self, hook: Hook) -> None:
        """Call `hook(event, values)` for every event from now on. It may look at the controller, not drive it."""
        self.hooks.append(hook)
        self.on = True

    def unlisten(self, hook: Hook) -> None:
        """Stop calling `hook`; unknown hooks are ignored."""
        if hook in self.hooks:
            self.hooks.remove(hook)
        self.on = bool(self.hooks)

    def tell(self, event: str, a: int = 0, b: int = 0, c: int = 0, d: int = 0, e: int = 0, f: int = 0) -> None:
        """Report `event`, whose values are numbers of up to 64 bits, as many of them as its format has."""
        if self.on:
            self.report(event, *(a, b, c, d, e, f)[: self.known[event].values])

    def report(self, event: str, *values: Any) -> None:
        """Report `event` with any values; hooks run in the order in which they were added."""
        for hook in self.hooks:
            hook(event, values)

    def line(self, event: str, values: tuple[Any, ...]) -> str:
        """Return the line that QEMU prints for an event."""
        row = self.known[event]
        return f"{event} {row.text % values}" if row.kind == TRACE else row.text % values
