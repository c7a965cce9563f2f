"""Our back-end in its two forms, and its picture beside the one of QEMU's screendump."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

import outboard.gpu
from outboard import trace
from outboard.backend.device import Device
from outboard.display import Screen
from outboard.qemu import Qemu
from tests.peers.patterns import Picture
from tests.qemu import witnesses
from tests.qemu.conftest import wait_until

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def read_png(path: Path) -> Picture:
    """A PNG of any kind, as RGB."""
    with Image.open(path) as image:
        return Picture(*image.size, image.convert("RGB").tobytes())


class Backend(Protocol):
    """What both forms have."""

    def save(self, path: Path, head: int = 0) -> None:
        """Write the PNG of what an output shows now."""

    def said(self) -> str:
        """All that it reported."""


class Process:
    """`outboard gpu serve SOCKET …` with a picture on SIGUSR1 and at its end. Make it with `process`."""

    def __init__(self, folder: Path, words: tuple[str, ...]) -> None:
        self.socket = folder / "gpu.sock"
        self.shot = folder / "shot.png"
        self._stderr = folder / "stderr"
        argv = [sys.executable, "-m", "outboard", "gpu", "serve", self.socket, "--shot", self.shot, *words]
        with self._stderr.open("wb") as stderr:
            self.popen = subprocess.Popen(argv, stderr=stderr)
        witnesses.hear("our back-end's stderr", self.said)
        wait_until(lambda: "serving on" in self.said() or self.popen.poll() is not None, "the back-end's first line")
        assert self.popen.poll() is None, self.said()

    def said(self) -> str:
        """All of its standard error; the last words when it is gone."""
        if self._stderr.exists():
            self._words = self._stderr.read_text()
        return self._words

    def save(self, path: Path, head: int = 0) -> None:
        """Ask with SIGUSR1; it is alive afterwards."""
        shot = self.shot_of(head)
        wrote = f"outboard: wrote {shot},"
        before = self.said().count(wrote)
        self.popen.send_signal(signal.SIGUSR1)
        wait_until(lambda: self.said().count(wrote) > before or self.popen.poll() is not None, f"picture {shot}")
        assert self.popen.poll() is None, f"our back-end ended with {self.popen.poll()}"
        shutil.copy(shot, path)

    def shot_of(self, head: int) -> Path:
        """The file of an output."""
        return self.shot.with_stem(f"{self.shot.stem}-{head}") if head else self.shot

    def end(self) -> int:
        """Ask it to end; its exit code, negative when a signal killed it."""
        self.popen.terminate()
        return self.popen.wait(10)

    @property
    def fds(self) -> list[str]:
        """What its open fds are, sorted."""
        folder = Path(f"/proc/{self.popen.pid}/fd")
        return sorted(os.readlink(link).split(":")[0] for link in folder.iterdir())

    @property
    def sessions_ended(self) -> int:
        """How many front-ends have left."""
        return self.said().count("front-end left")

    def cpu_s(self, wall_s: float) -> float:
        """Seconds of processor time that it takes in the next `wall_s` seconds."""
        before = self._ticks()
        time.sleep(wall_s)
        return (self._ticks() - before) / CLOCK_TICKS

    def _ticks(self) -> int:
        fields = Path(f"/proc/{self.popen.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])


@contextmanager
def process(*words: str) -> Iterator[Process]:
    """A back-end in a process of its own, in a folder with a short name; both are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="outboard-") as folder:
        backend = Process(Path(folder), words)
        try:
            yield backend
        finally:
            backend.said()
            backend.popen.kill()
            backend.popen.wait()


class Library:
    """`outboard.gpu.serve` in this process, and what the trace tells. Make it with `library`."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.socket = folder / "gpu.sock"
        self.service = outboard.gpu.serve(self.socket, **options)
        self.events: list[str] = []
        witnesses.hear("our back-end's trace", self.said)

    def note(self, event: str, fields: dict[str, Any]) -> None:
        """Trace hook."""
        self.events.append(f"{event} {fields}")

    def said(self) -> str:
        """The last events."""
        return "\n".join(self.events[-50:])

    def save(self, path: Path, head: int = 0) -> None:
        """Write what an output shows now."""
        self.service.screens[head].save(path)

    @property
    def device(self) -> Device:
        """The device of the front-end that is connected."""
        session = self.service._server.session
        assert session is not None, "no front-end is connected"
        assert isinstance(session.device, Device)
        return session.device

    def screen(self, head: int = 0) -> Screen:
        """An output as the device left it, with its cursor."""
        return self.service._mirror.screens[head]


@contextmanager
def library(**options: Any) -> Iterator[Library]:
    """A back-end served by a thread of this process."""
    with tempfile.TemporaryDirectory(prefix="outboard-") as folder:
        backend = Library(Path(folder), **options)
        trace.listen(backend.note)
        try:
            with backend.service:
                yield backend
        finally:
            trace.unlisten(backend.note)


@dataclass
class BothScreens:
    """Our picture and QEMU's, as PNG files in `folder`."""

    vm: Qemu
    backend: Backend
    folder: Path

    def equal(self, expected: Picture | None = None, head: int = 0, timeout: float = 15) -> Picture:
        """Look until both PNGs show the same, and `expected` if given; what they show.

        Messages to the display and to the monitor travel apart, so the first look may be too early.
        """
        deadline = time.monotonic() + timeout
        while True:
            ours, theirs = self.take(head)
            problem = self._problem(ours, theirs, expected)
            if problem is None:
                return ours
            if time.monotonic() > deadline:
                files = " and ".join(map(str, self.files(head)))
                raise AssertionError(f"head {head}, after {timeout:g} s: {problem}; see {files}")
            time.sleep(0.05)

    def take(self, head: int = 0) -> tuple[Picture, Picture]:
        """Our picture and QEMU's."""
        ours, theirs = self.files(head)
        self.backend.save(ours, head)
        self.vm.qmp.screendump(theirs, "gpu", head)
        return read_png(ours), read_png(theirs)

    def files(self, head: int) -> tuple[Path, Path]:
        """Where the PNGs are."""
        return self.folder / f"ours-{head}.png", self.folder / f"qemu-{head}.png"

    @staticmethod
    def _problem(ours: Picture, theirs: Picture, expected: Picture | None) -> str | None:
        if difference := ours.difference(theirs):
            return f"ours and QEMU's: {difference}"
        difference = expected and ours.difference(expected)
        return f"both and what must be seen: {difference}" if difference else None
