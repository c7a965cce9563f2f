"""A GPU back-end that moves between IOThreads as long as it lives: what `bench.moves` measures.

    python -m bench.moving SOCKET LOG THREADS

LOG gets two numbers of 64 bits for each move, when it began and when it was made, in ns of the monotonic clock.
With one thread all is the same, but a move to where it is does nothing.
"""

import argparse
import os
import random
import signal
import struct
import threading
import time
from contextlib import ExitStack

import outboard.gpu
from outboard.aio.iothread import IOThread

PERIOD_S = 0.005
"""Between two moves, about."""
MOVE = struct.Struct("=QQ")


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(prog="python -m bench.moving")
    parser.add_argument("socket")
    parser.add_argument("log")
    parser.add_argument("threads", type=int)
    options = parser.parse_args()
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    log = os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    with ExitStack() as stack:
        threads = [stack.enter_context(IOThread(f"thread{at}")) for at in range(options.threads)]
        service = stack.enter_context(outboard.gpu.serve(options.socket, iothread=threads[0]))
        pace, turn = random.Random(1), 0
        while not over.wait(PERIOD_S * pace.uniform(0.5, 1.5)):  # out of step with what is drawn
            turn += 1
            began = time.monotonic_ns()
            service.try_set_aio_context(threads[turn % len(threads)].context)
            os.write(log, MOVE.pack(began, time.monotonic_ns()))


if __name__ == "__main__":
    main()
