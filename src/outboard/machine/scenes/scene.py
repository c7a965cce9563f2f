"""What a scene is: pictures on the outputs of a card, step by step, and what the screens must show after each step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from outboard.display import Cursor
from outboard.errors import LocalError
from outboard.machine.card import Card, Connector, DumbBuffer
from outboard.machine.card.buffers import Rectangle
from outboard.machine.card.connectors import Size
from outboard.machine.scenes.canvas import Canvas


class Expected(NamedTuple):
    """What a screen must show: rows of B, G, R, X bytes, of which X means nothing; and its cursor, if any."""

    width: int
    height: int
    pixels: bytes
    cursor: Cursor | None = None


@dataclass
class Head:
    """An output and what it shows: `rectangle` of `buffer`. canvas: to draw into the buffer."""

    id: int
    buffer: DumbBuffer
    rectangle: Rectangle
    cursor: Cursor | None = None

    @property
    def canvas(self) -> Canvas:
        """A canvas over the whole buffer."""
        return Canvas(self.buffer.memory, self.buffer.width, self.buffer.height)


class Scene:
    """A scene; every one is deterministic. Use: `setup` once, `step` while it returns true.

    name: what users call it. summary: half a line for users. outputs: how many displays it needs at least.
    file: path of what it shows, for scenes that take one.
    By default every connected output gets a buffer of its own, and what `advance` draws in it is shown as damage.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    outputs: ClassVar[int] = 1
    takes_file: ClassVar[bool] = False

    def __init__(self, file: str = "") -> None:
        self.file = file
        self.heads: list[Head] = []
        self.frames = self.rectangles = self.pixels = 0
        """Steps so far, and what they damaged."""

    def area(self, sizes: Sequence[Size]) -> int:
        """Return how many pixels the buffers have for displays of these sizes."""
        return sum(width * height for width, height in sizes)

    def setup(self, card: Card) -> None:
        """Show the first picture. Raises LocalError when the card has too few displays."""
        connected = [connector for connector in card.connectors if connector.connected]
        if len(connected) < self.outputs:
            raise LocalError(f"scene {self.name} needs {self.outputs} displays, {len(connected)} connected")
        self.arrange(card, connected)

    def arrange(self, card: Card, connected: list[Connector]) -> None:
        """Make the heads, and turn them on with the first picture."""
        for connector in connected:
            width, height = connector.preferred
            head = Head(connector.id, card.dumb(width, height), (0, 0, width, height))
            self.heads.append(head)
            self.draw(head)
            card.set_mode(head.id, head.buffer)

    def step(self, card: Card) -> bool:
        """Show the next picture; false when there is none."""
        self.frames += 1
        for head in self.heads:
            damage = self.advance(head)
            card.damage(head.buffer, damage)
            self.rectangles += len(damage)
            self.pixels += sum(width * height for _, _, width, height in damage)
        return True

    def draw(self, head: Head) -> None:
        """Draw the first picture of an output."""
        raise NotImplementedError

    def advance(self, head: Head) -> list[Rectangle]:
        """Draw the next picture of an output, number `frames`; return the rectangles that changed."""
        raise NotImplementedError

    def expected(self, scanout_id: int) -> Expected | None:
        """Return what an output must show now, None when it must be off."""
        for head in self.heads:
            if head.id == scanout_id:
                return Expected(*head.rectangle[2:], head.buffer.cut(*head.rectangle), head.cursor)
        return None

    def stop(self) -> None:
        """End what runs on the side; the pictures stay."""

    def close(self) -> None:
        """Stop, and destroy the buffers; the outputs go off."""
        self.stop()
        for buffer in {head.buffer.resource_id: head.buffer for head in self.heads}.values():
            buffer.destroy()
        self.heads = []
