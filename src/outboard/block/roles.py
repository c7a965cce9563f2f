"""The roles in which a node uses another. Those of backends and of jobs stand beside them.

Source: QEMU 4.1, block.c: child_file, child_backing; `DATA` is one of several equal children, as quorum's.
"""

from outboard.block import drains
from outboard.block.moves import Plan
from outboard.block.node import Child, Node, Role


def _changed(child: Child) -> None:
    changed(child.parent)


def _resize(child: Child) -> None:
    child.parent.driver.child_resized(child)


def _can_set(child: Child, plan: Plan) -> None:
    plan.visit(child.parent)


def of_node(name: str) -> Role:
    """Make a role whose parent is a node: what is below it moves and is drained with it."""
    return Role(
        name,
        description=lambda child: f"node {child.parent.name!r}",
        can_set_aio_ctx=_can_set,
        drained_begin=lambda child: drains.quiesce(child.parent),
        drained_poll=lambda child: drains.drain_poll(child.parent),
        drained_end=lambda child: drains.unquiesce(child.parent),
        changed=_changed,
        resize=_resize,
    )


FILE = of_node("file")
BACKING = of_node("backing")
FILTERED = of_node("filtered")
DATA = of_node("data")


def changed(node: Node) -> None:
    """Tell all that is above that the graph is another one."""
    for child in list(node.parents):
        if child.role.changed:
            child.role.changed(child)


def resized(node: Node) -> None:
    """Tell the parents that a node has another length."""
    for child in list(node.parents):
        if child.role.resize:
            child.role.resize(child)
