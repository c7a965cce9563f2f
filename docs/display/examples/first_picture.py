"""Host a back-end, draw on it as a guest would, and look at what its display shows."""

import sys

from outboard.display import DisplayServer
from outboard.machine.card import Card

BACKEND = [sys.executable, "-m", "outboard", "gpu", "serve", "--fd", "{fd}"]  # or ["./my-gpu", "--socket", "{socket}"]

with DisplayServer([(640, 480)]) as server:
    server.start(BACKEND)
    server.boot()
    card = Card(server.vmm)
    card.probe()
    connector = card.connectors[0]
    print(connector.preferred, connector.modes[:3])

    buffer = card.dumb(*connector.preferred)
    buffer.words[:] = 0x102030  # numpy: height x width words 0xRRGGBB
    buffer.words[100:200, 50:150] = 0xFF8000
    card.set_mode(0, buffer)

    frame = server.screens[0].wait_idle(quiet=0.1)
    print(frame.width, frame.height, f"#{frame.words[150, 100] & 0xFFFFFF:06x}")
