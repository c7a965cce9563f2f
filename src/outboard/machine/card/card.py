"""The driver of a graphics card, in the words of Linux's KMS: connectors, dumb buffers, mode sets, page flips, damage.

Source: VIRTIO-1.2 5.7.6 (device operation); the commands and their order are those of Linux 6.1's virtio-gpu driver.

Modelled: 2D, EDID, capability sets' names, cursors, hot plug. Not modelled: 3D contexts, blobs, gamma, vertical blanks:
a page flip is done when the device has answered it.
"""

from collections.abc import Iterable
from itertools import count
from typing import Any

from outboard.errors import LocalError, ProtocolError
from outboard.frontend.vmm import Vmm
from outboard.machine.card.buffers import DumbBuffer, Rectangle
from outboard.machine.card.connectors import Connector, Size
from outboard.machine.card.memory import Pool
from outboard.machine.gpu_driver import GpuDriver, Refused, fenced
from outboard.machine.gpu_transport import Transport
from outboard.spec.virtio_gpu import (
    BYTES_PER_PIXEL,
    CURSOR_SIZE,
    EDID_MAX,
    EVENT_DISPLAY,
    MAX_SCANOUTS,
    Feature,
    Format,
    MemEntry,
    Rect,
    ResourceAttachBacking,
    ResourceCreate2D,
    ResourceFlush,
    ResourceUnref,
    RespCapsetInfo,
    RespDisplayInfo,
    RespEdid,
    SetScanout,
    TransferToHost2D,
)

DEFAULT_SIZE = (1024, 768)
"""What an enabled output without a size gets, as in Linux."""
MAX_CAPSETS = 64
"""Capability sets that are asked about, at most: a device does not decide how long that takes."""
CURSOR_BYTES = BYTES_PER_PIXEL * CURSOR_SIZE * CURSOR_SIZE
NOTHING = Rect(0, 0, 0, 0)


class Card:
    """A graphics card that is driven from here. Use: `probe`, `dumb`, draw, `set_mode`; then `flip` or `damage`.

    machine: a `Vmm` that runs, another `Transport` of a GPU, or the `GpuDriver` of one. What the device refuses raises
    `Refused`, a LocalError that names the command and the response; what it must not do raises ProtocolError; silence
    raises WaitTimeout.
    """

    def __init__(self, machine: Vmm | Transport | GpuDriver) -> None:
        self.driver = machine if isinstance(machine, GpuDriver) else GpuDriver(machine)
        self.connectors: list[Connector] = []
        self.capsets: list[RespCapsetInfo] = []
        self.buffers: dict[int, DumbBuffer] = {}
        """Buffers that live, by resource id."""
        self._pool = Pool(self.driver)
        self._ids = count(1)
        self._fences = count(1)

    # Displays

    def probe(self) -> list[Connector]:
        """Ask the device for capability sets, EDIDs and sizes, in Linux's order; return the connectors."""
        config = self.driver.config()
        if not 1 <= config.num_scanouts <= MAX_SCANOUTS:
            raise ProtocolError("config.num_scanouts", f"1 to {MAX_SCANOUTS}", f"{config.num_scanouts}")
        while len(self.connectors) < config.num_scanouts:
            self.connectors.append(Connector(len(self.connectors)))
        if config.num_capsets > MAX_CAPSETS:
            raise ProtocolError("config.num_capsets", f"at most {MAX_CAPSETS}", f"{config.num_capsets}")
        answers = [self.driver.get_capset_info(index) for index in range(config.num_capsets)]
        self.capsets = [RespCapsetInfo.unpack(answer) for answer in answers]
        self._read_displays()
        return self.connectors

    def _read_displays(self) -> None:
        wants_edid = self.driver.features & Feature.EDID
        edids = [self._edid(one.id) if wants_edid else b"" for one in self.connectors]
        modes = RespDisplayInfo.unpack(self.driver.get_display_info()).pmodes
        for connector, mode, edid in zip(self.connectors, modes, edids, strict=False):
            size = (mode.r.width, mode.r.height)
            connector.describe((size if all(size) else DEFAULT_SIZE) if mode.enabled else (0, 0), edid)

    def _edid(self, scanout_id: int) -> bytes:
        """Return an output's EDID, empty when the device has none to give."""
        try:
            answer = RespEdid.unpack(self.driver.get_edid(scanout_id))
        except Refused:
            return b""
        if answer.size > EDID_MAX:
            raise ProtocolError("GET_EDID", f"a size of at most {EDID_MAX}", f"{answer.size}")
        return answer.edid[: answer.size]

    def handle_event(self) -> bool:
        """See to a config change: read the displays again and clear the event; false when there was none."""
        if not self.driver.config().events_read & EVENT_DISPLAY:
            return False
        self._read_displays()
        self.driver.clear_events(EVENT_DISPLAY)
        return True

    def sync(self) -> None:
        """Wait until the display has read what was sent to it so far, which is a little later than the answers.

        The device is asked for the sizes, and a back-end asks its display, behind all pixels in the same stream. It
        says nothing where a back-end knows the sizes itself.
        """
        self.driver.get_display_info()

    def connector(self, connector_id: int) -> Connector:
        """Return a connector. Raises LocalError when the card has none of this number."""
        if not 0 <= connector_id < len(self.connectors):
            had = f"the card has {len(self.connectors)}" if self.connectors else "probe() first"
            raise LocalError(f"no connector {connector_id}; {had}")
        return self.connectors[connector_id]

    # Buffers

    def dumb(self, width: int, height: int, pixel_format: int = Format.B8G8R8X8) -> DumbBuffer:
        """Return a new black picture in guest memory, with a resource that takes its pixels from there."""
        size = BYTES_PER_PIXEL * width * height
        if width < 1 or height < 1 or size >> 32:
            raise LocalError(f"a buffer of {width}x{height}: it has pixels, and less than 4 GiB of them")
        guest_addr = self._pool.take(size)
        memory = self.driver.view(guest_addr, size)
        memory[:] = bytes(size)
        resource_id = next(self._ids)
        buffer = DumbBuffer(resource_id, width, height, pixel_format, guest_addr, memory, self._destroy)
        try:
            self.driver.ok(ResourceCreate2D(resource_id=resource_id, format=pixel_format, width=width, height=height))
        except Refused:
            self._forget(buffer)
            raise
        self.buffers[resource_id] = buffer
        try:
            entry = MemEntry(guest_addr, size).pack()
            self.driver.ok(ResourceAttachBacking(resource_id=resource_id, nr_entries=1), entry)
        except Refused:
            buffer.destroy()
            raise
        return buffer

    def _destroy(self, buffer: DumbBuffer) -> None:
        for connector in self.connectors:
            if connector.buffer is buffer:
                self.off(connector.id)
        self.driver.ok(ResourceUnref(resource_id=buffer.resource_id))
        self._forget(buffer)

    def _forget(self, buffer: DumbBuffer) -> None:
        self.buffers.pop(buffer.resource_id, None)
        self._pool.give_back(buffer.guest_addr, len(buffer.memory))

    def release(self) -> None:
        """Turn all outputs off, hide the cursors and destroy all buffers, as when a driver is unbound."""
        for connector in self.connectors:
            if connector.cursor:
                self.hide_cursor(connector.id)
            connector.cursor_buffer = None
        for buffer in list(self.buffers.values()):
            buffer.destroy()

    # Pictures

    def set_mode(self, connector_id: int, buffer: DumbBuffer, x: int = 0, y: int = 0, size: Size | None = None) -> None:
        """Show a buffer, from its pixel x, y on.

        size: of what is shown; by default the preferred size, or what the buffer has of it from there on.
        """
        connector = self.connector(connector_id)
        rest = buffer.width - x, buffer.height - y
        wanted = connector.preferred if connector.connected else rest
        width, height = size or (min(rest[0], wanted[0]), min(rest[1], wanted[1]))
        self._show(connector, buffer, (x, y, width, height))

    def flip(self, connector_id: int, buffer: DumbBuffer) -> None:
        """Show another buffer in place of the one that the output shows, in the same mode."""
        connector = self.connector(connector_id)
        if connector.buffer is None:
            raise LocalError(f"output {connector_id} is off; set_mode() first")
        self._show(connector, buffer, connector.rectangle)

    def _show(self, connector: Connector, buffer: DumbBuffer, rectangle: Rectangle) -> None:
        _check(buffer, rectangle)
        transfer, flush = self._damage(buffer, rectangle)
        scanout = SetScanout(r=Rect(*rectangle), scanout_id=connector.id, resource_id=buffer.resource_id)
        self.driver.ok_all([transfer, scanout, flush])
        connector.buffer, connector.rectangle = buffer, rectangle

    def damage(self, buffer: DumbBuffer, rectangles: Iterable[Rectangle] | None = None) -> None:
        """Show what was drawn: the whole buffer, or these rectangles (x, y, width, height); empty ones are left out."""
        whole = (0, 0, buffer.width, buffer.height)
        drawn = [one for one in (rectangles if rectangles is not None else [whole]) if one[2] and one[3]]
        for rectangle in drawn:
            _check(buffer, rectangle)
        self.driver.ok_all([request for rectangle in drawn for request in self._damage(buffer, rectangle)])

    @staticmethod
    def _damage(buffer: DumbBuffer, rectangle: Rectangle) -> tuple[TransferToHost2D, ResourceFlush]:
        rect, offset = Rect(*rectangle), buffer.offset(rectangle[0], rectangle[1])
        transfer = TransferToHost2D(r=rect, offset=offset, resource_id=buffer.resource_id)
        return transfer, ResourceFlush(r=rect, resource_id=buffer.resource_id)

    def off(self, connector_id: int) -> None:
        """Turn an output off."""
        connector = self.connector(connector_id)
        self.driver.set_scanout(connector_id, 0, NOTHING)
        connector.buffer, connector.rectangle = None, (0, 0, 0, 0)

    # Cursor

    def set_cursor(self, connector_id: int, image: Any, x: int, y: int, hot_x: int = 0, hot_y: int = 0) -> None:
        """Show a cursor with its image's corner at x, y, which may be negative.

        image: 64 x 64 pixels B, G, R, A as bytes or as an array of 64 x 64 x 4 bytes or 64 x 64 words; None hides it.
        """
        connector = self.connector(connector_id)
        if image is None:
            return self.hide_cursor(connector_id)
        if not (0 <= hot_x < CURSOR_SIZE and 0 <= hot_y < CURSOR_SIZE):
            raise LocalError(f"hot spot {hot_x},{hot_y} is not inside a cursor of {CURSOR_SIZE}x{CURSOR_SIZE}")
        data = image.tobytes() if hasattr(image, "tobytes") else bytes(image)
        if len(data) != CURSOR_BYTES:
            raise LocalError(f"a cursor has {CURSOR_SIZE}x{CURSOR_SIZE} pixels, {CURSOR_BYTES} bytes, not {len(data)}")
        if connector.cursor_buffer is None:
            connector.cursor_buffer = self.dumb(CURSOR_SIZE, CURSOR_SIZE)
        buffer = connector.cursor_buffer
        buffer.memory[:] = data
        transfer, _ = self._damage(buffer, (0, 0, CURSOR_SIZE, CURSOR_SIZE))
        self.driver.ok(fenced(transfer.pack(), next(self._fences)))
        self.driver.update_cursor(connector_id, buffer.resource_id, x, y, hot_x, hot_y)
        connector.cursor = True

    def move_cursor(self, connector_id: int, x: int, y: int) -> None:
        """Move the cursor that is shown."""
        connector = self.connector(connector_id)
        if not connector.cursor or connector.cursor_buffer is None:
            raise LocalError(f"output {connector_id} shows no cursor; set_cursor() first")
        self.driver.move_cursor(connector_id, connector.cursor_buffer.resource_id, x, y)

    def hide_cursor(self, connector_id: int) -> None:
        """Hide the cursor, as Linux does: UPDATE_CURSOR with resource 0."""
        self.driver.update_cursor(self.connector(connector_id).id, 0, 0, 0)
        self.connectors[connector_id].cursor = False


def _check(buffer: DumbBuffer, rectangle: Rectangle) -> None:
    """Raise LocalError unless the buffer lives and the rectangle has pixels, all inside."""
    if not buffer.alive or min(rectangle[2:]) < 1:
        raise LocalError(f"nothing to show: {'no pixels' if buffer.alive else 'the buffer is destroyed'}")
    buffer.check(rectangle)
