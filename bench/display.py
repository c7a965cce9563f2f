"""Benchmarks of the display's end of the GPU socket: frames received a second, against the socket's own limit.

    python -m bench.display                    all of them, as a table
    python -m bench.display --json 1080p       one, as JSON objects, one a line

One process sends the same frames to all receivers in turn. "drain" and "raw" are bare `recv_into` loops, the limits:
into a small buffer again and again, and into the memory of a frame. "counting" is a DisplayReader that throws pixels
away, "live" one that keeps them, in a thread, as DisplayServer does. Exit code 0: all goals met; 1: a goal is missed;
3: a benchmark failed.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from bench.accounting import busy
from bench.command_line import parse, parser, report
from bench.display_sender import ANSWER, COMMAND
from bench.goals import HD, UHD
from bench.results import Goal, Result
from outboard.errors import OutboardError
from outboard.frontend.display_reader import DisplayReader
from outboard.spec.virtio_gpu import CURSOR_SIZE
from outboard.viewers.live import LiveScreens

DRAIN, RAW, COUNTING, LIVE = "drain", "raw", "counting", "live"
RECEIVERS = (DRAIN, RAW, COUNTING, LIVE)
LIMITS = {COUNTING: DRAIN, LIVE: RAW}
"""What each kind of display is measured against."""
SAMPLE_S = 0.1
"""Wall time of one sample, about."""
RATE_RATIO = 0.9
"""Of the limit's frames a second, at least."""
DRAIN_ROOM = 256 << 10
BAND = 1 << 20
"""Bytes of an UPDATE, about, where a frame comes in bands."""
LATENCY_MS, COPY_MS, COMPOSED_MS = 2.0, 5.0, 10.0
"""From the last byte to the frame; of `frame()` and of `composed()` at 1080p: at most."""
SETTLE_US = 2000
LOOK_S = 0.0005
SCANOUT_BYTES, UPDATE_BYTES = 24, 32
"""Of the messages, without pixels."""
LONG_S = 60.0
Size = tuple[int, int]


class Bare:
    """A limit: bytes are read into `room`, one after the other, from its start when it is full; and not looked at."""

    def __init__(self, ours: socket.socket, room: int, frame_bytes: int) -> None:
        self._socket = ours
        self._room = memoryview(bytearray(room))
        self._frame_bytes = frame_bytes
        self._read(SCANOUT_BYTES)

    def take(self, frames: int) -> None:
        """Read some frames."""
        self._read(frames * self._frame_bytes)

    def _read(self, count: int) -> None:
        room, at = self._room, 0
        recv_into = self._socket.recv_into
        while count:
            got = recv_into(room[at : at + count])
            count -= got
            at = (at + got) % len(room)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Display:
    """A DisplayReader in a thread of its own, which keeps pixels or, counting, throws them away."""

    def __init__(self, ours: socket.socket, size: Size, *, counting: bool) -> None:
        self.screens = LiveScreens(1)
        self.reader = DisplayReader([size], screens=self.screens, threaded=True, counting=counting)
        self.reader.attach(ours)
        self._size = size
        self._pixels = 0

    def take(self, frames: int) -> None:
        """Wait until all pixels of some more frames came; nobody is woken by each of them."""
        self._pixels += frames * self._size[0] * self._size[1]
        screen = self.screens.screens[0]
        end = time.monotonic() + LONG_S
        while screen.painted < self._pixels and time.monotonic() < end:
            time.sleep(LOOK_S)
        self.reader.wait_painted(0, self._pixels, LONG_S)

    def close(self) -> None:
        """Close the socket. Raises OutboardError if the stream was not understood."""
        self.reader.close()
        if self.reader.violations:
            raise OutboardError(self.reader.violations[0])


Receiver = Bare | Display
MAKE: dict[str, Callable[[socket.socket, Size, int], Receiver]] = {
    DRAIN: lambda ours, size, frame_bytes: Bare(ours, DRAIN_ROOM, frame_bytes),
    RAW: lambda ours, size, frame_bytes: Bare(ours, 4 * size[0] * size[1], frame_bytes),
    COUNTING: lambda ours, size, frame_bytes: Display(ours, size, counting=True),
    LIVE: lambda ours, size, frame_bytes: Display(ours, size, counting=False),
}


class Stage:
    """The sending process and its receivers, by name."""

    def __init__(self, size: Size, rows: int, names: Sequence[str]) -> None:
        frame_bytes = 4 * size[0] * size[1] + UPDATE_BYTES * -(-size[1] // rows)
        self._numbers = {name: at for at, name in enumerate(names)}
        self._control, control = socket.socketpair()
        pairs = [socket.socketpair() for _ in names]
        theirs = [control.fileno(), *(pair[1].fileno() for pair in pairs)]
        arguments = map(str, (*size, rows, *theirs))
        self._process = subprocess.Popen([sys.executable, "-m", "bench.display_sender", *arguments], pass_fds=theirs)
        control.close()
        for _, end in pairs:
            end.close()
        self.receivers = {name: MAKE[name](pair[0], size, frame_bytes) for name, pair in zip(names, pairs, strict=True)}

    def send(self, name: str, frames: int, wait_us: int = 0) -> None:
        """Let frames be sent to a receiver; `sent` comes next."""
        self._control.sendall(COMMAND.pack(self._numbers[name], frames, wait_us))

    def sent(self) -> int:
        """Wait until they were sent; return when, in ns."""
        answer = self._control.recv(ANSWER.size, socket.MSG_WAITALL)
        if len(answer) < ANSWER.size:
            raise OutboardError("the sending process has ended")
        return int(ANSWER.unpack(answer)[0])

    def rate(self, name: str, frames: int) -> float:
        """Return the frames a second that a receiver takes."""
        began = time.perf_counter()
        self.send(name, frames)
        self.receivers[name].take(frames)
        took = time.perf_counter() - began
        self.sent()
        return frames / took

    def close(self) -> None:
        """End the process, close all sockets."""
        self._control.close()
        for receiver in self.receivers.values():
            receiver.close()
        self._process.wait()


@contextmanager
def stage(size: Size, rows: int, names: Sequence[str]) -> Iterator[Stage]:
    """Open a stage for a block."""
    with ExitStack() as stack:
        made = Stage(size, rows, names)
        stack.callback(made.close)
        yield made


def rows_of(size: Size) -> int:
    """Return the rows of a band."""
    return max(1, BAND // (4 * size[0]))


def rates(name: str, size: Size, bands: bool, names: Sequence[str], rounds: int) -> Result:
    """Measure frames a second of all receivers in turn, each round in the other order."""
    samples: dict[str, list[float]] = {one: [] for one in names}
    with stage(size, rows_of(size) if bands else size[1], names) as on:
        counts = {one: max(2, int(SAMPLE_S * on.rate(one, 4))) for one in names}
        for turn in range(rounds):
            for one in names[:: -1 if turn % 2 else 1]:
                samples[one].append(on.rate(one, counts[one]))
    result = Result(name)
    for one in names:
        middle = statistics.median(samples[one])
        result.figures[one] = f"{middle:.0f}/s, {middle * 4 * size[0] * size[1] / 1e9:.2f} GB/s"
        result.numbers[one] = {"per_s": middle}
        if one in LIMITS:
            # Neighbours in time are compared: what else the machine does hits both.
            ratio = statistics.median(a / b for a, b in zip(samples[one], samples[LIMITS[one]], strict=True))
            result.numbers[one]["ratio"] = ratio
            result.goals.append(Goal(f"{one} / {LIMITS[one]}", RATE_RATIO, False, ratio))
    return result


def latency(names: Sequence[str], rounds: int) -> Result:
    """Measure the time from the last byte of a 1080p UPDATE until `wait_for_frame` returns it."""
    result = Result("latency")
    with stage(HD, HD[1], [LIVE]) as on:
        display = on.receivers[LIVE]
        assert isinstance(display, Display)
        screen = display.screens.live[0]
        times = []
        for _ in range(10 * rounds):
            serial = screen.serial
            on.send(LIVE, 1, SETTLE_US)
            screen.wait_for_frame(serial, LONG_S)
            now = time.monotonic_ns()
            times.append((now - on.sent()) / 1e6)
    times.sort()
    middle, high = times[len(times) // 2], times[len(times) * 95 // 100]
    result.figures[LIVE] = f"{middle:.2f} ms, 95 % below {high:.2f}"
    result.numbers[LIVE] = {"ms": middle, "ms_95": high}
    result.goals.append(Goal("ms", LATENCY_MS, True, middle))
    return result


def milliseconds(call: Callable[[], object], times: int) -> float:
    """Return how long a call takes, the median."""

    def once() -> float:
        began = time.perf_counter()
        call()
        return (time.perf_counter() - began) * 1000

    return statistics.median(once() for _ in range(times))


def snapshot(names: Sequence[str], rounds: int) -> Result:
    """Measure `frame()` and `composed()` of a 1080p screen with a cursor."""
    screens = LiveScreens(1)
    screens.scanout(0, *HD)
    screens.paint(0, 0, 0, *HD, screens.room(0, 0, 0, *HD))
    screens.cursor_update(0, 500, 500, 0, 0, os.urandom(4 * CURSOR_SIZE * CURSOR_SIZE))
    copy = milliseconds(screens.live[0].frame, 4 * rounds)
    composed = milliseconds(screens.live[0].frame().composed, 4 * rounds)
    result = Result("snapshot", {LIVE: f"frame {copy:.2f} ms, composed {composed:.2f} ms"})
    result.numbers[LIVE] = {"frame_ms": copy, "composed_ms": composed}
    result.goals.append(Goal("frame() ms", COPY_MS, True, copy))
    result.goals.append(Goal("composed() ms", COMPOSED_MS, True, composed))
    return result


Benchmark = Callable[[Sequence[str], int], Result]
BENCHMARKS: dict[str, Benchmark] = {
    "1080p": partial(rates, "1080p", HD, False),
    "1080p-bands": partial(rates, "1080p-bands", HD, True),
    "2160p": partial(rates, "2160p", UHD, False),
    "2160p-bands": partial(rates, "2160p-bands", UHD, True),
    "latency": latency,
    "snapshot": snapshot,
}


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    assert __doc__
    made = parser("python -m bench.display", __doc__, BENCHMARKS)
    made.add_argument("--only", choices=(COUNTING, LIVE), help="measure one kind of display alone, beside the limit")
    return parse(made, BENCHMARKS, argv)


def one(name: str, names: Sequence[str], rounds: int) -> Result:
    """Run one benchmark; a failure is a result too."""
    try:
        return BENCHMARKS[name](names, rounds)
    except (OutboardError, OSError) as error:
        return Result(name, failed=f"{type(error).__name__}: {error}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks that the command line names; return the exit code."""
    wanted = arguments(argv)
    if (load := busy(0.5)) > 0.2:
        print(f"Other work keeps {load:.1f} processors busy: rates will be low and noisy.", file=sys.stderr)
    names = [name for name in RECEIVERS if wanted.only in (None, name) or name == LIMITS[wanted.only]]
    results = (one(name, names, wanted.rounds) for name in wanted.names or BENCHMARKS)
    return report(results, RECEIVERS, as_json=wanted.json)


if __name__ == "__main__":
    sys.exit(main())
