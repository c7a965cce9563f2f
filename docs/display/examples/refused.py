"""What goes wrong, and what it says."""

import sys

from outboard.display import DisplayServer
from outboard.errors import LocalError
from outboard.machine.card import Card

with DisplayServer([(320, 200)]) as server:
    server.start([sys.executable, "-m", "outboard", "gpu", "serve", "--fd", "{fd}"])
    server.boot()
    card = Card(server.vmm)
    card.probe()
    buffer = card.dumb(320, 200)
    for wrong in (
        lambda: card.dumb(320, 200, 77),
        lambda: card.driver.unref(99),
        lambda: card.damage(buffer, [(300, 0, 30, 10)]),
        lambda: card.flip(0, buffer),
        lambda: card.set_mode(1, buffer),
    ):
        try:
            wrong()
        except LocalError as error:
            print(error)
