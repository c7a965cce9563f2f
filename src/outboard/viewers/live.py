"""Screens that are looked at from any thread while a device draws: take a frame, or wait for one."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from outboard.display import Cursor, Frame, Screen, Screens
from outboard.display.screens import Import, Pixels, refuse
from outboard.errors import LocalError, WaitTimeout
from outboard.spec.vhost_user_gpu import DmabufScanout
from outboard.viewers import png

Size = tuple[int, int]


class LiveScreen:
    """One screen while its guest draws. All methods are safe from any thread."""

    def __init__(self, screen: Screen, owner: "LiveScreens") -> None:
        self._screen = screen
        self._owner = owner
        self._when = 0.0
        self._news = 0

    def note(self) -> None:
        """Note a change, made under the condition's lock."""
        if self._news != self._screen.news:
            self._news = self._screen.news
            self._when = time.monotonic()
        self._owner.changed.notify_all()

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
        with self._owner.changed:
            return self._screen.cursor

    @property
    def refused(self) -> str:
        """Why the shared buffer that should be shown is not; "" when nothing is wrong."""
        return self._screen.refused

    def frame(self, after: int | None = None) -> Frame:
        """Return what is shown now, with the damage since serial `after`, by default of the last change."""
        with self._owner.changed:
            return self._screen.frame(after)

    @contextmanager
    def pixels(self) -> Iterator[memoryview]:
        """Lend the pixels themselves, rows tight, bytes B, G, R, X; whoever draws waits meanwhile."""
        with self._owner.changed, memoryview(self._screen.pixels).toreadonly() as view:
            yield view

    def save(self, path: str | os.PathLike[str], cursor: bool = False) -> None:
        """Write what is shown now as a PNG file, with the cursor if asked for.

        Raises LocalError when nothing was ever shown, or on a bad path.
        """
        frame = self.frame()
        png.save_frame(path, frame.composed() if cursor else frame)

    def wait_for_frame(self, after: int = 0, timeout: float = 30.0) -> Frame:
        """Wait until the serial is above `after`; return the frame, its damage being all since `after`.

        Raises WaitTimeout after `timeout` seconds, and LocalError when whoever draws has ended without one.
        """
        changed, alive = self._owner.changed, self._owner.alive
        with changed:
            if not changed.wait_for(lambda: self.serial > after or not alive.is_set(), timeout):
                raise WaitTimeout(f"no frame after serial {after} in {timeout} s; {self._age()}")
            if self.serial <= after:
                self._check_alive()
            return self._screen.frame(after)

    def wait_idle(self, quiet: float = 0.5, timeout: float = 30.0) -> Frame:
        """Wait until the output is on and nothing has changed for `quiet` seconds; return the frame.

        A blinking text cursor is no change, and the last picture of a guest that has gone does not count.
        Raises WaitTimeout after `timeout` seconds, and LocalError when whoever draws has ended.
        """
        end = time.monotonic() + timeout
        with self._owner.changed:
            while True:
                self._check_alive()
                now = time.monotonic()
                shown = self.active and self.serial
                calm = self._when + quiet if shown else end
                if shown and now >= calm:
                    return self._screen.frame()
                if now >= end:
                    raise WaitTimeout(f"not idle for {quiet} s within {timeout} s; {self._age()}")
                self._owner.changed.wait(min(calm, end) - now)

    def _check_alive(self) -> None:
        if not self._owner.alive.is_set():
            raise LocalError(f"the back-end has ended; {self._age()}")

    def _age(self) -> str:
        if not self.serial:
            return f"output {self._screen.scanout_id} has never shown anything"
        age = time.monotonic() - self._when
        state = "" if self.active else "the output is off, "
        return f"{state}last change {age:.2f} s ago, serial {self.serial}, {self._screen.width}x{self._screen.height}"


class LiveScreens(Screens):
    """Screens that other threads may look at: every change is made under one lock, and announced.

    alive: set while somebody draws; whoever waits is told when it is cleared by `end`.
    """

    def __init__(self, count: int, importer: Import = refuse) -> None:
        super().__init__(count, time.monotonic, importer)
        self.changed = threading.Condition(threading.RLock())
        self.alive = threading.Event()
        self.live = [LiveScreen(screen, self) for screen in self.screens]

    def begin(self) -> None:
        """Somebody draws from now on."""
        self.alive.set()

    def end(self) -> None:
        """Nobody draws any more; wake whoever waits."""
        with self.changed:
            self.alive.clear()
            self.changed.notify_all()

    def scanout(self, scanout_id: int, width: int, height: int) -> None:
        """See `Screens.scanout`."""
        with self.changed:
            super().scanout(scanout_id, width, height)
            self.live[scanout_id].note()

    def keep(self, pixels: int) -> None:
        """See `Screens.keep`."""
        with self.changed:
            super().keep(pixels)

    def update(self, scanout_id: int, surface: Pixels, x: int, y: int, width: int, height: int) -> None:
        """See `Screens.update`."""
        with self.changed:
            super().update(scanout_id, surface, x, y, width, height)
            self.live[scanout_id].note()

    def room(self, scanout_id: int, x: int, y: int, width: int, height: int) -> memoryview | None:
        """See `Screens.room`."""
        with self.changed:
            return super().room(scanout_id, x, y, width, height)

    def paint(self, scanout_id: int, x: int, y: int, width: int, height: int, pixels: memoryview | None) -> None:
        """See `Screens.paint`."""
        with self.changed:
            super().paint(scanout_id, x, y, width, height, pixels)
            self.live[scanout_id].note()

    def dmabuf_scanout(self, scanout: DmabufScanout, modifier: int, fd: int | None) -> None:
        """See `Screens.dmabuf_scanout`."""
        with self.changed:
            super().dmabuf_scanout(scanout, modifier, fd)
            self.live[scanout.scanout_id].note()

    def dmabuf_update(self, scanout_id: int, x: int, y: int, width: int, height: int) -> bool:
        """See `Screens.dmabuf_update`."""
        with self.changed:
            shown = super().dmabuf_update(scanout_id, x, y, width, height)
            self.live[scanout_id].note()
            return shown

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
