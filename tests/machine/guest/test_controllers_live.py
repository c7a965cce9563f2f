"""The same random schedules on a real QEMU 7.2, whose devices interrupt when their registers are written."""

from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings

from outboard.machine.guest import boot, pci
from outboard.machine.guest.edu import IRQ_ACK, IRQ_RAISE
from outboard.machine.guest.heap import Heap
from tests.machine.guest.conftest import qemu
from tests.machine.guest.rig import LSI
from tests.machine.guest.schedules import Schedules

pytestmark = pytest.mark.alike

BY_PIN, BY_MESSAGE = (4, 5), (8, 9, 10, 11)
"""Slots of edu devices. Pin A of slot 4 is INTA of the host bridge."""


class LiveRig:
    """As `rig.Rig`, with real devices."""

    def __init__(self, mode, vsmt, cleanup):
        from outboard.qemu.live import LiveMachine

        extra = [word for slot in (*BY_PIN, *BY_MESSAGE) for word in ("-device", f"edu,addr={slot:#x}")]
        machine = LiveMachine(qemu((7, 2), (8,)), 3, "dual", vsmt, extra)
        cleanup.enter_context(machine)
        self.cpus, self.irq = machine.cpus, self
        cpu, tree = self.cpus[0], machine.device_tree()
        heap = Heap(machine.memory, boot.ram_size(tree))
        tree = boot.negotiate(cpu, heap, boot.vectors(tree, boot.choose(tree, mode)))
        rtas = boot.Rtas(tree, heap)
        self.ic = boot.controller(tree, heap, rtas)
        self.registers = {}
        for device in pci.hosts(tree, rtas)[0].enumerate(cpu):
            device.place_bars(cpu)
            lisn = device.pin(cpu)[0] if device.devfn >> 3 in BY_PIN else device.enable_msi(cpu)
            self.registers[lisn] = device.bars[0][0]
        self.msis = [lisn for lisn in self.registers if lisn >= 0x1300]
        assert set(self.registers) - set(self.msis) == {LSI, LSI + 1}
        for cpu in self.cpus:
            self.ic.setup_cpu(cpu)

    def pulse(self, lisn):
        self.cpus[0].store(self.registers[lisn] + IRQ_RAISE, 4, 1)

    def set_irq(self, lisn, level):
        self.cpus[0].store(self.registers[lisn] + (IRQ_RAISE if level else IRQ_ACK), 4, 1)


class LiveSchedules(Schedules):
    def rig_of(self, vsmt):
        self.cleanup = ExitStack()
        return LiveRig(self.mode, vsmt, self.cleanup)

    def teardown(self):
        try:
            super().teardown()
        finally:
            if hasattr(self, "cleanup"):
                self.cleanup.close()


class LiveXive(LiveSchedules):
    mode = "xive"


class LiveXics(LiveSchedules):
    mode = "xics"


TestLiveXive = LiveXive.TestCase
TestLiveXics = LiveXics.TestCase
TestLiveXive.settings = TestLiveXics.settings = settings(
    max_examples=12, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
