"""The model's side: each step becomes what a CPU or a device does, and what came of it.

Source: the models in `spapr`, `xive`, `xics`.
"""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

import outboard.spapr.rtas as rtas
import outboard.spapr.xics_hcalls as xics_hcalls
from outboard.guest.ram import ram
from outboard.qemu.diff.steps import HCALLS, Step
from outboard.spapr.flavours import QEMU_7_2, Flavour
from outboard.spapr.irq import SpaprIrq
from outboard.spapr.modes import IcMode
from outboard.spapr.numbers import VIO_FIRST_REG
from outboard.spec.papr import RTAS_HCALL, XICS_FIRST, XICS_HCALLS, XIVE_HCALLS, H
from outboard.xics.icp import EXTERNAL, Lines

MASK = (1 << 64) - 1
REGISTERS_LEFT = 9
"""R4 to R12: those without a result keep what they had."""
CELLS, CELLS_SIZE = 0x5000, 80
FILL = b"\xee"
LINES = (0x1202, 0x1203)
"""LISNs of the devices' lines."""
XIVE_OPCODES = {row.opcode for row in XIVE_HCALLS}
XICS_OPCODES = {row.opcode for row in XICS_HCALLS}
CLOCK = HCALLS["H_XIRR_X"]
"""The call whose second result nobody knows."""


class Done(NamedTuple):
    """One thing that was done: a step that QEMU can do too, what it answered, and the CPU's input before and after.

    cells: of an RTAS call, as they were before.
    """

    step: Step
    answer: tuple[int, ...]
    before: int
    after: int
    cells: bytes = b""


def packed_cells(token: int, nargs: int, nret: int, *arguments: int) -> bytes:
    """Return the cells of an RTAS call, and the same room behind them for any answer."""
    return struct.pack(f">{3 + len(arguments)}I", token, nargs, nret, *arguments).ljust(CELLS_SIZE, FILL)


def without_clock(opcode: int, answer: tuple[int, ...]) -> tuple[int, ...]:
    """Return the registers of a hypercall without what is the host's time."""
    return (*answer[:2], 0, *answer[3:]) if opcode == CLOCK and answer[0] == 0 else answer


class Ours:
    """A model of a machine with devices, as `theirs.Theirs` has them."""

    def __init__(self, cpus: int, mode: IcMode | str, vsmt: int, ram_size: int, flavour: Flavour = QEMU_7_2) -> None:
        self.cpus = cpus
        self.mode = IcMode(mode)
        self.memory = ram(ram_size)
        self.irq = SpaprIrq(self.mode, cpus, vsmt=vsmt, memory=self.memory, flavour=flavour)
        for number in range(2):
            self.irq.connect_vio(VIO_FIRST_REG + number)
        self.irq.connect_phb(0)
        self.lines: Lines = bytearray() if self.irq.xics is None else self.irq.xics.icp.lines
        if self.irq.xive:
            self.lines = self.irq.xive.presenter.tables()["lines"]
        self._does: dict[str, Callable[..., tuple[int, ...] | None]] = {
            kind: getattr(self, f"_{kind}") for kind in "hcall load store rtas irq pulse line claim free".split()
        }
        self._devices()

    def _devices(self) -> None:
        """What firmware does for the devices: 0 and 1 have lines, 2 and 3 may have MSIs, a fifth one sends MSIs."""
        self.up = [0, 0]
        self.msis: dict[int, int] = {}
        self.irq.allocate_msis(1, msix=False)

    # The machine

    def can(self, step: Step) -> bool:
        """Return whether QEMU can do it: it ends itself where it cannot."""
        if step.kind == "pulse":
            return self._is_claimed(step.values[1])
        if step.kind == "claim":
            return step.values[1] not in self.msis
        if step.kind == "free":
            return step.values[1] in self.msis
        if step.kind == "cas":
            return self.mode.has_xive if step.values[0] else self.mode.has_xics
        return True

    def _is_claimed(self, lisn: int) -> bool:
        controller = self.irq.xics or self.irq.xive
        assert controller is not None
        return XICS_FIRST <= lisn < XICS_FIRST + 0x1000 and controller.is_claimed(lisn)

    def change(self, step: Step) -> None:
        """Do what concerns the whole machine: `cas` or `reset`."""
        if step.kind == "cas":
            self.irq.update_active(bool(step.values[0]))
            return
        for device, level in enumerate(self.up):
            if level:
                self.irq.set_irq(LINES[device], 0)
        self.irq.reset()
        self._devices()

    def perform(self, step: Step) -> Iterator[Done]:
        """Do a step of a CPU, as often as it says."""
        if step.kind == "take":
            for _ in range(step.times):
                yield from self._take(step.values[0])
            return
        once = step._replace(times=1)
        for _ in range(step.times):
            yield self._once(once)

    def _once(self, step: Step) -> Done:
        cpu = step.values[0]
        before = self.lines[cpu] & EXTERNAL
        answer = self._does[step.kind](*step.values) or ()
        return Done(step, answer, before, self.lines[cpu] & EXTERNAL)

    def _take(self, cpu: int) -> Iterator[Done]:
        first = self._once(Step("hcall", (cpu, HCALLS["H_XIRR"])))
        yield first
        yield self._once(Step("hcall", (cpu, HCALLS["H_EOI"], first.answer[1])))

    # What a CPU does

    def _load(self, cpu: int, addr: int, size: int) -> tuple[int, ...]:
        if self.irq.xive:
            return (self.irq.xive.cpus[cpu].load(addr, size),)
        return (self.memory.load(addr, size),)

    def _store(self, cpu: int, addr: int, size: int, value: int) -> None:
        if self.irq.xive:
            self.irq.xive.cpus[cpu].store(addr, size, value)
        else:
            self.memory.store(addr, size, value)

    def _irq(self, cpu: int) -> None:
        """Its lines are looked at with every step."""

    def _hcall(self, cpu: int, opcode: int, *arguments: int) -> tuple[int, ...]:
        if opcode in XICS_OPCODES:
            answer = xics_hcalls.dispatch(self.irq, cpu, False, opcode, arguments)
        elif self.irq.xive:
            answer = self.irq.xive.hcall(cpu, opcode, *arguments)
        else:
            answer = (int(H.FUNCTION),)
        kept = (*arguments, *(0,) * (REGISTERS_LEFT - len(arguments)))[len(answer) - 1 :]
        return without_clock(opcode, (answer[0] & MASK, *answer[1:], *kept))

    def _rtas(self, cpu: int, token: int, nargs: int, nret: int, *arguments: int) -> tuple[int, ...]:
        self.memory.write(CELLS, packed_cells(token, nargs, nret, *arguments))
        machine = _RtasMachine(self)
        status = rtas.dispatch(machine, cpu, False, RTAS_HCALL.opcode, (CELLS,))[0]
        return status & MASK, *struct.unpack(f">{CELLS_SIZE // 4}I", self.memory.read(CELLS, CELLS_SIZE) or b"")

    # What devices do

    def _pulse(self, cpu: int, lisn: int) -> None:
        self.irq.pulse(lisn)

    def _line(self, cpu: int, device: int, level: int) -> None:
        if self.up[device] != level:  # what does not change a line is not passed on
            self.up[device] = level
            self.irq.set_irq(LINES[device], level)

    def _claim(self, cpu: int, device: int) -> tuple[int, ...]:
        first = self.irq.allocate_msis(1, msix=False)
        assert first is not None
        self.msis[device] = first
        return 0, 1

    def _free(self, cpu: int, device: int) -> tuple[int, ...]:
        self.irq.release_msis(self.msis.pop(device))
        return 0, 0

    # Pictures

    def pic(self) -> str:
        """Return `info pic`."""
        return self.irq.pic()

    def clear(self, addr: int, length: int) -> None:
        """Clear a part of the RAM."""
        self.memory.write(addr, bytes(length))

    def read(self, addr: int, length: int) -> bytes:
        """Return a part of the RAM."""
        return self.memory.read(addr, length) or b""


class _RtasMachine:
    """What RTAS wants of the machine."""

    def __init__(self, ours: Ours) -> None:
        self.memory = ours.memory
        self.events = ours.irq.events
        self.xics = ours.irq.xics
        self.xive_negotiated = ours.irq.xive_negotiated
