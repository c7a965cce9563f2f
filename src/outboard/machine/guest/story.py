"""One interrupt in words, from what the guest notes and what the controller tells: command to EOI.

Source: the trace events of QEMU 7.2's XIVE and XICS, see `xive.events` and `xics.events`; PQ, EAS and END are looked up
as they are at that moment.
"""

from collections.abc import Callable
from typing import Any

from outboard.machine.guest.virtio_gpu import VirtioGpu
from outboard.spapr.irq import SpaprIrq
from outboard.spapr.lisn import use
from outboard.spec.papr import NR_PRIORITIES, PHB_INTX
from outboard.spec.xics import Xirr
from outboard.spec.xive import EAS, END, EQ_ENTRY_SIZE, PQ, EsbLoad, EsbStore
from outboard.virtio.driver_queue import DriverQueue

_OFFSET = 0xFFF
_OFF_TO_ON = {PQ.RESET: PQ.PENDING, PQ.PENDING: PQ.QUEUED}
_SETS = {offset: offset >> 8 & 3 for offset in EsbLoad if offset >= EsbLoad.SET_PQ_00}


class Story:
    """Listens from `start` to `stop`; `lines` is what it heard, in words."""

    def __init__(self, irq: SpaprIrq) -> None:
        self.irq = irq
        self.lines: list[str] = []
        self._end_index = -1
        self._on = False
        self._rings: dict[int, DriverQueue] = {}
        self._pulsed: set[int] = set()
        self._words: dict[str, Callable[..., None]] = {
            "spapr_xive_set_irq": self._input,
            "xive_source_esb_write": self._esb_store,
            "xive_source_esb_read": self._esb_load,
            "xive_presenter_notify": self._found,
            "xive_tctx_notify": self._line_up,
            "xive_tctx_accept": self._accept,
            "xive_tctx_set_cppr": self._cppr,
            "xics_ics_set_irq_msi": self._xics_input,
            "xics_icp_check_ipi": self._xics_ipi,
            "xics_icp_raise": self._xics_raise,
            "xics_icp_accept": self._xics_accept,
            "xics_icp_eoi": self._xics_eoi,
        }

    def follow(self, gpu: VirtioGpu) -> None:
        """Tell also what a GPU's driver does, and what the used rings have when the device interrupts."""
        gpu.note = self.note
        self._rings = {lisn: gpu.queue(index) for index, lisn in enumerate(gpu.lisns[1:])}

    def start(self) -> None:
        """Begin to listen."""
        self.irq.events.listen(self._hear)
        self._on = True

    def stop(self) -> None:
        """Listen no more."""
        self.irq.events.unlisten(self._hear)
        self._on = False

    def note(self, text: str) -> None:
        """Take what the guest says of itself."""
        if self._on:
            self.lines.append(text)

    def _hear(self, event: str, values: tuple[Any, ...]) -> None:
        if event in self._words:
            self._words[event](*values)

    # XIVE

    def _input(self, lisn: int, level: int) -> None:
        if level:
            self._message(lisn)
            self._route(lisn)

    def _message(self, number: int) -> None:
        ring = self._rings.get(number)
        if ring:
            news = (ring.used_idx - ring.last_used) & 0xFFFF
            self.note(f"used ring: its idx is {ring.used_idx}, {news} more than the driver has seen")
        how = (
            "raises its pin" if PHB_INTX.first <= number <= PHB_INTX.last else f"writes {number:#x} to its MSI address"
        )
        self.note(f"device: {how}; that is LISN {number:#x} ({use(number)})")

    def _esb_store(self, addr: int, lisn: int, value: int) -> None:
        if addr & _OFFSET < EsbStore.EOI:
            self.note(f"trigger page: a store to that of LISN {lisn:#x} ({use(lisn)})")
            self._route(lisn)

    def _route(self, lisn: int) -> None:
        """Tell what becomes of an event of a source, which is about to be recorded."""
        assert self.irq.xive is not None, "only XIVE tells of it"
        xive = self.irq.xive
        old = xive.source.pq(lisn)
        new = _OFF_TO_ON.get(PQ(old), PQ(old))
        goes = "it goes to the router" if old == PQ.RESET else "it goes no further"
        self.note(f"PQ: {old:02b} becomes {new:02b}, {goes}")
        if old != PQ.RESET:
            return
        eas = EAS(xive.router.read_eas(lisn))
        if eas.masked:
            self.note("EAS: masked, the event ends here")
            return
        self._end_index = eas.end_index
        target, priority = divmod(eas.end_index, NR_PRIORITIES)
        self.note(f"EAS: END {eas.end_block}/{eas.end_index:#x}, EISN {eas.end_data:#x}")
        self.note(f"END: the queue of server {target}, priority {priority}, {self._queue()}")

    def _end(self) -> END:
        assert self.irq.xive is not None, "only XIVE tells of it"
        return self.irq.xive.router.read_end(self._end_index)

    def _queue(self) -> str:
        end = self._end()
        notifies = "notifies always" if end.ucond_notify else f"ESn {end.esn:02b}"
        return f"at {end.op_desc_hi << 32 | end.op_desc_lo:#x}, {notifies}"

    def _found(self, nvt_blk: int, nvt_idx: int, ring: int) -> None:
        if self._end_index >= 0:  # else a level was sent again, of which nothing was told before
            self._entry()
            self._end_index = -1
        self.note(f"presenter: NVT {nvt_blk}/{nvt_idx:#x} is on a CPU, in ring {ring:#x}")

    def _entry(self) -> None:
        """Tell what was just written to the queue."""
        end = self._end()
        at = (end.page_off - 1) % (1 << end.qsize + 10)
        addr = (end.op_desc_hi << 32 | end.op_desc_lo) + EQ_ENTRY_SIZE * at
        assert self.irq.xive is not None, "only XIVE tells of it"
        entry = self.irq.xive.memory.load(addr, EQ_ENTRY_SIZE)
        says = f"generation {entry >> 31}, EISN {entry & ~(1 << 31):#x}"
        self.note(f"queue: entry {at} at {addr:#x} becomes {entry:#010x}: {says}")

    def _line_up(self, cpu: int, ring: int, ipb: int, pipr: int, cppr: int, nsr: int) -> None:
        self.note(f"IPB: {ipb:#04x}, so PIPR is {pipr:#04x}, below CPPR {cppr:#04x} of CPU {cpu}")
        self.note(f"line: NSR {nsr:#04x}, the external interrupt of CPU {cpu} goes up")

    def _accept(self, cpu: int, ring: int, ipb: int, pipr: int, cppr: int, nsr: int) -> None:
        self.note(f"accept: CPU {cpu} loads from its TIMA; CPPR is {cppr:#04x}, the line goes down")

    def _esb_load(self, addr: int, lisn: int, value: int) -> None:
        offset = addr & 0xF00
        if offset < EsbLoad.GET:
            self.note(f"EOI: a load of LISN {lisn:#x}'s management page; {'sent again' if value else 'nothing waits'}")
        elif offset == EsbLoad.SET_PQ_00:
            more = "another event came meanwhile" if value & 1 else "nothing came meanwhile"
            self.note(f"EOI: a load of LISN {lisn:#x}'s management page makes PQ {value:02b} 00; {more}")
        elif offset in _SETS:
            self.note(f"PQ: {value:02b} of LISN {lisn:#x} becomes {_SETS[EsbLoad(offset)]:02b}, by a load")

    def _cppr(self, cpu: int, ring: int, ipb: int, pipr: int, cppr: int, nsr: int) -> None:
        self.note(f"CPPR: {cppr:#04x}, CPU {cpu} is open to {'all' if cppr == 0xFF else 'what is more favoured'}")

    # XICS

    def _xics_input(self, srcno: int, number: int) -> None:
        """A message raises its input and lowers it again, which means nothing."""
        self._pulsed ^= {number}
        if number not in self._pulsed:
            return
        assert self.irq.xics is not None, "only XICS tells of it"
        ics = self.irq.xics.ics
        self._message(number)
        self.note(f"ICS: server {ics.server[srcno]}, priority {ics.priority[srcno]:#04x}")

    def _xics_ipi(self, cpu: int, mfrr: int) -> None:
        self.note(f"MFRR: {mfrr:#04x}, an IPI for CPU {cpu}; its line goes up")

    def _xics_raise(self, xirr: int, priority: int) -> None:
        self.note(f"ICP: XIRR {xirr:#010x}, pending priority {priority:#04x}; the line goes up")

    def _xics_accept(self, before: int, after: int) -> None:
        self.note(f"accept: H_XIRR gives {before:#010x}; CPPR is {after >> 24:#04x}, the line goes down")

    def _xics_eoi(self, cpu: int, xirr: int, after: int) -> None:
        self.note(f"EOI: CPU {cpu} ends {xirr & Xirr.xisr.mask:#x}; CPPR is {xirr >> 24:#04x} again")
