"""A card in front of a back-end, with no VM: ours in a thread of this process, or QEMU's in one of its own."""

import contextlib
import os
import random
import sys
from pathlib import Path

import pytest

import outboard.gpu
from outboard.frontend.server import DisplayServer
from outboard.machine.card import Card
from outboard.machine.scenes import compare
from outboard.qemu.find import find_c_helper

PATIENCE = 20.0
"""Seconds until something that must happen is said not to; never what a test waits for when all is well."""


class Rig:
    """A display server that is booted, and a card that is probed."""

    def __init__(self, server):
        self.server = server
        self.card = Card(server.vmm)
        self.card.probe()

    def settle(self):
        """Wait until the display has read all that the back-end sent so far: it asks it, in the same stream."""
        self.card.sync()

    def frame(self, scanout_id=0):
        """Return what an output shows when the display has read everything."""
        self.settle()
        return self.server.screens[scanout_id].frame()

    def wrong(self, scene, scanout_id=0):
        """Return in words what is wrong with an output's picture, and with its cursor; () for nothing."""
        frame, expected = self.frame(scanout_id), scene.expected(scanout_id)
        found = compare.picture(expected, frame.width, frame.height, frame.pixels)
        cursor = compare.pointer(expected.cursor, frame.cursor)
        return tuple(one.says for one in (found, cursor) if one)


@pytest.fixture
def ours(socket_dir):
    """`ours(modes, ...)` hosts our back-end."""
    with contextlib.ExitStack() as stack:

        def start(modes=((320, 200),), **options):
            path = socket_dir / f"gpu{random.randrange(1 << 30):x}.sock"
            stack.enter_context(outboard.gpu.serve(path))
            server = stack.enter_context(DisplayServer(modes, timeout_s=PATIENCE, **options))
            server.connect(path)
            server.boot()
            return Rig(server)

        yield start


@pytest.fixture
def qemus():
    """`qemus(modes, ...)` hosts QEMU's back-end."""
    program = find_c_helper()
    if not program:
        why = "QEMU's vhost-user-gpu is not installed; apt-get install qemu-system-gui"
        if os.environ.get("OUTBOARD_REQUIRE_PEERS") == "1":
            pytest.fail(f"OUTBOARD_REQUIRE_PEERS=1, but {why}", pytrace=False)
        pytest.skip(why)
    with contextlib.ExitStack() as stack:

        def start(modes=((320, 200),), **options):
            server = stack.enter_context(DisplayServer(modes, timeout_s=PATIENCE, **options))
            server.start([str(program), "--fd={fd}"])
            server.boot()
            return Rig(server)

        yield start


@pytest.fixture(params=["gfxstream", "virglrenderer"])
def rusts(request, monkeypatch):
    """`rusts(modes, ...)` hosts the stand-in for rust-vmm's back-end; `rusts.mode` names its renderer."""
    monkeypatch.chdir(Path(__file__).parents[2])
    program = [
        sys.executable,
        "-m",
        "bench.plain",
        "tests.peers.rust_like",
        "--socket-path",
        "{socket}",
        "--gpu-mode",
        request.param,
    ]
    with contextlib.ExitStack() as stack:

        def start(modes=((320, 200),), **options):
            server = stack.enter_context(DisplayServer(modes, timeout_s=PATIENCE, **options))
            server.start(program)
            server.boot()
            return Rig(server)

        start.mode = request.param
        yield start


@pytest.fixture(params=["ours", "qemus"])
def host(request):
    """`host(modes, ...)` hosts either back-end."""
    return request.getfixturevalue(request.param)
