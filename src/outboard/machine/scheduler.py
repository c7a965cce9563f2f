"""Runs guest programs on the CPUs of a machine, one at a time, in an order that a seed decides: a run repeats exactly.

A program is a generator function of its CPU (`machine.cpu`). It is stopped, and `faults` says why, when it raises, when
it yields what is no reason to wait, or when its turn does not end: after so many operations, or after seconds of
computing without any (watched in the main thread only; nothing but what it does to `memory` happens on the machine in
that time, so it does not matter when the turn is cut). The others go on. What ends this process, as Ctrl-C does, is no
program's fault.

A program that made H_CEDE yields next, and goes on when its CPU is interrupted or prodded.
"""

import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import cast

from outboard.errors import LocalError, WaitTimeout
from outboard.machine.cpu import WAIT, CedesCpus, Cpu, Machine, Memory, Program, StartsCpus, Steps

OPERATIONS_MAX = 2_000_000
"""Operations of one turn."""
TURN_S = 10.0
"""Seconds of computing that are allowed between two operations, and before the first and behind the last; a turn with
more is cut before they are twice as many."""
IDLE_S = 5.0
"""Seconds that all wait for an interrupt before that is a failure."""
TURNS_MAX = 1 << 62


class Overrun(BaseException):
    """A turn that does not end. No Exception: a program that catches those does not go on for ever."""


class Turn:
    """A CPU as one program has it: operations are counted, and those of a stopped CPU end the program."""

    def __init__(self, cpu: Cpu, limit: int) -> None:
        self.cpu = cpu
        self.index = cpu.index
        self.vcpu_id = cpu.vcpu_id
        self.memory: Memory = cpu.memory
        self.limit = limit
        self.left = limit
        self.inside = False
        self.operations = 0
        self.why = ""

    def _enter(self) -> None:
        self.left -= 1
        self.operations += 1
        if self.left < 0:
            raise self.overrun()
        self.inside = True

    def overrun(self) -> Overrun:
        """Return what ends it. What is caught in spite of that does not make the turn a good one."""
        return Overrun(self.why or f"{self.limit} operations without a yield")

    def hcall(self, call: int | str, /, *arguments: int) -> tuple[int, ...]:
        """Make a hypercall."""
        self._enter()
        try:
            return self.cpu.hcall(call, *arguments)
        finally:
            self.inside = False

    def load(self, addr: int, size: int, /) -> int:
        """Load 1, 2, 4 or 8 bytes."""
        self._enter()
        try:
            return self.cpu.load(addr, size)
        finally:
            self.inside = False

    def store(self, addr: int, size: int, value: int, /) -> None:
        """Store 1, 2, 4 or 8 bytes."""
        self._enter()
        try:
            self.cpu.store(addr, size, value)
        finally:
            self.inside = False

    def irq(self) -> bool:
        """Return whether the interrupt input is raised."""
        self._enter()
        try:
            return self.cpu.irq()
        finally:
            self.inside = False


@dataclass(frozen=True)
class Fault:
    """Why a program was stopped. error: what it raised, if it did."""

    cpu: int
    program: str
    why: str
    error: BaseException | None = None

    def __str__(self) -> str:
        return f"CPU {self.cpu}, {self.program}: {self.why}"


@dataclass
class _Running:
    """One program. waits: for its CPU's interrupt input; ceded: for whatever wakes its CPU."""

    turn: Turn
    name: str
    steps: Steps
    waits: bool = False
    ceded: bool = False

    @property
    def computes(self) -> bool:
        """Whether its own code is what runs now, and not an operation, or the scheduler."""
        return getattr(self.steps, "gi_running", True) and not self.turn.inside


class Scheduler:
    """The programs of a machine.

    seed: decides the order of the CPUs within each round. operations: of one turn, at most. turn_s: as `TURN_S`, 0 to
    watch nothing. idle_s: how long all may wait while a device could still interrupt.
    """

    def __init__(
        self,
        machine: Machine,
        seed: int = 0,
        *,
        operations: int = OPERATIONS_MAX,
        turn_s: float = TURN_S,
        idle_s: float = IDLE_S,
    ) -> None:
        self.machine = machine
        self.faults: list[Fault] = []
        self.results: dict[int, object] = {}
        self._random = random.Random(seed)
        self._operations = operations
        self._turn_s = turn_s
        self._idle_s = idle_s
        self._ceding = cast(CedesCpus, machine) if hasattr(machine, "is_ceded") else None
        self._running: dict[int, _Running] = {}
        self._entries: dict[int, Program] = {}
        self._now: _Running | None = None
        self._seen = -1

    # Programs

    def start(self, cpu: int, program: Program) -> None:
        """Run a program on a CPU, by its index. Raises LocalError when the CPU runs one, or there is no such CPU."""
        if cpu in self._running:
            raise LocalError(f"CPU {cpu} runs {self._running[cpu].name}; a CPU runs one program")
        found = next((one for one in self.machine.cpus if one.index == cpu), None)
        if found is None:
            raise LocalError(f"no CPU {cpu}; there are {', '.join(str(one.index) for one in self.machine.cpus)}")
        turn = Turn(found, self._operations)
        self._running[cpu] = _Running(turn, getattr(program, "__name__", repr(program)), program(turn))

    def place(self, address: int, program: Program) -> None:
        """Let a program begin at a guest address: CPUs that are started there (RTAS, start-cpu) run it."""
        self._entries[address] = program

    def _take_starts(self) -> None:
        take = getattr(self.machine, "take_starts", None)
        for start in take() if take else ():
            program = self._entries.get(start.address)
            if start.index in self._running:
                self._end(self._running[start.index])
            if program is None:
                why = f"started at {start.address:#x}, where no program is"
                self.faults.append(Fault(start.index, "nothing", why))
            else:
                self.start(start.index, program)

    @property
    def running(self) -> tuple[int, ...]:
        """The CPUs that run a program, by index."""
        return tuple(sorted(self._running))

    # Running

    def run(self, turns: int = TURNS_MAX, *, until_fault: bool = False) -> int:
        """Run until all programs have ended, or for so many turns; return how many turns there were.

        until_fault: or until one has failed; the others stay where they are. Raises WaitTimeout when all wait for
        interrupts and none comes.
        """
        done = 0
        with self._watched():
            while self._running and done < turns and not (until_fault and self.faults):
                order = sorted(self._running)
                self._random.shuffle(order)
                took = 0
                for cpu in order:
                    if done + took < turns and cpu in self._running:
                        took += self._take_turn(self._running[cpu])
                        self._take_starts()
                done += took
                if not took:
                    self._wait()
        return done

    def _wait(self) -> None:
        """Let devices work until a CPU is interrupted."""
        if not self.machine.idle(self._idle_s) and not any(one.turn.cpu.irq() for one in self._running.values()):
            names = ", ".join(f"CPU {cpu} ({one.name})" for cpu, one in sorted(self._running.items()))
            stopped = "".join(f"; stopped: {fault}" for fault in self.faults)
            raise WaitTimeout(f"no interrupt comes; waiting: {names}{stopped}")

    def _take_turn(self, one: _Running) -> bool:
        """Let a program run until it yields, or ends; false when it waits for an interrupt that is not there."""
        if self._waits(one):
            return False
        one.waits = False
        turn = one.turn
        if self._ceding:
            self._ceding.resume(turn.index)
        turn.left, turn.why = turn.limit, ""
        self._now, self._seen = one, -1
        try:
            asked = next(one.steps)
        except StopIteration as end:
            self._end(one)
            self.results[turn.index] = end.value
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: it would end the host's run
            self._stop(one, error)
        else:
            if turn.left < 0:
                self._stop(one, turn.overrun())
            else:
                self._heed(one, asked)
        finally:
            self._now = None
        return True

    def _waits(self, one: _Running) -> bool:
        """Return whether a program has nothing to do yet; one whose CPU ceded waits for that to end alone."""
        if one.ceded and self._ceding:
            return self._ceding.is_ceded(one.turn.index)
        return one.waits and not one.turn.cpu.irq()

    def _heed(self, one: _Running, asked: object) -> None:
        if self._is_stopped(one.turn.index):
            self._end(one)
        elif asked is WAIT or asked is None:
            one.ceded = self._ceding is not None and self._ceding.is_ceded(one.turn.index)
            one.waits = asked is WAIT
        else:
            self._end(one)
            self._report(one, f"yielded {asked!r}; a program yields WAIT or nothing")

    def _stop(self, one: _Running, error: BaseException) -> None:
        self._end(one)
        if self._is_stopped(one.turn.index) and isinstance(error, LocalError):
            return  # It stopped its own CPU, and noticed by the next operation.
        words = str(error) if isinstance(error, Overrun) else f"{type(error).__name__}: {error}"
        self._report(one, words, error)

    def _end(self, one: _Running) -> None:
        """Forget a program; what it does about that is a turn of its own."""
        del self._running[one.turn.index]
        before, self._now, self._seen = self._now, one, -1
        try:
            one.steps.close()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._report(one, f"does not end: {error}", error)
        finally:
            self._now = before
        one.turn.left = 0  # Whatever still holds the CPU does nothing with it.

    def _report(self, one: _Running, why: str, error: BaseException | None = None) -> None:
        self.faults.append(Fault(one.turn.index, one.name, why, error))

    def _is_stopped(self, cpu: int) -> bool:
        machine: StartsCpus | Machine = self.machine
        asks = getattr(machine, "is_stopped", None)
        return bool(asks(cpu)) if asks else False

    # The watch

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Watch turns by the processor time that they take; nothing is watched outside the main thread."""
        main = threading.current_thread() is threading.main_thread()
        if not self._turn_s or not main:
            yield
            return
        before = signal.signal(signal.SIGVTALRM, self._ring)
        timer = signal.setitimer(signal.ITIMER_VIRTUAL, self._turn_s, self._turn_s)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)
            signal.setitimer(signal.ITIMER_VIRTUAL, *timer)  # of a run in which this one was made

    def _ring(self, number: int, frame: FrameType | None) -> None:
        """Cut a turn that computes as it did at the last ring, without an operation since."""
        one = self._now
        if one is None or not one.computes:
            self._seen = -1
        elif one.turn.operations != self._seen:
            self._seen = one.turn.operations
        else:
            one.turn.left, one.turn.why = -1, f"its turn does not end: {self._turn_s:g} s of computing"
            raise one.turn.overrun()
