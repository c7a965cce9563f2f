"""One event, from the store that triggers it to the end of the interrupt, and what each step leaves in the tables."""

from outboard.spapr import SpaprXive
from outboard.spec.xive import EAS, PQ

QUEUE, TARGET, PRIORITY, LISN = 0x10_0000, 1, 6, 0x1000

xive = SpaprXive(cpus=2)
cpu = xive.cpu(TARGET)


def show(step: str) -> None:
    end = xive.router.read_end(xive.end_index(TARGET, PRIORITY))
    ring = cpu.ring()
    print(
        f"{step:11} PQ {PQ(xive.source.pq(LISN)).name:8}"
        f"next entry {end.page_off}  NSR {ring['NSR']:02x}  CPPR {ring['CPPR']:02x}  "
        f"IPB {ring['IPB']:02x}  PIPR {ring['PIPR']:02x}  line {'up' if cpu.irq() else 'down'}"
    )


show("after reset")
cpu.hcall("H_INT_SET_QUEUE_CONFIG", 1, TARGET, PRIORITY, QUEUE, 16)  # the END: queue of 64 KiB, notify always
cpu.hcall("H_INT_SET_SOURCE_CONFIG", 2, LISN, TARGET, PRIORITY, 0x13)  # the EAS: to that END, data 0x13
cpu.set_cppr(0xFF)  # this CPU takes every priority
cpu.esb(LISN, 0xC00)  # PQ := 00
show("ready")
cpu.trigger(LISN)
show("trigger")
print(f"            EAS {EAS(xive.router.read_eas(LISN))}")
print(f"            queue: {xive.memory.load(QUEUE, 4):#010x} at {QUEUE:#x}")
print(f"            acknowledge returns {cpu.ack():#06x}")
show("acknowledge")
cpu.trigger(LISN)
show("trigger")
print(f"            EOI returns {cpu.eoi(LISN)}")
show("EOI")
cpu.set_cppr(0xFF)
show("CPPR := ff")
