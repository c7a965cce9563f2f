"""Contexts and threads simulated in one real thread, with a clock of their own; every choice comes from a schedule.

A thread is a context that serves itself, or a script: a generator that gives the turn away wherever it yields. Threads
change where one waits, between two callbacks, and at a bounded number of other places that two may come to at once.
`explore` runs a program under many schedules: depth first, each once, and at random.

Not modelled: a thread that waits inside a callback is on the stack, so it goes on only when the steps that others began
after have ended. A schedule that needs it otherwise is cut short and counted. Its context's callbacks run all the same.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from outboard.aio import world
from outboard.aio.context import AioContext
from outboard.aio.schedule import Schedule, trimmed
from outboard.aio.steps import Asleep, Deadlock, Endless, Frame, Script, SimThread, Stop
from outboard.aio.virtual import SimContext, SimMutex, SimNotifier, SimWaiter

__all__ = ["Deadlock", "Endless", "Explored", "SimWaiter", "Simulator", "explore", "replay"]

FIRST_FD = 1000
STEPS_MAX = 5000
SETUP = 0
"""The thread that has made the simulator."""
Check = Callable[[], object]
Program = Callable[["Simulator"], Check | None]


class Simulator:
    """A world. preemptions: how many times a thread may be left where it does not wait.

    schedule: the choices that are made first. seed: those after are random; by default the first is taken each time.
    """

    def __init__(self, schedule: Sequence[int] = (), seed: int | None = None, *, preemptions: int = 2) -> None:
        self.schedule = Schedule(schedule, seed)
        self.contexts: dict[int, AioContext] = {}
        self.main: AioContext | None = None
        self.clock_ns = 0
        self.waiters: list[SimWaiter] = []
        self.log: list[str] = []
        self._preemptions = preemptions
        self._files: dict[int, SimNotifier] = {}
        self._threads: list[SimThread] = []
        self._idents = [SETUP]
        self._frames: list[Frame] = []
        self._runs = False
        self._stop: Stop | None = None

    # The world

    def ident(self) -> int:
        """Return the number of the running thread."""
        return self._idents[-1]

    def mutex(self) -> SimMutex:
        """Make a lock."""
        return SimMutex(self)

    def notifier(self) -> SimNotifier:
        """Make an event notifier."""
        return SimNotifier(self)

    def context(self, name: str, *, served: bool = True) -> SimContext:
        """Make a context with a thread that serves it; not served: whoever polls it first is its home."""
        made = SimContext(name, self)
        if served:
            thread = self._thread(name, made, None)
            made.home = thread.ident
            self.contexts[thread.ident] = made
        return made

    def thread(self, name: str, script: Script) -> None:
        """Start a thread that runs a script: a generator function, or a function, which is one step."""
        self._thread(name, None, script)

    def _thread(self, name: str, context: SimContext | None, script: Script | None) -> SimThread:
        made = SimThread(len(self._threads) + 1, name, context, script)
        self._threads.append(made)
        return made

    def open(self, file: SimNotifier) -> int:
        """Give a file the lowest number that is free."""
        fd = next(number for number in itertools.count(FIRST_FD) if number not in self._files)
        self._files[fd] = file
        return fd

    def shut(self, fd: int) -> None:
        """Free a number."""
        del self._files[fd]

    def file(self, fd: int) -> SimNotifier | None:
        """Return what has a number."""
        return self._files.get(fd)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Let `current_context()` and the like mean this world, in a block."""
        before = world.here()
        world.enter(self)
        try:
            yield
        finally:
            world.enter(before)

    # Running

    def run(self) -> None:
        """Run until nobody has anything to do. Raises what a callback or a script has raised, Deadlock, Endless."""
        with self.inside(), self.halting():
            self._runs = True
            while True:
                if options := self._options():
                    self._step(options[self.schedule.choose(len(options))])
                elif not self._advance():
                    break
            self._runs = False
            self._verify()

    @contextmanager
    def halting(self) -> Iterator[None]:
        """Raise, out of a block, what was wrong first."""
        try:
            yield
        except BaseException:
            if self._stop is None:
                raise
            raise (self._stop.error or self._stop) from None

    def _verify(self) -> None:
        for thread in self._threads:
            if thread.context is not None and (why := thread.context.idle_with_work()):
                raise Deadlock(f"context {thread.name} sleeps although {why}")

    def _options(self) -> list[SimThread | Frame | None]:
        """Return who can make a step; None: time goes by, until the next who waits for it."""
        options: list[SimThread | Frame | None] = [
            thread for thread in self._threads if thread.ready and thread.ident not in self._idents
        ]
        options += [frame for frame in self._frames[:-1] if frame.serves]
        if options and self._deadlines():
            options.append(None)
        return options

    def _deadlines(self) -> list[int]:
        asleep = [thread.deadline_ns for thread in self._threads if thread.asleep]
        waiting = [frame.deadline_ns for frame in self._frames if not frame.served]
        return [at for at in (*asleep, *waiting) if at is not None and at > self.clock_ns]

    def _advance(self) -> bool:
        deadlines = self._deadlines()
        self.clock_ns = min(deadlines, default=self.clock_ns)
        return bool(deadlines)

    def _step(self, who: SimThread | Frame | None) -> None:
        if who is None:
            self._advance()
            return
        self.log.append(self._name(who.ident))
        if len(self.log) > STEPS_MAX:
            raise self._halted(Endless(f"no end after {STEPS_MAX} steps"))
        self._idents.append(who.ident)
        try:
            if isinstance(who, SimThread):
                who.step()
            else:
                who.served = True
                self.contexts[who.ident].poll(False)
        except Exception as error:
            raise self._halted(error) from error
        finally:
            self._idents.pop()

    def _halted(self, error: Exception | None) -> Stop:
        """Return what ends the run: the first thing that was wrong. What is done on the way out waits for nothing."""
        self._stop = self._stop or Stop(error)
        return self._stop

    def _name(self, ident: int) -> str:
        return self._threads[ident - 1].name if ident else "setup"

    def point(self) -> None:
        """Perhaps let others make steps here."""
        while self._runs and self._preemptions and not self._stop:
            self._frames.append(Frame(self.ident(), lambda: True))
            try:
                options = self._options()
                choice = self.schedule.choose(len(options) + 1, staying=True)
                if not choice:
                    return
                self._preemptions -= 1
                self._step(options[choice - 1])
            finally:
                self._frames.pop()

    def wait(self, waiter: SimWaiter, deadline_ns: int | None) -> None:
        """Let others make steps until a waiter has something, or the time has come."""
        if waiter.due(deadline_ns):
            return
        me = self.ident()
        thread = self._threads[me - 1] if me else None
        if thread and thread.context and thread.context.sim_waiter is waiter and thread.context.lock.owner != me:
            thread.deadline_ns = deadline_ns
            raise Asleep
        self.block(lambda: waiter.due(deadline_ns), deadline_ns, waiter)

    def block(self, ready: Callable[[], bool], deadline_ns: int | None = None, waiter: SimWaiter | None = None) -> None:
        """Let others make steps until `ready`."""
        frame = Frame(self.ident(), ready, deadline_ns, waiter)
        self._frames.append(frame)
        runs, self._runs = self._runs, True
        try:
            while not self._stop and not frame.goes_on:
                if options := self._options():
                    self._step(options[self.schedule.choose(len(options))])
                elif not self._advance():
                    raise self._halted(self._stuck(frame))
        finally:
            self._runs = runs
            self._frames.pop()

    def _stuck(self, top: Frame) -> Exception | None:
        if any(frame.goes_on for frame in self._frames if frame is not top):
            return None
        names = [self._name(frame.ident) for frame in self._frames]
        return Deadlock(f"all wait: {', '.join(dict.fromkeys(names))}")


class Failure(NamedTuple):
    """A run that went wrong. schedule: its choices, to `replay` it with. log: which thread made each step."""

    schedule: list[int]
    error: Exception
    log: list[str]

    def __str__(self) -> str:
        return f"{type(self.error).__name__}: {self.error}; schedule {self.schedule}; steps: {' '.join(self.log)}"


class Explored(NamedTuple):
    """What an exploration has found. complete: there are no other schedules. cut: how many runs were cut short."""

    schedules: int
    complete: bool
    cut: int
    failure: Failure | None


def explore(program: Program, limit: int = 1000, *, seed: int = 0, preemptions: int = 2) -> Explored:
    """Run a program under at most `limit` schedules, until one fails: depth first and at random in turn.

    program: makes contexts and threads of the simulator that it is given, and may return a check, called when a run has
    ended. Any exception is a failure.
    """
    cut, at = 0, 0
    given: list[int] | None = []
    for at in range(limit):
        deep = at % 2 == 0
        sim = Simulator(given or () if deep else (), None if deep else seed + at, preemptions=preemptions)
        try:
            cut += not _ran(program, sim)
        except Exception as error:
            return Explored(at + 1, False, cut, Failure(trimmed(sim.schedule.taken), error, sim.log))
        if deep and (given := sim.schedule.following()) is None:
            return Explored(at + 1, True, cut, None)
    return Explored(limit, False, cut, None)


def replay(program: Program, schedule: Sequence[int], *, preemptions: int = 2) -> Simulator:
    """Run a program under one schedule, that of a Failure; raises what it has raised."""
    sim = Simulator(schedule, preemptions=preemptions)
    _ran(program, sim)
    return sim


def _ran(program: Program, sim: Simulator) -> bool:
    """Run a program; false when the run was cut short."""
    try:
        with sim.inside(), sim.halting():
            check = program(sim)
            sim.run()
            if check is not None:
                check()
    except Stop:
        return False
    return True
