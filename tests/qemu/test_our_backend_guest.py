"""Our back-end, as a library, under QEMU 10 with a Debian guest that does all it can with its screen.

One VM for the module; a test finds it with its console on the screen, and a new one if the one before broke it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from outboard.errors import OutboardError
from outboard.qemu import Qemu, QemuBinary
from outboard.spec.vhost_user_gpu import ProtocolFeature
from outboard.spec.virtio_gpu import Feature
from tests.peers.patterns import Picture, cursor_image, picture, rectangles
from tests.qemu import console_text
from tests.qemu.both_screens import BothScreens, Library, library
from tests.qemu.conftest import READY, Boot, wait_until
from tests.qemu.halted_vm import bring_up, halted

EDID_HEADER = "00 ff ff ff ff ff ff 00"
RED_HAT = "49 14"
"""QEMU's vendor in an EDID, RHT: five bits a letter, A is 1."""


class Guest:
    """The module's VM and our back-end."""

    vm: Qemu
    backend: Library
    screens: BothScreens
    console: Picture

    def __init__(self, boot: Boot, running: ExitStack) -> None:
        self._boot, self._running = boot, running

    def settle(self, folder: Path) -> None:
        """Have the console on the screen, in a new VM if need be; pictures go to `folder`."""
        try:
            self.screens.folder = folder
            self.stop_kms()
        except (AttributeError, OutboardError, AssertionError):
            self._running.close()
            self._start(folder)

    def _start(self, folder: Path) -> None:
        self.backend = self._running.enter_context(library())
        self.vm = self._running.enter_context(self._boot("amd64", self.backend.socket, max_outputs=2))
        self.screens = BothScreens(self.vm, self.backend, folder)
        self.backend.service.screens[0].wait_idle(quiet=0.3)
        self.console = self.screens.equal()

    def start_kms(self, words: str) -> int:
        """Run kms in the background, to stay; where in the serial text it begins."""
        begin = len(self.vm.serial.text)
        self.vm.serial.run(f"kms {words} hold &", timeout=10)
        return begin

    def hold(self, words: str) -> None:
        """Run kms until it shows what it has to; it stays."""
        self.vm.serial.wait_for("kms: holding\n", 30, self.start_kms(words))

    def stop_kms(self) -> None:
        """End kms; the console comes back."""
        self.vm.serial.run("killall kms 2>/dev/null; wait", timeout=10, check=False)
        self.screens.equal(self.console)

    def starts_anew(self, how: Callable[[], object]) -> None:
        """Do what makes the guest boot; wait until its console is back."""
        begin = len(self.vm.serial.text)
        how()
        assert self.vm.serial.wait_for(READY, 60, begin)[2] == "1280,800"
        self.screens.equal(self.console)


@pytest.fixture(scope="module")
def machine(boot: Boot) -> Iterator[Guest]:
    with ExitStack() as running:
        yield Guest(boot, running)


@pytest.fixture
def guest(machine: Guest, tmp_path: Path) -> Guest:
    machine.settle(tmp_path)
    return machine


def test_console(guest: Guest) -> None:
    """The text that the guest's kernel has on its screen can be read in our picture, which is QEMU's."""
    assert (guest.console.width, guest.console.height) == (1280, 800)
    lines = console_text.text_of(guest.vm)
    assert lines[0].rstrip() == "outboard test guest" and "The quick brown fox" in lines[3]
    glyphs = console_text.read(guest.console, lines)
    assert len(glyphs) > 60 and not any(glyphs[" "])
    colours = {guest.console.rgb[i : i + 3] for i in range(0, len(guest.console.rgb), 3)}
    assert len(colours) == 8, "black, grey, and the six that guest.sh names"


def test_what_was_negotiated(guest: Guest) -> None:
    device = guest.backend.device
    assert device.sender.features == ProtocolFeature.EDID | ProtocolFeature.DMABUF2
    assert device.features & Feature.EDID
    edid = guest.vm.serial.run("od -A n -t x1 -N 10 /sys/class/drm/card0-Virtual-1/edid")
    assert edid.split() == [*EDID_HEADER.split(), *RED_HAT.split()], "QEMU's own"
    modes = guest.vm.serial.run("kms modes").splitlines()
    assert modes[0].startswith("Virtual-1 connected 1280x800 ") and modes[1] == "Virtual-2 disconnected"


def test_other_mode(guest: Guest) -> None:
    guest.hold("set Virtual-1 1024x768 checker")
    guest.screens.equal(picture("checker", 1024, 768))
    assert guest.backend.service.screens[0].size == (1024, 768)


def test_one_framebuffer_on_two_outputs_and_off(guest: Guest) -> None:
    guest.hold("set Virtual-1,Virtual-2 800x600 gradient")
    for head in (0, 1):
        guest.screens.equal(picture("gradient", 800, 600), head)
    guest.stop_kms()
    wait_until(lambda: not guest.backend.service.screens[1].active, "the second output's end")
    guest.hold("off Virtual-1")
    wait_until(lambda: not guest.backend.service.screens[0].active, "the first output's end")


def test_page_flips(guest: Guest) -> None:
    guest.hold("flip 201")
    guest.screens.equal(picture("bars", 1280, 800))


def test_small_rectangles(guest: Guest) -> None:
    before = guest.backend.service.screens[0].serial
    guest.hold("rects 60")
    guest.screens.equal(rectangles(60, 1280, 800))
    assert guest.backend.service.screens[0].serial - before > 60, "each rectangle is shown alone"


def test_cursor(guest: Guest) -> None:
    guest.hold("cursor 100 50")
    guest.screens.equal(picture("gradient", 1280, 800))
    screen = guest.backend.screen()
    wait_until(lambda: (screen.cursor.x, screen.cursor.y) == (100, 50), "the cursor's last step")
    assert screen.cursor.visible and (screen.cursor.hot_x, screen.cursor.hot_y) == (32, 32)
    assert screen.cursor.image == cursor_image()
    guest.stop_kms()
    wait_until(lambda: not screen.cursor.visible, "the cursor's end")


def test_stop_and_cont(guest: Guest) -> None:
    """What is shown stays, resources survive, and the guest goes on where it was, in the midst of drawing."""
    guest.hold("rects 30")
    guest.screens.equal(rectangles(30, 1280, 800))  # QEMU does not read what is left on the GPU socket when it stops
    resources = dict(guest.backend.device.gpu.resources)
    guest.vm.qmp.command("stop")
    guest.screens.equal(rectangles(30, 1280, 800))
    guest.vm.qmp.command("cont")
    guest.screens.equal(rectangles(30, 1280, 800))
    assert guest.backend.device.gpu.resources == resources, "the same objects"
    guest.stop_kms()
    begin = guest.start_kms("rects 6000")
    for _ in range(8):
        time.sleep(0.05)
        guest.vm.qmp.command("stop")
        guest.vm.qmp.command("cont")
    guest.vm.serial.wait_for("kms: holding\n", 30, begin)
    guest.screens.equal(rectangles(6000, 1280, 800))


def test_driver_unbound_and_bound(guest: Guest) -> None:
    old = set(guest.backend.device.gpu.resources.values())
    assert len(guest.vm.serial.run("gpu_unbind; ls /sys/class/drm").split()) == 1, "nothing but `version`"
    guest.vm.serial.run("gpu_bind")
    guest.screens.equal(guest.console)
    assert old.isdisjoint(guest.backend.device.gpu.resources.values()), "the old resources are gone"


def test_system_reset(guest: Guest) -> None:
    guest.hold("cursor 300 200")
    old = set(guest.backend.device.gpu.resources.values())
    assert len(old) == 3 and guest.backend.screen().cursor.visible
    guest.starts_anew(lambda: guest.vm.qmp.command("system_reset"))
    assert old.isdisjoint(guest.backend.device.gpu.resources.values()), "the old resources are gone"
    assert not guest.backend.screen().cursor.visible, "the cursor went with them"


def test_guest_reboots(guest: Guest) -> None:
    guest.starts_anew(lambda: guest.vm.serial.send("reboot -f\n"))
    guest.vm.qmp.wait_event("RESET", guest=True)
    guest.hold("flip 20")
    guest.screens.equal(picture("gradient", 1280, 800))


def test_qemu_killed_in_the_midst_of_a_frame(guest: Guest, qemu_10_x86: QemuBinary, tmp_path: Path) -> None:
    """The next VM of the same service has its own picture and nothing else. Ends the module's VM."""
    guest.start_kms("flip 1000000")
    wait_until(lambda: stopped_in_the_midst(guest), "a frame that is half sent")
    os.kill(guest.vm.pid, signal.SIGKILL)
    wait_until(lambda: not guest.backend.service.connected, "the front-end's end")
    with Qemu(halted(qemu_10_x86, guest.backend.socket, "tcg")) as vm:
        BothScreens(vm, guest.backend, tmp_path).equal(bring_up(vm))
        assert list(guest.backend.device.gpu.resources) == [1]
        assert vm.quit() == 0
    assert guest.backend.service.sessions == 2


def stopped_in_the_midst(guest: Guest) -> bool:
    """Stop QEMU's process; whether our back-end waits for it with a part of a frame. If not, QEMU goes on."""
    os.kill(guest.vm.pid, signal.SIGSTOP)
    time.sleep(0.1)
    if not guest.backend.device.sender.outbox.empty:
        return True
    os.kill(guest.vm.pid, signal.SIGCONT)
    time.sleep(0.05)
    return False
