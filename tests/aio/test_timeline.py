"""Who ran where: recorded from contexts, counted, drawn."""

import json
import xml.etree.ElementTree as ET
from functools import partial

import pytest

from outboard.aio import Completion, co_enter, observe
from outboard.aio.timeline import Lane, Mark, Recorder, Span, chrome, recorder, shares
from outboard.aio.timeline import svg as as_svg
from outboard.aio.timeline import text as as_text
from outboard.errors import LocalError

pytestmark = pytest.mark.alike

SVG = "{http://www.w3.org/2000/svg}"
ONE, TWO = Lane("one", "thread 7"), Lane("two", "thread 8")


def span(name, begin, end, lane=ONE, what="call"):
    return Span(lane, what, name, begin, end)


def line(*spans, marks=(), forgotten=0):
    return recorder.timeline(list(spans), list(marks), forgotten)


NESTED = (span("a", 0, 100), span("b", 10, 40), span("c", 20, 30), span("b", 50, 60), span("d", 200, 250))


def test_every_moment_belongs_to_the_innermost_call():
    assert shares.pieces(NESTED) == [
        ("a", 0, 10),
        ("b", 10, 20),
        ("c", 20, 30),
        ("b", 30, 40),
        ("a", 40, 50),
        ("b", 50, 60),
        ("a", 60, 100),
        ("d", 200, 250),
    ]
    assert shares.depths(NESTED) == [0, 1, 2, 1, 0]
    assert shares.totals(shares.pieces(NESTED)) == {"a": 60, "b": 30, "c": 10, "d": 50}


def test_calls_that_end_as_others_begin_are_beside_each_other():
    spans = (span("a", 0, 10), span("b", 10, 20), span("c", 20, 20))
    assert shares.depths(spans) == [0, 0, 0]
    assert shares.pieces(spans) == [("a", 0, 10), ("b", 10, 20)]


def test_stretches_say_what_part_of_them_everybody_had():
    cut = shares.stretches(shares.pieces(NESTED), 0, 250, 5)
    assert [dict(one) for one in cut] == [
        {"a": pytest.approx(0.4), "b": pytest.approx(0.4), "c": pytest.approx(0.2)},
        {"a": pytest.approx(0.8), "b": pytest.approx(0.2)},
        {},
        {},
        {"d": pytest.approx(1)},
    ]


def test_stretches_of_a_part_leave_out_what_is_before_and_after():
    cut = shares.stretches([shares.Piece("a", 0, 1000)], 400, 500, 2)
    assert [dict(one) for one in cut] == [{"a": pytest.approx(1)}, {"a": pytest.approx(1)}]


def test_summaries_are_by_lane_and_the_longest_is_first():
    made = line(span("x", 5, 6, TWO), *NESTED)
    assert [(one.lane, one.calls, one.busy_ns) for one in shares.summaries(made)] == [(ONE, 5, 150), (TWO, 1, 1)]
    assert list(shares.summaries(made)[0].names) == ["a", "d", "b", "c"]
    assert shares.most(made, 2) == ["a", "d"]


def test_a_timeline_is_in_order_and_spans_all_of_it():
    made = line(NESTED[2], NESTED[0], marks=[Mark("drained", "disk", "one", "", 90, 120)])
    assert (made.begin_ns, made.end_ns) == (0, 120)
    assert [one.name for one in made.spans] == ["a", "c"]
    assert [one.name for one in made.part(25, 28).spans] == ["a", "c"] and not made.part(25, 28).marks
    assert line() == recorder.Timeline(0, 0, ())


# The recorder


def test_calls_of_a_context_are_recorded_with_what_they_are(here):
    ctx = here.context("mine")
    done = Completion()

    async def program():
        await done

    with Recorder() as made:
        task = co_enter(ctx, program())
        ctx.bh_schedule_oneshot(partial(done.set_result, None))
        while not task.done:
            ctx.poll(True)
    ctx.bh_schedule_oneshot(lambda: None)
    ctx.poll(True)  # after the block: not recorded
    spans = made.timeline().spans
    assert {one.lane.context for one in spans} == {"mine"} and len({one.lane for one in spans}) == 1
    where = test_calls_of_a_context_are_recorded_with_what_they_are.__name__
    assert sorted((one.what, one.name) for one in spans) == [
        ("bottom half", "Completion.set_result"),
        *[("bottom half", where)] * 2,  # the first step and the second: a coroutine that was made in this function
    ]
    assert all(one.begin_ns <= one.end_ns for one in spans)
    assert ("simulated" in spans[0].lane.thread) == (here.sim is not None)


async def nothing():
    pass


def test_a_coroutine_of_a_module_is_named_with_it(here):
    ctx = here.context()
    with Recorder() as made:
        co_enter(ctx, nothing())
        renamed = nothing()
        renamed.__qualname__ = "my program"
        co_enter(ctx, renamed)
        while ctx.poll(False):
            pass
    assert [one.name for one in made.timeline().spans] == ["test_timeline.nothing", "my program"]


def test_memory_is_bounded(here):
    ctx = here.context()
    with Recorder(limit=10) as made:
        for _ in range(25):
            ctx.bh_schedule_oneshot(lambda: None)
        while ctx.poll(False):
            pass
    assert len(made.timeline().spans) == 10 and made.timeline().forgotten == 15
    assert not observe.hooks
    with pytest.raises(LocalError, match="limit"):
        Recorder(limit=0)


def test_what_is_called_has_a_short_name():
    def outer():
        return lambda: None

    class Callable:
        def __call__(self):
            pass

        def method(self):
            pass

    assert recorder.name_of(partial(partial(json.dumps, 1))) == "dumps"
    assert recorder.name_of(outer()) == "test_what_is_called_has_a_short_name"
    assert recorder.name_of(print) == "print"
    assert recorder.name_of(Callable()) == "Callable"


# Drawings

MOVES = [
    Mark("drained", "vda", "one", "", 60, 120),
    Mark("moved", "vda", "one", "two", 110, 110),
    Mark("moved", "<&\x00\x1b>", "two", "nowhere", 200, 200),
]
DRAWN = line(*NESTED, span("<script>\x1b[31m", 130, 240, TWO), marks=MOVES, forgotten=3)


@pytest.mark.parametrize("columns", [60, 100, 160])
def test_text_keeps_to_the_columns_and_says_who_is_who(columns):
    said = as_text.draw(DRAWN, columns)
    rows = said.splitlines()
    assert max(map(len, rows)) <= columns
    assert "\x1b" not in said and "?[31m" in said
    assert rows[0].endswith("250 ns") and "3 older calls are forgotten" in said
    assert next(row for row in rows if row.startswith("one, thread 7")).endswith(" 60 %")
    assert "  a  <script>?[31m  110 ns" in rows  # who ran longest is the first letter


def test_text_shows_busy_stretches_letters_and_marks_in_their_places():
    rows = as_text.draw(line(span("x", 0, 50), span("y", 75, 100), marks=MOVES[:1]), 63).splitlines()
    left = 16
    assert len(rows[1]) == 63
    assert rows[1][left : left + 40] == "█" * 20 + " " * 10 + "█" * 10 or rows[1][left:].startswith("█" * 15)
    assert rows[2][left:].startswith("a") and rows[2].rstrip().endswith("b")
    assert set(rows[3][left:]) == {" ", "d"} and rows[3].startswith("drained, Moved")


def test_text_of_nothing():
    assert as_text.draw(line()) == "nothing ran\n"


def test_svg_is_well_formed_whatever_names_hold():
    root = ET.fromstring(as_svg.draw(DRAWN, "a <title> & more"))
    assert root.tag == f"{SVG}svg" and root.find(f"{SVG}title").text == "a <title> & more"
    texts = {one.text for one in root.iter(f"{SVG}text")}
    assert {"one", "two", "thread 7", "vda", "<script>\ufffd[31m", "5 calls, busy 60 %"} <= texts
    arrows = [one for one in root.iter(f"{SVG}line") if one.get("marker-end")]
    assert len(arrows) == 2  # of the one move between two lanes, in both parts of the drawing
    assert all(float(one.get("y1")) < float(one.get("y2")) for one in arrows)


def test_svg_of_many_calls_stays_small_and_shows_what_is_around_the_last_move():
    spans = [span(f"name {at % 12}", at * 10, at * 10 + 7, (ONE, TWO)[at // 100 % 2]) for at in range(30_000)]
    made = line(*spans, marks=[Mark("moved", "vda", "one", "two", at, at) for at in range(0, 200_001, 100)])
    near = as_svg.closest(made)
    assert near.begin_ns < 200_000 < near.end_ns and 200 <= len(near.spans) <= as_svg.CALLS + 2
    assert len(as_svg.draw(line(*spans, marks=made.marks[-8:]))) < 200_000


def test_svg_of_nothing_is_a_drawing():
    assert ET.fromstring(as_svg.draw(line())).tag == f"{SVG}svg"


def test_chrome_s_trace_has_a_thread_a_lane_and_times_in_microseconds():
    found = json.loads(chrome.trace(DRAWN))["traceEvents"]
    threads = {one["tid"]: one["args"]["name"] for one in found if one["ph"] == "M"}
    assert threads == {0: "moves and drains", 1: "one, thread 7", 2: "two, thread 8"}
    calls = [one for one in found if one["ph"] == "X" and one["tid"]]
    assert len(calls) == len(DRAWN.spans)
    assert {"name": "c", "cat": "call", "ts": 0.02, "dur": 0.01, "ph": "X", "pid": 1, "tid": 1} in calls
    drained, moved, _ = (one for one in found if one["ph"] != "M" and not one["tid"])
    assert (drained["ph"], drained["ts"], drained["dur"]) == ("X", 0.06, 0.06)
    assert moved["ph"] == "i" and moved["args"] == {"from": "one", "to": "two"} and moved["name"] == "vda moved"
