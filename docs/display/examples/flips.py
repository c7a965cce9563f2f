"""Damage and page flips: what a display is told, and what it is not."""

import sys

from outboard.display import DisplayServer
from outboard.machine.card import Card

with DisplayServer([(320, 200)]) as server:
    server.start([sys.executable, "-m", "outboard", "gpu", "serve", "--fd", "{fd}"])
    server.boot()
    card = Card(server.vmm)
    card.probe()
    screen = server.screens[0]
    front, back = card.dumb(320, 200), card.dumb(320, 200)
    card.set_mode(0, front)
    card.sync()
    serial = screen.serial

    front.words[:] = 0xFFFFFF  # drawn, but nobody is told
    card.damage(front, [(10, 20, 30, 40)])
    frame = screen.wait_for_frame(after=serial)
    print("damage", frame.damage, "white pixels:", int((frame.words & 0xFFFFFF == 0xFFFFFF).sum()))

    back.words[:] = 0x0000FF
    card.flip(0, back)
    frame = screen.wait_for_frame(after=frame.serial)
    print("flip", frame.damage, f"all #{frame.words[0, 0] & 0xFFFFFF:06x}")
