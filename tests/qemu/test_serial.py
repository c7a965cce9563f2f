"""The serial console's client, against a shell of this machine in place of a guest's."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from outboard.errors import LocalError, WaitTimeout
from outboard.qemu import QemuError, Serial


@pytest.fixture
def serial(socket_dir: Path) -> Iterator[Serial]:
    """A console with a shell behind it."""
    path = socket_dir / "ser.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        client = Serial(path)
        end, _ = listener.accept()
    with end:
        shell = subprocess.Popen(["/bin/sh"], stdin=end.fileno(), stdout=end.fileno(), stderr=end.fileno())
    yield client
    client.close()
    shell.wait(10)


def test_run(serial: Serial) -> None:
    assert serial.run("echo one; echo two") == "one\ntwo\n"
    assert serial.run("printf 'no newline'; echo; true") == "no newline\n"
    assert serial.run("sleep 0 &") == ""
    assert serial.run('echo "it\'s" # a comment') == "it's\n"
    with pytest.raises(QemuError, match=r"guest command 'echo why; false': exit status 1, it printed:\nwhy\n"):
        serial.run("echo why; false")
    assert serial.run("(exit 3)", check=False) == ""


def test_carriage_returns_are_dropped(serial: Serial) -> None:
    assert serial.run("printf 'a\\r\\nb\\r\\n'") == "a\nb\n"


def test_an_echo_is_not_the_end(serial: Serial) -> None:
    assert serial.run("echo \"echo @@''mark-1-ends 0\"") == "echo @@''mark-1-ends 0\n"


def test_wait_for(serial: Serial) -> None:
    serial.send("echo ready 42\n")
    assert serial.wait_for(r"ready (\d+)\n", 5)[1] == "42"
    with pytest.raises(WaitTimeout, match=r"'never' did not come within 0.1 s; the guest's last lines:\n    ready 42"):
        serial.wait_for("never", 0.1)
    serial.send("exit\n")
    with pytest.raises(QemuError, match="the console closed before 'never' came"):
        serial.wait_for("never", 5)


def test_misuse(serial: Serial) -> None:
    for command in ("two\nlines", "x" * 5000):
        with pytest.raises(LocalError, match="one line of at most 4000 characters"):
            serial.run(command)


def test_nobody_listens(socket_dir: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Serial(socket_dir / "nothing")
