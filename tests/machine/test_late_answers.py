"""A back-end that is stopped for a while: what waited says so, and no answer is taken for another one's."""

import contextlib
import os
import signal
import sys

import pytest

from outboard.errors import WaitTimeout
from outboard.frontend.server import DisplayServer
from outboard.machine.card import Card

pytestmark = pytest.mark.alike

BACKEND = [sys.executable, "-m", "outboard", "gpu", "serve", "--fd={fd}"]
SHORT_S, LONG_S = 0.3, 30.0


@contextlib.contextmanager
def stopped(server):
    """Stop the back-end for a block, in which nobody waits for long."""
    os.kill(server.backend.pid, signal.SIGSTOP)
    server.vmm.timeout_s = SHORT_S
    try:
        yield
    finally:
        os.kill(server.backend.pid, signal.SIGCONT)
        server.vmm.timeout_s = LONG_S


@pytest.fixture
def server():
    with DisplayServer([(64, 48)], timeout_s=LONG_S) as made:
        made.start(BACKEND)
        yield made


CALLS = {
    "one command": lambda card, buffer: card.driver.get_edid(0),
    "several": lambda card, buffer: card.damage(buffer, [(0, 0, 8, 8), (8, 8, 8, 8)]),
    "sync": lambda card, buffer: card.sync(),
}


@pytest.mark.parametrize("late", CALLS)
@pytest.mark.parametrize("call", CALLS)
def test_answers_that_come_late_are_dropped(server, late, call):
    server.boot()
    card = Card(server.vmm)
    card.probe()
    buffer = card.dumb(64, 48)
    card.set_mode(0, buffer)
    edid = card.driver.get_edid(0)
    with stopped(server), pytest.raises(WaitTimeout):
        CALLS[late](card, buffer)
    for _ in range(3):
        CALLS[call](card, buffer)
        assert card.driver.get_edid(0) == edid
    buffer.pixels[:] = 77
    card.damage(buffer, [(0, 0, 64, 48)])
    card.sync()
    shown = server.screens[0].frame().pixels
    assert {*shown[0::4], *shown[1::4], *shown[2::4]} == {77}


def test_memory_that_the_device_may_still_use_is_not_used_again(server):
    """The command that was given up is carried out as it was, whatever was asked since."""
    server.boot()
    card = Card(server.vmm)
    card.probe()
    driver = card.driver
    with stopped(server):
        for _ in range(5):
            with pytest.raises(WaitTimeout):
                driver.get_edid(0)
    assert driver.get_display_info()[:4] == bytes.fromhex("01110000")


def test_a_back_end_that_hangs_is_named(server):
    server.vmm.timeout_s = SHORT_S
    with stopped(server), pytest.raises(WaitTimeout, match=f"^{sys.executable} still runs; no reply"):
        server.boot()
