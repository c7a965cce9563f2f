"""A pseries machine: RAM, CPUs that are Python programs, interrupt controllers, PCI with devices of other processes."""

from outboard.machine.pseries.edu import Edu
from outboard.machine.pseries.machine import PseriesMachine
from outboard.machine.pseries.snapshot import MachineSnapshot
from outboard.machine.pseries.virtio_gpu import VirtioGpu

__all__ = ["Edu", "MachineSnapshot", "PseriesMachine", "VirtioGpu"]
