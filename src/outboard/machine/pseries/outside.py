"""Waiting for devices whose work is done by other processes."""

import select
import time
from collections.abc import Sequence

from outboard.machine.pseries.pci_device import PciDevice


def deliver(devices: Sequence[PciDevice]) -> bool:
    """Deliver what all devices have told; true when one had something."""
    told = [device.poll() for device in devices]
    return any(told)


def wait(devices: Sequence[PciDevice], timeout_s: float) -> bool:
    """Wait until a device has told something, and deliver it; false when none has in time, or none ever can."""
    end = time.monotonic() + timeout_s
    while True:
        if deliver(devices):
            return True
        wanted = {fd: events for device in devices for fd, events in device.waits_on().items()}
        left = end - time.monotonic()
        if not wanted or left <= 0:
            return False
        poll = select.poll()
        for fd, events in wanted.items():
            poll.register(fd, events)
        poll.poll(left * 1000)
