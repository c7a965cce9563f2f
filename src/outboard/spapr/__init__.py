"""The pseries machine: its interrupt controller as the guest sees it, by hypercalls, pages and numbers."""

from outboard.spapr.cpu import Cpu
from outboard.spapr.flavours import FLAVOURS, PAPR, QEMU_7_2, QEMU_10_0
from outboard.spapr.snapshot import Snapshot
from outboard.spapr.xive import SpaprXive

__all__ = ["FLAVOURS", "PAPR", "QEMU_7_2", "QEMU_10_0", "Cpu", "Snapshot", "SpaprXive"]
