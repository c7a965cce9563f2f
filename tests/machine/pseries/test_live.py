"""PCI, RTAS and DMA of our machine beside a real QEMU 7.2: the same calls, loads and stores, the same answers."""

from __future__ import annotations

import random
import re
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from outboard.machine.pseries import PseriesMachine
from outboard.machine.pseries.virtio_pci import Interrupts, VirtioPci
from outboard.qemu import Qemu, QemuBinary, QemuCommand
from outboard.spapr import fdt
from tests.machine.pseries import rig
from tests.machine.pseries.rig import BUID, WINDOW, address
from tests.qemu.conftest import some_qemu
from tests.qemu.xive_guest import Guest, words

pytestmark = pytest.mark.alike

RAM_MIB = 256
EDU, OTHER, GPU = 1, 2, 3
LINE = re.compile(r"(Invalid (?:read|write) at addr .*|EDU: .*|.*out-of-bounds IOBA.*)")


class Idle:
    """A virtio device that does nothing, as QEMU's virtio-gpu-pci does until it is driven."""

    failure = ""
    features = 0x101_3000_0002

    def read_config(self) -> bytes:
        return struct.pack("<IIII", 0, 0, 1, 0)

    def interrupts(self) -> Interrupts:
        return Interrupts()

    def start(self, *_: object) -> None: ...
    def stop(self) -> None: ...
    def reset(self) -> None: ...
    def notify(self, queue: int) -> None: ...
    def write_config(self, offset: int, data: bytes) -> None: ...


class Memory:
    """Guest memory of a real machine."""

    def __init__(self, vm: Qemu) -> None:
        self.vm = vm

    def read(self, addr: int, length: int) -> bytes:
        return self.vm.qtest.read(addr, length)

    def write(self, addr: int, data: bytes) -> None:
        self.vm.qtest.write(addr, data)


class Real:
    """CPU 0 of a real machine, as a CPU of ours; hypercalls return what of the registers ours answers."""

    def __init__(self, vm: Qemu) -> None:
        self.guest = Guest(vm)
        self.memory = Memory(vm)

    def load(self, addr: int, size: int) -> int:
        return self.guest.load(addr, size)

    def store(self, addr: int, size: int, value: int) -> None:
        self.guest.store(addr, size, value)

    def hcall(self, opcode: int, *arguments: int) -> tuple[int, ...]:
        return self.guest.hcall(opcode, *arguments)[: 2 if opcode == 0x1C else 1]


class Pair:
    """Both, with what each logs."""

    def __init__(self, vm: Qemu, log: Path) -> None:
        gpu = VirtioPci("virtio-gpu-pci", 16, 0x0380, Idle(), (64, 16))
        self.vm = vm
        self.machine = PseriesMachine(2, "xics", ["edu", "edu", gpu], ram_size=RAM_MIB << 20)
        self.ours = self.machine.cpus[0]
        self.real = Real(vm)
        self._said = rig.Log(self.machine)
        self._log = log.open()

    def same(self, what: str, *arguments: object) -> object:
        """Do it to both, by a function of the rig or a method of a CPU; the answer."""
        answers = []
        for cpu in (self.ours, self.real):
            call = getattr(rig, what, None)
            answers.append(call(cpu, *arguments) if call else getattr(cpu, what)(*arguments))
        ours, theirs = answers
        if what == "hcall" and arguments[0] == 0x1C and theirs[0]:
            theirs = theirs[:1]
        assert ours == theirs, f"{what}{arguments}: ours {ours!r}, QEMU {theirs!r}"
        return ours


@pytest.fixture(scope="module")
def qemu_7() -> QemuBinary:
    return some_qemu("ppc64", (7, 2), (7, 3))


@pytest.fixture
def pair(qemu_7: QemuBinary, tmp_path: Path) -> Iterator[Pair]:
    log = tmp_path / "log"
    log.touch()
    devices = ("-device", "edu,addr=1", "-device", "edu,addr=2", "-device", "virtio-gpu-pci,addr=3")
    extra = (*words(tmp_path), "-machine", "ic-mode=xics", *devices, "-d", "guest_errors", "-D", str(log))
    command = QemuCommand(qemu_7, memory_mib=RAM_MIB, smp=2, qtest=True, extra=extra)
    with Qemu(command) as vm:
        yield Pair(vm, log)


def test_configuration_space(pair: Pair) -> None:
    for slot in (EDU, GPU):
        pair.same("config", slot)
        for at in range(0, 256, 4):
            for value in (0xFFFFFFFF, 0):
                pair.same("write", slot, at, 4, value)
                pair.same("read", slot, at, 4)


def random_call(choice: random.Random) -> tuple[str, tuple[object, ...]]:
    """A call about PCI, CPUs or events, mostly right."""
    slot = choice.choice((EDU, EDU, OTHER, GPU, GPU, 9))
    where = (address(slot, choice.randrange(64) * 4 if choice.random() < 0.5 else 0), *BUID)
    kind = choice.randrange(7)
    if kind == 0:
        offset, size = choice.randrange(256), choice.choice((1, 2, 4))
        return "rtas", (0x2016, (address(slot, offset), *BUID, size), 2)
    if kind == 1:  # not a base address: what is where is another test
        at = choice.choice((0x04, 0x3C, 0x42, 0x44, 0x4C, 0x9A, choice.randrange(0x44, 0x100, 4)))
        return "rtas", (0x2017, (address(slot, at), *BUID, 2, choice.getrandbits(16) | 6), 1)
    if kind == 2:
        return "rtas", (0x2018, (*where, choice.randrange(4)), 3)
    if kind == 3:
        arguments = (*where, choice.choice((1, 1, 3, 4, 0)), choice.choice((0, 1, 1, 2, 3, 5)), choice.getrandbits(32))
        return "rtas", (0x2019, arguments, choice.choice((3, 4)))
    if kind == 4:
        return "rtas", (0x2005, (choice.randrange(4),), choice.choice((2, 2, 1)))
    if kind == 5:
        return "rtas", (0x2006, (0, 0x100, 1) if choice.random() < 0.5 else (7, 0, 0), 1)
    return "hcall", (choice.choice((0x1C, 0x20, 0x138)), 0x80000000, choice.randrange(0, 0x40002000, 0x800), 3, 1)


@pytest.mark.parametrize("seed", range(3))
def test_random_calls(pair: Pair, seed: int) -> None:
    choice = random.Random(seed)
    for _ in range(250):
        pair.same(*((call := random_call(choice))[0], *call[1]))
    for slot in (EDU, OTHER, GPU):
        pair.same("config", slot)


@pytest.mark.parametrize("seed", range(3))
def test_random_accesses(pair: Pair, seed: int) -> None:
    """Base addresses that move and overlap; loads and stores on edu, the table of messages, virtio's registers."""
    choice = random.Random(seed)
    for slot, register in ((EDU, 0x10), (OTHER, 0x10), (GPU, 0x14), (GPU, 0x20)):
        pair.same("place", slot, slot << 20 if register != 0x20 else 0x800000, register)
    bases = [WINDOW + (at << 20) for at in (1, 2, 3, 8)] + [WINDOW + 0x800000 + 0x2000]
    registers = [0, 4, 0x20, 0x24, 0x60, 0x64, 0x80, 0x88, 0x90, 0x10, 0x18, 0x800]
    for _ in range(300):
        kind, size = choice.randrange(10), choice.choice((1, 2, 4, 4, 4, 8))
        at = choice.choice(bases) + choice.choice((*registers, choice.randrange(64)))
        if kind == 0:
            slot = choice.choice((EDU, OTHER))
            pair.same("write", slot, 0x10, 4, 0x80000000 + choice.choice((1, 2, 5, 0x7FF)) * 0x100000)
        elif kind == 1:
            pair.same("write", choice.choice((EDU, OTHER)), 4, 2, choice.choice((0, 2, 6, 0x406)))
        elif kind < 5:
            if not safe(at):
                continue
            pair.same("store", at, size, choice.getrandbits(8 * size))
        else:
            pair.same("load", at, size)
    for slot in (EDU, OTHER, GPU):
        pair.same("config", slot)


def safe(at: int) -> bool:
    """Whether a store may come here: the status of virtio and what it starts are another test's."""
    return not WINDOW + 0x800000 <= at < WINDOW + 0x804000 or WINDOW + 0x800000 + 0x18 <= at < WINDOW + 0x800000 + 0x38


def test_factorials_and_copies(pair: Pair) -> None:
    at = pair.same("place", EDU, 0x100000)
    for number in (0, 1, 5, 12, 13, 33, 34, 1000):
        pair.same("store", at + 8, 4, number)
        while pair.real.load(at + 0x20, 4) & 1:
            pass
        pair.same("load", at + 8, 4)
    for page, tce in ((1, 0x20001), (2, 0x21002), (3, 0x22003)):
        pair.same("hcall", 0x20, 0x80000000, page << 12, tce)
    pair.ours.memory.write(0x20000, bytes(range(256)))
    pair.real.memory.write(0x20000, bytes(range(256)))
    for source, destination, count, command in (
        (0x1000, 0x40000, 256, 1),
        (0x40000, 0x2F80, 256, 7),
        (0x40010, 0x3000, 16, 3),
        (0x2000, 0x40000, 16, 1),
        (0x40000, 0x1000, 16, 3),
        (0x40000, 0x3100, 16, 3),
    ):
        for register, value in ((0x80, source), (0x88, destination), (0x90, count), (0x98, command)):
            pair.same("store", at + register, 8, value)
        while pair.real.load(at + 0x98, 8) & 1:
            time.sleep(0.01)
        pair.same("load", at + 0x98, 8)
        pair.same("load", at + 0x24, 4)
    for start in (0x20000, 0x21000, 0x22000):
        assert pair.ours.memory.read(start, 0x1000) == pair.real.memory.read(start, 0x1000)


def test_events(pair: Pair) -> None:
    pair.vm.qmp.command("system_powerdown")
    pair.vm.qmp.wait_event("POWERDOWN")
    pair.machine.platform_events.power_down()
    for mask in (0x10000000, 0x40000000, 0xFFFFFFFF):
        pair.same("rtas", 0x200F, (mask, 0, 0x8000, 2048), 1)
        pair.same("rtas", 0x200E, (0x500, 0, mask, 0, 0x8000, 16), 1)
    ours, theirs = (bytearray(cpu.memory.read(0x8000, 128)) for cpu in (pair.ours, pair.real))
    for log in (ours, theirs):
        log[32:40] = bytes(8)  # date and time
    assert ours == theirs


def test_nodes_of_devices(qemu_7: QemuBinary, tmp_path: Path) -> None:
    command = [
        str(qemu_7.path),
        *qemu_7.data_arguments(),
        "-nodefaults",
        "-display",
        "none",
        "-m",
        f"{RAM_MIB}M",
        "-M",
        "pseries",
    ]
    command += ["-device", "edu,addr=1", "-device", "virtio-gpu-pci,addr=3", "-machine", f"dumpdtb={tmp_path / 'tree'}"]
    subprocess.run(command, env=qemu_7.env(), check=True, capture_output=True, timeout=60)
    gpu = VirtioPci("of QEMU", 16, 0x0380, Idle(), (64, 16))
    gpu.name = "virtio-gpu-pci"
    machine = PseriesMachine(devices=["edu", (3, gpu)], ram_size=RAM_MIB << 20)
    theirs = fdt.unpack((tmp_path / "tree").read_bytes()).find("/pci@800000020000000")
    ours = machine.device_tree().find("/pci@800000020000000")
    assert theirs and ours
    nodes = [{node.name: node.properties for node in bridge.children} for bridge in (ours, theirs)]
    for own in nodes:  # of QEMU's own GPU; ours is named like the one with a back-end outside
        own["display@3"]["ibm,loc-code"] = own["display@3"]["ibm,loc-code"].replace(b"vhost-user-gpu", b"virtio-gpu")
    assert nodes[0] == nodes[1]
