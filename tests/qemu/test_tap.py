"""`outboard tap` between the real QEMU and both back-ends: the picture is the same, and every message is known."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from outboard.qemu import Qemu, QemuBinary
from tests.peers.patterns import picture, rectangles
from tests.qemu import witnesses
from tests.qemu.both_screens import process
from tests.qemu.conftest import Boot, Shot, missing, wait_until
from tests.qemu.halted_vm import bring_up, halted

pytestmark = pytest.mark.alike


class Tapped:
    """`outboard tap SOCKET BACKEND --json --pcapng FILE …`. Make it with `tapped`."""

    def __init__(self, folder: Path, backend: Path, words: tuple[str, ...]) -> None:
        self.socket, self.capture = folder / "tap.sock", folder / "tap.pcapng"
        self._lines, self._stderr = folder / "lines", folder / "tap-stderr"
        argv = [
            sys.executable,
            "-m",
            "outboard",
            "tap",
            self.socket,
            backend,
            "--pcapng",
            self.capture,
            "--json",
            *words,
        ]
        with self._lines.open("wb") as lines, self._stderr.open("wb") as stderr:
            self.popen = subprocess.Popen(argv, stdout=lines, stderr=stderr)
        witnesses.hear("the tap", self.said)
        wait_until(lambda: "listening on" in self.said() or self.popen.poll() is not None, "the tap's first line")
        assert self.popen.poll() is None, self.said()

    def said(self) -> str:
        """All of its standard error."""
        return self._stderr.read_text() if self._stderr.exists() else ""

    def messages(self) -> list[dict]:
        """All that it has seen."""
        return [json.loads(line) for line in self._lines.read_text().splitlines()]

    def end(self) -> int:
        """Ask it to end; its exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(10)


@contextmanager
def tapped(backend: Path, *words: str) -> Iterator[Tapped]:
    """A tap before a back-end, in a folder with a short name."""
    with tempfile.TemporaryDirectory(prefix="outboard-") as folder:
        tap = Tapped(Path(folder), backend, words)
        try:
            yield tap
        finally:
            tap.popen.kill()
            tap.popen.wait()


def wireshark(tap: Tapped, *words: str) -> list[list[str]]:
    """What tshark, with the dissector that the command prints, makes of the capture: a list of fields a packet."""
    program = shutil.which("tshark")
    if program is None:
        missing("tshark; apt-get install tshark")
    script = tap.capture.with_suffix(".lua")
    command = [sys.executable, "-m", "outboard", "tap", "--dissector"]
    script.write_text(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    argv = [program, "-n", "-X", f"lua_script:{script}", "-r", tap.capture, "-T", "fields", "-E", "separator=;", *words]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return [line.split(";") for line in done.stdout.splitlines()]


def compare_with_wireshark(tap: Tapped) -> None:
    """Every message stands in the capture, in order, with the same name, and nothing in it is malformed."""
    messages = tap.messages()
    names = ["-e", "vhost-user.name", "-e", "vhost-user-gpu.name", "-e", "vhost-user-backend.name"]
    rows = wireshark(tap, *names, "-e", "_ws.malformed", "-e", "_ws.lua.error")
    assert ["".join(row[:3]) for row in rows] == [message["name"] for message in messages]
    assert not any("".join(row[3:]) for row in rows)
    directions = wireshark(tap, "-e", "_ws.col.Destination")
    assert [row[0] for row in directions] == [message["to"] for message in messages]


def assert_all_decoded(tap: Tapped) -> Counter[str]:
    """No message is unknown, or other than its declaration; how many there are of each name."""
    messages = tap.messages()
    odd = [m for m in messages if not m["known"] or "expected" in m["summary"] or " of " in m["summary"]]
    assert odd == []
    fds = [fd for message in messages for fd in message["fds"]]
    assert {"eventfd", "socket"} <= set(fds) and any(fd.startswith("/memfd:") for fd in fds)
    return Counter(message["name"] for message in messages)


def drive(vm: Qemu, shot: Shot) -> None:
    """Have the guest draw all that kms can; each picture is the one that it shows without a tap."""
    for command, expected in {
        "set Virtual-1 1024x768 checker": picture("checker", 1024, 768),
        "flip 21": picture("bars", 1280, 800),
        "cursor 100 50": picture("gradient", 1280, 800),
        "rects 30": rectangles(30, 1280, 800),
    }.items():
        start = len(vm.serial.text)
        vm.serial.run(f"kms {command} hold &")
        vm.serial.wait_for("kms: holding\n", 30, start)
        wait_until(lambda e=expected: shot(vm).difference(e) is None, command)  # type: ignore[misc]
        vm.serial.run("killall kms; wait", check=False)


DRAWN = {"GPU SCANOUT", "GPU UPDATE", "GPU CURSOR_UPDATE", "GPU CURSOR_POS", "GPU GET_DISPLAY_INFO"}
STARTED = {"SET_VRING_KICK", "SET_VRING_ENABLE", "SET_FEATURES", "GPU_SET_SOCKET", "GET_CONFIG"}


def test_c_helper_and_a_guest(boot: Boot, c_helper: Path, shot: Shot) -> None:
    with tapped(c_helper) as tap:
        with boot("amd64", tap.socket) as vm:
            drive(vm, shot)
            os.kill(vm.pid, signal.SIGKILL)
        wait_until(lambda: "the front-end left" in tap.said(), "QEMU's end")
        assert tap.end() == 0
        counts = assert_all_decoded(tap)
        assert DRAWN | STARTED <= set(counts) and counts["GPU_SET_SOCKET"] == 1
        compare_with_wireshark(tap)


def test_our_back_end_and_a_guest(boot: Boot, shot: Shot) -> None:
    """Stopped and continued as well, for which QEMU hands over a second socket."""
    with process() as backend, tapped(backend.socket) as tap:
        with boot("amd64", tap.socket) as vm:
            console = shot(vm)
            drive(vm, shot)
            wait_until(lambda: shot(vm) == console, "the console, which the guest draws when kms has gone", 60)
            vm.qmp.command("stop")
            vm.qmp.command("cont")
            wait_until(lambda: shot(vm) == console, "the console")
            assert vm.quit() == 0
        wait_until(lambda: "the front-end left" in tap.said(), "QEMU's end")
        assert tap.end() == 0
        counts = assert_all_decoded(tap)
        assert DRAWN | STARTED | {"GPU GET_EDID"} <= set(counts) and counts["GPU_SET_SOCKET"] == 2
        compare_with_wireshark(tap)


@pytest.mark.parametrize("words", [(), ("-v",)])
def test_halted_machine_with_kvm(
    qemu_7_x86: QemuBinary, kvm: None, c_helper: Path, shot: Shot, words: tuple[str, ...]
) -> None:
    """The oldest QEMU; with -v pixels are copied and hashed on their way."""
    with tapped(c_helper, *words) as tap:
        with Qemu(halted(qemu_7_x86, tap.socket, "kvm")) as vm:
            expected = bring_up(vm)
            wait_until(lambda: shot(vm).difference(expected) is None, "the frame")
            assert vm.quit() == 0
        wait_until(lambda: "the front-end left" in tap.said(), "QEMU's end")
        assert tap.end() == 0
        counts = assert_all_decoded(tap)
        assert counts["GPU UPDATE"] >= 1 and counts["GPU GET_DISPLAY_INFO"] == 2
        compare_with_wireshark(tap)
