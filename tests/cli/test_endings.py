"""How commands end: told to by a signal, with nobody to print to. Nothing is left behind, no traceback is shown."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.alike

OUTBOARD = [sys.executable, "-m", "outboard"]
SERVE = [*OUTBOARD, "gpu", "serve", "{socket}"]
IDLES = ["sh", "-c", "sleep 600; :", "{socket}"]
PATIENCE_S = 30


def started_by(pid):
    """Processes that a process has started, and those that these have."""
    found = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in thread.read_text().split():
                found += [int(child), *started_by(int(child))]
    return found


def by_default():
    """Let signals do what they do by default: whoever runs the tests may ignore them, as nohup does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def runs(pid):
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(condition):
    end = time.monotonic() + PATIENCE_S
    while not (result := condition()):
        assert time.monotonic() < end
        time.sleep(0.005)
    return result


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize(
    "words",
    [
        ["display", "host", "--seconds", "600", "--", *SERVE],
        ["machine", "run", "--seconds", "600"],
        ["check", "backend", "--timeout", "60", "--only", "control.features.*", "--", *IDLES],
        ["check", "frontend", "--timeout", "60", "--", *IDLES],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_told_to_end_it_leaves_nothing(words, number, tmp_path):
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        [*OUTBOARD, *words], env=environment, cwd=tmp_path, preexec_fn=by_default, **streams
    ) as process:
        theirs = eventually(lambda: started_by(process.pid))
        process.send_signal(number)
        try:
            said = process.communicate(timeout=PATIENCE_S)[1].decode()
        finally:
            process.kill()
    assert "Traceback" not in said
    assert process.returncode == 128 + number
    assert not [pid for pid in theirs if runs(pid)]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("outboard-")] == []


PRINTS = [
    ["--version"],
    ["tap", "--dissector"],
    ["gpu", "serve", "--print-capabilities"],
    ["check", "backend", "--list"],
]
DRAWS = ["display", "host", "--frames", "2", "--size", "64x64", "--", *SERVE]


@pytest.mark.parametrize("words", PRINTS, ids=" ".join)
def test_what_prints_to_nobody(words):
    reading, writing = os.pipe()
    os.close(reading)
    with open("/dev/full", "w") as full:
        for output, code in ((writing, 141), (full, 2)):
            done = subprocess.run([*OUTBOARD, *words], stdout=output, stderr=subprocess.PIPE, text=True, timeout=60)
            assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    os.close(writing)


@pytest.mark.parametrize("words", [*PRINTS, DRAWS], ids=lambda words: " ".join(words[:2]))
def test_without_standard_streams(words):
    """As a service manager may start it."""
    command = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *OUTBOARD, *words]
    assert subprocess.run(command, timeout=60).returncode == 0


def test_words_that_the_terminal_cannot_show():
    """What a peer says at its end is told, whatever it is."""
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    peer = ["sh", "-c", "echo 'verr\u00fcckt' >&2; exit 3 # {socket}"]
    words = ["check", "backend", "--only", "control.features.legacy", "--", *peer]
    done = subprocess.run([*OUTBOARD, *words], env=environment, capture_output=True, timeout=60)
    assert done.returncode == 2 and b"exited with status 3" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["display", "host", "--", *SERVE], ["machine", "run"], ["gpu", "serve", "a.sock"]])
def test_a_picture_replaces_no_device(words, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    words = [*words[:2], "--shot", str(tmp_path / "fifo"), *words[2:]]
    done = subprocess.run([*OUTBOARD, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "is no regular file" in done.stderr
    assert (tmp_path / "fifo").is_fifo()
