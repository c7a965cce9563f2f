"""The parts of a simulated world: notifiers with fds of its own, waiters over them, locks, and contexts.

Every access that two threads may make at once is a place where the simulator may let another one run.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from outboard.aio.context import AioContext
from outboard.aio.lock import ContextLock
from outboard.aio.world import World
from outboard.host.loop import EDGE, READ, WRITE

if TYPE_CHECKING:
    from outboard.aio.simulator import Simulator

LOOK_NS = 1000
"""What a wait without a timeout takes."""


class SimMutex:
    """A lock; who waits for it lets others run."""

    def __init__(self, sim: "Simulator") -> None:
        self._sim = sim
        self._taken = False

    def acquire(self) -> None:
        """Take it."""
        if self._taken:
            self._sim.block(lambda: not self._taken)
        self._taken = True

    def release(self) -> None:
        """Give it back."""
        self._taken = False

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class SimNotifier:
    """A notifier whose fd only the waiters of its simulator know."""

    def __init__(self, sim: "Simulator") -> None:
        self._sim = sim
        self._count = 0
        self.fd = sim.open(self)

    @property
    def ready(self) -> int:
        """The events that are ready: it can always be written."""
        return WRITE | (READ if self._count else 0)

    def set(self) -> None:
        """Count one event."""
        self._count += 1
        for waiter in self._sim.waiters:
            waiter.edge(self.fd)
        self._sim.point()

    def test_and_clear(self) -> bool:
        """Take all events that were counted; false when there was none."""
        count, self._count = self._count, 0
        return count > 0

    def close(self) -> None:
        """Free the fd; its number is used again."""
        self._sim.shut(self.fd)
        for waiter in self._sim.waiters:
            waiter.gone(self.fd)


class SimWaiter:
    """See `world.Waiter`."""

    def __init__(self, sim: "Simulator") -> None:
        self.sim = sim
        self.world: World = sim
        self._fds: dict[int, int] = {}
        self._edges: set[int] = set()
        self._woken = False
        sim.waiters.append(self)

    def add_fd(self, fd: int, events: int) -> None:
        """Wait for an fd."""
        if fd in self._fds or self.sim.file(fd) is None:
            raise OSError(f"fd {fd}: none of the simulator's, or added already")
        self._fds[fd] = events
        self._edges.add(fd)

    def remove_fd(self, fd: int) -> None:
        """Wait for an fd no more."""
        self.gone(fd)

    def gone(self, fd: int) -> None:
        """An fd was closed."""
        self._fds.pop(fd, None)
        self._edges.discard(fd)

    def edge(self, fd: int) -> None:
        """An fd has become ready once more."""
        if fd in self._fds:
            self._edges.add(fd)

    def ready(self) -> list[tuple[int, int]]:
        """Return what a wait would report."""
        found = []
        for fd, wanted in self._fds.items():
            file = self.sim.file(fd)
            events = file.ready & wanted if file else 0
            if events and (fd in self._edges or not wanted & EDGE):
                found.append((fd, events))
        return found

    def due(self, deadline_ns: int | None) -> bool:
        """Return whether a wait until then would return now."""
        return self._woken or bool(self.ready()) or (deadline_ns is not None and self.now_ns() >= deadline_ns)

    def wait(self, timeout_ns: int | None) -> Sequence[tuple[int, int]]:
        """Wait for fds."""
        if timeout_ns == 0:
            self.sim.clock_ns += LOOK_NS
            self.sim.point()
        else:
            deadline_ns = None if timeout_ns is None else self.now_ns() + timeout_ns
            self.sim.wait(self, deadline_ns)
        self._woken = False
        found = self.ready()
        self._edges.clear()
        if found:
            self.sim.point()  # what was found may be removed before it is looked at
        return found

    def wake(self) -> None:
        """End a wait."""
        self._woken = True

    def now_ns(self) -> int:
        """Return the simulator's time."""
        return self.sim.clock_ns

    def close(self) -> None:
        """Wait for nothing any more."""
        self._fds.clear()


class SimLock(ContextLock):
    """A context's lock, which anyone may get after each callback."""

    def __init__(self, sim: "Simulator") -> None:
        super().__init__(sim)
        self._sim = sim

    @property
    def wanted(self) -> bool:
        """Whether somebody may want it."""
        return True

    @wanted.setter
    def wanted(self, _: bool) -> None:
        pass

    def give_way(self) -> None:
        """Let others run, with the lock free unless it was taken more than once."""
        if self.depth == 1:
            self.release()
            self._sim.point()
            self.enter()
        else:
            self._sim.point()


class SimContext(AioContext):
    """A context whose flags are places where another thread may come in between."""

    def __init__(self, name: str, sim: "Simulator") -> None:
        self.sim = sim
        self._asleep = False
        self.resumed = False
        self.sim_waiter = SimWaiter(sim)
        super().__init__(name, self.sim_waiter)
        self.lock = SimLock(sim)

    @property
    def _sleeping(self) -> bool:
        value = self._asleep
        self.sim.point()
        return value

    @_sleeping.setter
    def _sleeping(self, value: bool) -> None:
        self.sim.point()
        self._asleep = value
        self.sim.point()

    def _wait(self, timeout_ns: int | None) -> None:
        if self.resumed:  # the wait that its thread was in goes on
            self.resumed = False
            self.fds.waits -= 1
        super()._wait(timeout_ns)

    def idle_with_work(self) -> str:
        """Say what waits in a context that sleeps; empty: nothing."""
        if any(half.scheduled and half.call for half in self._halves.queue):
            return "a bottom half is scheduled"
        if self._notified:
            return "it was notified"
        if self._timers.next_ns() is not None:
            return "a timer is armed"
        return "an fd is ready" if self.sim_waiter.ready() else ""
