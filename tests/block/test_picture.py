"""Pictures of the block graph: from a graph to data, from data to text and SVG."""

import dataclasses
import re
import xml.etree.ElementTree as ET

import pytest

from outboard.aio import IOThread, co_enter, main_context
from outboard.aio.timeline import Recorder
from outboard.aio.world import REAL
from outboard.block.backend import BlockBackend, DevOps
from outboard.block.drivers import Memory, NullCo, Quorum, Raw, Throttle
from outboard.block.graph import BACKING, DATA, FILE, Node, attach_child, close, drained, try_set_aio_context
from outboard.block.mirror import Mirror
from outboard.block.picture import Box, Edge, Extent, Picture, Place, data, look, svg, text
from outboard.block.picture.grid import length
from outboard.block.watch import Watch, watched
from outboard.errors import LocalError

pytestmark = pytest.mark.alike

SVG = "{http://www.w3.org/2000/svg}"

# Data made by hand

PLACE = Place("c0", "io", "thread 7, io", fds=2, timers=1, poll_ns=8000, poll_max_ns=32000, grow=3, shrink=4)
WAITING = (Extent(0, 4096), Extent(1 << 20, (1 << 20) + 512, held=True), Extent(5, 5), Extent(0, 1), Extent(1, 2))
BOXES = (
    Box("u", "backend", "vda", "backend", "c0", in_flight=5, facts=("of a device",)),
    Box("t", "node", "limit", "throttle", "c0", 1 << 20, 5, 2, ("read-only",), WAITING),
    Box("q", "node", "copies", "quorum", "c0", 1536, 1),
    Box("a", "node", "left", "memory", "c0"),
    Box("b", "node", "right", "memory", "c0"),
)
EDGES = (Edge("u", "t", "root"), Edge("t", "q", "file"), Edge("q", "a", "data"), Edge("q", "b", "data", True))
PICTURE = Picture((PLACE, Place("c1", "main", external_disabled=2, halves=1)), BOXES, EDGES)
TEXT = """\
┌─ io: thread 7, io ─────────────────────────────────────┐
│ 2 fds, 1 timer, 0 bottom halves, polls 8 of 32 µs, *3, │
│ /4                                                     │
│         ┌─────────────┐                                │
│         │ vda         │                                │
│         │ backend     │                                │
│         │ of a device │                                │
│         │ 5 in flight │                                │
│         └──────┬──────┘                                │
│                │ root                                  │
│ ┌──────────────┴───────────────┐                       │
│ │ limit                        │                       │
│ │ throttle, 1 MiB              │                       │
│ │ read-only                    │                       │
│ │ · 4 KiB at 0 B               │                       │
│ │ · 512 B at 1 MiB, held       │                       │
│ │ · flush                      │                       │
│ │ · and 2 more                 │                       │
│ │ 5 in flight, drained 2 times │                       │
│ └───────────────┬──────────────┘                       │
│                 │ file                                 │
│       ┌─────────┴───────┐                              │
│       │ copies          │                              │
│       │ quorum, 1.5 KiB │                              │
│       │ 1 in flight     │                              │
│       └─────┬─────┬─────┘                              │
│        ┌────┘     └──────┐                             │
│   data │                 │ data                        │
│ ┌──────┴─────┐    ┌──────┴─────┐                       │
│ │ left       │    │ right      │                       │
│ │ memory     │    │ memory     │                       │
│ └────────────┘    └────────────┘                       │
└────────────────────────────────────────────────────────┘
┌─ main: no thread ──────────────────────────────────────┐
│ 0 fds, external ones disabled 2 times, 0 timers, 1     │
│ bottom half, does not poll                             │
└────────────────────────────────────────────────────────┘
"""


def test_text_of_a_small_graph():
    assert text.draw(PICTURE, 60) == TEXT


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_text_keeps_to_the_columns(columns):
    wide = Picture(
        (PLACE,),
        (*BOXES, *(Box(f"n{at}", "node", f"copy number {at}", "memory", "c0", 1 << 30) for at in range(9))),
        (*EDGES, *(Edge("q", f"n{at}", "data") for at in range(9))),
    )
    said = text.draw(wide, columns)
    assert {len(row) for row in said.splitlines()} == {max(len(row) for row in said.splitlines())}
    assert len(said.splitlines()[0]) <= columns
    assert all(f"number {at}" in said for at in range(9))


def test_colour_is_only_there_when_it_is_asked_for():
    plain, coloured = text.draw(PICTURE), text.draw(PICTURE, colour=True)
    assert "\x1b" not in plain and "\x1b[0;1;33m5 in flight" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


NAMES = ["\x1b[2J\x00", "<b>&'\"", "名前" * 30, "e\u0301", "a" * 500, ""]


def hostile():
    boxes = tuple(Box(f"k{at}", "node", name, name, "c", 0, facts=(name,)) for at, name in enumerate(NAMES))
    return Picture((Place("c", NAMES[0], NAMES[1]),), boxes, tuple(Edge("k0", box.key, NAMES[1]) for box in boxes[1:3]))


def test_names_may_hold_anything():
    said = text.draw(hostile(), 100)
    assert "\x1b" not in said and "\x00" not in said
    assert {length(row) for row in said.splitlines()} == {length(said.splitlines()[0])} and length(
        said.splitlines()[0]
    ) <= 100
    root = ET.fromstring(svg.draw(hostile(), NAMES[1]))
    assert NAMES[1] in {one.text for one in root.iter(f"{SVG}text")}


def test_svg_shows_every_box_edge_and_context():
    root = ET.fromstring(svg.draw(PICTURE))
    texts = [one.text for one in root.iter(f"{SVG}text")]
    assert {"vda", "limit", "copies", "left", "right", "io: thread 7, io", "main: no thread"} <= set(texts)
    assert sorted(one for one in texts if one in {"root", "file", "data"}) == ["data", "data", "file", "root"]
    classes = [one.get("class", "") for one in root.iter(f"{SVG}rect")]
    assert sum("busy" in one for one in classes) == 3 and sum("quiet" in one for one in classes) == 1
    assert sum(one.get("class") == "edge quiet" for one in root.iter(f"{SVG}path")) == 1
    right, bottom = float(root.get("width")), float(root.get("height"))
    for one in root.iter(f"{SVG}rect"):
        assert float(one.get("x", 0)) + float(one.get("width")) <= right
        assert float(one.get("y", 0)) + float(one.get("height")) <= bottom


def test_a_picture_of_nothing():
    assert text.draw(Picture()) == ""
    assert ET.fromstring(svg.draw(Picture())).tag == f"{SVG}svg"


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"),
        (511, "511 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (1404 << 10, "1404 KiB"),
        (64 << 20, "64 MiB"),
        ((3 << 30) + 512, "3072 MiB"),
        (1 << 40, "1 TiB"),
    ],
)
def test_sizes_in_words(size, words):
    assert data.count(size) == words


def test_requests_are_shown_at_the_lowest_box_that_has_them_all():
    lower = dataclasses.replace(BOXES[2], in_flight=5, requests=WAITING)
    through = Picture((PLACE,), (BOXES[0], BOXES[1], lower), EDGES[:2])
    assert through.reached(BOXES[1]) == () and through.reached(lower) == WAITING
    assert PICTURE.reached(BOXES[1]) == WAITING
    assert PICTURE.in_flight == 5  # of users; not once more for every node


# A graph that is there


@pytest.fixture
def main():
    was = REAL.main
    ctx = main_context()
    yield ctx
    if was is None:
        ctx.close()
        REAL.main = None


def boxes(picture):
    return {box.name: box for box in picture.boxes}


def names_of(picture):
    name = {box.key: box.name for box in picture.boxes}
    return {(name[edge.parent], edge.role, name[edge.child]) for edge in picture.edges}


def throttled(main, backing="base"):
    top = Node("limit", Throttle(iops_total=1, iops_total_max=1), main)
    disk = Node("disk", Memory(1 << 20), main)
    attach_child(top, disk, FILE)
    attach_child(disk, Node(backing, NullCo(1 << 20), main), BACKING)
    return top


def test_look_finds_all_that_is_joined_from_any_of_it(main):
    top = throttled(main)
    vda = BlockBackend("vda")
    vda.insert(top)
    vda.attach_dev("a device")
    job = Mirror("job0", top.children[0].node, Node("target", Memory(1 << 20), main))
    target = job.target
    expected = {
        ("vda", "root", "limit"),
        ("limit", "file", "job0-top"),
        ("job0-top", "filtered", "disk"),
        ("disk", "backing", "base"),
        ("job0", "job", "target"),
    }
    try:
        for start in (vda, top, target, job):
            picture = look(start)
            assert expected < names_of(picture) and len(picture.boxes) == 7
            assert [place.name for place in picture.places] == ["main"]
        found = boxes(look(vda))
        assert found["vda"].facts == ("of a device",) and found["vda"].kind == "backend"
        assert found["job0"].kind == "job" and found["job0"].facts[0] == "created"
        assert (found["limit"].what, found["limit"].size) == ("throttle", 1 << 20)
    finally:
        job.cancel()
        vda.detach_dev()
        vda.close()
        close(top)
        close(target)


def test_look_sees_what_is_in_flight_drained_and_where(main):
    top = throttled(main)
    vda = BlockBackend("vda")
    vda.insert(top)
    with IOThread("io", poll_max_ns=5000, poll_grow=3, poll_shrink=2) as thread:
        vda.try_set_aio_context(thread.context)
        tasks = [co_enter(vda.home, vda.pwritev(at * 512, [bytes(512)]), kept=True) for at in range(4)]
        while len(boxes(look(vda))["limit"].requests) < 2:
            main.poll(False)
        picture = look(vda, contexts=[main, thread.context])
        found = boxes(picture)
        assert found["vda"].in_flight == found["limit"].in_flight == picture.in_flight > 1
        assert found["disk"].in_flight == 0 and found["limit"].requests[-1] == Extent(3 * 512, 4 * 512)
        assert [(one.name, one.poll_max_ns, one.grow, one.shrink) for one in picture.places] == [
            ("main", 0, 0, 0),
            ("io", 5000, 3, 2),
        ]
        assert picture.places[1].thread.endswith(", io") and picture.places[1].timers >= 1
        with drained(top):
            quiet = look(vda, contexts=[main])
            assert boxes(quiet)["limit"].quiesce == boxes(quiet)["vda"].quiesce == 1 and quiet.in_flight == 0
            assert quiet.places[1].external_disabled == 1
        assert all(task.done for task in tasks)
        with pytest.raises(LocalError, match="main context"):
            thread.context.bh_schedule_oneshot(lambda: None)
            vda.home.run_in(lambda: look(vda))
        vda.close()
        close(top)


def test_a_device_s_own_requests_count(main):
    class Device(DevOps):
        def under_way(self):
            return 17

    vda = BlockBackend()
    vda.attach_dev("it", Device())
    (box,) = look(vda).boxes
    assert (box.name, box.in_flight, box.what) == ("unnamed", 17, "backend")
    vda.close()


def test_a_node_that_cannot_say_its_length(main):
    quorum = Node("copies", Quorum(2), main)
    for at in range(2):
        attach_child(quorum, Node(f"copy{at}", Memory(512 << at), main), DATA)
    found = boxes(look(quorum))["copies"]
    assert found.size is None and found.facts == ("no length: Input/output error", "2 of 2 must agree")
    close(quorum)


# Who looks on


def test_a_watch_marks_drains_and_moves_and_is_not_in_the_picture(main):
    top = throttled(main)
    recorder = Recorder()
    with IOThread("io") as thread:
        vda = BlockBackend("vda")
        vda.insert(top)
        with watched(recorder, [("disk", top)]):
            assert "watch" not in {edge.role for edge in look(vda).edges} and len(look(vda).boxes) == 4
            with drained(top.children[0].node):
                pass
            vda.try_set_aio_context(thread.context)
            vda.try_set_aio_context(main)
        marks = recorder.timeline().marks
        assert [(one.what, one.context, one.to) for one in marks if one.what == "moved"] == [
            ("moved", "main", "io"),
            ("moved", "io", "main"),
        ]
        assert [one.context for one in marks if one.what == "drained"] == ["main", "main", "io"]
        assert all(one.name == "disk" and one.begin_ns <= one.end_ns for one in marks)
        vda.close()
        close(top)  # nobody looks on any more


def test_a_watch_does_not_refuse_nor_make_others_agree(main):
    node = Node("disk", Raw(), main)
    attach_child(node, Node("null", NullCo(512), main), FILE)
    unnamed = BlockBackend()
    unnamed.insert(node)
    recorder = Recorder()
    watch = Watch(recorder, node, "disk")
    with IOThread("io") as thread:
        with pytest.raises(LocalError, match="Cannot change iothread of active block backend"):
            try_set_aio_context(node, thread.context)
        assert node.ctx is main and not [one for one in recorder.timeline().marks if one.what == "moved"]
        with pytest.raises(LocalError, match="watch"):
            unnamed.close()
            close(node)
        watch.close()
        watch.close()
        close(node)
