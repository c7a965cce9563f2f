"""Worker threads: as many as there are calls that wait, up to a limit."""

import threading
from collections.abc import Callable

import pytest

from outboard.aio import main_context
from outboard.aio.wait import kick, wait_while
from outboard.block.workers import Workers

pytestmark = pytest.mark.alike


def run(workers: Workers, *calls: Callable[[], object]) -> list:
    """Make calls, wait for all of them."""
    completions = [workers.submit(call) for call in calls]
    for completion in completions:
        completion.on_done(kick)
    wait_while(main_context(), lambda: not all(completion.done for completion in completions))
    return completions


def block_workers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "block-worker"}


def test_calls_that_wait_for_each_other_run_side_by_side():
    meet = threading.Barrier(5)
    assert len(run(Workers(), *[lambda: meet.wait(30)] * 5)) == 5


def test_threads_are_used_again():
    workers, before = Workers(), block_workers()
    seen = []
    for _ in range(20):
        run(workers, lambda: seen.append(threading.get_ident()))
    assert len(seen) == 20 and len(set(seen)) == len(block_workers() - before) == 1


def test_no_more_threads_than_the_limit():
    workers, before, go_on = Workers(limit=3), block_workers(), threading.Event()
    calls = [workers.submit(lambda: go_on.wait(30)) for _ in range(10)]
    assert len(block_workers() - before) == 3
    go_on.set()
    for call in calls:
        call.on_done(kick)
    wait_while(main_context(), lambda: not all(call.done for call in calls))


def test_what_a_call_returns_or_raises():
    def fails() -> None:
        raise ValueError("from the worker")

    good, bad = run(Workers(), lambda: 7, fails)
    assert good.result() == 7
    with pytest.raises(ValueError, match="from the worker"):
        bad.result()


def test_who_hears_of_an_end_finds_the_thread_free():
    """A call that is made before the worker is back waits for it, and starts no other."""
    workers, before = Workers(), block_workers()
    seen, over = [], threading.Event()

    def again() -> None:
        if len(seen) < 20:
            workers.submit(lambda: seen.append(threading.get_ident())).on_done(again)
        else:
            over.set()

    again()
    assert over.wait(30) and len(set(seen)) == len(block_workers() - before) == 1
