"""A guest that asks for XIVE on a machine that has both controllers."""

import struct

from outboard.guest.ram import ram
from outboard.spapr import device_tree, dts, fdt, modes
from outboard.spapr.cas import Cas
from outboard.spapr.irq import SpaprIrq
from outboard.spapr.platform import Platform

RAM, VECTORS, BUFFER = 16 << 20, 0x6000, 0x100000

machine, model = modes.machine_type("pseries-7.2"), modes.cpu_model("power9")
memory = ram(RAM)
irq = SpaprIrq(modes.choose(machine, model), cpus=2, memory=memory)
platform = Platform(irq, machine, model, RAM)
platform.add_default_devices()
cas = Cas(irq, machine, model, memory, lambda agreed: device_tree.build(platform, agreed))

at_reset = device_tree.build(platform, cas.agreed, at_reset=True)
print(
    "active:",
    irq.active,
    "- offered:",
    dts.value_text(at_reset.find("/chosen").properties["ibm,arch-vec-5-platform-support"]),
)

pvrs = struct.pack(">6I", 0xFFFF0000, 0x004E0000, 0xFFFFFFFF, 0x0F000005, 0, 0xFFFFFFFF)
vector_5 = bytearray(26)
vector_5[23 - 1] = 0x40  # XIVE exploitation
vector_5[24 - 1] = 0x40  # radix MMU
vectors = [bytes(1)] * 4 + [bytes(vector_5)]
memory.write(VECTORS, pvrs + bytes([4]) + b"".join(bytes([len(one) - 1]) + one for one in vectors))

irq.events.listen(lambda event, values: print("told:", irq.events.line(event, values)))
print("status:", cas.call(VECTORS, BUFFER, 0x10000), "- active:", irq.active)

tree = fdt.unpack(memory.read(BUFFER + 4, 0x10000))
print(dts.text(fdt.Node("", {}, [tree.find("/chosen"), tree.find("/interrupt-controller@60302031b0000")])))

vector_5[23 - 1] = 0xC0  # both
memory.write(VECTORS + len(pvrs) + 1 + 8, bytes([25]) + bytes(vector_5))
print(cas.call(VECTORS, BUFFER, 0x10000))
