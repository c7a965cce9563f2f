"""Many operations at once: arrays of operations in, an array of answers out. For replay, exploration, measurement.

Compiled, a batch runs without making a Python object for each operation.
"""

from array import array
from enum import IntEnum
from typing import Any

import outboard.guest.columns as columns
from outboard.errors import LocalError
from outboard.spapr.arguments import ALL_ONES
from outboard.spapr.bus import Bus
from outboard.spapr.xive import SpaprXive
from outboard.xive.presenter import EXTERNAL, Presenter


class Op(IntEnum):
    """Kinds of operations."""

    LOAD = 0
    STORE = 1
    IRQ = 2
    SET_IRQ = 3
    HCALL = 4


_LOAD, _STORE, _IRQ, _SET_IRQ, _HCALL = Op
_SIZES = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 8
_EXTERNAL = EXTERNAL
REGISTERS = 9
"""R4 to R12."""
_UNSIGNED = ("B", "H", "L", "Q")


def _column(name: str, numbers: Any, size: int, writable: bool = False) -> memoryview:
    """Return a column of unsigned numbers of `size` bytes. Raises LocalError when it is none."""
    try:
        column = memoryview(numbers)
    except TypeError:
        raise LocalError(f"{name} of a batch are a buffer, not {type(numbers).__name__}") from None
    if column.format not in _UNSIGNED or column.itemsize != size or column.ndim != 1 or not column.contiguous:
        raise LocalError(f"{name} of a batch are unsigned numbers of {8 * size} bits in a row, not {column.format!r}")
    if writable and column.readonly:
        raise LocalError(f"{name} of a batch are written to")
    return column


class Batch:
    """A sequence of operations, column by column.

    ops: kinds (`Op`, bytes); cpus: 16 bits, who does it; sizes: bytes of an access (bytes); addrs: 64 bits, address of
    an access, LISN of SET_IRQ, number of a hypercall; values: 64 bits, what is stored, level of SET_IRQ, for a
    hypercall the number of its row in `registers`; registers: 64 bits, R4 to R12 row by row. All are buffers as `array`
    or numpy have them, of unsigned numbers. Raises LocalError when they are not, or when the columns are not equally
    long.
    """

    def __init__(
        self,
        ops: bytearray,
        cpus: "array[int]",
        sizes: bytearray,
        addrs: "array[int]",
        values: "array[int]",
        registers: "array[int] | None" = None,
    ) -> None:
        self.ops, self.length = _column("ops", ops, 1), len(ops)
        self.cpus, self.sizes = _column("cpus", cpus, 2), _column("sizes", sizes, 1)
        self.addrs, self.values = _column("addrs", addrs, 8), _column("values", values, 8)
        for name, column in {"cpus": cpus, "sizes": sizes, "addrs": addrs, "values": values}.items():
            if len(column) != self.length:
                raise LocalError(f"a batch of {self.length} operations has {len(column)} {name}")
        self.registers = _column("registers", array("Q") if registers is None else registers, 8, writable=True)
        if len(self.registers) % REGISTERS:
            raise LocalError(f"registers come in rows of {REGISTERS}, got {len(self.registers)}")
        self.rows = len(self.registers) // REGISTERS

    def run(self, xive: SpaprXive) -> "array[int]":
        """Do all operations in order; return an answer for each.

        A load's answer is its value, IRQ's 0 or 1, a hypercall's R3 as 64 bits (its row of `registers` becomes what R4
        to R12 hold then); the others answer 0. Raises LocalError, before anything is done, when an operation is none
        that there is.
        """
        self._check(xive)
        answers = array("Q", [0]) * self.length
        self._run(xive, xive.bus, xive.presenter, memoryview(answers))
        return answers

    def _check(self, xive: SpaprXive) -> None:
        self.plugged = xive.presenter.tables()["enabled"]
        ops, cpus, sizes, values, plugged = self.ops, self.cpus, self.sizes, self.values, self.plugged
        threads = len(plugged)
        known = 1 << 16  # the CPU that was looked up last; a column holds none like this
        for at in range(self.length):
            op, cpu = columns.u8(ops, at), columns.u16(cpus, at)
            if cpu != known:
                if cpu >= threads or not plugged[cpu]:
                    self._refuse(xive, at)
                known = cpu
            if op <= _STORE:
                size = columns.u8(sizes, at)
                if size > 8 or not _SIZES >> size & 1:
                    self._refuse(xive, at)
                if op == _STORE and columns.u64(values, at) >> 4 * size >> 4 * size:
                    self._refuse(xive, at)
            elif op > _HCALL or (op == _HCALL and values[at] >= self.rows):
                self._refuse(xive, at)
            elif op == _SET_IRQ and not xive.is_claimed(self.addrs[at]):
                raise LocalError(f"operation {at}: LISN {self.addrs[at]:#x} is not claimed; a device cannot raise it")

    def _refuse(self, xive: SpaprXive, at: int) -> None:
        op, cpu, size = self.ops[at], self.cpus[at], self.sizes[at]
        if op > _HCALL:
            raise LocalError(f"operation {at}: no kind {op}; kinds are 0 to {int(_HCALL)}")
        if cpu >= len(xive.cpus) or not self.plugged[cpu]:
            raise LocalError(f"operation {at}: CPU {cpu} is not plugged")
        if op == _HCALL:
            raise LocalError(f"operation {at}: row {self.values[at]} of registers; there are {self.rows}")
        if size not in (1, 2, 4, 8):
            raise LocalError(f"operation {at}: an access has 1, 2, 4 or 8 bytes, not {size}")
        raise LocalError(f"operation {at}: {self.values[at]:#x} does not fit {size} bytes")

    def _run(self, xive: SpaprXive, bus: Bus, presenter: Presenter, answers: memoryview) -> None:
        ops, cpus, sizes, addrs, values = self.ops, self.cpus, self.sizes, self.addrs, self.values
        for at in range(self.length):
            op, cpu, addr = columns.u8(ops, at), columns.u16(cpus, at), columns.u64(addrs, at)
            if op == _LOAD:
                columns.set_u64(answers, at, bus.load(cpu, addr, columns.u8(sizes, at)))
            elif op == _STORE:
                bus.store(cpu, addr, columns.u8(sizes, at), columns.u64(values, at))
            elif op == _IRQ:
                answers[at] = presenter.lines[cpu] & _EXTERNAL
            elif op == _SET_IRQ:
                xive.set_irq(addr, values[at] != 0)
            else:
                answers[at] = self._hcall(xive, cpu, at)

    def _hcall(self, xive: SpaprXive, cpu: int, at: int) -> int:
        row = self.values[at] * REGISTERS
        arguments = [self.registers[row + number] for number in range(REGISTERS)]
        status, *results = xive.cpus[cpu].hcall(self.addrs[at], *arguments)
        for number, result in enumerate(results):
            self.registers[row + number] = result
        return status & ALL_ONES
