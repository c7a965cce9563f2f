"""A context whose thread has ended, served once more: as long as what lives there takes to leave."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from outboard.aio.context import AioContext
from outboard.aio.epoll import EpollWaiter


@contextmanager
def served_again(ctx: AioContext) -> Iterator[None]:
    """Let a thread serve a context of real fds during a block, unless one does. All that waits there may run."""
    if ctx.home is not None:
        yield
        return
    was_closed = ctx.closed
    if was_closed:
        ctx.reopen(EpollWaiter())
    over, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=_serve, args=(ctx, over, ready), name=f"{ctx.name}, again", daemon=True)
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        over.set()
        ctx.notify()
        thread.join()
        if was_closed:
            ctx.close()


def _serve(ctx: AioContext, over: threading.Event, ready: threading.Event) -> None:
    ctx.adopt()
    ready.set()
    try:
        while not over.is_set():
            with suppress(Exception):  # of others here; what leaves has an `on_bug`, or a task that keeps it
                ctx.poll(True)
    finally:
        ctx.abandon()
