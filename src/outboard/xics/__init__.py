"""XICS, the legacy interrupt controller of a pseries machine: presentation (ICP) and sources (ICS)."""

from outboard.xics.snapshot import Snapshot
from outboard.xics.xics import Xics

__all__ = ["Snapshot", "Xics"]
