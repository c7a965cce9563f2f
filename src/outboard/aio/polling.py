"""Adaptive polling: look for work for a while before the system call that sleeps.

Source: QEMU 4.1, util/aio-posix.c: the time grows where work came just after it, and shrinks where it was in vain.
"""

GROW, FIRST_NS = 2, 4000
"""The factor where none is given; the first time that is tried."""


class PollTime:
    """How long a context looks before it sleeps; max_ns 0: not at all. grow, shrink: factors, 0: 2, and to nothing."""

    def __init__(self) -> None:
        self.ns = 0
        self.max_ns = 0
        self.grow = 0
        self.shrink = 0

    def set(self, max_ns: int, grow: int, shrink: int) -> None:
        """Take other numbers and begin anew."""
        self.ns, self.max_ns, self.grow, self.shrink = 0, max_ns, grow, shrink

    def waited(self, block_ns: int) -> None:
        """Learn how long the last wait took, from its first look on."""
        if block_ns <= self.ns:
            return
        if block_ns > self.max_ns:
            self.ns = self.ns // self.shrink if self.shrink else 0
        elif self.ns < self.max_ns:
            self.ns = min(self.ns * (self.grow or GROW) if self.ns else FIRST_NS, self.max_ns)
