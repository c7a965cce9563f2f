"""Access to ring indexes that another processor writes, ordered as the virtqueue needs it.

This is the plain form, a fallback: one aligned 16-bit access per call, in program order. x86 keeps that order but for a
store followed by a load, which `fence` covers with a lock operation. The compiled form (`atomics.pxd`) uses the
compiler's acquire and release operations, right on every processor.
"""

from threading import Lock

_lock = Lock()


def load_acquire(cells: memoryview, index: int) -> int:
    """Load `cells[index]` (u16); no later access moves before it."""
    return int(cells[index])


def store_release(cells: memoryview, index: int, value: int) -> None:
    """Store `cells[index]` (u16); no earlier access moves behind it."""
    cells[index] = value


def fence() -> None:
    """Order every earlier store before every later load."""
    with _lock:
        pass
