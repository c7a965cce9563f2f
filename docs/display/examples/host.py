"""Hosts a back-end with no virtual machine, draws on it as a guest would, and looks at the screen."""

import sys

import outboard
from outboard.machine.card import Card

BACKEND = [sys.executable, "-m", "outboard", "gpu", "serve", "{socket}"]  # or QEMU's: ["…/vhost-user-gpu", "--fd={fd}"]

with outboard.display.DisplayServer([(640, 480)]) as server:
    server.start(BACKEND)
    server.boot()
    card, screen = Card(server.vmm), server.screens[0]
    width, height = card.probe()[0].preferred
    buffer = card.dumb(width, height)
    card.set_mode(0, buffer)
    before = screen.wait_idle(quiet=0.1)

    buffer.words[100:200, 50:150] = 0xFF8000
    card.damage(buffer, [(50, 100, 100, 100)])
    frame = screen.wait_for_frame(after=before.serial)
    print(f"{frame.width}x{frame.height}, damage {frame.damage}, there {frame.words[150, 100]:#08x}")

    server.resize(0, 800, 600)
    card.handle_event()
    print("the display was resized, the driver now prefers", card.connectors[0].preferred)
    print(server.violations or "the back-end broke no rule")
