"""The words in guest memory by which a host program and the agent on a machine's CPUs talk.

Sources: `agent.S`, which has the same layout; Power ISA 3.0, Book II, "Storage Model".

One writer for each word: the host writes slots of a ring and then how many there are; the CPUs do them in this order,
each the ones that name it, write results into the slots and then how many are done. Both sides look again and again.
"""

import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

import outboard.guest.atomics as atomics
from outboard.errors import LocalError
from outboard.qemu.failure import QemuError

MAILBOX, RING = 0x4000, 0x100000
"""Guest addresses."""
HEAD, DONE, READY, TREE, FAULT = range(5)
"""Words of 64 bits of the mailbox; FAULT has three more: SRR0, SRR1, CPU."""
SLOT, SLOTS = 256, 4096
"""Bytes of a slot, slots of the ring."""
CELLS, CELLS_SIZE = 0xB0, 80
"""Room for the cells of an RTAS call: offset in the slot, bytes."""
REGISTERS = 10
"""R3 to R12 before and after."""
IS_READY = int.from_bytes(b"OUTBOARD", "big")
IRQ_BEFORE, IRQ_AFTER, MACHINE_CHECK = 1, 2, 4
"""Flags of a result: whether the CPU's external input was raised; whether the access got a machine check, as QEMU 9 and
later have it where nothing is. Its value is 0 then."""

AT_ONCE = SLOTS // 2
"""Operations that are handed over together; the next are written while these are done."""
LOOKS = 300
"""How often the count is looked at before the first pause."""
PAUSE_S, PAUSE_MAX_S = 20e-6, 1e-3

_REQUEST = struct.Struct(f">IIQ{REGISTERS}Q")
_RESULT = struct.Struct(f">I84x{REGISTERS}Q")
_FLAGS = 8
_NONE = (0,) * REGISTERS
_WORD = 0xFFFFFFFFFFFFFFFF


class Do(IntEnum):
    """What a CPU can do. R3 and up before; R3 and up after."""

    NOTHING = 0
    HCALL = 1
    """All of R3 to R12; R3 is the opcode, and afterwards the status."""
    LOAD_1 = 2
    """R3: address; afterwards the value."""
    LOAD_2 = 3
    LOAD_4 = 4
    LOAD_8 = 5
    STORE_1 = 6
    """R3: address, R4: value."""
    STORE_2 = 7
    STORE_4 = 8
    STORE_8 = 9
    STOP = 10
    """R3: address of RTAS's cells for stop-self."""
    CYCLES = 11
    """R3: how many whole interrupts; R4 to R8: trigger page, OS page of the TIMA, queue, bytes of it - 1, management
    page. Afterwards R3: how many were as they should be."""


LOADS = {1: Do.LOAD_1, 2: Do.LOAD_2, 4: Do.LOAD_4, 8: Do.LOAD_8}
STORES = {1: Do.STORE_1, 2: Do.STORE_2, 4: Do.STORE_4, 8: Do.STORE_8}


class Operation(NamedTuple):
    """One thing to do.

    registers: R3 and up, those left out are 0. cells: put into the slot, and R4 is their address.
    """

    do: int
    cpu: int
    registers: tuple[int, ...] = ()
    cells: bytes = b""


class Result(NamedTuple):
    """What came of it.

    flags: IRQ_BEFORE, IRQ_AFTER, MACHINE_CHECK. registers: R3 to R12, of which an operation sets those that it says.
    cells: as RTAS left them, of operations that had some.
    """

    flags: int
    registers: tuple[int, ...]
    cells: bytes


class Fault(NamedTuple):
    """An interrupt that the agent did not expect."""

    vector: int
    srr0: int
    srr1: int
    cpu: int

    def __str__(self) -> str:
        return f"CPU {self.cpu} took interrupt {self.vector:#x} at {self.srr0:#x} (SRR1 {self.srr1:#x})"


class Mailbox:
    """The host's end. memory: the guest's RAM from address 0, shared. alive: raises QemuError when QEMU has ended.

    Raises QemuError when nothing is done for `timeout` seconds, or the agent met what it should not.
    """

    def __init__(self, memory: memoryview, alive: Callable[[], None], timeout: float = 30) -> None:
        self._memory = memory
        self._alive = alive
        self.timeout = timeout
        # native words: a store of eight bytes is one store, which packed bytes are not
        self._words = memory[MAILBOX : MAILBOX + 0x100].cast("Q")
        self._swaps = sys.byteorder == "little"
        self._head = self.word(HEAD)

    def word(self, index: int) -> int:
        """Return a word of the mailbox."""
        value = self._words[index]
        return int.from_bytes(value.to_bytes(8, "little"), "big") if self._swaps else value

    def set_word(self, index: int, value: int) -> None:
        """Set a word of the mailbox, after all that was written before."""
        atomics.fence()
        self._words[index] = int.from_bytes(value.to_bytes(8, "little"), "big") if self._swaps else value

    @property
    def fault(self) -> Fault | None:
        """What the agent met, if it did."""
        found = Fault(*(self.word(FAULT + at) for at in range(4)))
        return found if found.vector else None

    def wait_ready(self) -> None:
        """Wait until the machine's first CPU waits for operations."""
        self._wait("the agent does not start", lambda: self.word(READY) == IS_READY)

    def run(self, operations: Sequence[Operation]) -> list[Result]:
        """Do operations in this order; their results."""
        results: list[Result] = []
        for pending in self.stream(operations):
            results += pending()
        return results

    def stream(self, operations: Sequence[Operation]) -> Iterator[Callable[[], list[Result]]]:
        """Hand operations over, some at once, and yield what waits for the results of each part.

        The next part is handed over before it is asked for the results of the last.
        """
        before: Callable[[], list[Result]] | None = None
        for start in range(0, len(operations), AT_ONCE):
            part = operations[start : start + AT_ONCE]
            first = self.post(part)
            if before:
                yield before
            before = self._taker(first, part)
        if before:
            yield before

    def _taker(self, first: int, part: Sequence[Operation]) -> Callable[[], list[Result]]:
        return lambda: self.take(first, part)

    def post(self, operations: Sequence[Operation]) -> int:
        """Hand at most AT_ONCE operations over; return the number of the first. Those before the last are done then."""
        if len(operations) > AT_ONCE:
            raise LocalError(f"{len(operations)} operations at once; {AT_ONCE} have room")
        first = self._head
        self._wait_done(first + len(operations) - SLOTS, "room in the ring")
        for number, operation in enumerate(operations, first):
            self._write(number, operation)
        self._head = first + len(operations)
        self.set_word(HEAD, self._head)
        return first

    def _write(self, number: int, operation: Operation) -> None:
        do, cpu, registers, cells = operation
        at = RING + number % SLOTS * SLOT
        if cells:
            if len(cells) > CELLS_SIZE:
                raise LocalError(f"{len(cells)} bytes of cells; {CELLS_SIZE} have room")
            self._memory[at + CELLS : at + CELLS + len(cells)] = cells
            registers = (registers[0], at + CELLS, *registers[2:])
        try:
            _REQUEST.pack_into(self._memory, at, do, cpu, 0, *registers, *_NONE[len(registers) :])
        except struct.error:
            raise LocalError(f"{operation!r} has a value that no register holds") from None

    def take(self, first: int, operations: Sequence[Operation]) -> list[Result]:
        """Wait until operations that were handed over are done; their results."""
        if not operations:
            return []
        self._wait_done(first + len(operations), operations[0])
        atomics.fence()
        return [self._read(number, operation) for number, operation in enumerate(operations, first)]

    def _read(self, number: int, operation: Operation) -> Result:
        at = RING + number % SLOTS * SLOT
        flags, *registers = _RESULT.unpack_from(self._memory, at + _FLAGS)
        cells = bytes(self._memory[at + CELLS : at + CELLS + len(operation.cells)])
        return Result(flags, tuple(registers), cells)

    def _wait_done(self, count: int, what: object) -> None:
        self._wait(f"operations are not done ({what})", lambda: self.word(DONE) >= count)

    def _wait(self, otherwise: str, condition: Callable[[], bool]) -> None:
        """Look until `condition` is true; any operation that is done gives it time again."""
        for _ in range(LOOKS):
            if condition():
                return
        pause, seen, deadline, looked = PAUSE_S, -1, 0.0, 0
        while not condition():
            if (done := self.word(DONE)) != seen:
                seen, deadline = done, time.monotonic() + self.timeout
            looked += 1
            late = time.monotonic() > deadline
            if late or looked % 16 == 0:
                self._alive()
                if fault := self.fault:
                    raise QemuError(f"{otherwise}: {fault}")
            if late:
                raise QemuError(f"{otherwise}: QEMU runs, but its CPUs did nothing for {self.timeout:g} s")
            time.sleep(pause)
            pause = min(PAUSE_MAX_S, pause * 1.2)
