"""Sizes and numbers of outputs that our back-end's user chose, under QEMU 10 with a Debian guest."""

from __future__ import annotations

from pathlib import Path

from outboard.qemu import Qemu
from tests.peers.patterns import picture
from tests.qemu import console_text
from tests.qemu.both_screens import BothScreens, library, process, read_png
from tests.qemu.conftest import Boot

OUTBOARD = "3e b4"
"""Our vendor in an EDID, OUT: five bits a letter, A is 1."""


def hold(vm: Qemu, words: str) -> None:
    """Run kms in the background until it shows what it has to."""
    begin = len(vm.serial.text)
    vm.serial.run(f"kms {words} hold &")
    vm.serial.wait_for("kms: holding\n", 30, begin)


def test_two_outputs_with_different_pictures(boot: Boot, tmp_path: Path) -> None:
    with (
        library(sizes=[(1024, 768), (800, 600)]) as backend,
        boot("amd64", backend.socket, max_outputs=2) as vm,
    ):
        both = BothScreens(vm, backend, tmp_path)
        modes = vm.serial.run("kms modes").splitlines()
        assert [line.split()[:3] for line in modes] == [
            ["Virtual-1", "connected", "1024x768"],
            ["Virtual-2", "connected", "800x600"],
        ]
        consoles = [both.equal(head=head) for head in (0, 1)]
        assert [(shown.width, shown.height) for shown in consoles] == [(1024, 768), (800, 600)]
        assert rows(consoles[0].rgb, 1024, 800, 600) == consoles[1].rgb, "the smaller one shows a part of the larger"

        hold(vm, "set Virtual-2 800x600 gradient")
        both.equal(picture("gradient", 800, 600), head=1)
        both.equal(consoles[0], head=0)
        vm.serial.run("killall kms; wait", check=False)
        hold(vm, "set Virtual-1 800x600 bars")
        both.equal(picture("bars", 800, 600), head=0)
        both.equal(consoles[1], head=1)


def rows(rgb: bytes, stride: int, width: int, height: int) -> bytes:
    """The upper left part of a picture."""
    return b"".join(rgb[3 * stride * y : 3 * (stride * y + width)] for y in range(height))


def test_size_of_the_command_line(boot: Boot, tmp_path: Path) -> None:
    """Two outputs of 1600x900: seen by the guest, on both heads, and in both pictures at the end."""
    with process("--size", "1600x900", "--outputs", "2") as backend:
        with boot("amd64", backend.socket, max_outputs=2) as vm:
            both = BothScreens(vm, backend, tmp_path)
            assert [line.split()[2] for line in vm.serial.run("kms modes").splitlines()] == ["1600x900"] * 2
            for head in ("1", "2"):
                edid = vm.serial.run(f"od -A n -t x1 -j 8 -N 2 /sys/class/drm/card0-Virtual-{head}/edid")
                assert edid.strip() == OUTBOARD
            console = both.equal()
            assert (console.width, console.height) == (1600, 900)
            console_text.read(console, console_text.text_of(vm))
            hold(vm, "set Virtual-2 1600x900 checker")
            both.equal(picture("checker", 1600, 900), head=1)
            both.equal(console)
            assert backend.end() == 0
        pictures = [read_png(backend.shot_of(head)) for head in (0, 1)]
        assert pictures == [console, picture("checker", 1600, 900)]
