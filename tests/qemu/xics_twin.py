"""One pseries machine with XICS twice, in QEMU and in our model: CPUs and devices do the same to both.

Compared after every operation: results, XICS's trace lines, what QEMU logs of the guest's mistakes, and the interrupt
input of every CPU; exact text, exact order.
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from outboard.guest.ram import ram
from outboard.qemu import Qemu, QemuBinary, QemuCommand
from outboard.spapr import events, lisn, rtas, xics_hcalls
from outboard.spec.papr import RTAS_HCALL, XICS_HCALLS
from outboard.xics import Xics
from outboard.xive.events import Events
from tests.qemu import witnesses, xive_guest
from tests.qemu.xive_twin import monitor

T = TypeVar("T")
RAM_MIB = 256
OPCODES = {row.name: row.opcode for row in XICS_HCALLS}
START_CPU, WRITE_CONFIG, CHANGE_MSI = 0x2006, 0x2017, 0x2019
BUID = (0x0800_0000, 0x2000_0000)
SENDER, LINES, CLAIMER = 1, {2: 0x1202, 3: 0x1203}, 4
"""Slots of devices: one sends MSIs of any number, two have lines, one is there to have a number claimed."""
MSI, CLAIMED = 0x1300, 0x1301
REGISTERS_PCI, REGISTERS = 0x8000_0000, 0x2000_8000_0000
RAISE, ACKNOWLEDGE, ALL = 0x60, 0x64, 0xFFFFFFFF
MSI_CONTROL, MSI_DATA = 0x42, 0x4C
CELLS = 0x5000
PROGRAM, MAILBOXES = 0x7000, 0x8000
"""What CPUs but the first run, and where they look for work."""
FROM_R3 = 0x7C7F1B78  # mr r31, r3
LINE = re.compile(r"(?:\d+@\d+\.\d+:)?(.*)")
INPUT = re.compile(r"ppc_irq_set env \[(0x[0-9a-f]+)\] pin 0 level ([01])")
POINTER = re.compile(r"0x[0-9a-f]{6,}")
OURS = re.compile(r"xics_|spapr_rtas_call|Unimplemented|Invalid")


class Mailbox(xive_guest.Guest):
    """A further CPU, which finds its instructions in a mailbox of its own."""

    def __init__(self, vm: Qemu, cpu: int) -> None:
        super().__init__(vm)
        self.at = MAILBOXES + 0x100 * cpu

    def call(self, at: int, *registers: int, every_s: float = 0) -> list[int]:
        memory = self.vm.qtest
        values = [*registers, *(0,) * (len(xive_guest.REGISTERS) - len(registers))]
        memory.write(self.at + xive_guest.FIRST, struct.pack(f">{len(values)}Q", *values))
        memory.write(self.at, struct.pack(">I", at))
        deadline = time.monotonic() + xive_guest.TIMEOUT
        while memory.read(self.at, 4) != bytes(4):
            assert time.monotonic() < deadline, "the CPU does not answer"
        return list(struct.unpack(f">{len(values)}Q", memory.read(self.at + xive_guest.FIRST, 8 * len(values))))


class Model:
    """What the model's hypercalls want of a machine."""

    def __init__(self, vcpu_ids: list[int]) -> None:
        self.events = Events(events.FORMATS | rtas.FORMATS)
        self.xics: Xics | None = Xics(vcpu_ids, events=self.events)
        self.xive_negotiated = False
        self.memory = ram(RAM_MIB << 20)


class Pair:
    """A QEMU and a model that starts where it did."""

    def __init__(self, vm: Qemu, log: Path, vcpu_ids: list[int]) -> None:
        self.vm = vm
        self._file = log.open()
        self.ids = vcpu_ids
        self.model = Model(vcpu_ids)
        assert self.model.xics
        self.xics = self.model.xics
        for number, is_lsi in lisn.at_start(nr_servers=0):
            self.xics.claim(number, is_lsi)
        self.inputs = [False] * len(vcpu_ids)
        self._envs: dict[str, int] = {}
        self._printed: list[str] = []
        self._said: list[str] = []
        self.model.events.listen(self._hear)
        self.guests: list[xive_guest.Guest] = []
        self.up = dict.fromkeys(LINES, 0)
        self.aborts_at_strangers = False
        self.done = 0

    def _hear(self, event: str, values: tuple[Any, ...]) -> None:
        error = self.model.events.known[event].kind == xics_hcalls.ERROR
        (self._said if error else self._printed).append(self.model.events.line(event, values))

    def same_errors(self) -> list[str]:
        """What both said of the guest; QEMU on its standard error."""
        said = [line.partition(": ")[2] for line in self.vm.stderr.splitlines() if "must only be called" in line]
        assert said == self._said
        return said

    def logged(self) -> list[str]:
        """Lines of the log since the last call; the CPUs' inputs are kept up to date by them."""
        lines = [LINE.fullmatch(line.rstrip("\n"))[1] for line in self._file]  # type: ignore[index]
        for line in lines:
            if found := INPUT.fullmatch(line):
                self.inputs[self._envs.setdefault(found[1], len(self._envs))] = found[2] == "1"
        return [line for line in lines if OURS.match(line)]

    def both(self, what: str, real: Callable[[], T], model: Callable[[], T]) -> T:
        """Do it to both and compare; the result."""
        self._printed.clear()
        theirs = real()
        ours = model()
        logged = self.logged()
        assert self._printed == logged, "\n  ".join([f"{what}: the model prints", *self._printed, "and QEMU", *logged])
        assert ours == theirs, f"{what}: the model gives {ours!r}, QEMU {theirs!r}"
        assert [self.xics.irq(cpu) for cpu in range(len(self.ids))] == self.inputs, what
        self.done += 1
        return theirs

    # The machine

    def start(self) -> None:
        """Start all CPUs, and learn in what order QEMU's log has them."""
        self.guests = [xive_guest.Guest(self.vm), *(Mailbox(self.vm, cpu) for cpu in range(1, len(self.ids)))]
        loop = [FROM_R3, *xive_guest.LOOP, 0x48000000 | -4 * len(xive_guest.LOOP) & 0x3FFFFFC]
        self.vm.qtest.write(PROGRAM, struct.pack(f">{len(loop)}I", *loop))
        for cpu in range(1, len(self.ids)):
            self.vm.qtest.write(MAILBOXES + 0x100 * cpu, bytes(4))
            assert self.guests[0].rtas(START_CPU, (self.ids[cpu], PROGRAM, MAILBOXES + 0x100 * cpu), 1) == (0,)
        for cpu, vcpu_id in enumerate(self.ids):
            self.hcall(cpu, "H_CPPR", 0xFF)
            self.hcall(cpu, "H_IPI", vcpu_id, 4)
            assert self.inputs[cpu]
            self.hcall(cpu, "H_IPI", vcpu_id, 0xFF)
            self.hcall(cpu, "H_EOI", self.hcall(cpu, "H_XIRR")[1])

    def devices(self) -> None:
        """Give the devices their registers; the sender has MSIs."""
        for slot in (SENDER, *LINES, CLAIMER):
            self.configure(slot, 0x10, 4, REGISTERS_PCI + (slot << 20))
            self.configure(slot, 0x04, 2, 0x6)
        self.claim(SENDER, MSI)
        self.configure(SENDER, MSI_CONTROL, 2, 1)

    def reset(self) -> None:
        """Reset the machine; its CPUs and devices are to be started again."""

        def real() -> None:
            self.vm.qmp.command("system_reset")
            self.vm.qmp.wait_event("RESET")
            self.inputs = [False] * len(self.ids)  # a CPU's reset is not in the log

        def model() -> None:
            for slot, up in self.up.items():
                self.up[slot] = 0
                if up:  # PCI devices let go first
                    self.xics.set_irq(LINES[slot], 0)
            self.xics.reset()
            for number in (MSI, CLAIMED):
                if self.xics.is_claimed(number):
                    self.xics.free(number)

        self.both("reset", real, model)

    def choose_xics(self) -> None:
        """Negotiate again, as `Guest.negotiate` does, without XIVE exploitation."""
        vector_5 = xive_guest.VECTORS + 6 * 4 + 1 + 4 * 2 + 1
        self.vm.qtest.write(vector_5 + 22, b"\0")
        found = self.guests[0].hcall(xive_guest.H_CAS, xive_guest.VECTORS, xive_guest.TREE, xive_guest.TREE_SIZE)
        assert found[0] == 0
        self.model.xive_negotiated = False

    def same_pic(self) -> str:
        """`info pic` of both, with QEMU's pointers replaced."""
        return self.both("info pic", lambda: POINTER.sub("0x1", monitor(self.vm, "info pic")), self.xics.pic)

    # CPUs

    def hcall(self, cpu: int, name: str | int, *arguments: int) -> tuple[int, ...]:
        """The status and the registers. Registers without a result keep what they had; nobody knows the clock."""
        opcode = OPCODES[name] if isinstance(name, str) else name

        def real() -> tuple[int, ...]:
            found = self.guests[cpu].hcall(opcode, *arguments)
            return (*found[:2], 0, *found[3:]) if name == "H_XIRR_X" and found[0] == 0 else found

        def model() -> tuple[int, ...]:
            calls = rtas if opcode == RTAS_HCALL.opcode else xics_hcalls
            status, *results = calls.dispatch(self.model, cpu, False, opcode, arguments)
            kept = [*arguments, *(0,) * (9 - len(arguments))][len(results) :]
            return status, *results, *kept

        return self.both(f"CPU {cpu}: {name}{arguments}", real, model)

    def rtas(
        self, cpu: int, token: int, *arguments: int, nargs: int | None = None, nret: int = 1, at: int = CELLS
    ) -> tuple[int, ...]:
        """A call with cells that both have; the cells behind the arguments."""
        cells = struct.pack(
            f">{3 + len(arguments)}I", token, len(arguments) if nargs is None else nargs, nret, *arguments
        )
        cells = cells.ljust(64, b"\xee")
        self.vm.qtest.write(CELLS, cells)
        self.model.memory.write(CELLS, cells)
        self.hcall(cpu, RTAS_HCALL.opcode, at)
        theirs = self.vm.qtest.read(CELLS, 64)
        ours = self.model.memory.read(CELLS, 64)
        assert ours == theirs, f"cells of RTAS {token:#x}{arguments}"
        return struct.unpack_from(f">{nret}I", theirs, 12 + 4 * len(arguments))

    # Devices

    def configure(self, slot: int, register: int, size: int, value: int) -> None:
        found = self.guests[0].rtas(WRITE_CONFIG, (slot << 11 | register, *BUID, size, value), 1)
        assert found == (0,)

    def register(self, slot: int, register: int) -> None:
        self.vm.qtest.store(REGISTERS + (slot << 20) + register, 4, ALL)

    def claim(self, slot: int, number: int) -> None:
        self._change(slot, 1, lambda: self.xics.claim(number))

    def free(self, slot: int, number: int) -> None:
        self._change(slot, 0, lambda: self.xics.free(number))

    def _change(self, slot: int, count: int, model: Callable[[], str | None]) -> None:
        call = (slot << 11, *BUID, 3, count, 0)
        self.both("change-msi", lambda: None if self.guests[0].rtas(CHANGE_MSI, call, 3)[0] == 0 else "refused", model)

    def pulse(self, number: int) -> None:
        self.configure(SENDER, MSI_DATA, 2, number)
        self.both(f"MSI {number:#x}", lambda: self.register(SENDER, RAISE), lambda: self.xics.pulse(number))

    def level(self, slot: int, level: int) -> None:
        """Set a line. What does not change it is not passed on."""
        changes, self.up[slot] = self.up[slot] != level, level
        self.both(
            f"slot {slot}: line {level}",
            lambda: self.register(slot, RAISE if level else ACKNOWLEDGE),
            lambda: self.xics.set_irq(LINES[slot], level) if changes else None,
        )


@contextmanager
def pair(binary: QemuBinary, folder: Path, cpus: int, machine: str) -> Iterator[Pair]:
    """A machine and its model."""
    log = folder / "qemu.log"
    words = ["-M", machine, "-d", "guest_errors,unimp", "-D", str(log), "-trace", "xics_*", "-trace", "ppc_irq_set"]
    words += [word for slot in (SENDER, *LINES, CLAIMER) for word in ("-device", f"edu,addr={slot:02x}.0")]
    vsmt = int((re.findall(r"vsmt=(\d+)", machine) or ["1"])[0])
    extra = (*words, *xive_guest.words(folder))
    with Qemu(QemuCommand(binary, memory_mib=RAM_MIB, smp=cpus, qtest=True, extra=extra)) as vm:
        witnesses.hear("QEMU", vm.report)
        made = Pair(vm, log, [cpu * vsmt for cpu in range(cpus)])
        made.aborts_at_strangers = "dual" in machine
        if "=xive" in machine:
            made.model.xics, made.guests = None, [xive_guest.Guest(vm)]
            yield made
        else:
            made.same_pic()
            made.start()
            yield made
            made.same_pic()
        assert made.logged() == []
        assert vm.quit() == 0
