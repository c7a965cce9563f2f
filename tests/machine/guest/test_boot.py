"""What a guest reads from its tree, what it asks for, and which controller it gets. Bytes are typed by hand."""

import pytest

from outboard.errors import LocalError, ProtocolError
from outboard.machine.guest import boot
from outboard.machine.guest.controller import Failed
from outboard.machine.guest.heap import Heap
from outboard.spapr import device_tree, fdt
from tests.machine.guest.rig import RAM, Rig

pytestmark = pytest.mark.alike


def reset_tree(rig):
    return device_tree.build(rig.platform, rig.cas.agreed, at_reset=True)


@pytest.mark.parametrize(
    ("ic_mode", "wanted", "chosen"),
    [
        ("dual", "either", "xive"),
        ("dual", "xive", "xive"),
        ("dual", "xics", "xics"),
        ("xive", "either", "xive"),
        ("xics", "either", "xics"),
    ],
)
def test_the_mode_is_negotiated(ic_mode, wanted, chosen):
    rig = Rig(wanted, ic_mode=ic_mode)
    assert (rig.mode, rig.ic.name, str(rig.irq.active)) == (chosen,) * 3


@pytest.mark.parametrize(("ic_mode", "wanted", "offer"), [("xics", "xive", "xics"), ("xive", "xics", "xive")])
def test_a_mode_that_is_not_offered_is_not_asked_for(ic_mode, wanted, offer):
    with pytest.raises(LocalError, match=f"this machine offers {offer}, not {wanted}"):
        Rig(wanted, ic_mode=ic_mode)


def test_what_is_asked_for():
    rig = Rig("xics")
    rig.cas.reset()
    tree = reset_tree(rig)
    levels = "ffffffff 0f000002 ffffffff 0f000003 ffffffff 0f100003 ffffffff 0f000004 ffffffff 0f000005"
    pvrs = f"ffff0000 004e0000 {levels} 00000000 ffffffff"
    head = bytes.fromhex(pvrs) + bytes.fromhex("04 02000080 0000 0000 0000")
    xive = bytes.fromhex("19") + bytes(22) + bytes.fromhex("40 40 00 40")
    xics = bytes.fromhex("19") + bytes(22) + bytes.fromhex("00 40 00 40")
    assert boot.vectors(tree, boot.IcMode.XIVE) == head + xive
    assert boot.vectors(tree, boot.IcMode.XICS) == head + xics


def test_a_refusal_is_said():
    rig = Rig("xive")
    with pytest.raises(Failed, match=r"ibm,client-architecture-support returned -4 \(PARAMETER\)"):
        boot.negotiate(rig.cpus[0], rig.heap, boot.vectors(reset_tree(rig), "xive")[:56] + b"\0\0\0")


def test_ids_of_cpus_and_the_size_of_ram():
    rig = Rig("xive", cpus=3, vsmt=8)
    assert boot.vcpu_ids(rig.tree) == [0, 8, 16] and boot.ram_size(rig.tree) == RAM
    for node, says in ((fdt.Node(), "no memory"),):
        with pytest.raises(LocalError, match=says):
            boot.ram_size(node)
    with pytest.raises(LocalError, match="no CPUs"):
        boot.vcpu_ids(fdt.Node())


def test_a_tree_in_memory():
    rig = Rig("xive")
    packed = fdt.pack(rig.tree)
    rig.memory.write(0x10000, packed)
    assert boot.read_tree(rig.memory, 0x10000) == rig.tree
    with pytest.raises(ProtocolError):
        boot.read_tree(rig.memory, 0x20000)
    with pytest.raises(LocalError, match="no RAM is there"):
        boot.read_tree(rig.memory, RAM)


def test_rtas_calls_that_there_are_not_and_that_fail():
    rig = Rig("xics")
    with pytest.raises(LocalError, match="has no display-character"):
        rig.rtas.ok(rig.cpus[0], "display-character", 65)
    with pytest.raises(Failed, match=r"ibm,set-xive returned -3 \(PARAMETER_ERROR\)"):
        rig.rtas.ok(rig.cpus[0], "ibm,set-xive", 0, 0, 5)
    assert rig.rtas.call(rig.cpus[0], "ibm,get-xive", 0x1000, results=3) == (0, 0, 255)


def test_memory_is_handed_out_in_order_and_ends():
    memory = Rig("xive").memory
    heap = Heap(memory, 0x0300_0000, start=0x0200_0010)
    assert heap.allocate(8, 16) == 0x0200_0010 and heap.allocate(1) == 0x0200_1000
    assert len(heap.view(0x0200_0010, 8)) == 8
    with pytest.raises(LocalError, match="no room"):
        heap.allocate(0x0100_0000)
    with pytest.raises(LocalError, match="not inside one region"):
        heap.view(RAM - 4, 8)
    with pytest.raises(LocalError, match="32 MiB of RAM, this machine has 16"):
        Heap(memory, 16 << 20)
