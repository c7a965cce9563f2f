"""The front-end of any vhost-user device: guest memory, virtqueues and the control socket, with no VM.

Source: QEMU docs/interop/vhost-user, "Starting and stopping rings", "Memory access", "Inflight I/O tracking".
The order of messages is QEMU 7.2's: at device creation in `negotiate`, at DRIVER_OK in `start`.

Modelled: one or several regions, SET_MEM_TABLE and ADD_MEM_REG, any number of rings, stop and resume, reset, new call
fds at any time, the back-end's own channel, a back-end that went and came again. Not modelled: an IOMMU, migration.
"""

import os
import select
import socket
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

from outboard.errors import LocalError, ProtocolError, WaitTimeout
from outboard.frontend.channel import Channel
from outboard.frontend.control import Control, Observer
from outboard.frontend.inflight import InflightArea
from outboard.frontend.ram import GuestRam
from outboard.frontend.ring import Ring, eventfd, take
from outboard.spec.vhost_user import F_PROTOCOL_FEATURES, MemoryRegion, ProtocolFeature, Req
from outboard.spec.virtio import Feature
from outboard.vhost_user.frontend import Frontend, Message

FEATURES = F_PROTOCOL_FEATURES | Feature.VERSION_1 | Feature.INDIRECT_DESC | Feature.EVENT_IDX
"""Features of any device that are acknowledged when offered, by default."""
PROTOCOL_FEATURES = (
    ProtocolFeature.MQ
    | ProtocolFeature.REPLY_ACK
    | ProtocolFeature.CONFIG
    | ProtocolFeature.INFLIGHT_SHMFD
    | ProtocolFeature.RESET_DEVICE
    | ProtocolFeature.CONFIGURE_MEM_SLOTS
)


class Served(Protocol):
    """What is served while the front-end waits for its back-end."""

    def pollable(self) -> int:
        """Return the fd to wait for, negative while there is none; it may be another at any time."""

    def step(self) -> object:
        """Serve what is there."""


class FrontEnd:
    """A machine with one device. Use: `connect`, `negotiate`, `start`; then queues by `rings`, or a driver on top.

    ram: the guest's memory, owned. queue_sizes: of each virtqueue. features, protocol_features: what is acknowledged
    when offered. mem_slots: add regions one by one, if CONFIGURE_MEM_SLOTS is offered, instead of by SET_MEM_TABLE.
    ack_all: ask for an acknowledgement of every request. timeout_s: for every wait by default. observer: called for
    every message of the control socket.
    """

    def __init__(
        self,
        ram: GuestRam | None = None,
        queue_sizes: Sequence[int] = (128,),
        *,
        features: int = FEATURES,
        protocol_features: int = PROTOCOL_FEATURES,
        mem_slots: bool = True,
        ack_all: bool = False,
        timeout_s: float = 5.0,
        observer: Observer | None = None,
    ) -> None:
        self.ram = ram or GuestRam()
        self.timeout_s = timeout_s
        self.running = False
        self.session = Frontend(ack_all)
        self.inflight: InflightArea | None = None
        """Which requests the back-end has, in memory that outlives it, where that was negotiated."""
        self._ack_all = ack_all
        self._features = features
        self._protocol_features = protocol_features
        self._mem_slots = mem_slots
        self._control: Control | None = None
        self._observer = observer
        self._channel: Channel | None = None
        self._served: Served | None = None
        self._added: list[MemoryRegion] = []
        self.rings = [Ring(self.ram, size) for size in queue_sizes]

    @property
    def control(self) -> Control:
        """The control socket. Raises LocalError before `connect`."""
        if self._control is None:
            raise LocalError("not connected to a back-end")
        return self._control

    # Control

    def connect(self, path: str | os.PathLike[str]) -> None:
        """Connect to a back-end's UNIX socket, once it listens. Raises WaitTimeout when it does not in time."""
        end = time.monotonic() + self.timeout_s
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.connect(os.fspath(path))
                return self.attach(sock)
            except (FileNotFoundError, ConnectionRefusedError) as error:
                sock.close()
                if time.monotonic() > end:
                    raise WaitTimeout(f"nobody listens on {path}") from error
                time.sleep(0.001)
            except OSError as error:
                sock.close()
                raise LocalError(f"{path}: cannot be connected to: {error.strerror or error}") from error

    def attach(self, sock: socket.socket) -> None:
        """Take a connected control socket; the machine owns it now."""
        if self._control:
            raise LocalError("connected already")
        self._control = Control(sock, self.session, self._wait_readable, self._observer)

    def tell(self, message: Message) -> None:
        """Send a request and wait for its acknowledgement, if it asks for one."""
        self.control.tell(message, self.timeout_s)

    def get(self, req: Req) -> int:
        """Send a request without payload; return the u64 it is answered with."""
        return self.control.ask(self.session.get(req), self.timeout_s).value

    def negotiate(self) -> None:
        """Do what QEMU does when it creates the device; nothing runs yet.

        Raises LocalError when the back-end lacks what the device cannot do without.
        """
        session = self.session
        if not self.get(Req.GET_FEATURES) & F_PROTOCOL_FEATURES:
            raise LocalError("the back-end does not offer protocol features")
        self.tell(session.set_protocol_features(self.get(Req.GET_PROTOCOL_FEATURES) & self._protocol_features))
        if session.protocol_features & ProtocolFeature.MQ and self.get(Req.GET_QUEUE_NUM) < len(self.rings):
            raise LocalError("the back-end has too few queues")
        if session.protocol_features & ProtocolFeature.CONFIGURE_MEM_SLOTS:
            self.get(Req.GET_MAX_MEM_SLOTS)
        if session.protocol_features & ProtocolFeature.BACKEND_REQ:
            self._open_channel()
        self.tell(session.get(Req.SET_OWNER))
        for index, ring in enumerate(self.rings):
            self.tell(session.set_vring_fd(Req.SET_VRING_CALL, index, ring.call_fd))
            self.tell(session.set_vring_fd(Req.SET_VRING_ERR, index, ring.err_fd))

    def read_config(self, offset: int, length: int) -> bytes:
        """Return bytes of the config space; empty when the back-end refuses."""
        return self.control.ask(self.session.get_config(offset, length), self.timeout_s).tail

    def write_config(self, offset: int, data: bytes) -> None:
        """Write bytes of the config space."""
        self.tell(self.session.set_config(offset, data))

    def _open_channel(self) -> None:
        """Hand one end of the back-end's channel over."""
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours, self._config_changed, self._observer)
        with theirs:
            self.tell(self.session.set_backend_req_fd(theirs.fileno()))

    def _config_changed(self) -> None:
        """Be told on the channel that the config space changed."""

    # Start and stop

    def start(self) -> None:
        """Start the device with empty rings, as at DRIVER_OK."""
        self.session.features = self.session.features_offered & self._features
        for ring in self.rings:
            ring.clear(bool(self.session.features & Feature.EVENT_IDX))
        if self.inflight:
            self.inflight.close()  # What a device had before its reset is nobody's any more.
            self.inflight = None
        self._run()

    def resume(self) -> None:
        """Go on after `stop`: the rings as they are, from the index that the back-end returned."""
        self._run()

    def recover(self) -> None:
        """Go on with a back-end that came in place of one that went, after `lose`, `connect` and `negotiate`.

        The rings as they are, from what was used; with an inflight area the new back-end finds there what the old
        one had and did not finish. Every ring is kicked: nobody knows which kicks were heard.
        """
        for ring in self.rings:
            ring.base = ring.queue.used_idx
        self._run()
        for ring in self.rings:
            os.eventfd_write(ring.kick_fd, 1)

    def _run(self) -> None:
        self._before_run()
        for index in range(len(self.rings)):
            self.replace_call_fd(index)
        self.tell(self.session.set_features(self.session.features_offered & self._features))
        self._share_inflight()
        self.send_memory()
        for index, ring in enumerate(self.rings):
            self._place(index, ring)
        for index in range(len(self.rings)):
            self.tell(self.session.set_vring_enable(index, True))
        for index in range(len(self.rings)):
            self.replace_call_fd(index)
        self.get(Req.GET_FEATURES)  # A barrier: all before it has been done.
        self.running = True

    def _before_run(self) -> None:
        """Do what a device needs before its rings start."""

    def _share_inflight(self) -> None:
        """Have the back-end make an inflight area, or give it the one that there is."""
        if not self.session.protocol_features & ProtocolFeature.INFLIGHT_SHMFD:
            return
        if self.inflight is None:
            size = max(ring.layout.size for ring in self.rings)
            reply = self.control.ask(self.session.get_inflight_fd(len(self.rings), size), self.timeout_s)
            self.inflight = InflightArea.of(reply)
        self.tell(self.session.set_inflight_fd(self.inflight.description, self.inflight.fd))

    def send_memory(self) -> None:
        """Tell the back-end of all regions: those it does not know yet, or a new table."""
        session, regions = self.session, self.ram.descriptions()
        if self._mem_slots and session.protocol_features & ProtocolFeature.CONFIGURE_MEM_SLOTS:
            for region in regions:
                if region not in self._added:
                    self.tell(session.add_mem_reg(region, self.ram.fd))
                    self._added.append(region)
        else:
            self.tell(session.set_mem_table(regions, [self.ram.fd] * len(regions)))

    def forget_memory(self, region: MemoryRegion) -> None:
        """Tell the back-end to unmap one region (REM_MEM_REG); the next `send_memory` adds it again."""
        self.tell(self.session.rem_mem_reg(region))
        self._added = [one for one in self._added if one != region]

    def _place(self, index: int, ring: Ring) -> None:
        user_addr, layout, session = self.ram.user_addr(ring.guest_addr), ring.layout, self.session
        self.tell(session.set_vring_num(index, layout.size))
        self.tell(session.set_vring_base(index, ring.base))
        parts = (user_addr + layout.desc, user_addr + layout.avail, user_addr + layout.used)
        self.tell(session.set_vring_addr(index, *parts))
        self.tell(session.set_vring_fd(Req.SET_VRING_KICK, index, ring.kick_fd))

    def replace_call_fd(self, index: int) -> None:
        """Give a ring a new call eventfd, as when a guest changes its interrupts."""
        fd = eventfd()
        self.tell(self.session.set_vring_fd(Req.SET_VRING_CALL, index, fd))
        self.rings[index].replace_call(fd)

    def stop(self) -> list[int]:
        """Stop the device. Return the rings' next available indexes."""
        for index in range(len(self.rings)):
            self.tell(self.session.set_vring_enable(index, False))
        for index, ring in enumerate(self.rings):
            ring.base = self.control.ask(self.session.get_vring_base(index), self.timeout_s).num
        for index in range(len(self.rings)):
            self.replace_call_fd(index)
        self.running = False
        return [ring.base for ring in self.rings]

    def reset(self) -> None:
        """Reset the device, stopping it first if it runs; `start` comes next, with rings that are zeroed."""
        if self.running:
            self.stop()
        if self.session.protocol_features & ProtocolFeature.RESET_DEVICE:
            self.tell(self.session.get(Req.RESET_DEVICE))

    def lose(self) -> None:
        """Let go of a back-end, gone or not; rings, memory and inflight area stay, `connect` comes next."""
        self._hang_up()
        self.session = Frontend(self._ack_all)
        self._added = []
        self.running = False

    # Notifications

    def kick(self, index: int = 0) -> None:
        """Publish what was offered on a ring, and kick the back-end if it wants that."""
        self.rings[index].kick()

    def wait_used(self, index: int = 0, timeout_s: float | None = None, count: int = 1) -> list[tuple[int, int]]:
        """Return (head, bytes written) of chains that were used, at least one, serving what is to be served meanwhile.

        count: the interrupt is asked for when so many are used; what is there earlier may be returned earlier.
        Raises WaitTimeout, and ProtocolError when the back-end goes away.
        """
        limit = self.timeout_s if timeout_s is None else timeout_s
        ring = self.rings[index]
        queue = ring.queue
        if not queue.ready and not queue.want_interrupt(count):
            self._wait_readable(ring.call_fd, time.monotonic() + limit, lambda: queue.ready)
        used = queue.collect()
        take(ring.call_fd)
        if not used:
            raise WaitTimeout(f"no element on the used ring of queue {index} in {limit} s")
        return used

    def interrupts(self, index: int = 0) -> int:
        """Return how often the back-end has signalled a ring since the last call, or since `wait_used`."""
        return take(self.rings[index].call_fd)

    def broken(self, index: int = 0) -> bool:
        """Whether the back-end has signalled a ring's error eventfd since the last call."""
        return bool(take(self.rings[index].err_fd))

    def _wait_readable(self, fd: int, end: float, done: Callable[[], bool] | None = None) -> bool:
        """Wait for `fd`, or for `done()`, and serve what is to be served; false at the end of time. See `Control`."""
        poll = select.poll()
        control = self.control.socket.fileno()
        poll.register(control, 0)
        poll.register(fd, select.POLLIN)
        channel = self._channel.fileno() if self._channel else -1
        if channel >= 0:
            poll.register(channel, select.POLLIN)
        served, shown = self._served, -1
        while True:
            if served and shown != (now_shown := served.pollable()):
                if shown >= 0:
                    poll.unregister(shown)
                if now_shown >= 0:
                    poll.register(now_shown, select.POLLIN)
                shown = now_shown
            left = end - time.monotonic()
            ready = dict(poll.poll(max(0.0, left) * 1000))
            if served and shown in ready:
                served.step()
            if channel in ready and self._channel and not self._channel.step():
                poll.unregister(channel)
                self._channel, channel = None, -1
            if fd in ready and ready[fd] & select.POLLIN:
                if done is None or done():
                    return True
                take(fd)
            elif done is not None and done():
                return True
            elif ready.get(control, 0) & (select.POLLHUP | select.POLLERR):
                raise ProtocolError("control socket", "a back-end", "a closed connection")
            if left <= 0:
                return False

    # Life

    def _hang_up(self) -> None:
        if self._control:
            self._control.close()
            self._control = None
        if self._channel:
            self._channel.close()
            self._channel = None

    def close(self) -> None:
        """Close everything: first the control socket, as when a VMM exits."""
        self._hang_up()
        if self.inflight:
            self.inflight.close()
            self.inflight = None
        for ring in self.rings:
            ring.close()
        self.rings = []
        self.ram.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()
