"""`outboard tap` as a command: what it prints, how it ends."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib

import pytest

from outboard.host.loop import Loop
from outboard.tap.output import Output
from tests.tap.conftest import exactly, message, send

pytestmark = pytest.mark.alike


class Running:
    """The command between a listener of ours and a front-end's connection."""

    def __init__(self, folder, *words, stdout=subprocess.PIPE):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / "back.sock"))
        self.listener.listen()
        self.listener.settimeout(10)
        argv = [sys.executable, "-m", "outboard", "tap", folder / "tap.sock", folder / "back.sock", *words]
        self.popen = subprocess.Popen(argv, stdout=stdout, stderr=subprocess.PIPE, text=True)
        self.first = self.popen.stderr.readline()
        self.front = self.listener

    def connect(self, folder):
        self.front = socket.socket(socket.AF_UNIX)
        self.front.settimeout(10)
        self.front.connect(str(folder / "tap.sock"))
        self.front.sendall(message(1))
        self.back = self.listener.accept()[0]
        self.back.settimeout(10)
        assert exactly(self.back, 12) == message(1)
        self.back.sendall(message(1, 5, bytes(8)))
        assert exactly(self.front, 20)

    def rest(self):
        """Standard output and error to the end, and the exit code."""
        return (*self.popen.communicate(timeout=20), self.popen.returncode)

    def close(self):
        self.popen.kill()
        self.popen.communicate()
        for sock in (self.listener, self.front):
            sock.close()


@pytest.fixture
def start(socket_dir):
    made = []

    def run(*words, **options):
        made.append(Running(socket_dir, *words, **options))
        return made[-1]

    yield run
    for running in made:
        running.close()


def test_one_line_a_message(start, socket_dir):
    running = start("--once")
    assert running.first == f"outboard: tapping {socket_dir}/back.sock, listening on {socket_dir}/tap.sock\n"
    running.connect(socket_dir)
    running.front.sendall(message(8, 1, struct.pack("=II", 0, 64)))
    exactly(running.back, 20)
    running.front.close()
    out, err, code = running.rest()
    assert [line.split(maxsplit=1)[1] for line in out.splitlines()] == [
        "control-1  -> GET_FEATURES",
        "control-1  <- GET_FEATURES none",
        "control-1  -> SET_VRING_NUM index=0 num=64",
    ]
    assert err.splitlines() == [
        "outboard: front-end 1 connected",
        "outboard: the front-end left",
        "outboard: 3 messages, 0 unknown",
    ]
    assert code == 0 and not (socket_dir / "tap.sock").exists()


def test_all_fields_and_a_hash_of_pixels(start, socket_dir):
    running = start("--once", "-v")
    running.connect(socket_dir)
    shown, drawn = socket.socketpair()
    send(running.front, message(33), [drawn.fileno()])
    drawn.close()
    shown.settimeout(10)
    _, (fd,), _, _ = socket.recv_fds(running.back, 12, 1)
    with socket.socket(fileno=fd) as drawn, shown:
        drawn.sendall(message(8, 0x36, struct.pack("=IIIII", 0, 1, 2, 100, 100) + bytes(40000)))
        exactly(shown, 12 + 20 + 40000)
    running.front.close()
    out, _, _ = running.rest()
    lines = [line.strip() for line in out.splitlines()]
    at = next(at for at, line in enumerate(lines) if line.endswith("gpu-1.1    <- UPDATE scanout 0 100x100 at 1,2"))
    assert lines[at + 1 :] == [
        "flags 0x36, 40020 bytes",
        "scanout_id 0",
        "x 1",
        "y 2",
        "width 100",
        "height 100",
        "pixels 40000 bytes",
        f"crc32 {zlib.crc32(bytes(40000)):08x}",
    ]


def test_json_and_the_end_of_the_back_end(start, socket_dir):
    running = start("--once", "--json")
    running.connect(socket_dir)
    running.back.close()
    out, err, code = running.rest()
    assert [json.loads(line)["to"] for line in out.splitlines()] == ["back-end", "front-end"]
    assert "outboard: the back-end left\n" in err and code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_capture(start, socket_dir, tmp_path, number):
    running = start("--quiet", "--pcapng", tmp_path / "a.pcapng")
    running.connect(socket_dir)
    running.popen.send_signal(number)
    out, err, code = running.rest()
    assert (out, code) == ("", 0) and "2 messages, 0 unknown" in err
    data, at, kinds = (tmp_path / "a.pcapng").read_bytes(), 0, []
    while at < len(data):
        kind, length = struct.unpack_from("=II", data, at)
        assert struct.unpack_from("=I", data, at + length - 4) == (length,)
        kinds.append(kind)
        at += length
    assert kinds == [0x0A0D0D0A, 1, 6, 6]
    assert running.front.recv(1) == b"", "the VMM sees an end"


def test_a_capture_can_be_read_while_it_grows(start, socket_dir, tmp_path):
    running = start("--quiet", "--pcapng", tmp_path / "a.pcapng")
    running.connect(socket_dir)
    deadline = time.monotonic() + 20
    while message(1, 5, bytes(8)) not in (tmp_path / "a.pcapng").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_goes_on_when_nobody_reads_what_it_prints(start, socket_dir):
    """A VM depends on it."""
    running = start()
    running.popen.stdout.close()
    running.connect(socket_dir)
    for _ in range(20):
        running.front.sendall(message(3))
        assert exactly(running.back, 12) == message(3)
    running.popen.stdout = None
    running.popen.terminate()
    assert running.rest()[2] == 0


def test_it_goes_on_when_nobody_reads_for_a_while(start, socket_dir):
    """The pipe is full long before: all lines are there when somebody reads at last."""
    running = start("--json")
    running.connect(socket_dir)
    for _ in range(2000):
        running.front.sendall(message(3))
        assert exactly(running.back, 12) == message(3)
    lines = [running.popen.stdout.readline() for _ in range(2002)]
    assert {json.loads(line)["name"] for line in lines[2:]} == {"SET_OWNER"}
    running.popen.terminate()
    assert running.rest()[2] == 0


def test_it_ends_although_nobody_reads(start, socket_dir):
    running = start("-v")
    running.connect(socket_dir)
    for _ in range(3000):
        running.front.sendall(message(3))
        assert exactly(running.back, 12) == message(3)
    running.popen.terminate()
    assert running.popen.wait(20) == 0
    err = running.popen.stderr.read()
    assert "lines were not printed, as nobody read them in time" in err and "3002 messages, 0 unknown" in err
    assert not (socket_dir / "tap.sock").exists()


def test_lines_beyond_the_limit_are_left_out_and_counted(monkeypatch):
    monkeypatch.setattr("outboard.tap.output.UNREAD_MAX", 1000)
    said = []
    reading, writing = os.pipe()
    with contextlib.closing(Loop()) as loop:
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        output = Output(writing, loop, said.append)
        for number in range(1000):
            output.write(f"line {number}")
        kept = os.read(reading, 1 << 20)
        while said == []:
            loop.run_once(1)
        kept += os.read(reading, 1 << 20)
        lines = kept.decode().splitlines()
        assert lines == [f"line {number}" for number in range(len(lines))], "whole lines, in order"
        assert said == [f"{1000 - len(lines)} lines were not printed, as nobody read them in time"]
    os.close(reading)
    os.close(writing)


def test_it_goes_on_when_the_disk_is_full(start, socket_dir):
    with open("/dev/full", "w") as full:
        running = start("--once", "--pcapng", "/dev/full", stdout=full)
    running.connect(socket_dir)
    for _ in range(20):
        running.front.sendall(message(3))
        assert exactly(running.back, 12) == message(3)
    running.front.close()
    _, err, code = running.rest()
    assert "messages cannot be printed any more: No space left on device" in err and code == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("a.sock", "b.sock", "--pixels"), "--pixels records pixels into a capture; name its file with --pcapng FILE"),
        (
            ("a.sock", "b.sock", "--pcapng", "no/such/folder"),
            "no/such/folder: cannot be written: No such file or directory",
        ),
        (("a.sock", "a.sock"), "LISTEN and CONNECT are the same path"),
        (("a" * 120, "b.sock"), "socket paths have at most 107 bytes"),
        (("a.sock", "b" * 120), "socket paths have at most 107 bytes"),
        (("no/such/a.sock", "b.sock"), "cannot listen: No such file or directory"),
    ],
)
def test_what_cannot_be_is_a_sentence(run_outboard, tmp_path, monkeypatch, words, complaint):
    monkeypatch.chdir(tmp_path)
    done = run_outboard("tap", *words)
    assert done.returncode == 2 and complaint in done.stderr and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_nobody_listens_at_connect(start, socket_dir):
    running = start()
    running.listener.close()
    with socket.socket(socket.AF_UNIX) as front:
        front.connect(str(socket_dir / "tap.sock"))
        front.sendall(message(1))
        _, err, code = running.rest()
    assert code == 2
    why = "nobody listens there after 5 s: Connection refused; start the back-end first"
    assert err == f"outboard: {socket_dir}/back.sock: {why}\n"
