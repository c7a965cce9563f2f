"""Escalation: conditional and not, silent, chains that end and loops that would not.

Source: QEMU docs/specs/ppc-xive; the order of QEMU 7.2, which recurses in a loop until it crashes.
"""

import itertools
import random

import pytest

from tests.xive.ram_rig import ENDT, QUEUE, READY, USER_LEVEL, Rig

FOUND = "xive_presenter_notify found NVT 0x0/0x10 ring=0x10"
RAISED = "xive_tctx_notify target=0 ring=0x10 IBP=0x02 PIPR=0x06 CPPR=0xff NSR=0x80 raise !"
TO = "xive_router_end_escalate END 0x00/0x0002 -> escalate END "
ESCALATES = "xive_router_end_escalate END 0x00/0x0002 -> escalate END 0x00/0x0003 data 0x00000abc"


@pytest.fixture
def rig():
    made = Rig()
    made.nvt(0x10)
    made.nvt(0x11)
    made.end(3, "vqn", queue=QUEUE + 0x1000)
    return made


@pytest.mark.parametrize(("pq", "after", "forwarded"), [(0, 2, True), (1, 1, False), (2, 3, False), (3, 3, False)])
def test_ese_coalesces_escalations(rig, pq, after, forwarded):
    rig.end(2, "vne", w1=0xC0400000 | pq << 28, w6=0x11, to=(0, 3, 0xABC))
    rig.dispatch(0)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == ([ESCALATES, FOUND, RAISED] if forwarded else [])
    assert rig.w1(2) == 0xC0400000 | after << 28
    assert rig.queue(1, QUEUE + 0x1000) == [0x80000ABC if forwarded else 0]


@pytest.mark.parametrize("pq", range(4))
def test_unconditional_escalation_skips_ese(rig, pq):
    rig.end(2, "vneu", w1=pq << 28, w6=0x11, to=(0, 3, 0xABC))
    rig.dispatch(0)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == [ESCALATES, FOUND, RAISED]
    assert rig.w1(2) == pq << 28


def test_without_escalate_ctl_nothing_escalates(rig):
    rig.end(2, "vnus", to=(0, 3, 0xABC))
    rig.router.end_notify(0, 2, 0x55)
    rig.end(2, "vnu", to=(0, 3, 0xABC))
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == []
    assert rig.w1(2) == READY


@pytest.mark.parametrize("flags", ["vqes", "vqnes", "vqbes"])
@pytest.mark.parametrize("w7", [0x00060000, 0x00FF0000, 0x80060000])
@pytest.mark.parametrize("w6", [0x10, 0x20, 0x7FFFF, USER_LEVEL | 0x11])
def test_silent_escalation_looks_at_no_priority_esn_or_nvt(rig, flags, w6, w7):
    rig.end(2, flags, w6=w6, w7=w7, to=(0, 3, 0xABC))
    rig.dispatch(0)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == [ESCALATES, FOUND, RAISED]
    assert rig.queue(1) == [0x80000055]
    assert rig.w1(2) == 0x20400001
    assert rig.w4(0x10) == rig.w4(0x11) == 0


@pytest.mark.parametrize(
    ("flags", "w1", "w6", "w7"),
    [
        ("veu", READY, 0x10, 0x00060000),  # delivered
        ("veu", READY, 0x11, 0x00FF0000),  # masked
        ("veu", 0x80000000, 0x11, 0x00060000),  # coalesced
        ("veu", 0x40000000, 0x11, 0x00060000),  # off
        ("veu", READY, 0x12, 0x00060000),  # to an invalid NVT
        ("veu", READY, 0x7FFFF, 0x00060000),  # to no NVT
        ("veub", READY, USER_LEVEL | 0x11, 0x00060000),  # user-level with backlog
    ],
)
def test_what_stops_an_event_stops_its_escalation(rig, flags, w1, w6, w7):
    rig.end(2, flags, w1=w1, w6=w6, w7=w7, to=(0, 3, 0xABC))
    rig.dispatch(0)
    rig.router.end_notify(0, 2, 0x55)
    assert ESCALATES not in rig.told()
    assert rig.queue(1, QUEUE + 0x1000) == [0]


@pytest.mark.parametrize(
    ("w4", "w5", "line"),
    [
        (0x00000003, 0x80000ABC, ESCALATES),  # neither a valid bit nor a masked one is looked at
        (0xF0000003, 0x00000ABC, ESCALATES),
        (0x80000003, 0x80000ABC, ESCALATES),
        (0x01000007, 0x00000123, TO + "0x01/0x0007 data 0x00000123"),
        (0x8FFFFFFF, 0xFFFFFFFF, TO + "0x0f/0xffffff data 0x7fffffff"),
    ],
)
def test_where_an_escalation_goes(rig, w4, w5, line):
    rig.end(2, "veus")
    rig.poke(ENDT + 64 + 16, w4, w5)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told()[0] == line


def test_an_escalation_to_no_end_or_an_invalid_one(rig):
    rig.end(2, "veus", to=(1, 7, 0x123))
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told()[1:] == ["XIVE: No END 1/7"]
    rig.end(2, "veus", to=(0, 7, 0x123))
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told()[1:] == [
        "xive_router_end_notify END 0x00/0x0007 -> enqueue 0x00000123",
        "XIVE: END 0/7 is invalid",
    ]


def test_a_backlog_is_kept_and_the_event_escalates_all_the_same(rig):
    rig.end(2, "vnbe", w6=0x11, to=(0, 3, 0xABC))
    rig.dispatch(0)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == [ESCALATES, FOUND, RAISED]
    assert rig.w4(0x11) == 0x0200


def test_two_threads_with_one_nvt_make_it_escalate(rig):
    rig.end(2, "vnbe", w6=0x11, to=(0, 3, 0xABC))
    rig.dispatch(0, 0x80000011)
    rig.dispatch(1, 0x80000011)
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == ["XIVE: already found a thread context NVT 0/11", ESCALATES]
    assert rig.w4(0x11) == 0x0200
    assert rig.w4(0x10) == 0
    assert rig.ring(0) == rig.ring(1) == "00 ff 00 ff ff 00 ff ff"


def test_a_chain_goes_on_to_the_first_thread_that_takes_it(rig):
    for idx in range(0x100, 0x105):
        rig.end(idx, "vqne", w6=0x11, queue=QUEUE + idx * 0x1000, to=(0, idx + 1, idx))
    rig.end(0x105, "vqneu", queue=QUEUE, to=(0, 0x100, 0))
    rig.dispatch(0)
    rig.router.end_notify(0, 0x100, 0x55)
    assert rig.told() == [
        "xive_router_end_escalate END 0x00/0x0100 -> escalate END 0x00/0x0101 data 0x00000100",
        "xive_router_end_escalate END 0x00/0x0101 -> escalate END 0x00/0x0102 data 0x00000101",
        "xive_router_end_escalate END 0x00/0x0102 -> escalate END 0x00/0x0103 data 0x00000102",
        "xive_router_end_escalate END 0x00/0x0103 -> escalate END 0x00/0x0104 data 0x00000103",
        "xive_router_end_escalate END 0x00/0x0104 -> escalate END 0x00/0x0105 data 0x00000104",
        FOUND,
        RAISED,
    ]
    assert rig.queue(1) == [0x80000104]
    assert [rig.w1(idx) for idx in range(0x100, 0x106)] == [*[0x20400001] * 5, 0x00400001]


@pytest.mark.parametrize("flags", ["veus", "vneu", "ves", "vne", "veu", "ve"])
def test_a_chain_of_all_ends_there_are_is_not_cut(rig, flags):
    order = list(range(0x4000))
    random.Random(1).shuffle(order)
    for idx, to in itertools.pairwise(order):
        rig.end(idx, flags, w6=0x11, to=(0, to, 0))
    rig.end(order[-1], "vq")
    rig.router.end_notify(0, order[0], 0x55)
    assert len(rig.told()) == 0x3FFF
    assert rig.queue(1) == [0x80000000]


# Loops


@pytest.mark.parametrize(
    ("flags", "w1"),
    [
        ("vqnes", 0x30400002),  # ESe stops it
        ("vqne", 0x30400002),
        ("vqes", 0x30400002),
        ("vqe", 0xE0400002),  # ESn stops it before ESe is asked again
        ("vqeu", 0xC0400002),
    ],
)
def test_an_end_that_escalates_to_itself_is_stopped_by_its_own_pairs(rig, flags, w1):
    rig.end(2, flags, to=(0, 2, 0xABC))
    rig.router.end_notify(0, 2, 0x55)
    assert rig.told() == [TO + "0x00/0x0002 data 0x00000abc"]
    assert rig.w1(2) == w1
    assert rig.queue(3) == [0x80000055, 0x80000ABC, 0]


@pytest.mark.parametrize("flags", ["vqneu", "vqeus", "vqneus"])
@pytest.mark.parametrize("length", [1, 2, 3, 100])
@pytest.mark.parametrize("tail", [0, 1, 2, 5, 70])
def test_a_loop_that_nothing_holds_up_is_cut(rig, flags, length, tail):
    for idx in range(length + tail):
        to = idx + 1 if idx + 1 < length + tail else tail
        rig.end(idx, flags, w6=0x11, queue=QUEUE + idx * 0x1000, to=(0, to, idx))
    rig.router.end_notify(0, 0, 0x55)
    *told, last = rig.told()
    assert len(told) <= tail + 6 * max(length, tail)
    assert all(line.startswith("xive_router_end_escalate ") for line in told)
    at = int(told[-1].split()[2].partition("/")[2], 16)
    assert last == f"XIVE: END 0/{at:x} escalates without end"
    assert tail <= at < tail + length
    rig.router.end_notify(0, 0, 0x55)  # and the next event is routed as the first one was
    assert rig.told() == [*told, last]


@pytest.mark.parametrize("flags", ["vqe", "vqne", "vqes", "vqeu"])
@pytest.mark.parametrize("length", [2, 3, 100])
@pytest.mark.parametrize("at", [0, 1, -1])
def test_a_loop_with_one_end_that_is_held_up_ends_there(rig, flags, length, at):
    for idx in range(length):
        held = idx == at % length
        rig.end(idx, flags if held else "vqneu", w6=0x11, queue=QUEUE + idx * 0x1000, to=(0, (idx + 1) % length, idx))
    rig.router.end_notify(0, 0, 0x55)
    told = rig.told()
    assert len(told) == length + at % length
    assert all(line.startswith("xive_router_end_escalate ") for line in told)
    twice = at % length + 1
    assert [rig.w1(idx) & 0x3FFFFF for idx in range(length)] == [*[2] * twice, *[1] * (length - twice)]


def test_two_ends_that_open_each_other_again_are_cut(rig):
    """Each has its queue over word 1 of the other, and so sets the other's ESe to 00."""
    rig.end(2, "vqes", queue=ENDT + 3 * 32 + 4, w1=0, to=(0, 3, 0))
    rig.end(3, "vqes", queue=ENDT + 2 * 32 + 4, w1=0, to=(0, 2, 0))
    rig.router.end_notify(0, 2, 0)
    assert rig.told()[-1] in ("XIVE: END 0/2 escalates without end", "XIVE: END 0/3 escalates without end")


# Any graph of escalations, against the steps as the document has them


def follow(ends: dict, idx: int) -> tuple[list[int], bool]:
    """Return the ENDs that are visited, in order, and whether that ends. ends: flags, ESn, ESe, target by index."""
    visits = []
    while len(visits) < 3 * len(ends):
        end = ends[idx]
        visits.append(idx)
        if "v" not in end["flags"]:
            return visits, True
        pairs = ([] if "n" in end["flags"] or "s" in end["flags"] else ["esn"]) + ["e"]
        pairs += [] if "u" in end["flags"] else ["ese"]
        for pair in pairs:
            if pair == "e":
                if "e" not in end["flags"]:
                    return visits, True
                continue
            old = end[pair]
            end[pair] = {0: 2, 1: 1, 2: 3, 3: 3}[old]
            if old:
                return visits, True
        idx = end["to"]
    return visits, False


@pytest.mark.parametrize("seed", range(300))
def test_any_graph_of_escalations(rig, seed):
    rng = random.Random(seed)
    count, ends = rng.choice([2, 5, 20]), {}
    for idx in range(count):
        flags = "".join(letter for letter in "vqneus" if rng.random() < (0.97 if letter in "vqe" else 0.6))
        pairs = {pair: rng.choices(range(4), [8, 1, 1, 1])[0] for pair in ("esn", "ese")}
        ends[idx] = {"flags": flags, "to": rng.randrange(count), **pairs}
        w1 = pairs["esn"] << 30 | pairs["ese"] << 28
        rig.end(idx, flags, w1=w1, w6=0x11, queue=QUEUE + idx * 0x1000, to=(0, ends[idx]["to"], 0))
    visits, finite = follow(ends, 0)
    rig.router.end_notify(0, 0, 0)
    told = rig.told()
    assert any("escalates without end" in line for line in told) is not finite
    if finite:
        assert sum(line.startswith("xive_router_end_escalate ") for line in told) == len(visits) - 1
        for idx, end in ends.items():
            entries = visits.count(idx) if "q" in end["flags"] and "v" in end["flags"] else 0
            assert rig.w1(idx) == end["esn"] << 30 | end["ese"] << 28 | entries
