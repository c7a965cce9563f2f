"""CPUs of a pseries machine without its devices: both controllers, CAS and RTAS, and sources that a test raises."""

from outboard.guest.ram import ram
from outboard.machine.guest import boot
from outboard.machine.guest.heap import Heap
from outboard.spapr import device_tree, modes, rtas, xics_hcalls
from outboard.spapr.cas import Cas
from outboard.spapr.irq import SpaprIrq
from outboard.spapr.platform import Platform

RAM = 64 << 20
H_CAS, H_RTAS = 0xF002, 0xF000
XICS_CALLS = (0x64, 0x68, 0x6C, 0x70, 0x74, 0x2FC)
LSI = 0x1200


class RigCpu:
    """A CPU that works in both modes."""

    def __init__(self, rig, index):
        self.rig, self.index, self.memory = rig, index, rig.memory
        self.vcpu_id = index * rig.irq.vsmt

    def hcall(self, opcode, *arguments):
        irq = self.rig.irq
        if opcode == H_CAS:
            return (self.rig.cas.call(*arguments),)
        if opcode == H_RTAS:
            return rtas.dispatch(irq_with(self.rig), self.index, False, opcode, arguments)
        if opcode in XICS_CALLS or irq.xive is None:
            return xics_hcalls.dispatch(irq, self.index, False, opcode, arguments)
        return irq.xive.hcall(self.index, opcode, *arguments)

    def load(self, addr, size):
        if self.rig.irq.xive:
            return self.rig.irq.xive.cpus[self.index].load(addr, size)
        return self.memory.load(addr, size)

    def store(self, addr, size, value):
        if self.rig.irq.xive:
            self.rig.irq.xive.cpus[self.index].store(addr, size, value)
        else:
            self.memory.store(addr, size, value)

    def irq(self):
        irq = self.rig.irq
        lines = irq.xics.icp.lines if irq.xics else irq.xive.presenter.tables()["lines"]
        return lines[self.index] & 1 != 0


class irq_with:
    """The machine as RTAS wants it: the interrupt side, with memory."""

    def __init__(self, rig):
        self.memory, self.rig = rig.memory, rig

    def __getattr__(self, name):
        return getattr(self.rig.irq, name)


class Rig:
    """A booted guest in a mode, all CPUs set up; `fire` raises a device's event."""

    def __init__(self, mode="xive", cpus=2, vsmt=1, ic_mode="dual", msis=4):
        self.memory = ram(RAM)
        self.irq = SpaprIrq(ic_mode, cpus, vsmt=vsmt, memory=self.memory)
        kind, model = modes.machine_type("pseries-7.2"), modes.cpu_model("power9")
        self.platform = Platform(self.irq, kind, model, RAM)
        self.platform.add_default_devices()
        self.cas = Cas(self.irq, kind, model, self.memory, lambda agreed: device_tree.build(self.platform, agreed))
        self.cpus = [RigCpu(self, index) for index in range(cpus)]
        tree = device_tree.build(self.platform, self.cas.agreed, at_reset=True)
        self.heap = Heap(self.memory, boot.ram_size(tree))
        self.mode = boot.choose(tree, mode)
        self.tree = boot.negotiate(self.cpus[0], self.heap, boot.vectors(tree, self.mode))
        self.rtas = boot.Rtas(self.tree, self.heap)
        first = self.irq.allocate_msis(msis, msix=True)
        self.msis = list(range(first, first + msis))
        self.ic = boot.controller(self.tree, self.heap, self.rtas)
        for cpu in self.cpus:
            self.ic.setup_cpu(cpu)

    def settle(self):
        """Let all CPUs handle what waits, until nothing does; return how much was handled."""
        total = 0
        while any(cpu.irq() for cpu in self.cpus):
            total += sum(self.ic.handle(cpu) for cpu in self.cpus if cpu.irq())
        return total
