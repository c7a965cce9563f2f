"""Negotiations and resets while interrupts are under way: after each step our machine is as the real QEMU."""

import pytest

from outboard.machine.guest import boot, pci
from outboard.machine.guest.heap import Heap
from outboard.machine.guest.xive import ACK, CPPR
from outboard.machine.pseries import PseriesMachine
from outboard.spapr import QEMU_7_2, QEMU_10_0
from tests.machine.guest.test_demo import table

pytestmark = pytest.mark.alike

H_EOI, H_CPPR, H_IPI, H_XIRR = 0x64, 0x68, 0x6C, 0x74
RAISE = 0x60
"""Register of edu."""
TIMA, QUEUE, TRIGGER, MANAGEMENT = 0x60302031A0000, 0x200_0000, 0x6010000000000, 0x6010000010000
SLOT = 1


class Switching:
    """One machine with an edu, and what its CPU 0 sees of it after each step."""

    def __init__(self, machine):
        self.machine, self.cpu = machine, machine.cpus[0]
        self.seen = []
        self.reboot()

    def reboot(self):
        self.reset_tree = self.machine.device_tree()
        self.heap = Heap(self.machine.memory, boot.ram_size(self.reset_tree))

    def negotiate(self, mode):
        asked = boot.vectors(self.reset_tree, boot.IcMode(mode))
        self.tree = boot.negotiate(self.cpu, self.heap, asked)
        self.rtas = boot.Rtas(self.tree, self.heap)
        return [node.name for node in self.tree.children if node.name.startswith("interrupt-controller")]

    def edu(self):
        """Place the device, and give it a message; its LISN."""
        (bridge,) = pci.hosts(self.tree, self.rtas)
        (device,) = bridge.enumerate(self.cpu)
        device.place_bars(self.cpu)
        self.registers = device.bars[0][0]
        self.lisn = device.enable_msi(self.cpu)
        return self.lisn

    def route(self):
        """Send IPI 0 and the device's message to CPU 0, as XIVE has it."""
        calls = [("H_INT_SET_QUEUE_CONFIG", 1, 0, 6, QUEUE, 16)]
        calls += [("H_INT_SET_SOURCE_CONFIG", 2, lisn, 0, 6, 0x40 + lisn) for lisn in (0, self.lisn)]
        answers = [self.cpu.hcall(*call) for call in calls]
        return answers + [self.cpu.load(MANAGEMENT + 0x20000 * lisn + 0xC00, 8) for lisn in (0, self.lisn)]

    def fire(self):
        self.cpu.store(self.registers + RAISE, 4, 1)

    def do(self, call, *arguments):
        """Note what a step returned, the interrupt input, and `info pic`."""
        words = [one for one in arguments if one is not self.cpu]
        self.seen.append((call.__name__, words, call(*arguments), self.cpu.irq(), table(self.machine.pic())))

    # Steps

    def trigger(self, lisn):
        self.cpu.store(TRIGGER + 0x20000 * lisn, 8, 0)

    def acknowledge(self):
        return self.cpu.load(TIMA + ACK, 2)

    def reset(self):
        self.machine.reset()
        self.reboot()


def program(one):
    """XIVE with an exception that nobody took; XICS, which gets the next message; XIVE again; a reset."""
    cpu = one.cpu
    one.do(one.negotiate, "xive")
    one.do(one.edu)
    one.do(one.route)
    one.do(cpu.store, TIMA + CPPR, 1, 0xFF)
    one.do(one.fire)  # P, in the queue, the input is up
    one.do(one.trigger, 0)
    one.do(one.negotiate, "xics")
    one.do(cpu.hcall, H_XIRR)  # lowers the input, finds nothing
    one.do(one.trigger, 0)  # the page is gone
    one.do(cpu.hcall, "H_INT_SYNC", 0, 0)
    one.do(one.rtas.call, cpu, "ibm,set-xive", one.lisn, 0, 5)
    one.do(cpu.hcall, H_CPPR, 0xFF)
    one.do(one.fire)
    one.do(cpu.hcall, H_IPI, 0, 4)
    one.do(one.negotiate, "xive")  # XICS presents an IPI, and a message was sent back
    one.do(one.acknowledge)  # what XIVE had before comes out
    one.do(cpu.load, MANAGEMENT + 0x20000 * one.lisn + 0xC00, 8)
    one.do(one.fire)
    one.do(cpu.hcall, H_XIRR)  # refused, but XICS accepts
    one.do(one.negotiate, "xics")
    one.do(cpu.hcall, H_XIRR)
    one.do(cpu.hcall, H_EOI, 0xFF000000 | one.lisn)
    one.do(one.negotiate, "xive")
    one.do(one.trigger, 0)
    one.do(one.reset)  # dual: XICS again
    one.do(cpu.hcall, H_XIRR)
    one.do(one.acknowledge)
    one.do(one.negotiate, "xive")
    one.do(one.acknowledge)
    one.do(one.edu)
    one.do(one.route)
    one.do(cpu.store, TIMA + CPPR, 1, 0xFF)
    one.do(one.fire)
    one.do(one.acknowledge)
    return one.seen


INPUTS = "----+++-----+++------+++--------+-"
"""Whether CPU 0's input is raised after each step, by hand."""
ACTIVE = "xive " * 6 + "xics " * 8 + "xive " * 5 + "xics " * 3 + "xive " * 2 + "xics " * 3 + "xive " * 7


def test_here():
    seen = program(Switching(PseriesMachine(1, "dual", [(SLOT, "edu")])))
    assert "".join("-+"[raised] for _, _, _, raised, _ in seen) == INPUTS
    assert ["xive" if pic[0].startswith("CPU[") else "xics" for *_, pic in seen] == ACTIVE.split()


@pytest.mark.parametrize(("version", "flavour"), [(7, QEMU_7_2), (10, QEMU_10_0)])
def test_as_on_the_real_machine(live, machine, version, flavour):
    ours = program(Switching(machine(1, flavour=flavour)))
    real = program(Switching(live(version, 1)))
    for mine, theirs in zip(ours, real, strict=True):
        assert mine == theirs
