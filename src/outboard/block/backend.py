"""BlockBackend: the end of a graph that a device, or a program, does its requests on.

Source: QEMU 4.1, block/block-backend.c. Requests that come while the graph is drained wait in the
backend, as in QEMU since 4.2.
Modelled: root, device and its callbacks, drained sections, moves, checks of requests, `direct`.
Not modelled: permissions, error policies (rerror, werror), removable media, accounting.
"""

import errno
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from outboard.aio.context import AioContext
from outboard.aio.coroutine import co_move, co_run
from outboard.aio.home import Home
from outboard.aio.wait import kick
from outboard.aio.world import main_context
from outboard.block import edges, iov, moves, requests
from outboard.block.drains import drained
from outboard.block.driver import DirectFile, failed
from outboard.block.gate import Gate
from outboard.block.iov import Buffers
from outboard.block.moves import Plan
from outboard.block.node import Child, Node, Notifier, Role, keepers, subtree
from outboard.errors import LocalError

T = TypeVar("T")


class DevOps:
    """What a device that uses a backend is told, in the thread that drains, with the context acquired."""

    def drained_begin(self) -> None:
        """Begin no more requests."""

    def drained_poll(self) -> bool:
        """Whether requests are under way that the backend does not count."""
        return False

    def drained_end(self) -> None:
        """Go on; requests that were left in a queue may begin."""

    def under_way(self) -> int:
        """How many requests the device has begun, for those who look at it; the backend may count batches of them."""
        return 0

    def resize(self) -> None:
        """The node has another length."""

    def changed(self) -> None:
        """The graph below is another one: `direct` may have another answer."""


class BlockBackend:
    """A user of a node. Requests are made in the home thread of `ctx`; the rest in the main thread.

    name: what the user calls it; a backend that has none, or a device, refuses to be moved by others.
    allow_aio_context_change: its user follows, so anybody may move it. home: where its own coroutines run.
    in_flight: requests under way. quiesce_counter: drained sections that are open.
    """

    def __init__(self, name: str = "", ctx: AioContext | None = None) -> None:
        self.name = name
        self.ctx = ctx or main_context()
        self.home = Home(self.ctx)
        self.root: Child | None = None
        self.dev: object | None = None
        self.dev_ops = DevOps()
        self.allow_aio_context_change = False
        self.in_flight = 0
        self.quiesce_counter = 0
        self._goes_on = Gate()
        self._notifiers: list[Notifier] = []
        self._direct: DirectFile | None = None

    def __repr__(self) -> str:
        return f"<backend {self.name!r} in {self.ctx.name}>"

    # The graph

    @property
    def node(self) -> Node | None:
        """The node at the top, None when nothing is inserted."""
        return self.root.node if self.root else None

    def insert(self, node: Node) -> None:
        """Use a node. Contexts and errors as in `edges.attach_child`; LocalError also for a backend that was closed."""
        if self.home.closed:
            raise LocalError(f"{described(self)} was closed: make another one")
        if self.root is not None:
            raise LocalError(f"{described(self)} has node {self.root.node.name!r} already: remove it before")
        edges.attach_root(self, node, ROOT, self.ctx)

    def remove(self) -> None:
        """Use it no more; requests are waited for. The node stays."""
        if self.root is not None:
            edges.detach_child(self.root)

    def changed(self) -> None:
        """Look again what `direct` is."""
        self._direct = self.root.node.driver.direct() if self.root else None
        self.dev_ops.changed()

    def attach_dev(self, dev: object, dev_ops: DevOps | None = None) -> None:
        """Be used by a device. dev: it, or its name, for messages. Raises LocalError when another one uses it."""
        if self.dev is not None:
            raise LocalError(f"{described(self)} is in use by {self.dev}")
        self.dev = dev
        self.dev_ops = dev_ops or DevOps()
        if self.quiesce_counter:
            self.dev_ops.drained_begin()

    def detach_dev(self) -> None:
        """Be used by none."""
        if self.quiesce_counter:
            self.dev_ops.drained_end()
        self.dev = None
        self.dev_ops = DevOps()

    def close(self) -> None:
        """Leave the node and free what the backend has."""
        self.remove()
        self.home.close()

    # Contexts

    def try_set_aio_context(self, ctx: AioContext) -> None:
        """Move the backend with its graph, as its user. Raises LocalError when another user of the graph refuses."""
        if self.root is not None:
            moves.try_set_aio_context(self.root.node, ctx, {self.root})
        elif moves.insist_context(ctx) is not self.ctx:
            with self.ctx:
                for notifier in self._notifiers:
                    notifier.detach()
            with ctx:
                self.moved(ctx)
                for notifier in self._notifiers:
                    notifier.attached(ctx)

    def moved(self, ctx: AioContext) -> None:
        """Live in another context from now on; the graph does already."""
        self.ctx = ctx
        self.home.move(ctx)

    def add_aio_context_notifier(
        self, attached: Callable[[AioContext], object], detach: Callable[[], object]
    ) -> Notifier:
        """Tell of moves, of whatever node is inserted; see `Notifier`."""
        notifier = Notifier(attached, detach)
        self._notifiers.append(notifier)
        if self.root is not None:
            self.root.node.notifiers.append(notifier)
        return notifier

    def remove_aio_context_notifier(self, notifier: Notifier) -> None:
        """Tell no more. Raises LocalError for one that is not there."""
        if notifier not in self._notifiers:
            raise LocalError(f"{described(self)} has no such notifier")
        self._notifiers.remove(notifier)
        if self.root is not None:
            self.root.node.notifiers.remove(notifier)

    def joined(self, child: Child) -> None:
        """The root was attached to a node: take the notifiers there."""
        self.root = child
        child.node.notifiers.extend(self._notifiers)
        self.changed()

    def parting(self, child: Child) -> None:
        """The root is about to leave its node."""
        self.root = None
        for notifier in self._notifiers:
            child.node.notifiers.remove(notifier)
        self.changed()

    def resized(self) -> None:
        """The node has another length."""
        self.changed()
        self.dev_ops.resize()

    # Drained sections

    def quiesce(self) -> None:
        """Begin no more requests; those that come wait."""
        self.quiesce_counter += 1
        if self.quiesce_counter == 1:
            self.dev_ops.drained_begin()

    def busy(self) -> bool:
        """Whether requests are under way."""
        return self.in_flight > 0 or self.dev_ops.drained_poll()

    def unquiesce(self) -> None:
        """Let requests begin that wait, when this was the last section."""
        self.quiesce_counter -= 1
        if not self.quiesce_counter:
            self.dev_ops.drained_end()
            self._goes_on.open()

    def begin_io(self) -> bool:
        """Count a request, or a batch of them, that the device does itself on `direct`; false in a drained section.

        After false leave the requests where they are until `DevOps.drained_end`. In a callback of the context only.
        """
        if self.quiesce_counter:
            return False
        self.in_flight += 1
        return True

    def end_io(self) -> None:
        """Undo a `begin_io` that was true."""
        self.in_flight -= 1
        if not self.in_flight:
            kick()

    async def _admitted(self) -> Node:
        """Begin a request, after the drained section if there is one; return the node it goes to."""
        while True:
            if not self.ctx.in_home_thread:
                await co_move(self.home)
            elif self.begin_io():
                break
            else:
                await self._goes_on.wait()
        if self.root is None:
            self.end_io()
            raise failed(errno.ENOMEDIUM)
        return self.root.node

    # Requests

    @property
    def direct(self) -> DirectFile | None:
        """The file to do requests on between `begin_io` and `end_io`; None when the graph must see them."""
        return self._direct

    @property
    def length(self) -> int:
        """Length of the node in bytes; 0 without one."""
        return self.root.node.driver.length() if self.root else 0

    @property
    def read_only(self) -> bool:
        """Whether writes are refused."""
        return self.root is None or self.root.node.driver.read_only

    async def _request(self, offset: int, length: int, call: Callable[[Node], Awaitable[T]]) -> T:
        node = await self._admitted()
        try:
            if offset < 0 or length < 0 or offset + length > node.driver.length():
                raise failed(errno.EIO)
            return await call(node)
        finally:
            self.end_io()

    async def preadv(self, offset: int, buffers: Buffers) -> None:
        """Fill buffers. Raises OSError: EIO outside the length, ENOMEDIUM without a node, else the driver's."""
        await self._request(offset, iov.size(buffers), lambda node: requests.preadv(node, offset, buffers))

    async def pwritev(self, offset: int, buffers: Buffers) -> None:
        """Write buffers. Raises OSError as `preadv`, and EPERM where it is read-only."""
        await self._request(offset, iov.size(buffers), lambda node: requests.pwritev(node, offset, buffers))

    async def flush(self) -> None:
        """Make what was written last through a power cut."""
        await self._request(0, 0, requests.flush)

    async def pdiscard(self, offset: int, length: int) -> None:
        """Say that a range is not needed any more."""
        await self._request(offset, length, lambda node: requests.pdiscard(node, offset, length))

    async def pwrite_zeroes(self, offset: int, length: int, *, may_unmap: bool = False) -> None:
        """Make a range zeros. may_unmap: it need not keep its place on the disk."""
        await self._request(
            offset, length, lambda node: requests.pwrite_zeroes(node, offset, length, may_unmap=may_unmap)
        )

    async def truncate(self, length: int) -> None:
        """Change the length of the node."""
        await self._request(0, 0, lambda node: requests.truncate(node, length))

    def resize(self, length: int) -> None:
        """Change the length of the node while nothing is under way. In the main thread.

        Raises LocalError without a node, and while one below must keep its length; OSError when the change fails.
        """
        moves.require_main("a change of a length")
        if self.root is None:
            raise LocalError(f"{described(self)} has no node to resize: insert one")
        node = self.root.node
        if kept := keepers(*subtree(node)):
            raise LocalError(
                f"cannot resize {described(self)}: {kept[0].role.description(kept[0])} needs node "
                f"{kept[0].node.name!r} as long as it is; let that end before"
            )
        with drained(node):
            co_run(node.ctx, requests.truncate(node, length))

    # The same, waited for: from the main thread, or from the home thread outside of coroutines

    def run(self, coro: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the backend's context and wait for it; return its value or raise its exception."""
        return co_run(self.home, coro)

    def pread(self, offset: int, length: int) -> bytes:
        """Return bytes."""
        buffer = bytearray(length)
        self.run(self.preadv(offset, [buffer]))
        return bytes(buffer)

    def pwrite(self, offset: int, data: bytes) -> None:
        """Write bytes."""
        self.run(self.pwritev(offset, [data]))


def described(backend: BlockBackend) -> str:
    """Say which backend it is."""
    if backend.name:
        return f"block device {backend.name!r}"
    return f"the block device of {backend.dev}" if backend.dev else "an unnamed block device"


def _can_set(child: Child, plan: Plan) -> None:
    backend: BlockBackend = child.parent
    if not backend.allow_aio_context_change and (backend.dev is not None or not backend.name):
        user = f", in use by {backend.dev}" if backend.name and backend.dev else ""
        raise LocalError(f"Cannot change iothread of active block backend: {described(backend)}{user}")


ROOT = Role(
    "root",
    description=lambda child: described(child.parent),
    can_set_aio_ctx=_can_set,
    set_aio_ctx=lambda child, ctx: child.parent.moved(ctx),
    drained_begin=lambda child: child.parent.quiesce(),
    drained_poll=lambda child: child.parent.busy(),
    drained_end=lambda child: child.parent.unquiesce(),
    attach=lambda child: child.parent.joined(child),
    detach=lambda child: child.parent.parting(child),
    changed=lambda child: child.parent.changed(),
    resize=lambda child: child.parent.resized(),
)
