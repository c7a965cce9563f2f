"""A router over tables of one's own, here dictionaries: an END that keeps a backlog, and one that escalates."""

from outboard.guest.ram import ram
from outboard.spec.xive import EAS, END, NVT, PQ, Ring, RingW2
from outboard.xive.events import Events
from outboard.xive.presenter import Presenter
from outboard.xive.router import End, Router
from outboard.xive.source import Source
from outboard.xive.tima import Tima

VP, HANDLER = 0x10, 0x11  # NVT indexes: one that sleeps, and the one that wakes it
PUSH_OS, ACK_OS, CPPR_OS = 0x1_0018, 0x2_0810, 0x2_0011  # offsets in the TIMA


class DictRouter(Router):
    """Tables as dictionaries of structures; what is not there is no entry."""

    def __init__(self, presenter: Presenter, events: Events) -> None:
        super().__init__(presenter, ram(16 << 20), events)
        self.eat: dict[int, EAS] = {}
        self.endt: dict[int, END] = {}
        self.nvtt: dict[int, NVT] = {}

    def get_eas(self, blk: int, idx: int) -> bool:
        self.eas = self.eat[idx].words[0] if idx in self.eat else 0
        return idx in self.eat

    def get_end(self, blk: int, idx: int, end: End) -> bool:
        if idx not in self.endt:
            return False
        end.w0, end.w1, end.w2, end.w3, end.w4, end.w5, end.w6, end.w7 = self.endt[idx].words
        return True

    def write_end_w1(self, blk: int, idx: int, w1: int) -> None:
        words = self.endt[idx].words
        self.endt[idx] = END(words[0], w1, *words[2:])

    def get_nvt(self, blk: int, idx: int) -> bool:
        if idx not in self.nvtt:
            return False
        self.nvt_w0, self.nvt_w4 = self.nvtt[idx].words[0], self.nvtt[idx].words[4]
        return True

    def write_nvt_w4(self, blk: int, idx: int, w4: int) -> None:
        self.nvtt[idx] = NVT(*self.nvtt[idx].words[:4], w4)


events = Events()
presenter = Presenter([0], events)
router = DictRouter(presenter, events)
source = Source(router, 16, events)
tima = Tima(presenter, router, events)

router.eat[5] = EAS.make(valid=1, end_index=2, end_data=0x55)
router.endt[2] = END.make(
    valid=1, ucond_notify=1, backlog=1, escalate_ctl=1, nvt_index=VP, priority=6, esc_end_index=3, esc_end_data=0xE5C
)
router.endt[3] = END.make(valid=1, enqueue=1, ucond_notify=1, op_desc_lo=0x10_0000, nvt_index=HANDLER, priority=1)
router.nvtt = {VP: NVT.make(valid=1), HANDLER: NVT.make(valid=1)}
presenter.enable(0, True)
presenter.set_w2(0, Ring.OS, RingW2.make(valid=1, cam=HANDLER).words[0])
tima.store(0, CPPR_OS, 1, 0xFF)

events.listen(lambda event, values: print("  " + events.line(event, values)))
source.set_pq(5, PQ.RESET)
print("an event for a virtual processor that is not dispatched:")
source.store(5 << source.shift, 0)
print(f"its NVT keeps IPB {router.nvtt[VP].ipb:#04x}; the handler's queue: {router.memory.load(0x10_0000, 4):#x}")

print("the handler takes it, and dispatches the virtual processor:")
tima.load(0, ACK_OS, 2)
tima.store(0, CPPR_OS, 1, 0xFF)
tima.store(0, PUSH_OS, 4, RingW2.make(valid=1, cam=VP).words[0])
print(f"its NVT keeps IPB {router.nvtt[VP].ipb:#04x}")
