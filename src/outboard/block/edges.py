"""Edges: joining nodes, taking them apart, putting one in the place of another. In the main thread only.

Source: QEMU 4.1, block.c: bdrv_root_attach_child, bdrv_attach_child, bdrv_unref_child, bdrv_replace_node, bdrv_append.
"""

from typing import Any

from outboard.aio.context import AioContext
from outboard.aio.wait import wait_while
from outboard.block import drains, roles
from outboard.block.moves import Plan, move, require_main, try_set_aio_context
from outboard.block.node import Child, Node, Role, subtree
from outboard.errors import LocalError


def attach_child(parent: Node, node: Node, role: Role) -> Child:
    """Let a node use another in a role.

    A child of another context moves to the parent's; if it cannot, the parent to the child's. Raises LocalError, in
    the words of who refused; nothing has changed then.
    """
    if parent in subtree(node):
        raise LocalError(f"node {parent.name!r} cannot use {node.name!r}, which uses it")
    child = attach_root(parent, node, role, parent.ctx)
    parent.children.append(child)
    roles.changed(parent)
    return child


def attach_root(parent: Any, node: Node, role: Role, ctx: AioContext) -> Child:
    """Let something that is no node, and lives in `ctx`, use a node. Contexts and errors as in `attach_child`."""
    require_main("a change of the graph")
    child = Child(parent, node, role)
    _meet(child, ctx)
    _join(child, node)
    return child


def _meet(child: Child, ctx: AioContext) -> None:
    """Bring both ends of a new edge into one context."""
    if child.node.ctx is ctx:
        return
    try:
        try_set_aio_context(child.node, ctx)
    except LocalError as refused:
        if child.role.can_set_aio_ctx is None:
            raise
        try:
            move(lambda: _parents_plan(child))
        except LocalError:
            raise refused from None


def _parents_plan(child: Child) -> Plan:
    plan = Plan(child.node.ctx, {child})
    assert child.role.can_set_aio_ctx
    child.role.can_set_aio_ctx(child, plan)
    return plan


def _join(child: Child, node: Node) -> None:
    """Join an edge to a node; a parent that comes to a drained node becomes quiet before."""
    child.node = node
    with node.ctx:
        if node.quiesce_counter:
            drains.begin_parent(child)
            wait_while(node.ctx, lambda: drains.parent_busy(child))
        node.parents.append(child)
        if child.role.attach:
            child.role.attach(child)


def _part(child: Child) -> None:
    with child.node.ctx:
        if child.role.detach:
            child.role.detach(child)
        child.node.parents.remove(child)


def detach_child(child: Child) -> None:
    """Take an edge away; requests through it are waited for."""
    require_main("a change of the graph")
    node = child.node
    with drains.drained(node):
        _part(child)
        if isinstance(child.parent, Node):
            child.parent.children.remove(child)
            roles.changed(child.parent)
        with node.ctx:
            drains.end_parent(child)


def replace_child(child: Child, node: Node) -> None:
    """Let an edge lead to another node, which comes to the context of the parent. Raises LocalError when it cannot."""
    if child.node.ctx is not node.ctx:
        try_set_aio_context(node, child.node.ctx)
    with drains.drained(child.node, node):
        _part(child)
        _join(child, node)
        if child.role.changed:
            child.role.changed(child)


def replace_node(node: Node, other: Node) -> None:
    """Let all that use a node use another one, save `other` itself and what is below it."""
    require_main("a change of the graph")
    below = set(subtree(other))
    for child in list(node.parents):
        if child.parent not in below:
            replace_child(child, other)


def append(node: Node, top: Node, role: Role) -> Child:
    """Put `top`, which nobody uses, between a node and all that use it; it uses the node in `role`."""
    require_main("a change of the graph")
    users = list(node.parents)
    with drains.drained(node):
        child = attach_child(top, node, role)
        for user in users:
            replace_child(user, top)
    return child


def close(node: Node) -> None:
    """Free a node that nobody uses, and those below that only it used. Raises LocalError when one is in use."""
    require_main("a change of the graph")
    if node.parents:
        users = ", ".join(child.role.description(child) for child in node.parents)
        raise LocalError(f"node {node.name!r} is in use by {users}: detach it before")
    with drains.drained(node), node.ctx:
        node.driver.detach_aio_context()
        node.driver.close()
    for child in list(node.children):
        detach_child(child)
        if not child.node.parents:
            close(child.node)
