"""Regions that are there or not, the pages of ENDs, source pages of every size. Numbers are typed by hand."""

import pytest

from tests.spapr.rig import END_ESB, ESB, LSI, MSI, TIMA, machine, route


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("end_on", [True, False])
def test_regions_that_are_there_or_not(on, end_on):
    xive, told = machine(1)
    route(xive, 0)
    cpu = xive.cpu(0)
    xive.set_regions(esb_and_tima=on, end_esb=end_on)
    told.clear()
    before = xive.snapshot()
    assert cpu.esb(MSI, 0xE00) == 0
    assert xive.source.pq(MSI) == (2 if on else 0)
    cpu.set_cppr(5)
    assert cpu.ring()["CPPR"] == (5 if on else 0)
    assert cpu.load(TIMA + 0x10018, 4) == (0x80000400 if on else 0)
    assert cpu.load(END_ESB + 6 * 0x20000 + 0xE00, 8) == 0
    assert xive.router.read_end(6).esn == (2 if end_on else 0)
    refused = [line for line in told if "rejected" in line]
    assert len(refused) == 3 * (not on) + (not end_on)
    assert (xive.snapshot() == before) == (not on and not end_on)
    call = cpu.hcall("H_INT_ESB", 0, MSI, 0x800, 0)
    assert call == ((0, 0x0200000000000000) if on else (-1,))


def test_the_end_pages():
    xive, told = machine(1)
    route(xive, 0)
    cpu, page = xive.cpu(0), END_ESB + 6 * 0x20000
    xive.set_regions(esb_and_tima=True, end_esb=True)
    for start in (page, page + 0x10000):
        assert [cpu.load(start + 0xC00 + 0x100 * pq, 8) for pq in (1, 2, 3)] == [0, 1, 2]
        assert cpu.load(start + 0x800, 8) == 3
        assert [cpu.load(start, 8) for _ in range(3)] == [1, 0, 0]
        assert cpu.load(start + 0xF00, 8) == 0
    assert (xive.router.read_end(6).esn, xive.router.read_end(6).ese) == (3, 3)
    before = xive.snapshot()
    told.clear()
    assert cpu.load(page + 0x20000 + 0xC00, 8) == (1 << 64) - 1, "an END that is not valid"
    assert cpu.load(END_ESB + 8 * 0x20000, 8) == (1 << 64) - 1, "one that does not exist"
    assert cpu.load(END_ESB + 0x1FFF * 0x20000 + 0x10000, 8) == (1 << 64) - 1
    assert cpu.load(page, 4) == 0
    cpu.store(page + 0xC00, 8, 0)
    cpu.store(page + 0xC00, 4, 0)
    assert xive.snapshot() == before
    assert [line for line in told if not line.startswith(("xive_end_source_read", "memory_region"))] == [
        "XIVE: END 0/7 is invalid",
        "XIVE: No END 0/8",
        "XIVE: No END 0/1fff",
        "Invalid read at addr 0xC0000, size 4, region 'xive.end', reason: invalid size (min:8 max:8)",
        "XIVE: invalid ESB write addr 0xc0c00",
        "Invalid write at addr 0xC0C00, size 4, region 'xive.end', reason: invalid size (min:8 max:8)",
    ]


@pytest.mark.parametrize(
    ("shift", "flags", "lisn", "answer"),
    [
        (17, 0, MSI, (0, ESB + MSI * 0x20000 + 0x10000, ESB + MSI * 0x20000, 16)),
        (17, 0, LSI, (12, -1, -1, 16)),
        (17, 2, MSI, (1, ESB + MSI * 0x20000 + 0x10000, ESB + MSI * 0x20000, 16)),
        (17, 2, LSI, (13, -1, -1, 16)),
        (16, 0, MSI, (2, ESB + MSI * 0x10000, -1, 16)),
        (16, 0, LSI, (14, -1, -1, 16)),
        (13, 0, MSI, (0, ESB + MSI * 0x2000 + 0x1000, ESB + MSI * 0x2000, 12)),
        (13, 0, LSI, (12, -1, -1, 12)),
        (12, 0, MSI, (2, ESB + MSI * 0x1000, -1, 12)),
        (12, 2, LSI, (15, -1, -1, 12)),
    ],
)
def test_pages_of_every_size(shift, flags, lisn, answer):
    xive, _ = machine(1, esb_shift=shift, source_flags=flags)
    cpu = xive.cpu(0)
    wanted = tuple(value % (1 << 64) for value in answer)
    assert cpu.hcall("H_INT_GET_SOURCE_INFO", 0, lisn) == (0, *wanted)
    route(xive, 0, lisn)
    cpu.set_cppr(0xFF)
    cpu.trigger(lisn)
    assert cpu.ack() == 0x8006
    assert (cpu.esb(lisn, 0x800), cpu.eoi(lisn), cpu.esb(lisn, 0x800)) == (2, 0, 0)
    assert cpu.hcall("H_INT_ESB", 0, lisn, 0xE00, 0) == (0, 0)
    assert xive.source.pq(lisn) == 2
    base = 0x6010000000000 + (0x2000 << shift)
    assert cpu.hcall("H_INT_GET_QUEUE_INFO", 0, 0, 6) == (0, base + 6 * 0x20000, 16), "the END pages come right after"
