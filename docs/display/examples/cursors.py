"""A cursor apart from the picture, and drawn into it."""

import sys

import numpy

from outboard.display import DisplayServer
from outboard.machine.card import Card

with DisplayServer([(320, 200)]) as server:
    server.start([sys.executable, "-m", "outboard", "gpu", "serve", "--fd", "{fd}"])
    server.boot()
    card = Card(server.vmm)
    card.probe()
    card.set_mode(0, card.dumb(320, 200))
    image = numpy.zeros((64, 64, 4), "u1")  # blue, green, red, alpha
    image[:8, :8] = 255
    card.set_cursor(0, image, -4, 10, hot_x=3, hot_y=3)
    card.sync()

    frame = server.screens[0].frame()
    print("at", frame.cursor.x, frame.cursor.y, "visible", frame.cursor.visible)
    print("white pixels:", int(frame.rgb.all(axis=2).sum()), "and", int(frame.composed().rgb.all(axis=2).sum()))
    card.hide_cursor(0)
