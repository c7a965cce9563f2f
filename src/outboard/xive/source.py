"""IVSE, the interrupt virtualization source engine: sources, their event state buffers, their ESB pages.

Source: QEMU docs/specs/ppc-xive, "XIVE internal tables" and "XIVE ESB". Modelled: MSI and LSI, one- and two-page
settings, every offset of loads and stores, store EOI, sources whose PQ bits the router keeps. Not modelled: nothing
that the hardware model of QEMU 7.2 has.
"""

from outboard.errors import LocalError
from outboard.spec.xive import (
    EOI,
    ESB_OFFSET_MASK,
    ESB_SHIFTS,
    PQ,
    TRIGGER,
    TWO_PAGES,
    EsbLoad,
    EsbStore,
    SourceFlag,
    SourceStatus,
)
from outboard.xive.events import Events

# The document's numbers as the compiled form wants them: C integers, declared in the .pxd.
_RESET, _OFF, _PENDING, _QUEUED = PQ.RESET, PQ.OFF, PQ.PENDING, PQ.QUEUED
_PQ = SourceStatus.p.mask | SourceStatus.q.mask
_ASSERTED = SourceStatus.asserted.mask
_TRIGGER = sum(TRIGGER[pq] << 2 * pq for pq in PQ)
_EOI = sum(EOI[pq] << 2 * pq for pq in PQ)
_LOAD_GET, _LOAD_SET = EsbLoad.GET, EsbLoad.SET_PQ_00
_STORE_EOI, _STORE_INJECT, _STORE_SET = EsbStore.EOI, EsbStore.INJECT, EsbStore.SET_PQ_00
_HAS_STORE_EOI, _PQ_DISABLE = SourceFlag.STORE_EOI, SourceFlag.PQ_DISABLE
_OFFSET_MASK = ESB_OFFSET_MASK
_ALL_ONES = 0xFFFFFFFF_FFFFFFFF

REGION = "xive.esb-emulated"


def triggered(pq: int) -> int:
    """Return the PQ that follows `pq` at a trigger; from RESET, and only from there, the event is forwarded."""
    return (_TRIGGER >> ((pq & 3) << 1)) & 3


def ended(pq: int) -> int:
    """Return the PQ that follows `pq` at an end of interrupt; from QUEUED, and only from there, one is forwarded."""
    return (_EOI >> ((pq & 3) << 1)) & 3


class Notifier:
    """Where a source controller forwards events: a router, or what stands between."""

    def notify(self, lisn: int, pq_checked: bool) -> None:
        """Take an event of source `lisn`; without `pq_checked` the PQ transition is still to be made."""


class Source:
    """A source controller of `nr_irqs` sources.

    status: one byte a source (`spec.xive.SourceStatus`); lsi: one bit a source, bit n & 7 of byte n >> 3.
    """

    def __init__(self, notifier: Notifier, nr_irqs: int, events: Events, shift: int = 17, flags: int = 0) -> None:
        if nr_irqs <= 0:
            raise LocalError("Number of interrupt needs to be greater than 0")
        if shift not in ESB_SHIFTS:
            raise LocalError(f"Invalid ESB shift setting: {shift}; it is one of {', '.join(map(str, ESB_SHIFTS))}")
        if not 0 <= flags <= sum(SourceFlag):
            raise LocalError(f"flags of a source controller are 0 to {int(sum(SourceFlag)):#x}, not {flags!r}")
        self.notifier = notifier
        self.nr_irqs = nr_irqs
        self.events = events
        self.shift = shift
        self.flags = flags
        self.size = nr_irqs << shift
        self.status = bytearray([PQ.OFF]) * nr_irqs
        self.lsi = bytearray((nr_irqs + 7) // 8)
        # Bit of an address within a source's pages that is 0 on the trigger page; none with one page.
        self.page_bit = 1 << (shift - 1) if shift in TWO_PAGES else 0

    def tables(self) -> dict[str, memoryview]:
        """Return the state by name."""
        return {"status": memoryview(self.status), "lsi": memoryview(self.lsi)}

    def reset(self) -> None:
        """Turn every source off, inputs low, as a machine reset does; which are LSIs stays."""
        memoryview(self.status)[:] = bytes([PQ.OFF]) * self.nr_irqs

    def is_lsi(self, srcno: int) -> bool:
        """Return whether the source's input is a level."""
        return self.lsi[srcno >> 3] >> (srcno & 7) & 1 != 0

    def make_lsi(self, srcno: int) -> None:
        """Make the source an LSI for good."""
        self.lsi[srcno >> 3] |= 1 << (srcno & 7)

    def pq(self, srcno: int) -> int:
        """Return the source's PQ."""
        return self.status[srcno] & _PQ

    def set_pq(self, srcno: int, pq: int) -> int:
        """Set the source's PQ and return the old one; nothing is forwarded."""
        old = self.status[srcno]
        self.status[srcno] = (old & ~_PQ & 0xFF) | (pq & _PQ)
        return old & _PQ

    def _unchecked(self, srcno: int) -> bool:
        return self.flags & _PQ_DISABLE != 0 and not self.is_lsi(srcno)

    def forward(self, srcno: int) -> None:
        """Hand an event to the router."""
        self.notifier.notify(srcno, not self._unchecked(srcno))

    def trigger(self, srcno: int) -> bool:
        """Record one event; true when it is to be forwarded."""
        if self.flags & _PQ_DISABLE and self._unchecked(srcno):
            return True
        old = self.set_pq(srcno, triggered(self.status[srcno] & _PQ))
        if old != _RESET and old != _OFF and self.is_lsi(srcno):
            self.events.tell("lsi_queued", srcno)
        return old == _RESET

    def eoi(self, srcno: int) -> bool:
        """End the interrupt; true when an event is to be forwarded again."""
        if self.flags & _PQ_DISABLE and self._unchecked(srcno):
            self.events.tell("no_eoi", srcno)
            return False
        old = self.set_pq(srcno, ended(self.status[srcno] & _PQ))
        if self.status[srcno] & _ASSERTED and self.is_lsi(srcno):
            return self._present_level(srcno)
        return old == _QUEUED

    def _present_level(self, srcno: int) -> bool:
        """Send the event of an input that is high, if none is on its way; true when it is to be forwarded."""
        if self.status[srcno] & _PQ != _RESET:
            return False
        self.set_pq(srcno, _PENDING)
        return True

    def set_irq(self, srcno: int, level: bool) -> None:
        """Set the source's input: an LSI's level, or an MSI's pulse, which counts when it rises."""
        if self.is_lsi(srcno):
            if level:
                self.status[srcno] |= _ASSERTED
                if self._present_level(srcno):
                    self.forward(srcno)
            else:
                self.status[srcno] &= ~_ASSERTED & 0xFF
        elif level and self.trigger(srcno):
            self.forward(srcno)

    def load(self, addr: int) -> int:
        """Load 8 aligned bytes at `addr` of the ESB region, which must be inside it."""
        srcno = addr >> self.shift
        offset = addr & _OFFSET_MASK
        if self.page_bit and not addr & self.page_bit:
            self.events.tell("trigger_page_load", srcno, addr)
            return _ALL_ONES
        value = 0
        if offset < _LOAD_GET:
            if self.eoi(srcno):
                value = 1
                self.forward(srcno)
        elif offset < _LOAD_SET:
            value = self.status[srcno] & _PQ
        else:
            value = self.set_pq(srcno, (offset >> 8) & 3)
        if self.events.on:
            self.events.tell("xive_source_esb_read", addr, srcno, value)
        return value

    def store(self, addr: int, value: int) -> None:
        """Store 8 aligned bytes at `addr` of the ESB region, which must be inside it; `value` is ignored."""
        srcno = addr >> self.shift
        offset = addr & _OFFSET_MASK
        if self.events.on:
            self.events.tell("xive_source_esb_write", addr, srcno, value)
        if (self.page_bit and not addr & self.page_bit) or offset < _STORE_EOI:
            if self.trigger(srcno):
                self.forward(srcno)
        elif offset < _STORE_INJECT:
            self._store_eoi(srcno)
        elif offset < _STORE_SET:
            self.forward(srcno)
        else:
            self.set_pq(srcno, (offset >> 8) & 3)

    def _store_eoi(self, srcno: int) -> None:
        if not self.flags & _HAS_STORE_EOI:
            self.events.tell("no_store_eoi", srcno)
        elif self.eoi(srcno):
            self.forward(srcno)
