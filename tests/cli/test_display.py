"""`outboard display host` as a process: what it says of back-ends that are good, bad, dead or none at all."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest
from PIL import Image

from outboard.qemu.find import find_c_helper

pytestmark = pytest.mark.alike

PATIENCE = 60
OURS = [sys.executable, "-m", "outboard", "gpu", "serve"]
ROOT = Path(__file__).parents[2]
HOST = [sys.executable, "-m", "outboard", "display", "host"]


@pytest.fixture
def c_helper_program():
    program = find_c_helper()
    if not program:
        why = "QEMU's vhost-user-gpu is not installed; apt-get install qemu-system-gui"
        if os.environ.get("OUTBOARD_REQUIRE_PEERS") == "1":
            pytest.fail(f"OUTBOARD_REQUIRE_PEERS=1, but {why}", pytrace=False)
        pytest.skip(why)
    return str(program)


def host(*arguments, backend=None, cwd=None, code=0):
    """Run the command; return its output, or what it complains of. There is never a traceback."""
    command = [*HOST, *map(str, arguments), *(["--", *backend] if backend else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=cwd)
    assert "Traceback" not in done.stderr
    assert done.returncode == code, done
    return done.stdout if code < 2 else done.stderr


def figures(*arguments, **options):
    return json.loads(host("--json", *arguments, **options))


@pytest.mark.parametrize("way", [["{socket}", "--once"], ["--fd", "{fd}"]])
def test_our_back_end_is_hosted(socket_dir, way):
    shot = socket_dir / "screen.png"
    said = host("--frames", 20, "--shot", shot, backend=[*OURS, *way])
    lines = dict(line.split(maxsplit=1) for line in said.splitlines())
    assert lines["back-end"] == " ".join([*OURS, *way])
    assert "MQ REPLY_ACK CONFIG" in lines["offers"]
    assert lines["scene"] == "test-card on 1280x800"
    assert lines["drawn"].startswith("20 frames in ")
    assert lines["checked"] == "20 of them, every pixel was right"
    assert lines["picture"] == str(shot)
    with Image.open(shot) as image:
        corners = [image.getpixel(place) for place in ((0, 0), (1279, 0), (0, 799), (1279, 799))]
    assert corners == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]


@pytest.mark.parametrize("way", ["--socket-path={socket}", "--fd={fd}"])
def test_qemus_back_end_is_hosted(c_helper_program, way):
    got = figures("--frames", 10, "--scene", "two-heads", backend=[c_helper_program, way])
    assert (got["frames"], got["checked"], got["wrong"], got["violations"]) == (10, 10, [], [])
    assert (got["scene"], got["outputs"]) == ("two-heads", [[1280, 800], [1024, 768]])
    assert "VERSION_1" in got["offered"]["virtio"]
    assert {"MQ", "CONFIG"} <= set(got["offered"]["vhost-user"])
    assert got["frames_per_second"] > 0


def test_a_back_end_that_listens_is_connected_to(socket_dir):
    path = socket_dir / "gpu.sock"
    with subprocess.Popen([*OURS, path, "--once"], stderr=subprocess.DEVNULL) as process:
        got = figures("--frames", 3, "--scene", "cursor", "--connect", path)
        assert process.wait(PATIENCE) == 0
    assert (got["backend"], got["frames"], got["wrong"]) == (str(path), 3, [])


def test_what_qemus_back_end_shows_wrong_is_told(c_helper_program):
    options = ["--scene", "one-framebuffer", "--size", "320x200", "--outputs", "2"]
    got = figures(*options, backend=[c_helper_program, "--fd={fd}"], code=1)
    assert got["wrong"] == [
        {"frame": 0, "output": 1, "says": "expected a picture of 320x200, got 0x0", "pixels": 0, "x": -1, "y": -1}
    ]
    assert got["violations"] == ["UPDATE 320x200 at 320,8 outside a scanout of 320x200"]
    got = figures(*options, "--frames", 4, "--keep-going", backend=[c_helper_program, "--fd={fd}"], code=1)
    assert [one["frame"] for one in got["wrong"]] == [0, 1, 2, 3]


def test_wrong_pixels_are_counted_and_placed():
    mutant = [sys.executable, "-m", "tests.conformance.mutants", "transfer_offset_ignored", "--fd", "{fd}"]
    said = host("--frames", 5, "--size", "1024x768", backend=mutant, cwd=ROOT, code=1)
    assert "not all were right" in said
    wrong = next(line for line in said.splitlines() if line.startswith("wrong"))
    assert "frame 1, output 0: " in wrong
    assert "of 786432 pixels wrong, the first at " in wrong


def test_several_outputs_have_files_of_their_own(socket_dir):
    shot = socket_dir / "heads.png"
    sizes = ["--size", "64x48", "--size", "48x64", "--size", "10x10"]
    got = figures("--frames", 2, *sizes, "--shot", shot, backend=[*OURS, "--fd", "{fd}"])
    assert got["shots"] == [str(socket_dir / name) for name in ("heads.png", "heads-1.png", "heads-2.png")]
    for file, size in zip(got["shots"], [(64, 48), (48, 64), (10, 10)], strict=True):
        with Image.open(file) as image:
            assert image.size == size


def test_a_picture_file_is_shown(socket_dir):
    pixels = numpy.random.default_rng(1).integers(0, 256, (40, 60, 3), "u1")
    Image.fromarray(pixels).save(socket_dir / "in.png")
    options = ["--scene", "picture", "--file", socket_dir / "in.png", "--shot", socket_dir / "out.png"]
    got = figures(*options, "--size", "60x40", backend=[*OURS, "--fd", "{fd}"])
    assert (got["frames"], got["checked"], got["wrong"]) == (1, 1, [])
    with Image.open(socket_dir / "out.png") as image:
        assert (numpy.asarray(image) == pixels).all()


def test_seconds_end_it():
    got = figures("--seconds", "0.2", "--size", "64x64", backend=[*OURS, "--fd", "{fd}"])
    assert got["seconds"] >= 0.2
    assert got["frames"] > 1


def test_the_scenes_are_listed():
    said = host("--scene", "list")
    assert [line.split()[0] for line in said.splitlines()][:3] == ["test-card", "rectangle", "scroll"]


def test_a_terminal_gets_a_picture_and_a_pipe_none():
    command = [*HOST, "--frames", "1", "--size", "64x64", "--", *OURS, "--fd", "{fd}"]
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONIOENCODING": "utf-8"}
    environ.pop("NO_COLOR", None)
    said = b""
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.STDOUT, env=environ) as process:
        os.close(theirs)
        end = time.monotonic() + PATIENCE
        while select.select([ours], [], [], max(0, end - time.monotonic()))[0]:
            try:
                said += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
        assert process.wait(PATIENCE) == 0
    os.close(ours)
    assert b"every pixel was right" in said
    assert said.count("▀".encode()) > 200
    assert "▀" not in host("--frames", "1", "--size", "64x64", backend=[*OURS, "--fd", "{fd}"])


@pytest.mark.parametrize(
    ("program", "timeout", "words"),
    [
        ("import sys; sys.exit('no {socket} today')", PATIENCE, "exited with status 1, its last words: no /"),
        ("import os; os.kill(os.getpid(), 9)  # {socket}", PATIENCE, "died of SIGKILL"),
        ("print('rubbish ' * 9999)  # {socket}", PATIENCE, "exited with status 0"),
        ("import time; time.sleep(99)  # {socket}", 0.2, "does not listen on {socket}"),
    ],
)
def test_a_back_end_that_does_not_listen_is_told(program, timeout, words):
    said = host("--timeout", timeout, backend=[sys.executable, "-c", program], code=2)
    assert words in said
    assert said.count("\n") == 1


RUBBISH = """
import socket, sys, time
sock = socket.socket(fileno=int(sys.argv[1]))
{body}
"""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("sock.recv(999); sock.send(b'rubbish' * 99); time.sleep(99)", "expected"),
        ("sock.recv(999); sys.exit('I give up')", "exited with status 1, its last words: I give up"),
        ("sys.exit(7)", "exited with status 7"),
        ("sock.recv(999); sock.close(); time.sleep(99)", "control socket"),
    ],
)
def test_a_back_end_that_speaks_otherwise_is_told(body, words):
    said = host("--timeout", PATIENCE, backend=[sys.executable, "-c", RUBBISH.format(body=body), "{fd}"], code=2)
    assert words in said
    assert said.startswith("outboard: ")
    assert said.count("\n") == 1


DIES = """
import os, sys
from outboard.gpu import scanouts
from outboard.cli.main import main

count = 0
honest = scanouts.resource_flush

def flush(*arguments):
    global count
    count += 1
    if count == 5:
        print("out of ink", file=sys.stderr, flush=True)
        os._exit(3)
    return honest(*arguments)

scanouts.resource_flush = flush
sys.exit(main(["gpu", "serve", *sys.argv[1:]]))
"""


def test_a_back_end_that_dies_at_work_is_told():
    said = host(backend=[sys.executable, "-c", DIES, "--fd", "{fd}"], code=2)
    assert "exited with status 3, its last words: out of ink" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give either the back-end behind -- or --connect PATH"),
        (["--connect", "x.sock", "--", "prog", "{fd}"], "give either the back-end behind --"),
        (["--", "no-such-program", "{fd}"], "no-such-program: cannot be started"),
        (["--", "true"], "write {socket} where"),
        (["--scene", "none", "--", "true", "{fd}"], "there is no scene 'none'; there are test-card"),
        (["--scene", "picture", "--", "true", "{fd}"], "scene picture needs a file"),
        (["--scene", "picture", "--file", "none.png", "--", "true", "{fd}"], "none.png: no such file"),
        (["--file", "none.png", "--", "true", "{fd}"], "scene test-card takes no file"),
        (["--size", "0x5", "--", "true", "{fd}"], "write WIDTHxHEIGHT"),
        (["--size", "5x5", "--size", "5x5", "--outputs", "1", "--", "true", "{fd}"], "2 sizes for --outputs 1"),
        (["--outputs", "17", "--", "true", "{fd}"], "1 to 16"),
        (["--seconds", "0", "--", "true", "{fd}"], "no duration"),
        (["--frames", "none", "--", "true", "{fd}"], "no number"),
        (["--max-pixels", "1000", "--", "true", "{fd}"], "more than --max-pixels 1000"),
        (
            ["--scene", "one-framebuffer", *["--size", "16384x16"] * 8, "--size", "1x16384", "--", "true", "{fd}"],
            "would draw 2",
        ),
        (["--shot", "nowhere/x.png", "--", "true", "{fd}"], "folder nowhere does not exist"),
        (["--scene", "two-heads", "--size", "64x64", "--outputs", "1", "--", "true", "{fd}"], "needs 2"),
    ],
)
def test_bad_arguments_are_told(socket_dir, arguments, words):
    assert words in host(*arguments, cwd=socket_dir, code=2)
    assert list(socket_dir.iterdir()) == []


def test_nothing_that_listens_is_told(socket_dir):
    assert "nobody listens on" in host("--timeout", 0.1, "--connect", socket_dir / "none.sock", code=2)


def test_numpy_is_not_needed_for_what_is_drawn():
    blocked = "import sys; sys.modules['numpy'] = sys.modules['PIL'] = None\nfrom outboard.cli.main import main\n"
    call = ["display", "host", "--json", "--frames", "3", "--scene", "cursor", "--", *OURS, "--fd", "{fd}"]
    done = subprocess.run([sys.executable, "-c", f"{blocked}sys.exit(main({call!r}))"], capture_output=True, text=True)
    assert json.loads(done.stdout)["wrong"] == [], done.stderr
