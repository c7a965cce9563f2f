"""A block graph at work, to look at: two disks over real files, load on both, moves between two IOThreads meanwhile.

`vda`: a throttle, a mirror job that copies the disk to three copies that vote. `vdb`: copy-on-read of a base image that
is slow to reach. Every program writes blocks of its own, reads them back, reads others that nobody writes, compares.
"""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from outboard.aio.context import AioContext
from outboard.aio.coroutine import Task, co_enter, co_move
from outboard.aio.iothread import IOThread
from outboard.aio.timeline import Recorder, Timeline
from outboard.aio.wait import kick, wait_while
from outboard.aio.world import main_context
from outboard.block import edges
from outboard.block.backend import BlockBackend
from outboard.block.drivers import CopyOnRead, File, Memory, Quorum, Raw, Throttle
from outboard.block.graph import BACKING, DATA, FILE
from outboard.block.jobs import Job
from outboard.block.mirror import WRITE_BLOCKING, Mirror
from outboard.block.node import Node
from outboard.block.picture import Picture, look
from outboard.block.watch import watched

SIZE = 4 << 20
BLOCK = 4096
PROGRAMS = 6
"""On each disk."""
IOPS, LINK_IOPS = 2000, 200
"""Of `vda`, and of the way to the base image of `vdb`."""
COPIES = 3
MOVES = 8
"""Of both disks in turn, while it runs."""
LOOKS = 50
POLL_NS = 32_768


@dataclass
class Figures:
    """What happened. requests, wrong: by disk; wrong: blocks that read otherwise than they were written."""

    requests: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, int] = field(default_factory=dict)
    moves: int = 0


def pattern(block: int, turn: int) -> bytes:
    """Return what a block holds after a turn; 0: what it holds at first."""
    return f"block {block:8} turn {turn:12}".ljust(32).encode() * (BLOCK // 32)


class Load:
    """Programs that use a disk until they are told to stop."""

    def __init__(self, disk: BlockBackend, figures: Figures) -> None:
        self.disk = disk
        self.stopped = False
        self._figures = figures
        figures.requests[disk.name] = figures.wrong[disk.name] = 0
        self.tasks: list[Task[None]] = []
        for number in range(PROGRAMS):
            coro: Any = self._program(number)
            coro.__qualname__ = f"{disk.name}: programs"  # what a timeline calls them
            self.tasks.append(task := co_enter(disk.home, coro, kept=True))
            task.completion.on_done(kick)

    async def _program(self, number: int) -> None:
        blocks = self.disk.length // BLOCK // PROGRAMS
        turn = 0
        while not self.stopped:
            turn += 1
            block = number * blocks + turn * 7 % blocks
            if block % 2:
                await self._check(block, 0)
            else:
                await self.disk.pwritev(block * BLOCK, [pattern(block, turn)])
                await self._check(block, turn)
                self._figures.requests[self.disk.name] += 1
            await co_move(self.disk.home)  # others have a turn, also where nothing has to be waited for

    async def _check(self, block: int, turn: int) -> None:
        got = bytearray(BLOCK)
        await self.disk.preadv(block * BLOCK, [got])
        self._figures.requests[self.disk.name] += 1
        self._figures.wrong[self.disk.name] += got != pattern(block, turn)

    def stop(self) -> None:
        """Let them end and wait for it. Raises what one of them has raised."""
        self.stopped = True
        wait_while(self.disk.ctx, lambda: not all(task.done for task in self.tasks))
        for task in self.tasks:
            task.result()


def _image(folder: str, name: str, ctx: AioContext) -> Node:
    """Make an image, raw on file."""
    path = os.path.join(folder, name)
    with open(path, "wb") as image:
        image.writelines(pattern(block, 0) for block in range(SIZE // BLOCK))
    top = Node(name, Raw(), ctx)
    edges.attach_child(top, Node(f"{name} file", File(path), ctx), FILE)
    return top


def _mirrored(folder: str, ctx: AioContext) -> tuple[Node, Node]:
    """Return the top of `vda` and the copies to mirror it to."""
    top = Node("limit", Throttle(iops_total=IOPS), ctx)
    edges.attach_child(top, _image(folder, "disk.img", ctx), FILE)
    copies = Node("copies", Quorum(2), ctx)
    for number in range(COPIES):
        edges.attach_child(copies, Node(f"copy{number}", Memory(SIZE), ctx), DATA)
    return top, copies


def _overlaid(folder: str, ctx: AioContext) -> Node:
    """Return the top of `vdb`."""
    top = Node("keep", CopyOnRead(), ctx)
    overlay = Node("overlay", Memory(SIZE, cluster=BLOCK), ctx)
    link = Node("link", Throttle(iops_total=LINK_IOPS), ctx)
    edges.attach_child(top, overlay, FILE)
    edges.attach_child(overlay, link, BACKING)
    edges.attach_child(link, _image(folder, "base.img", ctx), FILE)
    return top


@dataclass
class Scene:
    """The graph that runs."""

    threads: list[IOThread]
    disks: list[BlockBackend]
    job: Job

    def look(self) -> Picture:
        """Make a picture of all of it."""
        return look(*self.disks, self.job, contexts=[main_context(), *(thread.context for thread in self.threads)])


@contextmanager
def scene(folder: str) -> Iterator[Scene]:
    """Build the graph, with images in a folder; take it apart at the end. In the main thread."""
    main = main_context()
    with (
        IOThread("iothread0", poll_max_ns=POLL_NS, poll_grow=2) as first,
        IOThread("iothread1") as second,
    ):
        top, copies = _mirrored(folder, main)
        tops = [top, _overlaid(folder, main)]
        disks = []
        for name, node, thread in zip(("vda", "vdb"), tops, (first, second), strict=True):
            disk = BlockBackend(name)
            disk.insert(node)
            disk.try_set_aio_context(thread.context)
            disks.append(disk)
        source = top.children[0].node
        job = Mirror("mirror0", source, copies, copy_mode=WRITE_BLOCKING)
        try:
            yield Scene([first, second], disks, job)
        finally:
            if job.status != "concluded":
                job.cancel()
                with suppress(OSError):
                    job.wait()
            for disk in disks:
                disk.close()
            for node in (*tops, copies):
                edges.close(node)


def run(folder: str, seconds: float) -> "Seen":
    """Run the graph for some time; return what was seen of it."""
    figures = Figures()
    with scene(folder) as graph, Recorder() as recorder:
        tops = [(disk.name, disk.node) for disk in graph.disks]
        with watched(recorder, [(name, node) for name, node in tops if node is not None]):
            loads = [Load(disk, figures) for disk in graph.disks]
            graph.job.start()
            picture = _conduct(graph, seconds, figures)
            for load in loads:
                load.stop()
        return Seen(picture, recorder.timeline(), figures)


@dataclass(frozen=True)
class Seen:
    """A picture of one moment, a timeline of all, figures."""

    picture: Picture
    timeline: Timeline
    figures: Figures


def _conduct(graph: Scene, seconds: float, figures: Figures) -> Picture:
    """Move the disks to and fro while they are used; return a picture of the middle."""
    contexts = [thread.context for thread in graph.threads]
    picture = None
    for turn in range(MOVES):
        _pass(seconds / (MOVES + 1))
        disk = graph.disks[turn % len(graph.disks)]
        disk.try_set_aio_context(contexts[disk.ctx is contexts[0]])
        figures.moves += 1
        if turn == MOVES // 2 - 1:
            picture = _busy(graph)
    _pass(seconds / (MOVES + 1))
    assert picture is not None
    return picture


def _pass(seconds: float) -> None:
    """Serve the main context for some time."""
    main = main_context()
    over: list[bool] = []
    timer = main.call_later(seconds, lambda: over.append(True))
    while not over:
        main.poll(True)
    timer.cancel()


def _busy(graph: Scene) -> Picture:
    """Look until something is in flight: in every disk, or, after many looks, in any."""
    for looks in itertools.count():
        picture = graph.look()
        busy = [box.in_flight > 0 for box in picture.boxes if box.kind == "backend"]
        if all(busy) or (any(busy) and looks >= LOOKS):
            break
        _pass(0.001)
    return picture
