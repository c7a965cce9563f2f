"""The pseries machine's routing tables: flat EAS and END tables, NVTs made up from the vCPUs there are.

Source: QEMU docs/specs/ppc-spapr-xive, "XIVE for sPAPR". Modelled: tables of any size, END reset. Not modelled: NVT
contents, of which the machine keeps none: a push finds no backlog, where QEMU 7.2 reads its own stack.
"""

import outboard.guest.words as words
import outboard.xive.end_words as end_words
from outboard.guest.memory import GuestMemory
from outboard.spec.papr import NVT_BASE
from outboard.spec.xive import EAS, END, END_RESET_W1, NVT
from outboard.xive.events import Events
from outboard.xive.presenter import Presenter
from outboard.xive.router import End, Router
from outboard.xive.source import Source

_NVT_BASE = NVT_BASE
_NVT_VALID = NVT.valid.mask
_EAS_SIZE, _END_SIZE = EAS.sizeof, END.sizeof
_FRESH = END(0, END_RESET_W1).pack()


class SpaprRouter(Router):
    """Router with tables of its own. eat: 8 bytes a LISN; endt: 32 bytes an END; targets: one byte a server, 1 where
    a vCPU is plugged. All as in hardware, big-endian."""

    def __init__(
        self, presenter: Presenter, memory: GuestMemory, events: Events, nr_irqs: int, nr_servers: int, nr_ends: int
    ) -> None:
        super().__init__(presenter, memory, events)
        self.nr_irqs = nr_irqs
        self.nr_servers = nr_servers
        self.nr_ends = nr_ends
        self.eat = bytearray(_EAS_SIZE * nr_irqs)
        self.endt = bytearray(_FRESH * nr_ends)
        self.targets = bytearray(nr_servers)
        self.source: Source | None = None

    def tables(self) -> dict[str, memoryview]:
        """Return the state by name."""
        return {"eat": memoryview(self.eat), "endt": memoryview(self.endt), "targets": memoryview(self.targets)}

    def get_eas(self, blk: int, idx: int) -> bool:
        if idx >= self.nr_irqs:
            return False
        self.eas = words.load_be64(self.eat, idx * _EAS_SIZE)
        return True

    def read_eas(self, lisn: int) -> int:
        """Return the EAS of a LISN below nr_irqs."""
        return words.load_be64(self.eat, lisn * _EAS_SIZE)

    def set_eas(self, lisn: int, eas: int) -> None:
        """Set the EAS of a LISN below nr_irqs."""
        words.store_be64(self.eat, lisn * _EAS_SIZE, eas)

    def get_pq(self, blk: int, idx: int) -> int:
        return self.source.pq(idx) if self.source is not None else 0

    def set_pq(self, blk: int, idx: int, pq: int) -> None:
        if self.source is not None:
            self.source.set_pq(idx, pq)

    def get_end(self, blk: int, idx: int, end: End) -> bool:
        if idx >= self.nr_ends:
            return False
        end_words.read_end(end, self.endt, idx * _END_SIZE)
        return True

    def write_end_w1(self, blk: int, idx: int, w1: int) -> None:
        words.store_be32(self.endt, idx * _END_SIZE + 4, w1)

    def read_end(self, idx: int) -> END:
        """Return an END; one that the table does not have is all zero."""
        return END.unpack_from(memoryview(self.endt), idx * _END_SIZE) if idx < self.nr_ends else END()

    def set_end(self, idx: int, end: END) -> None:
        """Set an END below nr_ends."""
        memoryview(self.endt)[idx * _END_SIZE : (idx + 1) * _END_SIZE] = end.pack()

    def reset_end(self, idx: int) -> None:
        """Bring an END below nr_ends back to its initial state."""
        memoryview(self.endt)[idx * _END_SIZE : (idx + 1) * _END_SIZE] = _FRESH

    def has_target(self, vcpu_id: int) -> bool:
        """Return whether a vCPU with this id, below nr_servers, is plugged."""
        return self.targets[vcpu_id] != 0

    def set_target(self, vcpu_id: int, plugged: bool) -> None:
        """Note that a vCPU with this id, below nr_servers, is plugged, or no longer."""
        self.targets[vcpu_id] = 1 if plugged else 0

    def get_nvt(self, blk: int, idx: int) -> bool:
        if idx < _NVT_BASE or idx - _NVT_BASE >= self.nr_servers or not self.targets[idx - _NVT_BASE]:
            return False
        self.nvt_w0 = _NVT_VALID
        self.nvt_w4 = 0
        return True
