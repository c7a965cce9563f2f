"""Signals as calls in a loop: none is late, none is lost, and what was before is back at the end."""

import contextlib
import os
import select
import signal
import subprocess
import sys

import pytest

from outboard.aio.iothread import main_context
from outboard.host.loop import Loop
from outboard.host.signals import Signals

pytestmark = pytest.mark.alike


@pytest.fixture(params=["loop", "context"])
def loop(request):
    """A loop of its own, or the context of this thread, which other tests may have used."""
    if request.param == "context":
        yield main_context()
    else:
        with contextlib.closing(Loop()) as made:
            yield made


def turn(loop):
    """One round of either; it must find what came."""
    if isinstance(loop, Loop):
        loop.run_once(5)
    else:
        loop.poll(True)


def test_each_signal_makes_its_call(loop):
    calls = []
    with Signals(loop) as signals:
        signals.call(signal.SIGUSR1, lambda: calls.append("one"))
        signals.call(signal.SIGUSR2, lambda: calls.append("two"))
        signal.raise_signal(signal.SIGUSR2)
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR2)
        assert calls == [], "they are calls of the loop"
        turn(loop)
    assert calls == ["two", "one"]


def test_what_waits_is_woken_whether_python_has_run_or_not(loop):
    """The pipe is readable by the kernel's side alone: nothing of Python's has run when a waiting epoll returns."""
    with Signals(loop) as signals:
        signals.call(signal.SIGUSR1, lambda: None)
        poll = select.poll()
        poll.register(signals._reading, select.POLLIN)
        assert poll.poll(0) == []
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        signal.raise_signal(signal.SIGUSR1)
        assert poll.poll(0) == []
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
        assert poll.poll(0) == [(signals._reading, select.POLLIN)]
        assert os.read(signals._reading, 9) == bytes([signal.SIGUSR1])


def test_what_was_before_is_back(loop, open_fds):
    def theirs(*_):
        pass

    before, fds = signal.signal(signal.SIGUSR1, theirs), open_fds()
    try:
        with Signals(loop) as signals:
            signals.call(signal.SIGUSR1, lambda: None)
            signals.call(signal.SIGUSR1, lambda: None)
            assert signal.getsignal(signal.SIGUSR1) is not theirs
        assert signal.getsignal(signal.SIGUSR1) is theirs
        assert signal.set_wakeup_fd(-1) == -1
        assert open_fds() == fds
    finally:
        signal.signal(signal.SIGUSR1, before)


STORM = """
import signal, sys
from outboard.host.loop import Loop
from outboard.host.signals import Signals
loop, calls = Loop(), 0
def count():
    global calls
    calls += 1
    print(calls, flush=True)
with Signals(loop) as signals:
    signals.call(signal.SIGUSR1, count)
    signals.call(signal.SIGTERM, loop.stop)
    print("ready", flush=True)
    loop.run()
"""


def test_no_signal_of_thousands_waits_for_the_next():
    """Each is sent as soon as the one before was answered: just when the loop is about to wait again."""
    with subprocess.Popen([sys.executable, "-c", STORM], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        for number in range(1, 3001):
            process.send_signal(signal.SIGUSR1)
            ready = select.select([process.stdout], [], [], 20)[0]
            assert ready, f"signal {number} of 3000 was not answered"
            assert process.stdout.readline() == f"{number}\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
