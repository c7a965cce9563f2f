"""`outboard gpu serve` under QEMU 10 with Debian guests: one process for many VMs, for a guest that reboots."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from outboard.qemu import Qemu
from tests.qemu import console_text
from tests.qemu.both_screens import BothScreens, Process, process, read_png
from tests.qemu.conftest import READY, Boot, wait_until

IDLE_S = 0.05
"""Processor time that an idle back-end may take in two seconds."""


def test_three_vms_one_after_another(boot: Boot, tmp_path: Path) -> None:
    """Two are killed while they draw; each finds a back-end without traces of the one before."""
    with process() as backend:
        fds = backend.fds
        consoles = []
        for number, drawing in enumerate(("flip 1000000", "rects 1000000"), 1):
            with boot("amd64", backend.socket) as vm:
                consoles.append(BothScreens(vm, backend, tmp_path).equal())
                kill_while_it_draws(vm, drawing)
            let_go(backend, number, fds)
            assert backend.cpu_s(0.5) < IDLE_S
        with boot("amd64", backend.socket) as vm:
            consoles.append(BothScreens(vm, backend, tmp_path).equal())
            assert vm.quit() == 0
        let_go(backend, 3, fds)
        assert backend.end() == 0
        assert read_png(backend.shot) == consoles[0] == consoles[1] == consoles[2]
        assert "bug" not in backend.said() and "Traceback" not in backend.said()


def let_go(backend: Process, sessions: int, fds: list[str]) -> None:
    """Wait until our back-end has ended so many sessions and has only `fds` open: no guest's memory, no socket."""
    wait_until(lambda: backend.sessions_ended == sessions, "the front-end's end")
    try:
        wait_until(lambda: backend.fds == fds, "the closing of all fds", 2)
    finally:
        assert backend.fds == fds


def kill_while_it_draws(vm: Qemu, drawing: str) -> None:
    """Let the guest draw for ever, and kill QEMU a moment later."""
    begin = len(vm.serial.text)
    vm.serial.run(f"kms {drawing} &")
    vm.serial.wait_for("kms: Virtual-1 shows 1280x800\n", 30, begin)
    time.sleep(0.3)
    os.kill(vm.pid, signal.SIGKILL)


def test_ppc64le_guest_reboots(boot: Boot, tmp_path: Path) -> None:
    """QEMU closes the display's socket and sends another: the back-end neither dies of it nor spins."""
    with process() as backend:
        with boot("ppc64le", backend.socket) as vm:
            both = BothScreens(vm, backend, tmp_path)
            console = both.equal()
            assert (console.width, console.height) == (1280, 800)
            assert "ppc64le" in vm.serial.run("uname -m")
            lines = console_text.text_of(vm)
            assert " ppc64le, screen 1280,800" in lines[1]
            assert len(console_text.read(console, lines)) > 60
            assert backend.cpu_s(2) < IDLE_S

            begin = len(vm.serial.text)
            vm.serial.send("reboot -f\n")
            assert vm.serial.wait_for(READY, 100, begin)[2] == "1280,800"
            both.equal(console)
            assert backend.said().count("display lost: closed by the front-end") == 1
            assert backend.cpu_s(2) < IDLE_S
            assert backend.end() == 0, "0, and no signal's number"
        assert read_png(backend.shot) == console
