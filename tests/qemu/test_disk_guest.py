"""Our disks under QEMU 10 with a Debian guest that verifies all it reads, while a disk moves and while one dies.

One VM with two disks and two processors: `moved` is a library's in this process, `killed` a program's. A checker is at
work on each half of a disk, so that both queues are busy.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import outboard.blk
from outboard.aio.iothread import IOThread
from outboard.backend.disk.service import DiskService
from tests.peers.debian import PeerError
from tests.qemu import witnesses
from tests.qemu.conftest import missing, some_qemu, wait_until
from tests.qemu.disk_guest import BLOCK, Guest, disk_guest, disk_initrd, disk_words

pytestmark = pytest.mark.alike
BLOCKS = 8192
QUEUES = 2
MOVES = 1000
KILLS = 8
PATIENCE_S = 60


class Program:
    """`outboard blk serve`, killed and started again on the same socket and image."""

    def __init__(self, folder: Path, image: Path) -> None:
        self.socket, self.image, self.log = folder / "killed.sock", image, folder / "killed.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Serve; return when the socket is there."""
        command = [sys.executable, "-m", "outboard", "blk", "serve", str(self.socket), "--image", str(self.image)]
        command += ["--num-queues", str(QUEUES), "--iothread", "killed", "--verbose"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self.socket.exists, "the back-end's socket", PATIENCE_S)

    def kill(self) -> None:
        """End it at once, whatever it does."""
        assert self.process
        self.process.kill()
        self.process.wait()
        self.socket.unlink()


class Rig:
    """The VM and what serves its disks."""

    guest: Guest
    service: DiskService
    program: Program

    def __init__(self, folder: Path, running: ExitStack) -> None:
        images = {}
        for name in ("moved", "killed"):
            images[name] = folder / f"{name}.img"
            with images[name].open("wb") as image:
                image.truncate(BLOCKS * BLOCK)
        self.images = images
        self.threads = [running.enter_context(IOThread(f"thread{at}")) for at in range(2)]
        socket = folder / "moved.sock"
        self.service = running.enter_context(
            outboard.blk.serve(socket, image=images["moved"], iothread=self.threads[0], num_queues=QUEUES)
        )
        self.program = Program(folder, images["killed"])
        running.callback(self.program.kill)
        self.program.start()
        witnesses.hear("the program", lambda: self.program.log.read_text(errors="replace"))
        words = [*disk_words(socket, "moved", QUEUES), *disk_words(self.program.socket, "killed", QUEUES)]
        self.guest = running.enter_context(disk_guest(disk_initrd(folder), words, smp=2))

    @property
    def served(self) -> int:
        """Requests of the moved disk that were answered so far."""
        device = self.service.drive.device
        return sum(loop.served for loop in device.loops) if device else 0


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    some_qemu("x86_64", (10,))
    with ExitStack() as running:
        try:
            one = Rig(tmp_path_factory.mktemp("disks"), running)
        except PeerError as error:
            missing(error)
        yield one


def wait_served(rig: Rig, before: int) -> int:
    """Wait until the moved disk has answered something since; how many requests it has."""
    end = time.monotonic() + PATIENCE_S
    while (now := rig.served) == before:
        assert time.monotonic() < end, "the moved disk answers nothing more"
        os.sched_yield()
    return now


def did_all_kinds(counts: list[tuple[int, ...]]) -> None:
    """Fail unless each checker read and wrote, and they flushed and gave blocks up: a few in a thousand requests."""
    assert all(reads and writes for reads, writes, *_ in counts)
    flushes, zeroed, given_up = (sum(column) for column in list(zip(*counts, strict=True))[2:])
    assert flushes and zeroed + given_up


def test_moved_a_thousand_times(rig: Rig) -> None:
    """Between two moves something is answered: each one meets a disk at work."""
    for half in range(2):
        rig.guest.check("/dev/vda", BLOCKS // 2, BLOCKS // 2 * half)
    served = began = rig.served
    homes = [thread.context for thread in rig.threads]
    for turn in range(MOVES):
        served = wait_served(rig, served)
        rig.service.try_set_aio_context(homes[(turn + 1) % 2])
        assert rig.service.context is homes[(turn + 1) % 2]
    assert served - began >= MOVES
    did_all_kinds(rig.guest.finish())
    rig.guest.log_is_clean()
    assert rig.service.sessions == 1, "QEMU never had to connect again"


def test_killed_and_started_again(rig: Rig) -> None:
    """Nothing that was answered is lost, nothing that was in flight either: no request of the guest fails."""
    for half in range(2):
        rig.guest.check("/dev/vdb", BLOCKS // 2, BLOCKS // 2 * half)
    for _ in range(KILLS):
        before = rig.guest.done()
        wait_until(lambda before=before: rig.guest.done() > before + 200, "more requests", PATIENCE_S)
        rig.program.kill()
        rig.program.start()
    before = rig.guest.done()
    wait_until(lambda: rig.guest.done() > before + 200, "requests after the last start", PATIENCE_S)
    did_all_kinds(rig.guest.finish())
    rig.guest.log_is_clean()
    assert rig.program.log.read_text().count("connected") == KILLS + 1


def test_the_images_have_what_the_guest_reads(rig: Rig) -> None:
    """The guest's view and the host's: a checksum of the whole disk, alike on both sides."""
    for device, name in (("/dev/vda", "moved"), ("/dev/vdb", "killed")):
        said = rig.guest.vm.serial.run(f"sha256sum {device}", timeout=PATIENCE_S).split()[0]
        expected = subprocess.run(["sha256sum", rig.images[name]], capture_output=True, text=True, check=True).stdout
        assert said == expected.split()[0], device
    rig.guest.log_is_clean()
