"""Hear what the controller does, in the lines that QEMU prints."""

from outboard.spapr import SpaprXive
from outboard.spapr.events import FORMATS

xive = SpaprXive()
cpu = xive.cpu(0)


def tell(event: str, values: tuple) -> None:
    print(f"{FORMATS[event].kind:12} {xive.events.line(event, values)}")


xive.events.listen(tell)
cpu.hcall("H_INT_SET_QUEUE_CONFIG", 1, 0, 7, 0x10_0000, 12)
cpu.esb(0x1002, 0xC00)  # a number that nobody claimed: its PQ bits work, its events have nowhere to go
cpu.trigger(0x1002)
xive.events.unlisten(tell)
cpu.eoi(0x1002)  # in silence
