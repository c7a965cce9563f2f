"""Waiting for a time in a coroutine of a context."""

from outboard.aio.context import AioContext
from outboard.aio.coroutine import Completion


async def sleep_until(ctx: AioContext, expire_ns: int) -> None:
    """Go on when the clock of the context reaches a time."""
    due: Completion[None] = Completion()
    timer = ctx.timer_new(lambda: due.set_result(None))
    timer.mod_ns(expire_ns)
    try:
        await due
    finally:
        timer.delete()
