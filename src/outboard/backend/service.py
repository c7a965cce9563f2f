"""The GPU back-end as a library: served in a thread of its own, its screens looked at from any other.

with outboard.gpu.serve("gpu.sock") as gpu:
    screen = gpu.screens[0]
    screen.wait_idle(quiet=0.5, timeout=30)
    screen.save("console.png")
"""

import os
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from outboard.backend.device import Options
from outboard.backend.displays import Size
from outboard.backend.server import Server
from outboard.errors import LocalError
from outboard.gpu.state import MAX_HOSTMEM
from outboard.host.loop import Loop
from outboard.spec.virtio_gpu import MAX_SCANOUTS
from outboard.viewers.live import LiveScreen, LiveScreens

STOP_S = 10.0
"""Seconds that the serving thread is given to end."""


class GpuService:
    """A served back-end; use it in a `with` statement. `screens` has one LiveScreen for every possible output."""

    def __init__(self, options: Options, path: str | os.PathLike[str] | None, fd: int | None, *, once: bool) -> None:
        self._mirror = LiveScreens(len(options.sizes) or MAX_SCANOUTS)
        self._loop = Loop()
        self._server = Server(self._loop, options, self._mirror, once=once)
        self._loop.on_bug = self._bug
        self._failure: BaseException | None = None
        self._closed = False
        try:
            if path is not None:
                self._server.listen(path)
            else:
                self._server.adopt(-1 if fd is None else fd)
        except LocalError:
            self._loop.close()
            raise
        self._thread = threading.Thread(target=self._run, name="outboard-gpu", daemon=True)

    @property
    def screens(self) -> list[LiveScreen]:
        """The screens, by scanout_id."""
        return self._mirror.live

    @property
    def connected(self) -> bool:
        """Whether a front-end is connected now."""
        return self._server.session is not None

    @property
    def sessions(self) -> int:
        """How many front-ends have connected so far."""
        return self._server.sessions

    def _bug(self, error: Exception) -> None:
        """Keep a bug of ours for whoever leaves the `with` block; the front-end is dropped, the service goes on."""
        self._failure = self._failure or error
        self._server.drop(error)

    def _run(self) -> None:
        try:
            self._loop.run()
        except BaseException as error:
            self._failure = error
            self._server.close()
        finally:
            self._mirror.end()

    def __enter__(self) -> Self:
        self._mirror.begin()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if self._failure is not None and value is None:
            raise self._failure

    def wait_ended(self, timeout: float) -> bool:
        """Wait until the back-end has ended by itself, with `once`; false when it has not after `timeout` seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Stop serving and free everything; safe to call twice."""
        if self._thread.is_alive():
            self._loop.call_threadsafe(self._loop.stop)
            self._thread.join(STOP_S)
        if not self._closed:
            self._closed = True
            self._server.close()
            self._loop.close()


def serve(
    path: str | os.PathLike[str] | None = None,
    *,
    fd: int | None = None,
    sizes: Sequence[Size] = (),
    max_hostmem: int = MAX_HOSTMEM,
    once: bool = False,
) -> GpuService:
    """Serve a vhost-user-gpu back-end on a socket path, or on an inherited socket `fd`.

    sizes: width and height of the enabled outputs; by default the front-end says. max_hostmem: bytes of resources.
    once: end when the first front-end leaves. The socket accepts front-ends when this returns.
    Raises LocalError when the socket cannot be had, when both or neither of path and fd are given, and for options that
    make no sense.
    """
    if (path is None) == (fd is None):
        raise LocalError("serve: give either a socket path or fd, not both")
    check_sizes(sizes)
    if not 0 < max_hostmem < 1 << 64:
        raise LocalError(f"max_hostmem {max_hostmem}: no amount of memory")
    return GpuService(Options(tuple(sizes), max_hostmem), path, fd, once=once)


def check_sizes(sizes: Sequence[Any]) -> None:
    """Raise LocalError unless these can be the sizes of outputs."""
    if len(sizes) > MAX_SCANOUTS:
        raise LocalError(f"{len(sizes)} outputs: a GPU has at most {MAX_SCANOUTS}")
    for width, height in sizes:
        if not (1 <= width <= 16384 and 1 <= height <= 16384):
            raise LocalError(f"output size {width}x{height}: width and height go from 1 to 16384")
