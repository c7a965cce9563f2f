"""Nodes of the block graph, the edges between them, and what an edge's role asks of the parent.

Source: QEMU 4.1, include/block/block_int.h: BlockDriverState is `Node`, BdrvChild is `Child`, BdrvChildRole is `Role`.

Modelled: parents, children, the context of a node, quiesce and in-flight counters, serialising requests, notifiers.
Not modelled: permissions (a file is locked as a whole, see `drivers.file_locks`), options, reopening, reference counts.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from outboard.aio.context import AioContext
from outboard.aio.world import main_context

if TYPE_CHECKING:
    from outboard.block.driver import Driver
    from outboard.block.moves import Plan
    from outboard.block.requests import Request


@dataclass(frozen=True)
class Role:
    """One row: what an edge of this kind asks of its parent. A callback that is None: the parent does not care.

    can_set_aio_ctx: add to the plan all that would have to move with the parent; raises LocalError to refuse. None:
    always refuses.
    set_aio_ctx: the parent lives in this context now; called while everything in the plan is drained.
    drained_begin: start no more requests; drained_poll: whether some are still under way; drained_end: go on.
    keeps_length: the node must not get another length while the parent uses it.
    attach, detach: the edge was joined to its node, or is about to leave it. changed: the graph below is another one.
    resize: the node has another length. description: the parent, in words for messages.
    """

    name: str
    description: Callable[["Child"], str]
    can_set_aio_ctx: Callable[["Child", "Plan"], None] | None = None
    set_aio_ctx: Callable[["Child", AioContext], None] | None = None
    drained_begin: Callable[["Child"], None] | None = None
    drained_poll: Callable[["Child"], bool] | None = None
    drained_end: Callable[["Child"], None] | None = None
    attach: Callable[["Child"], None] | None = None
    detach: Callable[["Child"], None] | None = None
    changed: Callable[["Child"], None] | None = None
    resize: Callable[["Child"], None] | None = None
    keeps_length: bool = False


class Child:
    """An edge: `parent` (a Node, a backend, a job) uses `node` in a role. quiesced: it was told drained_begin."""

    def __init__(self, parent: Any, node: "Node", role: Role) -> None:
        self.parent = parent
        self.node = node
        self.role = role
        self.quiesced = False

    def __repr__(self) -> str:
        return f"<{self.role.name} of {self.role.description(self)}: {self.node.name}>"


@dataclass(eq=False)
class Notifier:
    """Whom a node tells of its moves: detach() before, in the old context, attached(context) after, in the new one.

    Both are called with that context acquired, in the thread that moves; they raise nothing.
    """

    attached: Callable[[AioContext], object]
    detach: Callable[[], object]


@dataclass(eq=False)
class Node:
    """A node: a driver with parents and children, in one context, whose thread has all of it but the edges.

    parents, children: changed by `graph` only, in the main thread, with the contexts acquired.
    quiesce_counter: drained sections that are open; the node takes no requests from outside while there is one.
    in_flight: requests under way in the driver; they are counted in the home thread.
    """

    name: str
    driver: "Driver"
    ctx: AioContext = field(default_factory=main_context)
    parents: list[Child] = field(default_factory=list)
    children: list[Child] = field(default_factory=list)
    quiesce_counter: int = 0
    in_flight: int = 0
    requests: "list[Request]" = field(default_factory=list)
    notifiers: list[Notifier] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.driver.node = self
        with self.ctx:
            self.driver.attach_aio_context(self.ctx)

    def __repr__(self) -> str:
        return f"<node {self.name!r} in {self.ctx.name}>"

    def child(self, *roles: Role) -> "Child | None":
        """Return the first child in one of these roles."""
        return next((child for child in self.children if child.role in roles), None)


def subtree(*nodes: Node) -> list[Node]:
    """List nodes with all that is below them, parents first, each once."""
    found: dict[Node, None] = {}

    def below(node: Node) -> Iterator[Node]:
        yield node
        for child in node.children:
            yield from below(child.node)

    for top in nodes:
        for node in below(top):
            found.pop(node, None)
            found[node] = None
    return list(found)


def keepers(*nodes: Node) -> list[Child]:
    """List the edges of those who need one of these nodes to keep its length."""
    return [child for node in nodes for child in node.parents if child.role.keeps_length]
