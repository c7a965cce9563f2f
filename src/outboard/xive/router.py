"""IVRE, the interrupt virtualization routing engine: from a source's event to an event queue and a thread.

Source: QEMU docs/specs/ppc-xive, "XIVE internal tables"; orders of steps as the hardware model of QEMU 7.2 has them.
The router is abstract in its storage: a machine says where EAS, END and NVT are kept (`RamRouter` in `ram_tables`,
`SpaprRouter` in `outboard.spapr.router`).

Modelled: routing, event queues with their generation, coalescing in ESn and ESe, backlog, escalation of every kind.
Not modelled: END triggers on the bus, logical servers.
"""

from outboard.guest.memory import GuestMemory
from outboard.spec.xive import EAS, END, END_QSIZE_SHIFT, EQ_ENTRY_SIZE, NVT, PQ, PRIORITY_NONE, EqEntry, Lisn
from outboard.xive.events import Events
from outboard.xive.presenter import Presenter
from outboard.xive.source import Notifier, triggered

_BLOCK_SHIFT, _INDEX = Lisn.block.shift, Lisn.index.mask
_EAS_VALID, _EAS_MASKED, _EAS_DATA = EAS.valid.mask, EAS.masked.mask, EAS.end_data.mask
_EAS_BLOCK, _EAS_BLOCK_SHIFT = EAS.end_block.mask, EAS.end_block.shift
_EAS_INDEX, _EAS_INDEX_SHIFT = EAS.end_index.mask, EAS.end_index.shift
_VALID, _ENQUEUE, _UCOND, _BACKLOG = END.valid.mask, END.enqueue.mask, END.ucond_notify.mask, END.backlog.mask
_ESCALATE, _UNCOND, _SILENT = END.escalate_ctl.mask, END.uncond_escalate.mask, END.silent_escalate.mask
_QSIZE, _QSIZE_SHIFT = END.qsize.mask, END.qsize.shift
_ESN, _ESN_SHIFT, _ESE, _ESE_SHIFT = END.esn.mask, END.esn.shift, END.ese.mask, END.ese.shift
_GENERATION, _PAGE_OFF = END.generation.mask, END.page_off.mask
_EQ_HI = END.op_desc_hi.mask
_ESC_BLOCK, _ESC_BLOCK_SHIFT = END.esc_end_block.mask, END.esc_end_block.shift
_ESC_INDEX, _ESC_DATA = END.esc_end_index.mask, END.esc_end_data.mask
_FORMAT, _NVT_BLOCK, _NVT_BLOCK_SHIFT = END.format.mask, END.nvt_block.mask, END.nvt_block.shift
_NVT_INDEX, _IGNORE = END.nvt_index.mask, END.ignore.mask
_PRIORITY, _PRIORITY_SHIFT, _LOG_SERVER = END.priority.mask, END.priority.shift, END.log_server_id.mask
_NVT_VALID, _NVT_IPB, _NVT_IPB_SHIFT = NVT.valid.mask, NVT.ipb.mask, NVT.ipb.shift
_ENTRY_GENERATION, _ENTRY_DATA = EqEntry.generation.mask, EqEntry.data.mask
_ENTRY_SIZE, _QUEUE_SHIFT, _NO_PRIORITY = EQ_ENTRY_SIZE, END_QSIZE_SHIFT, PRIORITY_NONE
_RESET = PQ.RESET


class End:
    """The eight words of one END, read from its table."""

    def __init__(self) -> None:
        self.w0 = self.w1 = self.w2 = self.w3 = self.w4 = self.w5 = self.w6 = self.w7 = 0

    def eq_addr(self) -> int:
        """Return the guest address of the event queue."""
        return (self.w2 & _EQ_HI) << 32 | self.w3

    def eq_entries(self) -> int:
        """Return the number of entries of the event queue."""
        return 1 << (((self.w0 & _QSIZE) >> _QSIZE_SHIFT) + _QUEUE_SHIFT - 2)


class Router(Notifier):
    """The routing engine. A subclass gives it tables; what is not there is answered with false.

    block_id: the block of END ESB pages, and of the tables that are this router's own.
    """

    def __init__(self, presenter: Presenter, memory: GuestMemory, events: Events, block_id: int = 0) -> None:
        self.presenter = presenter
        self.memory = memory
        self.events = events
        self.block_id = block_id
        self.eas = 0
        self.nvt_w0 = self.nvt_w4 = 0
        self._end = End()

    # Storage

    def get_eas(self, blk: int, idx: int) -> bool:
        """Read an EAS into `eas`; false when the table has no such entry."""
        return False

    def get_pq(self, blk: int, idx: int) -> int:
        """Return the PQ bits that the controller keeps for a source; for events that are not `pq_checked`."""
        return PQ.OFF

    def set_pq(self, blk: int, idx: int, pq: int) -> None:
        """Set the PQ bits that the controller keeps for a source."""

    def get_end(self, blk: int, idx: int, end: End) -> bool:
        """Read an END; false when the table has no such entry."""
        return False

    def write_end_w1(self, blk: int, idx: int, w1: int) -> None:
        """Write back word 1 of an END that `get_end` found."""

    def get_nvt(self, blk: int, idx: int) -> bool:
        """Read words 0 and 4 of an NVT into `nvt_w0`, `nvt_w4`; false when the table has no such entry."""
        return False

    def write_nvt_w4(self, blk: int, idx: int, w4: int) -> None:
        """Write back word 4 of an NVT that `get_nvt` found."""

    # Routing

    def notify(self, lisn: int, pq_checked: bool) -> None:
        """Route an event of source `lisn`; without `pq_checked` its PQ transition is made here first."""
        blk, idx = lisn >> _BLOCK_SHIFT, lisn & _INDEX
        if not self.get_eas(blk, idx):
            self.events.tell("unknown_lisn", lisn)
        elif pq_checked or self._trigger(blk, idx):
            self._route(lisn, self.eas)

    def _trigger(self, blk: int, idx: int) -> bool:
        pq = self.get_pq(blk, idx)
        self.set_pq(blk, idx, triggered(pq))
        return pq == _RESET

    def _route(self, lisn: int, eas: int) -> None:
        if not eas & _EAS_VALID:
            self.events.tell("invalid_lisn", lisn)
        elif not eas & _EAS_MASKED:
            self.end_notify(
                (eas & _EAS_BLOCK) >> _EAS_BLOCK_SHIFT, (eas & _EAS_INDEX) >> _EAS_INDEX_SHIFT, eas & _EAS_DATA
            )

    def end_notify(self, blk: int, idx: int, data: int) -> None:
        """Notify an END, and whatever it escalates to.

        A chain that comes to a place for the third time has gone twice round a loop of ENDs that neither ESn nor ESe
        holds up: it would never end, and is cut there.
        """
        end = self._end
        mark_blk, mark_idx, returns, hops, lap = blk, idx, 0, 0, 2
        while self._notify_one(blk, idx, data, end):
            to_blk, to_idx = (end.w4 & _ESC_BLOCK) >> _ESC_BLOCK_SHIFT, end.w4 & _ESC_INDEX
            data = end.w5 & _ESC_DATA
            if self.events.on:
                self.events.tell("xive_router_end_escalate", blk, idx, to_blk, to_idx, data)
            if to_blk == mark_blk and to_idx == mark_idx:
                returns += 1
                if returns == 2:
                    self.events.tell("endless_escalation", blk, idx)
                    break
            hops += 1
            if hops == lap:  # mark this place, and look out for it twice as long
                mark_blk, mark_idx, returns, hops, lap = to_blk, to_idx, 0, 0, 2 * lap
            blk, idx = to_blk, to_idx

    def _notify_one(self, blk: int, idx: int, data: int, end: End) -> bool:
        """Notify one END, read into `end`; true when it escalates."""
        if not self.get_end(blk, idx, end):
            self.events.tell("no_end", blk, idx)
            return False
        if not end.w0 & _VALID:
            self.events.tell("xive_router_end_notify", blk, idx, data)
            self.events.tell("invalid_end", blk, idx)
            return False
        if end.w0 & _ENQUEUE:
            self.enqueue(end, data)
            self.write_end_w1(blk, idx, end.w1)
        if not end.w0 & _SILENT and not self._wants_escalation(blk, idx, end):
            return False
        if not end.w0 & _ESCALATE:
            return False
        return end.w0 & _UNCOND != 0 or self._coalesce(blk, idx, end, _ESE, _ESE_SHIFT)

    def enqueue(self, end: End, data: int) -> None:
        """Write an entry of the event queue and step on; a full queue is overwritten, as in hardware."""
        index = end.w1 & _PAGE_OFF
        addr = end.eq_addr() + index * _ENTRY_SIZE
        generation = _ENTRY_GENERATION if end.w1 & _GENERATION else 0
        if self.memory.store(addr, _ENTRY_SIZE, generation | data & _ENTRY_DATA):
            index = (index + 1) & (end.eq_entries() - 1)
            if index == 0:
                end.w1 ^= _GENERATION
            end.w1 = (end.w1 & ~_PAGE_OFF) | (index & _PAGE_OFF)  # of a queue larger than the field can count
        else:
            self.events.tell("enqueue_failed", addr)

    def _coalesce(self, blk: int, idx: int, end: End, mask: int, shift: int) -> bool:
        """Trigger the ESn or ESe bits of an END; true when the event goes on."""
        pq = (end.w1 & mask) >> shift
        if triggered(pq) != pq:
            end.w1 = (end.w1 & ~mask) | triggered(pq) << shift
            self.write_end_w1(blk, idx, end.w1)
        return pq == _RESET

    def _wants_escalation(self, blk: int, idx: int, end: End) -> bool:
        """Notify the END's NVT; true when nobody took the event, so that it may escalate."""
        user = end.w6 & _FORMAT != 0
        priority = (end.w7 & _PRIORITY) >> _PRIORITY_SHIFT
        if not user and priority == _NO_PRIORITY:
            return False  # the END is masked
        if not end.w0 & _UCOND and not self._coalesce(blk, idx, end, _ESN, _ESN_SHIFT):
            return False
        nvt_blk, nvt_idx = (end.w6 & _NVT_BLOCK) >> _NVT_BLOCK_SHIFT, end.w6 & _NVT_INDEX
        if not self._nvt(nvt_blk, nvt_idx):
            return False
        cam_ignore, log_server_id = end.w7 & _IGNORE != 0, end.w7 & _LOG_SERVER
        if self.presenter.present(user, nvt_blk, nvt_idx, cam_ignore, priority, log_server_id):
            return False
        return not end.w0 & _BACKLOG or self._record(blk, idx, nvt_blk, nvt_idx, user, priority)

    def _nvt(self, blk: int, idx: int) -> bool:
        """Read a valid NVT."""
        if not self.get_nvt(blk, idx):
            self.events.tell("no_nvt", blk, idx)
            return False
        if not self.nvt_w0 & _NVT_VALID:
            self.events.tell("invalid_nvt", blk, idx)
            return False
        return True

    def _record(self, blk: int, idx: int, nvt_blk: int, nvt_idx: int, user: bool, priority: int) -> bool:
        """Record an event in the backlog of its NVT; user-level events have none."""
        if user:
            self.events.tell("f1_backlog", blk, idx)
            return False
        bit = 0x80 >> priority if priority < 8 else 0
        self.write_nvt_w4(nvt_blk, nvt_idx, self.nvt_w4 | bit << _NVT_IPB_SHIFT)
        return True

    def resend(self, blk: int, idx: int) -> int:
        """Take the backlog of an NVT: return its IPB and clear it there, or return -1 when there is no such NVT."""
        if not self.get_nvt(blk, idx):
            self.events.tell("push_unknown", blk, idx)
            return -1
        ipb = (self.nvt_w4 & _NVT_IPB) >> _NVT_IPB_SHIFT
        if ipb:
            self.write_nvt_w4(blk, idx, self.nvt_w4 & ~_NVT_IPB)
        return ipb
