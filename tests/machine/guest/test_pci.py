"""PCI as the guest drives it, on our machine: what it finds, where it places it, which numbers it is given."""

import itertools

import pytest

from outboard.errors import LocalError
from outboard.machine.guest import boot, edu, pci, virtio_gpu
from outboard.machine.guest.controller import Failed
from outboard.machine.guest.edu import Edu
from outboard.machine.guest.heap import Heap
from outboard.machine.guest.virtio_pci import VirtioPci
from tests.machine.guest.conftest import OURS

pytestmark = pytest.mark.alike

WINDOW_32, WINDOW_64 = 0x2000_8000_0000, 0x2100_0000_0000


class Booted:
    """A machine in XIVE mode whose first CPU runs, with its host bridge."""

    def __init__(self, machine):
        self.machine, self.cpu = machine, machine.cpus[0]
        tree = machine.device_tree()
        self.heap = Heap(machine.memory, boot.ram_size(tree))
        self.tree = boot.negotiate(self.cpu, self.heap, boot.vectors(tree, boot.IcMode.XIVE))
        self.rtas = boot.Rtas(self.tree, self.heap)
        self.ic = boot.controller(self.tree, self.heap, self.rtas)
        self.ic.setup_cpu(self.cpu)
        (self.bridge,) = pci.hosts(self.tree, self.rtas)

    def find(self, identity):
        return pci.find(self.cpu, [self.bridge], *identity)


@pytest.fixture
def booted(machine):
    return Booted(machine(2))


@pytest.fixture
def with_gpu(machine):
    return Booted(machine(2, "dual", OURS))


def test_the_host_bridge_is_read_from_the_tree(booted):
    bridge = booted.bridge
    assert bridge.buid == 0x0800_0000_2000_0000
    window = bridge.windows[pci.MEMORY_32]
    assert (window.pci, window.cpu, window.size) == (0x8000_0000, WINDOW_32, 1 << 31)
    assert bridge.windows[pci.MEMORY_64].cpu == WINDOW_64
    assert bridge.pins[1, 1] == (0x1201, True) and bridge.pins[0, 4] == (0x1203, True)
    assert bridge.dma == (0x8000_0000, 0, 0x4000_0000)


def test_what_is_there_is_found(with_gpu):
    found = {one.devfn >> 3: one.identity(with_gpu.cpu) for one in with_gpu.bridge.enumerate(with_gpu.cpu)}
    assert found == {1: (0x1234, 0x11E8), 2: (0x1AF4, 0x1050)}
    assert with_gpu.find((0x8086, 0x100E)) is None


def test_base_addresses_lie_in_their_windows_and_apart(with_gpu):
    places = []
    for device in with_gpu.bridge.enumerate(with_gpu.cpu):
        device.place_bars(with_gpu.cpu)
        places += device.bars.values()
    assert all(addr % size == 0 for addr, size in places) and len(places) == 3
    assert sum(WINDOW_64 <= addr for addr, _ in places) == 1  # the wide one of the GPU
    ordered = sorted(places)
    assert all(one[0] + one[1] <= other[0] for one, other in itertools.pairwise(ordered))


def test_a_window_that_is_full():
    window = pci.Window(0x8000_0000, WINDOW_32, 0x3000)
    assert [window.place(0x1000), window.place(0x1000)] == [0x8000_0000, 0x8000_1000]
    with pytest.raises(LocalError, match="no room for 0x2000 bytes in the PCI window at 0x80000000"):
        window.place(0x2000)


def test_capabilities_and_one_that_is_not_there(booted):
    device = booted.find(edu.IDENTITY)
    assert [kind for kind, _ in device.capabilities(booted.cpu)] == [0x05]
    with pytest.raises(LocalError, match=r"PCI device 01\.0 has no capability 0x11"):
        device.enable_msix(booted.cpu, 1)


def test_numbers_of_messages_and_of_the_pin(with_gpu):
    cpu, gpu = with_gpu.cpu, with_gpu.find(virtio_gpu.IDENTITY)
    assert with_gpu.find(edu.IDENTITY).pin(cpu) == (0x1201, True) and gpu.pin(cpu) == (0x1202, True)
    gpu.place_bars(cpu)
    with pytest.raises(LocalError, match="the device has 3 vectors, not 4"):
        gpu.enable_msix(cpu, 4)
    assert gpu.enable_msix(cpu, 3) == [0x1300, 0x1301, 0x1302]
    gpu.disable_messages(cpu)
    with pytest.raises(Failed, match=r"ibm,change-msi returned -1 \(HARDWARE_ERROR\)"):
        gpu.disable_messages(cpu)


def test_a_device_that_is_not_there(booted):
    nobody = pci.PciDevice(booted.bridge, 9 << 3)
    assert nobody.identity(booted.cpu) == (0xFFFF, 0xFFFF)
    with pytest.raises(LocalError):
        nobody.write(booted.cpu, 4, 2, 0)


def test_dma_goes_where_the_guest_maps_it(booted):
    device = Edu(booted.cpu, booted.find(edu.IDENTITY), booted.ic)
    place = booted.heap.allocate(2 * 4096)
    bus = booted.bridge.map_dma(booted.cpu, place + 4096 + 16, 64)
    assert bus == 16
    booted.cpu.memory.write(place + 4096 + 16, b"to the device")
    for _ in device.copy(booted.cpu, bus, 13, to_ram=False):
        assert booted.cpu.irq()
    for _ in device.copy(booted.cpu, bus + 32, 13, to_ram=True):
        assert booted.cpu.irq()
    assert booted.cpu.memory.read(place + 4096 + 48, 13) == b"to the device" and device.interrupts == 2
    assert booted.bridge.map_dma(booted.cpu, place, 1) == 4096
    with pytest.raises(LocalError, match="is full"):
        booted.bridge.map_dma(booted.cpu, 0, 0x4000_0000)


def test_no_edu_and_no_virtio_device_is_what_another_is(with_gpu):
    with pytest.raises(LocalError, match="PCI device 02: expected an edu, got 1af4:1050"):
        Edu(with_gpu.cpu, with_gpu.find(virtio_gpu.IDENTITY), with_gpu.ic)
    with pytest.raises(LocalError, match="no modern virtio device: no COMMON, NOTIFY, DEVICE"):
        VirtioPci(with_gpu.cpu, with_gpu.find(edu.IDENTITY), with_gpu.heap)


def test_virtio_registers_and_queues(with_gpu):
    cpu = with_gpu.cpu
    device = VirtioPci(cpu, with_gpu.find(virtio_gpu.IDENTITY), with_gpu.heap)
    assert device.negotiate(cpu, virtio_gpu.FEATURES) == 1 << 32 | 1 << 29 | 1 << 28 | 1 << 1
    assert device.read_config(cpu, 16) == bytes(8) + bytes.fromhex("01000000 00000000")
    assert device.use_messages(cpu, 2) == [0x1300, 0x1301, 0x1302]
    control, cursor = (device.add_queue(cpu, index) for index in range(2))
    assert (control.ring.size, cursor.ring.size) == (64, 16) and cursor.notify - control.notify == 4
    with pytest.raises(LocalError, match="the device has no queue 2; it has 2"):
        device.add_queue(cpu, 2)
