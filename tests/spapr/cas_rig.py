"""What the tests of the negotiation share: machines, and the bytes that a guest passes. Numbers are typed by hand."""

import struct

from outboard.guest.ram import ram
from outboard.spapr import device_tree, modes
from outboard.spapr.cas import Cas, QemuEnds
from outboard.spapr.irq import SpaprIrq
from outboard.spapr.platform import Platform

RAM = 16 << 20
VECTORS, BUFFER, SIZE = 0x6000, 0x100000, 0x40000
LEVELS = {
    "2.05": 0x0F000002,
    "2.06": 0x0F000003,
    "2.06+": 0x0F100003,
    "2.07": 0x0F000004,
    "3.00": 0x0F000005,
    "3.1": 0x0F000006,
}
REAL_POWER9 = (0xFFFF0000, 0x004E0000)
LOGICAL_9 = (0xFFFFFFFF, 0x0F000005)
PVRS = (REAL_POWER9, LOGICAL_9)
END = (0, 0xFFFFFFFF)
LINUX_5 = {2: 0xFF, 5: 0xFF, 6: 0xFF, 22: 0xFF, 24: 0x40, 26: 0x40}


def vector(length=26, **bytes_by_name):
    """A vector of so many bytes, those of Linux and `b23=0x40`: byte 23, counted from 1."""
    made = bytearray(256)
    for number, value in LINUX_5.items():
        made[number - 1] = value
    for name, value in bytes_by_name.items():
        made[int(name[1:]) - 1] = value
    return bytes(made[:length])


def area(vector_5=None, pvrs=PVRS, vectors=None, ends=True):
    """What R4 points to: pairs, their end, vectors 1 to 5 of which the last is given, or any `vectors`."""
    if vectors is None:
        vectors = [bytes(1)] * 4 + [vector(b23=0x40) if vector_5 is None else vector_5]
    pairs = (*pvrs, END) if ends else pvrs
    head = b"".join(struct.pack(">II", *pair) for pair in pairs)
    return head + bytes([len(vectors) - 1]) + b"".join(bytes([len(one) - 1]) + one for one in vectors)


class Machine:
    """An interrupt side, a platform, and the negotiation, in memory of its own; keeps the lines that are told."""

    def __init__(
        self,
        mode="dual",
        cpus=2,
        *,
        cpu="power9",
        compat=None,
        machine="pseries-7.2",
        max_cpus=None,
        consoles=1,
        ram_size=RAM,
        host_byteorder="little",
    ):
        kind, model = modes.machine_type(machine), modes.cpu_model(cpu)
        limit = modes.max_compat(model, compat)
        chosen = modes.choose(kind, model, mode, limit)
        self.memory = ram(ram_size)
        self.irq = SpaprIrq(chosen, cpus, max_cpus=max_cpus, vsmt=kind.vsmt, memory=self.memory)
        self.platform = Platform(self.irq, kind, model, ram_size)
        self.platform.add_default_devices(consoles)
        self.cas = Cas(
            self.irq, kind, model, self.memory, self.build, max_compat_pvr=limit, host_byteorder=host_byteorder
        )
        self.told = []
        self.irq.events.listen(lambda event, values: self.told.append(self.irq.events.line(event, values)))

    def build(self, agreed):
        """The tree that CAS returns."""
        return device_tree.build(self.platform, agreed)

    def tree_at_reset(self):
        """The tree that the firmware gets."""
        return device_tree.build(self.platform, self.cas.agreed, at_reset=True)

    def call(self, data=None, at=VECTORS, buffer=BUFFER, size=SIZE, **options):
        """Make the call with an area; the status, or QEMU's last words."""
        assert self.memory.write(VECTORS, area() if data is None else data)
        answer = self.cas.call(at, buffer, size, **options)
        return answer.message if isinstance(answer, QemuEnds) else int(answer)

    def reset(self):
        """Reset the machine."""
        self.cas.reset()
        self.irq.reset()

    def returned(self, length=0x8000):
        """What is in the buffer: the header, and the bytes behind it."""
        data = self.memory.read(BUFFER, length)
        return data[:4], data[4:]
