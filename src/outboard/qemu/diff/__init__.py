"""The model and a real QEMU, driven alike: random operations on both, what differs shrunk to the shortest sequence."""

from outboard.qemu.diff.campaign import Campaign, Outcome, Plan, choose_qemu
from outboard.qemu.diff.compare import Difference, Pair
from outboard.qemu.diff.shrink import Shrunk, shrink
from outboard.qemu.diff.steps import Step, parse, text

__all__ = [
    "Campaign",
    "Difference",
    "Outcome",
    "Pair",
    "Plan",
    "Shrunk",
    "Step",
    "choose_qemu",
    "parse",
    "shrink",
    "text",
]
