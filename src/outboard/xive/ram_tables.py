"""Routing tables in guest memory, big-endian, where hardware has them: flat ones, of one block.

Source: QEMU docs/specs/ppc-xive, "XIVE internal tables". Modelled: EAT, ENDT and NVTT at any address and of any size.
Not modelled: tables of other blocks and indirect ones, which a machine adds by another `entry`; an entry on the border
of two regions of memory, which counts as none.
"""

from array import array

import outboard.guest.words as words
import outboard.xive.end_words as end_words
from outboard.guest.memory import ADDRESS_END, GuestMemory
from outboard.spec.xive import EAS, END, NVT, PQ
from outboard.xive.events import Events
from outboard.xive.presenter import Presenter
from outboard.xive.router import End, Router
from outboard.xive.source import Source

EAT, ENDT, NVTT = 0, 2, 3
"""Numbers of the tables, as the hardware's table descriptors count them; 1 is the table of state buffers."""
_EAT, _ENDT, _NVTT = EAT, ENDT, NVTT
_EAS_SIZE, _END_SIZE, _NVT_SIZE = EAS.sizeof, END.sizeof, NVT.sizeof
_SHIFTS = {EAT: _EAS_SIZE.bit_length() - 1, ENDT: _END_SIZE.bit_length() - 1, NVTT: _NVT_SIZE.bit_length() - 1}
_END_W1, _NVT_W4 = 4 * END.esn.word, 4 * NVT.ipb.word
_OFF = PQ.OFF


class RamRouter(Router):
    """Router with tables in guest memory.

    eat, endt, nvtt: guest address and number of entries of each; address 0 is no table. source: where the PQ bits of
    events that come without `pq_checked` are kept.
    """

    def __init__(
        self,
        presenter: Presenter,
        memory: GuestMemory,
        events: Events,
        block_id: int = 0,
        eat: tuple[int, int] = (0, 0),
        endt: tuple[int, int] = (0, 0),
        nvtt: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__(presenter, memory, events, block_id)
        self.source: Source | None = None
        self._addrs = array("Q", [0]) * 4
        self._entries = array("Q", [0]) * 4
        self._shifts = bytearray(_SHIFTS.get(table, 0) for table in range(4))
        for table, (addr, entries) in ((EAT, eat), (ENDT, endt), (NVTT, nvtt)):
            self.set_table(table, addr, entries)

    def set_table(self, table: int, addr: int, entries: int) -> None:
        """Move a table; what would lie beyond the address space is cut off."""
        self._addrs[table] = addr
        self._entries[table] = min(entries, (ADDRESS_END - addr) >> _SHIFTS[table]) if addr else 0

    def entry(self, table: int, blk: int, idx: int) -> int:
        """Return the guest address of an entry, 0 when there is none. What it says need not be memory."""
        if blk != self.block_id or idx >= self._entries[table]:
            return 0
        return self._addrs[table] + (idx << self._shifts[table])

    def get_eas(self, blk: int, idx: int) -> bool:
        addr = self.entry(_EAT, blk, idx)
        region = self.memory.find(addr)
        if not addr or region is None or region.size - (addr - region.guest_addr) < _EAS_SIZE:
            return False
        self.eas = words.load_be64(region.bytes, addr - region.guest_addr)
        return True

    def get_pq(self, blk: int, idx: int) -> int:
        return self.source.pq(idx) if self.source is not None and idx < self.source.nr_irqs else _OFF

    def set_pq(self, blk: int, idx: int, pq: int) -> None:
        if self.source is not None and idx < self.source.nr_irqs:
            self.source.set_pq(idx, pq)

    def get_end(self, blk: int, idx: int, end: End) -> bool:
        addr = self.entry(_ENDT, blk, idx)
        region = self.memory.find(addr)
        if not addr or region is None or region.size - (addr - region.guest_addr) < _END_SIZE:
            return False
        end_words.read_end(end, region.bytes, addr - region.guest_addr)
        return True

    def write_end_w1(self, blk: int, idx: int, w1: int) -> None:
        addr = self.entry(_ENDT, blk, idx)
        if addr:
            self.memory.store(addr + _END_W1, 4, w1)

    def get_nvt(self, blk: int, idx: int) -> bool:
        addr = self.entry(_NVTT, blk, idx)
        region = self.memory.find(addr)
        if not addr or region is None or region.size - (addr - region.guest_addr) < _NVT_SIZE:
            return False
        self.nvt_w0 = words.load_be32(region.bytes, addr - region.guest_addr)
        self.nvt_w4 = words.load_be32(region.bytes, addr - region.guest_addr + _NVT_W4)
        return True

    def write_nvt_w4(self, blk: int, idx: int, w4: int) -> None:
        addr = self.entry(_NVTT, blk, idx)
        if addr:
            self.memory.store(addr + _NVT_W4, 4, w4)
