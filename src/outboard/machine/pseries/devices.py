"""The devices that a machine can be given."""

from collections.abc import Callable

from outboard.errors import LocalError
from outboard.machine.pseries.edu import Edu
from outboard.machine.pseries.pci_device import PciDevice
from outboard.machine.pseries.virtio_gpu import NAME, VirtioGpu

Made = str | PciDevice
Device = Made | tuple[int, Made]
"""A device, or its name; with its slot, if it shall have a certain one."""
BY_NAME: dict[str, Callable[[], PciDevice]] = {"edu": Edu}
"""Devices that need no more than their name."""


def make(device: Device) -> tuple[int | None, PciDevice]:
    """Return a device and the slot that was asked for. Raises LocalError for what is none."""
    slot, wanted = device if isinstance(device, tuple) and len(device) == 2 else (None, device)
    if isinstance(wanted, PciDevice):
        return slot, wanted
    if wanted == NAME:
        raise LocalError(f"{NAME} needs a back-end: give {VirtioGpu.__name__}(command=[…])")
    if not isinstance(wanted, str) or wanted not in BY_NAME:
        raise LocalError(f"{wanted!r} is not a device; there are {', '.join([*BY_NAME, NAME])}")
    return slot, BY_NAME[wanted]()
