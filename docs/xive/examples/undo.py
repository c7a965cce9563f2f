"""Take a picture of everything, go on, and go back."""

from outboard.spapr import SpaprXive

xive = SpaprXive()
cpu = xive.cpu(0)
cpu.hcall("H_INT_SET_QUEUE_CONFIG", 1, 0, 6, 0x10_0000, 12)
cpu.hcall("H_INT_SET_SOURCE_CONFIG", 2, 0, 0, 6, 0x10)
cpu.set_cppr(0xFF)
cpu.esb(0, 0xC00)

before = xive.snapshot()
cpu.trigger(0)
after = xive.snapshot()
print(cpu.irq(), f"{xive.memory.load(0x10_0000, 4):#010x}")

xive.restore(before)
print(cpu.irq(), f"{xive.memory.load(0x10_0000, 4):#010x}", xive.snapshot() == before)

cpu.trigger(0)  # the same step gives the same state, so states can be counted, compared, put in a set
print(xive.snapshot() == after, xive.snapshot().digest() == after.digest(), len({before, after, xive.snapshot()}))
print([name for name in after.tables if after.tables[name] != before.tables[name]])
