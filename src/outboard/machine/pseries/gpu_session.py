"""The front-end of a GPU back-end whose queues a guest has placed: `frontend.vmm` with rings of the guest's.

Source: QEMU docs/interop/vhost-user, "Front-end message types"; order of the messages as QEMU sends them.
"""

import os
import select
import time
from collections.abc import Sequence

from outboard.errors import LocalError
from outboard.frontend.display_reader import DisplayReader
from outboard.frontend.ram import GuestRam
from outboard.frontend.ring import Ring, eventfd, take
from outboard.frontend.vmm import Vmm
from outboard.machine.pseries.virtio_common import Queue
from outboard.spec.vhost_user import F_PROTOCOL_FEATURES, Req
from outboard.spec.virtio import AvailHeader, Desc, UsedHeader, avail_size, used_size
from outboard.virtio.driver_queue import RingLayout

_AVAIL_IDX, _USED_IDX = AvailHeader.offsetof("idx"), UsedHeader.offsetof("idx")


class PlacedRing(Ring):
    """A ring where a guest has it: `layout` has guest addresses. Without a place the back-end is told of none.

    done: how far the back-end has come, as it is known here; the used ring says it too, but a guest can write that.
    is_broken: whether the back-end has called it broken, and looks at it no more.
    """

    def __init__(self) -> None:
        self.kick_fd, self.call_fd, self.err_fd = eventfd(), eventfd(), eventfd()
        self.guest_addr = 0
        self.base = 0
        self.done = 0
        self.is_broken = False
        self.layout = RingLayout(0, 0, 0, 0, 0)

    @property
    def placed(self) -> bool:
        """Whether the guest has placed it."""
        return self.layout.size > 0

    def place(self, queue: Queue, ram: GuestRam) -> None:
        """Take a guest's queue, or none where it is not enabled. Raises LocalError when it is not in RAM."""
        size = queue.size if queue.enabled else 0
        if size & (size - 1):
            raise LocalError(f"a queue of {size} descriptors; the number is a power of two")
        parts = {"descriptors": (queue.desc, Desc.sizeof * size), "available ring": (queue.driver, avail_size(size))}
        parts["used ring"] = queue.device, used_size(size)
        for name, (addr, length) in parts.items():
            if size and not ram.memory.holds(addr, length):
                raise LocalError(f"the {name} of a queue at {addr:#x}, {length} bytes: no RAM is there")
        self.layout = RingLayout(size, queue.desc, queue.driver, queue.device, 0)

    def clear(self, event_idx: bool) -> None:
        """Begin at index 0; the guest has zeroed its ring."""
        self.base = 0
        take(self.err_fd)

    def kick(self) -> None:
        """Signal the back-end."""
        os.eventfd_write(self.kick_fd, 1)

    def used_idx(self, ram: GuestRam) -> int:
        """Return the used ring's index in the guest's memory, 0 without a place."""
        return self._load(ram, self.layout.used + _USED_IDX) if self.placed else 0

    def avail_idx(self, ram: GuestRam) -> int:
        """Return the available ring's index in the guest's memory."""
        return self._load(ram, self.layout.avail + _AVAIL_IDX)

    def offers(self, ram: GuestRam) -> bool:
        """Return whether there is something to be done, in as many chains as a ring can have."""
        return not self.is_broken and 0 < (self.avail_idx(ram) - self.done & 0xFFFF) <= self.layout.size

    def is_done(self, ram: GuestRam) -> bool:
        """Return whether all that is offered was used, and note it."""
        used = self.used_idx(ram)
        if used != self.avail_idx(ram):
            return False
        self.done = used
        return True

    @staticmethod
    def _load(ram: GuestRam, addr: int) -> int:
        return int.from_bytes(ram.view(addr, 2), "little")


class GpuSession(Vmm):
    """A connection to one back-end; `close` leaves the display and the memory to their owner."""

    def __init__(self, display: DisplayReader, ram: GuestRam, queues: int, timeout_s: float) -> None:
        super().__init__(display, ram, (), timeout_s=timeout_s)
        self.placed = [PlacedRing() for _ in range(queues)]
        self.rings = [*self.placed]
        self.begun = self._suspended = False

    def begin(self, features: int, queues: Sequence[Queue]) -> None:
        """Start the device with a guest's features and queues. Raises OutboardError."""
        for ring, queue in zip(self.placed, queues, strict=True):
            ring.place(queue, self.ram)
        before = [ring.used_idx(self.ram) for ring in self.placed]
        self._features = features | F_PROTOCOL_FEATURES
        self.begun = True
        if self._suspended:
            self.session.features = self.session.features_offered & self._features
            self.resume()
        else:
            self.start()
        for ring, used_idx in zip(self.placed, before, strict=True):
            if ring.used_idx(self.ram) == used_idx:
                take(ring.call_fd)  # QEMU's back-end signals each call eventfd that it gets.

    def stop(self) -> list[int]:
        """Stop the device; `begin` goes on where it was, unless it is reset."""
        self._suspended = True
        return super().stop()

    def reset(self) -> None:
        """Reset the device."""
        super().reset()
        self._suspended = False

    def _place(self, index: int, ring: Ring) -> None:
        if not ring.layout.size:
            return
        layout, session = ring.layout, self.session
        self.tell(session.set_vring_num(index, layout.size))
        self.tell(session.set_vring_base(index, ring.base))
        placed = self.placed[index]
        placed.done, placed.is_broken = placed.base, False
        parts = (self.ram.user_addr(part) for part in (layout.desc, layout.avail, layout.used))
        self.tell(session.set_vring_addr(index, *parts))
        self.tell(session.set_vring_fd(Req.SET_VRING_KICK, index, ring.kick_fd))

    def settle(self, index: int, patience_s: float) -> bool:
        """Serve the display until a queue is used up and the back-end has signalled that; false if it is not in time.

        Each question on the control socket is answered behind what the back-end does at that moment. A queue that the
        back-end calls broken, and one whose indexes make no sense, is settled. Raises OutboardError when it goes away.
        """
        ring, end = self.placed[index], time.monotonic() + patience_s
        while ring.offers(self.ram) and not ring.is_done(self.ram):
            if self.broken(index):
                ring.is_broken = True
                break
            self.get(Req.GET_FEATURES)
            if time.monotonic() > end:
                return False
        self.get(Req.GET_FEATURES)
        while self.display.pollable() >= 0 and self.display.step():
            pass
        return True

    def signalled(self) -> tuple[int, ...]:
        """Return the queues whose used buffers the back-end has signalled since the last call."""
        return tuple(index for index, ring in enumerate(self.placed) if take(ring.call_fd))

    def serve(self) -> None:
        """Read what has come from the back-end without being asked for."""
        if self.display.pollable() >= 0:
            self.display.step()
        if self._channel and not self._channel.step():
            self._channel = None

    def waits_on(self) -> dict[int, int]:
        """Return the fds at which something may come, with what to poll them for; of the control socket, its end."""
        fds = dict.fromkeys([*(ring.call_fd for ring in self.rings), self.config_space.fd], select.POLLIN)
        if self._channel:
            fds[self._channel.fileno()] = select.POLLIN
        if self.display.pollable() >= 0:
            fds[self.display.pollable()] = select.POLLIN
        return fds | {self.control.socket.fileno(): 0}

    def close(self) -> None:
        """Close the connection."""
        if self._control:
            self._control.close()
            self._control = None
        if self._channel:
            self._channel.close()
            self._channel = None
        self.display.detach()
        self.config_space.close()
        for ring in self.rings:
            ring.close()
        self.rings, self.placed = [], []
