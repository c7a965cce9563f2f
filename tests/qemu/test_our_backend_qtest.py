"""Our back-end, as a library, under QEMU 10 and 7.2 without a guest: the test itself is the driver, over qtest."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from outboard.backend import device as gpu_device
from outboard.backend.device import Device
from outboard.qemu import Qemu, QemuBinary
from outboard.spec.vhost_user import ProtocolFeature, Req
from outboard.spec.vhost_user_gpu import ProtocolFeature as DisplayFeature
from outboard.vhost_user.backend import BackendSession, Request
from tests.peers.patterns import Picture, picture
from tests.qemu import witnesses
from tests.qemu.both_screens import BothScreens, Library, library
from tests.qemu.conftest import wait_until
from tests.qemu.halted_vm import EDID, FORMATS, NO_SUCH_RESOURCE, HaltedGpu, ctrl, halted

AT_START = [Req.SET_VRING_NUM, Req.SET_VRING_BASE, Req.SET_VRING_ADDR, Req.SET_VRING_KICK] * 2
WITHOUT_SLOTS = gpu_device.PROTOCOL_FEATURES & ~ProtocolFeature.CONFIGURE_MEM_SLOTS


@pytest.fixture(params=["10-tcg", "7.2-kvm"])
def qemu(request: pytest.FixtureRequest) -> tuple[QemuBinary, str]:
    """QEMU 10 needs nothing; 7.2 has vhost-user-gpu under KVM only and is skipped where that is not."""
    if request.param == "10-tcg":
        return request.getfixturevalue("qemu_10_x86"), "tcg"
    request.getfixturevalue("kvm")
    return request.getfixturevalue("qemu_7_x86"), "kvm"


@pytest.fixture
def old(qemu: tuple[QemuBinary, str]) -> bool:
    """Whether it is the QEMU that knows neither EDID on the GPU socket nor RESET_DEVICE."""
    return qemu[0].version < (8,)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[Req]:
    """The names of the requests that our back-end serves, as they come."""
    seen: list[Req] = []

    def noting(function):  # type: ignore[no-untyped-def]
        def noted(device: Device, session: BackendSession, request: Request, payload: object) -> object:
            seen.append(Req(request.number))
            return function(device, session, request, payload)

        return noted

    for number, function in gpu_device.SERVED.items():
        monkeypatch.setitem(gpu_device.SERVED, number, noting(function))
    witnesses.hear("requests that our back-end served", lambda: " ".join(request.name for request in seen))
    return seen


class Machine:
    """QEMU, our back-end, and the driver."""

    def __init__(self, vm: Qemu, backend: Library, folder: Path) -> None:
        witnesses.hear("QEMU", vm.report)
        self.vm, self.backend = vm, backend
        self.gpu = HaltedGpu(vm)
        self.screens = BothScreens(vm, backend, folder)


@pytest.fixture
def backend() -> Iterator[Library]:
    with library() as served:
        yield served


@pytest.fixture
def machine(qemu: tuple[QemuBinary, str], requests: list[Req], backend: Library, tmp_path: Path) -> Iterator[Machine]:
    binary, accel = qemu
    with Qemu(halted(binary, backend.socket, accel)) as vm:
        yield Machine(vm, backend, tmp_path)
        assert vm.quit() == 0


def noise(width: int, height: int, seed: int = 0) -> Picture:
    """A picture of which no two rows are alike."""
    return Picture(width, height, random.Random(seed).randbytes(3 * width * height))


def test_handshake(machine: Machine, requests: list[Req], old: bool) -> None:
    """Requests in the order that QEMU's documents promise, and what the display's socket then says."""
    wait_until(lambda: requests.count(Req.SET_VRING_ENABLE) == 2, "the start's end")
    machine.gpu.display_info()  # is answered after what the display's socket has to say
    start = requests.index(Req.GPU_SET_SOCKET)
    assert Req.SET_OWNER in requests[:start] and Req.SET_FEATURES not in requests[:start]
    assert (Req.RESET_DEVICE in requests) is not old
    assert Req.ADD_MEM_REG in requests[start:] and Req.SET_MEM_TABLE not in requests
    assert [request for request in requests[start:] if request in AT_START] == AT_START
    assert machine.backend.device.sender.features == (0 if old else DisplayFeature.EDID | DisplayFeature.DMABUF2)


def test_display_info_and_edid(machine: Machine, old: bool) -> None:
    gpu = machine.gpu
    assert gpu.features & EDID
    assert gpu.pci.config(8, 4) == 1, "num_scanouts"
    assert gpu.display_info() == (0, 0, 1280, 800, 1, 0)
    edid = gpu.edid()
    assert len(edid) % 128 == 0 and sum(edid[:128]) % 256 == 0
    assert edid[8:10].hex() == ("3eb4" if old else "4914"), "ours, OUT; QEMU's, RHT"


def test_formats(machine: Machine) -> None:
    for resource, number in enumerate(FORMATS, 1):
        expected = machine.gpu.draw(noise(203, 61, number), number, resource)
        machine.screens.equal(expected)
    shown = machine.backend.device.gpu.scanouts[0].resource
    assert shown is not None and shown.resource_id == len(FORMATS)


def test_part_of_a_resource(machine: Machine) -> None:
    """The output shows a rectangle away from the origin; then a small part of it changes."""
    gpu = machine.gpu
    whole = gpu.draw(noise(300, 200))
    gpu.set_scanout(1, 40, 30, 128, 96)
    expected = part(whole, 40, 30, 128, 96)
    machine.screens.equal(expected)
    changed = noise(300, 200, 1)
    gpu.draw_into(changed, 1, 50, 45, 20, 10)
    rgb = bytearray(expected.rgb)
    for y in range(15, 25):
        rgb[3 * (128 * y + 10) : 3 * (128 * y + 30)] = part(changed, 50, y + 30, 20, 1).rgb
    machine.screens.equal(Picture(128, 96, bytes(rgb)))


def part(whole: Picture, x: int, y: int, width: int, height: int) -> Picture:
    """A rectangle of a picture."""
    starts = (3 * (whole.width * row + x) for row in range(y, y + height))
    return Picture(width, height, b"".join(whole.rgb[start : start + 3 * width] for start in starts))


def test_frame_larger_than_any_buffer(machine: Machine) -> None:
    machine.screens.equal(machine.gpu.draw(noise(1920, 1080)))


def test_config_space_is_read_while_frames_are_on_their_way(machine: Machine) -> None:
    """QEMU waits for GET_CONFIG without reading the display's socket: who waits for QEMU then, waits for ever."""
    gpu = machine.gpu
    expected = gpu.draw(noise(1920, 1080))
    chains = [gpu.control.put([ctrl(0x104, 0, 0, 1920, 1080, 1, 0)], [24]) for _ in range(8)]
    gpu.control.kick()
    for _ in chains:
        assert gpu.pci.config(8, 4) == 1, "num_scanouts"
    assert sorted(gpu.control.take()[0] for _ in chains) == sorted(chains)
    machine.screens.equal(expected)


def test_device_reset_and_restart(machine: Machine, requests: list[Req], old: bool) -> None:
    """Status 0 and a new start: no resource is left, and drawing works as before."""
    gpu = machine.gpu
    machine.screens.equal(gpu.draw(picture("bars", 320, 240)))
    served = len(requests)
    gpu.start()
    assert gpu.do(0x104, 0, 0, 320, 240, 1, 0) == NO_SUCH_RESOURCE
    assert gpu.display_info()[2:5] == (1280, 800, 1)
    assert requests[served:].count(Req.GPU_SET_SOCKET) == 1
    assert (Req.RESET_DEVICE in requests[served:]) is not old
    machine.screens.equal(gpu.draw(picture("checker", 256, 200)))


def test_stop_and_cont(machine: Machine, requests: list[Req]) -> None:
    """The new display's socket gets the picture at once; the guest's next command is executed as if nothing was."""
    gpu, vm = machine.gpu, machine.vm
    expected = machine.screens.equal(gpu.draw(noise(320, 240)))
    served = len(requests)
    vm.qmp.command("stop")
    assert requests[served:].count(Req.GET_VRING_BASE) == 2
    vm.qmp.command("cont")
    machine.screens.equal(expected)
    assert Req.RESET_DEVICE not in requests[served:]
    gpu.set_scanout(1, 0, 0, 320, 240)
    assert gpu.do(0x104, 0, 0, 320, 240, 1, 0) == 0x1100, "the resource is still there"
    machine.screens.equal(gpu.draw(picture("checker", 256, 200), resource=2))


def test_memory_table_in_one_piece(
    qemu: tuple[QemuBinary, str],
    requests: list[Req],
    backend: Library,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without memory slots QEMU sends SET_MEM_TABLE, and again at every start."""
    monkeypatch.setattr(gpu_device, "PROTOCOL_FEATURES", WITHOUT_SLOTS)
    binary, accel = qemu
    with Qemu(halted(binary, backend.socket, accel)) as vm:
        machine = Machine(vm, backend, tmp_path)
        expected = machine.screens.equal(machine.gpu.draw(noise(200, 120)))
        assert Req.ADD_MEM_REG not in requests and requests.count(Req.SET_MEM_TABLE) == 1
        vm.qmp.command("stop")
        vm.qmp.command("cont")
        machine.screens.equal(expected)
        assert requests.count(Req.SET_MEM_TABLE) == 2
        machine.screens.equal(machine.gpu.draw(picture("bars", 320, 240), resource=2))
