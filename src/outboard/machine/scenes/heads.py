"""Several outputs at once: with pictures of their own, as parts of one picture, or with the same one."""

from collections.abc import Sequence

from outboard.machine.card import Card, Connector
from outboard.machine.card.buffers import Rectangle
from outboard.machine.card.connectors import Size
from outboard.machine.scenes.canvas import Canvas
from outboard.machine.scenes.scene import Head, Scene

GROUNDS = (0x401818, 0x183040, 0x284018, 0x382850)
INKS = (0xFFC0A0, 0xA0D8FF, 0xC8FFA0, 0xE0C0FF)


def _number(canvas: Canvas, area: Rectangle, number: int, frame: int) -> Rectangle:
    """Draw the number of an output into its part of a picture, and a line that moves; return where the line was."""
    x, y, width, height = area
    canvas.fill(*area, GROUNDS[number % len(GROUNDS)])
    canvas.frame(*area, INKS[number % len(INKS)])
    scale = max(1, height // 14)
    canvas.text(x + width // 2 - 3 * scale, y + height // 2 - 4 * scale, f"{number}", INKS[number % len(INKS)], scale)
    return _line(canvas, area, number, frame)


def _line(canvas: Canvas, area: Rectangle, number: int, frame: int) -> Rectangle:
    """Move a mark along the foot of an area; return what changed."""
    x, y, width, height = area
    room = max(1, width - 2)
    top, high = y + height - 1 - max(1, height // 20), max(1, height // 20)
    canvas.fill(x + 1, top, room, high, GROUNDS[number % len(GROUNDS)])
    canvas.fill(x + 1 + 9 * frame % room, top, 1, high, 0xFFFFFF)
    return canvas.inside(x + 1, top, room, high)


class TwoHeads(Scene):
    """Two outputs or more, each with a buffer of its own size."""

    name = "two-heads"
    summary = "outputs of different sizes with pictures of their own"
    outputs = 2

    def draw(self, head: Head) -> None:
        """See `Scene.draw`."""
        _number(head.canvas, head.rectangle, head.id, self.frames)

    def advance(self, head: Head) -> list[Rectangle]:
        """See `Scene.advance`."""
        return [_line(head.canvas, head.rectangle, head.id, self.frames)]


class OneFramebuffer(Scene):
    """One large buffer of which every output shows a part, side by side, each a little lower than the one before."""

    name = "one-framebuffer"
    summary = "outputs that show parts of one large picture"
    outputs = 2
    drop = 8
    """Rows by which an output lies lower than the one left of it."""

    def area(self, sizes: Sequence[Size]) -> int:
        """See `Scene.area`."""
        return sum(width for width, _ in sizes) * (max(height for _, height in sizes) + self.drop * len(sizes))

    def arrange(self, card: Card, connected: list[Connector]) -> None:
        """See `Scene.arrange`."""
        sizes = [connector.preferred for connector in connected]
        lower = range(0, self.drop * len(sizes), self.drop)
        high = max(top + height for top, (_, height) in zip(lower, sizes, strict=True))
        buffer = card.dumb(sum(width for width, _ in sizes), high)
        left = 0
        for connector, top, (width, height) in zip(connected, lower, sizes, strict=True):
            head = Head(connector.id, buffer, (left, top, width, height))
            _number(head.canvas, head.rectangle, head.id, self.frames)
            self.heads.append(head)
            left += width
        for head in self.heads:
            card.set_mode(head.id, buffer, *head.rectangle[:2])

    def advance(self, head: Head) -> list[Rectangle]:
        """See `Scene.advance`."""
        return [_line(head.canvas, head.rectangle, head.id, self.frames)]


class Mirror(Scene):
    """One buffer on all outputs; the part that the smallest of them can show."""

    name = "mirror"
    summary = "the same picture on all outputs"
    outputs = 2

    def arrange(self, card: Card, connected: list[Connector]) -> None:
        """See `Scene.arrange`."""
        width, height = (min(one.preferred[side] for one in connected) for side in (0, 1))
        buffer = card.dumb(width, height)
        self.heads = [Head(connector.id, buffer, (0, 0, width, height)) for connector in connected]
        _number(self.heads[0].canvas, self.heads[0].rectangle, 0, self.frames)
        for head in self.heads:
            card.set_mode(head.id, buffer)

    def step(self, card: Card) -> bool:
        """See `Scene.step`."""
        self.frames += 1
        first = self.heads[0]
        card.damage(first.buffer, [_line(first.canvas, first.rectangle, 0, self.frames)])
        return True
