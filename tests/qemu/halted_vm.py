"""A machine that runs nothing: its GPU is driven over qtest, in any pixel format.

Documents: VIRTIO-1.2 5.7.6.7 (control header), 5.7.6.8 (2D commands and formats).
"""

from __future__ import annotations

import random
import struct
from pathlib import Path

from outboard.qemu import GpuDevice, Qemu, QemuBinary, QemuCommand, VirtioPci
from tests.peers.patterns import Picture, picture

OK, OK_DISPLAY_INFO, OK_EDID, NO_SUCH_RESOURCE = 0x1100, 0x1101, 0x1104, 0x1203
VERSION_1, EDID = 1 << 32, 1 << 1
BACKING = 0x0400_0000

FORMATS = {1: "BGRA", 2: "BGRX", 3: "ARGB", 4: "XRGB", 67: "RGBA", 68: "XBGR", 121: "ABGR", 134: "RGBX"}
"""The bytes of a pixel in memory, lowest address first, by the format's number: 5.7.6.8, virtio_gpu_formats."""


def ctrl(number: int, *words: int) -> bytes:
    """A control request: struct virtio_gpu_ctrl_hdr and 32-bit words."""
    return struct.pack("<IIQII", number, 0, 0, 0, 0) + struct.pack(f"<{len(words)}I", *words)


def kind(response: bytes) -> int:
    """The response's type."""
    return int.from_bytes(response[:4], "little")


def halted(binary: QemuBinary, socket: Path, accel: str) -> QemuCommand:
    """A machine without a guest; its GPU is in slot 2."""
    gpu = GpuDevice(socket, properties={"addr": "02.0"})
    return QemuCommand(binary, (gpu,), accel=accel, memory_mib=256, qtest=True)


def pixels(shown: Picture, number: int) -> bytes:
    """The picture as a guest has it in memory, in a format; alpha and padding are random."""
    channels = {name: shown.rgb[i::3] for i, name in enumerate("RGB")}
    count = shown.width * shown.height
    data = bytearray(4 * count)
    for place, name in enumerate(FORMATS[number]):
        data[place::4] = channels.get(name) or random.Random(number).randbytes(count)
    return bytes(data)


class HaltedGpu:
    """The GPU's driver, as short as it can be."""

    def __init__(self, vm: Qemu) -> None:
        self.vm = vm
        self.pci = VirtioPci(vm.qtest, slot=2)
        assert self.pci.device_id == 16
        self.start()

    def start(self) -> None:
        """Reset the device (status 0) and bring it up with new rings."""
        self.features = self.pci.negotiate(VERSION_1 | EDID)
        self.control = self.pci.set_queue(0)
        self.pci.set_queue(1, 16)
        self.pci.driver_ok()

    def ask(self, room: int, number: int, *words: int) -> bytes:
        """One request, and the answer in at most `room` bytes."""
        return self.control.request([ctrl(number, *words)], room)

    def do(self, number: int, *words: int) -> int:
        """One request without an answer of its own; the response's type."""
        return kind(self.ask(24, number, *words))

    def display_info(self) -> tuple[int, ...]:
        """Output 0: x, y, width, height, enabled, flags."""
        info = self.ask(408, 0x100)
        assert (len(info), kind(info)) == (408, OK_DISPLAY_INFO)
        return struct.unpack_from("<6I", info, 24)

    def edid(self) -> bytes:
        """Output 0's EDID."""
        answer = self.ask(1056, 0x10A, 0, 0)
        assert (len(answer), kind(answer)) == (1056, OK_EDID)
        return answer[32 : 32 + int.from_bytes(answer[24:28], "little")]

    def create(self, resource: int, width: int, height: int, number: int = 2, backing: int = BACKING) -> None:
        """A resource with its backing in two pieces, to be joined by the device."""
        half = 4 * width * height // 2 + 4
        rest = 4 * width * height - half
        assert self.do(0x101, resource, number, width, height) == OK
        assert self.do(0x106, resource, 2, backing, 0, half, 0, backing + half, 0, rest, 0) == OK

    def set_scanout(self, resource: int, x: int, y: int, width: int, height: int) -> None:
        """Show a rectangle of a resource on output 0."""
        assert self.do(0x103, x, y, width, height, 0, resource) == OK

    def show(self, resource: int, x: int, y: int, width: int, height: int, stride: int) -> None:
        """Transfer a rectangle, and flush it. stride: bytes of a row of the resource."""
        assert self.do(0x105, x, y, width, height, y * stride + 4 * x, 0, resource, 0) == OK
        assert self.do(0x104, x, y, width, height, resource, 0) == OK

    def draw(self, expected: Picture, number: int = 2, resource: int = 1) -> Picture:
        """Create a resource and show a picture with it; the picture."""
        width, height = expected.width, expected.height
        self.vm.qtest.write(BACKING, pixels(expected, number))
        self.create(resource, width, height, number)
        self.set_scanout(resource, 0, 0, width, height)
        self.show(resource, 0, 0, width, height, 4 * width)
        return expected

    def draw_into(self, whole: Picture, resource: int, x: int, y: int, width: int, height: int) -> None:
        """Change the backing of a resource, and show a rectangle of it."""
        self.vm.qtest.write(BACKING, pixels(whole, 2))
        self.show(resource, x, y, width, height, 4 * whole.width)


def bring_up(vm: Qemu) -> Picture:
    """Bring up the GPU and show `gradient`; returns what must be seen."""
    gpu = HaltedGpu(vm)
    assert gpu.pci.config(8, 4) == 1, "num_scanouts"
    assert gpu.display_info() == (0, 0, 1280, 800, 1, 0)
    return gpu.draw(picture("gradient", 200, 120))
