"""Peers of the machine's tests."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from outboard.qemu.find import find_c_helper


@pytest.fixture
def c_helper(socket_dir: Path) -> Iterator[Path]:
    """QEMU's own GPU back-end, started; the path of its socket. It serves one front-end, then it ends."""
    program = find_c_helper()
    if not program:
        why = "QEMU's vhost-user-gpu is not installed; apt-get install qemu-system-gui"
        if os.environ.get("OUTBOARD_REQUIRE_PEERS") == "1":
            pytest.fail(f"OUTBOARD_REQUIRE_PEERS=1, but {why}", pytrace=False)
        pytest.skip(why)
    path = socket_dir / "c.sock"
    with subprocess.Popen([program, f"--socket-path={path}"], stderr=subprocess.DEVNULL) as process:
        yield path
        process.kill()
