"""A guest in Python that draws a moving picture on a GPU in another process, and what its display saw."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from outboard.errors import ProtocolError
from outboard.frontend.server import DisplayServer
from outboard.machine.card import Card
from outboard.machine.scenes import Scene, compare
from outboard.machine.scenes.balls import Balls


class Figures(NamedTuple):
    """What a run did. frames: pictures drawn; rectangles: transfers and flushes; pixels: that the display received."""

    frames: int
    rectangles: int
    pixels: int
    seconds: float
    backend_cpu_seconds: float


def run(command: Sequence[str], seconds: float, size: tuple[int, int]) -> tuple[Figures, bytes]:
    """Boot, draw for `seconds`, and check that the display shows what the guest drew, byte for byte.

    command: starts the back-end, see `DisplayServer.start`. size: of the display, in pixels. Returns the figures and
    the display's last picture. Raises ProtocolError when the picture is wrong, LocalError when the back-end ends.
    """
    with DisplayServer([size]) as server:
        server.start(command)
        server.boot()
        card, scene = Card(server.vmm), Balls()
        card.probe()
        scene.setup(card)
        figures = server.told(lambda: _animate(server, card, scene, seconds))
        expected, frame = scene.expected(0), server.screens[0].frame()
        assert expected is not None
        if wrong := compare.picture(expected, frame.width, frame.height, frame.pixels):
            raise ProtocolError("display", "the picture that the guest drew", wrong.says)
        return figures, frame.pixels


def _animate(server: DisplayServer, card: Card, scene: Scene, seconds: float) -> Figures:
    """Draw frame after frame, as fast as it goes."""
    assert server.backend is not None
    width, height = server.display.modes[0]
    server.display.wait_painted(0, width * height)
    before = server.display.outputs[0].painted
    cpu = cpu_seconds(server.backend.pid)
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        scene.step(card)
    server.display.wait_painted(0, before + scene.pixels)
    took = time.monotonic() - start
    cpu = cpu_seconds(server.backend.pid) - cpu
    return Figures(scene.frames, scene.rectangles, before + scene.pixels, took, cpu)


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
