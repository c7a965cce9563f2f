"""Where boxes and edges of a picture are put."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outboard.block.picture.grid import Grid, elided, length
from outboard.block.picture.layered import crossings, lay_out, parts
from outboard.block.picture.ports import wires
from outboard.errors import LocalError

pytestmark = pytest.mark.alike


@st.composite
def graphs(draw):
    number = draw(st.integers(1, 9))
    pairs = [(one, other) for other in range(number) for one in range(other)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=14)) if pairs else []
    widths = {f"n{at}": float(draw(st.integers(1, 30))) for at in range(number)}
    return widths, [(f"n{one}", f"n{other}") for one, other in chosen]


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_users_are_above_what_they_use_and_nothing_overlaps(graph):
    widths, edges = graph
    laid = lay_out(widths, edges, 3)
    row = {key: at for at, layer in enumerate(laid.layers) for key in layer}
    assert set(widths) <= set(row) and min(row.values()) == 0
    for (parent, child), chain in zip(edges, laid.chains, strict=True):
        assert (chain[0], chain[-1]) == (parent, child)
        assert [row[key] for key in chain] == list(range(row[parent], row[child] + 1))
    for layer in laid.layers:
        assert layer
        for one, other in pairwise(layer):
            assert laid.left[one] + widths.get(one, 0) + 3 <= laid.left[other] + 1e-6
    assert min(laid.left.values()) == 0
    assert max(x + widths.get(key, 0) for key, x in laid.left.items()) == pytest.approx(laid.width)


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_edges_leave_and_enter_inside_of_the_boxes(graph):
    widths, edges = graph
    laid = lay_out(widths, edges, 3)
    steps = [wire for step in wires(laid, widths, 1) for wire in step]
    assert len(steps) == sum(len(chain) - 1 for chain in laid.chains)
    assert sum(wire.last for wire in steps) == len(edges)
    for wire in steps:
        for key, x in ((wire.parent, wire.begin), (wire.child, wire.end)):
            assert laid.left[key] - 1e-6 <= x <= laid.left[key] + widths.get(key, 0) + 1e-6


def test_a_user_stands_just_above_what_it_uses():
    laid = lay_out(dict.fromkeys("abcj", 1.0), [("a", "b"), ("b", "c"), ("j", "c")], 1)
    assert [set(layer) for layer in laid.layers] == [{"a"}, {"b", "j"}, {"c"}]


def test_a_box_is_over_the_middle_of_what_it_uses():
    laid = lay_out({"q": 4.0, "a": 10.0, "b": 10.0, "c": 10.0}, [("q", "a"), ("q", "b"), ("q", "c")], 2)
    assert laid.left["q"] + 2 == pytest.approx(laid.left["b"] + 5)


def test_crossings_are_found_and_removed():
    assert crossings([["a", "b"], ["c", "d"]], [("a", "d"), ("b", "c")]) == 1
    edges = [("a", "z"), ("b", "y"), ("c", "x")]
    laid = lay_out(dict.fromkeys("abcxyz", 1.0), edges, 1)
    assert crossings(laid.layers, edges) == 0


@pytest.mark.parametrize("edges", [[("a", "a")], [("a", "b"), ("b", "a")], [("a", "b"), ("b", "c"), ("c", "b")]])
def test_a_circle_is_refused(edges):
    with pytest.raises(LocalError, match="circle"):
        lay_out(dict.fromkeys("abc", 1.0), edges, 1)


def test_parts_are_what_is_joined():
    assert parts("abcdef", [("a", "c"), ("f", "b"), ("c", "e")]) == [["a", "c", "e"], ["b", "f"], ["d"]]
    assert parts("", []) == []


def test_lines_join_where_they_meet():
    grid = Grid()
    grid.box(0, 0, 5, 3)
    grid.down(2, 0, 2)
    grid.across(0, 4, 1)
    assert grid.show() == "┌─┬─┐\n├─┼─┤\n└─┴─┘\n"
    grid.text(1, 1, "漢")
    assert grid.show().splitlines()[1] == "├漢─┤"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40), st.integers(1, 30))
def test_what_is_too_long_loses_its_middle(name, columns):
    short = elided(name, columns)
    assert length(short) <= columns
    if short != name:
        head, _, tail = short.partition("…") if "…" not in name else (short, "", "")
        assert name.startswith(head) or "…" in name
        assert name.endswith(tail)
