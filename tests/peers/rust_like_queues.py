"""The queue thread of `tests.peers.rust_like`, which waits wherever the program waits.

Source: vhost-device-gpu's device.rs and vhost-user-backend's event loop, read for what they do; VIRTIO-1.2 2.7.
"""

import os
import select
import socket
import sys
import threading
from dataclasses import dataclass, field

from outboard.guest.memory import GuestMemory
from outboard.spec.virtio import Feature
from outboard.spec.virtio_gpu import Cmd, CtrlHdr, HdrFlag, MemEntry, Resp
from outboard.virtio.split_queue import NONE, SplitQueue
from tests.peers.rust_like_renderer import RENDERERS, VERBS, Display, Panic, Refused, Renderer, Reply

REQUEST_ROOM = 16400 * MemEntry.sizeof
PANICS = (Cmd.RESOURCE_CREATE_BLOB, Cmd.SET_SCANOUT_BLOB, Cmd.RESOURCE_MAP_BLOB, Cmd.RESOURCE_UNMAP_BLOB)


class QueueFailed(Exception):
    """The queue handler returns an error: its thread is over, the control socket goes on."""


@dataclass
class Ring:
    """One virtqueue as the control socket has set it up. Ready: it has a kick fd and was not stopped since."""

    queue: SplitQueue
    size: int = 1024
    addr: tuple[int, int, int] | None = None
    kick: int = -1
    call: int = -1
    err: int = -1
    ready: bool = False
    enabled: bool = False

    def set_fd(self, name: str, fd: int) -> None:
        """Take an fd over in place of the one before; -1 is none."""
        if getattr(self, name) >= 0:
            os.close(getattr(self, name))
        setattr(self, name, fd)


@dataclass
class Queues:
    """What both threads share. poisoned: the queue thread has panicked with the device's lock in its hands."""

    mode: str
    needs_display: bool
    memory: GuestMemory = field(default_factory=GuestMemory)
    features: int = 0
    gpu_socket: socket.socket | None = None
    poisoned: bool = False

    def __post_init__(self) -> None:
        self.rings = [Ring(SplitQueue(self.memory)) for _ in range(2)]
        self.lock = threading.Lock()
        self._renderer: Renderer | None = None
        self._begun = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)
        self._room = memoryview(bytearray(REQUEST_ROOM))

    def changed(self) -> None:
        """Make the queue thread look at its rings anew."""
        os.eventfd_write(self._wake, 1)

    def run(self) -> None:
        """Body of the queue thread."""
        try:
            while True:
                self._wait_kick()
        except QueueFailed as why:
            print(f"queue thread: {why}", file=sys.stderr)
        except Panic as why:
            self.poisoned = True
            print(f"queue thread panicked: {why}", file=sys.stderr)

    def _wait_kick(self) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        with self.lock:
            live = {ring.kick: ring for ring in self.rings if ring.ready and ring.enabled}
        for fd in live:
            poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll():
            if fd == self._wake:
                os.eventfd_read(fd)
            elif self._kicked(live[fd], fd):
                self._handle(live[fd])

    def _kicked(self, ring: Ring, fd: int) -> bool:
        """Take a kick, unless the ring was given another fd meanwhile, whose number may be another ring's now."""
        with self.lock:
            if ring.kick != fd or not ring.ready or not ring.enabled:
                return False
            try:
                os.eventfd_read(fd)
            except OSError:
                return False
            return True

    def _handle(self, ring: Ring) -> None:
        """Handle one kick: take all that is there. The renderer is made at the first, with the display of that time."""
        if not self._begun:
            self._begin()
        more = True
        while more:
            used = False
            while (head := self._pop(ring)) != NONE:
                used |= self._execute(ring, head)
            if used and ring.call >= 0:
                os.eventfd_write(ring.call, 1)
            with self.lock:
                # Also for a ring that was just stopped: where it goes on, the driver asks whether a kick is wanted.
                more = ring.queue.event_idx and ring.queue.arm() and ring.ready

    def _begin(self) -> None:
        taken, self.gpu_socket = self.gpu_socket, None
        if taken is None and self.needs_display:
            raise QueueFailed("set_gpu_socket() not called")
        kind = RENDERERS[self.mode]
        self._renderer = kind(Display(taken), self.memory, self.features) if kind else None
        self._begun = True

    def _pop(self, ring: Ring) -> int:
        with self.lock:
            head = ring.queue.pop() if ring.ready else NONE
        if ring.queue.broken:
            raise QueueFailed(ring.queue.broken)
        return head

    def _execute(self, ring: Ring, head: int) -> bool:
        """Execute one command; false when its answer will never come."""
        queue = ring.queue
        request = bytes(self._room[: queue.read(0, self._room, REQUEST_ROOM)])
        header, reply, done = self._answer(request)
        written = 0
        if queue.writable_bytes:
            response = header.pack() + reply.body
            written = queue.write(memoryview(response), len(response))
            if written < len(response):
                raise QueueFailed(f"no room for a response of {len(response)} bytes")
        if done or not queue.writable_bytes:
            with self.lock:
                queue.add_used(head, written)
                queue.publish()
        return done

    def _answer(self, request: bytes) -> tuple[CtrlHdr, Reply, bool]:
        """Return response header, reply, and whether the fence, if there is one, completes."""
        if len(request) < CtrlHdr.sizeof:
            return CtrlHdr(Resp.ERR_UNSPEC), Reply(Resp.ERR_UNSPEC), True
        asked = CtrlHdr.unpack_from(request)
        try:
            reply = self._perform(asked.type, request)
        except Refused as refusal:
            reply = Reply(refusal.code)
        if reply.code == Resp.ERR_UNSPEC and not self._decodes(asked.type, request):
            return CtrlHdr(Resp.ERR_UNSPEC), reply, True
        if not asked.flags & HdrFlag.FENCE:
            return CtrlHdr(reply.code), reply, True
        done = self._renderer is None or self._renderer.fence(asked.fence_id)
        code = reply.code if done else Resp.ERR_UNSPEC
        echo = CtrlHdr(code, asked.flags, asked.fence_id, asked.ctx_id, asked.ring_idx)
        return echo, reply if done else Reply(code), done

    @staticmethod
    def _decodes(number: int, request: bytes) -> bool:
        return number in VERBS and len(request) >= VERBS[number][0].sizeof

    def _perform(self, number: int, request: bytes) -> Reply:
        if number in PANICS:
            raise Panic(f"{Cmd(number).name} unimplemented")
        if not self._decodes(number, request):
            raise Refused(Resp.ERR_UNSPEC)
        if self._renderer is None:
            return Reply()
        layout, verb = VERBS[number]
        return verb(self._renderer, layout.unpack_from(request), request[layout.sizeof :])

    def set_features(self, features: int) -> None:
        """SET_FEATURES, as far as it concerns the queues."""
        self.features = features
        for ring in self.rings:
            ring.queue.event_idx = bool(features & Feature.EVENT_IDX)
