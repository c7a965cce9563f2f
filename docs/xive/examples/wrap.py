"""An event queue at its end: the index starts again, and the generation bit turns over."""

from outboard.spapr import SpaprXive

QUEUE, ENTRIES = 0x10_0000, 1024

xive = SpaprXive()
cpu = xive.cpu(0)
cpu.hcall("H_INT_SET_QUEUE_CONFIG", 1, 0, 6, QUEUE, 12)  # 4 KiB: 1024 entries
cpu.hcall("H_INT_SET_SOURCE_CONFIG", 2, 0, 0, 6, 0x10)
cpu.esb(0, 0xC00)


class Reader:
    """An OS's end of the queue: it takes an entry whose bit 0 differs from its own toggle."""

    def __init__(self) -> None:
        self.index = self.toggle = 0

    def take(self) -> int:
        entry = xive.memory.load(QUEUE + 4 * self.index, 4)
        if entry >> 31 == self.toggle:
            return 0  # nothing new
        self.index = (self.index + 1) % ENTRIES
        if self.index == 0:
            self.toggle ^= 1
        return entry & 0x7FFF_FFFF


reader = Reader()
taken = 0
for _ in range(ENTRIES + 1):
    cpu.trigger(0)
    taken += reader.take() == 0x10
    cpu.eoi(0)
print(f"{taken} taken; then {reader.take()}")

end = xive.router.read_end(xive.end_index(0, 6))
print(f"hardware: next entry {end.page_off}, generation {end.generation}; reader: {reader.index}, {reader.toggle}")
print([f"{xive.memory.load(QUEUE + 4 * at, 4):#010x}" for at in (0, 1, ENTRIES - 1)])

for _ in range(ENTRIES + 1):  # nobody reads, one event more than there is room for
    cpu.trigger(0)
    cpu.eoi(0)
print(f"{ENTRIES + 1} events later: entry {reader.index} is {xive.memory.load(QUEUE + 4 * reader.index, 4):#010x}")
print(f"its bit 0 is the reader's toggle, so the queue looks empty: {reader.take()}")
