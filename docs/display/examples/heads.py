"""One large framebuffer on two outputs, a hot plug, and an output that goes off."""

import sys

from outboard.display import DisplayServer
from outboard.machine.card import Card

with DisplayServer([(640, 480), (0, 0)]) as server:
    server.start([sys.executable, "-m", "outboard", "gpu", "serve", "--fd", "{fd}"])
    server.boot()
    card = Card(server.vmm)
    card.probe()
    print([(one.id, one.connected, one.preferred) for one in card.connectors])

    server.resize(1, 800, 600)  # a display is plugged in: config.events_read, and an interrupt
    print("event:", card.handle_event(), card.connectors[1].preferred)

    wide = card.dumb(640 + 800, 600)
    wide.words[:, :640] = 0x00FF00
    wide.words[:, 640:] = 0xFF00FF
    card.set_mode(0, wide)
    card.set_mode(1, wide, 640, 0)
    for screen in server.screens[:2]:
        frame = screen.wait_idle(quiet=0.1)
        print(frame.width, frame.height, f"#{frame.words[0, 0] & 0xFFFFFF:06x}")

    card.off(0)
    card.sync()
    print("active:", [screen.active for screen in server.screens[:2]])
