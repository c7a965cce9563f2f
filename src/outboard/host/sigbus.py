"""Survive a peer that truncates the file behind memory it shared: reading there raises SIGBUS.

Plain form, a fallback that cannot: Python has no handler that could mend a fault. The compiled form (`sigbus.pxd`) puts
a zero page under the fault and counts it.
"""


def guard(memory: memoryview) -> int:
    """Guard mapped memory, page-aligned; return a slot for `forget`, -1 when it is not guarded."""
    return -1


def forget(slot: int) -> None:
    """Guard no longer; slot as `guard` returned it."""


def mended() -> int:
    """Return how many faults have been mended so far, in all slots."""
    return 0


def lost(slot: int) -> int:
    """Return how many faults have been mended in one slot."""
    return 0
