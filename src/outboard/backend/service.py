"""The GPU back-end as a library: served in a thread of its own, its screens looked at from any other.

with outboard.gpu.serve("gpu.sock") as gpu:
    screen = gpu.screens[0]
    screen.wait_idle(quiet=0.5, timeout=30)
    screen.save("console.png")
"""

import os
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from outboard.backend.device import Options
from outboard.backend.displays import Size
from outboard.backend.server import Server
from outboard.display import Screen, Screens
from outboard.display.screens import Cursor, Picture, Pixels
from outboard.errors import LocalError, WaitTimeout
from outboard.gpu.state import MAX_HOSTMEM
from outboard.host.loop import Loop
from outboard.spec.virtio_gpu import MAX_SCANOUTS
from outboard.viewers import png

STOP_S = 10.0
"""Seconds that the serving thread is given to end."""


class LiveScreen:
    """One screen while its guest draws. All methods are safe from any thread."""

    def __init__(self, screen: Screen, changed: threading.Condition, alive: threading.Event) -> None:
        self._screen = screen
        self._changed = changed
        self._alive = alive
        self._when = 0.0
        self._news = 0

    def note(self) -> None:
        """Note a change, made under the condition's lock."""
        if self._news != self._screen.news:
            self._news = self._screen.news
            self._when = time.monotonic()
        self._changed.notify_all()

    @property
    def size(self) -> Size:
        """Width and height in pixels of the last picture; (0, 0) before the first."""
        return self._screen.width, self._screen.height

    @property
    def active(self) -> bool:
        """Whether the guest has the output enabled."""
        return self._screen.active

    @property
    def serial(self) -> int:
        """Number of the last change; 0 before the first."""
        return self._screen.serial

    @property
    def cursor(self) -> Cursor:
        """The cursor as the guest last set it."""
        with self._changed:
            return self._screen.cursor()

    def picture(self) -> Picture:
        """Return a copy of what is shown now, without the cursor."""
        with self._changed:
            return self._screen.picture()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what is shown now as a PNG file. Raises LocalError when nothing was ever shown, or on a bad path."""
        picture = self.picture()
        png.save(path, picture.width, picture.height, picture.pixels)

    def wait_for_frame(self, after: int = 0, timeout: float = 30.0) -> Picture:
        """Wait until the serial is above `after`; return the picture. Raises WaitTimeout after `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.serial > after or not self._alive.is_set(), timeout):
                raise WaitTimeout(f"no frame after serial {after} in {timeout} s; {self._age()}")
            self._check_alive()
            return self._screen.picture()

    def wait_idle(self, quiet: float = 0.5, timeout: float = 30.0) -> Picture:
        """Wait until the output is on and nothing has changed for `quiet` seconds; return the picture.

        A blinking text cursor is no change, and the last picture of a guest that has gone does not count.
        Raises WaitTimeout after `timeout` seconds, and LocalError when the back-end has ended.
        """
        end = time.monotonic() + timeout
        with self._changed:
            while True:
                self._check_alive()
                now = time.monotonic()
                shown = self.active and self.serial
                calm = self._when + quiet if shown else end
                if shown and now >= calm:
                    return self._screen.picture()
                if now >= end:
                    raise WaitTimeout(f"not idle for {quiet} s within {timeout} s; {self._age()}")
                self._changed.wait(min(calm, end) - now)

    def _check_alive(self) -> None:
        if not self._alive.is_set():
            raise LocalError(f"the back-end has ended; {self._age()}")

    def _age(self) -> str:
        if not self.serial:
            return f"output {self._screen.scanout_id} has never shown anything"
        age = time.monotonic() - self._when
        state = "" if self.active else "the output is off, "
        return f"{state}last change {age:.2f} s ago, serial {self.serial}, {self._screen.width}x{self._screen.height}"


class LiveScreens(Screens):
    """Screens that other threads may look at: every change is made under one lock, and announced."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.changed = threading.Condition()
        self.alive = threading.Event()
        self.live = [LiveScreen(screen, self.changed, self.alive) for screen in self.screens]

    def scanout(self, scanout_id: int, width: int, height: int) -> None:
        """See `Screens.scanout`."""
        with self.changed:
            super().scanout(scanout_id, width, height)
            self.live[scanout_id].note()

    def cursor_update(self, scanout_id: int, x: int, y: int, hot_x: int, hot_y: int, image: bytes) -> None:
        """See `Screens.cursor_update`."""
        with self.changed:
            super().cursor_update(scanout_id, x, y, hot_x, hot_y, image)

    def cursor_pos(self, scanout_id: int, x: int, y: int) -> None:
        """See `Screens.cursor_pos`."""
        with self.changed:
            super().cursor_pos(scanout_id, x, y)

    def cursor_pos_hide(self, scanout_id: int, x: int, y: int) -> None:
        """See `Screens.cursor_pos_hide`."""
        with self.changed:
            super().cursor_pos_hide(scanout_id, x, y)

    def update(self, scanout_id: int, surface: Pixels, x: int, y: int, width: int, height: int) -> None:
        """See `Screens.update`."""
        with self.changed:
            super().update(scanout_id, surface, x, y, width, height)
            self.live[scanout_id].note()


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
            with self._mirror.changed:
                self._mirror.alive.clear()
                self._mirror.changed.notify_all()

    def __enter__(self) -> Self:
        self._mirror.alive.set()
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
