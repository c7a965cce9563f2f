"""Loads and stores on ESB pages: every state of every kind of source, every offset, every page setting.

The tables below are typed from QEMU docs/specs/ppc-xive, "XIVE ESB", and from what QEMU 7.2 answers.
"""

import pytest

from tests.xive.rig import Rig

# Status of a source (4: level high; 2: P; 1: Q): status afterwards, value loaded, whether forwarded.
EOI_MSI = {0: (0, 0, False), 2: (0, 0, False), 3: (2, 1, True), 1: (1, 0, False)}
EOI_LSI = EOI_MSI | {4: (6, 1, True), 6: (6, 1, True), 7: (6, 0, False), 5: (5, 0, False)}
TRIGGER_MSI = {0: (2, True), 2: (3, False), 3: (3, False), 1: (1, False)}
TRIGGER_LSI = TRIGGER_MSI | {4: (6, True), 6: (7, False), 7: (7, False), 5: (5, False)}
ALL_ONES = 0xFFFFFFFFFFFFFFFF

# First and last 8 bytes of each range of offsets, and what they do.
LOADS = {
    **dict.fromkeys((0x000, 0x008, 0x3F8, 0x400, 0x7F8), "eoi"),
    **dict.fromkeys((0x800, 0xBF8), "get"),
    **dict.fromkeys((0xC00, 0xCF8), "set 0"),
    **dict.fromkeys((0xD00, 0xDF8), "set 1"),
    **dict.fromkeys((0xE00, 0xEF8), "set 2"),
    **dict.fromkeys((0xF00, 0xFF8), "set 3"),
}
STORES = LOADS | {
    **dict.fromkeys((0x000, 0x008, 0x3F8), "trigger"),
    **dict.fromkeys((0x400, 0x7F8), "store eoi"),
    **dict.fromkeys((0x800, 0xBF8), "inject"),
}

# Shift: bytes of a source, bytes of its trigger page.
SETTINGS = {12: (0x1000, 0), 13: (0x2000, 0x1000), 16: (0x10000, 0), 17: (0x20000, 0x10000)}
MSI, LSI = 5, 13
KINDS = {MSI: (0, 1, 2, 3), LSI: (0, 1, 2, 3, 4, 5, 6, 7)}
FLAGS = {0: "", 2: "store EOI", 4: "no PQ", 6: "store EOI, no PQ"}


def end(srcno, before, flags):
    """Return an EOI's status afterwards, value, whether forwarded, and log line."""
    if flags & 4 and srcno == MSI:
        return before, 0, False, ["XIVE: invalid EOI for IRQ 5"]
    return *(EOI_LSI if srcno == LSI else EOI_MSI)[before], []


def expect_load(does, srcno, before, flags):
    if does == "eoi":
        return end(srcno, before, flags)
    after = before if does == "get" else before & 4 | int(does[-1])
    return after, before & 3, False, []


def expect_trigger(srcno, before, flags):
    if flags & 4 and srcno == MSI:
        return before, True, []
    after, forwards = (TRIGGER_LSI if srcno == LSI else TRIGGER_MSI)[before]
    return after, forwards, ["XIVE: queued an event on LSI IRQ 13"] if srcno == LSI and after & 3 == 3 else []


def expect_store(does, srcno, before, flags):
    if does == "trigger":
        return expect_trigger(srcno, before, flags)
    if does == "store eoi":
        if not flags & 2:
            return before, False, [f"XIVE: invalid Store EOI for IRQ {srcno}"]
        after, _, forwards, lines = end(srcno, before, flags)
        return after, forwards, lines
    if does == "inject":
        return before, True, []
    return before & 4 | int(does[-1]), False, []


def pages(shift):
    """Return the offsets of the 4 KiB pieces of a source's pages, and whether each is of the trigger page."""
    size, trigger_page = SETTINGS[shift]
    return [(at, at < trigger_page) for at in range(0, size, 0x1000)]


@pytest.fixture(params=SETTINGS)
def shift(request):
    return request.param


@pytest.fixture(params=FLAGS, ids=FLAGS.values())
def flags(request):
    return request.param


@pytest.fixture(params=KINDS, ids=["MSI", "LSI"])
def srcno(request):
    return request.param


def forwards_of(srcno, flags, forwards):
    return [(srcno, not (flags & 4 and srcno == MSI))] if forwards else []


def check_load(rig, addr, srcno, flags, status, outcome):
    after, value, forwards, lines = outcome
    rig.put(srcno, status)
    assert rig.source.load(addr) == value
    lines = lines + [f"forward {srcno:#x}"] * forwards
    lines.append(f"xive_source_esb_read @{addr:#x} IRQ {srcno:#x} val={value:#x}")
    assert rig.listener.lines == lines
    assert rig.status(srcno) == after
    assert rig.take() == forwards_of(srcno, flags, forwards)


def check_store(rig, addr, srcno, flags, status, outcome):
    after, forwards, lines = outcome
    rig.put(srcno, status)
    rig.source.store(addr, 0x1122334455667788)
    assert rig.listener.lines == [
        f"xive_source_esb_write @{addr:#x} IRQ {srcno:#x} val=0x1122334455667788",
        *lines,
        *[f"forward {srcno:#x}"] * forwards,
    ]
    assert rig.status(srcno) == after
    assert rig.take() == forwards_of(srcno, flags, forwards)


def test_loads_of_the_management_page(shift, flags, srcno):
    rig = Rig(shift, flags)
    for at in (at for at, triggers in pages(shift) if not triggers):
        for offset, does in LOADS.items():
            for status in KINDS[srcno]:
                outcome = expect_load(does, srcno, status, flags)
                check_load(rig, (srcno << shift) + at + offset, srcno, flags, status, outcome)


def test_stores_on_the_management_page(shift, flags, srcno):
    rig = Rig(shift, flags)
    for at in (at for at, triggers in pages(shift) if not triggers):
        for offset, does in STORES.items():
            for status in KINDS[srcno]:
                outcome = expect_store(does, srcno, status, flags)
                check_store(rig, (srcno << shift) + at + offset, srcno, flags, status, outcome)


@pytest.mark.parametrize("two_pages", [13, 17])
def test_stores_on_the_trigger_page_trigger(two_pages, flags, srcno):
    rig = Rig(two_pages, flags)
    for at in (at for at, triggers in pages(two_pages) if triggers):
        for offset in STORES:
            for status in KINDS[srcno]:
                outcome = expect_trigger(srcno, status, flags)
                check_store(rig, (srcno << two_pages) + at + offset, srcno, flags, status, outcome)


@pytest.mark.parametrize("two_pages", [13, 17])
def test_loads_of_the_trigger_page_are_refused(two_pages, flags, srcno):
    rig = Rig(two_pages, flags)
    for at in (at for at, triggers in pages(two_pages) if triggers):
        for offset in LOADS:
            addr = (srcno << two_pages) + at + offset
            for status in KINDS[srcno]:
                rig.put(srcno, status)
                assert rig.source.load(addr) == ALL_ONES
                assert rig.listener.lines == [f"XIVE: invalid load on IRQ {srcno} trigger page at {addr:#x}"]
                assert rig.status(srcno) == status
                assert rig.take() == []


def test_every_aligned_offset_has_its_meaning():
    rig = Rig(12, 2)
    starts = sorted(LOADS)
    for offset in range(0, 0x1000, 8):
        start = max(one for one in starts if one <= offset)
        check_load(rig, 0x5000 + offset, MSI, 2, 3, expect_load(LOADS[start], MSI, 3, 2))
        check_store(rig, 0x5000 + offset, MSI, 2, 3, expect_store(STORES[start], MSI, 3, 2))


def test_pages_belong_to_their_source_alone(shift):
    rig = Rig(shift)
    size, trigger_page = SETTINGS[shift]
    for srcno in range(16):
        rig.source.load(srcno * size + trigger_page + 0xC00)
        rig.source.store(srcno * size, 0)
        assert [rig.status(other) for other in range(16)] == [2] * (srcno + 1) + [1] * (15 - srcno)
        assert rig.take() == [(srcno, True)]
