"""AioContext and IOThread: event loops that what belongs to a device moves between, on real threads or simulated."""

from outboard.aio.context import AioContext
from outboard.aio.coroutine import Completion, co_enter, co_run
from outboard.aio.home import Home
from outboard.aio.iothread import IOThread
from outboard.aio.world import current_context, main_context

__all__ = ["AioContext", "Completion", "Home", "IOThread", "co_enter", "co_run", "current_context", "main_context"]
