"""One virtqueue as a VMM holds it: its place in guest memory, and the eventfds that notify both sides.

Source: QEMU docs/interop/vhost-user, SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR; eventfd(2).
"""

import os

from outboard.frontend.ram import PAGE, GuestRam
from outboard.virtio.driver_queue import DriverQueue, RingLayout


def eventfd() -> int:
    """Return a new eventfd that does not block, at 0."""
    return os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)


def take(fd: int) -> int:
    """Take what an eventfd holds, 0 if nothing."""
    try:
        return os.eventfd_read(fd)
    except BlockingIOError:
        return 0


class Ring:
    """A virtqueue of `size` descriptors in memory of its own. base: the available index that the device goes on from.

    The three eventfds are owned until `close`.
    """

    def __init__(self, ram: GuestRam, size: int) -> None:
        self.layout = RingLayout.of(size)
        self.guest_addr = ram.allocate(self.layout.end, PAGE)
        self._block = ram.view(self.guest_addr, self.layout.end)
        self.kick_fd, self.call_fd, self.err_fd = eventfd(), eventfd(), eventfd()
        self.clear(False)

    def clear(self, event_idx: bool) -> None:
        """Begin anew with an empty, zeroed ring, as a driver does after reset."""
        self.base = 0
        self.queue = DriverQueue(self._block, self.layout, event_idx)

    def kick(self) -> None:
        """Publish what was offered, and signal the back-end if it wants that."""
        if self.queue.publish():
            os.eventfd_write(self.kick_fd, 1)

    def replace_call(self, fd: int) -> None:
        """Take `fd` as call eventfd and close the one before."""
        os.close(self.call_fd)
        self.call_fd = fd

    def close(self) -> None:
        """Close the eventfds."""
        for fd in (self.kick_fd, self.call_fd, self.err_fd):
            os.close(fd)
