"""Look at a block graph and its contexts: make the data of a picture, of one moment."""

import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

from outboard.aio.context import AioContext
from outboard.block.backend import BlockBackend
from outboard.block.driver import Driver
from outboard.block.drivers import File, Memory, Quorum, Raw, Throttle
from outboard.block.jobs import Job
from outboard.block.mirror import Mirror
from outboard.block.moves import require_main
from outboard.block.node import Child, Node
from outboard.block.picture.data import Box, Edge, Extent, Picture, Place
from outboard.block.roles import BACKING
from outboard.block.watch import WATCH

Facts = tuple[str, ...]

# Driver: what its boxes say beside name and size.
FACTS: dict[type[Driver], Callable[[Any], Facts]] = {
    File: lambda driver: (driver.path,),
    Memory: lambda driver: (_own(driver),) if driver.node.child(BACKING) else (),
    Quorum: lambda driver: (f"{driver.vote_threshold} of {len(driver.node.children)} must agree",),
    Raw: lambda driver: (f"from byte {driver.offset} on",) if driver.offset else (),
    Throttle: lambda driver: (f"{sum(map(len, driver.queues))} wait for their turn",),
}


def _own(driver: Memory) -> str:
    return f"{len(driver.own)} of {-(-driver.length() // driver.cluster)} clusters"


def look(*things: Node | BlockBackend | Job, contexts: Iterable[AioContext] = ()) -> Picture:
    """Make a picture of all that is joined to some nodes, backends, jobs, and of contexts. In the main thread only.

    All contexts are acquired together for it, so it is one moment, between two callbacks of each.
    """
    require_main("a picture of the graph")
    found, edges = _connected(things)
    ours = list(dict.fromkeys([*contexts, *(one.ctx for one in found)]))
    keys: dict[Any, str] = {thing: f"b{at}" for at, thing in enumerate(found)}
    keys |= {ctx: f"c{at}" for at, ctx in enumerate(ours)}
    with ExitStack() as acquired:
        for ctx in ours:
            acquired.enter_context(ctx)
        return Picture(
            tuple(_place(keys[ctx], ctx) for ctx in ours),
            tuple(_box(keys[one], keys[one.ctx], one) for one in found),
            tuple(Edge(keys[edge.parent], keys[edge.node], edge.role.name, edge.quiesced) for edge in edges),
        )


def _connected(things: Iterable[Any]) -> tuple[list[Any], list[Child]]:
    """Find all that is joined to some things, users before nodes; and the edges between them."""
    found: dict[Any, None] = {}
    edges: dict[Child, None] = {}
    to_see = list(things)
    while to_see:
        thing = to_see.pop(0)
        if thing in found:
            continue
        found[thing] = None
        for edge in (*_above(thing), *_below(thing)):
            edges[edge] = None
            to_see += [edge.parent, edge.node]
    return sorted(found, key=lambda one: isinstance(one, Node)), list(edges)


def _above(thing: Any) -> list[Child]:
    return [edge for edge in thing.parents if edge.role is not WATCH] if isinstance(thing, Node) else []


def _below(thing: Any) -> list[Child]:
    if isinstance(thing, BlockBackend):
        return [thing.root] if thing.root else []
    return list(thing.children)


def _place(key: str, ctx: AioContext) -> Place:
    max_ns, grow, shrink = ctx.poll_params
    return Place(
        key,
        ctx.name,
        _thread(ctx.home),
        len(ctx.fds.table),
        ctx.fds.external_disabled,
        ctx.scheduled,
        ctx.armed,
        ctx.poll_ns,
        max_ns,
        grow,
        shrink,
    )


def _thread(ident: int | None) -> str:
    if ident is None:
        return ""
    named = {thread.ident: thread for thread in threading.enumerate()}
    thread = named.get(ident)
    return f"thread {thread.native_id}, {thread.name}" if thread else f"thread {ident}"


def _box(key: str, place: str, thing: Any) -> Box:
    if isinstance(thing, Node):
        return _node(key, place, thing)
    if isinstance(thing, Job):
        return _job(key, place, thing)
    return _backend(key, place, thing)


def _node(key: str, place: str, node: Node) -> Box:
    driver = node.driver
    try:
        size = driver.length()
        facts: Facts = ("read-only",) if driver.read_only else ()
    except OSError as error:  # a quorum whose copies differ, a filter above nothing
        size, facts = None, (f"no length: {error.strerror}",)
    facts += next((tell(driver) for kind, tell in FACTS.items() if isinstance(driver, kind)), ())
    requests = tuple(Extent(one.start, one.end, one.held) for one in node.requests)
    what = driver.format_name
    return Box(key, "node", node.name, what, place, size, node.in_flight, node.quiesce_counter, facts, requests)


def _job(key: str, place: str, job: Job) -> Box:
    facts: Facts = (job.status,)
    copies = 0
    if isinstance(job, Mirror):
        copies = job.copies
        left = len(job.chunks.dirty)
        facts += (f"{left} of {-(-job.chunks.length // job.chunks.size)} chunks left",)
    return Box(key, "job", job.name, f"{job.kind} job", place, None, copies, job.pause_count, facts)


def _backend(key: str, place: str, backend: BlockBackend) -> Box:
    facts: Facts = (f"of {backend.dev}",) if backend.dev else ()
    if backend.read_only and backend.root:
        facts += ("read-only",)
    device = backend.dev_ops.under_way()
    what = "backend"
    name = backend.name or "unnamed"
    return Box(key, "backend", name, what, place, None, max(backend.in_flight, device), backend.quiesce_counter, facts)
