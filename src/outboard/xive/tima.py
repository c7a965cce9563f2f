"""TIMA, the thread interrupt management area: four views of the context of the thread that makes the access.

Source: QEMU docs/specs/ppc-xive, "XIVE thread interrupt context"; access maps and special operations as the hardware
model of QEMU 7.2 has them, by switches as that of QEMU 10.0. Modelled: raw accesses, push and pull of contexts,
acknowledge, CPPR, pending. Not modelled: event-based branches, acknowledge to the even lines, group operations; a guest
that uses them gets all ones.
"""

import outboard.guest.words as words
from outboard.spec.xive import (
    ACCESS,
    POOL_MORE,
    RAW_SIZES,
    TCTX_SIZE,
    TIMA_OFFSET_MASK,
    TIMA_OPS,
    TIMA_PULL_PHYS,
    TIMA_REPEATS,
    TIMA_SPECIAL,
    Cam,
    Reg,
    Ring,
    RingW2,
    TimaOp,
    TimaOpRow,
    View,
)
from outboard.xive.events import Events
from outboard.xive.presenter import Presenter
from outboard.xive.router import Router

_OFFSET_MASK, _SPECIAL, _SIZE = TIMA_OFFSET_MASK, TIMA_SPECIAL, TCTX_SIZE
_OS, _POOL, _PHYS, _W2 = Ring.OS, Ring.POOL, Ring.PHYS, Reg.W2
_VALID = RingW2.valid.mask
_CAM_BLOCK, _CAM_BLOCK_SHIFT, _CAM_INDEX = Cam.nvt_block.mask, Cam.nvt_block.shift, Cam.nvt_index.mask
_RAW_MIN = min(RAW_SIZES)
_ALL_ONES = 0xFFFFFFFF_FFFFFFFF
_SET_OS_CPPR, _PUSH_OS_CTX, _SET_HV_CPPR = TimaOp.SET_OS_CPPR, TimaOp.PUSH_OS_CTX, TimaOp.SET_HV_CPPR
_VT_PUSH, _SET_OS_PENDING = TimaOp.VT_PUSH, TimaOp.SET_OS_PENDING
_ACCEPT_OS, _ACCEPT_HV, _VT_POLL = TimaOp.ACCEPT_OS, TimaOp.ACCEPT_HV, TimaOp.VT_POLL
_PULL_OS_CTX, _PULL_POOL_CTX, _PULL_PHYS_CTX = TimaOp.PULL_OS_CTX, TimaOp.PULL_POOL_CTX, TimaOp.PULL_PHYS_CTX


def _access_map(letters: str, pool_more: bool) -> bytearray:
    """Return 0xff for every byte that a view may access in one of the ways `letters`, 64 bytes a view."""
    rows = ((view, ring) for view in View for ring in Ring)
    table = bytearray(0xFF if letter in letters else 0 for view, ring in rows for letter in ACCESS[view][ring])
    for view in (View.HW, View.HV) if pool_more else ():
        for register in POOL_MORE:
            table[view * _SIZE + _POOL + register] = 0xFF
    return table


def _decoder(rows: list[TimaOpRow], repeats: int) -> bytearray:
    """Return the special operation that an access finds, at view << 16 | offset << 4 | size; 0 is none."""
    table = bytearray(len(View) << 16)
    for row in rows:
        for view in range(row.view + 1):
            for size in row.sizes:
                for offset in range(row.offset, row.offset + repeats * _SIZE, _SIZE):
                    table[view << 16 | offset << 4 | size] = row.op
    return table


class Tima:
    """The TIMA of a presenter's threads.

    swaps: whether the pull operations return their word with its bytes reversed, as on a little-endian host.
    pull_clears_first: whether pulling the pool context returns the word with its valid bit already clear. tima_repeats:
    whether special operations are there every 64 bytes. pulls_phys: whether there is one that pulls the physical
    context. pool_has_inc_and_age: whether INC and AGE of the POOL ring can be accessed.
    """

    def __init__(
        self,
        presenter: Presenter,
        router: Router,
        events: Events,
        swaps: bool = False,
        pull_clears_first: bool = True,
        *,
        tima_repeats: bool = False,
        pulls_phys: bool = False,
        pool_has_inc_and_age: bool = False,
    ) -> None:
        self.presenter = presenter
        self.router = router
        self.events = events
        self.swaps = swaps
        self.pull_clears_first = pull_clears_first
        self.rings = self.presenter.rings
        self._readable = _access_map("rw", pool_has_inc_and_age)
        self._writable = _access_map("w", pool_has_inc_and_age)
        rows = [*TIMA_OPS, TIMA_PULL_PHYS] if pulls_phys else TIMA_OPS
        times = TIMA_REPEATS if tima_repeats else 1
        self._loads = _decoder([row for row in rows if not row.store], times)
        self._stores = _decoder([row for row in rows if row.store], times)

    def load(self, thread: int, offset: int, size: int) -> int:
        """Load `size` aligned bytes at `offset` of the TIMA as `thread`."""
        op = self._loads[(offset >> 16 & 3) << 16 | (offset & _OFFSET_MASK) << 4 | size]
        if op:
            value = self._perform_load(op, thread, size)
        elif offset & _SPECIAL:
            self.events.tell("tima_special_load", offset)
            return _ALL_ONES
        else:
            value = self._raw_load(thread, offset, size)
        if self.events.on:
            self.events.tell("xive_tctx_tm_read", offset, size, value)
        return value

    def store(self, thread: int, offset: int, size: int, value: int) -> None:
        """Store `size` aligned bytes at `offset` of the TIMA as `thread`."""
        if self.events.on:
            self.events.tell("xive_tctx_tm_write", offset, size, value)
        op = self._stores[(offset >> 16 & 3) << 16 | (offset & _OFFSET_MASK) << 4 | size]
        if op:
            self._perform_store(op, thread, value)
        elif offset & _SPECIAL:
            self.events.tell("tima_store", offset)
        else:
            self._raw_store(thread, offset, size, value)

    # Special operations. Compiled, these ladders are jump tables; the rows that they serve are `spec.xive.TIMA_OPS`.

    def _perform_load(self, op: int, thread: int, size: int) -> int:
        if op == _ACCEPT_OS:
            return self.presenter.accept(thread, _OS)
        if op == _ACCEPT_HV:
            return self.presenter.accept(thread, _PHYS)
        if op == _PULL_OS_CTX:
            return self.pull_os(thread)
        if op == _PULL_POOL_CTX:
            return self.pull_pool(thread)
        if op == _PULL_PHYS_CTX:
            return self.pull_phys(thread)
        assert op == _VT_POLL
        return self.rings[thread * _SIZE + _PHYS + _W2]

    def _perform_store(self, op: int, thread: int, value: int) -> None:
        if op == _SET_OS_CPPR:
            self.presenter.set_cppr(thread, _OS, value)
        elif op == _SET_HV_CPPR:
            self.presenter.set_cppr(thread, _PHYS, value)
        elif op == _SET_OS_PENDING:
            self.presenter.set_pending(thread, _OS, value)
        elif op == _PUSH_OS_CTX:
            self.push_os(thread, value)
        else:
            assert op == _VT_PUSH
            self.rings[thread * _SIZE + _PHYS + _W2] = value
            self.presenter.reindex(thread)

    def _pulled(self, w2: int) -> int:
        return words.swap(w2, 4) if self.swaps else w2

    def pull_os(self, thread: int) -> int:
        """Take the OS context off the thread: its CAM line no longer matches, its line falls. Return word 2."""
        w2 = self.presenter.w2(thread, _OS)
        if not w2 & _VALID:
            self.events.tell("pull_invalid", (w2 & _CAM_BLOCK) >> _CAM_BLOCK_SHIFT, w2 & _CAM_INDEX)
        self.presenter.set_w2(thread, _OS, w2 & ~_VALID)
        self.presenter.lower(thread, _OS)
        return self._pulled(w2)

    def pull_pool(self, thread: int) -> int:
        """Take the pool context off the thread. Return word 2."""
        w2 = self.presenter.w2(thread, _POOL)
        self.presenter.set_w2(thread, _POOL, w2 & ~_VALID)
        return self._pulled(w2 & ~_VALID if self.pull_clears_first else w2)

    def pull_phys(self, thread: int) -> int:
        """Take the physical context off the thread; its line falls. Return byte 0 of word 2, no longer valid."""
        w2 = self.presenter.w2(thread, _PHYS) & ~_VALID
        self.presenter.set_w2(thread, _PHYS, w2)
        self.presenter.lower(thread, _PHYS)
        return w2 >> 24

    def push_os(self, thread: int, w2: int) -> None:
        """Give the thread an OS context, and what its NVT had to keep for it."""
        self.presenter.set_w2(thread, _OS, w2)
        if w2 & _VALID:
            ipb = self.router.resend((w2 & _CAM_BLOCK) >> _CAM_BLOCK_SHIFT, w2 & _CAM_INDEX)
            if ipb >= 0:
                self.presenter.ipb_update(thread, _OS, ipb)

    # Raw accesses

    def _permitted(self, view_map: bytearray, offset: int, size: int) -> int:
        """Return the mask of the bytes that a view may access; 0 where a raw access is refused."""
        if size < _RAW_MIN or not offset & 0x30:
            return 0
        return words.load_be(view_map, (offset >> 16 & 3) * _SIZE + (offset & 0x3F), size)

    def _raw_load(self, thread: int, offset: int, size: int) -> int:
        mask = self._permitted(self._readable, offset, size)
        if not mask:
            self.events.tell("tima_load", offset)
            return _ALL_ONES
        return words.load_be(self.rings, thread * _SIZE + (offset & 0x3F), size) & mask

    def _raw_store(self, thread: int, offset: int, size: int, value: int) -> None:
        mask = self._permitted(self._writable, offset, size)
        at = thread * _SIZE + (offset & 0x3F)
        if mask:
            old = words.load_be(self.rings, at, size)
            words.store_be(self.rings, at, size, (old & ~mask) | (value & mask))
            self.presenter.reindex(thread)
        else:
            self.events.tell("tima_store", offset)
