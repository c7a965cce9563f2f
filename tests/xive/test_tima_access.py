"""Every access to the TIMA, view by view, against a second reading of the documents."""

import random

import pytest

from tests.vectors.xive_layouts import TIMA_OPS
from tests.xive.tima_oracle import Oracle, Oracle10
from tests.xive.tima_rig import TimaRig

VIEWS = pytest.mark.parametrize("view", range(4), ids=["HW", "HV", "OS", "USER"])
SIZES = pytest.mark.parametrize("size", [1, 2, 4, 8])
VERSIONS = pytest.mark.parametrize("of_10", [False, True], ids=["7.2", "10.0"])
# NVTs that there are, and the words 2 that name them or another one.
NVTS = {(0, 0x400): 0x12348456, (0, 0x401): 0x00000000, (3, 0x7FFFF): 0x0000FF00}
W2S = [0x80000400, 0x80000401, 0x801FFFFF, 0xFF9FFFFF, 0x00000400, 0x80000402, 0x80080400, 0]


class Both:
    """Thread 1 of a TIMA and its oracle, which are to agree."""

    def __init__(self, seed, *, of_10=False, **options):
        self.rng = random.Random(seed)
        self.rig = TimaRig(of_10=of_10, **options)
        self.oracle = (Oracle10 if of_10 else Oracle)(1, **options)
        self.others = [self.rig.context(0), self.rig.context(2)]
        self.rig.router.w4 |= NVTS
        self.oracle.nvts |= NVTS

    def shuffle(self):
        """Give the thread any registers at all, but none of POOL that no store can bring about."""
        octets = bytearray(self.rng.randbytes(64))
        octets[0x21] = 0
        if self.rng.random() < 0.5:
            octets[0x18:0x1C] = self.rng.choice(W2S).to_bytes(4, "big")
        self.oracle.regs[:] = octets
        self.rig.put_ring(0, octets.hex())

    def load(self, offset, size):
        assert self.rig.load(offset, size) == self.oracle.load(offset, size)
        self.compare()

    def store(self, offset, size):
        value = self.rng.choice(W2S) if size == 4 and self.rng.random() < 0.5 else self.rng.getrandbits(8 * size)
        self.rig.store(offset, size, value)
        self.oracle.store(offset, size, value)
        self.compare()

    def compare(self):
        assert self.rig.told() == self.oracle.told
        self.oracle.told.clear()
        assert self.rig.context() == self.oracle.regs
        assert self.rig.outputs() == self.oracle.outputs

    def finish(self):
        assert [self.rig.context(0), self.rig.context(2)] == self.others
        assert [self.rig.outputs(0), self.rig.outputs(2)] == [0, 0]
        assert self.rig.router.w4 == self.oracle.nvts


@VERSIONS
@VIEWS
@SIZES
@pytest.mark.parametrize("direction", ["load", "store"])
def test_every_aligned_access_does_what_its_view_allows(view, size, direction, of_10):
    both = Both(f"{view} {size} {direction}", of_10=of_10)
    for offset in range(0, 0x1000, size):
        if offset % 32 == 0:
            both.shuffle()
        getattr(both, direction)(view << 16 | offset, size)
    both.finish()


@VERSIONS
@VIEWS
@SIZES
def test_pages_repeat_every_4_kib(view, size, of_10):
    both = Both(f"{view} {size}", of_10=of_10)
    for repeat in range(1, 16):
        both.shuffle()
        offsets = {at for _, _, at, *_ in TIMA_OPS if at % size == 0} | {0x10, 0x18, 0x28, 0x38, 0x7F8, 0x800, 0xC10}
        for offset in sorted(offsets):
            both.load(view << 16 | repeat << 12 | offset, size)
            both.store(view << 16 | repeat << 12 | offset, size)
    both.finish()


@VERSIONS
@pytest.mark.parametrize("swaps", [False, True])
@pytest.mark.parametrize("pull_clears", [False, True])
def test_any_sequence_of_accesses_agrees(swaps, pull_clears, of_10):
    both = Both(f"{swaps} {pull_clears}", of_10=of_10, swaps=swaps, pull_clears_first=pull_clears)
    for step in range(4000):
        if step % 200 == 0:
            both.shuffle()
        _, view, offset, sizes, direction = both.rng.choice(both.oracle.ops)
        size = both.rng.choice(sizes)
        offset += 0x40 * both.rng.choice((0, 0, 0, 1, 15, 16))
        if both.rng.random() < 0.3:
            size = both.rng.choice((4, 8))
            offset = both.rng.randrange(0, 0x40, size)
            direction = both.rng.choice(("load", "store"))
        getattr(both, direction)(both.rng.randrange(view + 1) << 16 | offset, size)
        if step % 50 == 0:
            both.rig.router.w4 |= NVTS
            both.oracle.nvts |= NVTS
    both.finish()


def test_a_walk_without_listeners_is_the_same():
    loud, quiet = TimaRig(), TimaRig()
    quiet.events.unlisten(quiet.listener)
    rng = random.Random(1)
    for _ in range(3000):
        size = rng.choice((1, 2, 4, 8))
        offset = rng.randrange(0, 0x40000, size) & 0x3F83F
        if rng.random() < 0.5:
            assert loud.load(offset, size) == quiet.load(offset, size)
        else:
            value = rng.getrandbits(8 * size)
            loud.store(offset, size, value)
            quiet.store(offset, size, value)
    assert loud.context() == quiet.context()
    assert quiet.told() == []
