"""The lock of a context: recursive, and handed over between two callbacks to who waits for it.

Source: QEMU 4.1, docs/devel/multiple-iothreads.txt: once a context is acquired no other thread runs its event loop.
"""

from outboard.aio.world import World


class ContextLock:
    """A recursive lock. wanted: another thread waits for it; its owner asks `give_way` when it can spare it."""

    def __init__(self, world: World) -> None:
        self._ident = world.ident
        self._mutex = world.mutex()
        self._turnstile = world.mutex()
        self.owner: int | None = None
        self.depth = 0
        self.wanted = False

    def acquire(self) -> None:
        """Take the lock, once more where this thread has it."""
        me = self._ident()
        if self.owner != me:
            with self._turnstile:
                self.wanted = True
                try:
                    self._mutex.acquire()
                finally:
                    self.wanted = False
            self.owner = me
        self.depth += 1

    def enter(self) -> None:
        """Take the lock as its home thread does, which need not queue."""
        me = self._ident()
        if self.owner != me:
            self._mutex.acquire()
            self.owner = me
        self.depth += 1

    def release(self) -> None:
        """Give back one `acquire` or `enter`."""
        assert self.owner == self._ident(), "released by a thread that has not acquired it"
        self.depth -= 1
        if not self.depth:
            self.owner = None
            self._mutex.release()

    def give_way(self) -> None:
        """Let a thread have it that waits, unless it was taken more than once."""
        if self.depth == 1:
            self.release()
            with self._turnstile:  # whoever waits holds it until he has the lock
                pass
            self.enter()

    def release_all(self) -> int:
        """Give it back as often as this thread has taken it; return how often that was, for `take_again`."""
        if self.owner != self._ident():
            return 0
        depth = self.depth
        self.depth = 1
        self.release()
        return depth

    def take_again(self, depth: int) -> None:
        """Undo `release_all`."""
        if depth:
            self.acquire()
            self.depth = depth
