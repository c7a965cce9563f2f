"""Bottom halves: calls that a context makes in its next round. Any thread schedules them.

Without a lock: each operation on the queue or on a flag is one step of the interpreter.
"""

from collections import deque
from collections.abc import Callable

Call = Callable[[], object]


class BottomHalf:
    """A call of one context, made once for each time that it is scheduled and not cancelled before it runs."""

    __slots__ = ("_halves", "call", "scheduled")

    def __init__(self, halves: "BottomHalves", call: Call) -> None:
        self._halves = halves
        self.call: Call | None = call
        self.scheduled = False

    def schedule(self) -> None:
        """Make the call in the next round; once, however often it is scheduled before. Nothing after `delete`."""
        if not self.scheduled and self.call is not None:
            self.scheduled = True
            self._halves.push(self)

    def cancel(self) -> None:
        """Do not make the call that was scheduled."""
        self.scheduled = False

    def delete(self) -> None:
        """Never make the call again; also from inside it."""
        self.call = None
        self.scheduled = False


class BottomHalves:
    """The bottom halves of a context that wait for its next round, in the order in which they were scheduled."""

    def __init__(self, wake: Call) -> None:
        self._wake = wake
        self.queue: deque[BottomHalf] = deque()
        self._taken = 0

    def push(self, half: BottomHalf) -> None:
        """Queue one; its flag is set already."""
        self.queue.append(half)
        self._wake()

    def once(self, call: Call) -> None:
        """Schedule a call that nobody will cancel."""
        BottomHalf(self, call).schedule()

    def run(self, make: Callable[[str, Call], None]) -> bool:
        """Make the calls that are scheduled now, by `make`; those that they schedule stay. True when there was one."""
        progress = False
        end = self._taken + len(self.queue)  # a round inside a call may take some of ours
        while self._taken < end:
            self._taken += 1
            half = self.queue.popleft()
            if half.scheduled:
                half.scheduled = False
                if half.call is not None:
                    progress = True
                    make("bottom half", half.call)
        return progress
