"""The device tree of a machine in its modes, before and after the negotiation. Numbers are typed by hand."""

import pytest

from outboard.errors import LocalError
from outboard.spapr import device_tree, fdt
from outboard.spapr.fdt import EMPTY, Node, cells, read_cells, strings
from outboard.spapr.omissions import OMISSIONS, differences, omission
from outboard.spapr.platform import VTY, VioKind
from tests.spapr.cas_rig import Machine, area, vector

XIVE_NODE = {
    "device_type": b"power-ivpe\0",
    "compatible": b"ibm,power-ivpe\0",
    "reg": bytes.fromhex("00060302 031b0000 00000000 00010000 00060302 031a0000 00000000 00010000"),
    "ibm,xive-eq-sizes": bytes.fromhex("00000010"),
    "ibm,xive-lisn-ranges": bytes.fromhex("00000000 00000004"),
    "interrupt-controller": b"",
    "#interrupt-cells": bytes.fromhex("00000002"),
    "phandle": bytes.fromhex("00001111"),
    "linux,phandle": bytes.fromhex("00001111"),
}
XICS_NODE = {
    "device_type": b"PowerPC-External-Interrupt-Presentation\0",
    "compatible": b"IBM,ppc-xicp\0",
    "ibm,interrupt-server-ranges": bytes.fromhex("00000000 00000004"),
    "interrupt-controller": b"",
    "#interrupt-cells": bytes.fromhex("00000002"),
    "phandle": bytes.fromhex("00001111"),
    "linux,phandle": bytes.fromhex("00001111"),
}


def controllers(tree):
    """All nodes of interrupt controllers, by name."""
    return {node.name: node.properties for node in tree.children if node.name.startswith("interrupt-controller")}


def after(machine, byte_23):
    """The tree that the negotiation returns."""
    assert machine.call(area(vector(b23=byte_23))) == 0
    return fdt.unpack(machine.returned(0x10000)[1])


@pytest.mark.parametrize("mode", ["xics", "xive", "dual"])
def test_the_controller_that_is_active_has_a_node(mode):
    machine = Machine(mode, max_cpus=4)
    xive = ({"interrupt-controller@60302031b0000": XIVE_NODE}, bytes.fromhex("00000007 000000f8"))
    xics = ({"interrupt-controller": XICS_NODE}, None)
    tree = machine.tree_at_reset()
    wanted = xive if mode == "xive" else xics
    assert (controllers(tree), tree.properties.get("ibm,plat-res-int-priorities")) == wanted
    for byte_23, wanted in ((0x40, xive), (0, xics)):
        if mode == "dual" or (mode == "xive") == (byte_23 == 0x40):
            tree = after(machine, byte_23)
            assert (controllers(tree), tree.properties.get("ibm,plat-res-int-priorities")) == wanted


@pytest.mark.parametrize(
    ("mode", "cpu", "compat", "support"),
    [
        ("xics", "power9", None, "17 00 18 c0 19 00 1a 40"),
        ("xive", "power9", None, "17 40 18 c0 19 00 1a 40"),
        ("dual", "power9", None, "17 80 18 c0 19 00 1a 40"),
        ("dual", "power8", None, "17 00 18 00 19 00 1a 40"),
        ("dual", "power10", None, "17 80 18 c0 19 00 1a 40"),
        ("dual", "power9", "power8", "17 00 18 00 19 00 1a 40"),
    ],
)
def test_the_offer_is_in_the_tree_at_reset_only(mode, cpu, compat, support):
    machine = Machine(mode, cpu=cpu, compat=compat)
    assert machine.tree_at_reset().find("/chosen").properties == {
        "ibm,architecture-vec-5": b"\0\0",
        "ibm,arch-vec-5-platform-support": bytes.fromhex(support),
        "linux,pci-probe-only": bytes(4),
        "stdout-path": b"/vdevice/vty@71000000\0",
        "linux,stdout-path": b"/vdevice/vty@71000000\0",
    }
    assert list(machine.build(machine.cas.agreed).find("/chosen").properties) == ["ibm,architecture-vec-5"]


@pytest.mark.parametrize("mode", ["xics", "xive", "dual"])
def test_rtas_has_the_calls_of_xics_where_there_is_one(mode):
    machine = Machine(mode)
    names = {"ibm,set-xive": 0x200A, "ibm,get-xive": 0x200B, "ibm,int-off": 0x200C, "ibm,int-on": 0x200D}
    for tree in (machine.tree_at_reset(), after(machine, 0 if mode == "xics" else 0x40)):
        rtas = tree.find("/rtas").properties
        assert names.keys() & rtas.keys() == (set() if mode == "xive" else names.keys())
        for name, token in names.items():
            assert rtas.get(name, cells(token)) == cells(token)
        assert rtas["ibm,change-msi"] == cells(0x2019)
        assert rtas["ibm,query-interrupt-source-number"] == cells(0x2018)
        assert rtas["start-cpu"] == cells(0x2006)


def test_events_and_vio_devices():
    tree = Machine().tree_at_reset()
    assert tree.find("/event-sources").properties == {
        "interrupt-controller": b"",
        "#interrupt-cells": cells(2),
        "interrupt-ranges": bytes.fromhex("00001000 00000001 00001001 00000001"),
    }
    assert tree.find("/event-sources/epow-events").properties == {"interrupts": bytes.fromhex("00001000 00000000")}
    assert tree.find("/event-sources/hot-plug-events").properties == {"interrupts": bytes.fromhex("00001001 00000000")}
    assert [node.name for node in tree.find("/vdevice").children] == ["vty@71000000", "nvram@71000001"]
    assert tree.find("/vdevice/nvram@71000001").properties == {
        "reg": bytes.fromhex("71000001"),
        "device_type": b"nvram\0",
        "compatible": b"qemu,spapr-nvram\0",
        "interrupts": bytes.fromhex("00001101 00000000"),
        "#bytes": bytes.fromhex("00010000"),
    }


def test_more_devices():
    machine = Machine()
    scsi = VioKind("v-scsi", "IBM,v-scsi", "vscsi")
    assert machine.platform.add_vio(scsi, 0x30002000).lisn == 0x11F2
    assert machine.platform.add_vio(VTY).reg == 0x71000002
    assert machine.platform.add_phb(1, [Node("device@0", {"reg": bytes(20)})]).pins == (0x1204, 0x1205, 0x1206, 0x1207)
    tree = machine.tree_at_reset()
    assert tree.find("/vdevice/v-scsi@30002000").properties["interrupts"] == cells(0x11F2, 0)
    assert tree.find("/pci@800000020000001/device@0").properties == {"reg": bytes(20)}
    assert tree.find("/chosen").properties["stdout-path"] == strings("/vdevice/vty@71000000")
    for wrong in (0x71000000, -1, 1 << 32):
        with pytest.raises(LocalError, match="needs an address"):
            machine.platform.add_vio(VTY, wrong)
    with pytest.raises(LocalError, match="a PHB 1 already"):
        machine.platform.add_phb(1)


def test_a_machine_without_a_console():
    machine = Machine()
    machine.platform.vio.clear()
    assert "stdout-path" not in machine.tree_at_reset().find("/chosen").properties


def test_a_phb():
    phb = Machine().tree_at_reset().find("/pci@800000020000000").properties
    assert phb["reg"] == bytes.fromhex("08000000 20000000 00000000 00000000")
    assert phb["interrupt-map-mask"] == bytes.fromhex("0000f800 00000000 00000000 ffffffff")
    assert phb["ibm,pe-total-#msi"] == bytes.fromhex("00000d00")
    rows = [read_cells(phb["interrupt-map"])[at : at + 7] for at in range(0, 7 * 128, 7)]
    assert len(phb["interrupt-map"]) == 4 * 7 * 128
    assert rows[:5] == [
        (0, 0, 0, 1, 0x1111, 0x1200, 1),
        (0, 0, 0, 2, 0x1111, 0x1201, 1),
        (0, 0, 0, 3, 0x1111, 0x1202, 1),
        (0, 0, 0, 4, 0x1111, 0x1203, 1),
        (0x800, 0, 0, 1, 0x1111, 0x1201, 1),
    ]
    assert rows[-1] == (0xF800, 0, 0, 4, 0x1111, 0x1202, 1)
    assert read_cells(phb["ranges"]) == (
        *(0x1000000, 0, 0, 0x2000, 0, 0, 0x10000),
        *(0x2000000, 0, 0x80000000, 0x2000, 0x80000000, 0, 0x80000000),
        *(0x3000000, 0x2100, 0, 0x2100, 0, 0x100, 0),
    )


def test_cpus_have_ids_and_not_indexes():
    machine = Machine("dual", 2, max_cpus=3, machine="pseries-4.1")
    machine.irq.plug(2)
    machine.irq.unplug(1)
    machine.irq.unplug(0)
    machine.irq.plug(0)
    tree = machine.tree_at_reset()
    assert [node.name for node in tree.find("/cpus").children] == ["PowerPC,POWER9@0", "PowerPC,POWER9@10"]
    cpu = tree.find("/cpus/PowerPC,POWER9@10").properties
    assert (cpu["reg"], cpu["ibm,ppc-interrupt-server#s"]) == (cells(16), cells(16))
    assert cpu["ibm,ppc-interrupt-gserver#s"] == cells(16, 0)
    assert cpu["ibm,my-drc-index"] == bytes.fromhex("10000010")
    assert cpu["cpu-version"] == bytes.fromhex("004e1200")
    assert tree.find("/interrupt-controller").properties["ibm,interrupt-server-ranges"] == cells(0, 24)


def test_a_level_shows_in_the_cpus():
    machine = Machine()
    assert machine.call(area(pvrs=[(0xFFFFFFFF, 0x0F000004)])) == 0
    cpu = fdt.unpack(machine.returned(0x10000)[1]).find("/cpus/PowerPC,POWER9@1").properties
    assert cpu["cpu-version"] == bytes.fromhex("0f000004")


def test_a_legacy_machine():
    tree = Machine(None, machine="pseries-3.0", cpu="power8").tree_at_reset()
    assert tree.find("/vdevice/vty@71000000").properties["interrupts"] == cells(0x1002, 0)
    assert tree.find("/vdevice/nvram@71000001").properties["interrupts"] == cells(0x1003, 0)
    phb = tree.find("/pci@800000020000000").properties
    assert read_cells(phb["interrupt-map"])[5] == 0x1004
    assert phb["ibm,pe-total-#msi"] == cells(0x400)
    assert "ibm,my-drc-index" not in phb
    assert "linux,pci-probe-only" not in tree.find("/chosen").properties


@pytest.mark.parametrize("mode", ["xics", "xive", "dual"])
def test_trees_can_be_written_and_read(mode):
    tree = Machine(mode).tree_at_reset()
    assert fdt.unpack(fdt.pack(tree)) == tree


# Comparing


def test_differences_are_all_found():
    ours = Node("", {"a": b"1", "same": b""}, [Node("x", {"p": b"1"}), Node("only")])
    theirs = Node("", {"same": b"", "b": b""}, [Node("more"), Node("x", {"p": b"2"})])
    assert list(differences(ours, theirs)) == [
        ("/", "a", b"1", None),
        ("/", "b", None, b""),
        ("/more", "", None, EMPTY),
        ("/only", "", EMPTY, None),
        ("/x", "p", b"1", b"2"),
    ]
    assert list(differences(ours, ours)) == []


def test_nothing_is_omitted_that_is_modelled():
    for mode in ("xics", "xive", "dual"):
        for path, node in Machine(mode).tree_at_reset().walk():
            assert omission(path) is None
            assert [name for name in node.properties if omission(path, name)] == []


def test_what_has_to_be_there_is_no_omission():
    assert omission("/rtas", "ibm,set-xive") is None
    assert omission("/rtas", "anything") is None
    assert omission("/interrupt-controller") is None
    assert omission("/chosen", "ibm,architecture-vec-5") is None
    assert omission("/ibm,persistent-memory").reason == "no NVDIMMs"
    assert omission("/cpus/PowerPC,POWER9@0", "slb-size").reason == "the MMU"
    assert len({(row.node, row.property) for row in OMISSIONS}) == len(OMISSIONS)


def test_the_tree_follows_the_platform():
    """A device that is added later is in the next tree."""
    machine = Machine()
    before = device_tree.build(machine.platform, machine.cas.agreed)
    machine.platform.add_vio(VTY)
    found = list(differences(device_tree.build(machine.platform, machine.cas.agreed), before))
    assert found == [("/vdevice/vty@71000002", "", EMPTY, None)]
