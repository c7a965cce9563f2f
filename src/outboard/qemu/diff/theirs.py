"""QEMU's side: the same steps on a live machine with four `edu` devices and one that sends MSIs.

Sources: QEMU docs/specs/edu; LoPAPR, "RTAS" (PCI configuration, ibm,change-msi).
"""

import re
import struct
from collections.abc import Sequence

from outboard.qemu.agent import IRQ_AFTER, IRQ_BEFORE, Do, Operation, Result
from outboard.qemu.diff.ours import CELLS_SIZE, Done, packed_cells, without_clock
from outboard.qemu.diff.steps import Step
from outboard.qemu.failure import QemuError
from outboard.qemu.find import QemuBinary
from outboard.qemu.live import LiveMachine
from outboard.qemu.live_cpu import load, rtas, rtas_returned, store
from outboard.spec.papr import PCI_RTAS_CALLS, RTAS_HCALL

CALLS = {row.name: row.token for row in PCI_RTAS_CALLS}
SLOTS = (2, 3, 4, 5)
"""PCI slots of devices 0 to 3: slots 2 and 3 have the lines 0x1202 and 0x1203."""
SENDER = 1
"""Slot of the device that sends MSIs of any number."""
BUID = (0x0800_0000, 0x2000_0000)
REGISTERS_PCI, REGISTERS = 0x8000_0000, 0x2000_8000_0000
"""Where the devices' registers are, on the PCI bus and for CPUs; each has 1 MiB."""
BAR_0, COMMAND, MSI_CONTROL, MSI_DATA = 0x10, 0x04, 0x42, 0x4C
MEMORY_AND_MASTER, MSI_ON, ONLY_MSI = 0x6, 1, 3
RAISE, ACKNOWLEDGE, ALL = 0x60, 0x64, 0xFFFFFFFF
_POINTER = re.compile(r"0x[0-9a-f]{6,}")
_NOT_AVAILABLE = re.compile(r"Interrupt controller information not available for .*\n")
"""QEMU 9 and later say this for every CPU of a machine whose controller was shown above."""


def _configure(cpu: int, slot: int, register: int, size: int, value: int) -> Operation:
    return rtas(cpu, CALLS["ibm,write-pci-config"], (slot << 11 | register, *BUID, size, value), 1)


def _register(cpu: int, slot: int, register: int) -> Operation:
    return store(cpu, REGISTERS + (slot << 20) + register, 4, ALL)


def _change_msi(cpu: int, slot: int, count: int) -> Operation:
    return rtas(cpu, CALLS["ibm,change-msi"], (slot << 11, *BUID, ONLY_MSI, count, 0), 3)


class Theirs:
    """A QEMU, as a context manager."""

    def __init__(self, binary: QemuBinary, cpus: int, mode: str, vsmt: int, timeout: float) -> None:
        words = [word for slot in (SENDER, *SLOTS) for word in ("-device", f"edu,addr={slot:02x}.0")]
        self.live = LiveMachine(binary, cpus, mode, vsmt, words, logged="", timeout=timeout)

    def __enter__(self) -> "Theirs":
        self.live.__enter__()
        self._devices()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.live.__exit__()

    def _devices(self) -> None:
        """What firmware does for the devices: registers, DMA, an MSI for the one that sends them."""
        operations = [_change_msi(0, SENDER, 1), _configure(0, SENDER, MSI_CONTROL, 2, MSI_ON)]
        for slot in (SENDER, *SLOTS):
            operations.append(_configure(0, slot, BAR_0, 4, REGISTERS_PCI + (slot << 20)))
            operations.append(_configure(0, slot, COMMAND, 2, MEMORY_AND_MASTER))
        msi, *configured = self.live.batch(operations)
        if rtas_returned(msi, 3)[:2] != (0, 1) or any(rtas_returned(result, 1) != (0,) for result in configured):
            raise QemuError("the machine's devices cannot be set up: an RTAS call failed")

    # The machine

    def change(self, step: Step) -> None:
        """Do what concerns the whole machine: `cas` or `reset`."""
        if step.kind == "cas":
            status = self.live.cas(bool(step.values[0]))
            if status:
                raise QemuError(f"the negotiation of the interrupt mode failed with {status}")
            return
        self.live.reset()
        self._devices()

    def operations(self, done: Done) -> list[Operation]:
        """Return what the CPUs have to do for it."""
        kind, values, _ = done.step
        cpu = values[0]
        if kind == "hcall":
            return [Operation(Do.HCALL, cpu, values[1:])]
        if kind == "load":
            return [load(*values)]
        if kind == "store":
            return [store(*values)]
        if kind == "rtas":
            return [Operation(Do.HCALL, cpu, (RTAS_HCALL.opcode, 0), packed_cells(*values[1:]))]
        if kind == "pulse":
            return [_configure(cpu, SENDER, MSI_DATA, 2, values[1]), _register(cpu, SENDER, RAISE)]
        if kind == "line":
            return [_register(cpu, SLOTS[values[1]], RAISE if values[2] else ACKNOWLEDGE)]
        if kind in ("claim", "free"):
            return [_change_msi(cpu, SLOTS[values[1]], int(kind == "claim"))]
        return [Operation(Do.NOTHING, cpu)]

    def done(self, expected: Done, results: Sequence[Result]) -> Done:
        """Return what came of it."""
        first, last = results[0], results[-1]
        before, after = int(first.flags & IRQ_BEFORE != 0), int(last.flags & IRQ_AFTER != 0)
        return Done(expected.step, self._answer(expected.step, last), before, after)

    def _answer(self, step: Step, result: Result) -> tuple[int, ...]:
        if step.kind == "hcall":
            return without_clock(step.values[1], result.registers)
        if step.kind == "load":
            return result.registers[:1]
        if step.kind == "rtas":
            return result.registers[0], *struct.unpack(f">{CELLS_SIZE // 4}I", result.cells)
        if step.kind in ("claim", "free"):
            return rtas_returned(result, 3)[:2]
        return ()

    # Pictures

    def pic(self) -> str:
        """Return `info pic`; pointers are 0x1, as the model has them."""
        return _NOT_AVAILABLE.sub("", _POINTER.sub("0x1", self.live.pic()))

    def clear(self, addr: int, length: int) -> None:
        """Clear a part of the RAM."""
        self.live.memory.write(addr, bytes(length))

    def read(self, addr: int, length: int) -> bytes:
        """Return a part of the RAM."""
        return self.live.memory.read(addr, length) or b""
