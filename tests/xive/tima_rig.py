"""What the tests of the TIMA share: three threads, a table of NVTs, the lines that were told."""

from outboard.guest.memory import GuestMemory
from outboard.xive.events import Events
from outboard.xive.presenter import Presenter
from outboard.xive.router import Router
from outboard.xive.tima import Tima
from tests.xive.rig import Listener

HW, HV, OS, USER = 0x00000, 0x10000, 0x20000, 0x30000
PRESENTER_10 = ("pipr_follows_cppr", "nsr_as_a_whole", "group_level_in_nsr", "pool_is_presented")
TIMA_10 = ("tima_repeats", "pulls_phys", "pool_has_inc_and_age")


class Nvts(Router):
    """A router that has NVTs only: word 4 by (block, index)."""

    def __init__(self, presenter, events):
        super().__init__(presenter, GuestMemory(), events)
        self.w4 = {}
        self.written = []

    def get_nvt(self, blk, idx):
        if (blk, idx) not in self.w4:
            return False
        self.nvt_w0, self.nvt_w4 = 0x80000000, self.w4[blk, idx]
        return True

    def write_nvt_w4(self, blk, idx, w4):
        self.written.append((blk, idx, w4))
        self.w4[blk, idx] = w4


class TimaRig:
    """A TIMA; all accesses are of thread 1 unless they say otherwise. of_10: with QEMU 10.0's switches."""

    def __init__(self, *, of_10=False, **options):
        self.events = Events()
        self.listener = Listener(self.events)
        self.events.listen(self.listener)
        self.presenter = Presenter([4, 5, 6], self.events, **dict.fromkeys(PRESENTER_10, of_10))
        self.router = Nvts(self.presenter, self.events)
        self.tima = Tima(self.presenter, self.router, self.events, **dict.fromkeys(TIMA_10, of_10), **options)
        for thread in range(3):
            self.presenter.enable(thread, True)

    def load(self, offset, size, thread=1):
        return self.tima.load(thread, offset, size)

    def store(self, offset, size, value, thread=1):
        self.tima.store(thread, offset, size, value)

    def ring(self, ring, thread=1):
        """Return the 16 bytes of a ring in hex, `registers  words`."""
        octets = self.context(thread)[ring : ring + 16]
        return f"{octets[:8].hex(' ')}  {octets[8:].hex(' ', 4)}"

    def put_ring(self, ring, text, thread=1):
        """Set the first bytes of a ring."""
        octets = bytes.fromhex(text)
        at = 64 * thread + ring
        self.presenter.tables()["rings"][at : at + len(octets)] = octets
        self.presenter.reindex(thread)

    def context(self, thread=1):
        return bytes(self.presenter.tables()["rings"][64 * thread : 64 * thread + 64])

    def outputs(self, thread=1):
        """Return the thread's output lines: 1 external, 2 hypervisor."""
        return self.presenter.tables()["lines"][thread]

    def told(self):
        """Return the lines since the last time."""
        return self.listener.take()
