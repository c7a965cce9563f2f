"""The miniature VMM, its display and its driver in front of QEMU's own back-end. Expected bytes are typed by hand."""

import random
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from outboard.errors import LocalError, ProtocolError, WaitTimeout
from outboard.frontend.display_reader import DisplayReader
from outboard.frontend.ram import GuestRam, Span
from outboard.frontend.vmm import Vmm
from outboard.machine.gpu_batch import Batch, run_batches
from outboard.machine.gpu_driver import GpuDriver, Response, fenced
from outboard.spec.vhost_user import ProtocolFeature, Req
from outboard.spec.vhost_user_gpu import Req as GpuReq
from outboard.spec.virtio_gpu import CtrlHdr, Format, Rect, ResourceFlush, TransferToHost2D

X8R8G8B8 = Format.B8G8R8X8
BACKING = 0x4080_0000


def octets(text: str) -> bytes:
    """Read hexadecimal; "20z" stands for twenty zero bytes."""
    return bytes.fromhex(text.replace("·", "").replace("20z", "00" * 20))


@contextmanager
def machine(path: Path, **options) -> Iterator[Vmm]:
    """A connected, negotiated machine that is not started."""
    display = options.pop("display", None) or DisplayReader()
    with Vmm(display, options.pop("ram", None), **options) as vmm:
        vmm.connect(path)
        vmm.negotiate()
        yield vmm


def show(vmm: Vmm, driver: GpuDriver, picture: bytes, width: int, height: int, scattered: bool = False) -> None:
    """Put a picture into resource 1 and show it on output 0."""
    backing = vmm.ram.scattered(len(picture)) if scattered else vmm.ram.contiguous(len(picture))
    backing.write(0, picture)
    full = Rect(0, 0, width, height)
    driver.create_2d(1, X8R8G8B8, width, height)
    driver.attach_backing(1, backing)
    driver.set_scanout(0, 1, full)
    driver.transfer(1, full, 0)
    driver.flush(1, full)
    vmm.display.wait_painted(0, width * height)


# The worked example, byte for byte


class RawDisplay:
    """A display that keeps the bytes it is sent, and answers the first question with no features."""

    def __init__(self) -> None:
        self.stream = b""
        self.socket: socket.socket | None = None

    def attach(self, ours: socket.socket) -> None:
        self.socket = ours

    def pollable(self) -> int:
        return self.socket.fileno() if self.socket else -1

    def step(self) -> None:
        first = not self.stream
        self.stream += self.socket.recv(65536)
        if first:
            self.socket.sendall(octets("01000000 04000000 08000000 · 0000000000000000"))

    def take(self, size: int) -> bytes:
        """Return the next message of `size` payload bytes, as header without flags, and payload."""
        while len(self.stream) < 12 + size:
            assert select.select([self.socket], [], [], 5)[0], "the back-end is silent"
            self.step()
        message, self.stream = self.stream[: 12 + size], self.stream[12 + size :]
        return message[:4] + message[8:]

    def detach(self) -> None:
        if self.socket:
            self.socket.close()
        self.socket = None

    close = detach


OK = octets("00110000 20z")
EXAMPLE = [
    # request, payload bytes of the message it causes, that message without its flags, which are garbage
    ("01010000 20z · 01000000 02000000 04000000 02000000", None, ""),
    ("06010000 20z · 01000000 01000000 · 0000804000000000 20000000 00000000", None, ""),
    (
        "03010000 20z · 00000000 00000000 04000000 02000000 · 00000000 01000000",
        12,
        "07000000 0c000000 · 00000000 04000000 02000000",
    ),
    (
        "05010000 20z · 00000000 00000000 04000000 02000000 · 0000000000000000 · 01000000 00000000",
        None,
        "",
    ),
    (
        "04010000 20z · 01000000 00000000 02000000 02000000 · 01000000 00000000",
        36,
        "08000000 24000000 · 00000000 01000000 00000000 02000000 02000000 · 04050607 08090a0b 14151617 18191a1b",
    ),
    (
        "03010000 20z · 20z 00000000",
        12,
        "07000000 0c000000 · 00000000 00000000 00000000",
    ),
]


def test_the_worked_example_byte_for_byte(c_helper):
    display = RawDisplay()
    with machine(c_helper, display=display) as vmm:
        vmm.start()
        assert display.take(0) == octets("01000000 00000000")
        assert display.take(8) == octets("02000000 08000000 · 0000000000000000")
        vmm.ram.view(BACKING, 32)[:] = bytes(range(32))
        driver = GpuDriver(vmm)
        for request, size, message in EXAMPLE:
            answer = driver.command(octets(request), room=24)
            assert answer == Response(0x1100, OK), request
            if size is not None:
                assert display.take(size) == octets(message), request
        assert display.stream == b""


def test_a_fence_is_repeated_in_the_response(c_helper):
    with machine(c_helper) as vmm:
        vmm.start()
        driver = GpuDriver(vmm)
        driver.create_2d(1, X8R8G8B8, 4, 2)
        request = ResourceFlush(CtrlHdr(0x104, ctx_id=7), Rect(0, 0, 4, 2), 1).pack()
        answer = driver.command(fenced(request, 0x1122334455667788))
        assert answer.data == octets("00110000 01000000 8877665544332211 07000000 00000000")


def test_the_start_sequence_has_the_bytes_of_the_example(c_helper):
    with Vmm(DisplayReader(), mem_slots=False) as vmm:
        vmm.connect(c_helper)
        sent = []
        send = vmm.control.send
        vmm.control.send = lambda message: (sent.append((message.data, len(message.fds))), send(message))[1]
        vmm.negotiate()
        assert vmm.session.features_offered == 0x1_7500_0000
        vmm.read_config()
        vmm.start()
    expected = [
        ("01000000 01000000 00000000", 0),
        ("10000000 01000000 08000000 · 2982000000000000", 0),  # MQ, REPLY_ACK, CONFIG; BACKEND_REQ, memory slots
        ("15000000 09000000 00000000", 1),
        ("03000000 01000000 00000000", 0),
        ("18000000 01000000 1c000000 · 00000000 10000000 00000000 · 00000000000000000000000000000000", 0),
        ("21000000 01000000 00000000", 1),
        ("02000000 01000000 08000000 · 0000007001000000", 0),
        (
            "05000000 09000000 28000000 · 01000000 00000000"
            "· 0000004000000000 0000000400000000 00000000007f0000 0000000000000000",
            1,
        ),
        ("08000000 01000000 08000000 · 00000000 40000000", 0),
        ("0a000000 01000000 08000000 · 00000000 00000000", 0),
        (
            "09000000 01000000 28000000 · 00000000 00000000"
            "· 00000000007f0000 · 88040000007f0000 · 00040000007f0000 · 0000000000000000",
            0,
        ),
        ("0c000000 01000000 08000000 · 0000000000000000", 1),
        ("12000000 01000000 08000000 · 00000000 01000000", 0),
        ("0d000000 01000000 08000000 · 0000000000000000", 1),
    ]
    rest = iter(sent)
    for data, fds in expected:
        assert (octets(data), fds) in rest, f"{data} is missing, or too late"


# Pictures


@pytest.mark.parametrize("threaded", [False, True])
@pytest.mark.parametrize("mem_slots", [False, True])
@pytest.mark.parametrize("ack_all", [False, True])
def test_frames_arrive_from_scattered_pages_in_regions_with_holes(c_helper, threaded, mem_slots, ack_all):
    ram = GuestRam((Span(0x4000_0000, 1 << 20), Span(0x8000_0000, 4 << 20)), gap=8192)
    display = DisplayReader(threaded=threaded)
    with machine(c_helper, ram=ram, display=display, mem_slots=mem_slots, ack_all=ack_all) as vmm:
        vmm.start()
        driver = GpuDriver(vmm, indirect=mem_slots, piece=20 if ack_all else 0)
        picture = random.Random(2).randbytes(640 * 480 * 4)
        show(vmm, driver, picture, 640, 480, scattered=True)
        assert display.frame(0) == picture
        assert display.violations == []
        assert (display.outputs[0].width, display.outputs[0].height) == (640, 480)


def test_damage_changes_only_its_rectangle(c_helper):
    with machine(c_helper) as vmm:
        vmm.start()
        driver = GpuDriver(vmm)
        show(vmm, driver, bytes(32 * 16 * 4), 32, 16)
        backing = bytearray(random.Random(3).randbytes(32 * 16 * 4))
        driver.detach_backing(1)
        memory = vmm.ram.contiguous(len(backing))
        memory.write(0, backing)
        driver.attach_backing(1, memory)
        driver.transfer(1, Rect(5, 3, 7, 9), 4 * (3 * 32 + 5))
        driver.flush(1, Rect(5, 3, 7, 9))
        vmm.display.wait_painted(0, 32 * 16 + 7 * 9)
        expected = bytearray(32 * 16 * 4)
        for row in range(3, 12):
            line = slice(4 * (32 * row + 5), 4 * (32 * row + 12))
            expected[line] = backing[line]
        assert vmm.display.frame(0) == expected


def test_the_cursor_has_image_place_and_visibility(c_helper):
    with machine(c_helper) as vmm:
        vmm.start()
        driver, display = GpuDriver(vmm), vmm.display
        image = random.Random(4).randbytes(64 * 64 * 4)
        backing = vmm.ram.scattered(len(image))
        backing.write(0, image)
        driver.create_2d(3, X8R8G8B8, 64, 64)
        driver.attach_backing(3, backing)
        driver.transfer(3, Rect(0, 0, 64, 64), 0)
        assert driver.update_cursor(0, 3, 100, 50, 7, 9) == Response(0, b"")
        display.wait_until(lambda: display.outputs[0].cursor.image == image, "the image")
        screen = display.outputs[0]
        assert screen.cursor == (100, 50, 7, 9, True, image)
        driver.move_cursor(0, 3, -10, -3)
        display.wait_until(lambda: screen.cursor.x == -10, "the position")
        assert screen.cursor == (-10, -3, 7, 9, True, image)
        driver.move_cursor(0, 0, 1, 2)
        display.wait_until(lambda: not screen.cursor.visible, "hiding")
        assert [entry.req for entry in display.log][-3:] == [
            GpuReq.CURSOR_UPDATE,
            GpuReq.CURSOR_POS,
            GpuReq.CURSOR_POS_HIDE,
        ]


def test_display_info_is_the_displays(c_helper):
    with machine(c_helper, display=DisplayReader(modes=[(1024, 768), (0, 0), (800, 600)])) as vmm:
        vmm.start()
        info = GpuDriver(vmm).get_display_info()
        assert len(info) == 408
        assert info[:4] == octets("01110000")
        assert info[24:48] == octets("00000000 00000000 00040000 00030000 01000000 00000000")
        assert info[48:72] == bytes(24)
        assert info[72:96] == octets("00000000 00000000 20030000 58020000 01000000 00000000")


def test_errors_are_answers(c_helper):
    with machine(c_helper) as vmm:
        vmm.start()
        driver = GpuDriver(vmm)
        assert driver.command(ResourceFlush(resource_id=9)).type == 0x1203
        assert driver.command(octets("ff0f0000 20z")).type == 0x1200
        with pytest.raises(LocalError, match="0x1203"):
            driver.unref(9)


# Flow


def test_a_stalled_display_holds_the_back_end_and_lets_it_go_on(c_helper):
    with machine(c_helper, timeout_s=0.3) as vmm:
        vmm.start()
        driver, display = GpuDriver(vmm), vmm.display
        show(vmm, driver, bytes(1024 * 768 * 4), 1024, 768)
        display.stall()
        with pytest.raises(WaitTimeout):
            driver.flush(1, Rect(0, 0, 1024, 768))
        assert vmm.rings[0].queue.in_flight
        display.go_on()
        assert len(vmm.wait_used(0, 5)) == 1
        display.wait_painted(0, 2 * 1024 * 768)


def test_config_can_be_read_while_a_frame_is_on_its_way(c_helper):
    with machine(c_helper) as vmm:
        vmm.start()
        driver = GpuDriver(vmm)
        show(vmm, driver, bytes(1024 * 768 * 4), 1024, 768)
        flush = ResourceFlush(r=Rect(0, 0, 1024, 768), resource_id=1).pack()
        batch = Batch(vmm, [flush] * 4)
        batch.submit()
        vmm.kick()
        for _ in range(10):
            assert len(vmm.read_config()) == 16
        while batch.left:
            batch.left -= len(vmm.wait_used())
        vmm.display.wait_painted(0, 5 * 1024 * 768)


@pytest.mark.parametrize("counting", [False, True])
def test_batches_show_every_pixel(c_helper, counting):
    with machine(c_helper, queue_sizes=(256, 16)) as vmm:
        vmm.start()
        driver = GpuDriver(vmm)
        show(vmm, driver, bytes(640 * 480 * 4), 640, 480)
        vmm.display.counting = counting
        full = Rect(0, 0, 640, 480)
        pair = [TransferToHost2D(r=full, resource_id=1).pack(), ResourceFlush(r=full, resource_id=1).pack()]
        run_batches(vmm, [Batch(vmm, pair) for _ in range(3)], 50)
        vmm.display.wait_painted(0, 51 * 640 * 480)
        assert vmm.display.outputs[0].painted == 51 * 640 * 480
        assert vmm.display.counts[GpuReq.UPDATE] == 51


def test_a_batch_with_an_error_response_is_found_out(c_helper):
    with machine(c_helper) as vmm:
        vmm.start()
        with pytest.raises(ProtocolError, match="OK_NODATA"):
            run_batches(vmm, [Batch(vmm, [ResourceFlush(resource_id=9).pack()])], 1)


def test_call_fds_can_be_replaced_while_it_runs(c_helper):
    with machine(c_helper) as vmm:
        vmm.start()
        driver = GpuDriver(vmm)
        for number in range(1, 20):
            vmm.replace_call_fd(0)
            driver.create_2d(number, X8R8G8B8, 4, 4)
        assert not vmm.broken(0)


def test_stop_returns_the_indexes(c_helper):
    with machine(c_helper) as vmm:
        vmm.start()
        driver = GpuDriver(vmm)
        for number in range(1, 6):
            driver.create_2d(number, X8R8G8B8, 4, 4)
        driver.move_cursor(0, 0, 0, 0)
        assert vmm.stop() == [5, 1]
        assert not vmm.running


def test_features_are_only_those_that_are_offered(c_helper):
    with machine(c_helper, protocol_features=ProtocolFeature.CONFIG) as vmm:
        assert vmm.session.protocol_features == ProtocolFeature.CONFIG
        with pytest.raises(LocalError):
            vmm.get(Req.GET_QUEUE_NUM)
        vmm.start()
        GpuDriver(vmm).create_2d(1, X8R8G8B8, 4, 4)


def test_config_longer_than_there_is_one_is_refused(c_helper):
    with machine(c_helper) as vmm:
        assert len(vmm.read_config(0, 16)) == 16
        assert vmm.read_config(0, 17) == b""


def test_a_back_end_that_dies_is_noticed_at_once(c_helper):
    with machine(c_helper) as vmm:
        vmm.start()
        # An offset beyond the backing ends this back-end.
        driver = GpuDriver(vmm)
        show(vmm, driver, bytes(64 * 64 * 4), 64, 64)
        with pytest.raises(ProtocolError, match=r"closed connection|end of file"):
            driver.transfer(1, Rect(1, 1, 8, 8), 1 << 20)


def test_nobody_listening_is_a_timeout(socket_dir):
    with Vmm(DisplayReader(), timeout_s=0.05) as vmm, pytest.raises(WaitTimeout, match="nobody listens"):
        vmm.connect(socket_dir / "none.sock")
