"""What contexts cost: a kick to a handler in an IOThread beside a bare epoll loop, bottom halves, moves of a home.

    python -m bench.aio                  all of them, as a table
    python -m bench.aio --json kick      one, as JSON objects, one a line

Each column is a thread: "bare" a loop of epoll, a dict of handlers and nothing else; "context" an IOThread; "asyncio"
one whose thread runs an asyncio loop; "polling" one that looks for work before it sleeps. All answer in turn, in one
process, so all share its interpreter lock. Exit code 0: all goals met; 1: a goal is missed; 3: a benchmark failed.
"""

import os
import select
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from bench.accounting import busy
from bench.command_line import parse, parser, report
from bench.results import Goal, Result
from outboard.aio import AioContext, Home, IOThread
from outboard.aio.asyncio_loop import AsyncioLoop
from outboard.errors import OutboardError
from outboard.host.loop import EDGE, READ

BARE, CONTEXT, ASYNCIO, POLLING = COLUMNS = ("bare", "context", "asyncio", "polling")
KICK_RATIO = 1.5
"""Of the bare loop's round trip, at most."""
CALL_RATIO = 1.0
"""A bottom half from another thread, over asyncio's call from another thread: at most."""
PAUSE_MS = 5.0
"""From the beginning of a move until a kick is answered in the new thread, 99 of 100 times: at most."""
BATCH = 1000
POLL_NS = 50_000
LONG_S = 60.0
Trip = Callable[[], object]
"""One round trip."""


class Echo:
    """Answers a kick on one eventfd with an event on another, by read and write alone."""

    def __init__(self) -> None:
        self.kick = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._back = os.eventfd(0, os.EFD_CLOEXEC)

    def handle(self) -> None:
        """Answer, in the thread that was kicked."""
        os.eventfd_read(self.kick)
        os.eventfd_write(self._back, 1)

    def trip(self) -> None:
        """Kick, and wait for the answer."""
        os.eventfd_write(self.kick, 1)
        os.eventfd_read(self._back)

    def close(self) -> None:
        """Free the eventfds."""
        os.close(self.kick)
        os.close(self._back)


@contextmanager
def echo() -> Iterator[Echo]:
    """Open an Echo for a block."""
    made = Echo()
    try:
        yield made
    finally:
        made.close()


@contextmanager
def bare(made: Echo) -> Iterator[None]:
    """Serve an Echo by the least that can be called an event loop."""
    stop = os.eventfd(0, os.EFD_CLOEXEC)
    handlers: dict[int, Callable[[], object]] = {made.kick: made.handle}
    with select.epoll() as epoll:
        epoll.register(made.kick, select.EPOLLIN | select.EPOLLET)
        epoll.register(stop, select.EPOLLIN)

        def serve() -> None:
            while True:
                for fd, _ in epoll.poll():
                    if fd == stop:
                        return
                    handlers[fd]()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            os.eventfd_write(stop, 1)
            thread.join(LONG_S)
            os.close(stop)


def iothread(column: str) -> IOThread:
    """Return the IOThread of a column."""
    return IOThread(
        column,
        poll_max_ns=POLL_NS if column == POLLING else 0,
        loop_factory=AsyncioLoop if column == ASYNCIO else None,
    )


def trip_us(trip: Trip) -> float:
    """Return what one of a batch of round trips takes, in microseconds."""
    began = time.perf_counter()
    for _ in range(BATCH):
        trip()
    return (time.perf_counter() - began) / BATCH * 1e6


def in_turn(name: str, trips: dict[str, Trip], rounds: int) -> tuple[Result, dict[str, list[float]]]:
    """Measure round trips in turn, each round in the other order."""
    samples: dict[str, list[float]] = {column: [] for column in trips}
    for turn in range(rounds):
        for column in list(trips)[:: -1 if turn % 2 else 1]:
            samples[column].append(trip_us(trips[column]))
    result = Result(name)
    for column, some in samples.items():
        result.figures[column] = f"{statistics.median(some):.2f} us"
        result.numbers[column] = {"us": statistics.median(some)}
    return result, samples


def kick(rounds: int) -> Result:
    """Measure a kick, its handler, and the answer."""
    trips: dict[str, Trip] = {}
    with ExitStack() as stack:
        for column in COLUMNS:
            made = stack.enter_context(echo())
            if column == BARE:
                stack.enter_context(bare(made))
            else:
                ctx = stack.enter_context(iothread(column)).context
                ctx.add(made.kick, READ | EDGE, made.handle)
            trips[column] = made.trip
        result, samples = in_turn("kick", trips, rounds)
    for column in COLUMNS[1:]:
        # Neighbours in time are compared: what else the machine does hits both.
        ratio = statistics.median(a / b for a, b in zip(samples[column], samples[BARE], strict=True))
        result.numbers[column]["ratio"] = ratio
        result.goals.append(Goal(f"{column} / {BARE}", KICK_RATIO, True, ratio))
    return result


def half_trip(ctx: AioContext, back: int) -> Trip:
    """Return a round trip by a bottom half, answered by an eventfd."""
    half = ctx.bh_new(lambda: os.eventfd_write(back, 1))

    def trip() -> None:
        half.schedule()
        os.eventfd_read(back)

    return trip


def call_trip(thread: IOThread, back: int) -> Trip:
    """Return a round trip by asyncio's own `call_soon_threadsafe`."""
    assert isinstance(thread.runner, AsyncioLoop)
    loop = thread.runner.loop

    def trip() -> None:
        loop.call_soon_threadsafe(os.eventfd_write, back, 1)
        os.eventfd_read(back)

    return trip


def bottom_half(rounds: int) -> Result:
    """Measure a bottom half that another thread schedules, beside asyncio's own call from another thread."""
    with ExitStack() as stack:
        threads = {column: stack.enter_context(iothread(column)) for column in COLUMNS[1:]}
        back = os.eventfd(0, os.EFD_CLOEXEC)
        stack.callback(os.close, back)
        trips = {column: half_trip(thread.context, back) for column, thread in threads.items()}
        result, samples = in_turn("bottom-half", {BARE: call_trip(threads[ASYNCIO], back), **trips}, rounds)
    result.figures[BARE] += " asyncio's call"
    ratio = statistics.median(a / b for a, b in zip(samples[CONTEXT], samples[BARE], strict=True))
    result.numbers[CONTEXT]["ratio"] = ratio
    result.goals.append(Goal("context / asyncio's", CALL_RATIO, True, ratio))
    return result


def move(rounds: int) -> Result:
    """Measure a home with one fd that moves between two threads: `move` itself, and until a kick is answered there."""
    with ExitStack() as stack:
        one, two = (stack.enter_context(iothread(CONTEXT)).context for _ in range(2))
        made = stack.enter_context(echo())
        home = Home(one)
        stack.callback(home.close)
        home.add(made.kick, READ | EDGE, made.handle)
        moves: list[float] = []
        pauses: list[float] = []

        def trip() -> None:
            began = time.perf_counter()
            home.move(two if home.context is one else one)
            moved = time.perf_counter()
            made.trip()
            moves.append(moved - began)
            pauses.append(time.perf_counter() - began)

        result, _ = in_turn("move", {CONTEXT: trip}, rounds)
    move_us, pause_ms = statistics.median(moves) * 1e6, sorted(pauses)[len(pauses) * 99 // 100] * 1e3
    result.figures[CONTEXT] += f", move() {move_us:.1f} us"
    result.numbers[CONTEXT] |= {"move_us": move_us, "pause_ms_99": pause_ms}
    result.goals.append(Goal("ms at 99 %", PAUSE_MS, True, pause_ms))
    return result


BENCHMARKS: dict[str, Callable[[int], Result]] = {"kick": kick, "bottom-half": bottom_half, "move": move}


def one(name: str, rounds: int) -> Result:
    """Run one benchmark; a failure is a result too."""
    try:
        return BENCHMARKS[name](rounds)
    except (OutboardError, OSError) as error:
        return Result(name, failed=f"{type(error).__name__}: {error}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks that the command line names; return the exit code."""
    assert __doc__
    wanted = parse(parser("python -m bench.aio", __doc__, BENCHMARKS), BENCHMARKS, argv)
    if (load := busy(0.5)) > 0.2:
        print(f"Other work keeps {load:.1f} processors busy: times will be long and noisy.", file=sys.stderr)
    results = (one(name, wanted.rounds) for name in wanted.names or BENCHMARKS)
    return report(results, COLUMNS, as_json=wanted.json)


if __name__ == "__main__":
    sys.exit(main())
