"""A machine with a device: what its firmware gave it, what a CPU sees of it, and a snapshot."""

import struct

from outboard.machine.pseries import PseriesMachine

machine = PseriesMachine(cpus=2, ic_mode="xics", devices=["edu"])
cpu = machine.cpus[0]
BUID = (0x0800_0000, 0x2000_0000)


def rtas(token: int, *arguments: int, results: int) -> tuple[int, ...]:
    """Make an RTAS call: cells in guest memory, and one hypercall."""
    cells = struct.pack(f">{3 + len(arguments)}I", token, len(arguments), results, *arguments)
    cpu.memory.write(0x1000, cells)
    cpu.hcall("H_RTAS", 0x1000)
    return struct.unpack(f">{results}i", cpu.memory.read(0x1000 + len(cells), 4 * results))


slot = 1 << 11
print("ibm,read-pci-config:", [hex(cell) for cell in rtas(0x2016, slot, *BUID, 4, results=2)])
rtas(0x2017, slot | 0x10, *BUID, 4, 0x8010_0000, results=1)  # base address 0
rtas(0x2017, slot | 0x04, *BUID, 2, 0x0006, results=1)  # memory, bus master
print("ibm,change-msi:", rtas(0x2019, slot, *BUID, 1, 1, 0, results=4))
print("its LISN:", hex(rtas(0x2018, slot, *BUID, 0, results=3)[1]))

at = 0x2000_8010_0000  # where CPUs see bus address 0x80100000
print("identification:", hex(cpu.load(at, 4)))
before = machine.snapshot()
cpu.store(at + 0x08, 4, 10)
print("10! is", cpu.load(at + 0x08, 4))
machine.restore(before)
print("and was", cpu.load(at + 0x08, 4))
print([path for path, _ in machine.device_tree().walk() if path.startswith("/pci")])
