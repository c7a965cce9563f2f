"""A whole machine in front of the peer: the package's own front-end with a `Watch` as its display.

Every message is seen as it was sent, and every wait ends in words that say what did not come.
"""

import os
import random
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from outboard.conformance.backend.watch import FEATURES, Sent, Watch
from outboard.conformance.check import Failed, expect
from outboard.conformance.transcript import Transcript
from outboard.frontend.display_reader import DisplayReader
from outboard.frontend.ram import Backing, GuestRam, Span
from outboard.frontend.vmm import Vmm
from outboard.layout import Layout
from outboard.machine.gpu_driver import GpuDriver, Response
from outboard.spec.vhost_user import Header, Req
from outboard.spec.vhost_user_gpu import Req as GpuReq
from outboard.spec.virtio_gpu import BYTES_PER_PIXEL, CONTROL_QUEUE, Format, MemEntry, Rect, ResourceAttachBacking, Resp
from outboard.vhost_user.frontend import Message
from outboard.virtio.driver_queue import Extent

SPANS = (Span(0, 1 << 20), Span(0x1_0000_0000, 32 << 20))
"""Guest memory by default: two regions far apart, with a gap in their file."""
GAP = 1 << 16


def noise(width: int, height: int, seed: int = 1) -> bytes:
    """Return a picture in which every pixel differs from its neighbours, top bytes included."""
    return random.Random(seed).randbytes(BYTES_PER_PIXEL * width * height)


def shown(pixels: bytes) -> bytes:
    """Return pixels as `Watch.picture` does: the top byte means nothing and is 0."""
    plain = bytearray(pixels)
    plain[3::4] = bytes(len(plain) // 4)
    return bytes(plain)


def cut(pixels: bytes, width: int, rect: Rect) -> bytes:
    """Return a rectangle of a picture that is `width` wide."""
    row, step = BYTES_PER_PIXEL * width, BYTES_PER_PIXEL * rect.width
    starts = (y * row + BYTES_PER_PIXEL * rect.x for y in range(rect.y, rect.y + rect.height))
    return b"".join(pixels[start : start + step] for start in starts)


def attach(resource_id: int, pieces: Sequence[Extent], nr_entries: int | None = None) -> tuple[Layout, bytes]:
    """Return RESOURCE_ATTACH_BACKING and its list. nr_entries: what it announces, the length of the list by default."""
    count = len(pieces) if nr_entries is None else nr_entries
    listed = b"".join(MemEntry(addr, length).pack() for addr, length in pieces)
    return ResourceAttachBacking(resource_id=resource_id, nr_entries=count), listed


class CheckedVmm(Vmm):
    """A machine monitor that does some things otherwise.

    enables: whether rings are enabled when they start; shows: whether a GPU socket is handed over then; blocking:
    whether that socket blocks; at_start: called when the rings are empty, before they are started.
    """

    enables = shows = blocking = True
    at_start: Callable[[], object] | None = None

    def tell(self, message: Message) -> None:
        """As `Vmm.tell`, but for what is done otherwise."""
        request = Header.unpack_from(message.data).request
        if request == Req.GPU_SET_SOCKET:
            for fd in message.fds:
                os.set_blocking(fd, self.blocking)
        left_out = {Req.SET_VRING_ENABLE: not self.enables, Req.GPU_SET_SOCKET: not self.shows}
        if not left_out.get(Req(request)):
            super().tell(message)

    def send_memory(self) -> None:
        """As `Vmm.send_memory`, which comes when rings are empty and before they are started."""
        super().send_memory()
        if self.at_start:
            self.at_start()


class Driver(GpuDriver):
    """A driver that notes in the transcript what it asked and how it was answered."""

    transcript: Transcript

    def command(self, request: Layout | bytes, tail: bytes = b"", **options: Any) -> Response:
        """As `GpuDriver.command`."""
        queue = options.get("queue", CONTROL_QUEUE)
        head = request if isinstance(request, bytes) else request.pack()
        self.transcript.chain(queue, True, head + tail)
        answer = super().command(request, tail, **options)
        self.transcript.chain(queue, False, answer.data)
        return answer


class Machine:
    """A machine in front of the peer: `vmm`, `watch` as its display, and, once it was started, `driver`.

    control: a connected control socket, owned. start: whether the device is started at once, as at DRIVER_OK.
    """

    def __init__(
        self,
        control: socket.socket,
        transcript: Transcript,
        timeout_s: float,
        *,
        modes: Sequence[tuple[int, int]] = ((1280, 800),),
        display_features: int = FEATURES,
        spans: Sequence[Span] = SPANS,
        start: bool = True,
        indirect: bool = False,
        piece: int = 0,
        **options: Any,
    ) -> None:
        self.transcript = transcript
        self.timeout_s = timeout_s
        self.watch = Watch(transcript, modes, display_features)
        self.vmm = CheckedVmm(
            cast(DisplayReader, self.watch),
            GuestRam(spans, GAP),
            timeout_s=timeout_s,
            observer=transcript.message,
            **options,
        )
        self._how = {"indirect": indirect, "piece": piece}
        self.driver: Driver
        try:
            self.vmm.attach(control)
            self.vmm.negotiate()
            if start:
                self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start the device with empty rings, and load a driver."""
        self.vmm.start()
        self.load()

    def load(self) -> None:
        """Load a driver anew; it takes memory of its own."""
        self.driver = Driver(self.vmm, **self._how)  # type: ignore[arg-type]
        self.driver.transcript = self.transcript

    # Pictures

    def create(
        self,
        width: int = 64,
        height: int = 48,
        *,
        fmt: int = Format.B8G8R8X8,
        resource_id: int = 1,
        seed: int = 1,
        backing: Backing | None = None,
    ) -> bytes:
        """Create a resource with a picture of noise in it; return the picture's bytes as the guest wrote them."""
        pixels = noise(width, height, seed)
        backing = backing or self.vmm.ram.contiguous(len(pixels))
        backing.write(0, pixels)
        self.driver.create_2d(resource_id, fmt, width, height)
        self.driver.attach_backing(resource_id, backing)
        self.driver.transfer(resource_id, Rect(0, 0, width, height), 0)
        return pixels

    def show(self, width: int = 64, height: int = 48, scanout_id: int = 0, **options: Any) -> bytes:
        """Create a picture as `create` does, put it on an output and flush it."""
        pixels = self.create(width, height, **options)
        resource_id = options.get("resource_id", 1)
        self.driver.set_scanout(scanout_id, resource_id, Rect(0, 0, width, height))
        self.driver.flush(resource_id, Rect(0, 0, width, height))
        return pixels

    def settle(self) -> int:
        """Wait until everything before this has come, by a question that the display answers; return the next mark."""
        self.driver.get_display_info()
        self.watch.step()
        return len(self.watch.sent)

    def sees(self, width: int, height: int, pixels: bytes, scanout_id: int = 0) -> None:
        """Raise Failed unless the output comes to show exactly this; top bytes do not count."""
        wanted = (width, height, shown(pixels))
        try:
            self.wait(lambda: self.watch.picture(scanout_id) == wanted, "the picture")
        except Failed:
            expect(
                False, f"the guest's {width}x{height} picture on output {scanout_id}", self._differs(wanted, scanout_id)
            )

    def _differs(self, wanted: tuple[int, int, bytes], scanout_id: int) -> str:
        width, height, pixels = self.watch.picture(scanout_id)
        if (width, height) != wanted[:2]:
            return f"a scanout of {width}x{height}" if width else "no scanout"
        wrong = [at for at in range(0, len(pixels), 4) if pixels[at : at + 4] != wanted[2][at : at + 4]]
        if not any(pixels):
            return f"a black picture of {width}x{height}"
        y, x = divmod(wrong[0] // 4, width)
        at = slice(wrong[0], wrong[0] + 3)
        return f"{len(wrong)} wrong pixels, the first at {x},{y}: {pixels[at].hex()} instead of {wanted[2][at].hex()}"

    def wait(self, condition: Callable[[], object], expected: str) -> None:
        """Wait until a condition on the display holds. Raises Failed."""
        self.watch.wait(condition, expected, self.timeout_s)

    def message(self, request: GpuReq, mark: int = 0) -> Sent:
        """Wait for a message from number `mark` on; return the first of its kind. Raises Failed."""
        self.wait(lambda: self.watch.since(mark, request), f"a message {request.name}")
        return self.watch.since(mark, request)[0]

    # Queues

    def put(self, request: Layout | bytes, queue: int = CONTROL_QUEUE, room: int = 512) -> None:
        """Put a command into a queue and kick it; `used` waits for it."""
        data, ram, ring = request if isinstance(request, bytes) else request.pack(), self.vmm.ram, self.vmm.rings[queue]
        at = ram.allocate(len(data))
        ram.view(at, len(data))[:] = data
        self.transcript.chain(queue, True, data)
        ring.queue.add([(at, len(data))], [(ram.allocate(room), room)])
        ring.kick()

    def used(self, queue: int = CONTROL_QUEUE) -> list[tuple[int, int]]:
        """Wait for used elements; return (head, bytes written). Raises WaitTimeout."""
        return self.vmm.wait_used(queue)

    def until(self, condition: Callable[[], object], expected: str) -> None:
        """Drive the display until a condition holds that no event tells of. Raises Failed."""
        end = time.monotonic() + self.timeout_s
        while not condition():
            self.watch.step()
            if time.monotonic() > end:
                raise Failed(expected, f"nothing in {self.timeout_s:g} s")
            time.sleep(0.001)

    # The rest

    def code(self, request: Layout | bytes, tail: bytes = b"", **options: Any) -> int:
        """Send a command; return the type of its response."""
        return self.driver.command(request, tail, **options).type

    def answers(self, wanted: int, request: Layout | bytes, tail: bytes = b"", **options: Any) -> None:
        """Raise Failed unless a command is answered by this response code."""
        got = self.code(request, tail, **options)
        expect(got == wanted, f"{Resp(wanted).name} ({wanted:#x})", _response(got))

    def works(self) -> None:
        """Raise Failed unless the device still executes commands."""
        resource_id = 0x7777
        self.driver.create_2d(resource_id, Format.B8G8R8X8, 4, 4)
        self.driver.unref(resource_id)

    def hand_over(self) -> None:
        """Give the back-end another GPU socket, on which `watch` goes on, while the device runs."""
        ours, theirs = socket.socketpair()
        self.watch.attach(ours)
        with theirs:
            self.vmm.tell(self.vmm.session.gpu_set_socket(theirs.fileno()))

    def close(self) -> None:
        """Close everything."""
        self.vmm.close()


def _response(code: int) -> str:
    return f"{Resp(code).name} ({code:#x})" if code in list(Resp) else f"{code:#x}" if code else "no response"
