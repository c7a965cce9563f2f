"""A bare controller of one block over guest memory in this process. What it tells is kept, as the lines that it prints.

All numbers are the documents', typed by hand. Memory: 64 MiB from address 0, with the tables and a queue in it.
"""

from mmap import mmap

from outboard.guest.memory import GuestMemory, Region
from outboard.xive.end_source import EndSource
from outboard.xive.events import Events
from outboard.xive.presenter import Presenter
from outboard.xive.ram_tables import RamRouter
from outboard.xive.source import Source
from outboard.xive.tima import Tima

RAM_SIZE = 0x400_0000
EAT, ENDT, NVTT = 0x10_0000, 0x20_0000, 0x40_0000
EASES, ENDS, NVTS = 0x100, 0x4000, 0x400
QUEUE = 0x100_0000
OS, POOL, PHYS = 0x10, 0x20, 0x30
FLAGS = {
    "v": 0x80000000,
    "q": 0x40000000,
    "n": 0x20000000,
    "b": 0x10000000,
    "e": 0x04000000,
    "u": 0x02000000,
    "s": 0x01000000,
    "f": 0x00008000,
}
USER_LEVEL = 0x00800000
IGNORE = 0x80000000
READY = 0x00400000
"""Word 1 of an END with an empty queue: generation 1, ESn and ESe 00."""


class Rig:
    """Threads with PIR 0, 1, ... and contexts that are off; END, EAS and NVT tables that are empty."""

    def __init__(self, threads: int = 2, block: int = 0, flags: int = 0, undispatched: bool = False) -> None:
        self.ram = mmap(-1, RAM_SIZE)
        self.memory = GuestMemory()
        self.memory.add(Region(0, 0, memoryview(self.ram)))
        self.events = Events()
        self.lines: list[str] = []
        self.events.listen(lambda event, values: self.lines.append(self.events.line(event, values)))
        self.presenter = Presenter(list(range(threads)), self.events, says_undispatched=undispatched)
        tables = (EAT, EASES), (ENDT, ENDS), (NVTT, NVTS)
        self.router = RamRouter(self.presenter, self.memory, self.events, block, *tables)
        self.source = Source(self.router, 0x80, self.events, flags=flags)
        self.router.source = self.source
        self.tima = Tima(self.presenter, self.router, self.events)
        self.ends = EndSource(self.router, self.events, ENDS)
        for thread in range(threads):
            self.presenter.enable(thread, True)

    def told(self) -> list[str]:
        """Return the lines since the last call."""
        lines, self.lines[:] = self.lines[:], []
        return lines

    # Memory

    def peek(self, addr: int, size: int = 4) -> int:
        """Return a big-endian word of guest memory."""
        return int.from_bytes(self.ram[addr : addr + size], "big")

    def poke(self, addr: int, *words: int, size: int = 4) -> None:
        """Write big-endian words to guest memory."""
        for at, word in enumerate(words):
            self.ram[addr + at * size : addr + (at + 1) * size] = word.to_bytes(size, "big")

    def queue(self, entries: int, addr: int = QUEUE) -> list[int]:
        """Return the first entries of a queue."""
        return [self.peek(addr + 4 * at) for at in range(entries)]

    # Tables

    def eas(self, idx: int, word: int) -> None:
        """Write an EAS."""
        self.poke(EAT + 8 * idx, word, size=8)

    def end(
        self,
        idx: int,
        flags: str,
        *,
        w1: int = READY,
        queue: int = QUEUE,
        qsize: int = 0,
        to: tuple[int, int, int] = (0, 0, 0),
        w6: int = 0x10,
        w7: int = 0x00060000,
    ) -> None:
        """Write an END that notifies NVT 0/10 at priority 6. to: block, index and data of its escalation."""
        w0 = sum(FLAGS[letter] for letter in flags) | qsize << 16
        w4 = to[0] << 24 | to[1]
        self.poke(ENDT + 32 * idx, w0, w1, queue >> 32, queue & 0xFFFFFFFF, w4, to[2], w6, w7)

    def w1(self, idx: int) -> int:
        """Return word 1 of an END."""
        return self.peek(ENDT + 32 * idx + 4)

    def nvt(self, idx: int, w4: int = 0, w0: int = 0x80000000) -> None:
        """Write an NVT."""
        self.poke(NVTT + 64 * idx, w0, 0, 0, 0, w4)

    def w4(self, idx: int) -> int:
        """Return word 4 of an NVT."""
        return self.peek(NVTT + 64 * idx + 16)

    # Threads

    def dispatch(self, thread: int, w2: int = 0x80000010, cppr: int = 0xFF) -> None:
        """Let a thread run a virtual processor."""
        self.presenter.set_w2(thread, OS, w2)
        self.presenter.tables()["rings"][64 * thread + OS + 1] = cppr

    def ring(self, thread: int = 0, ring: int = OS) -> str:
        """Return the registers NSR to PIPR of a ring."""
        at = 64 * thread + ring
        return bytes(self.presenter.tables()["rings"][at : at + 8]).hex(" ")

    def set_ring(self, registers: str, thread: int = 0, ring: int = OS) -> None:
        """Set the registers NSR to PIPR of a ring."""
        at = 64 * thread + ring
        self.presenter.tables()["rings"][at : at + 8] = bytes.fromhex(registers)

    def outputs(self, thread: int = 0) -> int:
        """Return the thread's output lines: 1 external, 2 hypervisor."""
        return self.presenter.tables()["lines"][thread]
