"""Play a scene on a display server and hold every screen against what it must show."""

import time
from dataclasses import dataclass, field

from outboard.errors import WaitTimeout
from outboard.frontend.display_reader import DisplayReader
from outboard.frontend.server import DisplayServer
from outboard.machine.card import Card
from outboard.machine.gpu_driver import Refused
from outboard.machine.scenes import compare
from outboard.machine.scenes.scene import Scene
from outboard.spec.vhost_user_gpu import Req

ALL_CHECKED = 64
"""Frames from the first one on that are all checked; enough for every scene to have shown all that it has."""
CHECK_EVERY_S = 0.5
"""Seconds of drawing after which one more is checked."""
PATIENCE_S = 1.0
"""Seconds that a picture is given to become right, where nothing says that all of it has come."""


@dataclass
class Wrong:
    """A screen that did not show what it must. frame: 0 is the first picture."""

    frame: int
    output: int
    says: str
    pixels: int
    x: int
    y: int


@dataclass
class Record:
    """What was played. frames: pictures; seconds: that the steps from the first to the last took; checked: pictures."""

    frames: int = 1
    seconds: float = 0.0
    checked: int = 0
    wrong: list[Wrong] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Steps a second, 0 when there was none."""
        return (self.frames - 1) / self.seconds if self.seconds else 0.0


def play(
    server: DisplayServer, card: Card, scene: Scene, seconds: float, frames: int | None = None, keep_going: bool = False
) -> Record:
    """Set the scene and step it until it ends, for `seconds` of drawing or for `frames` pictures.

    keep_going: go on behind a wrong picture. Raises what `Card` raises, and ProtocolError when the display's stream
    broke.
    """
    record, next_check = Record(), 0.0
    scene.setup(card)
    while True:
        over = record.seconds >= seconds or record.frames == frames
        due = over or record.frames <= ALL_CHECKED or record.seconds >= next_check
        if due:
            check(server, card, scene, record)
            next_check = record.seconds + CHECK_EVERY_S
        if over or (record.wrong and not keep_going):
            return record
        start = time.monotonic()
        more = scene.step(card)
        record.seconds += time.monotonic() - start
        if not more:
            break
        record.frames += 1
    if not due:
        check(server, card, scene, record)
    return record


def check(server: DisplayServer, card: Card, scene: Scene, record: Record) -> None:
    """Compare all outputs with what they must show now."""
    settled = settle(server, card)
    for scanout_id in range(len(card.connectors)):
        found = _difference(server, scene, scanout_id)
        if found and not settled:
            found = _awaited(server, scene, scanout_id, found)
        if found:
            record.wrong.append(Wrong(record.frames - 1, scanout_id, *found))
    record.checked += 1


def settle(server: DisplayServer, card: Card) -> bool:
    """Wait until the display has read all that was sent before; true when that is certain.

    A back-end that asks the display for its sizes does it in the same stream, behind the pixels.
    """
    display = server.display
    if display.error:
        raise display.error
    before = display.counts[Req.GET_DISPLAY_INFO]
    try:
        card.sync()
    except Refused:
        return False
    return display.counts[Req.GET_DISPLAY_INFO] > before


def _difference(server: DisplayServer, scene: Scene, scanout_id: int) -> compare.Difference | None:
    screen, expected = server.screens[scanout_id], scene.expected(scanout_id)
    if expected is None:
        return compare.Difference("expected to be off") if screen.active else None
    if not screen.active:
        return compare.Difference("expected a picture, the output is off")
    frame = screen.frame()
    picture = compare.picture(expected, frame.width, frame.height, frame.pixels)
    return picture or compare.pointer(expected.cursor, frame.cursor)


def _awaited(
    server: DisplayServer, scene: Scene, scanout_id: int, found: compare.Difference | None
) -> compare.Difference | None:
    """Look again whenever something came, until nothing is wrong or time is over."""
    end = time.monotonic() + PATIENCE_S
    while found:
        before = server.display.bytes_read
        found = _difference(server, scene, scanout_id)
        if found and not _more(server.display, before, end - time.monotonic()):
            break
    return found


def _more(display: DisplayReader, before: int, timeout_s: float) -> bool:
    """Wait until the display has read more than `before` bytes in all; false when nothing comes."""
    try:
        display.wait_until(lambda: display.bytes_read > before, "more", timeout_s)
    except WaitTimeout:
        return False
    return True
