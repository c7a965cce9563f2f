"""A cursor's life: it moves, changes, leaves the picture at every side, hides, and comes back."""

from outboard.display import Cursor
from outboard.machine.card import Card, Connector
from outboard.machine.scenes.scene import Head, Scene
from outboard.spec.virtio_gpu import BYTES_PER_PIXEL, CURSOR_SIZE

LIGHT, DARK = 0xA0A0A0, 0x707070
SQUARE = 16
PERIOD = 32
"""Steps after which everything comes again."""


def arrow() -> bytes:
    """Return an opaque arrow with a black edge on a transparent ground; its point is at 0, 0."""
    dots = bytearray(BYTES_PER_PIXEL * CURSOR_SIZE * CURSOR_SIZE)
    for y in range(24):
        last = y if y < 16 else max(0, 30 - y)
        for x in range(last + 1):
            edge = x in (0, last) or y in (16, 23)
            at = BYTES_PER_PIXEL * (CURSOR_SIZE * y + x)
            dots[at : at + 4] = bytes((0, 0, 0, 255)) if edge else bytes((255, 255, 255, 255))
    return bytes(dots)


def cross() -> bytes:
    """Return a translucent cross over all 64 pixels, its colours multiplied by their alpha; its centre is at 32, 32."""
    dots = bytearray()
    for y in range(CURSOR_SIZE):
        for x in range(CURSOR_SIZE):
            alpha = 4 * (63 - abs(y - 32)) if abs(x - 32) < 2 else 4 * (63 - abs(x - 32)) if abs(y - 32) < 2 else 0
            dots += bytes((0, alpha // 2, alpha, alpha))
    return bytes(dots)


class Pointer(Scene):
    """A chessboard over which a cursor goes."""

    name = "cursor"
    summary = "a cursor that moves, changes, leaves the picture and hides"

    def __init__(self, file: str = "") -> None:
        super().__init__(file)
        self._images = ((arrow(), 0, 0), (cross(), 32, 32))

    def draw(self, head: Head) -> None:
        """See `Scene.draw`."""
        canvas = head.canvas
        canvas.fill(0, 0, canvas.width, canvas.height, DARK)
        for top in range(0, canvas.height, SQUARE):
            for left in range(top % (2 * SQUARE), canvas.width, 2 * SQUARE):
                canvas.fill(left, top, SQUARE, SQUARE, LIGHT)

    def arrange(self, card: Card, connected: list[Connector]) -> None:
        """See `Scene.arrange`."""
        super().arrange(card, connected)
        for head in self.heads:
            self._set(card, head, 0, 0, 0)

    def step(self, card: Card) -> bool:
        """See `Scene.step`."""
        self.frames += 1
        for head in self.heads:
            self._go(card, head, self.frames % PERIOD)
        return True

    def _go(self, card: Card, head: Head, at: int) -> None:
        x, y = place(at, head.buffer.width, head.buffer.height)
        if at == PERIOD // 2 or at == 0:
            self._set(card, head, x, y, int(at > 0))
        elif at == PERIOD - 2:
            card.hide_cursor(head.id)
            head.cursor = None
        elif head.cursor:
            card.move_cursor(head.id, x, y)
            head.cursor = head.cursor._replace(x=x, y=y)

    def _set(self, card: Card, head: Head, x: int, y: int, which: int) -> None:
        image, hot_x, hot_y = self._images[which]
        card.set_cursor(head.id, image, x, y, hot_x, hot_y)
        head.cursor = Cursor(x, y, hot_x, hot_y, True, image)


def place(at: int, width: int, height: int) -> tuple[int, int]:
    """Return where the image's corner is: from above the left top corner to below the right bottom one."""
    along = at % (PERIOD // 2)
    x, y = ((-CURSOR_SIZE + 1) + along * (size + CURSOR_SIZE - 2) // (PERIOD // 2 - 1) for size in (width, height))
    return (x, y) if at < PERIOD // 2 else (width - CURSOR_SIZE - x, y)
