"""Text that scrolls up without end, as a console's: the whole picture changes with every step."""

from outboard.machine.card.buffers import Rectangle
from outboard.machine.scenes.font import LINE
from outboard.machine.scenes.scene import Head, Scene

PAPER = 0x000018
INKS = (0xD0D0D0, 0x80FF80, 0xFFFF80, 0x80C0FF)
WORDS = "virtqueue descriptor ring scanout resource backing flush transfer cursor fence kick socket frame edid".split()


def line(number: int) -> str:
    """Return the text of a line."""
    return f"{number:05}  " + " ".join(WORDS[(number * (at + 3) + at * at) % len(WORDS)] for at in range(7))


class TextScroll(Scene):
    """Lines of text that move up by a dot a step; new ones come in at the foot."""

    name = "scroll"
    summary = "text that scrolls, the whole picture as damage"

    @staticmethod
    def _scale(head: Head) -> int:
        return max(1, head.buffer.width // 400)

    def draw(self, head: Head) -> None:
        """See `Scene.draw`."""
        head.canvas.fill(0, 0, head.buffer.width, head.buffer.height, PAPER)
        self._write(head, 0, head.buffer.height)

    def advance(self, head: Head) -> list[Rectangle]:
        """See `Scene.advance`."""
        buffer, step = head.buffer, min(self._scale(head), head.buffer.height)
        gone = step * buffer.pitch
        buffer.memory[: len(buffer.memory) - gone] = buffer.memory[gone:]
        head.canvas.fill(0, buffer.height - step, buffer.width, step, PAPER)
        self._write(head, buffer.height - step, buffer.height)
        return [(0, 0, buffer.width, buffer.height)]

    def _write(self, head: Head, top: int, bottom: int) -> None:
        """Write the lines that reach into these rows; what is there of them already is written again."""
        scale = self._scale(head)
        scrolled = scale * self.frames
        pitch = LINE * scale
        for number in range((top + scrolled) // pitch, (bottom + scrolled - 1) // pitch + 1):
            head.canvas.text(8, number * pitch - scrolled + scale, line(number), INKS[number % len(INKS)], scale)
