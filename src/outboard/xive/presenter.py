"""IVPE, the interrupt virtualization presentation engine: thread contexts, and the search for the one to interrupt.

Source: QEMU docs/specs/ppc-xive, "XIVE thread interrupt context", "CAM" matching as the hardware model of QEMU 7.2
does it; by its switches also what is pending as QEMU 10.0 presents it. Modelled: the rings of every thread, output
lines, matching for specific NVTs and for user-level events.
Not modelled: logical servers (groups), which generation 1 of the model refuses.
"""

from array import array

import outboard.guest.words as words
from outboard.errors import LocalError
from outboard.spec.xive import (
    EXCEPTION,
    HW_CAM_PIR_MASK,
    HW_CAM_THREAD,
    NSR_GROUP,
    NSR_HE_POOL,
    PRIORITY_MAX,
    RING_SIZE,
    TCTX_RESET,
    TCTX_SIZE,
    Cam,
    Reg,
    Ring,
    RingW2,
    ipb_bit,
    pipr_of,
)
from outboard.xive.events import Events

_NSR, _CPPR, _IPB, _PIPR, _W2 = Reg.NSR, Reg.CPPR, Reg.IPB, Reg.PIPR, Reg.W2
_USER, _OS, _POOL, _PHYS = Ring.USER, Ring.OS, Ring.POOL, Ring.PHYS
_VALID, _CAM, _SERVER = RingW2.valid.mask, RingW2.cam.mask, RingW2.logical_server.mask
_SIZE, _RING = TCTX_SIZE, RING_SIZE
_PRIORITY_MAX = PRIORITY_MAX
_NOTIFIES_OS, _TAKES_OS = EXCEPTION[Ring.OS]
_NOTIFIES_PHYS, _TAKES_PHYS = EXCEPTION[Ring.PHYS]
_ALL = 0xFF
"""Of NSR: every bit."""
_CAM_BLOCK_SHIFT = Cam.nvt_block.shift
_HASH = 0x9E3779B1
"""Spreads CAM lines over the index: 2**32 over the golden ratio."""
_WORD = 0xFFFFFFFF
_NONE = -1

EXTERNAL = 1
HYPERVISOR = 2
"""Bits of a thread's output lines: external interrupt, hypervisor virtualization interrupt."""
_EXTERNAL, _HYPERVISOR = EXTERNAL, HYPERVISOR

NOWHERE, SEVERAL = -1, -2
"""What `match` answers when no thread has an NVT, or more than one."""
_NOWHERE, _SEVERAL = NOWHERE, SEVERAL

_FRESH = bytearray(TCTX_SIZE)
for _ring, _registers in TCTX_RESET.items():
    for _register, _value in _registers.items():
        _FRESH[_ring + _register] = _value
_PIPRS = bytes(pipr_of(ipb) for ipb in range(256))
_BITS = bytes(ipb_bit(priority) for priority in range(256))


class Presenter:
    """The contexts of `threads` hardware threads.

    rings: 64 bytes a thread, as the TIMA shows them; lines: one byte a thread, bits EXTERNAL and HYPERVISOR;
    enabled: one byte a thread, 1 where the search looks. The threads that have a CAM line in a valid ring are found
    through an index, chains of (thread, ring) by hash of the CAM line; it follows the rings and is no state.
    says_undispatched: report an NVT that no thread has, as the pseries machine does. block_id: of the CAM lines that
    the threads have as such, in their PHYS rings. pipr_follows_cppr: compute PIPR when CPPR is set (that of PHYS from
    what a valid POOL has pending, too) and not at an acknowledge. nsr_as_a_whole: set and clear NSR, not only bits of
    it. group_level_in_nsr: an acknowledge takes any NSR; what is a group's stays in IPB. pool_is_presented: POOL has
    the NSR, PIPR and line of PHYS.
    """

    def __init__(
        self,
        pirs: list[int],
        events: Events,
        says_undispatched: bool = False,
        block_id: int = 0,
        *,
        pipr_follows_cppr: bool = False,
        nsr_as_a_whole: bool = False,
        group_level_in_nsr: bool = False,
        pool_is_presented: bool = False,
    ) -> None:
        if not pirs or any(not 0 <= pir <= 0xFFFFFFFF for pir in pirs):
            raise LocalError(f"a presenter needs threads with PIRs of 32 bits, got {len(pirs)} of them")
        self.threads = len(pirs)
        self.events = events
        self.says_undispatched = says_undispatched
        self.rings = bytearray(_SIZE * self.threads)
        self.lines = bytearray(self.threads)
        self.enabled = bytearray(self.threads)
        block = Cam.make(nvt_block=block_id).words[0]
        self.hw_cams = array("I", [block | HW_CAM_THREAD | pir & HW_CAM_PIR_MASK for pir in pirs])
        # One entry a ring, number 4 * thread + ring / 16; chains are closed by -1.
        bits = max(6, (2 * self.threads - 1).bit_length())
        self._hash_shift = 32 - bits
        self._heads = array("i", [_NONE]) * (1 << bits)
        self._next = array("i", [_NONE]) * (4 * self.threads)
        self._previous = array("i", [_NONE]) * (4 * self.threads)
        self._keys = array("I", [0]) * (4 * self.threads)
        self._linked = bytearray(4 * self.threads)
        self._piprs = bytearray(_PIPRS)
        self._bits = bytearray(_BITS)
        self.pipr_follows_cppr = pipr_follows_cppr
        # Of NSR: what a notification and an acknowledge leave, what an acknowledge takes, what is a group's or POOL's.
        self._kept = 0 if nsr_as_a_whole else _ALL
        self._takes_os = _ALL if group_level_in_nsr else _TAKES_OS
        self._takes_phys = _ALL if group_level_in_nsr else _TAKES_PHYS
        self._group = NSR_GROUP if group_level_in_nsr else 0
        self._pool = NSR_HE_POOL if pool_is_presented else 0
        self._elsewhere = self._group | self._pool
        for thread in range(self.threads):
            self.reset(thread)

    def tables(self) -> dict[str, memoryview]:
        """Return the state by name. Who writes to it calls `reindex` for every thread then."""
        return {"rings": memoryview(self.rings), "lines": memoryview(self.lines), "enabled": memoryview(self.enabled)}

    def reset(self, thread: int) -> None:
        """Reset the thread's context; its lines fall."""
        memoryview(self.rings)[thread * _SIZE : (thread + 1) * _SIZE] = _FRESH
        self.lines[thread] = 0
        self.reindex(thread)

    def enable(self, thread: int, enabled: bool) -> None:
        """Let the search find the thread, or not."""
        self.enabled[thread] = 1 if enabled else 0
        self.reindex(thread)

    def is_enabled(self, thread: int) -> bool:
        """Return whether the search finds the thread."""
        return self.enabled[thread] != 0

    # Words 2 and the index that follows them

    def w2(self, thread: int, ring: int) -> int:
        """Return word 2 of a ring."""
        return words.load_be32(self.rings, thread * _SIZE + ring + _W2)

    def set_w2(self, thread: int, ring: int, value: int) -> None:
        """Set word 2 of a ring."""
        words.store_be32(self.rings, thread * _SIZE + ring + _W2, value)
        self.reindex(thread)

    def reindex(self, thread: int) -> None:
        """Bring the index up to date with the words 2 of the thread's rings."""
        self._place(4 * thread + 1, self.w2(thread, _OS) & _CAM, self.w2(thread, _OS))
        self._place(4 * thread + 2, self.w2(thread, _POOL) & _CAM, self.w2(thread, _POOL))
        self._place(4 * thread + 3, self.hw_cams[thread], self.w2(thread, _PHYS))

    def _place(self, entry: int, cam: int, w2: int) -> None:
        wanted = w2 & _VALID != 0 and self.enabled[entry >> 2] != 0
        if self._linked[entry] and (not wanted or self._keys[entry] != cam):
            self._unlink(entry)
        if wanted and not self._linked[entry]:
            self._link(entry, cam)

    def _link(self, entry: int, cam: int) -> None:
        slot = (cam * _HASH & _WORD) >> self._hash_shift
        first = self._heads[slot]
        self._keys[entry] = cam
        self._next[entry] = first
        self._previous[entry] = _NONE
        if first != _NONE:
            self._previous[first] = entry
        self._heads[slot] = entry
        self._linked[entry] = 1

    def _unlink(self, entry: int) -> None:
        before, after = self._previous[entry], self._next[entry]
        if before != _NONE:
            self._next[before] = after
        else:
            self._heads[(self._keys[entry] * _HASH & _WORD) >> self._hash_shift] = after
        if after != _NONE:
            self._previous[after] = before
        self._linked[entry] = 0

    # The search

    def match(self, user: bool, nvt_blk: int, nvt_idx: int, log_server_id: int) -> int:
        """Return 64 * thread + ring of the one context that has the NVT, or NOWHERE, or SEVERAL.

        user: look for a user-level event's server `log_server_id` instead of the NVT itself.
        """
        cam = nvt_blk << _CAM_BLOCK_SHIFT | nvt_idx
        found = _NONE
        ring = 0
        entry = self._heads[(cam * _HASH & _WORD) >> self._hash_shift]
        while entry != _NONE:
            if self._keys[entry] == cam and (not user or self._serves(entry, log_server_id)):
                if found == _NONE:
                    found = entry >> 2
                    ring = entry & 3
                elif found != entry >> 2:
                    self.events.tell("duplicate_nvt", nvt_blk, nvt_idx)
                    return _SEVERAL
                elif ring < entry & 3:  # of one thread's rings, PHYS comes before POOL and POOL before OS
                    ring = entry & 3
            entry = self._next[entry]
        if found == _NONE:
            return _NOWHERE
        return found * _SIZE + (_USER if user else ring << 4)

    def _serves(self, entry: int, log_server_id: int) -> bool:
        w2 = self.w2(entry >> 2, _USER)
        return entry & 3 == 1 and w2 & _VALID != 0 and w2 & _SERVER == log_server_id

    def present(
        self, user: bool, nvt_blk: int, nvt_idx: int, cam_ignore: bool, priority: int, log_server_id: int
    ) -> bool:
        """Deliver an event of `priority` to the thread that has the NVT; false when there is none, or more than one."""
        if cam_ignore and not user:
            self._refuse_logical_server(nvt_blk, nvt_idx)
            at = _NOWHERE
        else:
            at = self.match(user, nvt_blk, nvt_idx, log_server_id)
        if at >= 0:
            if self.events.on:
                self.events.tell("xive_presenter_notify", nvt_blk, nvt_idx, at & 0x30)
            self.ipb_update(at >> 6, at & 0x30, self._bits[priority])
            return True
        if at == _NOWHERE and self.says_undispatched:
            self.events.tell("not_dispatched", nvt_blk, nvt_idx)
        return False

    def _refuse_logical_server(self, nvt_blk: int, nvt_idx: int) -> None:
        """Every context says for itself that it cannot tell whether it is meant."""
        if self.events.on:
            for _ in range(sum(self.enabled)):
                self.events.tell("logical_server", nvt_blk, nvt_idx)

    # The rings

    def ipb_update(self, thread: int, ring: int, bits: int) -> None:
        """Make priorities pending in a ring."""
        at = thread * _SIZE + ring
        self.rings[at + _IPB] |= bits
        if ring == _POOL and self._pool:
            self.rings[at + _RING + _PIPR] = self._piprs[self.rings[at + _IPB]]
            self._notify_pool(thread)
        else:
            self.rings[at + _PIPR] = self._piprs[self.rings[at + _IPB]]
            self.notify(thread, ring)

    def set_pending(self, thread: int, ring: int, priority: int) -> None:
        """Make `priority` (0 to 255; above 7 there is no bit for it) pending in a ring."""
        self.ipb_update(thread, ring, self._bits[priority])

    def notify(self, thread: int, ring: int) -> None:
        """Raise the ring's exception when what is pending is more favoured than what the thread is at."""
        at = thread * _SIZE + ring
        if self.rings[at + _PIPR] < self.rings[at + _CPPR] and ring & 0x10:  # POOL and USER have no exception
            if ring == _OS:
                self.rings[at + _NSR] = self.rings[at + _NSR] & self._kept | _NOTIFIES_OS
                self.lines[thread] |= _EXTERNAL
            else:
                self.rings[at + _NSR] = self.rings[at + _NSR] & self._kept | _NOTIFIES_PHYS
                self.lines[thread] |= _HYPERVISOR
            if self.events.on:
                self._tell("xive_tctx_notify", thread, ring, self.rings[at + _CPPR])

    def _notify_pool(self, thread: int) -> None:
        """Raise the exception of the PHYS ring, whose PIPR is POOL's now, as `notify` does."""
        at = thread * _SIZE + _PHYS
        if self._pool and self.rings[at + _PIPR] < self.rings[at + _CPPR]:
            self.rings[at + _NSR] = self.rings[at + _NSR] & self._kept | self._pool
            self.lines[thread] |= _HYPERVISOR
            if self.events.on:
                self._tell("xive_tctx_notify", thread, _POOL, self.rings[at + _CPPR])

    def _tell(self, event: str, thread: int, ring: int, cppr: int) -> None:
        # Compiled, a call through the class's table: it stays out of its callers.
        at = thread * _SIZE + ring
        ipb = self.rings[at + _IPB]
        if ring == _POOL and self._pool:
            at += _RING
        pipr, nsr = self.rings[at + _PIPR], self.rings[at + _NSR]
        self.events.tell(event, thread, ring, ipb, pipr, cppr, nsr)

    def lower(self, thread: int, ring: int) -> None:
        """Lower the ring's output line."""
        self.lines[thread] &= ~_EXTERNAL if ring == _OS else ~_HYPERVISOR

    def accept(self, thread: int, ring: int) -> int:
        """Acknowledge: take the pending priority as CPPR. Return NSR as it was and CPPR as it is, 16 bits."""
        at = thread * _SIZE + ring
        self.lower(thread, ring)
        nsr = self.rings[at + _NSR]
        taken = self._takes_os if ring == _OS else self._takes_phys
        if nsr & taken:
            cppr = self.rings[at + _PIPR]
            self.rings[at + _CPPR] = cppr
            if nsr & self._elsewhere:
                ring = self._take_elsewhere(thread, ring, nsr, cppr)
            else:
                self.rings[at + _IPB] &= ~self._bits[cppr]
            if not self.pipr_follows_cppr:
                self.rings[at + _PIPR] = self._piprs[self.rings[at + _IPB]]
            self.rings[at + _NSR] = nsr & ~taken & self._kept
            if self.events.on:
                self._tell("xive_tctx_accept", thread, ring, cppr)
        return nsr << 8 | self.rings[at + _CPPR]

    def _take_elsewhere(self, thread: int, ring: int, nsr: int, cppr: int) -> int:
        """Take a priority that may be a group's, which is in no IPB, or POOL's; return the ring that it was of."""
        if ring == _PHYS and nsr & self._pool:
            ring = _POOL
        if not nsr & self._group:
            self.rings[thread * _SIZE + ring + _IPB] &= ~self._bits[cppr]
        return ring

    def set_cppr(self, thread: int, ring: int, cppr: int) -> None:
        """Set the priority that the thread is at; one that is no priority masks nothing."""
        at = thread * _SIZE + ring
        if self.events.on:
            self._tell("xive_tctx_set_cppr", thread, ring, cppr)
        self.rings[at + _CPPR] = 0xFF if cppr > _PRIORITY_MAX else cppr
        if self.pipr_follows_cppr:
            self._recompute(thread, ring)
        else:
            self.notify(thread, ring)

    def _recompute(self, thread: int, ring: int) -> None:
        """Compute a ring's PIPR anew, that of PHYS from POOL, too, and notify the ring that it comes from."""
        at = thread * _SIZE + ring
        pipr = pool = self._piprs[self.rings[at + _IPB]]
        if ring == _PHYS and self.w2(thread, _POOL) & _VALID:
            pool = self._piprs[self.rings[at - _RING + _IPB]]
        self.rings[at + _PIPR] = min(pipr, pool)
        if pool < pipr:
            self._notify_pool(thread)
        else:
            self.notify(thread, ring)


assert RING_SIZE == 16 and _SIZE == 64, "entries and places are taken apart by shifts"
