"""What a picture of the block graph says: plain data, made by `look`, or by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field

UNITS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
SHOWN = 3
"""Requests of a box that are named one by one."""


@dataclass(frozen=True)
class Extent:
    """A request that is under way: bytes from start to end. held: waits for one that it must not overlap."""

    start: int
    end: int
    held: bool = False


@dataclass(frozen=True)
class Box:
    """A node, or a user of nodes: a backend, a job, something else.

    key: names the box in edges. place: key of the context. what: the driver, or the kind of user.
    size: bytes; None: has none, or cannot say. facts: more about it, a line each.
    in_flight: requests under way. quiesce: drained sections that are open. requests: what they are, where known.
    """

    key: str
    kind: str
    name: str
    what: str
    place: str
    size: int | None = None
    in_flight: int = 0
    quiesce: int = 0
    facts: tuple[str, ...] = ()
    requests: tuple[Extent, ...] = ()


@dataclass(frozen=True)
class Edge:
    """`parent` uses `child` in a role. quiesced: the parent was told to start nothing more."""

    parent: str
    child: str
    role: str
    quiesced: bool = False


@dataclass(frozen=True)
class Place:
    """A context and its thread. thread: in words, "" when it has none.

    fds: handlers; external_disabled: how often external ones are; halves, timers: scheduled and armed.
    poll_ns of poll_max_ns: how long the next wait looks before it sleeps; grow, shrink: see `set_poll_params`.
    """

    key: str
    name: str
    thread: str = ""
    fds: int = 0
    external_disabled: int = 0
    halves: int = 0
    timers: int = 0
    poll_ns: int = 0
    poll_max_ns: int = 0
    grow: int = 0
    shrink: int = 0


@dataclass(frozen=True)
class Picture:
    """All of it, at one moment."""

    places: tuple[Place, ...] = ()
    boxes: tuple[Box, ...] = ()
    edges: tuple[Edge, ...] = field(default=())

    def of(self, place: Place) -> list[Box]:
        """Return the boxes of a context."""
        return [box for box in self.boxes if box.place == place.key]

    def reached(self, box: Box) -> tuple[Extent, ...]:
        """Return the requests of a box, unless all of them are in one that it uses: who draws shows them there."""
        used = {edge.child for edge in self.edges if edge.parent == box.key}
        below = max((one.in_flight for one in self.boxes if one.key in used), default=0)
        return box.requests if box.in_flight > below else ()

    @property
    def in_flight(self) -> int:
        """Requests of all users; those that they make in the nodes below are not counted again."""
        return sum(box.in_flight for box in self.boxes if box.kind != "node")


# In words, as all renderers say it


def count(size: int) -> str:
    """Return a number of bytes in words: in the largest unit that divides it, or rounded, in one it has many of."""
    for unit, name in UNITS:
        if size >= unit and (size % unit == 0 or size >= 1024 * unit or unit == UNITS[-1][0]):
            return f"{size / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{size} B"


def state(box: Box) -> str:
    """Say what is going on in a box; "" for nothing."""
    words = []
    if box.in_flight:
        words.append(f"{box.in_flight} in flight")
    if box.quiesce:
        words.append("drained" if box.quiesce == 1 else f"drained {box.quiesce} times")
    return ", ".join(words)


def lines(box: Box) -> list[str]:
    """Say what a box is, below its name."""
    size = "" if box.size is None else f", {count(box.size)}"
    return [f"{box.what}{size}", *box.facts]


def named(requests: Sequence[Extent]) -> list[str]:
    """Say what requests are, the first of them."""
    found = []
    for one in requests[:SHOWN]:
        what = f"{count(one.end - one.start)} at {count(one.start)}" if one.end > one.start else "flush"
        found.append(f"· {what}{', held' if one.held else ''}")
    if len(requests) > SHOWN:
        found.append(f"· and {len(requests) - SHOWN} more")
    return found


def about(place: Place) -> str:
    """Say what a context does beside its boxes."""
    words = [f"{place.fds} fd{'s' * (place.fds != 1)}"]
    if place.external_disabled:
        words.append(f"external ones disabled {place.external_disabled} times")
    words.append(f"{place.timers} timer{'s' * (place.timers != 1)}")
    words.append(f"{place.halves} bottom hal{'ves' if place.halves != 1 else 'f'}")
    if place.poll_max_ns:
        shrink = f"/{place.shrink}" if place.shrink else "to 0"
        now, most = (f"{ns / 1000:.3g}" for ns in (place.poll_ns, place.poll_max_ns))
        words.append(f"polls {now} of {most} µs, *{place.grow or 2}, {shrink}")
    else:
        words.append("does not poll")
    return ", ".join(words)
