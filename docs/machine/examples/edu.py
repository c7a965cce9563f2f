"""Boot in XIVE mode, take a device's interrupts by message on CPU 0, and look at the controller."""

from outboard.machine.guest import boot, edu, pci
from outboard.machine.guest.heap import Heap
from outboard.machine.pseries import PseriesMachine
from outboard.machine.scheduler import Scheduler


def program(cpu):
    tree = machine.device_tree()
    heap = Heap(cpu.memory, boot.ram_size(tree))
    tree = boot.negotiate(cpu, heap, boot.vectors(tree, boot.choose(tree, "xive")))
    rtas = boot.Rtas(tree, heap)
    controller = boot.controller(tree, heap, rtas)
    controller.setup_cpu(cpu)
    device = edu.Edu(cpu, pci.find(cpu, pci.hosts(tree, rtas), *edu.IDENTITY), controller)
    for number in (5, 10):
        print(f"{number}! is", (yield from device.factorial(cpu, number)))
    print(f"LISN {device.lisn:#x} interrupted {controller.counters.sources[device.lisn]} times")


machine = PseriesMachine(cpus=1, ic_mode="xive", devices=["edu"])
scheduler = Scheduler(machine)
scheduler.start(0, program)
scheduler.run()
print(*(line for line in machine.pic().splitlines() if "00001300" in line))
