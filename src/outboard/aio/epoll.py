"""The waiter of real fds: epoll, an eventfd to be woken by, the monotonic clock."""

import os
import select
import time
from collections.abc import Sequence

from outboard.aio.world import REAL, World

FINE_NS = 20_000_000
"""Waits up to this are timed in microseconds, by select(); epoll counts milliseconds."""
SELECT_FDS = 1024
_ROUND_UP_NS = 999


class EpollWaiter:
    """See `world.Waiter`."""

    def __init__(self, world: World = REAL) -> None:
        self.world = world
        self._epoll = select.epoll()
        self._poll = self._epoll.poll
        self._fd = self._epoll.fileno()
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # Never read: with EDGE every write is told once, and 2**64 of them are not reached.
        self._epoll.register(self._wake_fd, select.EPOLLIN | select.EPOLLET)

    now_ns = staticmethod(time.monotonic_ns)

    def fileno(self) -> int:
        """Return the epoll fd, which is readable while anything is ready."""
        return self._fd

    def add_fd(self, fd: int, events: int) -> None:
        """Wait for an fd. Raises OSError when it cannot be waited for."""
        self._epoll.register(fd, events)

    def remove_fd(self, fd: int) -> None:
        """Wait for an fd no more; one that was closed has gone already, and so have all once the waiter is closed."""
        try:
            self._epoll.unregister(fd)
        except (OSError, ValueError):
            pass

    def wait(self, timeout_ns: int | None) -> Sequence[tuple[int, int]]:
        """Wait for fds; the own one ends the wait and is of no handler, so the context skips it."""
        if timeout_ns is None:
            return self._poll()
        if 0 < timeout_ns < FINE_NS and self._fd < SELECT_FDS:
            select.select((self._fd,), (), (), (timeout_ns + _ROUND_UP_NS) // 1000 / 1e6)
            timeout_ns = 0
        return self._poll(timeout_ns / 1e9)

    def wake(self) -> None:
        """End a wait."""
        os.eventfd_write(self._wake_fd, 1)

    def close(self) -> None:
        """Close the epoll fd and the eventfd."""
        self._epoll.close()
        os.close(self._wake_fd)
