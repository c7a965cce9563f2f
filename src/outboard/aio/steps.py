"""What a simulator makes steps of: threads, and those of them that wait on its stack."""

from collections.abc import Callable, Generator

from outboard.aio.virtual import SimContext, SimWaiter
from outboard.errors import OutboardError

Script = Callable[[], Generator[object, None, object] | None]


class Deadlock(OutboardError):
    """Nobody can go on, or a context sleeps although there is work for it."""


class Endless(OutboardError):
    """A run did not come to its end."""


class Asleep(BaseException):
    """Unwinds a context that has nothing to do to where its step began."""


class Stop(BaseException):
    """Unwinds a run to its beginning. error: what was wrong; None: one stack cannot follow it further."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error


class SimThread:
    """One of the threads. context: what it serves, or None: it runs a script. deadline_ns: while it sleeps."""

    def __init__(self, ident: int, name: str, context: SimContext | None, script: Script | None) -> None:
        self.ident = ident
        self.name = name
        self.context = context
        self.script = script
        self.running: Generator[object, None, object] | None = None
        self.asleep = False
        self.deadline_ns: int | None = None

    @property
    def ready(self) -> bool:
        """Whether it can make a step."""
        if self.context is None:
            return self.script is not None
        return not self.asleep or self.context.sim_waiter.due(self.deadline_ns)

    def step(self) -> None:
        """Make one."""
        if self.context is not None:
            self.context.resumed, self.asleep = self.asleep, False
            try:
                self.context.poll(True)
            except Asleep:
                self.asleep = True
        elif self.script is not None:
            self._go_on(self.script)

    def _go_on(self, script: Script) -> None:
        if self.running is None:
            self.running = script()
        try:
            if self.running is not None:
                next(self.running)
                return
        except StopIteration:
            pass
        self.script = None


class Frame:
    """A thread that waits on the stack. waiter: of the context that polls there. served: another frame served that."""

    def __init__(
        self, ident: int, ready: Callable[[], bool], deadline_ns: int | None = None, waiter: SimWaiter | None = None
    ) -> None:
        self.ident = ident
        self.ready = ready
        self.deadline_ns = deadline_ns
        self.waiter = waiter
        self.served = False

    @property
    def goes_on(self) -> bool:
        """Whether it would go on if it were its turn."""
        return self.served or self.ready()

    @property
    def serves(self) -> bool:
        """Whether its context has callbacks to run."""
        return self.waiter is not None and (self.waiter.due(None) if self.served else self.ready())
