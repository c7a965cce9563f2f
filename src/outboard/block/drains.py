"""Drained sections: nothing is under way in a node, and nothing starts, from `drained_begin` to `drained_end`.

Source: QEMU 4.1, block/io.c: bdrv_drained_begin and _end; block/block-backend.c: blk_root_drained_*.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from outboard.aio.wait import wait_while
from outboard.block.node import Child, Node
from outboard.errors import LocalError


def begin_parent(child: Child) -> None:
    """Tell the parent of an edge that its node is quiet from now on; once for each edge."""
    if not child.quiesced:
        child.quiesced = True
        if child.role.drained_begin:
            child.role.drained_begin(child)


def end_parent(child: Child) -> None:
    """Undo `begin_parent`."""
    if child.quiesced:
        child.quiesced = False
        if child.role.drained_end:
            child.role.drained_end(child)


def quiesce(node: Node) -> None:
    """Open a drained section without waiting: parents start nothing more, then the driver lets out what it holds."""
    node.quiesce_counter += 1
    if node.quiesce_counter > 1:
        return
    node.ctx.disable_external()
    for child in list(node.parents):
        begin_parent(child)
    node.driver.drain_begin()


def unquiesce(node: Node) -> None:
    """Close a drained section; the last to be closed lets the parents go on."""
    if node.quiesce_counter == 1:
        node.driver.drain_end()
        for child in list(node.parents):
            end_parent(child)
        node.ctx.enable_external()
    node.quiesce_counter -= 1


def parent_busy(child: Child) -> bool:
    """Whether the parent of an edge still has something under way."""
    return child.role.drained_poll is not None and child.role.drained_poll(child)


def drain_poll(node: Node) -> bool:
    """Whether something is under way in a node or in one that uses it."""
    return node.in_flight > 0 or any(parent_busy(child) for child in list(node.parents))


def drained_begin(*nodes: Node) -> None:
    """Open a drained section of each node and wait until all are quiet; nodes may be of several contexts.

    In the main thread, or in a callback of the one context that all of them are in; not in a coroutine that has a
    request under way there, since that would wait for itself. Raises LocalError elsewhere, and where a thread has ended
    with requests under way; no section is open then.
    """
    begun: list[Node] = []
    try:
        for node in nodes:
            with node.ctx:
                quiesce(node)
                begun.append(node)
        while any(_settle(node) for node in nodes):
            pass  # what one waited for may have started something in another
    except BaseException:
        drained_end(*begun)
        raise


def _settle(node: Node) -> bool:
    """Wait until nothing is under way; true when there was something."""
    waited = wait_while(node.ctx, lambda: drain_poll(node) and not node.ctx.deserted)
    if node.ctx.deserted and drain_poll(node):
        raise LocalError(f"{node!r}: its thread has ended with requests under way")
    return waited


def drained_end(*nodes: Node) -> None:
    """Close a drained section of each node. Raises LocalError where none is open; nothing has changed then."""
    for node in nodes:
        if node.quiesce_counter < nodes.count(node):
            raise LocalError(f"{node!r} has no drained section that could end: begin one before")
    for node in reversed(nodes):
        with node.ctx:
            unquiesce(node)


@contextmanager
def drained(*nodes: Node) -> Iterator[None]:
    """Keep nodes drained during a block."""
    drained_begin(*nodes)
    try:
        yield
    finally:
        drained_end(*nodes)
