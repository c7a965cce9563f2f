"""One virtqueue as the control socket sets it up: what was announced, its event fds, whether it may run.

Source: QEMU docs/interop/vhost-user, "Ring states": a ring is started by its kick fd and stopped by GET_VRING_BASE;
enabling is a state of its own.
"""

import os
from typing import Protocol

from outboard import trace
from outboard.errors import ProtocolError
from outboard.host.events import Signal, nests
from outboard.host.loop import EDGE, READ, Handler, Handlers
from outboard.spec.vhost_user import VringAddr
from outboard.virtio.split_queue import SplitQueue

SIZE_MAX = 1024
"""Largest ring, as QEMU's VIRTQUEUE_MAX_SIZE."""


class Commands(Protocol):
    """Executes what is on a queue, when its device says so."""

    @property
    def queue(self) -> SplitQueue:
        """The queue."""

    def suspend(self) -> None:
        """The ring stops: nothing may be in execution afterwards."""


class Ring:
    """State of one ring. `commands` executes what is on it; `on_kick` is called when the driver asks for that."""

    def __init__(
        self, index: int, loop: Handlers, commands: Commands, on_kick: Handler, size_max: int = SIZE_MAX
    ) -> None:
        self.index = index
        self.size_max = size_max
        self.commands = commands
        self.queue = commands.queue
        self._loop = loop
        self._on_kick = on_kick
        self.size = 0
        self.addr: VringAddr | None = None
        self.base: int | None = 0
        self.enabled = False
        self.dirty = True
        self.kick: int | None = None
        self.call: Signal | None = None
        self.err: Signal | None = None
        self._missed = False

    @property
    def live(self) -> bool:
        """Whether the ring is started and enabled."""
        return self.kick is not None and self.enabled

    def set_num(self, num: int) -> None:
        """SET_VRING_NUM. Raises ProtocolError."""
        if not 1 <= num <= self.size_max or num & (num - 1):
            raise ProtocolError("SET_VRING_NUM", f"a power of two, 1 to {self.size_max}", str(num))
        self.size = num
        self.dirty = True

    def set_addr(self, addr: VringAddr) -> None:
        """SET_VRING_ADDR."""
        self.addr = addr
        self.dirty = True

    def set_base(self, base: int) -> None:
        """SET_VRING_BASE. Raises ProtocolError."""
        if base > 0xFFFF:
            raise ProtocolError("SET_VRING_BASE", "an available index of 16 bits", f"{base:#x}")
        self.base = base
        self.dirty = True

    def set_up(self) -> bool:
        """Find the ring in memory, when anything about it changed; true when it starts at the base that was set.

        A ring that is not there is broken, and said so.

        What was added to the used ring so far is published where the ring was: it would be forgotten otherwise.
        """
        if not self.dirty:
            return False
        self.dirty = False
        self.publish()
        addr = self.addr
        based = False
        if not self.size or addr is None:
            self.queue.fail("enabled before SET_VRING_NUM and SET_VRING_ADDR")
        elif self.queue.set_up(self.size, addr.descriptor, addr.available, addr.used):
            self.queue.start(self.queue.last_avail if self.base is None else self.base)
            based = self.base is not None
            self.base = None
        if self.queue.broken:
            self.report_broken()
        return based

    def set_kick(self, fd: int) -> None:
        """SET_VRING_KICK: start the ring; takes the fd over. Raises ProtocolError, the fd is closed then."""
        self.drop_kick()
        try:
            if nests(fd):
                raise OSError("an epoll")
            # Edge-triggered, so that a kick need not be read: every write to an eventfd is an edge.
            self._loop.add(fd, READ | EDGE, self._on_kick)
        except OSError as error:
            os.close(fd)
            raise ProtocolError("SET_VRING_KICK", "an eventfd", f"an fd that cannot be waited for: {error}") from error
        self.kick = fd

    def drop_kick(self) -> None:
        """Stop listening for kicks."""
        if self.kick is not None:
            self._loop.remove(self.kick)
            os.close(self.kick)
            self.kick = None

    def set_call(self, fd: int | None) -> None:
        """SET_VRING_CALL: the fd to interrupt with, or None; takes it over. Interrupts that had no fd follow now."""
        if self.call is not None:
            self.call.close()
        self.call = None if fd is None else Signal(fd)
        if self.call is not None and self._missed:
            self._missed = False
            self.call.send()

    def set_err(self, fd: int | None) -> None:
        """SET_VRING_ERR: the fd to report a broken ring with, or None; takes it over."""
        if self.err is not None:
            self.err.close()
        self.err = None if fd is None else Signal(fd)

    def publish(self) -> bool:
        """Show the driver what was done, and interrupt it if it wants that; false when there was nothing."""
        queue = self.queue
        if queue.used_idx == queue.published:
            return False
        if queue.publish():
            if self.call is None:
                self._missed = True
            else:
                self.call.send()
        return True

    def report_broken(self) -> None:
        """Write the error fd, and say what is wrong."""
        trace.emit("ring.broken", index=self.index, why=self.queue.broken)
        if self.err is not None:
            self.err.send()

    def stop(self) -> int:
        """GET_VRING_BASE: stop for good, nothing is written afterwards; return the next available index."""
        self.commands.suspend()
        self.publish()
        self.drop_kick()
        self.dirty = True
        return self.base if self.base is not None else self.queue.last_avail

    def close(self) -> None:
        """Stop and close all fds."""
        self.stop()
        self.set_call(None)
        self.set_err(None)
