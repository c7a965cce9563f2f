"""A CPU that takes interrupts and never ends one harms only itself: the other one gets all of its own."""

import pytest

from outboard.machine.cpu import WAIT
from outboard.machine.guest import boot, edu, pci
from outboard.machine.guest.heap import Heap
from outboard.machine.pseries import PseriesMachine
from outboard.machine.scheduler import Scheduler

pytestmark = pytest.mark.alike

ENTRY = 0x0100_0000
TIMA_ACKNOWLEDGE, RAISE = 0x60302031A0000 + 0x810, 0x60
ROUNDS, IPIS = 50, 30


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("mode", ["xive", "xics"])
def test_who_never_ends_an_interrupt_harms_only_itself(mode, seed):
    machine = PseriesMachine(2, "dual", ["edu", "edu"])
    shared = {"accepted": 0, "over": False}

    def accept(cpu):
        if mode == "xics":
            assert cpu.hcall("H_XIRR")[1] & 0xFFFFFF
        else:
            assert cpu.load(TIMA_ACKNOWLEDGE, 2) & 0x8000

    def never_ends(cpu):
        tree = machine.device_tree()
        heap = Heap(cpu.memory, boot.ram_size(tree))
        tree = boot.negotiate(cpu, heap, boot.vectors(tree, boot.choose(tree, mode)))
        rtas = boot.Rtas(tree, heap)
        [bridge] = pci.hosts(tree, rtas)
        shared["devices"] = list(bridge.enumerate(cpu))
        controller = shared["controller"] = boot.controller(tree, heap, rtas)
        controller.setup_cpu(cpu)
        mine = shared["mine"] = edu.Edu(cpu, shared["devices"][0], controller, target=0)
        assert boot.start_cpus(cpu, rtas, [1], ENTRY) == [1]
        sent = 0
        while not shared["over"]:
            controller.send_ipi(cpu, 0)
            cpu.store(shared["devices"][0].bars[0][0] + RAISE, 4, 1)
            if shared.get("up") and sent < IPIS and controller.counters.ipis[1] == sent:
                controller.send_ipi(cpu, 1)
                sent += 1
            if cpu.irq():
                accept(cpu)
                shared["accepted"] += 1
            yield
        return mine.interrupts

    def behaves(cpu):
        controller = shared["controller"]
        controller.setup_cpu(cpu)
        device = edu.Edu(cpu, shared["devices"][1], controller, target=1)
        shared["up"] = True
        for number in range(ROUNDS):
            assert (yield from device.factorial(cpu, 4 + number % 3)) == (24, 120, 720)[number % 3]
        while controller.counters.ipis[1] < IPIS:
            yield WAIT
            controller.handle(cpu)
        shared["over"] = True
        return controller.counters.sources[device.lisn]

    scheduler = Scheduler(machine, seed)
    scheduler.place(ENTRY, behaves)
    scheduler.start(0, never_ends)
    scheduler.run(until_fault=True)
    assert scheduler.faults == []
    assert scheduler.results == {0: 0, 1: ROUNDS}
    counters = shared["controller"].counters
    assert (counters.ipis[1], counters.ipis[0], counters.sources[shared["mine"].lisn]) == (IPIS, 0, 0)
    assert 1 <= shared["accepted"] <= 2, "of one priority no more than one is taken; XICS's IPI is more favoured"
