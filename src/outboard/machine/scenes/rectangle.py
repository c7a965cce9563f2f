"""A rectangle that moves: two buffers an output, drawn in turn and flipped, as a game does."""

from collections.abc import Sequence

from outboard.machine.card import Card, Connector
from outboard.machine.card.buffers import Rectangle
from outboard.machine.card.connectors import Size
from outboard.machine.scenes.scene import Head, Scene

GROUND, STRIPE, COLOUR = 0x102030, 0x304860, 0xFFA020


class MovingRectangle(Scene):
    """Page flips between two buffers; the rectangle bounces off the edges."""

    name = "rectangle"
    summary = "a moving rectangle, two buffers flipped in turn"

    def __init__(self, file: str = "") -> None:
        super().__init__(file)
        self._backs: dict[int, Head] = {}

    def area(self, sizes: Sequence[Size]) -> int:
        """See `Scene.area`."""
        return 2 * super().area(sizes)

    def arrange(self, card: Card, connected: list[Connector]) -> None:
        """See `Scene.arrange`."""
        super().arrange(card, connected)
        for head in self.heads:
            back = Head(head.id, card.dumb(head.buffer.width, head.buffer.height), head.rectangle)
            self._backs[head.id] = back
            self.draw(back)

    def draw(self, head: Head) -> None:
        """See `Scene.draw`."""
        canvas = head.canvas
        canvas.fill(0, 0, canvas.width, canvas.height, GROUND)
        for y in range(0, canvas.height, 16):
            canvas.fill(0, y, canvas.width, 1, STRIPE)
        canvas.fill(*self._place(head, self.frames), COLOUR)

    def step(self, card: Card) -> bool:
        """See `Scene.step`."""
        self.frames += 1
        for head in self.heads:
            back = self._backs[head.id]
            head.buffer, back.buffer = back.buffer, head.buffer
            self._redraw(head)
            card.flip(head.id, head.buffer)
        return True

    def _redraw(self, head: Head) -> None:
        """Draw into a buffer that was shown two steps ago."""
        canvas = head.canvas
        x, y, width, height = self._place(head, max(0, self.frames - 2))
        canvas.fill(x, y, width, height, GROUND)
        for line in range(-(-y // 16) * 16, y + height, 16):
            canvas.fill(x, line, width, 1, STRIPE)
        canvas.fill(*self._place(head, self.frames), COLOUR)

    @staticmethod
    def _place(head: Head, frame: int) -> Rectangle:
        """Return where the rectangle is in a frame."""
        width, height = max(1, head.buffer.width // 5), max(1, head.buffer.height // 5)
        x = bounced(7 * frame, head.buffer.width - width)
        y = bounced(5 * frame, head.buffer.height - height)
        return x, y, width, height

    def close(self) -> None:
        """See `Scene.close`."""
        super().close()
        for back in self._backs.values():
            back.buffer.destroy()
        self._backs = {}


def bounced(way: int, room: int) -> int:
    """Return the place, 0 to `room`, of what has gone `way` and turns round at both ends."""
    way %= max(1, 2 * room)
    return min(way, 2 * room - way)
