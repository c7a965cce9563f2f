"""The GPU back-end as a library: served in another thread, its screens looked at from any.

with outboard.gpu.serve("gpu.sock") as gpu:
    screen = gpu.screens[0]
    screen.wait_idle(quiet=0.5, timeout=30)
    screen.save("console.png")
"""

import os
from collections.abc import Sequence
from typing import Any, Self

from outboard.aio.context import AioContext
from outboard.aio.iothread import IOThread
from outboard.backend.device import Device, Options
from outboard.backend.displays import Size
from outboard.backend.holder import Service
from outboard.backend.places import InContext, OwnThread, Place
from outboard.backend.server import Server
from outboard.errors import LocalError
from outboard.gpu.state import MAX_HOSTMEM
from outboard.spec.virtio_gpu import MAX_SCANOUTS
from outboard.viewers.live import LiveScreen, LiveScreens


class GpuService(Service):
    """A served back-end; use it in a `with` statement. `screens` has one LiveScreen for every possible output.

    place: who runs it; owned. All methods are safe from any thread.
    """

    def __init__(
        self,
        options: Options,
        path: str | os.PathLike[str] | None,
        fd: int | None,
        place: Place,
        *,
        once: bool,
    ) -> None:
        super().__init__()
        self._mirror = LiveScreens(len(options.sizes) or MAX_SCANOUTS)
        self._place = place
        self._server = Server(
            place.handlers, lambda loop: Device(loop, options, self._mirror), once=once, done=place.end
        )
        place.on_ended = self._ended
        place.handlers.on_bug = self._bug
        self._mirror.begin()
        try:
            with place.alone():
                self._listen(path, fd)
        except LocalError:
            place.close()
            raise

    @property
    def screens(self) -> list[LiveScreen]:
        """The screens, by scanout_id."""
        return self._mirror.live

    @property
    def context(self) -> AioContext | None:
        """The context that it lives in now; None: it has a thread of its own."""
        return self._place.context

    def try_set_aio_context(self, ctx: AioContext | IOThread) -> None:
        """Move all of it to another context as one, whatever its guest is doing: sockets, rings, timers.

        When this returns nothing of it runs in the old context; called in a callback of that, it moves when the
        callback has returned. Raises LocalError when it does not live in a context, when no thread serves the new one,
        and in a callback of a third; nothing has changed then.
        """
        self._place.move(ctx)

    def _ended(self, failure: BaseException | None) -> None:
        if failure is not None:
            self._failure = failure
            self._server.close()
        self._mirror.end()

    def __enter__(self) -> Self:
        self._place.start()
        return self

    def wait_ended(self, timeout: float) -> bool:
        """Wait until the back-end has ended by itself, with `once`; false when it has not after `timeout` seconds."""
        return self._place.wait_ended(timeout)

    def close(self) -> None:
        """Stop serving and free everything; safe to call twice."""
        if not self._closed:
            self._closed = True
            with self._place.alone():
                self._server.close()
            self._place.close()
            self._mirror.end()


def serve(
    path: str | os.PathLike[str] | None = None,
    *,
    fd: int | None = None,
    sizes: Sequence[Size] = (),
    max_hostmem: int = MAX_HOSTMEM,
    once: bool = False,
    iothread: IOThread | AioContext | None = None,
) -> GpuService:
    """Serve a vhost-user-gpu back-end on a socket path, or on an inherited socket `fd`.

    sizes: width and height of the enabled outputs; by default the front-end says. max_hostmem: bytes of resources.
    once: end when the first front-end leaves. The socket accepts front-ends when this returns. iothread: the thread, or
    the context, that serves it; it may move to others then. By default it has a thread of its own, and stays there.
    Raises LocalError when the socket cannot be had, when both or neither of path and fd are given, when no thread
    serves the context, and for options that make no sense.
    """
    if (path is None) == (fd is None):
        raise LocalError("serve: give either a socket path or fd, not both")
    check_sizes(sizes)
    if not 0 < max_hostmem < 1 << 64:
        raise LocalError(f"max_hostmem {max_hostmem}: no amount of memory")
    ctx = iothread.context if isinstance(iothread, IOThread) else iothread
    place = OwnThread("outboard-gpu") if ctx is None else InContext(ctx)
    return GpuService(Options(tuple(sizes), max_hostmem), path, fd, place, once=once)


def check_sizes(sizes: Sequence[Any]) -> None:
    """Raise LocalError unless these can be the sizes of outputs."""
    if len(sizes) > MAX_SCANOUTS:
        raise LocalError(f"{len(sizes)} outputs: a GPU has at most {MAX_SCANOUTS}")
    for width, height in sizes:
        if not (1 <= width <= 16384 and 1 <= height <= 16384):
            raise LocalError(f"output size {width}x{height}: width and height go from 1 to 16384")
