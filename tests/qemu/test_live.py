"""A real pseries machine driven as our own is: CPUs, memory, negotiation, tree, reset, log; and a QEMU that fails."""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from outboard.errors import LocalError
from outboard.machine.cpu import WAIT, Cpu, Machine, StartsCpus, Steps
from outboard.machine.pseries import PseriesMachine
from outboard.machine.scheduler import Scheduler
from outboard.qemu import QemuBinary, QemuError
from outboard.qemu.failure import QemuDied
from outboard.qemu.live import FREE_RAM, LiveMachine, Start
from outboard.qemu.live_cpu import load
from outboard.qemu.live_memory import STOP_CELLS, cas_area

pytestmark = pytest.mark.alike

ESB, TIMA_OS, PAGES = 0x6010000000000, 0x60302031A0000, 0x20000
START_CPU, STOP_SELF, STOPPED_STATE = 0x2006, 0x2007, 0x2005
CELLS = FREE_RAM + 0x1000
ENTRY = 0x12340


@pytest.fixture(params=["qemu_7_ppc", "qemu_10_ppc"])
def qemu(request: pytest.FixtureRequest) -> QemuBinary:
    found: QemuBinary = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize(("mode", "vsmt"), [("xive", 1), ("dual", 8), ("xics", 4)])
def test_the_machine_that_was_asked_for(qemu: QemuBinary, mode: str, vsmt: int) -> None:
    with LiveMachine(qemu, 2, mode, vsmt, timeout=20) as machine:
        assert [cpu.vcpu_id for cpu in machine.cpus] == [0, vsmt]
        tree = machine.device_tree()
        offers = tree.find("/chosen").properties["ibm,arch-vec-5-platform-support"]  # type: ignore[union-attr]
        assert offers[1] == {"xive": 0x40, "dual": 0x80, "xics": 0}[mode]
        assert machine.cas(mode != "xics") == 0
        after = machine.device_tree()
        found = [name for name, _ in after.walk() if "interrupt-controller" in name]
        assert found == ["/interrupt-controller" + ("" if mode == "xics" else "@60302031b0000")]
        servers = [node.properties.get("ibm,ppc-interrupt-server#s") for _, node in after.walk()]
        assert {struct.pack(">I", cpu.vcpu_id) for cpu in machine.cpus} <= set(servers)
        assert ("XIRR" in machine.pic()) is (mode == "xics")


def test_hypercalls_answer_as_on_the_model(qemu: QemuBinary) -> None:
    with LiveMachine(qemu, 2, "xive", timeout=20) as machine:
        cpu = machine.cpus[1]
        assert cpu.hcall("H_INT_GET_SOURCE_INFO", 0, 0) == (-2,), "not negotiated"
        machine.memory.write(FREE_RAM, struct.pack(">II", 0, 0xFFFFFFFF))
        assert machine.cpus[0].hcall("H_CAS", FREE_RAM, 0x200000, 0x40000)[0] == -1, "no processor that it knows"
        assert machine.cas() == 0
        assert cpu.hcall("H_INT_GET_SOURCE_INFO", 0, 1) == (0, 0, ESB + PAGES + 0x10000, ESB + PAGES, 16)
        assert cpu.hcall("H_INT_GET_SOURCE_INFO", 1, 1) == (-4,)
        assert cpu.hcall("H_INT_SYNC", 0, 0) == (0,)
        assert cpu.hcall(0x3D4, 7) == (-2,)
        with pytest.raises(LocalError, match="no hypercall 'H_XYZ'"):
            cpu.hcall("H_XYZ")


DMA_WINDOW = 0x80000000


def test_one_guest_program_gets_the_same_answers_on_both_machines(qemu: QemuBinary) -> None:
    """By name as by number: those that fail, that have results, and that have none."""

    def asks(cpu: Cpu) -> list[tuple[int, ...]]:
        cpu.memory.write(FREE_RAM, cas_area(True))
        return [
            cpu.hcall("H_CAS", FREE_RAM, 0x200000, 0x40000),
            cpu.hcall("H_PUT_TCE", DMA_WINDOW, 0x1000, 0x5003),
            cpu.hcall(0x1C, DMA_WINDOW, 0x1000),
            cpu.hcall("H_GET_TCE", DMA_WINDOW, 0x2000),
            cpu.hcall("H_GET_TCE", 0x12345, 0),
            cpu.hcall("H_STUFF_TCE", DMA_WINDOW, 0x1000, 0, 1),
            cpu.hcall("H_XIRR", *range(20)),
            cpu.hcall("H_INT_GET_QUEUE_INFO", 0, 0, 6),
            cpu.hcall(0x3D4, 7),
            cpu.hcall("H_PROD", 0),
            cpu.hcall("H_CAS", FREE_RAM, 0x200000, 0x40000),
        ]

    with PseriesMachine(2, "dual") as ours, LiveMachine(qemu, 2, "dual", timeout=20) as theirs:
        answers = asks(ours.cpus[0])
        assert asks(theirs.cpus[0]) == answers
        for machine in (ours, theirs):
            for wrong in ((-1,), (1 << 64,), (0, 0, 0, 0, 0, 0, 0, 0, 0, "a")):
                with pytest.raises(LocalError, match=r"a register holds 0 to 2\*\*64 - 1, not "):
                    machine.cpus[0].hcall(*("H_EOI", *wrong))
    assert answers[0] == (0,) and answers[2] == (0, 0x5003)
    assert all(len(one) == 1 for one in answers if one[0])


def ping(cpu: Cpu) -> Steps:
    """Set up a queue and an IPI, take ten, and send each on."""
    server, other = cpu.vcpu_id, 1 - cpu.vcpu_id
    queue = FREE_RAM + 0x10000 * (1 + server)
    assert cpu.hcall("H_INT_SET_QUEUE_CONFIG", 1, server, 6, queue, 16) == (0,)
    assert cpu.hcall("H_INT_SET_SOURCE_CONFIG", 2, server, server, 6, 0x10 + server) == (0,)
    cpu.load(ESB + server * PAGES + 0x10C00, 8)
    cpu.store(TIMA_OS + 0x11, 1, 0xFF)
    yield
    if server == 0:
        cpu.store(ESB + other * PAGES, 8, 0)
    taken = []
    while len(taken) < 10:
        yield WAIT
        assert cpu.load(TIMA_OS + 0x810, 2) == 0x8006
        taken.append(cpu.load(queue + 4 * len(taken), 4))
        cpu.load(ESB + server * PAGES + 0x10000, 8)
        cpu.store(TIMA_OS + 0x11, 1, 0xFF)
        if len(taken) < 10 or server == 1:
            cpu.store(ESB + other * PAGES, 8, 0)
    return taken


def test_guest_programs_run_on_it(qemu: QemuBinary) -> None:
    with LiveMachine(qemu, 2, "xive", timeout=20) as made:
        assert made.cas() == 0
        machine: Machine = made
        scheduler = Scheduler(machine)
        for cpu in (0, 1):
            scheduler.start(cpu, ping)
        scheduler.run()
        assert scheduler.faults == []
        assert scheduler.results == {0: [0x80000010] * 10, 1: [0x80000011] * 10}
        assert made.idle(0.01) is False


def rtas(machine: LiveMachine, cpu: int, token: int, *arguments: int, nret: int = 1) -> tuple[int, ...]:
    """A call as a guest makes it, with cells of its own."""
    cells = (token, len(arguments), nret, *arguments)
    machine.memory.write(CELLS, struct.pack(f">{len(cells)}I", *cells) + b"\xee" * 4 * nret)
    assert machine.cpus[cpu].hcall("H_RTAS", CELLS) == (0,)
    there = machine.memory.read(CELLS + 4 * len(cells), 4 * nret)
    assert there is not None
    return struct.unpack(f">{nret}i", there)


def test_guests_start_and_stop_cpus(qemu: QemuBinary) -> None:
    with LiveMachine(qemu, 3, "dual", 4, timeout=20) as machine:
        assert rtas(machine, 0, STOPPED_STATE, 4, nret=2) == (0, 0)
        assert rtas(machine, 0, START_CPU, 4, ENTRY, 0x55) == (0,)
        assert rtas(machine, 0, STOPPED_STATE, 4, nret=2) == (0, 2)
        assert machine.take_starts() == [Start(1, ENTRY, 0x55)]
        assert machine.take_starts() == []
        assert rtas(machine, 1, START_CPU, 0, ENTRY, 0) == (-1,), "it runs"
        assert rtas(machine, 1, START_CPU, 5, ENTRY, 0) == (-3,), "there is none"
        machine.memory.write(CELLS, struct.pack(">3I", STOP_SELF, 0, 0))
        assert not machine.is_stopped(1)
        assert machine.cpus[1].hcall("H_RTAS", CELLS) == (0,)
        assert machine.is_stopped(1)
        assert rtas(machine, 2, STOPPED_STATE, 4, nret=2) == (0, 0)
        assert rtas(machine, 2, START_CPU, 4, ENTRY, 1) == (0,)
        assert not machine.is_stopped(1)
        assert machine.cpus[1].load(FREE_RAM, 8) == 0


HIGH = 0xF << 60
"""Bits of an address that do not count for RTAS."""


def test_cpus_are_started_and_stopped_by_odd_calls_too(qemu: QemuBinary) -> None:
    """With arguments that stop-self does not have, and addresses whose highest bits are set."""

    def asks(machine: Machine) -> list[object]:
        first, second = machine.cpus
        starts = cast(StartsCpus, machine)
        said: list[object] = []
        for high, (nargs, nret) in zip((HIGH, 0, HIGH), ((1, 0), (0, 1), (16, 1)), strict=True):
            machine.memory.write(CELLS, struct.pack(">7i", START_CPU, 3, 1, 1, ENTRY, 0x55, 7))
            said.append(first.hcall("H_RTAS", CELLS | high))
            said.append(machine.memory.read(CELLS + 24, 4))
            said += [(start.index, start.address, start.argument) for start in starts.take_starts()]
            machine.memory.write(CELLS, struct.pack(">7i", STOP_SELF, nargs, nret, 0, 0, 0, 7))
            second.hcall("H_RTAS", CELLS | high)
            said += [starts.is_stopped(1), machine.memory.read(CELLS + 24, 4)]
        return said

    with PseriesMachine(2, "dual") as ours, LiveMachine(qemu, 2, "dual", timeout=20) as theirs:
        answers = asks(ours)
        assert asks(theirs) == answers
    assert answers[:5] == [(0,), bytes(4), (1, ENTRY, 0x55), True, struct.pack(">i", 7)]


def test_other_cpus_are_stopped_for_the_negotiation(qemu: QemuBinary) -> None:
    with LiveMachine(qemu, 4, "dual", timeout=20) as machine:
        for wanted in (True, False, True):
            assert [cpu.irq() for cpu in machine.cpus] == [False] * 4
            assert machine.cas(wanted) == 0
            assert ("XIRR" in machine.pic()) is not wanted


def test_reset(qemu: QemuBinary) -> None:
    with LiveMachine(qemu, 2, "dual", timeout=20) as machine:
        for _ in range(3):
            assert machine.cas() == 0
            assert machine.cpus[1].hcall("H_INT_SET_QUEUE_CONFIG", 1, 1, 6, FREE_RAM, 16) == (0,)
            machine.memory.write(FREE_RAM, b"kept")
            machine.reset()
            assert machine.memory.read(FREE_RAM, 4) == b"kept"
            assert "XIRR" in machine.pic()
            assert machine.device_tree().find("/chosen") is not None


def test_what_qemu_logs(qemu: QemuBinary) -> None:
    with LiveMachine(qemu, 1, "xive", traced=("xive_source_esb_write",), timeout=20) as machine:
        assert machine.cas() == 0
        machine.log()
        machine.cpus[0].store(ESB, 8, 7)
        machine.cpus[0].hcall("H_INT_SYNC", 0, 0x5000)
        lines = machine.log()
        assert any(line.startswith("xive_source_esb_write @0x0 ") and line.endswith("val=0x7") for line in lines)
        assert "XIVE: Unknown LISN 0000000000005000" in lines
        assert machine.log() == []


def test_memory_has_ends(qemu_7_ppc: QemuBinary) -> None:
    with LiveMachine(qemu_7_ppc, timeout=20) as machine:
        size = 256 << 20
        assert machine.memory.write(size - 2, b"ab") and machine.memory.read(size - 2, 2) == b"ab"
        for addr, length in ((size - 1, 2), (size, 1), (-1, 1), (1 << 64, 1)):
            assert machine.memory.read(addr, length) is None
        assert not machine.memory.write(size - 1, b"ab")


# What goes wrong


@pytest.mark.parametrize(
    ("vector_5", "words"),
    [
        (bytes([0] * 22 + [0xC0, 0x40]), "guest requested an invalid interrupt mode"),
        (bytes([0] * 22 + [0x40, 0x80]), "guest requested hash and radix MMU, which is invalid."),
        (bytes([0] * 22 + [0x00, 0x40]), "Guest requested unavailable interrupt mode (XICS)"),
    ],
)
def test_a_guest_that_ends_qemu(qemu: QemuBinary, vector_5: bytes, words: str) -> None:
    with LiveMachine(qemu, 1, "xive", timeout=20) as machine, pytest.raises(QemuError) as caught:
        machine.cas(vector_5)
    assert f"QEMU ended with 1; its last words: {words}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_qemu_is_killed(qemu_7_ppc: QemuBinary) -> None:
    with LiveMachine(qemu_7_ppc, 2, timeout=20) as machine:
        machine.batch([load(1, FREE_RAM, 8)])
        os.kill(machine.vm.pid, signal.SIGKILL)
        with pytest.raises(QemuError, match=r"^QEMU ended by SIGKILL; its last words: \S"):
            machine.batch([load(1, FREE_RAM, 8)] * 5000)
        with pytest.raises(QemuDied, match=r"^QEMU ended by SIGKILL; "):
            machine.pic()


@pytest.mark.parametrize("asks", [LiveMachine.pic, LiveMachine.reset])
@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGKILL, "by SIGKILL; "), (signal.SIGTERM, "with 0; .*signal 15")]
)
def test_qemu_is_killed_while_its_monitor_is_asked(
    qemu_7_ppc: QemuBinary, number: signal.Signals, words: str, asks: Callable[[LiveMachine], object]
) -> None:
    """Whatever the monitor says of that: why it hung up is what QEMU's end says."""
    with LiveMachine(qemu_7_ppc, 1, timeout=20) as machine:
        os.kill(machine.vm.pid, number)
        with pytest.raises(QemuDied, match=f"^QEMU ended {words}") as caught:
            while True:  # the signal may come later than the first answers
                asks(machine)
        assert caught.value.was_killed


def test_qemu_hangs(qemu_7_ppc: QemuBinary) -> None:
    with LiveMachine(qemu_7_ppc, 1, timeout=20) as machine:
        machine.mailbox.timeout = 0.3
        os.kill(machine.vm.pid, signal.SIGSTOP)
        with pytest.raises(QemuError, match=r"QEMU runs, but its CPUs did nothing for 0\.3 s$"):
            while True:  # its threads stop one after the other
                machine.batch([load(0, FREE_RAM, 8)])
        os.kill(machine.vm.pid, signal.SIGCONT)


def test_a_qemu_that_cannot(qemu_7_ppc: QemuBinary) -> None:
    with pytest.raises(QemuError, match=r"6\.1\.0 cannot run the agent: it takes .* 7\.2 or newer$"):
        LiveMachine(replace(qemu_7_ppc, version=(6, 1, 0)))
    with pytest.raises(QemuError, match=r"x86_64.* cannot run the agent"):
        LiveMachine(QemuBinary((9, 0, 0), "x86_64", qemu_7_ppc.path.with_name("qemu-system-x86_64")))
    with pytest.raises(QemuError, match=r'does not start: Bad value for "ic-mode" property$'):
        LiveMachine(qemu_7_ppc, ic_mode="xyz").__enter__()


def test_a_cpu_that_there_is_not(qemu_7_ppc: QemuBinary) -> None:
    with LiveMachine(qemu_7_ppc, 2, timeout=20) as machine:
        with pytest.raises(LocalError, match="no CPU 2; there are 0 to 1"):
            machine.batch([load(2, FREE_RAM, 8)])
        for wrong in ((FREE_RAM, 3), (FREE_RAM, 16)):
            with pytest.raises(LocalError, match="an access has 1, 2, 4 or 8 bytes"):
                machine.cpus[0].load(*wrong)
        with pytest.raises(LocalError, match="does not fit 1 bytes"):
            machine.cpus[0].store(FREE_RAM, 1, 256)
        assert machine.memory.read(STOP_CELLS, 1) is not None
