"""The block graph: nodes, edges, drained sections, moves. One place to import them from."""

from outboard.block.drains import drain_poll, drained, drained_begin, drained_end
from outboard.block.edges import append, attach_child, close, detach_child, replace_node
from outboard.block.moves import (
    add_aio_context_notifier,
    can_set_aio_context,
    get_aio_context,
    remove_aio_context_notifier,
    try_set_aio_context,
)
from outboard.block.node import Child, Node, Notifier, Role, subtree
from outboard.block.roles import BACKING, DATA, FILE, FILTERED

__all__ = [
    "BACKING",
    "DATA",
    "FILE",
    "FILTERED",
    "Child",
    "Node",
    "Notifier",
    "Role",
    "add_aio_context_notifier",
    "append",
    "attach_child",
    "can_set_aio_context",
    "close",
    "detach_child",
    "drain_poll",
    "drained",
    "drained_begin",
    "drained_end",
    "get_aio_context",
    "remove_aio_context_notifier",
    "replace_node",
    "subtree",
    "try_set_aio_context",
]
