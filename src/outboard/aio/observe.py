"""Who ran where: hooks that are told of every call that a context makes. With none it costs one look a call."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from outboard.aio.context import AioContext


class Ran(NamedTuple):
    """A call that a context made.

    thread: its number. what: "read", "write", "fd", "poll", "bottom half", "timer", "call" of a home, "coroutine".
    begin_ns, end_ns: by the context's clock. call: what was called.
    """

    context: str
    thread: int
    what: str
    call: object
    begin_ns: int
    end_ns: int


Hook = Callable[[Ran], object]

hooks: tuple[Hook, ...] = ()
_mutex = threading.Lock()


def listen(hook: Hook) -> None:
    """Tell `hook` of every call from now on, in the thread that made it, after it."""
    global hooks
    with _mutex:
        hooks = (*hooks, hook)


def unlisten(hook: Hook) -> None:
    """Tell it no more; unknown hooks are ignored."""
    global hooks
    with _mutex:
        hooks = tuple(one for one in hooks if one != hook)


def observed(ctx: "AioContext", what: str, call: Callable[[], object]) -> None:
    """Make a call of a context and tell the hooks."""
    began_ns = ctx.now_ns()
    try:
        call()
    finally:
        _tell(ctx, what, call, began_ns)


def asked(ctx: "AioContext", poll: Callable[[], bool]) -> bool:
    """Ask a handler of a context whether there is work; tell the hooks if there was."""
    began_ns = ctx.now_ns()
    worked = poll()
    if worked:
        _tell(ctx, "poll", poll, began_ns)
    return worked


def _tell(ctx: "AioContext", what: str, call: object, began_ns: int) -> None:
    ran = Ran(ctx.name, ctx.world.ident(), what, call, began_ns, ctx.now_ns())
    for hook in hooks:
        hook(ran)


@contextmanager
def recorded() -> Iterator[list[Ran]]:
    """Gather the calls that are made in a block."""
    calls: list[Ran] = []
    listen(calls.append)
    try:
        yield calls
    finally:
        unlisten(calls.append)
