"""Build a controller, be its CPUs, look at it."""

from outboard.spapr import SpaprXive

xive = SpaprXive(cpus=2)
cpu = xive.cpu(1)

print(cpu.hcall("H_INT_SET_QUEUE_CONFIG", 1, 1, 6, 0x10_0000, 12))
print(cpu.hcall("H_INT_SET_SOURCE_CONFIG", 2, 0x1000, 1, 6, 0x13))
cpu.set_cppr(0xFF)
cpu.esb(0x1000, 0xC00)

xive.pulse(0x1000)  # a device
print(cpu.irq(), f"{cpu.ack():#x}", f"{xive.memory.load(0x10_0000, 4):#010x}", cpu.ring())
print(xive.pic())
