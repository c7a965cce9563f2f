"""Our GPU under QEMU 10 with a Debian guest that draws, while it moves between two IOThreads of this process."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from outboard.aio.iothread import IOThread
from outboard.qemu import Qemu
from tests.peers.patterns import picture, rectangles
from tests.qemu.both_screens import BothScreens, library
from tests.qemu.conftest import READY, Boot, wait_until

pytestmark = pytest.mark.alike

RECTANGLES = 8000
FLIPS = 200
STOPS = 8
MOVES = 200
PATIENCE_S = 60
PACE_S = 0.001
"""Seconds between two moves: the guest's processor is emulated, and wants to have one."""
NORMAL = {"session.began {'number': 1}", "display.lost {'why': 'closed by the front-end'}"}
"""What our back-end may report; QEMU hands a new GPU socket over at each start."""
COMPLAINTS = re.compile(r"\*ERROR\*|BUG:|WARNING:|Oops|timed out|hung task|blocked for more than", re.IGNORECASE)


class Mover:
    """Moves a back-end from one thread to the other and back, again and again. moves: how often it has."""

    def __init__(self, rig: Rig) -> None:
        self.moves = 0
        self._service, self._contexts = rig.backend.service, [one.context for one in rig.threads]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.wait(PACE_S):
            self._service.try_set_aio_context(self._contexts[(self.moves + 1) % 2])
            self.moves += 1

    def more(self, moves: int) -> None:
        """Wait for so many more moves."""
        wanted = self.moves + moves
        wait_until(lambda: self.moves >= wanted, f"{moves} moves")

    @contextmanager
    def moving(self) -> Iterator[Mover]:
        self._thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._thread.join()


class Rig:
    """The VM, our back-end and its threads."""

    def __init__(self, boot: Boot, folder: Path, running: ExitStack) -> None:
        self.threads = [running.enter_context(IOThread(f"thread{at}")) for at in range(2)]
        self.backend = running.enter_context(library(iothread=self.threads[0]))
        self.vm: Qemu = running.enter_context(boot("amd64", self.backend.socket, max_outputs=2))
        self.screens = BothScreens(self.vm, self.backend, folder)
        self.backend.service.screens[0].wait_idle(quiet=0.3)

    @property
    def changes(self) -> int:
        """How often output 0 has changed."""
        return self.backend.service.screens[0].serial

    def start(self, words: str) -> int:
        """Let the guest draw in the background; return where in the serial text that begins."""
        begin = len(self.vm.serial.text)
        self.vm.serial.run(f"kms {words} hold &", timeout=10)
        return begin

    def wait_drawn(self, begin: int) -> None:
        """Wait until the guest has drawn all, and our back-end has done all that it asked for."""
        self.vm.serial.wait_for("kms: holding\n", PATIENCE_S, begin)
        self.backend.service.screens[0].wait_idle(quiet=0.3)

    @contextmanager
    def drawing(self, words: str) -> Iterator[int]:
        """Let the guest draw; yields how many changes of the screen that was, ends its program afterwards."""
        before = self.changes
        begin = self.start(words)
        try:
            self.wait_drawn(begin)
            yield self.changes - before
        finally:
            self.vm.serial.run("killall kms 2>/dev/null; wait", timeout=10, check=False)
            self.backend.service.screens[0].wait_idle(quiet=0.3)


@pytest.fixture(scope="module")
def rig(boot: Boot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with ExitStack() as running:
        yield Rig(boot, tmp_path_factory.mktemp("moving"), running)


@pytest.fixture(autouse=True)
def clean_log(rig: Rig) -> Iterator[None]:
    """The guest's kernel has nothing to complain of, nor has our back-end."""
    yield
    assert COMPLAINTS.findall(rig.vm.serial.run("dmesg")) == []
    assert set(rig.backend.events) <= NORMAL


def test_every_rectangle_is_shown_once(rig: Rig) -> None:
    with rig.drawing(f"rects {RECTANGLES}") as still:
        pass
    with Mover(rig).moving() as mover, rig.drawing(f"rects {RECTANGLES}") as moving:
        rig.screens.equal(rectangles(RECTANGLES, 1280, 800))
    assert mover.moves > MOVES
    assert moving == still >= RECTANGLES


def test_every_page_flip_is_done(rig: Rig) -> None:
    """The guest waits for each; a command that is lost makes its kernel wait for seconds, and say so."""
    with Mover(rig).moving() as mover, rig.drawing(f"flip {FLIPS + 1}"):
        rig.screens.equal(picture("bars", 1280, 800))
    assert mover.moves > MOVES


def test_it_may_move_while_the_vm_stops_and_goes_on(rig: Rig) -> None:
    """To us `stop` is GET_VRING_BASE of each ring, `cont` new kicks and a new GPU socket."""
    with Mover(rig).moving() as mover:
        begin = rig.start(f"rects {RECTANGLES}")
        for _ in range(STOPS):
            mover.more(3)
            rig.vm.qmp.command("stop")
            mover.more(3)
            rig.vm.qmp.command("cont")
        rig.wait_drawn(begin)
        rig.screens.equal(rectangles(RECTANGLES, 1280, 800))


def test_it_may_move_while_the_guest_boots(rig: Rig) -> None:
    with Mover(rig).moving() as mover:
        begin = len(rig.vm.serial.text)
        rig.vm.qmp.command("system_reset")
        assert rig.vm.serial.wait_for(READY, PATIENCE_S, begin)
        with rig.drawing("set Virtual-1 1024x768 checker"):
            rig.screens.equal(picture("checker", 1024, 768))
    assert mover.moves > MOVES
