"""CPUs and devices of a real pseries machine with XICS, and our model, driven alike."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from outboard.qemu import QemuBinary
from outboard.spapr import xics_hcalls
from outboard.spec.papr import RTAS_HCALL, XICS_HCALLS, XICS_RTAS_CALLS
from tests.qemu.xics_twin import CELLS, CLAIMED, CLAIMER, LINES, MSI, RAM_MIB, Pair, pair

pytestmark = pytest.mark.alike

ALL = 0xFFFFFFFF
UNTOUCHED = 0xEEEEEEEE
TOKENS = {row.name.removeprefix("ibm,"): row for row in XICS_RTAS_CALLS}
NUMBERS = (0x1000, 0x1001, 0x1100, 0x1200, *LINES.values(), MSI, MSI, CLAIMED, CLAIMED, 0x1400, 0x1FFF)
PRIORITIES = (0, 3, 3, 4, 5, 5, 6, 7, 0xFE, 0xFF)


def any_hcall(both: Pair, cpu: int, rng: random.Random) -> None:
    row = rng.choice(XICS_HCALLS)
    some = {
        "xirr": lambda: rng.choice((*PRIORITIES, 0xFF, 0xFF)) << 24 | rng.choice((*NUMBERS, 0, 2, 0x2000, 0xFFFFFF)),
        "cppr": lambda: rng.choice((*PRIORITIES, 0x105, (1 << 64) - 1)),
        "mfrr": lambda: rng.choice((*PRIORITIES, 0x105)),
        "server": lambda: rng.choice((*both.ids, *both.ids, 1 << 32, 99, (1 << 64) - 1)),
    }
    both.hcall(cpu, row.name, *(some[name]() for name in row.arguments))


def any_rtas(both: Pair, cpu: int, rng: random.Random) -> None:
    row = rng.choice((*XICS_RTAS_CALLS, TOKENS["set-xive"], TOKENS["set-xive"]))
    some = {
        "number": lambda: rng.choice((*NUMBERS, *NUMBERS, 0, 0xFFF, 0x2000, 0xFFFFFFFF)),
        "server": lambda: rng.choice((*both.ids, *both.ids, *both.ids, 99)),
        "priority": lambda: rng.choice((*PRIORITIES, *PRIORITIES, 0x100)),
    }
    arguments = [some[name]() for name in row.arguments]
    if rng.random() < 0.9:
        both.rtas(cpu, row.token, *arguments, nret=len(row.results))
    else:
        both.rtas(cpu, row.token, *arguments, nargs=rng.choice((0, 1, 3, 0x40000001)), nret=rng.randrange(4))


def any_msi(both: Pair, cpu: int, rng: random.Random) -> None:
    number = rng.choice(NUMBERS)
    if both.xics.is_claimed(number) or not both.aborts_at_strangers:
        both.pulse(number)


def any_line(both: Pair, cpu: int, rng: random.Random) -> None:
    both.level(rng.choice(list(LINES)), rng.randrange(2))


def any_claim(both: Pair, cpu: int, rng: random.Random) -> None:
    if not both.xics.is_claimed(CLAIMED):
        both.claim(CLAIMER, CLAIMED)
    elif rng.random() < 0.3:
        both.free(CLAIMER, CLAIMED)


def handle(both: Pair, cpu: int, rng: random.Random) -> None:
    """Take what is there and end it, as an operating system does."""
    xirr = both.hcall(cpu, "H_XIRR")[1]
    if rng.random() < 0.3:
        both.hcall(cpu, "H_IPI", both.ids[cpu], 0xFF)
    both.hcall(cpu, "H_EOI", xirr)


def open_up(both: Pair, cpu: int, rng: random.Random) -> None:
    both.hcall(cpu, "H_CPPR", 0xFF)


STEPS = (any_hcall, any_hcall, any_hcall, any_rtas, any_rtas, any_msi, any_msi, any_line, any_claim, handle, open_up)


@pytest.mark.parametrize(
    ("cpus", "machine", "seed", "count"),
    [(1, "ic-mode=xics", 1, 1500), (2, "ic-mode=xics", 2, 500), (3, "ic-mode=dual,vsmt=4", 3, 200)],
)
def test_anything(qemu_7_ppc: QemuBinary, tmp_path: Path, cpus: int, machine: str, seed: int, count: int) -> None:
    rng = random.Random(seed)
    with pair(qemu_7_ppc, tmp_path, cpus, machine) as both:
        both.devices()
        for at in range(count):
            rng.choice(STEPS)(both, rng.randrange(cpus), rng)
            if at % 20 == 0:
                both.same_pic()
        assert both.done > count


def test_reset(qemu_7_ppc: QemuBinary, tmp_path: Path) -> None:
    """In the middle of everything: an MSI and an IPI are presented, an MSI waits, a line is up."""
    with pair(qemu_7_ppc, tmp_path, 2, "ic-mode=xics") as both:
        for _ in range(2):
            both.devices()
            for number in (0x1100, MSI):
                both.rtas(0, TOKENS["set-xive"].token, number, both.ids[1], 5)
                both.pulse(number)
            both.hcall(1, "H_CPPR", 0xFF)
            both.hcall(0, "H_CPPR", 0xFF)
            both.hcall(1, "H_IPI", both.ids[0], 3)
            both.level(2, 1)
            assert re.search("XIRR=ff000002 .*\nCPU 1 XIRR=ff001100 ", both.same_pic())
            both.reset()
            assert "CPU 1 XIRR=00000000 (0x1) PP=ff" in both.same_pic()
            assert both.rtas(0, TOKENS["get-xive"].token, MSI, nret=3) == (0, 0, 0), "freed by the PHB"
            both.start()


def test_after_xive_was_negotiated(qemu_7_ppc: QemuBinary, tmp_path: Path) -> None:
    """All is refused, but an accept has been made by then."""
    with pair(qemu_7_ppc, tmp_path, 1, "ic-mode=dual") as both:
        for name in ("H_XIRR", "H_XIRR_X"):
            both.hcall(0, "H_CPPR", 0xFF)
            both.hcall(0, "H_IPI", 0, 5)
            assert both.guests[0].negotiate() == 0
            both.model.xive_negotiated = True
            assert both.hcall(0, name)[0] == -1
            assert both.inputs == [False]
            for row in XICS_HCALLS:
                if row.name not in xics_hcalls.ACCEPTS_FIRST:
                    assert both.hcall(0, row.name, 99, 99)[0] == -1
            for call in XICS_RTAS_CALLS:
                assert both.rtas(0, call.token, nret=0) == ()
                assert both.rtas(0, call.token, 0x1200, nret=2) == (ALL, UNTOUCHED)
            both.choose_xics()
            assert "XIRR=05000000 ((nil)) PP=ff MFRR=05" in both.same_pic()
        assert len(both.same_errors()) == 2 * (1 + 4 + 2 * 4)


def test_no_xics(qemu_7_ppc: QemuBinary, tmp_path: Path) -> None:
    with pair(qemu_7_ppc, tmp_path, 1, "ic-mode=xive") as both:
        for row in XICS_HCALLS:
            assert both.hcall(0, row.name, 0, 5)[0] == -2
        for call in XICS_RTAS_CALLS:
            assert both.rtas(0, call.token, 0x1200) == (ALL - 2,)
        assert both.same_errors() == []


def test_cells_anywhere(qemu_7_ppc: QemuBinary, tmp_path: Path) -> None:
    """Addresses that are no memory, or become one when their first bits are cut off; tokens that there are not."""
    with pair(qemu_7_ppc, tmp_path, 1, "ic-mode=xics") as both:
        both.devices()
        call = TOKENS["set-xive"].token
        for high in (0, 0xF << 60, 0x8 << 60, 0x0F << 56):
            both.rtas(0, call, MSI, 0, 5, at=CELLS | high)
        for addr in (0, 2, CELLS + 1, RAM_MIB << 20, (RAM_MIB << 20) - 12, (1 << 64) - 8, (1 << 60) - 4, (1 << 64) - 1):
            both.hcall(0, RTAS_HCALL.opcode, addr)
        for token in (0, 0x1FFF, 0x20FF, 0x2100, 0xFFFFFFFF):
            for nargs in (0, 1, 5, 0x40000002):
                both.rtas(0, token, 1, 2, 3, nargs=nargs)
