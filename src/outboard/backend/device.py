"""The vhost-user-gpu back-end for one front-end: everything between its two sockets and its memory.

Source: QEMU docs/interop/vhost-user, docs/interop/vhost-user-gpu; VIRTIO-1.2 5.7.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from outboard.backend import control
from outboard.backend.display_link import DisplayLink
from outboard.backend.displays import KnownDisplays, Size
from outboard.backend.rings import Ring
from outboard.backend.served import Serve
from outboard.gpu.command_loop import BROKEN, BUSY, control_loop, cursor_loop
from outboard.gpu.output import Output
from outboard.gpu.scanouts import announce
from outboard.gpu.state import MAX_HOSTMEM, Gpu
from outboard.guest.memory import GuestMemory
from outboard.host import mapping
from outboard.host.loop import Handlers
from outboard.spec import virtio, virtio_gpu
from outboard.spec.vhost_user import F_PROTOCOL_FEATURES, ProtocolFeature, Req
from outboard.vhost_user.backend import BackendSession, Request
from outboard.vhost_user.display_sender import DisplaySender
from outboard.virtio.split_queue import SplitQueue

BUDGET = 256
"""Commands of one queue before the sockets are looked at again."""
ROUNDS = 16
OFFERED = (
    F_PROTOCOL_FEATURES
    | virtio.Feature.VERSION_1
    | virtio.Feature.INDIRECT_DESC
    | virtio.Feature.EVENT_IDX
    | virtio_gpu.Feature.EDID
    | virtio_gpu.Feature.RESOURCE_UUID
    | virtio_gpu.Feature.RESOURCE_BLOB
)
PROTOCOL_FEATURES = (
    ProtocolFeature.MQ
    | ProtocolFeature.REPLY_ACK
    | ProtocolFeature.CONFIG
    | ProtocolFeature.RESET_DEVICE
    | ProtocolFeature.CONFIGURE_MEM_SLOTS
)
"""Offered. Not LOG_SHMFD: QEMU would migrate and lose the pictures. Not STATUS: QEMU sets one bit of it only."""


def gpu_set_socket(device: "Device", session: BackendSession, request: Request, payload: None) -> None:
    """GPU_SET_SOCKET: a new display, or none."""
    device.set_display(request.frame.take_fd())


SERVED: dict[int, Serve] = control.COMMON | {Req.GPU_SET_SOCKET: gpu_set_socket}


@dataclass(frozen=True)
class Options:
    """What the user chose. sizes: of the enabled outputs, empty to take the front-end's."""

    sizes: Sequence[Size] = ()
    max_hostmem: int = MAX_HOSTMEM


class Device:
    """One virtio-gpu device, its rings and its display. Driven by `outboard.backend.control` and by the loop.

    mirror: an output of this process that is shown everything too, or None. memory_lost: called when the front-end
    has truncated the guest's memory; nothing sensible can follow.
    """

    def __init__(self, loop: Handlers, options: Options, mirror: Output | None = None) -> None:
        self.loop = loop
        self.offered = int(OFFERED)
        self.protocol_features = PROTOCOL_FEATURES
        self.requests: Mapping[int, Serve] = SERVED
        self.memory_lost: Callable[[], None] = lambda: None
        self.memory = GuestMemory()
        self.sender = DisplaySender()
        self._mirror = mirror
        self.displays = KnownDisplays(loop, self.sender, options.sizes, self._answer)
        self.link = DisplayLink(loop, self.sender, self.displays.replied, self.pump, self._display_lost)
        self.gpu = Gpu(
            self.memory,
            self.displays,
            self.sender if mirror is None else Both(self.sender, mirror),
            num_scanouts=len(options.sizes) or virtio_gpu.MAX_SCANOUTS,
            max_hostmem=options.max_hostmem,
        )
        self.loops = [make(self.gpu, SplitQueue(self.memory)) for make in (control_loop, cursor_loop)]
        self.rings = [Ring(i, loop, commands, self.pump) for i, commands in enumerate(self.loops)]
        self.features = 0
        self.suspended = True
        self.reset_asked = True
        self._announced = True
        self._lost_pages = mapping.lost_pages()

    # Features, memory, life

    def set_features(self, features: int) -> None:
        """SET_FEATURES: take what is the device's own."""
        self.features = features
        self.gpu.features = features

    def config(self) -> bytes:
        """Return the device's config space."""
        return virtio_gpu.Config(num_scanouts=self.gpu.num_scanouts).pack()

    def set_config(self, offset: int, data: bytes) -> None:
        """SET_CONFIG: nothing, the front-end keeps what the guest wrote."""

    def ask_reset(self) -> None:
        """RESET_DEVICE: forget everything the guest made."""
        self.suspended = True
        self.reset_asked = True
        self._blank_mirror()

    def stop(self, ring: Ring) -> int:
        """GET_VRING_BASE: stop one ring; return its next available index."""
        dropped = self.sender.settle()
        self.gpu.catch_up()
        base = ring.stop()
        if not any(other.live for other in self.rings):
            self.suspended = True
        elif dropped:
            self._announced = False
            self._announce()
        return base

    def wake(self) -> None:
        """Bring up rings that became live, and process them once, kick or no kick."""
        if not any(ring.live for ring in self.rings):
            return
        fresh = self.suspended and self._fresh()
        self.gpu.catch_up()
        for ring in self.rings:
            if ring.live:
                ring.set_up()
        if self.suspended:
            self.suspended = False
            if fresh:
                self._blank_mirror()
                self.gpu.reset()
            self.reset_asked = False
            self._announced = False
        self._announce()
        self.pump()

    def _fresh(self) -> bool:
        """Whether the guest starts from nothing: it was reset, or all its rings are as drivers lay them out."""
        if self.reset_asked:
            return True
        for ring in self.rings:
            if not ring.live or ring.addr is None or not ring.size:
                continue
            start = ring.queue.last_avail if ring.base is None else ring.base
            if start or not self._pristine(ring):
                return False
        return True

    def _pristine(self, ring: Ring) -> bool:
        """Whether the used ring is all zero: one that ran for a multiple of 65536 chains has base 0 too."""
        assert ring.addr is not None
        used = self.memory.user_range(ring.addr.used, virtio.used_size(ring.size) - 2)
        return used is None or not any(used)

    def _blank_mirror(self) -> None:
        """Switch the mirror's outputs and cursors off: who set them has gone, or starts anew."""
        if self._mirror is not None:
            for scanout, cursor in zip(self.gpu.scanouts, self.gpu.cursors, strict=True):
                if scanout.width:
                    self._mirror.scanout(scanout.scanout_id, 0, 0)
                if cursor.visible:
                    self._mirror.cursor_pos_hide(scanout.scanout_id, cursor.x, cursor.y)

    # Running

    def pump(self) -> None:
        """Execute what the rings hold, send what it shows, tell the driver; come back when there is more.

        Kicks are asked for only when a round found nothing to do: a driver that keeps up is served without any.
        """
        live = [ring for ring in self.rings if ring.live]
        if mapping.lost_pages() != self._lost_pages and self._lost():
            self.memory_lost()
            return
        for _ in range(ROUNDS):
            busy = False
            for ring in live:
                busy |= self._run(ring)
            if not self.link.flush():
                return
            self.gpu.catch_up()
            progress = False
            for ring in live:
                progress |= ring.publish()
            if busy:
                break
            if not progress and not self._arm(live):
                return
        self.loop.call_soon(self.pump)

    def _lost(self) -> bool:
        """Whether the pages lost since the last look are this guest's; other front-ends lose theirs too."""
        self._lost_pages = mapping.lost_pages()
        return any(mapping.is_lost(region.buffer) for region in self.memory.regions)

    def _arm(self, rings: list[Ring]) -> bool:
        """Ask for kicks on all rings; true when one has something already."""
        more = False
        for ring in rings:
            if not self.loops[ring.index].waiting:
                more |= ring.queue.arm()
        return more

    def _run(self, ring: Ring) -> bool:
        """Run one ring's commands, unless it is broken; true when others should have their turn before it goes on."""
        if ring.queue.broken:
            return False
        commands = self.loops[ring.index]
        status = commands.run(BUDGET)
        if status == BROKEN:
            ring.report_broken()
        return status == BUSY

    def _answer(self, body: bytes) -> None:
        self.loops[virtio_gpu.CONTROL_QUEUE].answer(body)
        self.loop.call_soon(self.pump)

    # The display

    def set_display(self, fd: int | None) -> None:
        """GPU_SET_SOCKET: drop the old socket, take this one over; None: no display. Raises ProtocolError."""
        self.drop_display()
        if fd is not None:
            self.link.open(fd)
            self._announced = False
            self._announce()

    def _announce(self) -> None:
        """Show a new display what there is, once it is known whether the guest starts anew or goes on."""
        if not self._announced and not self.suspended:
            self._announced = True
            announce(self.gpu, self.sender)
            self.loop.call_soon(self.pump)

    def drop_display(self) -> None:
        """Go on without a display."""
        self.link.close()
        self._display_lost()

    def _display_lost(self) -> None:
        self.displays.gone()
        self.loop.call_soon(self.pump)

    def close(self) -> None:
        """Stop everything and give all fds and memory back."""
        self.drop_display()
        self.gpu.catch_up()
        for ring in self.rings:
            ring.close()
            ring.queue.let_go()
        self._blank_mirror()
        self.gpu.reset()
        self.memory.clear()


class Both:
    """Shows everything on the display's socket and on a mirror in this process."""

    def __init__(self, sender: DisplaySender, mirror: Output) -> None:
        self._sender = sender
        self.scanout = _to_both(mirror.scanout, sender.scanout)
        self.update = _to_both(mirror.update, sender.update)
        self.cursor_update = _to_both(mirror.cursor_update, sender.cursor_update)
        self.cursor_pos = _to_both(mirror.cursor_pos, sender.cursor_pos)
        self.cursor_pos_hide = _to_both(mirror.cursor_pos_hide, sender.cursor_pos_hide)

    @property
    def congested(self) -> bool:
        """Whether the display must be written to first; the mirror always keeps up."""
        return self._sender.congested


def _to_both(first: Callable[..., None], second: Callable[..., None]) -> Callable[..., None]:
    def both(*args: object) -> None:
        first(*args)
        second(*args)

    return both
