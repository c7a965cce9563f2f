"""The disk back-end as a library: an image served on a socket, in a context of its own or of the caller's choice.

with outboard.blk.serve("disk.sock", image="disk.img") as disk:
    disk.try_set_aio_context(other.context)
"""

import os
import threading
from collections.abc import Callable
from typing import Any

from outboard.aio.context import AioContext
from outboard.aio.deserted import served_again
from outboard.aio.iothread import IOThread, served_context
from outboard.backend.disk.drive import Drive
from outboard.backend.disk.image import open_image
from outboard.backend.holder import Service
from outboard.backend.server import Server
from outboard.blk.disk import Options
from outboard.block import edges
from outboard.block.backend import BlockBackend
from outboard.block.node import Node
from outboard.errors import LocalError


class DiskService(Service):
    """A disk that is served; use it in a `with` statement. Made, moved and closed in the main thread.

    backend: the BlockBackend of the image. iothread, owned: a thread and a graph that end with the service. on_ended:
    called in the disk's thread when it has ended by itself, with `once`.
    """

    def __init__(
        self,
        drive: Drive,
        path: str | os.PathLike[str] | None,
        fd: int | None,
        *,
        once: bool = False,
        iothread: IOThread | None = None,
        owned: Node | None = None,
    ) -> None:
        super().__init__()
        self.drive = drive
        self.backend = drive.backend
        self.on_ended: Callable[[], object] = lambda: None
        self._iothread = iothread
        self._owned = owned
        self._ended = threading.Event()
        self._server = Server(drive.home, lambda _: drive.make_device(), once=once, done=self._done)
        drive.home.on_bug = self._bug
        try:
            self._listen(path, fd)
        except BaseException:
            self._free()
            raise

    @property
    def context(self) -> AioContext:
        """Where the disk lives now."""
        return self.backend.ctx

    def try_set_aio_context(self, ctx: AioContext | IOThread) -> None:
        """Move the disk: image, queues and sockets, as one, whatever its guest is doing; no request is lost.

        Raises LocalError when another user of the graph refuses, and when no thread serves the context; nothing has
        changed then. A disk whose thread has ended can be moved to another one.
        """
        if self._closed:
            raise LocalError("the disk was closed: it lives nowhere any more")
        where = served_context(ctx)
        with served_again(self.context):
            self.backend.try_set_aio_context(where)

    def resize(self, length: int) -> None:
        """Give the image another length in bytes, when nothing is in flight; the front-end is told.

        Raises LocalError for lengths that no disk has, and while a job needs it as it is; OSError when it fails.
        """
        if length <= 0 or length % self.drive.block_size:
            raise LocalError(f"{length} bytes: a disk has whole blocks of {self.drive.block_size}")
        self.backend.resize(length)

    @property
    def ended(self) -> bool:
        """Whether the service has ended by itself, with `once`, or was closed."""
        return self._ended.is_set()

    def wait_ended(self, timeout: float | None = None) -> bool:
        """Wait until the service has ended by itself, with `once`; false when it has not after `timeout` seconds."""
        return self._ended.wait(timeout)

    def _done(self) -> None:
        self._ended.set()
        self.on_ended()

    def close(self) -> None:
        """Stop serving, after what is in flight; free everything. Safe to call twice.

        Where the disk's thread has ended before, another one serves its context until then. Raises what has ended the
        disk's own thread.
        """
        if not self._closed:
            with served_again(self.context):
                self.drive.home.run_in(self._server.close)
                self._free()
            if self._iothread is not None:
                self._iothread.stop()

    def _free(self) -> None:
        self._closed = True
        self._ended.set()
        self.drive.close()
        self.backend.close()
        if self._owned is not None:
            edges.close(self._owned)


def serve(
    path: str | os.PathLike[str] | None = None,
    *,
    image: str | os.PathLike[str] | Node,
    iothread: IOThread | AioContext | None = None,
    fd: int | None = None,
    once: bool = False,
    **options: Any,
) -> DiskService:
    """Serve a vhost-user-blk back-end on a socket path, or on an inherited socket `fd`; it accepts front-ends when this
    returns. Call it in the main thread, the one in which block graphs are changed.

    image: a file, or the top node of a block graph. iothread: where the disk lives at first; by default a thread of its
    own. options: as `outboard.blk.disk.Options`. once: end when the first front-end leaves.
    Raises LocalError when socket or image cannot be had, when no thread serves the context, and for options that make
    no sense.
    """
    if (path is None) == (fd is None):
        raise LocalError("serve: give either a socket path or fd, not both")
    chosen = Options(**options)
    chosen.check()
    own = IOThread("outboard-blk").start() if iothread is None else None
    try:
        return _serve(path, fd, image, served_context(own or iothread), chosen, once, own)
    except BaseException:
        if own is not None:
            own.stop()
        raise


def _serve(
    path: str | os.PathLike[str] | None,
    fd: int | None,
    image: str | os.PathLike[str] | Node,
    ctx: AioContext,
    options: Options,
    once: bool,
    own: IOThread | None,
) -> DiskService:
    node = image if isinstance(image, Node) else open_image(image, ctx, read_only=options.read_only)
    owned = None if isinstance(image, Node) else node
    backend = BlockBackend(ctx=ctx)
    try:
        backend.insert(node)
        drive = Drive(backend, options)
    except BaseException:
        backend.close()
        if owned is not None:
            edges.close(owned)
        raise
    return DiskService(drive, path, fd, once=once, iothread=own, owned=owned)
