"""Timers of a context, by the clock of its waiter. Any thread arms them; they run in the order they are due."""

import heapq
import threading
from collections.abc import Callable

Call = Callable[[], object]
Entry = tuple[int, int, "Timer"]


class Timer:
    """A call that is made when it is due, then no more until it is armed again. expire_ns: when; None: not armed."""

    __slots__ = ("_timers", "call", "expire_ns", "order")

    def __init__(self, timers: "Timers", call: Call) -> None:
        self._timers = timers
        self.order = 0
        self.call: Call | None = call
        self.expire_ns: int | None = None

    def mod_ns(self, expire_ns: int) -> None:
        """Arm it for a time, whatever it was armed for before. Nothing after `delete`."""
        self._timers.arm(self, expire_ns, anticipate=False)

    def mod_anticipate_ns(self, expire_ns: int) -> None:
        """Arm it for a time unless it is due before."""
        self._timers.arm(self, expire_ns, anticipate=True)

    def cancel(self) -> None:
        """Disarm it."""
        self.expire_ns = None

    def delete(self) -> None:
        """Disarm it for good; also from inside its call."""
        self.call = None
        self.expire_ns = None


class Timers:
    """The queue; later: entries of it that the round under way has put aside.

    An entry whose timer was armed anew or disarmed stays until it comes to the front.
    """

    def __init__(self, wake: Call) -> None:
        self._wake = wake
        self._mutex = threading.Lock()  # never held while anything else is called
        self._order = 0
        self.queue: list[Entry] = []
        self.later: list[Entry] = []

    @property
    def armed(self) -> int:
        """How many wait for their time."""
        with self._mutex:
            return sum(map(_counts, (*self.queue, *self.later)))

    def arm(self, timer: Timer, expire_ns: int, *, anticipate: bool) -> None:
        """Queue a timer and wake who waits for those before it."""
        with self._mutex:
            if timer.call is None or (anticipate and timer.expire_ns is not None and timer.expire_ns <= expire_ns):
                return
            self._order += 1
            timer.expire_ns, timer.order = expire_ns, self._order
            heapq.heappush(self.queue, (expire_ns, self._order, timer))
            first = self.queue[0][1] == self._order
        if first:
            self._wake()

    def next_ns(self) -> int | None:
        """Return when the first is due."""
        with self._mutex:
            self._restore()
            queue = self.queue
            while queue:
                if _counts(queue[0]):
                    return queue[0][0]
                heapq.heappop(queue)
            return None

    def run(self, now_ns: int, make: Callable[[str, Call], None]) -> bool:
        """Make the calls that are due, by `make`; what they arm stays for the next round. True when there was one."""
        progress = False
        with self._mutex:
            self._restore()
            last = self._order
        while call := self._take(now_ns, last):
            progress = True
            make("timer", call)
        return progress

    def _take(self, now_ns: int, last: int) -> Call | None:
        """Disarm the first that is due and was armed when the round began; return its call."""
        with self._mutex:
            while self.queue and self.queue[0][0] <= now_ns:
                entry = heapq.heappop(self.queue)
                if not _counts(entry):
                    continue
                if entry[1] > last:
                    self.later.append(entry)
                else:
                    entry[2].expire_ns = None
                    return entry[2].call
            self._restore()
            return None

    def _restore(self) -> None:
        while self.later:
            heapq.heappush(self.queue, self.later.pop())


def _counts(entry: Entry) -> bool:
    return entry[2].order == entry[1] and entry[2].expire_ns is not None
