"""Look on at a node: a user of it that makes no requests, agrees to everything, and tells of drains and moves."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from outboard.aio.context import AioContext
from outboard.aio.timeline import Mark, Recorder
from outboard.block import edges
from outboard.block.moves import Plan
from outboard.block.node import Child, Node, Role


class Watch:
    """Marks the drained sections and the moves of a node in a recorder, under a name. In the main thread.

    A drained section of any node below drains this one too. While it looks on the node has one user more: close the
    watch before the node.
    """

    def __init__(self, recorder: Recorder, node: Node, name: str) -> None:
        self.name = name
        self._recorder = recorder
        self._was = node.ctx
        self._drained_in = node.ctx
        self._drained_ns = 0
        self._child: Child | None = edges.attach_root(self, node, WATCH, node.ctx)

    def close(self) -> None:
        """Look no longer; safe to call twice."""
        child, self._child = self._child, None
        if child is not None:
            edges.detach_child(child)

    def drained_begin(self, child: Child) -> None:
        """The node is quiet from now on."""
        self._drained_in = child.node.ctx
        self._drained_ns = child.node.ctx.now_ns()

    def drained_end(self, child: Child) -> None:
        """It goes on."""
        end_ns = child.node.ctx.now_ns()
        if self._child is not None:  # its own leaving drains the node too
            self._recorder.mark(Mark("drained", self.name, self._drained_in.name, "", self._drained_ns, end_ns))

    def moved(self, ctx: AioContext) -> None:
        """It lives elsewhere."""
        now_ns = ctx.now_ns()
        self._recorder.mark(Mark("moved", self.name, self._was.name, ctx.name, now_ns, now_ns))
        self._was = ctx


def _can_set(child: Child, plan: Plan) -> None:
    """Agree."""


WATCH = Role(
    "watch",
    description=lambda child: f"a watch of {child.parent.name!r}",
    can_set_aio_ctx=_can_set,
    set_aio_ctx=lambda child, ctx: child.parent.moved(ctx),
    drained_begin=lambda child: child.parent.drained_begin(child),
    drained_end=lambda child: child.parent.drained_end(child),
)


@contextmanager
def watched(recorder: Recorder, nodes: Iterable[tuple[str, Node]]) -> Iterator[None]:
    """Watch nodes, by their names, during a block."""
    with ExitStack() as watches:
        for name, node in nodes:
            watches.callback(Watch(recorder, node, name).close)
        yield
