"""Moves of nodes from one context to another: all of a connected graph, or nothing.

Source: QEMU 4.1, block.c: bdrv_can_set_aio_context, bdrv_try_set_aio_context, bdrv_add_aio_context_notifier.
As in QEMU since 7.2, one walk asks everybody and notes who would move; then all of those are drained, detached, moved
and attached together.
"""

from collections.abc import Callable
from contextlib import ExitStack

from outboard.aio.context import AioContext
from outboard.aio.world import main_context
from outboard.block.drains import drained
from outboard.block.node import Child, Node, Notifier
from outboard.errors import LocalError


class Plan:
    """A move that is asked for. nodes: those that would move.

    ignore: the edges that were asked, or need not be; edges: the same in their order. Raises LocalError for what is no
    context, or one that was closed.
    """

    def __init__(self, ctx: AioContext, ignore: set[Child] | None = None) -> None:
        self.ctx = insist_context(ctx)
        self.nodes: list[Node] = []
        self.ignore = set() if ignore is None else ignore
        self.edges = list(self.ignore)
        self._to_ask: list[Node] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and (self.nodes, self.ignore) == (other.nodes, other.ignore)

    def note(self, child: Child) -> bool:
        """Note that an edge is asked; false when it was before."""
        if child in self.ignore:
            return False
        self.ignore.add(child)
        self.edges.append(child)
        return True

    def visit(self, node: Node) -> None:
        """Note that a node would move; who is joined to it is asked in turn."""
        if node.ctx is not self.ctx and node not in self.nodes:
            self.nodes.append(node)
            self._to_ask.append(node)

    def ask(self) -> "Plan":
        """Ask until nobody new was noted. Raises LocalError, in the words of the one who refused."""
        while self._to_ask:
            node = self._to_ask.pop()
            for child in node.parents:
                self._ask_parent(child)
            for child in node.children:
                if self.note(child):
                    self.visit(child.node)
        return self

    def _ask_parent(self, child: Child) -> None:
        if not self.note(child):
            return
        if child.role.can_set_aio_ctx is None:
            raise LocalError(f"Changing iothreads is not supported by {child.role.description(child)}")
        child.role.can_set_aio_ctx(child, self)


def move(make_plan: Callable[[], Plan]) -> None:
    """Carry out a plan. It is made twice: waiting for requests runs callbacks, which may have changed the graph."""
    require_main("a change of contexts")
    while True:
        plan = make_plan().ask()
        with drained(*plan.nodes):
            if make_plan().ask() == plan:
                _commit(plan)
                return


def _commit(plan: Plan) -> None:
    with ExitStack() as acquired:
        # All of them to the end: between detach and attach nothing runs, in the old context or in the new one.
        for ctx in (*dict.fromkeys(node.ctx for node in plan.nodes), plan.ctx):
            acquired.enter_context(ctx)
        for node in plan.nodes:
            _detach(node)
        for node in plan.nodes:
            node.ctx = plan.ctx
        for child in plan.edges:
            if child.role.set_aio_ctx:
                child.role.set_aio_ctx(child, plan.ctx)
        for node in reversed(plan.nodes):
            _attach(node)


def _detach(node: Node) -> None:
    for notifier in list(node.notifiers):
        notifier.detach()
    node.driver.detach_aio_context()
    node.ctx.enable_external()


def _attach(node: Node) -> None:
    node.ctx.disable_external()
    node.driver.attach_aio_context(node.ctx)
    for notifier in list(node.notifiers):
        notifier.attached(node.ctx)


def insist_context(ctx: object) -> AioContext:
    """Return a context that something can move to. Raises LocalError for anything else."""
    if not isinstance(ctx, AioContext):
        raise LocalError(f"expected a context to move to, got {ctx!r}; an IOThread has one: give its .context")
    if ctx.closed:
        raise LocalError(f"context {ctx.name}: expected one to move to, got one that was stopped")
    return ctx


def require_main(what: str) -> None:
    """Refuse what only the main thread may do: the graph has no lock of its own."""
    if not main_context().in_home_thread:
        raise LocalError(f"{what} in another thread than the main context's: schedule a bottom half there")


def get_aio_context(node: Node) -> AioContext:
    """Return the context of a node."""
    return node.ctx


def can_set_aio_context(node: Node, ctx: AioContext, ignore: set[Child] | None = None) -> bool:
    """Ask whether a node could move. ignore: edges that are not asked; those that were asked are added."""
    try:
        plan = Plan(ctx, ignore)
        plan.visit(node)
        plan.ask()
    except LocalError:
        return False
    return True


def try_set_aio_context(node: Node, ctx: AioContext, ignore: set[Child] | None = None) -> None:
    """Move a node and all that is joined to it. Raises LocalError that names who refused; nothing has changed then.

    ignore: edges whose parents are not asked, since the caller is their user; they move too. In the main thread only.
    """

    def plan() -> Plan:
        asked = Plan(ctx, set(ignore or ()))
        asked.visit(node)
        return asked

    move(plan)


def add_aio_context_notifier(
    node: Node, attached: Callable[[AioContext], object], detach: Callable[[], object]
) -> Notifier:
    """Tell of a node's moves from now on; what is returned ends it, see `Notifier`."""
    notifier = Notifier(attached, detach)
    node.notifiers.append(notifier)
    return notifier


def remove_aio_context_notifier(node: Node, notifier: Notifier) -> None:
    """Tell no more. Raises LocalError for one that is not there."""
    if notifier not in node.notifiers:
        raise LocalError(f"node {node.name!r} has no such notifier")
    node.notifiers.remove(notifier)
