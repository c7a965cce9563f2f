"""Device trees and negotiations of a real pseries machine, beside those of our model, property by property.

The tree at reset is what `-machine dumpdtb=` writes; the one that the negotiation returns, a guest asked for. What our
tree lacks is listed here by name, so that nothing is hidden.
"""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from outboard.errors import LocalError
from outboard.machine.pseries import PseriesMachine
from outboard.qemu import Qemu, QemuBinary, QemuCommand, QemuError
from outboard.qemu.live import LiveMachine
from outboard.qemu.live_cpu import hcall, signed
from outboard.qemu.live_memory import CAS_TREE, CAS_TREE_SIZE, MEMORY_MIB, cas_area
from outboard.spapr import fdt, modes
from outboard.spapr.fdt import Node
from outboard.spapr.omissions import OMISSIONS, differences, omission
from outboard.spapr.platform import VioKind
from tests.machine.pseries.rig import rtas
from tests.qemu import witnesses, xive_guest
from tests.qemu.xive_guest import H_CAS, TREE, TREE_SIZE, VECTORS, Guest
from tests.qemu.xive_twin import monitor
from tests.spapr.cas_rig import LEVELS, LOGICAL_9, REAL_POWER9, Machine, area, vector

pytestmark = pytest.mark.alike

MODES = ("xics", "xive", "dual")
RAM_MIB = 256
START_CPU = 0x2006

# What our tree has not, at reset of the newest machine
CONNECTORS = {"ibm,drc-indexes", "ibm,drc-names", "ibm,drc-power-domains", "ibm,drc-types"}
CPU_ONLY = {
    *("ibm,chip-id", "ibm,dec-bits", "ibm,dfp", "ibm,pa-features", "ibm,pft-size", "ibm,vmx"),
    *("ibm,processor-radix-AP-encodings", "ibm,processor-segment-sizes", "ibm,segment-page-sizes"),
    *("ibm,slb-size", "slb-size"),
}
RTAS_ONLY = {
    *("display-character", "get-power-level", "get-sensor-state", "get-time-of-day", "nvram-fetch", "nvram-store"),
    *("power-off", "quiesce", "set-indicator", "set-power-level", "set-time-of-day", "system-reboot", "rtas-size"),
    *("ibm,associativity-reference-points", "ibm,max-associativity-domains", "ibm,lrdr-capacity"),
    *("ibm,configure-connector", "ibm,configure-pe", "ibm,create-pe-dma-window", "ibm,query-pe-dma-window"),
    *("ibm,remove-pe-dma-window", "ibm,reset-pe-dma-window", "ibm,get-config-addr-info2", "ibm,set-eeh-option"),
    *("ibm,read-slot-reset-state2", "ibm,set-slot-reset", "ibm,slot-error-detail", "ibm,set-tce-bypass"),
    *("ibm,get-system-parameter", "ibm,set-system-parameter", "ibm,suspend-me", "ibm,os-term", "ibm,extended-os-term"),
    *("ibm,nmi-interlock", "ibm,nmi-register", "ibm,hypertas-functions", "qemu,hypertas-functions"),
}
ABSENT_AT_RESET = {
    "/": CONNECTORS | {"vm,uuid"},
    "/chosen": {"rng-seed", "qemu,graphic-depth", "qemu,graphic-height", "qemu,graphic-width"},
    "/cpus": CONNECTORS,
    "/cpus/PowerPC,POWER9@0": CPU_ONLY,
    "/cpus/PowerPC,POWER9@1": CPU_ONLY,
    "/ibm,persistent-memory": {""},
    "/memory@0": {"ibm,associativity"},
    "/pci@800000020000000": CONNECTORS,
    "/rtas": RTAS_ONLY,
}
ABSENT_AFTER = ABSENT_AT_RESET | {
    "/chosen": {"rng-seed"},
    "/rtas": RTAS_ONLY | {"ibm,numa-distance-table", "ibm,numa-lookup-index-table"},
}


def absent(ours: Node, theirs: Node) -> dict[str, set[str]]:
    """What QEMU's tree has and ours has not, by node. Any other difference fails."""
    found: dict[str, set[str]] = {}
    for difference in differences(ours, theirs):
        known = omission(difference.node, difference.property)
        assert difference.ours is None and known, f"the trees differ: {difference}"
        found.setdefault(difference.node, set()).add(difference.property)
    return found


# At reset

SCSI = VioKind("v-scsi", "IBM,v-scsi", "vscsi")
DUMPS: dict[str, tuple[str, dict[str, Any]]] = {
    **{mode: (f"-M pseries,ic-mode={mode}", {"mode": mode}) for mode in MODES},
    "a CPU older than XIVE": ("-M pseries -cpu power8", {"mode": None, "cpu": "power8"}),
    "a newer one": ("-M pseries -cpu power10", {"mode": None, "cpu": "power10"}),
    "an older level": ("-M pseries,max-cpu-compat=power8", {"mode": None, "compat": "power8"}),
    "an older level of XIVE's": (
        "-M pseries,max-cpu-compat=power9 -cpu power10",
        {"mode": None, "cpu": "power10", "compat": "power9"},
    ),
    "ids 8 apart": ("-M pseries-4.1 -smp 2,maxcpus=3", {"mode": None, "machine": "pseries-4.1", "max_cpus": 3}),
    "4.2": ("-M pseries-4.2", {"mode": None, "machine": "pseries-4.2"}),
    "6.1, XIVE": ("-M pseries-6.1,ic-mode=xive", {"mode": "xive", "machine": "pseries-6.1"}),
    "4.0, XICS": ("-M pseries-4.0", {"mode": None, "machine": "pseries-4.0"}),
    "3.1, XICS": ("-M pseries-3.1", {"mode": None, "machine": "pseries-3.1", "cpu": "power8"}),
    "legacy": ("-M pseries-3.0", {"mode": None, "machine": "pseries-3.0", "cpu": "power8"}),
    "the oldest": ("-M pseries-2.8,cap-htm=off -cpu power9", {"mode": None, "machine": "pseries-2.8"}),
    "no console": ("-M pseries -serial none", {"consoles": 0}),
    "more of all": (
        "-M pseries -smp 3,maxcpus=7 -serial null -device spapr-pci-host-bridge,index=2 "
        "-device spapr-vscsi,reg=0x30002000 -device edu",
        {"cpus": 3, "max_cpus": 7, "consoles": 2},
    ),
}


def dump(binary: QemuBinary, words: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Have QEMU write its tree and end, or end by itself."""
    serial = () if "-serial none" in words else ("-serial", "null")
    smp = () if "-smp" in words else ("-smp", "2")
    command = [str(binary.path), *binary.data_arguments(), "-nodefaults", "-display", "none", "-m", f"{RAM_MIB}M"]
    command += [*smp, *serial, *words.split(), "-machine", f"dumpdtb={path}"]
    return subprocess.run(command, env=binary.env(), capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", DUMPS)
def test_tree_at_reset(name: str, qemu_7_ppc: QemuBinary, tmp_path: Path) -> None:
    words, model = DUMPS[name]
    done = dump(qemu_7_ppc, words, tmp_path / "tree")
    assert done.returncode == 0, done.stderr
    machine = Machine(**model, ram_size=RAM_MIB << 20)
    if name == "more of all":
        machine.platform.add_phb(2)
        machine.platform.add_vio(SCSI, 0x30002000)
    theirs = fdt.unpack((tmp_path / "tree").read_bytes())
    if name == "more of all":
        scsi = theirs.find("/vdevice/v-scsi@30002000")
        assert scsi
        for own in DMA_OF_SCSI:
            del scsi.properties[own]
    lacks = absent(machine.tree_at_reset(), theirs)
    if name in MODES:
        assert lacks == ABSENT_AT_RESET
    if name == "more of all":
        assert [node for node in lacks if node.endswith("/legacy-device@0")], "the PCI device"


DMA_OF_SCSI = ("#address-cells", "#size-cells", "ibm,my-dma-window", "ibm,#dma-size-cells", "ibm,#dma-address-cells")
"""Properties of a SCSI adapter's own."""


def test_every_omission_is_one() -> None:
    """No row of the table is without something in QEMU's tree."""
    found = [(node, name) for table in (ABSENT_AT_RESET, ABSENT_AFTER) for node in table for name in table[node]]
    found.append(("/pci@800000020000000/legacy-device@0", ""))
    assert {omission(node, name) for node, name in found} == set(OMISSIONS)


REFUSED = {
    "-M pseries,ic-mode=nonsense": ("pseries", "power9", "nonsense", None),
    "-M pseries,ic-mode=legacy": ("pseries", "power9", "legacy", None),
    "-M pseries-3.0,ic-mode=xics -cpu power8": ("pseries-3.0", "power8", "xics", None),
    "-M pseries-3.0,ic-mode=nonsense -cpu power8": ("pseries-3.0", "power8", "nonsense", None),
    "-M pseries,ic-mode=xive -cpu power8": ("pseries", "power8", "xive", None),
    "-M pseries,ic-mode=xive,max-cpu-compat=power8": ("pseries", "power9", "xive", "power8"),
    "-M pseries,max-cpu-compat=nonsense": ("pseries", "power9", None, "nonsense"),
    "-M pseries,max-cpu-compat=power10": ("pseries", "power9", None, "power10"),
}


@pytest.mark.parametrize("words", REFUSED)
def test_refusals(words: str, qemu_7_ppc: QemuBinary, tmp_path: Path) -> None:
    done = dump(qemu_7_ppc, words, tmp_path / "tree")
    machine, cpu, asked, compat = REFUSED[words]
    model = modes.cpu_model(cpu)
    with pytest.raises(LocalError) as caught:
        modes.choose(modes.machine_type(machine), model, asked, modes.max_compat(model, compat))
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, f"qemu-system-ppc64: {caught.value}")


# After the negotiation


class Pair:
    """A real machine whose CPU 0 makes the call, and the model; both do what `call` is given."""

    def __init__(self, vm: Qemu, model: Machine) -> None:
        self.vm = vm
        self.guest = Guest(vm)
        self.model = model
        self.ended = False

    def _real(self, at: int, buffer: int, size: int) -> tuple[int | str, list[str]]:
        """The status, or QEMU's last words; and all that it said."""
        seen = len(self.vm.stderr)
        status: int | None = None
        try:
            status = self.guest.hcall(H_CAS, at, buffer, size)[0]
        except QemuError:
            assert self.vm.wait_exit() == 1
            self.ended = True
        lines = [line.removeprefix("qemu-system-ppc64: ") for line in self.vm.stderr[seen:].splitlines()]
        return lines[-1] if status is None else status, lines

    def call(
        self, data: bytes, at: int = VECTORS, buffer: int = TREE, size: int = TREE_SIZE, others_active: bool = False
    ) -> int | str:
        """Make the call on both, and compare results, words, and who is active; the result."""
        self.vm.qtest.write(VECTORS, data)
        real, said = self._real(at, buffer, size)
        self.model.told.clear()
        ours = self.model.call(data, at, buffer, size, others_active=others_active)
        assert alike(ours) == alike(real, ours)
        assert [alike(line) for line in self.model.told] == [alike(line, ours) for line in said]
        if not self.ended:
            assert self.active() == self.model.irq.active
        return real

    def active(self) -> str:
        """Who is active on the real machine."""
        return "xics" if "XIRR=" in monitor(self.vm, "info pic") else "xive"

    def trees(self) -> tuple[Node, Node]:
        """The trees that both returned; the headers before them are the same."""
        memory = self.vm.qtest
        size = struct.unpack(">I", memory.read(TREE + 8, 4))[0]
        header, data = self.model.returned(TREE_SIZE)
        assert memory.read(TREE, 4) == header
        return fdt.unpack(data), fdt.unpack(memory.read(TREE + 4, size))


def alike(said: int | str, ours: int | str = "") -> int | str:
    """What both say; sizes of trees differ, and so does the name of the first property without room."""
    said = re.sub(r"(Copy changes to the guest:) \d+", r"\1", said) if isinstance(said, str) else said
    if isinstance(said, str) and "<the property" in f"{said}{ours}":
        said = re.sub(r"(device tree: ).*(: FDT_ERR_NOSPACE)", r"\1\2", said)
    return said


@contextmanager
def pair(binary: QemuBinary, folder: Path, mode: str, cpu: str = "power9", compat: str = "") -> Iterator[Pair]:
    """A machine with two CPUs, of which the second waits, and its model."""
    machine = f"ic-mode={mode}" + (f",max-cpu-compat={compat}" if compat else "")
    extra = ("-M", machine, *xive_guest.words(folder), "-trace", "spapr_cas_*")
    command = QemuCommand(binary, memory_mib=RAM_MIB, cpu=cpu, smp=2, qtest=True, extra=extra)
    with Qemu(command) as vm:
        witnesses.hear("QEMU", vm.report)
        yield Pair(vm, Machine(mode, cpu=cpu, compat=compat or None, ram_size=RAM_MIB << 20))


XIVE, XICS = vector(b23=0x40), vector(b23=0)
LOGICAL = [(0xFFFFFFFF, pvr) for pvr in LEVELS.values()]
CALLS: dict[str, tuple[bytes, dict[str, int]]] = {
    **{f"byte 23 is {value:02x}": (area(vector(b23=value)), {}) for value in (0x00, 0x40, 0x7F, 0x3F, 0x80, 0xC0)},
    **{f"byte 24 is {value:02x}": (area(vector(b23=0xC0, b24=value)), {}) for value in (0x80, 0xC0)},
    **{f"{size} bytes": (area(vector(size, b23=0x40)), {}) for size in (1, 20, 22, 23, 24, 100, 256)},
    **{f"{count} vectors": (area(vectors=[bytes(1)] * count), {}) for count in (1, 4)},
    "6 vectors": (area(vectors=[bytes(3), bytes(200), bytes(1), bytes(7), XIVE, bytes(5)]), {}),
    "nothing asked": (area(bytes(26)), {}),
    "all asked": (area(b"\xff" * 22 + b"\x7f\x7f" + b"\xff" * 16), {}),
    "no radix": (area(vector(b23=0x40, b24=0, b26=0)), {}),
    **{f"level {name}": (area(XIVE, pvrs=[(0xFFFFFFFF, pvr)]), {}) for name, pvr in LEVELS.items()},
    "all levels": (area(XIVE, pvrs=LOGICAL), {}),
    "all levels, newest first": (area(XIVE, pvrs=LOGICAL[::-1]), {}),
    "the real PVR": (area(XICS, pvrs=[REAL_POWER9]), {}),
    "the real PVR, no mask": (area(XICS, pvrs=[(0, 0)]), {}),
    "a level under a mask": (area(XIVE, pvrs=[(0xFF00FFFF, LEVELS["2.07"])]), {}),
    "another PVR": (area(XIVE, pvrs=[(0xFFFF0000, 0x004D0000)]), {}),
    "no PVR": (area(XIVE, pvrs=[]), {}),
    "a level, but no vector": (area(vectors=[bytes(1)], pvrs=[(0xFFFFFFFF, LEVELS["2.06"])]), {}),
    "512 pairs": (area(XIVE, pvrs=[REAL_POWER9, LOGICAL_9] + [(0xFFFFFFFF, 0)] * 510, ends=False), {}),
    "600 pairs": (area(XIVE, pvrs=[REAL_POWER9, LOGICAL_9] + [(0xFFFFFFFF, 0)] * 598, ends=False), {}),
    "high bits": (area(XIVE), {"at": VECTORS | 0xF << 60}),
    "vectors nowhere": (area(XIVE), {"at": 0x40000000}),
    "a buffer nowhere": (area(XIVE), {"buffer": 0x40000000}),
    "a buffer at the end": (area(XIVE), {"buffer": (RAM_MIB << 20) - 16}),
    **{f"a buffer of {size:#x}": (area(XIVE), {"size": size}) for size in (0, 3, 4, 83, 84, 1 << 32)},
}


@pytest.mark.parametrize("mode", MODES)
def test_calls(mode: str, qemu_7_ppc: QemuBinary, tmp_path: Path) -> None:
    """One after the other on the same machine; a new one where QEMU ended."""
    waiting = list(CALLS)
    answers: dict[str, int | str] = {}
    while waiting:
        with pair(qemu_7_ppc, tmp_path, mode) as both:
            while waiting and not both.ended:
                name = waiting.pop(0)
                data, where = CALLS[name]
                answers[name] = both.call(data, **where)
                if answers[name] == 0 and "buffer" not in where:
                    ours, theirs = both.trees()
                    absent(ours, theirs)
    assert {name: answers[name] for name in ("byte 23 is 00", "byte 23 is 40")} == {
        "byte 23 is 00": 0 if mode != "xive" else answers["1 bytes"],
        "byte 23 is 40": 0 if mode != "xics" else answers["23 bytes"],
    }
    assert answers["byte 23 is 80"] == answers["byte 23 is c0"] == "guest requested an invalid interrupt mode"
    assert sum(isinstance(answer, str) for answer in answers.values()) >= 9


@pytest.mark.parametrize(("mode", "vector_5"), [("xics", XICS), ("xive", XIVE), ("dual", XICS), ("dual", XIVE)])
def test_tree_after(mode: str, vector_5: bytes, qemu_7_ppc: QemuBinary, tmp_path: Path) -> None:
    with pair(qemu_7_ppc, tmp_path, mode) as both:
        assert both.call(area(vector_5)) == 0
        assert absent(*both.trees()) == ABSENT_AFTER


@pytest.mark.parametrize(
    ("cpu", "compat"), [("power8", ""), ("power10", ""), ("power10", "power9"), ("power9", "power7+")]
)
def test_levels(cpu: str, compat: str, qemu_7_ppc: QemuBinary, tmp_path: Path) -> None:
    """Each level alone, then the real PVR; before and after a reset."""
    with pair(qemu_7_ppc, tmp_path, "dual", cpu, compat) as both:
        for _ in range(2):
            for pvr in (*LEVELS.values(), both.model.cas.model.pvr):
                if both.call(area(XICS, pvrs=[(0xFFFFFFFF, pvr)])) == 0:
                    absent(*both.trees())
            reset(both)


def reset(both: Pair) -> None:
    """Reset both machines."""
    both.vm.qmp.command("system_reset")
    both.vm.qmp.wait_event("RESET")
    both.model.reset()
    assert both.active() == both.model.irq.active


@pytest.mark.parametrize("mode", MODES)
def test_a_reset_forgets_what_was_agreed_on(mode: str, qemu_7_ppc: QemuBinary, tmp_path: Path) -> None:
    with pair(qemu_7_ppc, tmp_path, mode) as both:
        for _ in range(2):
            assert both.call(area(XICS if mode == "xics" else XIVE)) == 0
            reset(both)


@pytest.mark.parametrize(("mode", "vector_5"), [("xics", XICS), ("xive", XIVE), ("dual", XICS), ("dual", XIVE)])
def test_two_cpus_that_run(mode: str, vector_5: bytes, qemu_7_ppc: QemuBinary, tmp_path: Path) -> None:
    """RTAS starts the second one; after a reset it waits again."""
    here = 0x8000
    with pair(qemu_7_ppc, tmp_path, mode) as both:
        both.vm.qtest.write(here, struct.pack(">I", 0x48000000))  # b .
        assert both.guest.rtas(START_CPU, (1, here, 0), 1) == (0,)
        assert both.call(area(vector_5), others_active=True) == -9005
        assert both.call(area(vector_5), size=4, others_active=True) == -9005
        reset(both)
        assert both.call(area(vector_5)) == 0


@pytest.mark.parametrize(("mode", "vector_5"), [("xics", XICS), ("xive", XIVE), ("dual", XICS), ("dual", XIVE)])
def test_trees_that_guests_of_both_machines_see(mode: str, vector_5: bytes, qemu_7_ppc: QemuBinary) -> None:
    """The same machine with a PCI device, as its CPUs are given it: at the start, by CAS, and after a reset."""
    edu = "-device", "edu,addr=01.0"
    with (
        LiveMachine(qemu_7_ppc, 2, mode, extra=edu, timeout=20) as theirs,
        PseriesMachine(2, mode, [(1, "edu")], ram_size=MEMORY_MIB << 20) as ours,
    ):
        for _ in range(2):
            assert absent(ours.device_tree(), theirs.device_tree()) == ABSENT_AT_RESET
            ours.memory.write(VECTORS, area(vector_5))
            assert ours.cpus[0].hcall("H_CAS", VECTORS, CAS_TREE, CAS_TREE_SIZE) == (0,)
            assert theirs.cas(area=area(vector_5)) == 0
            assert absent(ours.device_tree(), theirs.device_tree()) == ABSENT_AFTER
            for machine in (ours, theirs):
                machine.reset()


@pytest.mark.parametrize("mode", MODES)
def test_cas_while_others_run_on_both_machines(mode: str, qemu_7_ppc: QemuBinary) -> None:
    """With no, one and three CPUs beside the one that asks; the call is made bare, else `LiveMachine` stops them."""
    xive = mode != "xics"
    with LiveMachine(qemu_7_ppc, 4, mode, timeout=20) as theirs, PseriesMachine(4, mode) as ours:
        for running in ((), (2,), (1, 2, 3)):
            for machine in (ours, theirs):
                machine.memory.write(VECTORS, cas_area(xive))
            for index in running:
                assert rtas(ours.cpus[0], START_CPU, (index, 0x8000, 0)) == (0,)
            theirs.start(set(running))
            answers = [ours.cpus[0].hcall("H_CAS", VECTORS, CAS_TREE, CAS_TREE_SIZE)[0]]
            asks = hcall(0, H_CAS, VECTORS, CAS_TREE, CAS_TREE_SIZE)
            answers.append(signed(theirs.batch([asks])[0].registers[0]))
            assert answers == [-9005 if running else 0] * 2
            for machine in (ours, theirs):
                machine.reset()
