"""`outboard blk serve` as a process: what it says, how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from outboard.machine.disk import Request, attached
from tests.backend.disk.conftest import PATIENCE, SIZE

SERVE = [sys.executable, "-m", "outboard", "blk", "serve"]


class Process:
    """A started back-end; it says what it serves before this returns."""

    def __init__(self, *arguments, lines=1, **options):
        command = [*SERVE, *map(str, arguments)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)
        self.said = [self.process.stderr.readline() for _ in range(lines)]

    def end(self, number=None):
        """Wait for the end; return (exit code, standard output, the rest of standard error)."""
        if number is not None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


def refused(*arguments):
    """Run a command that cannot serve; return its one line."""
    done = subprocess.run([*SERVE, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("threads", [(), ("--iothread", "1"), ("--iothread", "fast")])
def test_it_serves_until_it_is_told_to_end(folder, image, number, threads):
    path = folder / "a.sock"
    process = Process(path, "--image", image, "--serial", "cli", *threads)
    assert process.said == [f"outboard: serving {image} on {path}\n"]
    with attached(path, timeout_s=PATIENCE) as disk:
        assert disk.read(0, SIZE) == image.read_bytes()
        assert disk.get_id() == "cli"
    assert process.end(number) == (0, "", "outboard: front-end 1 connected\noutboard: front-end left\n")
    assert not path.exists()


def test_a_signal_ends_it_while_a_front_end_is_there(folder, image):
    path = folder / "a.sock"
    process = Process(path, "--image", image, "--iothread", "2")
    with attached(path, timeout_s=PATIENCE) as disk:
        disk.write(0, b"last" * 128)
        code, _, err = process.end(signal.SIGTERM)
    assert (code, err.splitlines()[-1]) == (0, "outboard: front-end left")
    assert image.read_bytes()[:512] == b"last" * 128


def test_several_disks_in_one_process(folder, image):
    other = folder / "b.img"
    other.write_bytes(b"B" * SIZE)
    pairs = [f"{folder / 'a.sock'}={image}", f"{folder / 'b.sock'}={other}"]
    process = Process(*pairs, "--iothread", "2", "--num-queues", "2", lines=2)
    with (
        attached(folder / "a.sock", 2, timeout_s=PATIENCE) as first,
        attached(folder / "b.sock", 2, timeout_s=PATIENCE) as second,
    ):
        assert first.read(0, 4096) == image.read_bytes()[:4096]
        assert second.read(0, 4096) == b"B" * 4096
        names = {
            open(f"/proc/{process.process.pid}/task/{task}/comm").read().strip()
            for task in os.listdir(f"/proc/{process.process.pid}/task")
        }
        assert len(os.listdir(f"/proc/{process.process.pid}/task")) >= 3, names
    assert process.end(signal.SIGINT)[0] == 0


def test_an_inherited_socket(image):
    ours, theirs = socket.socketpair()
    number = theirs.fileno()
    process = Process("--fd", number, "--image", image, pass_fds=[number], lines=2)
    theirs.close()
    assert sorted(process.said) == ["outboard: front-end 1 connected\n", f"outboard: serving {image} on fd {number}\n"]
    ours.close()
    assert process.end()[0] == 0


def test_once_and_options_reach_the_disk(folder, image):
    path = folder / "a.sock"
    options = ["--once", "--read-only", "--num-queues", "3", "--queue-size", "64", "--cache", "writethrough"]
    process = Process(path, "--image", image, *options, "--logical-block-size", "4096")
    with attached(path, 3, 64, timeout_s=PATIENCE) as disk:
        assert (disk.read_only, disk.block_size, disk.config.num_queues) == (True, 4096, 3)
        assert (disk.config.seg_max, disk.config.writeback) == (62, 0)
    assert process.end()[0] == 0


def test_events_as_json(folder, image):
    path = folder / "a.sock"
    process = Process(path, "--image", image, "--json", "--once")
    with attached(path, timeout_s=PATIENCE) as disk:
        disk.flush()
    code, out, _ = process.end()
    events = [json.loads(line) for line in out.splitlines()]
    assert (code, [one["event"] for one in events]) == (0, ["session.began", "session.ended"])
    assert all(one["time"] > 0 for one in events)


def test_refused_requests_are_told_who_asks(folder, image):
    path = folder / "a.sock"
    process = Process(path, "--image", image, "-v", "--once")
    with attached(path, timeout_s=PATIENCE) as disk:
        disk.ask(Request(99))
        disk.ask(Request(0, 1 << 40, room=512))
    _, _, err = process.end()
    assert "outboard: guest request of type 99 at sector 0 refused with status 2\n" in err
    assert f"outboard: guest request of type 0 at sector {1 << 40} refused with status 1\n" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give SOCKET and --image FILE, or SOCKET=FILE for every disk"),
        (("a.sock",), "give SOCKET and --image FILE, or SOCKET=FILE for every disk"),
        (("a.sock=",), "give SOCKET and --image FILE, or SOCKET=FILE for every disk"),
        (("a.sock", "b.sock", "--image", "x"), "give one SOCKET, or --fd N, with --image FILE"),
        (("a.sock", "--fd", "3", "--image", "x"), "give one SOCKET, or --fd N, with --image FILE"),
        (("a.sock=x", "b.sock=y", "--serial", "s"), "--serial is for one disk"),
        (("a.sock=x", "b.sock=y", "a.sock=z"), "a.sock is given twice"),
        (("a.sock=x", "--iothread", "0"), "--iothread 0: 1 to 64 threads"),
        (("a.sock=x", "--iothread", ""), "--iothread: expected a name or a number of threads, got nothing"),
        (("a.sock=fifo",), "expected a regular file or a block device"),
        (("a.sock=missing.img",), "Could not open 'missing.img': No such file or directory"),
        (("a.sock=odd.img",), "image odd.img: expected whole sectors of 512 bytes, got 1000 bytes"),
        (("a.sock=disk.img", "--queue-size", "100"), "queue size 100"),
        (("nowhere/a.sock=disk.img",), "nowhere/a.sock: cannot listen"),
        (("a.sock=/dev/null",), "expected a regular file or a block device"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(folder, image, monkeypatch, arguments, words):
    monkeypatch.chdir(folder)
    (folder / "odd.img").write_bytes(bytes(1000))
    os.mkfifo(folder / "fifo")
    said = refused(*arguments)
    assert said.startswith("outboard: ")
    assert said.count("\n") == 1
    assert words in said
    assert not (folder / "a.sock").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_image_that_may_not_be_read(folder, image):
    image.chmod(0)
    assert "Permission denied" in refused(folder / "a.sock", "--image", image)


def test_an_image_that_is_in_use(folder, image):
    process = Process(folder / "a.sock", "--image", image)
    said = refused(folder / "b.sock", "--image", image)
    assert f"is in use by process {process.process.pid}" in said
    assert "another process listens there" in refused(folder / "a.sock", "--image", _other(folder))
    assert process.end(signal.SIGTERM)[0] == 0


def _other(folder):
    other = folder / "other.img"
    other.write_bytes(bytes(512))
    return other
