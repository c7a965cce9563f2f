"""Many operations at once: arrays of operations in, an array of answers out. For replay, exploration, measurement.

Compiled, a batch runs without making a Python object for each operation.
"""

from array import array
from enum import IntEnum

from outboard.errors import LocalError
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
_M64 = 0xFFFFFFFF_FFFFFFFF


class Batch:
    """A sequence of operations, column by column.

    ops: kinds (`Op`, bytes); cpus: 16 bits, who does it; sizes: bytes of an access (bytes); addrs: 64 bits, address of
    an access, LISN of SET_IRQ, number of a hypercall; values: 64 bits, what is stored, level of SET_IRQ, for a
    hypercall the number of its row in `registers`; registers: 64 bits, R4 to R12 row by row. All are buffers as `array`
    or numpy have them. Raises LocalError when the columns are not equally long.
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
        self.length = len(ops)
        columns = {"cpus": cpus, "sizes": sizes, "addrs": addrs, "values": values}
        for name, column in columns.items():
            if len(column) != self.length:
                raise LocalError(f"a batch of {self.length} operations has {len(column)} {name}")
        if registers is not None and len(registers) % REGISTERS:
            raise LocalError(f"registers come in rows of {REGISTERS}, got {len(registers)}")
        self.ops = ops
        self.cpus = cpus
        self.sizes = sizes
        self.addrs = addrs
        self.values = values
        self.registers = array("Q", [0]) if registers is None else registers
        self.rows = 0 if registers is None else len(registers) // REGISTERS

    def run(self, xive: SpaprXive) -> "array[int]":
        """Do all operations in order; return an answer for each.

        A load's answer is its value, IRQ's 0 or 1, a hypercall's R3 as 64 bits (its row of `registers` becomes what R4
        to R12 hold then); the others answer 0. Raises LocalError, before anything is done, when an operation is none
        that there is.
        """
        self._check(xive)
        answers = array("Q", [0]) * self.length
        self._run(xive, xive.bus, xive.presenter, answers)
        return answers

    def _check(self, xive: SpaprXive) -> None:
        self.plugged = xive.presenter.tables()["enabled"]
        ops, cpus, sizes, values, plugged = self.ops, self.cpus, self.sizes, self.values, self.plugged
        threads = len(plugged)
        known = 1 << 16  # the CPU that was looked up last; a column holds none like this
        for at in range(self.length):
            op, cpu = ops[at], cpus[at]
            if cpu != known:
                if cpu >= threads or not plugged[cpu]:
                    self._refuse(xive, at)
                known = cpu
            if op <= _STORE:
                size = sizes[at]
                if size > 8 or not _SIZES >> size & 1 or (op and values[at] >> 4 * size >> 4 * size):
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

    def _run(self, xive: SpaprXive, bus: Bus, presenter: Presenter, answers: "array[int]") -> None:
        ops, cpus, sizes, addrs, values = self.ops, self.cpus, self.sizes, self.addrs, self.values
        for at in range(self.length):
            op, cpu = ops[at], cpus[at]
            if op == _LOAD:
                answers[at] = bus.load(cpu, addrs[at], sizes[at])
            elif op == _STORE:
                bus.store(cpu, addrs[at], sizes[at], values[at])
            elif op == _IRQ:
                answers[at] = presenter.lines[cpu] & _EXTERNAL
            elif op == _SET_IRQ:
                xive.set_irq(addrs[at], values[at] != 0)
            else:
                answers[at] = self._hcall(xive, cpu, at)

    def _hcall(self, xive: SpaprXive, cpu: int, at: int) -> int:
        row = self.values[at] * REGISTERS
        arguments = [self.registers[row + number] for number in range(REGISTERS)]
        status, *results = xive.cpus[cpu].hcall(self.addrs[at], *arguments)
        for number, result in enumerate(results):
            self.registers[row + number] = result
        return status & _M64
