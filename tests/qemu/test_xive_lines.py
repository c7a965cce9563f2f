"""The interrupt controller of a real pseries machine and our model, driven alike: answers, log lines and `info pic`.

No guest runs: ESB pages are loaded and stored over qtest. The TIMA is left out, QEMU 7.2 has it for CPUs only.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from outboard.qemu import QemuBinary
from outboard.spapr import lisn
from outboard.spec.papr import ESB_BASE, ESB_SHIFT, NR_IRQS, TIMA_BASE
from outboard.spec.xive import TIMA_SIZE
from tests.qemu.xive_twin import Twin, monitor, twin

NVRAM = (0x1101, 0)
MANAGEMENT = 0x10000
SET_PQ = 0xC00
UNCLAIMED = 0x1400
LISNS = (0, 1, 0x1000, 0x1100, 0x1200, UNCLAIMED, NR_IRQS - 1)
OFFSETS = (0, 8, 0x3F8, 0x400, 0x7F8, 0x800, 0xBF8, 0xC00, 0xCF8, 0xD00, 0xDF8, 0xE00, 0xEF8, 0xF00, 0xFF8, 0x1800)


def esb(number: int, offset: int = 0) -> int:
    """The address of a source's pages."""
    return ESB_BASE + (number << ESB_SHIFT) + offset


@pytest.fixture(params=["xive", "dual"])
def pair(request: pytest.FixtureRequest, qemu_7_ppc: QemuBinary, tmp_path: Path) -> Iterator[Twin]:
    """A machine that was just made; with XICS beside, the END ESB pages are there."""
    with twin(qemu_7_ppc, tmp_path, "-S", mode=request.param) as both:
        both.xive.set_regions(esb_and_tima=True, end_esb=request.param == "dual")
        yield both
        if request.param == "xive":  # the other shows XICS
            both.same_pic()


def test_what_is_claimed_at_the_start(pair: Twin) -> None:
    ours = [(number, int(is_lsi)) for number, is_lsi in lisn.at_start(nr_servers=2)]
    assert sorted({*ours, NVRAM}) == pair.claims


def test_regions(pair: Twin) -> None:
    tree = monitor(pair.vm, "info mtree -f")
    found = re.findall(r"^ +([0-9a-f]+)-([0-9a-f]+) \(prio 0, i/o\): (xive\.\S+)$", tree, re.MULTILINE)
    bus = pair.xive.bus
    ends = [(bus.end_base, bus.ends.size, "xive.end")] if bus.end_esb_on else []
    expected = [
        (ESB_BASE, bus.source.size, "xive.esb-emulated"),
        *ends,
        (TIMA_BASE, TIMA_SIZE, "xive.tima"),
    ]
    assert [(int(first, 16), int(last, 16) - int(first, 16) + 1, name) for first, last, name in found] == expected


@pytest.mark.parametrize("page", [0, MANAGEMENT], ids=["trigger", "management"])
def test_every_operation_in_every_state(pair: Twin, page: int) -> None:
    for number in LISNS:
        for pq in range(4):
            for offset in OFFSETS:
                pair.store(esb(number, MANAGEMENT + SET_PQ + 0x100 * pq), 8, 0)
                pair.load(esb(number, page + offset), 8)
                pair.store(esb(number, MANAGEMENT + SET_PQ + 0x100 * pq), 8, 0)
                pair.store(esb(number, page + offset), 8, offset << 40 | number)


def test_sizes_and_alignments(pair: Twin) -> None:
    places = (esb(0, 0xFF8), esb(0, MANAGEMENT), esb(0x1200, MANAGEMENT + 0xD00), esb(NR_IRQS) - 8, esb(NR_IRQS))
    for addr in (*places, esb(2 * NR_IRQS) - 8, esb(2 * NR_IRQS), 0x7000_0000, TIMA_BASE - 16):
        for size in (1, 2, 4, 8):
            for shift in range(8):
                pair.load(addr + shift, size)
                pair.store(addr + shift, size, 0x1122334455667788 & ((1 << 8 * size) - 1))


def test_anything(pair: Twin) -> None:
    rng = random.Random(7)
    for _ in range(1500):
        number = rng.choice((*LISNS, rng.randrange(NR_IRQS), NR_IRQS + rng.randrange(16), rng.randrange(3 * NR_IRQS)))
        addr = esb(number, rng.randrange(1 << ESB_SHIFT))
        size = rng.choice((8, 8, 8, 8, 4, 2, 1))
        if rng.random() < 0.8:
            addr &= ~(size - 1)
        if rng.random() < 0.5:
            pair.load(addr, size)
        else:
            pair.store(addr, size, rng.randrange(1 << 8 * size))


def test_reset(pair: Twin) -> None:
    for number in LISNS:
        pair.store(esb(number, MANAGEMENT + SET_PQ), 8, 0)
        pair.store(esb(number), 8, 0)
    pair.reset()
    for number in LISNS:
        pair.load(esb(number, MANAGEMENT + 0x800), 8)
