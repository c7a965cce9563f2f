"""Work on a batch without the interpreter's lock. Plain form, which keeps it; `unlocked.pxd` holds the compiled one."""

from outboard.backend.disk.batch import Batch
from outboard.backend.disk.request_loop import RequestLoop
from outboard.host.transfers import Transfers


def turn(loop: RequestLoop, batch: Batch) -> int:
    """See `RequestLoop.turn`."""
    return loop.turn(batch)


def begin(loop: RequestLoop, batch: Batch) -> None:
    """See `RequestLoop.begin`."""
    loop.begin(batch)


def carry(loop: RequestLoop, batch: Batch, end: int) -> None:
    """See `RequestLoop.carry`."""
    loop.carry(batch, end)


def run(transfers: Transfers, fd: int, row: int, read_flags: int, write_flags: int) -> None:
    """Run one row of some transfers, see `Transfers.run`."""
    transfers.run(fd, row, row + 1, read_flags, write_flags)
