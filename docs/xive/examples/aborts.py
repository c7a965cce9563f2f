"""Three things that end QEMU 7.2, and what comes of them here."""

from outboard.errors import LocalError
from outboard.spapr import SpaprXive
from outboard.spec.papr import TIMA_BASE
from outboard.spec.xive import EAS, END, PQ

xive = SpaprXive()
cpu = xive.cpu(0)
xive.events.listen(lambda event, values: print("  " + xive.events.line(event, values)))

print("the guest pushes an OS context by a page that it is not told of:")
cpu.store(TIMA_BASE + 0x10018, 4, 0x80000400)

print("a device sends an MSI whose number nobody has claimed:")
try:
    xive.pulse(0x1300)
except LocalError as error:
    print(f"  LocalError: {error}")

print("an END escalates to itself:")
xive.router.set_end(3, END.make(valid=1, escalate_ctl=1, uncond_escalate=1, silent_escalate=1, esc_end_index=3))
xive.router.set_eas(0, EAS.make(valid=1, end_index=3).words[0])
xive.source.set_pq(0, PQ.RESET)
xive.source.store(0, 0)
