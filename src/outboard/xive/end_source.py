"""END ESB pages: the pair of pages by which software reaches ESn and ESe of an END.

Source: QEMU docs/specs/ppc-xive, "XiveENDSource". Modelled: loads of all offsets; stores are refused, as in QEMU 7.2.
"""

from outboard.errors import LocalError
from outboard.spec.xive import END, PQ, EsbLoad
from outboard.xive.events import Events
from outboard.xive.router import End, Router
from outboard.xive.source import ended

SHIFTS = (12, 16)
REGION = "xive.end"
_ALL_ONES = 0xFFFFFFFF_FFFFFFFF


class EndSource:
    """The END ESB pages of a router's own block; each END has two pages of 1 << shift bytes, ESn first."""

    def __init__(self, router: Router, events: Events, nr_ends: int, shift: int = 16) -> None:
        if shift not in SHIFTS:
            raise LocalError(f"Invalid ESB shift setting: {shift}; it is one of {', '.join(map(str, SHIFTS))}")
        self.router = router
        self.events = events
        self.shift = shift
        self.size = nr_ends << (shift + 1)

    def load(self, addr: int) -> int:
        """Load 8 aligned bytes at `addr` of the END ESB region."""
        blk, idx = self.router.block_id, addr >> (self.shift + 1)
        if self.events.on:
            self.events.tell("xive_end_source_read", blk, idx, addr)
        end = End()
        if not self.router.get_end(blk, idx, end):
            return self._refuse("no_end", blk, idx)
        if not end.w0 & END.valid.mask:
            return self._refuse("invalid_end", blk, idx)
        field = END.ese if addr >> self.shift & 1 else END.esn
        pq, value, offset = field.get(end.w1), field.get(end.w1), addr & 0xFFF
        if offset < EsbLoad.GET:
            value = 1 if pq == PQ.QUEUED else 0
            pq = ended(pq)
        elif offset >= EsbLoad.SET_PQ_00:
            pq = offset >> 8 & 3
        if pq != field.get(end.w1):
            self.router.write_end_w1(blk, idx, field.put(end.w1, pq))
        return value

    def _refuse(self, event: str, blk: int, idx: int) -> int:
        self.events.tell(event, blk, idx)
        return _ALL_ONES

    def store(self, addr: int, value: int) -> None:
        """Refuse a store; the pages take none."""
        self.events.tell("end_esb_store", addr)
