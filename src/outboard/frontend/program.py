"""A program that we started: what it says last, how it ends, and that nothing of it is left."""

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence

from outboard.errors import LocalError

WORDS_MAX = 4096
"""Bytes of its last words that are looked at."""
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
END_S = 1.0
"""Seconds that a program is given to end by itself before it is killed."""


def signal_name(number: int) -> str:
    """Return a signal's name; real-time signals have none."""
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Put Ctrl-C, and other signals that have handlers, off while something is begun that could not be ended yet."""
    handlers = {number: signal.getsignal(number) for number in INTERRUPTS}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    if threading.current_thread() is not threading.main_thread():
        handlers = {}
    held: list[int] = []
    for number in handlers:
        signal.signal(number, lambda came, _: held.append(came))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])


def kill(process: "subprocess.Popen[bytes]") -> None:
    """End a program and what it started, by force."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Program:
    """A running program in a session of its own, with what it starts itself. It ends with
    this process at the latest, unless that is killed by force.

    pass_fds: that it inherits. Raises LocalError when it cannot be started.
    """

    def __init__(self, words: Sequence[str], pass_fds: Sequence[int] = ()) -> None:
        self._said = tempfile.TemporaryFile()
        try:
            with interrupts_held():
                self.process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=self._said,
                    stderr=self._said,
                    pass_fds=pass_fds,
                    start_new_session=True,
                )
                self._end = weakref.finalize(self, kill, self.process)
        except OSError as error:
            self._said.close()
            raise LocalError(f"{words[0]}: cannot be started: {error.strerror}") from error

    @property
    def pid(self) -> int:
        """The process id, which is that of its session too."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def last_words(self, lines: int = 1) -> str:
        """Return the last lines that it printed, "" for none."""
        size = os.fstat(self._said.fileno()).st_size
        tail = os.pread(self._said.fileno(), WORDS_MAX, max(0, size - WORDS_MAX)).decode(errors="replace")
        return " | ".join([line.strip() for line in tail.splitlines() if line.strip()][-lines:])

    def ended(self) -> str:
        """Return how it ended; "" while it runs."""
        code = self.process.poll()
        if code is None:
            return ""
        return f"died of {signal_name(-code)}" if code < 0 else f"exited with status {code}"

    def wait(self, timeout_s: float) -> int | None:
        """Wait until it ends; return its exit code, negative for a signal, or None when it goes on."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(timeout_s)
        return None

    def signal(self, number: int) -> None:
        """Send a signal to it and what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def close(self, patience_s: float = END_S) -> None:
        """End it, by force if it does not end by itself in `patience_s`. Safe to call twice."""
        if self._said.closed:
            return
        if patience_s:
            self.signal(signal.SIGTERM)
            self.wait(patience_s)
        self._end()
        self._said.close()

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
