"""The lines of QEMU's log and trace, to the letter, and who is told.

The lines are typed from QEMU 7.2's own; `endless_escalation` is ours.
"""

import pytest

from outboard.xive.events import FORMATS, Events, Format, formats

TRACE = [
    (
        "memory_region_ops_read",
        (1, 0x60302031A0810, 0x8006, 2, "xive.tima"),
        "memory_region_ops_read cpu 1 addr 0x60302031a0810 value 0x8006 size 2 name 'xive.tima'",
    ),
    (
        "memory_region_ops_write",
        (0, 0x6010000000000, 0, 8, "xive.esb-emulated"),
        "memory_region_ops_write cpu 0 addr 0x6010000000000 value 0x0 size 8 name 'xive.esb-emulated'",
    ),
    ("xive_source_esb_read", (0x10C00, 0, 2), "xive_source_esb_read @0x10c00 IRQ 0x0 val=0x2"),
    ("xive_source_esb_write", (0x20000, 1, 0), "xive_source_esb_write @0x20000 IRQ 0x1 val=0x0"),
    ("xive_end_source_read", (0, 0xAB, 0x1570C00), "xive_end_source_read END 0x0/0xab @0x1570c00"),
    ("xive_router_end_notify", (1, 0x46, 0x10), "xive_router_end_notify END 0x01/0x0046 -> enqueue 0x00000010"),
    (
        "xive_router_end_escalate",
        (0, 0x12345, 0xF, 7, 0x7FFFFFFF),
        "xive_router_end_escalate END 0x00/0x12345 -> escalate END 0x0f/0x0007 data 0x7fffffff",
    ),
    ("xive_presenter_notify", (0, 0x400, 0x10), "xive_presenter_notify found NVT 0x0/0x400 ring=0x10"),
    (
        "xive_tctx_notify",
        (0, 0x10, 2, 6, 0xFF, 0x80),
        "xive_tctx_notify target=0 ring=0x10 IBP=0x02 PIPR=0x06 CPPR=0xff NSR=0x80 raise !",
    ),
    (
        "xive_tctx_accept",
        (12, 0x30, 0, 0xFF, 6, 0),
        "xive_tctx_accept target=12 ring=0x30 IBP=0x00 PIPR=0xff CPPR=0x06 NSR=0x00 ACK",
    ),
    (
        "xive_tctx_set_cppr",
        (0, 0x10, 0, 0xFF, 0xFF, 0),
        "xive_tctx_set_cppr target=0 ring=0x10 IBP=0x00 PIPR=0xff new CPPR=0xff NSR=0x00",
    ),
    ("xive_tctx_tm_read", (0x20810, 2, 0x8006), "xive_tctx_tm_read @0x20810 sz=2 val=0x8006"),
    ("xive_tctx_tm_write", (0x20011, 1, 0xFF), "xive_tctx_tm_write @0x20011 sz=1 val=0xff"),
]
GUEST_ERRORS = [
    (
        "invalid_size",
        ("read", 0x1AB, 4, "xive.esb-emulated", 8, 8),
        "Invalid read at addr 0x1AB, size 4, region 'xive.esb-emulated', reason: invalid size (min:8 max:8)",
    ),
    (
        "unassigned",
        ("write", 0x60303031B0000, 1),
        "Invalid write at addr 0x60303031B0000, size 1, region '(null)', reason: rejected",
    ),
    ("trigger_page_load", (10, 0x140AB8), "XIVE: invalid load on IRQ 10 trigger page at 0x140ab8"),
    ("no_store_eoi", (10,), "XIVE: invalid Store EOI for IRQ 10"),
    ("no_eoi", (10,), "XIVE: invalid EOI for IRQ 10"),
    ("lsi_queued", (4608,), "XIVE: queued an event on LSI IRQ 4608"),
    ("unknown_lisn", (0x100ABCDE,), "XIVE: Unknown LISN 100abcde"),
    ("invalid_lisn", (0x1A,), "XIVE: invalid LISN 1a"),
    ("no_end", (1, 0x2A), "XIVE: No END 1/2a"),
    ("invalid_end", (1, 0x2A), "XIVE: END 1/2a is invalid"),
    ("no_nvt", (0, 0x40A), "XIVE: no NVT 0/40a"),
    ("invalid_nvt", (0, 0x40A), "XIVE: NVT 0/40a is invalid"),
    ("f1_backlog", (0xA, 0xB), "XIVE: END a/b invalid config: F1 & backlog"),
    ("endless_escalation", (0xA, 0xB), "XIVE: END a/b escalates without end"),
    ("duplicate_nvt", (0, 0x40A), "XIVE: already found a thread context NVT 0/40a"),
    ("not_dispatched", (0, 0x40A), "XIVE: NVT 0/40a is not dispatched"),
    ("enqueue_failed", (0xABCDEF000,), "XIVE: failed to write END data @0xabcdef000"),
    ("eq_unreadable", (0xABCDEF000,), "XIVE: failed to read EQ @0xabcdef000"),
    ("end_esb_store", (0x10C00,), "XIVE: invalid ESB write addr 0x10c00"),
    ("tima_store", (0x3081A,), "XIVE: invalid write access at TIMA @3081a"),
    ("tima_load", (0x3001A,), "XIVE: invalid read access at TIMA @3001a"),
    ("tima_special_load", (0x3081A,), "XIVE: invalid read access to TIMA@3081a"),
    ("pull_invalid", (0xF, 0x7FFFF), "XIVE: pulling invalid NVT f/7ffff !?"),
    ("push_unknown", (0xF, 0x7FFFF), "XIVE: invalid NVT f/7ffff"),
]
UNIMP = [("logical_server", (0, 0x40A), "XIVE: no support for LS NVT 0/40a")]
KINDS = {"trace": TRACE, "guest_errors": GUEST_ERRORS, "unimp": UNIMP}
EVERY = [pytest.param(*row, id=row[0]) for rows in KINDS.values() for row in rows]


class Ear:
    def __init__(self):
        self.heard = []

    def __call__(self, event, values):
        self.heard.append((event, values))


def test_no_event_is_missing_from_the_tables_and_each_has_its_kind():
    kinds = {event: kind for kind, rows in KINDS.items() for event, *_ in rows}
    assert {event: row.kind for event, row in FORMATS.items()} == kinds


@pytest.mark.parametrize(("event", "values", "line"), EVERY)
def test_a_line_is_qemu_s_to_the_letter(event, values, line):
    assert Events().line(event, values) == line


@pytest.mark.parametrize(("event", "values", "line"), EVERY)
def test_hooks_get_the_values_of_the_line(event, values, line):
    events, ear = Events(), Ear()
    events.listen(ear)
    events.report(event, *values)
    if all(isinstance(value, int) for value in values):
        events.tell(event, *values)
    assert {events.line(*one) for one in ear.heard} == {line}
    assert all(one == (event, values) for one in ear.heard)


def test_values_have_64_bits():
    events, ear = Events(), Ear()
    events.listen(ear)
    events.tell("xive_tctx_tm_read", 0x30000, 8, 0xFFFFFFFFFFFFFFFF)
    assert [events.line(*one) for one in ear.heard] == ["xive_tctx_tm_read @0x30000 sz=8 val=0xffffffffffffffff"]


def test_an_event_that_is_not_known_is_refused():
    events, ear = Events(), Ear()
    events.listen(ear)
    with pytest.raises(KeyError):
        events.tell("xive_tctx_spin", 1)
    with pytest.raises(KeyError):
        events.line("xive_tctx_spin", (1,))
    assert ear.heard == []


def test_it_is_on_while_somebody_listens():
    events, one, other = Events(), Ear(), Ear()
    seen = [events.on]
    for change in (
        lambda: events.listen(one),
        lambda: events.listen(other),
        lambda: events.unlisten(one),
        lambda: events.unlisten(one),
        lambda: events.unlisten(other),
        lambda: events.unlisten(other),
    ):
        change()
        seen.append(events.on)
    assert [bool(on) for on in seen] == [False, True, True, True, True, False, False]


def test_hooks_are_called_in_their_order_until_they_stop_listening():
    events, calls = Events(), []

    def first(event, values):
        calls.append(("first", event, values))

    def second(event, values):
        calls.append(("second", event, values))

    events.tell("no_eoi", 1)
    events.listen(first)
    events.listen(second)
    events.tell("no_eoi", 2)
    events.unlisten(first)
    events.tell("no_end", 3, 4)
    events.unlisten(second)
    events.tell("no_eoi", 5)
    assert calls == [("first", "no_eoi", (2,)), ("second", "no_eoi", (2,)), ("second", "no_end", (3, 4))]


def test_a_controller_may_know_more_events():
    more = formats("trace", {"spin": "round %d of %d"}) | formats("unimp", {"stop": "no stop"})
    assert more == {"spin": Format("trace", "round %d of %d", 2), "stop": Format("unimp", "no stop", 0)}
    events, ear = Events(FORMATS | more), Ear()
    events.listen(ear)
    events.tell("spin", 2, 3)
    events.tell("stop")
    events.tell("no_eoi", 7)
    assert [events.line(*one) for one in ear.heard] == ["spin round 2 of 3", "no stop", "XIVE: invalid EOI for IRQ 7"]
