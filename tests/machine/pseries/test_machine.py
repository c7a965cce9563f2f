"""The machine as a whole: options, its tree, reset, snapshots. Numbers are typed by hand."""

from dataclasses import replace

import pytest

from outboard.errors import LocalError
from outboard.machine.pseries import Edu, PseriesMachine, VirtioGpu
from outboard.machine.pseries.snapshot import StartedCpu
from outboard.spapr import fdt
from tests.machine.pseries.rig import (
    MINUS_1,
    QUERY_CPU,
    START_CPU,
    change_msi,
    level,
    negotiate,
    place,
    read,
    rtas,
    signalled,
    write,
)

# Options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ic_mode": "xvie"}, 'Bad value for "ic-mode" property'),
        ({"ic_mode": "xics", "machine": "pseries-3.0"}, "This machine only uses the legacy XICS backend"),
        ({"ic_mode": "xive", "cpu": "power8"}, "XIVE-only machines require a POWER9 CPU"),
        ({"ic_mode": "xive", "max_cpu_compat": "power8"}, "XIVE-only machines require a POWER9 CPU"),
        ({"max_cpu_compat": "power5"}, 'Invalid compatibility mode "power5"'),
        ({"max_cpu_compat": "power10"}, "Compatibility PVR 0x0f000006 not valid for CPU"),
        ({"machine": "pseries-9.9"}, "unsupported machine type 'pseries-9.9'"),
        ({"cpu": "970"}, "no CPU model '970'"),
        ({"cpus": 0}, "needs 1 <= cpus"),
        ({"cpus": 4, "max_cpus": 2}, "needs 1 <= cpus <= max_cpus"),
        ({"ram_size": 4097}, "RAM of 4097 bytes: needs a multiple of 4096"),
        ({"ram_size": "1G"}, "RAM of '1G' bytes"),
        ({"machine": ["pseries"]}, "unsupported machine type ['pseries']"),
        ({"max_cpus": 5000}, "max_cpus=5000, vsmt=1: needs 1 <= cpus <= max_cpus <= 4096"),
        ({"vsmt": 0}, "vsmt=0: needs"),
        ({"cpus": 2, "vsmt": 4096}, "and max_cpus * vsmt <= 4096"),
        ({"consoles": -1}, "-1 is no number of consoles"),
        ({"consoles": 300}, "IRQ 4352 is not free"),
        ({"flavour": "qemu-7.2"}, "a flavour is one of outboard.spapr.FLAVOURS, not 'qemu-7.2'"),
        ({"ticks": 3}, "now and ticks are functions"),
        ({"host_byteorder": "pdp"}, "host_byteorder is 'little' or 'big'"),
        ({"devices": "edu"}, "devices are a list, not 'edu'"),
        ({"devices": None}, "devices are a list, not None"),
        ({"devices": ["vga"]}, "'vga' is not a device; there are edu, virtio-gpu-pci"),
        ({"devices": ["virtio-gpu-pci"]}, "virtio-gpu-pci needs a back-end"),
        ({"devices": [7]}, "7 is not a device"),
        ({"devices": [(1, "edu"), (1, "edu")]}, "edu: PCI slot 1 is not free"),
        ({"devices": [(32, "edu")]}, "edu: PCI slot 32 is not free"),
        ({"devices": ["edu"] * 32}, "edu: PCI slot 32 is not free"),
        ({"devices": [VirtioGpu(command=["/no/such", "{fd}"])]}, "/no/such: cannot be started"),
    ],
)
def test_wrong_options(options, words):
    with pytest.raises(LocalError) as caught:
        PseriesMachine(**options)
    assert words in str(caught.value)


def test_a_device_is_in_one_machine():
    device = Edu()
    PseriesMachine(devices=[device])
    with pytest.raises(LocalError, match="edu is in slot 0x1 of a machine already"):
        PseriesMachine(devices=[device])


def test_kinds_of_machines():
    assert PseriesMachine().irq.mode == "dual"
    assert PseriesMachine(machine="pseries-4.0").irq.mode == "xics"
    assert PseriesMachine(machine="pseries-3.0").irq.mode == "legacy"
    assert PseriesMachine(machine="pseries-4.1", cpus=2).cpus[1].vcpu_id == 8
    assert PseriesMachine(cpu="power8").irq.mode == "xics"


# The tree

NODE = {
    "vendor-id": "00001234",
    "device-id": "000011e8",
    "revision-id": "00000010",
    "class-code": "0000ff00",
    "interrupts": "00000001",
    "subsystem-id": "00001100",
    "subsystem-vendor-id": "00001af4",
    "cache-line-size": "00000000",
    "devsel-speed": "00000000",
    "min-grant": "00000000",
    "max-latency": "00000000",
    "ibm,loc-code": b"qemu_edu:0000:00:03.0\0".hex(),
    "ibm,my-drc-index": "40000018",
    "ibm,req#msi": "00000001",
    "reg": "00001800" + "00000000" * 4 + "02001810" + "00000000" * 3 + "00100000",
}


def test_the_node_of_a_device():
    machine = PseriesMachine(devices=[(3, "edu")])
    node = machine.device_tree().find("/pci@800000020000000/legacy-device@3")
    assert {name: value.hex() for name, value in node.properties.items()} == NODE
    assert fdt.unpack(machine.dtb()) == machine.device_tree()


def test_the_node_stays_through_negotiation():
    machine = PseriesMachine(devices=["edu"])
    cpu = machine.cpus[0]
    assert negotiate(cpu) == 0
    assert machine.device_tree().find("/pci@800000020000000/legacy-device@1")
    assert cpu.memory.read(0x100004, len(machine.dtb())) == machine.dtb()
    assert machine.device_tree().find("chosen").properties.keys() == {"ibm,architecture-vec-5"}
    machine.reset()
    assert "ibm,arch-vec-5-platform-support" in machine.device_tree().find("chosen").properties


# Reset


def test_reset():
    machine = PseriesMachine(cpus=2, devices=["edu"])
    cpu = machine.cpus[0]
    at = place(cpu, 1, 0)
    cpu.store(at + 0x60, 4, 1)
    assert level(machine, 0x1201)
    assert change_msi(cpu, 1, 1, 1)[0] == 0
    assert negotiate(cpu) == 0
    assert rtas(cpu, START_CPU, (1, 0, 0)) == (0,)
    cpu.hcall("H_PUT_TCE", 0x80000000, 0, 3)
    cpu.memory.write(0x1000, b"stays")
    machine.reset()
    assert machine.irq.active == "xics" and not level(machine, 0x1201)
    assert machine.pic().startswith("CPU 0 XIRR=")
    assert rtas(cpu, QUERY_CPU, (1,), 2) == (0, 0)
    assert cpu.memory.read(0x1000, 5) == b"stays"
    assert (read(cpu, 1, 4, 4), read(cpu, 1, 0x10, 4), read(cpu, 1, 0x44, 4)) == (0x100000, 0, 0)
    assert cpu.hcall("H_GET_TCE", 0x80000000, 0) == (0, 0)
    assert cpu.load(at, 4) == 0
    assert change_msi(cpu, 1, 1, 0)[0] == MINUS_1
    assert change_msi(cpu, 1, 1, 1)[:2] == (0, 1)
    assert machine.irq.msis == {0x1300: 1}


# Snapshots


def busy():
    machine = PseriesMachine(cpus=2, ic_mode="xics", devices=["edu"])
    cpu = machine.cpus[0]
    at = place(cpu, 1, 0x300000)
    change_msi(cpu, 1, 1, 1)
    cpu.store(at + 4, 4, 0x55)
    cpu.store(at + 0x60, 4, 2)
    rtas(cpu, START_CPU, (1, 0x100, 7))
    cpu.hcall("H_PUT_TCE", 0x80000000, 0x1000, 0x20003)
    machine.platform_events.power_down()
    return machine, at


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"command": None}, "a back-end's command is a list of words, not None"),
        ({"command": "gpu --fd={fd}"}, "a back-end's command is a list of words, not 'gpu"),
        ({"command": ["gpu", 3]}, "a back-end's command is a list of words"),
        ({"sizes": 5}, r"sizes are a list of \(width, height\), not 5"),
        ({"sizes": "64x64"}, "sizes are a list"),
        ({"sizes": []}, "0 displays: a GPU has 1 to 16"),
        ({"sizes": [(0,)]}, r"the size of a display is \(width, height\), not \(0,\)"),
        ({"sizes": [(1, 2, 3)]}, "the size of a display is"),
        ({"sizes": [64]}, "the size of a display is"),
        ({"sizes": [(64, "b")]}, "the size of a display is"),
        ({"sizes": [(-1, 64)]}, "-1"),
        ({"sizes": [(64, 64.0)]}, "the size of a display is"),
    ],
)
def test_what_is_no_gpu_is_refused(options, words):
    with pytest.raises(LocalError, match=words):
        VirtioGpu(**({"command": ["gpu", "{fd}"]} | options))


def test_devices_without_a_slot_take_those_that_are_left():
    machine = PseriesMachine(devices=["edu", (1, "edu"), "edu", (3, "edu")])
    assert sorted(machine.phb.devices) == [1, 2, 3, 4]


def test_a_snapshot_has_all():
    machine, at = busy()
    cpu, picture = machine.cpus[0], machine.snapshot()
    write(cpu, 1, 0x42, 2, 1)
    cpu.store(at + 0x60, 4, 1)
    assert signalled(machine, 0x1300)
    cpu.memory.write(0x1000, b"new")
    machine.reset()
    assert machine.snapshot() != picture
    machine.restore(picture)
    assert machine.snapshot() == picture
    assert level(machine, 0x1201) and not machine.is_stopped(1)
    assert cpu.load(at + 4, 4) == 0xFFFFFFAA
    assert cpu.memory.read(0x1000, 3) == bytes(3)
    cpu.store(at + 0x64, 4, 2)
    assert not level(machine, 0x1201)
    assert machine.take_starts() == ((1, 0x100, 7),)


def test_a_snapshot_fits_another_machine_of_its_kind():
    machine, at = busy()
    other = PseriesMachine(cpus=2, ic_mode="xics", devices=["edu"])
    other.restore(machine.snapshot())
    assert other.snapshot() == machine.snapshot()
    assert other.cpus[0].load(at, 4) == 0x010000ED
    for unlike in (
        {"cpus": 1},
        {"devices": []},
        {"ic_mode": "dual"},
        {"ram_size": 16 << 20},
        {"consoles": 2},
        {"host_byteorder": "big"},
    ):
        options = {"cpus": 2, "ic_mode": "xics", "devices": ["edu"]} | unlike
        with pytest.raises(LocalError, match="not a snapshot of a machine with such"):
            PseriesMachine(**options).restore(machine.snapshot())


CHANGES = {
    "stopped": [b"", b"\0", bytes(3), None],
    "ceded": [b"", bytes(3)],
    "prodded": [b""],
    "problem_states": [(), (False,) * 3],
    "devices": [{}, {7: {}}, {1: {}}],
    "pages": [{1 << 50: bytes(4096)}, {-1: bytes(4096)}, {1: b"x"}, {"a": bytes(4096)}, 5],
    "tree": [b"", b"x"],
    "irq": [None],
    "phb": [None],
    "agreed": [None, ()],
    "starts": [((0, 0, 0),), 7, (StartedCpu(2, 0, 0),)],
}


@pytest.mark.parametrize(("part", "value"), [(part, value) for part in CHANGES for value in CHANGES[part]])
def test_a_changed_snapshot_changes_nothing(part, value):
    machine, at = busy()
    changed = replace(PseriesMachine(cpus=2, ic_mode="xics", devices=["edu"]).snapshot(), **{part: value})
    before = machine.snapshot()
    with pytest.raises(LocalError, match="the snapshot was changed: its parts do not fit together"):
        machine.restore(changed)
    assert machine.snapshot() == before
    assert machine.cpus[0].load(at + 4, 4) == 0xFFFFFFAA


@pytest.mark.parametrize("wrong", ["register 0x8", "buffer", "config"])
def test_a_changed_state_of_a_device_changes_nothing(wrong):
    machine, _ = busy()
    before = machine.snapshot()
    state = before.devices[1]
    for other in ({name: state[name] for name in state if name != wrong}, state | {wrong: b"1"}, state | {wrong: None}):
        with pytest.raises(LocalError, match="the snapshot was changed"):
            machine.restore(replace(before, devices={1: other}))
        assert machine.snapshot() == before
