"""Our back-end passes its own kit: as a process of its own for each check, as one for many, and behind an fd."""

import json
import subprocess
import sys

import pytest

from outboard.cli.main import main

OURS = [sys.executable, "-m", "outboard", "gpu", "serve"]
SKIPPED = {
    "control.request.reset_device",  # it offers RESET_DEVICE
    "command.set_scanout.beyond_config",  # it has 16 outputs
}


def run(capfd, *arguments):
    """Run the kit; return its exit code and the checks by id."""
    code = main(["check", "backend", "--json", "--timeout", "20", *arguments])
    return code, {row["id"]: row for row in json.loads(capfd.readouterr().out)["checks"]}


def failures(rows):
    return {
        check: (row["expected"], row["got"], *row["exchange"]) for check, row in rows.items() if row["status"] == "fail"
    }


def test_the_whole_kit(capfd):
    code, rows = run(capfd, "--reuse", "--", *OURS, "{socket}")
    assert failures(rows) == {}
    skipped = {check for check, row in rows.items() if row["status"] == "skip"}
    assert skipped == SKIPPED | {check for check in rows if check.startswith("gpu.dmabuf.")}  # it sends pixels
    assert code == 0


def test_a_process_for_each_check(capfd):
    code, rows = run(capfd, "--only", "life.*", "--", *OURS, "{socket}")
    assert (code, failures(rows)) == (0, {})


def test_an_inherited_socket(capfd):
    code, rows = run(capfd, "--only", "*.fragmented.*", "--only", "picture.outputs.*", "--", *OURS, "--fd", "{fd}")
    assert (code, failures(rows)) == (0, {})
    code, rows = run(capfd, "--only", "life.end.*", "--", *OURS, "--fd", "{fd}")
    assert (code, failures(rows)) == (0, {})
    assert rows["life.end.again"]["status"] == "skip"


@pytest.fixture
def listening(socket_dir):
    """Our back-end, started by somebody else; the path of its socket."""
    path = socket_dir / "gpu.sock"
    with subprocess.Popen([*OURS, str(path)], stderr=subprocess.PIPE) as process:
        assert process.stderr.readline()
        yield path
        process.kill()


def test_a_back_end_that_listens(capfd, listening):
    code, rows = run(capfd, "--only", "gpu.request.*", "--only", "queue.broken.*", "--connect", str(listening))
    assert (code, failures(rows)) == (0, {})
