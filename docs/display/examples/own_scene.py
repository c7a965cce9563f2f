"""A scene of one's own, played on a back-end and checked pixel by pixel."""

import sys

from outboard.display import DisplayServer
from outboard.machine.card import Card
from outboard.machine.scenes.play import play
from outboard.machine.scenes.scene import Scene


class Curtain(Scene):
    """A curtain that falls by four rows a step."""

    name = "curtain"
    summary = "a curtain that falls"

    def draw(self, head):
        head.buffer.words[:] = 0x303030

    def advance(self, head):
        rows = 4 * self.frames % head.buffer.height
        head.buffer.words[rows : rows + 4] = 0xA00000 + self.frames
        return [(0, rows, head.buffer.width, 4)]


with DisplayServer([(320, 200), (64, 48)]) as server:
    server.start([sys.executable, "-m", "outboard", "gpu", "serve", "--fd", "{fd}"])
    server.boot()
    card = Card(server.vmm)
    card.probe()
    record = play(server, card, Curtain(), seconds=60, frames=30)
    print(record.frames, "frames,", record.checked, "checked, wrong:", record.wrong)
